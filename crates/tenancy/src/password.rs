//! Passwords: argon2id with the library's parameters, away from the threads that serve connections.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use kernel::Env;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use crate::Error;

/// Each hash takes 19 MiB and a core for tens of milliseconds: one core at least is left to everybody else's requests.
static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(
        std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
    )
});

/// A place among those who hash at this moment.
pub(crate) struct Turn(
    #[expect(dead_code, reason = "it is given back when it is dropped")] SemaphorePermit<'static>,
);

/// Waits for a place. Whoever decides by what was tried before whether a password may be tried decides it after this:
/// so no more than have a place are tried without having been counted.
pub(crate) async fn turn() -> Result<Turn, Error> {
    AT_ONCE.acquire().await.map(Turn).map_err(Error::internal)
}

/// Does what has begun to its end, though whoever asked for it may go away: until then its turn is taken.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work.in_current_span()).await.map_err(Error::internal)?
}

/// Hashes a password, with a salt of the environment's randomness, into a PHC string.
pub(crate) async fn hash(env: &Env, password: SecretString) -> Result<String, Error> {
    let salt = env.random::<16>();
    let turn = turn().await?;
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
