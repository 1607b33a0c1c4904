//! Passwords: argon2id with the library's parameters, away from the threads that serve connections.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use crate::{Caller, Error, Origin};

/// Each hash takes 19 MiB and a core for tens of milliseconds: one core at least is left to everybody else's requests.
static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(
        std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
    )
});

/// How many may hash or wait for it: the last of them waits for some seconds on two cores.
const OF_ALL: usize = 256;
/// How many of them may be from one network,
const OF_A_NETWORK: usize = 64;
/// and of one account.
const OF_AN_ACCOUNT: usize = 16;

/// Whose password is hashed. The machine's own hand is nobody.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    account: Vec<u8>,
    network: String,
}

impl Asker {
    /// Of an account, by whatever names one, in a network.
    pub(crate) fn new(account: impl Into<Vec<u8>>, network: impl Into<String>) -> Self {
        Self { account: account.into(), network: network.into() }
    }

    /// Whoever sets a password.
    fn of(caller: &Caller) -> Option<Self> {
        let network = Origin::prefix(caller.network()?);
        Some(Self::new(caller.principal().to_string(), network))
    }
}

/// Who hashes or waits for it.
#[derive(Debug, Default)]
struct Queue {
    all: usize,
    accounts: HashMap<Vec<u8>, usize>,
    networks: HashMap<String, usize>,
}

static QUEUE: LazyLock<Mutex<Queue>> = LazyLock::new(Mutex::default);

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Whether there was room.
    fn enter(&mut self, asker: Option<&Asker>) -> bool {
        if self.all >= OF_ALL {
            return false;
        }
        if let Some(Asker { account, network }) = asker {
            let has_room = |there: Option<&usize>, room: usize| there.is_none_or(|there| *there < room);
            let is_full = !has_room(self.accounts.get(account), OF_AN_ACCOUNT)
                || !has_room(self.networks.get(network), OF_A_NETWORK);
            if is_full {
                return false;
            }
            *self.accounts.entry(account.clone()).or_default() += 1;
            *self.networks.entry(network.clone()).or_default() += 1;
        }
        self.all += 1;
        true
    }

    fn leave(&mut self, asker: Option<&Asker>) {
        self.all = self.all.saturating_sub(1);
        if let Some(Asker { account, network }) = asker {
            one_less(&mut self.accounts, account);
            one_less(&mut self.networks, network);
        }
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

/// A place in the queue, until it is dropped.
struct Place(Option<Asker>);

impl Drop for Place {
    fn drop(&mut self) {
        queue().leave(self.0.as_ref());
    }
}

/// A place among those who hash at this moment, given back when it is dropped.
pub(crate) struct Turn {
    _permit: SemaphorePermit<'static>,
    _place: Place,
}

/// Waits for a place. Whoever decides by what was tried before whether a password may be tried decides it after this:
/// so no more than have a place are tried without having been counted.
///
/// # Errors
/// [`Error::Busy`] when too many wait already, of all, of the account or from the network.
pub(crate) async fn turn(asker: Option<Asker>) -> Result<Turn, Error> {
    if !queue().enter(asker.as_ref()) {
        return Err(Error::Busy);
    }
    let place = Place(asker);
    let permit = AT_ONCE.acquire().await.map_err(Error::internal)?;
    Ok(Turn { _permit: permit, _place: place })
}

/// Does what has begun to its end, though whoever asked for it may go away: until then its turn is taken.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work.in_current_span()).await.map_err(Error::internal)?
}

/// Hashes a password that a caller sets, with a salt of the environment's randomness, into a PHC string.
///
/// # Errors
/// As [`turn`].
pub(crate) async fn hash(caller: &Caller, password: SecretString) -> Result<String, Error> {
    let salt = caller.db().env().random::<16>();
    let turn = turn(Asker::of(caller)).await?;
    to_the_end(async move {
        let _turn = turn;
        run(move || {
            Argon2::default()
                .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
                .map(|hash| hash.to_string())
                .map_err(|cause| Error::Internal(cause.to_string().into()))
        })
        .await
    })
    .await
}

/// Whether a password is the one that was hashed. Without a hash it takes as long and is wrong, so that the time of
/// an answer does not tell which users exist. It goes to its end in [`to_the_end`] alone.
pub(crate) async fn verify(_: &Turn, hash: Option<String>, password: SecretString) -> Result<bool, Error> {
    run(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let hash = PasswordHash::new(&hash).map_err(|cause| Error::Internal(cause.to_string().into()))?;
        let matches = Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok();
        Ok(known && matches)
    })
    .await
}

/// The hash of no one's password, of the same cost as all others.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    Argon2::default()
        .hash_password_with_salt(b"nobody", b"sixteen bytes of")
        .map(|hash| hash.to_string())
        .unwrap_or_default()
});

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places_and_each_is_given_back() {
        let mut queue = Queue::default();
        let one = Asker::new("one", "office");
        let entered = (0..100).filter(|_| queue.enter(Some(&one))).count();
        assert_eq!(entered, OF_AN_ACCOUNT);
        // From elsewhere it is the same account.
        assert!(!queue.enter(Some(&Asker::new("one", "home"))));
        let colleagues: Vec<_> = (0..100u8).map(|n| Asker::new([n], "office")).collect();
        let entered = colleagues.iter().filter(|colleague| queue.enter(Some(colleague))).count();
        assert_eq!(entered, OF_A_NETWORK - OF_AN_ACCOUNT);
        let others: Vec<_> = (0..300u16).map(|n| Asker::new(n.to_be_bytes(), n.to_string())).collect();
        let entered = others.iter().filter(|other| queue.enter(Some(other))).count();
        assert_eq!(entered, OF_ALL - OF_A_NETWORK);
        assert!(!queue.enter(None));
        let came = [vec![one; OF_AN_ACCOUNT], colleagues[..OF_A_NETWORK - OF_AN_ACCOUNT].to_vec()].concat();
        for asker in came.iter().chain(&others[..OF_ALL - OF_A_NETWORK]) {
            queue.leave(Some(asker));
        }
        assert_eq!((queue.all, queue.accounts.len(), queue.networks.len()), (0, 0, 0));
    }
}
