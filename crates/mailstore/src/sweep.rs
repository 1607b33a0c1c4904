//! Takes away what nothing refers to any more: uploads that no commit followed, deleted messages that their tenant's retention policy does not
//! keep any more, and bodies without messages.
//!
//! A body's row goes first. A pack that no body lies in any more is *draining* for an hour, since somebody may be reading what lay there; then it goes
//! in three steps that bear being interrupted anywhere: its row is marked *gone*, which no commit can undo; its object is deleted; its row
//! is deleted. What lies in it together with bodies that live is `compact`'s to take away.
//!
//! What cannot be swept is passed by, so that it keeps back nothing but itself: a mailbox, a pack, or one of the
//! stages. Only a database or blob store that does not answer at all ends a stage.

pub(crate) mod store;

use blob::BlobKey;
use chrono::TimeDelta;
use db::{Db, SystemTx};
use kernel::{MailboxId, PackId, RequestId};
use tenancy::{Caller, Ctx, quota};
use uuid::Uuid;

pub use crate::Error;
use crate::{MailStore, body, change, retention};

/// How long a pack stays that nothing lies in any more: who has looked a body up just before is done reading it then.
pub const GRACE: TimeDelta = TimeDelta::hours(1);

/// How many messages, or bodies, one transaction takes.
const BATCH: i64 = 500;

/// What a sweep took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Deleted messages that were purged.
    pub messages: u64,
    /// Bodies without messages that were forgotten.
    pub bodies: u64,
    /// Rows of mailboxes' logs, and deleted folders, that were too old.
    pub changes: u64,
    /// Packs that were reserved and never committed.
    pub reservations: u64,
    /// Packs deleted from the blob store; includes what an interrupted sweep had left.
    pub packs: u64,
    /// Mailboxes, packs and stages that failed and were passed by.
    pub failed: u64,
}

/// Sweeps every tenant until nothing is left to take. Several processes may do so at once. What fails is logged and
/// counted; the next sweep tries it again.
pub async fn run(store: &MailStore, db: &Db) -> Swept {
    let mut swept = Swept::default();
    let ended = purge_recoverable(db, &mut swept).await;
    swept.stage("purging deleted messages", ended);
    let ended = forget_bodies(db, &mut swept).await;
    swept.stage("forgetting bodies", ended);
    let ended = change::expire(db).await.map(|rows| swept.changes = rows);
    swept.stage("forgetting changes", ended);
    let ended = delete_packs(store, db, &mut swept).await;
    swept.stage("deleting packs", ended);
    swept
}

/// Deletes packs once it is sure that a recovery would not look for them: what moved or forgot the bodies in them lies in the bucket.
async fn delete_packs(store: &MailStore, db: &Db, swept: &mut Swept) -> Result<(), Error> {
    let mut tx = system(db).await?;
    let is_behind = store::is_journal_behind(&mut tx).await?;
    drop(tx);
    if is_behind {
        swept.failed += 1;
        tracing::warn!("no pack was deleted: the journal has not got into the bucket for half an hour");
        return Ok(());
    }
    mark_gone(db, swept).await?;
    delete_gone(store, db, swept).await
}

impl Swept {
    fn stage(&mut self, stage: &'static str, ended: Result<(), Error>) {
        if let Err(error) = ended {
            self.failed += 1;
            tracing::warn!(sweep.stage = stage, error.cause = %kernel::error::chain(&error), "a stage of the sweep ended early");
        }
    }
}

async fn purge_recoverable(db: &Db, swept: &mut Swept) -> Result<(), Error> {
    let mut tx = system(db).await?;
    let places = store::purgeable(&mut tx, db.env().now()).await?;
    drop(tx);
    let caller = Caller::local_operator(db.clone(), db.env().new_id::<RequestId>());
    for (tenant_id, mailbox_id) in places {
        let purged = match caller.enter(tenant_id).await {
            Ok(ctx) => purge_mailbox(&ctx, mailbox_id, swept).await,
            // The tenant is gone as a whole, and what it had goes with it.
            Err(tenancy::Error::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = purged {
            swept.failed += 1;
            tracing::warn!(tenant.id = %tenant_id, mailbox.id = %mailbox_id, error.cause = %kernel::error::chain(&error), "a mailbox was not swept");
            db.ping().await?;
        }
    }
    Ok(())
}

/// Destroys what is too old, and what is too much, the oldest first.
async fn purge_mailbox(ctx: &Ctx, mailbox_id: MailboxId, swept: &mut Swept) -> Result<(), Error> {
    loop {
        let mut tx = ctx.begin().await?;
        // Locks the mailbox, also one that was deleted: its messages go like any other's.
        quota::lock(&mut tx, mailbox_id).await?;
        let policy = retention::store::find(&mut tx).await?.policy;
        let cutoff = policy.cutoff(ctx.env().now());
        let limit_bytes = policy.recoverable_limit_bytes;
        let batch = store::delete_messages(&mut tx, mailbox_id, cutoff, limit_bytes, BATCH).await?;
        if batch.blobs.is_empty() {
            return Ok(());
        }
        quota::forget(&mut tx, mailbox_id, batch.size_bytes).await?;
        body::store::count_messages(&mut tx, &batch.blobs, -1).await?;
        tx.commit().await?;
        swept.messages += batch.blobs.len() as u64;
    }
}

/// Forgets bodies that no message refers to, and marks the packs that nothing lies in any more.
async fn forget_bodies(db: &Db, swept: &mut Swept) -> Result<(), Error> {
    loop {
        let mut tx = system(db).await?;
        let bodies = store::delete_unreferenced(&mut tx, BATCH).await?;
        if bodies.is_empty() {
            return Ok(());
        }
        let packs: Vec<Uuid> = bodies.iter().map(|body| body.pack_id).collect();
        store::lock_packs(&mut tx, &packs).await?;
        store::take_from_shares(&mut tx, &bodies).await?;
        store::mark_empty(&mut tx, &packs, db.env().now()).await?;
        tx.commit().await?;
        swept.bodies += bodies.len() as u64;
    }
}

/// Marks the packs whose reservation has expired, and those that nobody can be reading any more.
async fn mark_gone(db: &Db, swept: &mut Swept) -> Result<(), Error> {
    let now = db.env().now();
    loop {
        let mut tx = system(db).await?;
        let expired = store::mark_expired(&mut tx, now, BATCH).await?;
        let drained = store::mark_drained(&mut tx, now - GRACE, BATCH).await?;
        tx.commit().await?;
        swept.reservations += expired;
        if expired + drained == 0 {
            return Ok(());
        }
    }
}

async fn delete_gone(store: &MailStore, db: &Db, swept: &mut Swept) -> Result<(), Error> {
    let mut after = None;
    loop {
        let mut tx = system(db).await?;
        let gone = store::list_gone(&mut tx, after, BATCH).await?;
        drop(tx);
        let Some(last) = gone.last() else { return Ok(()) };
        // Past what failed, which is still there.
        after = Some(last.id);
        for pack in gone {
            let key = BlobKey::Pack { owner: pack.owner, pack: pack.id };
            match delete_pack(store, db, pack.id, &key).await {
                Ok(deleted) => swept.packs += deleted,
                Err(error) => {
                    swept.failed += 1;
                    tracing::warn!(blob.key = %key, error.cause = %kernel::error::chain(&error), "a pack was not deleted");
                    db.ping().await?;
                    store.ping().await?;
                }
            }
        }
    }
}

/// Deletes object and row; how many rows it was, as another sweep may have been first.
async fn delete_pack(store: &MailStore, db: &Db, id: PackId, key: &BlobKey) -> Result<u64, Error> {
    store.blobs.delete(key).await?;
    let mut tx = system(db).await?;
    let deleted = store::delete_gone(&mut tx, id).await?;
    tx.commit().await?;
    Ok(deleted)
}

#[expect(clippy::disallowed_methods, reason = "the sweeper looks for garbage across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
