//! What a POST with an `Idempotency-Key` answered, so that sending it again does nothing again.
//!
//! A key is claimed before the request is carried out and answered after. A first request that ended without an
//! answer (a crash, a fault) leaves its key claimed: whether it took effect is not known, so it is never repeated.

mod store;

use chrono::TimeDelta;
use db::{Db, SystemTx};

use crate::{Caller, Error};

/// How long answers are kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// How long a request may be under way before its key counts as unresolved: longer than an edge lets any run.
const UNDER_WAY: TimeDelta = TimeDelta::seconds(660);

/// An answer as it went over the wire, without secrets that are shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub content_type: String,
    /// Where what was made is.
    pub location: Option<String>,
    /// The version of what was made.
    pub etag: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a key is good for at this moment.
#[derive(Debug)]
pub enum Claim {
    /// It is new: carry the request out, then call [`answer`] or [`release`].
    Fresh,
    /// It was answered before: send this again.
    Replay(Answer),
}

/// Claims a key for a request of the caller; `request_hash` covers method, path and body.
///
/// # Errors
/// [`Error::Invalid`] when the key was used for another request; [`Error::Conflict`] while the first is under way
/// or when it ended without an answer.
pub async fn claim(caller: &Caller, key: &str, request_hash: &[u8; 32]) -> Result<Claim, Error> {
    let now = caller.db().env().now();
    let principal = caller.principal().to_string();
    let mut tx = system(caller.db()).await?;
    store::forget_before(&mut tx, &principal, key, now - KEPT).await?;
    if store::insert(&mut tx, &principal, key, request_hash, now).await? {
        tx.commit().await?;
        return Ok(Claim::Fresh);
    }
    let kept = store::find(&mut tx, &principal, key).await?.ok_or(UNDER_WAY_CONFLICT)?;
    if kept.request_hash != request_hash {
        return Err(Error::Conflict {
            code: "idempotency_key_reuse",
            detail: "this Idempotency-Key was used for another request",
        });
    }
    match kept.answer {
        Some(answer) => Ok(Claim::Replay(answer)),
        None if now - kept.created_at < UNDER_WAY => Err(UNDER_WAY_CONFLICT),
        None => Err(Error::Conflict {
            code: "idempotency_key_unresolved",
            detail: "the first request with this Idempotency-Key ended without an answer; see whether it took effect, then use a new key",
        }),
    }
}

const UNDER_WAY_CONFLICT: Error = Error::Conflict {
    code: "idempotency_key_in_use",
    detail: "the first request with this Idempotency-Key is under way",
};

/// Keeps what a claimed key's request answered.
///
/// # Errors
/// When the database fails.
pub async fn answer(caller: &Caller, key: &str, answer: &Answer) -> Result<(), Error> {
    let mut tx = system(caller.db()).await?;
    store::answer(&mut tx, &caller.principal().to_string(), key, answer).await?;
    tx.commit().await?;
    Ok(())
}

/// Gives a claimed key back: its request was refused before it did anything.
///
/// # Errors
/// When the database fails.
pub async fn release(caller: &Caller, key: &str) -> Result<(), Error> {
    let mut tx = system(caller.db()).await?;
    store::release(&mut tx, &caller.principal().to_string(), key).await?;
    tx.commit().await?;
    Ok(())
}

/// Forgets the answers that were kept long enough; how many.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &Db) -> Result<u64, Error> {
    let mut tx = system(db).await?;
    let forgotten = store::prune(&mut tx, db.env().now() - KEPT).await?;
    tx.commit().await?;
    Ok(forgotten)
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys belong to principals, of which some are above all tenants"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
