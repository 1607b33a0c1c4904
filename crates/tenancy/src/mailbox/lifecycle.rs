//! Mailboxes that are nobody's own: shared ones, rooms and equipment. A personal one comes and goes with its user.

use kernel::{Checks, MailboxId};
use serde_json::json;

use super::{Kind, Mailbox, count, require_allocation, store};
use crate::address::{self, Target, Wanted};
use crate::quota::{self, Pools};
use crate::user::{self, RESTORABLE};
use crate::{Action, Ctx, Error, TenantTx, event, require_version, tenant};

/// What a new mailbox is made of.
#[derive(Debug, Clone)]
pub struct NewMailbox {
    /// What it is for; not a personal one, which comes with a user.
    pub kind: Kind,
    /// Its name as people see it.
    pub display_name: String,
    /// The primary address, in a domain of the tenant.
    pub address: String,
    /// Further addresses.
    pub aliases: Vec<String>,
    /// Its quota; `None` is unlimited.
    pub quota_bytes: Option<i64>,
}

/// What of a mailbox is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct MailboxChange {
    /// A new name.
    pub display_name: Option<String>,
    /// A new primary address. The old one stays, as an alias, unless `aliases` says otherwise.
    pub address: Option<String>,
    /// All further addresses.
    pub aliases: Option<Vec<String>>,
}

/// Creates a mailbox. It takes no seat.
///
/// # Errors
/// [`Error::Exhausted`] when the tenant or a reseller above it has as many as it may; [`Error::Conflict`] `address_taken`,
/// `pool_overallocated`; [`Error::Invalid`].
pub async fn create(ctx: &Ctx, new: NewMailbox) -> Result<Mailbox, Error> {
    ctx.require(Action::MailboxWrite)?;
    let mut tx = ctx.begin().await?;
    let mailbox = create_in(&mut tx, ctx, new).await?;
    tx.commit().await?;
    Ok(mailbox)
}

async fn create_in(tx: &mut TenantTx, ctx: &Ctx, new: NewMailbox) -> Result<Mailbox, Error> {
    let mut checks = Checks::default();
    checks.require(new.kind.is_shared(), "/kind", "must be shared, room or equipment");
    checks.name(&new.display_name, 200, "/display_name");
    let primary = address::check(&mut checks, &new.address, "/address");
    let aliases = address::check_aliases(&mut checks, &new.aliases);
    checks.require(new.quota_bytes.is_none_or(|bytes| bytes >= 0), "/quota_bytes", "must not be negative");
    checks.done().map_err(Error::Invalid)?;
    let id: MailboxId = ctx.env().new_id();
    store::insert(tx, id, new.kind, &new.display_name, new.quota_bytes, ctx.now()).await?;
    address::add_all(tx, ctx, Target::Mailbox(id), primary.as_ref(), &aliases).await?;
    let mailbox = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    event::record(tx, ctx, event::Kind::MailboxCreated, id, shown(&mailbox)).await?;
    count::add(tx, ctx, id, mailbox.kind).await?;
    require_allocation(tx).await?;
    Ok(mailbox)
}

/// Changes a mailbox that is nobody's own.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Conflict`] `mailbox_is_personal`, `address_taken`, `too_many_aliases`;
/// [`Error::Invalid`]; [`Error::Forbidden`], also for other aliases without the right to change aliases.
pub async fn update(
    ctx: &Ctx,
    id: MailboxId,
    if_version: Option<i64>,
    change: MailboxChange,
) -> Result<Mailbox, Error> {
    ctx.require(Action::MailboxWrite)?;
    let mut checks = Checks::default();
    if let Some(name) = &change.display_name {
        checks.name(name, 200, "/display_name");
    }
    let primary = change.address.as_deref().and_then(|text| address::check(&mut checks, text, "/address"));
    let aliases = change.aliases.as_deref().map(|texts| address::check_aliases(&mut checks, texts));
    checks.done().map_err(Error::Invalid)?;
    let mut tx = ctx.begin().await?;
    let old = require_nobodys(&mut tx, id, if_version).await?;
    let wanted = Wanted { primary, aliases, ..Wanted::default() };
    if address::changes_aliases(Some(&old.primary_address), &old.aliases, &wanted) {
        ctx.require(Action::AliasWrite)?;
    }
    store::update(&mut tx, id, change.display_name.as_deref()).await?;
    if wanted.primary.is_some() || wanted.aliases.is_some() {
        address::change(&mut tx, ctx, Target::Mailbox(id), wanted).await?;
    }
    let mailbox = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if mailbox == (Mailbox { version: mailbox.version, ..old.clone() }) {
        return Ok(old);
    }
    event::record(&mut tx, ctx, event::Kind::MailboxUpdated, id, shown(&mailbox)).await?;
    tx.commit().await?;
    Ok(mailbox)
}

/// Deletes a mailbox that is nobody's own: its addresses are free, its mail is kept, and for 30 days it can be restored.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Conflict`] `mailbox_is_personal`.
pub async fn delete(ctx: &Ctx, id: MailboxId, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::MailboxWrite)?;
    let mut tx = ctx.begin().await?;
    delete_in(&mut tx, ctx, id, if_version).await?;
    tx.commit().await?;
    Ok(())
}

async fn delete_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: MailboxId,
    if_version: Option<i64>,
) -> Result<(), Error> {
    let mailbox = require_nobodys(tx, id, if_version).await?;
    let ctx = &tenant::keep(tx, ctx).await?;
    store::set_deleted(tx, id, Some(ctx.now())).await?;
    address::store::release(tx, id, ctx.now()).await?;
    event::record(tx, ctx, event::Kind::MailboxDeleted, id, shown(&mailbox)).await?;
    count::take_away(tx, ctx, id, mailbox.kind).await?;
    quota::release_pools(tx, mailbox.quota.used_bytes.unsigned_abs()).await?;
    Ok(())
}

/// Restores a deleted mailbox that is nobody's own by the same id. Of its addresses it gets back those that nobody has taken
/// meanwhile; `address` is its primary one from now on, and has to be given when the old one is gone.
///
/// # Errors
/// [`Error::NotFound`] when there is none that is deleted; [`Error::Conflict`] `restore_expired` after 30 days,
/// `not_deleted`, `address_taken`, `too_many_aliases`, `pool_overallocated`, `mailbox_is_personal`; [`Error::Exhausted`] when the tenant or a reseller above
/// it has as many as it may; [`Error::OverQuota`] when a pool has no room for its mail.
pub async fn restore(ctx: &Ctx, id: MailboxId, address: Option<&str>) -> Result<Mailbox, Error> {
    ctx.require(Action::MailboxWrite)?;
    let mut tx = ctx.begin().await?;
    let mailbox = restore_in(&mut tx, ctx, id, address).await?;
    tx.commit().await?;
    Ok(mailbox)
}

async fn restore_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: MailboxId,
    address: Option<&str>,
) -> Result<Mailbox, Error> {
    let primary = address.map(str::parse).transpose().map_err(|cause| Error::address("/address", cause))?;
    store::lock(tx, id).await?;
    let ctx = &tenant::keep(tx, ctx).await?;
    let Some(old) = store::find_deleted(tx, id).await? else {
        refuse_personal(&store::find(tx, id).await?.ok_or(Error::NotFound)?)?;
        return Err(Error::conflict("not_deleted", "the mailbox is not deleted"));
    };
    refuse_personal(&old)?;
    if old.deleted_at.is_none_or(|at| at + RESTORABLE < ctx.now()) {
        return Err(Error::conflict("restore_expired", "a deleted mailbox can be restored for 30 days"));
    }
    store::set_deleted(tx, id, None).await?;
    address::store::reclaim(tx, id).await?;
    if primary.is_some() {
        let wanted = Wanted { primary, ..Wanted::default() };
        address::change(tx, ctx, Target::Mailbox(id), wanted).await?;
    }
    let mailbox = store::find(tx, id).await?.ok_or_else(|| {
        let detail = "the primary address is somebody else's now; give another";
        Error::conflict_at("/address", "address_taken", detail)
    })?;
    event::record(tx, ctx, event::Kind::MailboxRestored, id, shown(&mailbox)).await?;
    // Holds every level above, as taking a seat does for a user: the tenant does not move or go while this is counted.
    count::add(tx, ctx, id, mailbox.kind).await?;
    require_allocation(tx).await?;
    if let Pools::Full = quota::charge_pools(tx, mailbox.quota.used_bytes.unsigned_abs()).await? {
        return Err(Error::OverQuota);
    }
    Ok(mailbox)
}

/// The mailbox, locked, in the version that the caller has seen and nobody's own.
async fn require_nobodys(
    tx: &mut TenantTx,
    id: MailboxId,
    if_version: Option<i64>,
) -> Result<Mailbox, Error> {
    store::lock(tx, id).await?;
    let mailbox = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, mailbox.version)?;
    refuse_personal(&mailbox)?;
    Ok(mailbox)
}

fn refuse_personal(mailbox: &Mailbox) -> Result<(), Error> {
    if mailbox.user_id.is_none() {
        return Ok(());
    }
    Err(Error::conflict("mailbox_is_personal", "the mailbox is a user's own, and changes with its user"))
}

/// Locks a mailbox, or the user whose own it is, counts that as changed, and holds the caller to users whose role is not
/// beyond theirs.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox; [`Error::Forbidden`].
pub(crate) async fn require_manageable(tx: &mut TenantTx, ctx: &Ctx, id: MailboxId) -> Result<(), Error> {
    let mailbox = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    if let Some(user_id) = mailbox.user_id {
        user::require_manageable(tx, ctx, user_id).await?;
        user::touch(tx, user_id).await?;
    }
    if store::update(tx, id, None).await? { Ok(()) } else { Err(Error::NotFound) }
}

/// What the trail says of a mailbox.
fn shown(mailbox: &Mailbox) -> serde_json::Value {
    json!({"kind": mailbox.kind.as_str(), "display_name": mailbox.display_name,
        "address": mailbox.primary_address, "aliases": mailbox.aliases})
}
