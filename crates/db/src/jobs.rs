//! The queue of work to do after a commit. A job is a row of the transaction that wants it done, so it exists
//! exactly when that committed; it runs at least once, so what it calls must bear being called twice.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::JobId;
use serde_json::Value;

use crate::{Db, Error, SystemTx};

/// How often a job is tried before it is left for the operator.
const MAX_ATTEMPTS: i32 = 20;
/// The longest pause between two attempts, in seconds.
const MAX_BACKOFF_SECS: i64 = 3_600;

/// A claimed job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Which function it is for.
    pub kind: String,
    /// That function's argument.
    pub payload: Value,
    /// How often it has been claimed, this time included.
    pub attempts: i32,
}

/// Queues a job in the caller's transaction, to run at `run_at` or soon after.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn enqueue(
    tx: &mut SystemTx,
    env: &kernel::Env,
    kind: &'static str,
    payload: Value,
    run_at: DateTime<Utc>,
) -> Result<JobId, Error> {
    let id = env.new_id();
    store::insert(tx, id, kind, payload, run_at, env.now()).await?;
    Ok(id)
}

/// Claims the oldest due job, for `lease`; `None` when nothing is due. Nobody else gets it before that has passed.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn claim(db: &Db, lease: TimeDelta) -> Result<Option<Job>, Error> {
    let now = db.env().now();
    let mut tx = system(db).await?;
    let job = store::claim(&mut tx, now, now + lease).await?;
    tx.commit().await?;
    Ok(job)
}

/// Takes a finished job out of the queue.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn complete(db: &Db, id: JobId) -> Result<(), Error> {
    let mut tx = system(db).await?;
    store::delete(&mut tx, id).await?;
    tx.commit().await
}

/// Puts a failed job back for a later attempt, the pause doubling each time; after the last it stays, marked failed.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn fail(db: &Db, job: &Job, error: &str) -> Result<(), Error> {
    let now = db.env().now();
    let backoff = 2_i64.saturating_pow(u32::try_from(job.attempts).unwrap_or(0)).min(MAX_BACKOFF_SECS);
    let failed_at = (job.attempts >= MAX_ATTEMPTS).then_some(now);
    let mut tx = system(db).await?;
    store::put_back(&mut tx, job.id, now + TimeDelta::seconds(backoff), failed_at, error).await?;
    tx.commit().await
}

/// How many jobs wait, and how many have been given up.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn depth(db: &Db) -> Result<Depth, Error> {
    let mut tx = system(db).await?;
    store::depth(&mut tx).await
}

/// The queue's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that are due, running or planned.
    pub waiting: i64,
    /// Jobs that no further attempt will be made at.
    pub failed: i64,
}

#[expect(clippy::disallowed_methods, reason = "the queue belongs to no tenant")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    SystemTx::begin(db).await
}
