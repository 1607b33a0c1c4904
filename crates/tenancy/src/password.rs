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

use crate::{Caller, Error, Origin, Scope};

/// Each hash takes 19 MiB and a core for tens of milliseconds: one core at least is left to everybody else's requests.
static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(
        std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
    )
});

/// How many may hash or wait for it: the last of them waits for some seconds on two cores. Those who try an account from a network
/// that is new to it take half of each bound at most, so that they keep out nobody who has signed in from where they are.
const OF_ALL: usize = 256;
/// How many of them may be of one tenant, or nobody's,
const OF_A_SCOPE: usize = 64;
/// from one network,
const OF_A_NETWORK: usize = 64;
/// and of one account.
const OF_AN_ACCOUNT: usize = 16;

/// Whose password is hashed. The machine's own hand is nobody.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// What names the account.
    pub(crate) account: Vec<u8>,
    /// What the account is part of; `None` of nobody's, which are counted together.
    pub(crate) scope: Option<Scope>,
    /// Where it is asked from.
    pub(crate) network: String,
    /// Whether the account was signed into from there.
    pub(crate) is_known: bool,
}

impl Asker {
    /// Whoever sets a password.
    fn of(caller: &Caller) -> Option<Self> {
        Some(Self {
            account: caller.principal().to_string().into_bytes(),
            scope: Some(caller.scope()),
            network: Origin::prefix(caller.network()?),
            is_known: true,
        })
    }
}

/// How many hash or wait for it, of all or of some.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Taken {
    all: usize,
    by_strangers: usize,
}

impl Taken {
    fn has_room(self, room: usize, is_known: bool) -> bool {
        self.all < room && (is_known || self.by_strangers < room / 2)
    }

    fn add(&mut self, is_known: bool) {
        self.all += 1;
        self.by_strangers += usize::from(!is_known);
    }

    fn take_away(&mut self, is_known: bool) {
        self.all = self.all.saturating_sub(1);
        self.by_strangers = self.by_strangers.saturating_sub(usize::from(!is_known));
    }
}

/// Who hashes or waits for it.
#[derive(Debug, Default)]
struct Queue {
    all: Taken,
    accounts: HashMap<Vec<u8>, Taken>,
    scopes: HashMap<Option<Scope>, Taken>,
    networks: HashMap<String, Taken>,
}

static QUEUE: LazyLock<Mutex<Queue>> = LazyLock::new(Mutex::default);

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Whether there was room.
    fn enter(&mut self, asker: Option<&Asker>) -> bool {
        let is_known = asker.is_none_or(|asker| asker.is_known);
        if !self.all.has_room(OF_ALL, is_known) || asker.is_some_and(|asker| !self.has_room_for(asker)) {
            return false;
        }
        self.all.add(is_known);
        if let Some(Asker { account, scope, network, .. }) = asker {
            self.accounts.entry(account.clone()).or_default().add(is_known);
            self.scopes.entry(*scope).or_default().add(is_known);
            self.networks.entry(network.clone()).or_default().add(is_known);
        }
        true
    }

    fn has_room_for(&self, asker: &Asker) -> bool {
        let has_room = |taken: Option<&Taken>, room: usize| {
            taken.copied().unwrap_or_default().has_room(room, asker.is_known)
        };
        has_room(self.accounts.get(&asker.account), OF_AN_ACCOUNT)
            && has_room(self.scopes.get(&asker.scope), OF_A_SCOPE)
            && has_room(self.networks.get(&asker.network), OF_A_NETWORK)
    }

    fn leave(&mut self, asker: Option<&Asker>) {
        self.all.take_away(asker.is_none_or(|asker| asker.is_known));
        if let Some(Asker { account, scope, network, is_known }) = asker {
            one_less(&mut self.accounts, account, *is_known);
            one_less(&mut self.scopes, scope, *is_known);
            one_less(&mut self.networks, network, *is_known);
        }
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, Taken>, key: &K, is_known: bool) {
    if let Some(taken) = counts.get_mut(key) {
        taken.take_away(is_known);
        if taken.all == 0 {
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
/// [`Error::Busy`] when too many wait already, of all, of the account, of the tenant or from the network.
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
    use kernel::TenantId;
    use uuid::Uuid;

    use super::*;

    fn asker(account: u16, tenant: u16, network: u16) -> Asker {
        let tenant_id = TenantId::from_uuid(Uuid::from_u128(u128::from(tenant)));
        Asker {
            account: account.to_be_bytes().to_vec(),
            scope: Some(Scope::Tenant(tenant_id)),
            network: network.to_string(),
            is_known: true,
        }
    }

    fn stranger(account: u16, tenant: u16, network: u16) -> Asker {
        Asker { is_known: false, ..asker(account, tenant, network) }
    }

    /// Those of them that there was room for.
    fn entered(queue: &mut Queue, askers: impl Iterator<Item = Asker>) -> Vec<Asker> {
        askers.filter(|asker| queue.enter(Some(asker))).collect()
    }

    #[test]
    fn nobody_takes_all_places_and_each_is_given_back() {
        let mut queue = Queue::default();
        let mut came = entered(&mut queue, (0..100).map(|_| asker(1, 1, 1)));
        assert_eq!(came.len(), OF_AN_ACCOUNT);
        // From elsewhere it is the same account.
        assert!(!queue.enter(Some(&asker(1, 1, 2))));
        let colleagues = entered(&mut queue, (10..110).map(|n| asker(n, n, 1)));
        assert_eq!(colleagues.len(), OF_A_NETWORK - OF_AN_ACCOUNT);
        let of_the_tenant = entered(&mut queue, (200..300).map(|n| asker(n, 1, n)));
        assert_eq!(of_the_tenant.len(), OF_A_SCOPE - OF_AN_ACCOUNT);
        let others = entered(&mut queue, (300..900).map(|n| asker(n, n, n)));
        came.extend(colleagues.into_iter().chain(of_the_tenant).chain(others));
        assert_eq!(came.len(), OF_ALL);
        assert!(!queue.enter(None));
        for asker in &came {
            queue.leave(Some(asker));
        }
        assert_eq!(queue.all, Taken::default());
        assert_eq!((queue.accounts.len(), queue.scopes.len(), queue.networks.len()), (0, 0, 0));
    }

    #[test]
    fn strangers_leave_half_of_everything_to_those_who_are_known() {
        let mut queue = Queue::default();
        assert_eq!(entered(&mut queue, (0..100).map(|n| stranger(1, 1, n))).len(), OF_AN_ACCOUNT / 2);
        assert!(queue.enter(Some(&asker(1, 1, 1))));
        let nobody = |n| Asker { scope: None, ..stranger(n, 0, n) };
        assert_eq!(entered(&mut queue, (100..300).map(nobody)).len(), OF_A_SCOPE / 2);
        let here = (300..500).map(|n| stranger(n, n, 1_000));
        assert_eq!(entered(&mut queue, here).len(), OF_A_NETWORK / 2);
        assert!(queue.enter(Some(&asker(2, 2, 1_000))));
        let mut strangers = entered(&mut queue, (500..900).map(|n| stranger(n, n, n)));
        assert_eq!(queue.all.by_strangers, OF_ALL / 2);
        assert!(queue.enter(Some(&asker(3, 3, 3))));
        // A place that a stranger gives back is a stranger's again.
        let left = strangers.pop().unwrap();
        queue.leave(Some(&left));
        assert!(queue.enter(Some(&left)) && !queue.enter(Some(&stranger(4, 4, 4))));
    }
}
