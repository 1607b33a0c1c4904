//! Destroys the mail of mailboxes and tenants that were deleted too long ago to be restored, and has the control plane
//! destroy the rest of them.
//!
//! Each step bears being interrupted: what is gone is gone, and the next run goes on from there. What cannot be destroyed
//! is passed by and tried again.

mod store;

use std::collections::BTreeSet;
use std::time::Duration;

use blob::{BlobKey, BlobStore, KeyPrefix};
use chrono::TimeDelta;
use db::{Db, SystemTx};
use futures::future::try_join_all;
use kernel::{MailboxId, TenantId};
use tenancy::auth::Auth;
use tenancy::purge::{self, Destroyed, Unbilled};
use tenancy::{Caller, Ctx, quota};
use tokio::time::Instant;

use crate::sweep::store::{lock_packs, mark_empty};
use crate::{Error, MailStore, body, parcel};

/// How many messages one transaction takes.
const BATCH: i64 = 500;
/// How many objects are being deleted at a time.
const OBJECTS_AT_ONCE: usize = 16;

/// How often tenants look whether the journal is in the bucket, before their keys go.
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// On what terms it is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// For how long backups of the database are kept.
    pub backups_kept: TimeDelta,
    /// How long tenants wait for the journal to get into the bucket; then they are left to a later run.
    pub patience: Duration,
}

impl Default for Terms {
    /// Thirty days, and two minutes.
    fn default() -> Self {
        Self { backups_kept: TimeDelta::days(30), patience: Duration::from_secs(120) }
    }
}

/// What a run destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Mailboxes, with their users.
    pub mailboxes: u64,
    /// Tenants.
    pub tenants: u64,
    /// Those of both that failed and were passed by.
    pub failed: u64,
}

/// The tenants whose time has come. They are looked up before they are billed and charged for the last time, so that [`run`] destroys none that came to
/// be due while that was under way.
///
/// # Errors
/// When they cannot be looked up.
pub async fn due_tenants(db: &Db) -> Result<Vec<TenantId>, Error> {
    let (mut all, mut last) = (Vec::new(), None);
    loop {
        let due = purge::due_tenants(db, last).await?;
        let Some(&of_these) = due.last() else { return Ok(all) };
        last = Some(of_these);
        all.extend(due);
    }
}

/// Rounds of billing whoever is due and destroying them. Knows who was not billed to the end by the round before: after a long standstill the first
/// may be the last for which a tenant is kept, and nobody could see to it.
#[derive(Debug, Default)]
pub struct Rounds {
    unbilled: BTreeSet<TenantId>,
}

impl Rounds {
    /// Of the tenants that were due when a round began, now that it has billed them, those that it may destroy: those that are billed to the end, and
    /// those that were due in the round before and were not then. One whose account was parked lately is none of them: whoever sees to it now has it
    /// billed by the next round.
    ///
    /// # Errors
    /// When they cannot be looked up.
    pub async fn pick(&mut self, db: &Db, mut due: Vec<TenantId>) -> Result<Vec<TenantId>, Error> {
        let unbilled = purge::unbilled(db, &due).await?;
        due.retain(|id| match unbilled.get(id) {
            None => true,
            Some(Unbilled::Parked) => false,
            Some(Unbilled::Otherwise) => self.unbilled.contains(id),
        });
        let others = unbilled.into_iter().filter(|(_, why)| *why == Unbilled::Otherwise);
        self.unbilled = others.map(|(id, _)| id).collect();
        Ok(due)
    }
}

/// Destroys all mailboxes that are due, and these tenants, which were ([`due_tenants`]), as far as they are. Several processes may do so at once.
///
/// # Errors
/// When the mailboxes that are due cannot be looked up, or what the journal has.
pub async fn run(
    store: &MailStore,
    db: &Db,
    auth: &Auth,
    terms: Terms,
    tenants: &[TenantId],
) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let server = Caller::server(db.clone());
    let mut last = None;
    loop {
        let due = purge::due_mailboxes(db, last).await?;
        let Some(&of_these) = due.last() else { break };
        last = Some(of_these);
        for (tenant_id, id) in due {
            let done = match server.enter(tenant_id).await {
                Ok(ctx) => mailbox(&ctx, id).await,
                // Deleted as a whole since.
                Err(tenancy::Error::NotFound) => continue,
                Err(error) => Err(error.into()),
            };
            match done {
                Ok(()) => purged.mailboxes += 1,
                Err(error) => {
                    purged.failed += 1;
                    tracing::warn!(tenant.id = %tenant_id, mailbox.id = %id, error.cause = %kernel::error::chain(&error), "a mailbox was not destroyed");
                }
            }
        }
    }
    let mut begun = Vec::new();
    for &id in tenants {
        match begin(db, id).await {
            Ok(destroyed) => begun.extend(destroyed.map(|destroyed| (id, destroyed))),
            Err(error) => {
                purged.failed += 1;
                tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "the destruction of a tenant was not begun");
            }
        }
    }
    if !begun.is_empty() && !is_in_the_bucket(db, terms.patience).await? {
        purged.failed += begun.len() as u64;
        tracing::warn!(
            tenants = begun.len(),
            "no tenant was destroyed: the journal does not get into the bucket"
        );
        return Ok(purged);
    }
    for (id, destroyed) in begun {
        match tenant(store, db, auth, (id, destroyed), terms.backups_kept).await {
            Ok(is_gone) => purged.tenants += u64::from(is_gone),
            Err(error) => {
                purged.failed += 1;
                tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "a tenant was not destroyed");
            }
        }
    }
    Ok(purged)
}

/// Its bodies have no message any more, so the sweeper takes them.
async fn mailbox(ctx: &Ctx, id: MailboxId) -> Result<(), Error> {
    loop {
        let mut tx = ctx.begin().await?;
        quota::lock(&mut tx, id).await?;
        // Restored, destroyed or put on hold since it was looked up.
        if !store::is_due(&mut tx, id).await? {
            return Ok(());
        }
        let batch = store::delete_messages(&mut tx, id, BATCH).await?;
        if batch.is_empty() {
            store::delete_mailbox(&mut tx, id).await?;
            purge::mailbox(&mut tx, ctx, id).await?;
            // What they were kept for has gone with the mailbox.
            parcel::let_go_of_all(&mut tx, id).await?;
            tx.commit().await?;
            return Ok(());
        }
        body::store::count_messages(&mut tx, &batch, -1).await?;
        tx.commit().await?;
    }
}

/// Notes that a tenant is being destroyed, and what it has; `None`: it may not go yet, or is gone.
async fn begin(db: &Db, id: TenantId) -> Result<Option<Destroyed>, Error> {
    // Before it is locked, since that may take long: nothing comes to a deleted tenant any more.
    let mut looking = system(db).await?;
    let counted = store::count(&mut looking, id).await?;
    looking.roll_back().await?;
    let mut tx = system(db).await?;
    if !purge::may_go(&mut tx, db, id).await? {
        return Ok(None);
    }
    let destroyed = purge::begin(&mut tx, id, counted).await?;
    tx.commit().await?;
    Ok(Some(destroyed))
}

/// Objects go before the rows that name them: an interrupted run leaves rows, which the next one finds. `false`: it may not go yet, or is
/// gone. What was begun is in the bucket.
async fn tenant(
    store: &MailStore,
    db: &Db,
    auth: &Auth,
    (id, destroyed): (TenantId, Destroyed),
    backups_kept: TimeDelta,
) -> Result<bool, Error> {
    store.keys.destroy(id).await?;
    remove_all(&*store.blobs, id).await?;
    loop {
        let mut tx = system(db).await?;
        let deleted = store::delete_some_of(&mut tx, id, 10 * BATCH).await?;
        if deleted == 0 {
            // Those that others have something in too stay: what they hold of this tenant opens with no key that is left.
            store::delete_bodies_of(&mut tx, id).await?;
            let packs = store::packs_of(&mut tx, id).await?;
            lock_packs(&mut tx, &packs).await?;
            store::delete_rest_of(&mut tx, id).await?;
            mark_empty(&mut tx, &packs, db.env().now()).await?;
            store::delete_packs_of(&mut tx, id).await?;
        }
        tx.commit().await?;
        if deleted == 0 {
            break;
        }
    }
    // Compaction that had begun before may have put one since it was listed. It puts none for good where there are no rows.
    remove_all(&*store.blobs, id).await?;
    Ok(purge::tenant(db, auth, id, destroyed, backups_kept).await?)
}

/// Waits until what is committed by now is in the bucket too, where there is a journal in it; not for ever. Were the database lost before that and
/// the keys gone, a recovery would take them for lost.
async fn is_in_the_bucket(db: &Db, patience: Duration) -> Result<bool, Error> {
    let last = store::last_change(&mut system(db).await?).await?;
    let gives_up_at = Instant::now() + patience;
    while store::is_waiting(&mut system(db).await?, last).await? {
        if Instant::now() > gives_up_at {
            return Ok(false);
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
    Ok(true)
}

/// Removes what lies under a tenant's prefix.
async fn remove_all(blobs: &dyn BlobStore, id: TenantId) -> Result<(), blob::Error> {
    let mut after: Option<String> = None;
    loop {
        let page = blobs.list(&KeyPrefix::Tenant(id), after.as_deref()).await?;
        for some in page.keys.chunks(OBJECTS_AT_ONCE) {
            try_join_all(some.iter().map(|key| remove(blobs, key))).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Older versions of what was sealed stay as long as the bucket keeps them: nothing opens them once no version of a key is left.
async fn remove(blobs: &dyn BlobStore, key: &BlobKey) -> Result<(), blob::Error> {
    match key {
        // Another process has put it since the others were erased.
        BlobKey::WrappedKey { .. } => blobs.erase(key).await,
        BlobKey::Pack { .. } | BlobKey::Segment(_) => blobs.delete(key).await,
    }
}

#[expect(clippy::disallowed_methods, reason = "a deleted tenant cannot be entered")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
