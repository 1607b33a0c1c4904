//! Indexing what messages say, after they were acknowledged.
//!
//! A body that is new to a mailbox is queued by the statement that makes the message (a trigger's, so there is no way around it). Any number of
//! processes take from the queue at once; what one has in hand is its own for [`LEASE`]. A body whose process does not come back is tried
//! again after all others and alone, and after `MAX_ATTEMPTS` it is indexed as one that says nothing, so that what is poisonous holds up
//! nothing but itself. What cannot be fetched, as its place does not answer or lacks it, is tried again for as long as that is so.

mod store;

use chrono::TimeDelta;
use db::{Db, SystemRead, SystemTx};
use futures::stream::{self, StreamExt as _};
use kernel::{MailboxId, TenantId};
use tenancy::Caller;
use uuid::Uuid;

pub use crate::Error;
use crate::parsed::text::{KEPT_BYTES, Texts};
use crate::search::gram;
use crate::{MailStore, body};

/// How long a process has what it took; after a failure, how long it rests.
pub const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How often a body is taken in hand.
const MAX_ATTEMPTS: i32 = 5;
/// How many bodies are taken at a time.
const BATCH: i64 = 64;
/// How many of them are being indexed at a time, at most.
const AT_ONCE: usize = 4;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Indexed {
    /// Bodies that are searched by the index from now on, each once for every mailbox.
    pub bodies: u64,
    /// Those of them that nobody can read, and that say nothing to a search.
    pub unreadable: u64,
    /// Bodies that failed and were passed by.
    pub failed: u64,
}

/// A body that is to be indexed.
#[derive(Debug)]
struct Queued {
    tenant_id: TenantId,
    mailbox_id: MailboxId,
    blob_id: Uuid,
    attempts: i32,
    place: body::Columns,
}

/// How one ended.
enum Ended {
    Indexed,
    Unreadable,
    /// Its message is gone, or its tenant was deleted.
    Gone,
}

/// Indexes what is queued until nothing is due, or something fails. Several processes may do so at once.
///
/// # Errors
/// When what is due cannot be looked up.
pub async fn run(store: &MailStore, db: &Db) -> Result<Indexed, Error> {
    let server = Caller::server(db.clone());
    let mut done = Indexed::default();
    loop {
        let now = db.env().now();
        let mut tx = system(db).await?;
        store::forget_bodiless(&mut tx, now, BATCH).await?;
        let mut queued = store::claim(&mut tx, now, now + LEASE, false, BATCH).await?;
        if queued.is_empty() {
            // Whose process did not come back, it or another of its batch: no other is to go with it again.
            queued = store::claim(&mut tx, now, now + LEASE, true, 1).await?;
        }
        tx.commit().await?;
        if queued.is_empty() {
            return Ok(done);
        }
        let ends = stream::iter(queued).map(|one| {
            let server = &server;
            async move { (one.tenant_id, one.blob_id, index(store, db, server, one).await) }
        });
        let mut ends = ends.buffer_unordered(at_once());
        let failed_before = done.failed;
        while let Some((tenant_id, blob_id, ended)) = ends.next().await {
            match ended {
                Ok(Ended::Indexed) => done.bodies += 1,
                Ok(Ended::Unreadable) => {
                    done.bodies += 1;
                    done.unreadable += 1;
                    tracing::warn!(tenant.id = %tenant_id, blob.id = %blob_id, "a body cannot be read and was indexed as empty");
                }
                Ok(Ended::Gone) => {}
                Err(error) => {
                    done.failed += 1;
                    tracing::warn!(tenant.id = %tenant_id, blob.id = %blob_id, error.cause = ?error, "a body was not indexed");
                }
            }
        }
        if done.failed > failed_before {
            // Nothing may answer at this moment. The next run goes on.
            return Ok(done);
        }
    }
}

/// Half of the processors: who delivers and who reads comes first, and a search finds what is not indexed yet.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get() / 2).clamp(1, AT_ONCE)
}

async fn index(store: &MailStore, db: &Db, server: &Caller, one: Queued) -> Result<Ended, Error> {
    let known = store::text(&mut lookup(db).await?, &one).await?;
    let (texts, is_readable) = match known {
        // Of a message in another mailbox.
        Some(texts) => (texts, true),
        None if one.attempts > MAX_ATTEMPTS => (Texts::of_nothing(), false),
        None => match read(store, server, &one).await {
            Ok(Some(texts)) => (texts, true),
            // A deleted tenant's: it comes back whole or goes whole.
            Ok(None) => {
                put_off(db, &one).await?;
                return Ok(Ended::Gone);
            }
            Err(Error::Unreadable(_)) => (Texts::of_nothing(), false),
            Err(error) => {
                put_off(db, &one).await?;
                return Err(error);
            }
        },
    };
    let mailbox_id = one.mailbox_id;
    let grams = move || {
        let (grams, is_whole) = gram::of(mailbox_id, &texts);
        (texts, grams, is_whole)
    };
    let (texts, grams, is_whole) =
        tokio::task::spawn_blocking(grams).await.map_err(|_| Error::ShuttingDown)?;
    let mut tx = system(db).await?;
    if !store::index(&mut tx, &one, &texts, &grams, is_whole).await? {
        return Ok(Ended::Gone);
    }
    tx.commit().await?;
    Ok(if is_readable { Ended::Indexed } else { Ended::Unreadable })
}

/// What a body says; `None` when its tenant was deleted.
async fn read(store: &MailStore, server: &Caller, one: &Queued) -> Result<Option<Texts>, Error> {
    let ctx = match server.enter(one.tenant_id).await {
        Ok(ctx) => ctx,
        Err(tenancy::Error::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes = body::read(store, &ctx, one.place).await?;
    super::read(bytes, KEPT_BYTES, |texts| texts).await.map(Some)
}

/// Lets one rest, as if it had not been tried.
async fn put_off(db: &Db, one: &Queued) -> Result<(), Error> {
    let mut tx = system(db).await?;
    store::put_off(&mut tx, one).await?;
    Ok(tx.commit().await?)
}

/// Queues every body of every mailbox that is not indexed, behind what is new: for a database that was made anew, where neither the index nor the
/// queue is kept. How many.
///
/// # Errors
/// As of a statement.
pub async fn queue_all(db: &Db) -> Result<u64, Error> {
    let mut tx = system(db).await?;
    let queued = store::queue_all(&mut tx).await?;
    tx.commit().await?;
    Ok(queued)
}

/// How many bodies are to be indexed.
///
/// # Errors
/// As of a statement.
pub async fn waiting(db: &Db) -> Result<u64, Error> {
    Ok(store::waiting(&mut system(db).await?).await?)
}

#[expect(clippy::disallowed_methods, reason = "the queue is of every tenant")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}

#[expect(clippy::disallowed_methods, reason = "the queue is of every tenant")]
async fn lookup(db: &Db) -> Result<SystemRead, Error> {
    Ok(SystemRead::open(db).await?)
}
