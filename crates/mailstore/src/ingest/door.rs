//! Who waits at the door, and when the next batch of them goes in.
//!
//! A part that finds nobody under way goes in at once. What arrives meanwhile goes in together, as soon as that is done. After a
//! batch of more than one the next lingers, up to [`LINGER`] or until as many wait as came in the last two: those who have just been
//! answered send their next message now, and without it batches of n and of all the others would take turns for ever. Who has waited
//! [`PATIENCE`], behind an upload that is slow or a mailbox that is locked, waits no more, up to [`AT_ONCE`] batches; nor does who
//! finds the batch full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Part, batch};
use crate::MailStore;

/// How long a batch waits for those who have just been answered.
const LINGER: Duration = Duration::from_millis(2);
/// How long a part waits behind others that are under way.
const PATIENCE: Duration = Duration::from_millis(50);
/// How many batches are under way at most.
const AT_ONCE: usize = 4;
/// How many parts a batch has at most.
const MAX_PARTS: usize = 256;
/// From so many bytes on a batch takes no other part.
const MAX_BYTES: usize = 16 << 20;
/// From so many bytes on a body is an object of its own.
pub(super) const LARGE_BYTES: usize = 1 << 20;
/// How many bytes of messages are being taken in at most, by all sessions of the process.
const MAX_ROOM_BYTES: usize = 256 << 20;
/// The unit in which room is given.
const ROOM_UNIT_BYTES: usize = 1 << 10;

/// The door of a mail store.
#[derive(Debug)]
pub(crate) struct Door {
    state: Mutex<State>,
    arrived: Notify,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with when it came.
    waiting: VecDeque<(Instant, Part)>,
    /// How many batches are under way.
    running: usize,
    /// The sizes of the last two batches.
    last: [usize; 2],
    /// A pack that is reserved and was not used yet.
    spare: Option<Spare>,
}

/// An empty pack that is reserved.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) writer: pack::Writer,
    pub(super) until: DateTime<Utc>,
}

impl Default for Door {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(MAX_ROOM_BYTES / ROOM_UNIT_BYTES));
        Self { state: Mutex::default(), arrived: Notify::new(), room }
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a message of so many bytes may be taken in; until then whoever sends it is told nothing and waits.
    pub(super) async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(ROOM_UNIT_BYTES).min(MAX_ROOM_BYTES / ROOM_UNIT_BYTES);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // It is never closed.
        self.room.clone().acquire_many_owned(units).await.ok()
    }

    pub(super) fn take_spare(&self) -> Option<Spare> {
        self.state().spare.take()
    }

    pub(super) fn has_spare(&self) -> bool {
        self.state().spare.is_some()
    }

    pub(super) fn put_spare(&self, spare: Spare) {
        self.state().spare = Some(spare);
    }
}

impl State {
    /// The next batch; empty if nobody waits.
    fn take(&mut self) -> Vec<Part> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_PARTS && bytes < MAX_BYTES {
            let Some((_, part)) = self.waiting.pop_front() else { break };
            bytes += part.message.body.stored_bytes();
            batch.push(part);
        }
        self.last = [batch.len(), self.last[0]];
        batch
    }

    /// Whether as many wait as came in the last two batches.
    fn is_enough(&self) -> bool {
        self.waiting.len() >= self.last.iter().sum::<usize>().min(MAX_PARTS)
    }
}

/// Lets a part in, in its turn.
pub(super) fn enter(store: &MailStore, part: Part) {
    if part.message.body.stored_bytes() >= LARGE_BYTES {
        let store = store.clone();
        tokio::spawn(async move { batch::run(&store, vec![part], true).await });
        return;
    }
    let mut state = store.door.state();
    let is_first = state.waiting.is_empty();
    state.waiting.push_back((Instant::now(), part));
    if state.running == 0 {
        start(store, &mut state);
    } else if is_first {
        tokio::spawn(lose_patience(store.clone()));
    }
    drop(state);
    store.door.arrived.notify_one();
}

fn start(store: &MailStore, state: &mut State) {
    state.running += 1;
    let running = Running(store.clone());
    tokio::spawn(async move { running.batches().await });
}

/// Starts one more for who still waits after a while.
async fn lose_patience(store: MailStore) {
    tokio::time::sleep(PATIENCE).await;
    let mut state = store.door.state();
    let is_late = state.waiting.front().is_some_and(|(came, _)| came.elapsed() >= PATIENCE);
    if is_late && state.running < AT_ONCE {
        start(&store, &mut state);
    }
}

/// One who takes batches in; counted until it is dropped, also by a panic.
struct Running(MailStore);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.door.state();
        state.running -= 1;
        // Whoever came since it found nobody waiting, or after it was cut short.
        if !state.waiting.is_empty() && state.running == 0 {
            start(&self.0, &mut state);
        }
    }
}

impl Running {
    async fn batches(&self) {
        loop {
            let parts = self.take();
            if parts.is_empty() {
                return;
            }
            let was_shared = parts.len() > 1;
            batch::run(&self.0, parts, false).await;
            if was_shared {
                self.linger().await;
            }
        }
    }

    fn take(&self) -> Vec<Part> {
        let mut state = self.0.door.state();
        let parts = state.take();
        // More than one batch waits.
        if !state.waiting.is_empty() && state.running < AT_ONCE {
            start(&self.0, &mut state);
        }
        parts
    }

    async fn linger(&self) {
        let door = &self.0.door;
        let enough = async {
            loop {
                let arrived = door.arrived.notified();
                if door.state().is_enough() {
                    return;
                }
                arrived.await;
            }
        };
        // Whether it is enough or too late, what waits goes in.
        let _ = tokio::time::timeout(LINGER, enough).await;
    }
}
