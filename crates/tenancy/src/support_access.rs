//! Looking into a mailbox from above its tenant: for a reason, for a time, and on the tenant's own trail.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Checks, MailboxId, Page, PageRequest, SupportAccessId};
use serde_json::json;

use crate::caller::{Principal, Scope};
use crate::{Action, Ctx, Error, event, mailbox};

/// For how long one lasts that names no end.
const DEFAULT: TimeDelta = TimeDelta::hours(1);
/// The longest that one may last.
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// A right to look into a mailbox.
#[derive(Debug, Clone)]
pub struct SupportAccess {
    /// Its id.
    pub id: SupportAccessId,
    /// The mailbox that it opens.
    pub mailbox_id: MailboxId,
    /// The wire id of the key whose right it is.
    pub principal: String,
    /// Why, for the tenant to read.
    pub reason: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was ended before that.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Opens a mailbox for the caller's key, for an hour or until `expires_at`, at most a day ahead.
///
/// # Errors
/// [`Error::Forbidden`] by role, and for callers who need none: those of the tenant itself; [`Error::NotFound`] when the
/// tenant has no such mailbox; [`Error::Invalid`].
pub async fn open(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    reason: String,
    expires_at: Option<DateTime<Utc>>,
) -> Result<SupportAccess, Error> {
    ctx.require_mailbox(Action::SupportAccessWrite, mailbox_id)?;
    let principal = from_above(ctx).ok_or(Error::Forbidden("support access from within the tenant"))?;
    let now = ctx.env().now();
    let expires_at = expires_at.unwrap_or(now + DEFAULT);
    let mut checks = Checks::default();
    checks.name(&reason, 500, "/reason");
    let in_time = expires_at > now && expires_at <= now + LONGEST;
    checks.require(in_time, "/expires_at", "must be in the next 24 hours");
    checks.done().map_err(Error::Invalid)?;
    let access = SupportAccess {
        id: ctx.env().new_id(),
        mailbox_id,
        principal,
        reason,
        created_at: now,
        expires_at,
        ended_at: None,
    };
    let mut tx = ctx.begin().await?;
    mailbox::require_exists(&mut tx, mailbox_id).await?;
    store::insert(&mut tx, &access).await?;
    event::record(&mut tx, ctx, event::Kind::SupportAccessOpened, access.id, shown(&access)).await?;
    tx.commit().await?;
    Ok(access)
}

/// All that a mailbox ever had, the oldest first.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`] when the tenant has no such mailbox.
pub async fn list(ctx: &Ctx, mailbox_id: MailboxId, page: PageRequest) -> Result<Page<SupportAccess>, Error> {
    ctx.require_mailbox(Action::SupportAccessRead, mailbox_id)?;
    let mut tx = ctx.read().await?;
    mailbox::require_exists(&mut tx, mailbox_id).await?;
    let rows = store::list(&mut tx, mailbox_id, &page).await?;
    Ok(Page::cut(rows, &page, |access| access.id.uuid()))
}

/// Ends one, whoever opened it; the next look is refused. One that has ended stays as it is.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`] when the mailbox has no such access.
pub async fn end(ctx: &Ctx, mailbox_id: MailboxId, id: SupportAccessId) -> Result<(), Error> {
    ctx.require_mailbox(Action::SupportAccessWrite, mailbox_id)?;
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    let access = store::find(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)?;
    if store::end(&mut tx, id, now).await? {
        event::record(&mut tx, ctx, event::Kind::SupportAccessEnded, id, shown(&access)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Lets a caller look into a mailbox, and notes it on the tenant's trail if the caller comes from above the tenant.
///
/// # Errors
/// [`Error::SupportAccessRequired`] for such a caller without an access in force; [`Error::NotFound`] when the tenant has no
/// such mailbox.
pub(crate) async fn require(ctx: &Ctx, action: Action, mailbox_id: MailboxId) -> Result<(), Error> {
    let Some(principal) = from_above(ctx) else { return Ok(()) };
    let mut tx = ctx.begin().await?;
    let Some(access) = store::in_force(&mut tx, mailbox_id, &principal, ctx.env().now()).await? else {
        mailbox::require_exists(&mut tx, mailbox_id).await?;
        return Err(Error::SupportAccessRequired);
    };
    let data = json!({"mailbox_id": mailbox_id, "action": action.as_str(), "reason": access.reason});
    event::record(&mut tx, ctx, event::Kind::SupportAccessUsed, access.id, data).await?;
    tx.commit().await?;
    Ok(())
}

/// Notes on the tenant's trail that a mailbox's mail, perhaps with what was deleted from it, is about to be written into files at the machine's own command
/// line, where no access has to be opened, and why.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`] when the tenant has no such mailbox, or a deleted one that no legal hold keeps; [`Error::Invalid`].
pub async fn note_export(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    reason: &str,
    with_deleted: bool,
) -> Result<(), Error> {
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    let mut checks = Checks::default();
    checks.name(reason, 500, "/reason");
    checks.done().map_err(Error::Invalid)?;
    let mut tx = ctx.begin().await?;
    if !mailbox::is_kept(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    let data = json!({"reason": reason, "with_deleted": with_deleted});
    event::record(&mut tx, ctx, event::Kind::MailboxExported, mailbox_id, data).await?;
    tx.commit().await?;
    Ok(())
}

/// Notes on the tenant's trail that mail out of files is about to be put into a mailbox at the machine's own command line: `with_folders`, into
/// those that it was in.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`] when the tenant has no such mailbox.
pub async fn note_import(ctx: &Ctx, mailbox_id: MailboxId, with_folders: bool) -> Result<(), Error> {
    ctx.require_mailbox(Action::MessageWrite, mailbox_id)?;
    let mut tx = ctx.begin().await?;
    mailbox::require_exists(&mut tx, mailbox_id).await?;
    let data = json!({"with_folders": with_folders});
    event::record(&mut tx, ctx, event::Kind::MailboxImported, mailbox_id, data).await?;
    tx.commit().await?;
    Ok(())
}

/// Whose accesses count, for a caller who needs one: a key whose scope is wider than a tenant. The tenant's own callers
/// need none, and neither does the operator's hand on the machine, which holds the database.
fn from_above(ctx: &Ctx) -> Option<String> {
    let caller = ctx.caller();
    match (caller.principal(), caller.scope()) {
        (_, Scope::Tenant(_)) => None,
        (Principal::ApiKey(id), _) => Some(id.to_string()),
        _ => None,
    }
}

/// What the trail says of one.
fn shown(access: &SupportAccess) -> serde_json::Value {
    json!({"mailbox_id": access.mailbox_id, "principal": access.principal, "reason": access.reason,
        "expires_at": access.expires_at})
}
