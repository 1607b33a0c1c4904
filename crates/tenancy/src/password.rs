//! Passwords: argon2id with the library's parameters, away from the threads that serve connections. A server has child
//! processes do it ([`hash_in_children`]); without them it is done in this one.

mod children;
mod codec;

use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use kernel::Env;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use crate::Error;
use crate::user::MAX_PASSWORD_CHARS;
use children::Children;
pub use codec::answer_next;
use codec::{Answer, Request, SALT_BYTES};

/// Each hash takes 19 MiB and a core for tens of milliseconds: one core at least is left to everybody else's requests.
static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(
        std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
    )
});

/// The processes that hash, where there are such.
static CHILDREN: OnceLock<Children> = OnceLock::new();

/// The hash of no one's password, of the same cost as all others.
static NOBODY: OnceCell<String> = OnceCell::const_new();

/// From now on child processes hash passwords, as many as hash at once. `command` says how one is started: a program
/// that calls [`answer_next`] with its standard input and output until there is no more. One is started when it is
/// needed and then kept, until its input ends with this process; where none can be, this process hashes. Only the first
/// call counts.
pub fn hash_in_children(command: fn() -> Command) {
    CHILDREN.get_or_init(|| Children::new(command));
}

/// A place among those who hash at this moment.
pub(crate) struct Turn(
    #[expect(dead_code, reason = "it is given back when it is dropped")] SemaphorePermit<'static>,
);

/// Waits for a place. Whoever decides by what was tried before whether a password may be tried decides it after this:
/// so no more than have a place are tried without having been counted.
pub(crate) async fn turn() -> Result<Turn, Error> {
    AT_ONCE.acquire().await.map(Turn).map_err(Error::internal)
}

/// Does what has begun to its end, though whoever asked for it may go away: until then its turn is taken, as is the
/// process that hashes.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work.in_current_span()).await.map_err(Error::internal)?
}

/// Hashes a password, with a salt of the environment's randomness, into a PHC string.
pub(crate) async fn hash(env: &Env, password: SecretString) -> Result<String, Error> {
    let salt = env.random::<SALT_BYTES>();
    let turn = turn().await?;
    to_the_end(async move { hash_with(&turn, password, salt).await }).await
}

async fn hash_with(turn: &Turn, password: SecretString, salt: [u8; SALT_BYTES]) -> Result<String, Error> {
    match ask(turn, Request::Hash { password, salt }).await? {
        Answer::Hash(hash) => Ok(hash),
        answer => Err(unfit(answer)),
    }
}

/// Whether a password is the one that was hashed. Without a hash it takes as long and is wrong, so that the time of
/// an answer does not tell which users exist. It goes to its end in [`to_the_end`] alone.
pub(crate) async fn verify(turn: &Turn, hash: Option<String>, password: SecretString) -> Result<bool, Error> {
    // Asked for when it is not needed too, or the first name that nobody has would wait for it.
    let nobody = || hash_with(turn, SecretString::from("nobody"), *b"sixteen bytes of");
    let nobody = NOBODY.get_or_try_init(nobody).await?;
    // What is longer is nobody's, and might be of any length.
    let is_possible = password.expose_secret().chars().count() <= MAX_PASSWORD_CHARS;
    let password = if is_possible { password } else { SecretString::default() };
    let is_known = hash.is_some() && is_possible;
    let hash = hash.unwrap_or_else(|| nobody.clone());
    match ask(turn, Request::Verify { password, hash }).await? {
        Answer::Matches(matches) => Ok(is_known && matches),
        answer => Err(unfit(answer)),
    }
}

async fn ask(turn: &Turn, request: Request) -> Result<Answer, Error> {
    match CHILDREN.get() {
        Some(children) => children.ask(turn, request).await,
        None => answer_here(request).await,
    }
}

/// The answer of this process, by a thread for work that blocks.
async fn answer_here(request: Request) -> Result<Answer, Error> {
    tokio::task::spawn_blocking(move || request.answer()).await.map_err(Error::internal)
}

fn unfit(answer: Answer) -> Error {
    match answer {
        Answer::Failed(cause) => Error::Internal(cause.into()),
        Answer::Hash(_) | Answer::Matches(_) => Error::Internal("the answer to another question".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_proven_against_its_own_hash_alone() {
        let env = Env::system();
        let right = "correct\nhorse \"battery\" \u{1f40e}";
        let hash = hash(&env, right.into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let turn = turn().await.unwrap();
        assert!(verify(&turn, Some(hash.clone()), right.into()).await.unwrap());
        assert!(!verify(&turn, Some(hash), "correct horse".into()).await.unwrap());
        for of_nobody in [right, "nobody", ""] {
            assert!(!verify(&turn, None, of_nobody.into()).await.unwrap());
        }
        assert!(verify(&turn, Some("no hash".into()), right.into()).await.is_err());
    }

    #[tokio::test]
    async fn a_password_longer_than_any_may_be_is_wrong_and_no_fault() {
        let empty = hash(&Env::system(), SecretString::default()).await.unwrap();
        let turn = turn().await.unwrap();
        let long = "x".repeat(100_000);
        assert!(!verify(&turn, Some(empty.clone()), long.into()).await.unwrap());
        assert!(verify(&turn, Some(empty), SecretString::default()).await.unwrap());
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_others_do() {
        let ours = hash(&Env::system(), "correct horse".into()).await.unwrap();
        let turn = turn().await.unwrap();
        verify(&turn, None, "x".into()).await.unwrap();
        let cost = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost(NOBODY.get().unwrap()), cost(&ours));
    }
}
