//! Takes away what nothing refers to any more: uploads that no commit followed, deleted messages whose time to be
//! recovered has passed, and bodies without messages.
//!
//! A body goes in three steps that bear being interrupted anywhere: its row is marked *gone*, which no commit can
//! undo; its object is deleted; its row is deleted.

mod store;

use blob::BlobKey;
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{MailboxId, RequestId};
use tenancy::{Caller, Ctx, quota};

pub use crate::Error;
use crate::{MailStore, lock_mailbox};

/// How long a deleted message can be recovered.
pub const RECOVERABLE: TimeDelta = TimeDelta::days(30);

/// How many messages, or bodies, one transaction takes.
const BATCH: i64 = 500;

/// What a sweep took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Deleted messages that were purged.
    pub messages: u64,
    /// Uploads that no commit followed.
    pub reservations: u64,
    /// Objects deleted from the blob store; includes what an interrupted sweep had left.
    pub bodies: u64,
}

/// Sweeps every tenant until nothing is left to take. Several processes may do so at once.
///
/// # Errors
/// The first failure of a database or blob store ends the sweep; the next one goes on where it stopped.
pub async fn run(store: &MailStore, db: &Db) -> Result<Swept, Error> {
    let mut swept = Swept { messages: purge_recoverable(db).await?, ..Swept::default() };
    swept.reservations = mark_gone(db).await?;
    swept.bodies = delete_gone(store, db).await?;
    Ok(swept)
}

async fn purge_recoverable(db: &Db) -> Result<u64, Error> {
    let cutoff = db.env().now() - RECOVERABLE;
    let mut tx = system(db).await?;
    let places = store::purgeable(&mut tx, cutoff).await?;
    drop(tx);
    let caller = Caller::local_operator(db.clone(), db.env().new_id::<RequestId>());
    let mut purged = 0;
    for (tenant_id, mailbox_id) in places {
        match caller.enter(tenant_id).await {
            Ok(ctx) => purged += purge_mailbox(&ctx, mailbox_id, cutoff).await?,
            // The tenant is gone as a whole, and what it had goes with it.
            Err(tenancy::Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(purged)
}

async fn purge_mailbox(ctx: &Ctx, mailbox_id: MailboxId, cutoff: DateTime<Utc>) -> Result<u64, Error> {
    let mut purged = 0;
    loop {
        let mut tx = ctx.begin().await?;
        lock_mailbox(&mut tx, mailbox_id).await?;
        let batch = store::delete_messages(&mut tx, mailbox_id, cutoff, BATCH).await?;
        if batch.blobs.is_empty() {
            return Ok(purged);
        }
        quota::forget(&mut tx, mailbox_id, batch.size_bytes).await?;
        store::unreference(&mut tx, &batch.blobs).await?;
        tx.commit().await?;
        purged += batch.blobs.len() as u64;
    }
}

/// Marks what may go; the number of expired reservations among it.
async fn mark_gone(db: &Db) -> Result<u64, Error> {
    let now = db.env().now();
    let mut expired = 0;
    loop {
        let mut tx = system(db).await?;
        let reservations = store::mark_expired(&mut tx, now, BATCH).await?;
        let unreferenced = store::mark_unreferenced(&mut tx, BATCH).await?;
        tx.commit().await?;
        expired += reservations;
        if reservations + unreferenced == 0 {
            return Ok(expired);
        }
    }
}

async fn delete_gone(store: &MailStore, db: &Db) -> Result<u64, Error> {
    let mut deleted = 0;
    loop {
        let mut tx = system(db).await?;
        let gone = store::list_gone(&mut tx, BATCH).await?;
        drop(tx);
        if gone.is_empty() {
            return Ok(deleted);
        }
        for (tenant, blob) in gone {
            store.blobs.delete(&BlobKey::Body { tenant, blob }).await?;
            let mut tx = system(db).await?;
            deleted += store::delete_gone(&mut tx, tenant, blob).await?;
            tx.commit().await?;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the sweeper looks for garbage across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
