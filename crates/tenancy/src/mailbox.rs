//! Mailboxes and their limits. What is in them is the mail store's.

mod store;

use chrono::{DateTime, Utc};
use kernel::{MailboxId, Page, PageRequest, UserId};
use serde_json::json;

use crate::{Action, Ctx, Error, event, require_version};

/// A store of messages with a quota.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// `personal`, until other kinds can be made.
    pub kind: String,
    /// Whose it is.
    pub user_id: Option<UserId>,
    /// The address it is known by.
    pub primary_address: String,
    /// Its limits and what is used of them.
    pub quota: Quota,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// A mailbox's limits, in bytes of live messages' RFC 822 sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Above it nothing more is taken in; `None` is unlimited.
    pub quota_bytes: Option<i64>,
    /// Bytes of live messages.
    pub used_bytes: i64,
    /// Bytes of deleted messages that can still be recovered; not in `used_bytes`.
    pub recoverable_bytes: i64,
}

/// One mailbox.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox, or it is another person's.
pub async fn get(ctx: &Ctx, id: MailboxId) -> Result<Mailbox, Error> {
    ctx.require_mailbox(Action::MailboxRead, id)?;
    let mut tx = ctx.begin().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// The tenant's mailboxes; for a person, their own.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see mailboxes.
pub async fn list(ctx: &Ctx, page: PageRequest) -> Result<Page<Mailbox>, Error> {
    ctx.require(Action::MailboxRead)?;
    let mut tx = ctx.begin().await?;
    let rows = store::list(&mut tx, ctx.own_mailbox(), &page).await?;
    Ok(Page::cut(rows, &page, |mailbox| mailbox.id.uuid()))
}

/// Sets a mailbox's quota; `None` lifts it. One below what is used is allowed: it stops new mail and loses none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for a negative quota; [`Error::VersionMismatch`].
pub async fn set_quota(
    ctx: &Ctx,
    id: MailboxId,
    if_version: Option<i64>,
    quota_bytes: Option<i64>,
) -> Result<Mailbox, Error> {
    ctx.require_mailbox(Action::QuotaWrite, id)?;
    if quota_bytes.is_some_and(|bytes| bytes < 0) {
        return Err(Error::invalid("/quota_bytes", "must not be negative"));
    }
    let mut tx = ctx.begin().await?;
    let version = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, version)?;
    store::set_quota(&mut tx, id, quota_bytes).await?;
    let mailbox = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    event::record(&mut tx, ctx, event::Kind::MailboxUpdated, id, json!({"quota_bytes": quota_bytes})).await?;
    tx.commit().await?;
    Ok(mailbox)
}
