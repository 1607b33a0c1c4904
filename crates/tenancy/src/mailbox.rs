//! Mailboxes and their limits. What is in them is the mail store's.

pub mod count;
mod lifecycle;
mod store;

use chrono::{DateTime, Utc};
use db::SystemRead;
use kernel::{Checks, MailboxId, Page, PageRequest, UserId};
use serde_json::json;

use crate::quota::{self, Bounds, Threshold};
use crate::{Action, Caller, Ctx, Error, TenantTx, event, require_version};
use kernel::named;

pub(crate) use lifecycle::require_manageable;
pub use lifecycle::{MailboxChange, NewMailbox, create, delete, restore, update};
pub(crate) use store::lock;

named! {
    /// What a mailbox is for.
    Kind {
        /// A user's own.
        Personal = "personal",
        /// Used by several people, as `info@`.
        Shared = "shared",
        /// A room's, to be booked.
        Room = "room",
        /// A projector's or a van's, to be booked.
        Equipment = "equipment",
        /// Kept of somebody who has left.
        Archive = "archive",
    }
}

impl Kind {
    /// Whether it is nobody's own and in use: what there are caps of.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::Room | Self::Equipment)
    }
}

/// A store of messages with a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// What it is for.
    pub kind: Kind,
    /// Whose own it is.
    pub user_id: Option<UserId>,
    /// Its name as people see it; of a personal one, its user's.
    pub display_name: String,
    /// The address it is known by.
    pub primary_address: String,
    /// Its further addresses.
    pub aliases: Vec<String>,
    /// Its limits and what is used of them.
    pub quota: Quota,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub version: i64,
}

/// A mailbox's limits, in bytes of live messages' RFC 822 sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Its own bounds.
    pub bounds: Bounds,
    /// Bytes of live messages.
    pub used_bytes: i64,
    /// Bytes of deleted messages that can still be recovered; not in `used_bytes`.
    pub recoverable_bytes: i64,
}

impl Quota {
    /// The highest threshold that is reached.
    pub fn reached(&self) -> Option<Threshold> {
        Threshold::ALL.iter().rev().copied().find(|&one| self.bounds.reached(one, self.used_bytes))
    }
}

/// Up to where a mailbox can grow at this moment, and which level says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effective {
    /// Bytes of live messages; `None` is unlimited, or what the pool of a reseller allows that the caller does not see.
    pub limit_bytes: Option<i64>,
    /// `mailbox`, or `tenant` or `reseller` when a pool has less room; `None`: unlimited.
    pub inherited_from: Option<&'static str>,
}

/// One mailbox.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox, or it is another person's.
pub async fn get(ctx: &Ctx, id: MailboxId) -> Result<Mailbox, Error> {
    ctx.require_mailbox(Action::MailboxRead, id)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Enters the tenant that has or had a mailbox, deleted or not, for the operator at the machine's own command line, who has nothing but its id.
///
/// # Errors
/// [`Error::NotFound`] when no tenant that the caller sees has it.
pub async fn enter(caller: &Caller, id: MailboxId) -> Result<Ctx, Error> {
    #[expect(clippy::disallowed_methods, reason = "the id tells the tenant, so none is known before")]
    let mut read = SystemRead::open(caller.db()).await?;
    let tenant_id = store::tenant_of(&mut read, id).await?.ok_or(Error::NotFound)?;
    drop(read);
    caller.enter(tenant_id).await
}

/// Whether the tenant has such a mailbox that is not deleted, or that a legal hold keeps though it is.
///
/// # Errors
/// When the database fails.
pub async fn is_kept(tx: &mut TenantTx, id: MailboxId) -> Result<bool, db::Error> {
    store::is_kept(tx, id).await
}

/// Which mailboxes are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Those that have been deleted and can be restored, instead of the others.
    pub deleted: bool,
    /// Only those of this kind.
    pub kind: Option<Kind>,
}

/// The tenant's mailboxes; for a person whose role does not see them all, their own and those that they may read.
///
/// # Errors
/// [`Error::Forbidden`] for a caller who is no person, without the right to see mailboxes.
pub async fn list(ctx: &Ctx, filter: Filter, page: PageRequest) -> Result<Page<Mailbox>, Error> {
    let only = ctx.listed_mailboxes()?;
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, only.as_deref(), filter, &page).await?;
    Ok(Page::cut(rows, &page, |mailbox| mailbox.id.uuid()))
}

/// The mailboxes of others that a person may read as their delegate: the first 200.
///
/// # Errors
/// When the database fails.
pub async fn of_others(ctx: &Ctx) -> Result<Vec<Mailbox>, Error> {
    let readable = ctx.readable();
    if readable.is_empty() {
        return Ok(Vec::new());
    }
    let page = PageRequest::new(Some(PageRequest::MAX_LIMIT), None);
    let rows =
        store::list(&mut *ctx.read().await?, Some(readable.as_slice()), Filter::default(), &page).await?;
    Ok(rows.into_iter().take(usize::from(PageRequest::MAX_LIMIT)).collect())
}

/// A mailbox with what holds for its quota, the pools above it considered.
///
/// # Errors
/// As [`get`].
pub async fn quota(ctx: &Ctx, id: MailboxId) -> Result<(Mailbox, Effective), Error> {
    ctx.require_mailbox(Action::MailboxRead, id)?;
    let mut tx = ctx.read().await?;
    let mailbox = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let effective = effective(&mut tx, ctx, &mailbox).await?;
    Ok((mailbox, effective))
}

/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox, or none any more.
pub(crate) async fn require_exists(tx: &mut TenantTx, id: MailboxId) -> Result<(), Error> {
    if quota::exists(tx, id).await? { Ok(()) } else { Err(Error::NotFound) }
}

async fn effective(tx: &mut TenantTx, ctx: &Ctx, mailbox: &Mailbox) -> Result<Effective, Error> {
    let own = mailbox.quota.bounds.quota_bytes.map(|bytes| ("mailbox", bytes, false));
    let pool = quota::tightest(tx, ctx).await?.map(|pool| {
        let bytes = mailbox.quota.used_bytes.saturating_add(pool.free_bytes.max(0));
        (pool.level, bytes, pool.is_hidden)
    });
    let tightest = own.into_iter().chain(pool).min_by_key(|&(_, bytes, _)| bytes);
    Ok(Effective {
        limit_bytes: tightest.filter(|&(.., is_hidden)| !is_hidden).map(|(_, bytes, _)| bytes),
        inherited_from: tightest.map(|(level, ..)| level),
    })
}

/// Sets a mailbox's bounds; `None` lifts one. A quota below what is used is allowed: it stops new mail and loses none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for bounds below zero or out of order; [`Error::VersionMismatch`];
/// [`Error::Conflict`] `pool_overallocated` when the tenant's quotas would add up to more than it allows.
pub async fn set_quota(
    ctx: &Ctx,
    id: MailboxId,
    if_version: Option<i64>,
    bounds: Bounds,
) -> Result<(Mailbox, Effective), Error> {
    ctx.require_mailbox(Action::QuotaWrite, id)?;
    check(&bounds)?;
    let mut tx = ctx.begin().await?;
    let mailbox = change_quota(&mut tx, ctx, id, if_version, bounds).await?;
    let effective = effective(&mut tx, ctx, &mailbox).await?;
    tx.commit().await?;
    Ok((mailbox, effective))
}

async fn change_quota(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: MailboxId,
    if_version: Option<i64>,
    bounds: Bounds,
) -> Result<Mailbox, Error> {
    store::lock(tx, id).await?;
    let old = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    let mailbox = put_bounds(tx, ctx, &old, bounds).await?;
    require_allocation(tx).await?;
    Ok(mailbox)
}

fn check(bounds: &Bounds) -> Result<(), Error> {
    let mut checks = Checks::default();
    let named = [
        (bounds.warn_bytes, "/warn_bytes"),
        (bounds.block_send_bytes, "/block_send_bytes"),
        (bounds.quota_bytes, "/quota_bytes"),
    ];
    let mut lowest = 0;
    for (bytes, pointer) in named {
        let Some(bytes) = bytes else { continue };
        checks.require(bytes >= 0, pointer, "must not be negative");
        checks.require(
            bytes < 0 || bytes >= lowest,
            pointer,
            "must not be above what follows it: warn, then block_send, then quota",
        );
        lowest = lowest.max(bytes);
    }
    checks.done().map_err(Error::Invalid)
}

/// Holds a tenant that forbids it to quotas that add up to no more than its pool. Locks the tenant.
///
/// # Errors
/// [`Error::Conflict`] `pool_overallocated`.
pub(crate) async fn require_allocation(tx: &mut TenantTx) -> Result<(), Error> {
    if store::is_overallocated(tx).await? {
        return Err(Error::conflict(
            "pool_overallocated",
            "the quotas of the mailboxes would add up to more than the tenant's storage, which it does not allow",
        ));
    }
    Ok(())
}

/// Which of some new mailboxes, in their order, is the first whose quota the pool of a tenant that forbids more has no room for.
pub(crate) async fn first_over(
    tx: &mut TenantTx,
    new: &[(MailboxId, Option<i64>)],
) -> Result<Option<usize>, db::Error> {
    let ids: Vec<MailboxId> = new.iter().map(|(id, _)| *id).collect();
    let Some(mut left) = store::unallocated(tx, &ids).await? else { return Ok(None) };
    Ok(new.iter().position(|(_, quota)| {
        left = quota.map_or(-1, |quota| left.saturating_sub(quota));
        left < 0
    }))
}

/// Gives a locked mailbox other bounds.
async fn put_bounds(tx: &mut TenantTx, ctx: &Ctx, old: &Mailbox, bounds: Bounds) -> Result<Mailbox, Error> {
    store::set_bounds(tx, old.id, &bounds).await?;
    let data = json!({"quota_bytes": bounds.quota_bytes, "warn_bytes": bounds.warn_bytes,
        "block_send_bytes": bounds.block_send_bytes});
    event::record(tx, ctx, event::Kind::MailboxUpdated, old.id, data).await?;
    let used_bytes = old.quota.used_bytes;
    quota::notice(tx, ctx, old.id, (&old.quota.bounds, used_bytes), (&bounds, used_bytes)).await?;
    store::find(tx, old.id).await?.ok_or(Error::NotFound)
}

/// Gives a locked mailbox another quota, which is not negative; a bound below it that would come to lie above it is lifted.
pub(crate) async fn put_quota(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: MailboxId,
    quota_bytes: Option<i64>,
) -> Result<(), Error> {
    let old = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    let below = |bound: Option<i64>| bound.filter(|&bytes| quota_bytes.is_none_or(|quota| bytes <= quota));
    let bounds = Bounds {
        quota_bytes,
        warn_bytes: below(old.quota.bounds.warn_bytes),
        block_send_bytes: below(old.quota.bounds.block_send_bytes),
    };
    put_bounds(tx, ctx, &old, bounds).await?;
    require_allocation(tx).await
}
