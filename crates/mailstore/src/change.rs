//! The log of what changed in a mailbox: a row for each command and folder, from which clients catch up and sessions learn of
//! what others do.

pub(crate) mod hub;
pub(crate) mod store;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{FolderId, MailboxId, named};
use tenancy::{Action, Ctx, quota};

pub use crate::Error;
pub use crate::uid::UidSet;
use crate::{MailStore, folder};
pub use hub::Watch;

/// How long the log goes back. Who has been away for longer looks at everything again.
pub const KEPT: TimeDelta = TimeDelta::days(60);

/// From how many rows on a call leaves the rest to the next one. The rows of one command stay together: it would be forgotten in part otherwise.
pub const MAX_CHANGES: u16 = 1000;

named! {
    /// What happened to a folder, or to UIDs of it.
    Kind {
        /// Messages are in it under these UIDs now.
        Arrived = "arrived",
        /// The flags of these messages are others.
        Flagged = "flagged",
        /// These messages are in it no more: deleted, or moved elsewhere. Of a folder that took UIDs over, also those that no message of an import came to have.
        Gone = "gone",
        /// It was made, renamed, moved or deleted itself, or subscribed to or not.
        Folder = "folder",
    }
}

/// What a command changed in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The command's modification sequence; the messages that it changed have this one, or a lower one that is higher than the
    /// command's before.
    pub modseq: u64,
    /// The folder; it may have been deleted since.
    pub folder_id: FolderId,
    /// What happened.
    pub kind: Kind,
    /// The UIDs it is about; none for [`Kind::Folder`].
    pub uids: UidSet,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What changed in a mailbox since some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In the order in which they were made.
    pub changes: Vec<Change>,
    /// Whoever has applied them goes on from here.
    pub modseq: u64,
    /// Whether there may be more at this moment.
    pub has_more: bool,
}

/// What changed after a modification sequence; `None` asks from where on to ask.
///
/// # Errors
/// [`Error::ChangesExpired`] when the log does not go back so far, or has not come so far; [`Error::NotFound`] for a mailbox that is not this
/// tenant's or not the caller's; `Forbidden` by role, `SupportAccessRequired` for a caller from above the tenant.
pub async fn since(ctx: &Ctx, mailbox_id: MailboxId, modseq: Option<u64>) -> Result<Changes, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    look(ctx, mailbox_id, modseq).await
}

/// As [`since`], by whoever was proven.
async fn look(ctx: &Ctx, mailbox_id: MailboxId, modseq: Option<u64>) -> Result<Changes, Error> {
    let Some(modseq) = modseq else { return beginning(ctx, mailbox_id).await };
    let mut tx = ctx.read().await?;
    // Before the changes: what is committed between the two is seen now and again the next time, never left out.
    let current = store::current(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    let changes = store::since(&mut tx, mailbox_id, modseq, MAX_CHANGES).await?;
    // After them: some may have expired meanwhile.
    if modseq < store::floor(&mut tx, mailbox_id).await? || modseq > current {
        return Err(Error::ChangesExpired);
    }
    let reached = changes.last().map_or(modseq, |change| change.modseq);
    let has_more = changes.len() >= usize::from(MAX_CHANGES) && reached < current;
    Ok(Changes { changes, modseq: if has_more { reached } else { reached.max(current) }, has_more })
}

/// From where on to ask.
async fn beginning(ctx: &Ctx, mailbox_id: MailboxId) -> Result<Changes, Error> {
    let mut tx = ctx.begin().await?;
    let modseq = store::current(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    // The first folders are there from here on: nobody is told of them otherwise.
    folder::ensure_inbox(&mut tx, ctx, mailbox_id).await?;
    tx.commit().await?;
    Ok(Changes { changes: Vec::new(), modseq, has_more: false })
}

/// Watches a mailbox that the caller may read: for whoever asks [`since`] again when it may have changed.
///
/// # Errors
/// As [`since`], but [`Error::ChangesExpired`].
pub async fn watch(store: &MailStore, ctx: &Ctx, mailbox_id: MailboxId) -> Result<Watch, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    if !quota::exists(&mut *ctx.read().await?, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    Ok(store.hub.watch(ctx.tenant_id(), mailbox_id))
}

/// As [`since`], and where nothing has changed waits for a change, but no longer than `patience`, and not where too many wait already.
///
/// # Errors
/// As [`since`].
pub async fn wait(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    modseq: Option<u64>,
    patience: Duration,
) -> Result<Changes, Error> {
    let is_waiting = !patience.is_zero() && modseq.is_some();
    let Some(_turn) = is_waiting.then(|| store.hub.turn()).flatten() else {
        return since(ctx, mailbox_id, modseq).await;
    };
    // Before the first look: what changes between the two is not waited for in vain.
    let mut watch = watch(store, ctx, mailbox_id).await?;
    let until = tokio::time::Instant::now() + patience;
    loop {
        let found = look(ctx, mailbox_id, modseq).await?;
        if !found.changes.is_empty()
            || store.hub.is_closed()
            || tokio::time::timeout_at(until, watch.changed()).await.is_err()
        {
            return Ok(found);
        }
    }
}

/// Carries the word of changes between this process and the others on the database, until `stop`; nobody waits any more then.
pub async fn run(store: &MailStore, stop: impl Future<Output = ()>) {
    store.hub.run(&store.db, stop).await;
}

/// How many rows one transaction of [`expire`] takes.
const BATCH: i64 = 1000;

/// Forgets what is older than [`KEPT`], of all tenants, and the deleted folders that nothing refers to any more; how many rows.
///
/// # Errors
/// When the database fails.
#[expect(clippy::disallowed_methods, reason = "the logs of all tenants are gone through")]
pub async fn expire(db: &Db) -> Result<u64, Error> {
    let before = db.env().now() - KEPT;
    let mut all = 0;
    loop {
        let mut tx = SystemTx::begin(db).await?;
        let gone = store::expire(&mut tx, before, BATCH).await?;
        tx.commit().await?;
        all += gone;
        if gone == 0 {
            break;
        }
    }
    loop {
        let mut tx = SystemTx::begin(db).await?;
        // Their last change has expired before them.
        let gone = store::forget_folders(&mut tx, before, BATCH).await?;
        tx.commit().await?;
        all += gone;
        if gone == 0 {
            return Ok(all);
        }
    }
}
