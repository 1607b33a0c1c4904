//! Connections that wait for the next message.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::session::Session;

/// How many connections are kept.
const KEPT: usize = 20;
/// How many transactions a connection carries.
const TRANSACTIONS: u32 = 100;

#[derive(Debug)]
struct Idle {
    session: Session,
    until: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// The one that waits longest comes first.
    idle: VecDeque<Idle>,
    /// Whether a task is there that closes them in time.
    is_swept: bool,
}

/// The connections.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

impl Pool {
    /// One that is open as far as can be seen, the one used last.
    pub(crate) fn take(&self) -> Option<Session> {
        loop {
            let mut idle = self.lock().idle.pop_back()?;
            if idle.until > Instant::now() && idle.session.wire.is_quiet() {
                return Some(idle.session);
            }
        }
    }

    /// Keeps a connection for so long, unless it has done enough or there are enough.
    pub(crate) fn put(self: &Arc<Self>, session: Session, idle: Duration) {
        if session.is_spent {
            return;
        }
        let mut state = self.lock();
        if session.transactions >= TRANSACTIONS || state.idle.len() >= KEPT {
            drop(state);
            tokio::spawn(session.quit());
            return;
        }
        state.idle.push_back(Idle { session, until: Instant::now() + idle });
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Those that have waited for long enough, and when the next has.
    fn expired(&self) -> (Vec<Idle>, Option<Instant>) {
        let mut state = self.lock();
        let now = Instant::now();
        let (expired, kept) = state.idle.drain(..).partition::<Vec<_>, _>(|idle| idle.until <= now);
        state.idle = kept.into();
        let next = state.idle.iter().map(|idle| idle.until).min();
        state.is_swept = next.is_some();
        (expired, next)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says goodbye to whatever waits too long, until nothing waits or nobody has the pool.
async fn sweep(pool: Weak<Pool>) {
    loop {
        let Some((expired, next)) = pool.upgrade().map(|pool| pool.expired()) else { return };
        for idle in expired {
            tokio::spawn(idle.session.quit());
        }
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}
