//! What becomes of a user: suspended and resumed, deleted and restored, and given a new password.

use chrono::TimeDelta;
use kernel::{Checks, UserId};
use secrecy::SecretString;
use serde_json::json;

use super::{User, check_password, require_manageable, require_not_deleted, shown, store};
use crate::address::{self, Target, Wanted};
use crate::policy::Capability;
use crate::quota::{self, Pools};
use crate::{
    Action, Ctx, Error, TenantTx, app_password, auth, event, mailbox, password, require_version, seats,
    tenant,
};

/// For how long a deleted user can be restored.
pub const RESTORABLE: TimeDelta = TimeDelta::days(30);

/// Takes capabilities from a user, beside those that are taken already; all of them when none is named. Without
/// `sign_in` or `api` their sessions end, and mail keeps arriving unless `receive` is taken.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Conflict`] `user_deleted`; [`Error::Forbidden`] when the user's role is
/// beyond the caller's.
pub async fn suspend(
    ctx: &Ctx,
    id: UserId,
    if_version: Option<i64>,
    capabilities: &[Capability],
) -> Result<User, Error> {
    set_suspended(ctx, id, if_version, event::Kind::UserSuspended, |old| Capability::taken(old, capabilities))
        .await
}

/// Gives capabilities back; all of them when none is named.
///
/// # Errors
/// As [`suspend`].
pub async fn resume(
    ctx: &Ctx,
    id: UserId,
    if_version: Option<i64>,
    capabilities: &[Capability],
) -> Result<User, Error> {
    set_suspended(ctx, id, if_version, event::Kind::UserResumed, |old| {
        Capability::given_back(old, capabilities)
    })
    .await
}

async fn set_suspended(
    ctx: &Ctx,
    id: UserId,
    if_version: Option<i64>,
    kind: event::Kind,
    change: impl FnOnce(&[Capability]) -> Vec<Capability>,
) -> Result<User, Error> {
    ctx.require(Action::UserWrite)?;
    let mut tx = ctx.begin().await?;
    let old = require_not_deleted(&mut tx, ctx, id).await?;
    require_version(if_version, old.version)?;
    let suspended = change(&old.suspended_capabilities);
    if suspended == old.suspended_capabilities {
        return Ok(old);
    }
    put_suspended(&mut tx, ctx, id, kind, &suspended).await?;
    let user = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(user)
}

/// Leaves a user without these capabilities and with all others.
pub(super) async fn put_suspended(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: UserId,
    kind: event::Kind,
    suspended: &[Capability],
) -> Result<(), Error> {
    store::set_suspended(tx, id, suspended).await?;
    if suspended.contains(&Capability::SignIn) || suspended.contains(&Capability::Api) {
        auth::end_sessions(tx, id, ctx.env().now()).await?;
    }
    let names: Vec<&str> = suspended.iter().map(|capability| capability.as_str()).collect();
    event::record(tx, ctx, kind, id, json!({"suspended_capabilities": names})).await?;
    Ok(())
}

/// Deletes a user: frees the seat and the addresses, ends their sessions, and keeps the mail. For 30 days they can be
/// restored.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such user, or none any more; [`Error::VersionMismatch`];
/// [`Error::Forbidden`] when the user's role is beyond the caller's.
pub async fn delete(ctx: &Ctx, id: UserId, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::UserWrite)?;
    let mut tx = ctx.begin().await?;
    delete_in(&mut tx, ctx, id, if_version).await?;
    tx.commit().await?;
    Ok(())
}

async fn delete_in(tx: &mut TenantTx, ctx: &Ctx, id: UserId, if_version: Option<i64>) -> Result<(), Error> {
    let user = require_manageable(tx, ctx, id).await?;
    require_version(if_version, user.version)?;
    remove(tx, ctx, &user).await
}

/// Deletes a locked user.
pub(super) async fn remove(tx: &mut TenantTx, ctx: &Ctx, user: &User) -> Result<(), Error> {
    // Whoever deletes the tenant or moves it locks mailboxes before it.
    mailbox::lock(tx, user.mailbox_id).await?;
    let ctx = &tenant::keep(tx, ctx).await?;
    let freed_bytes = store::delete(tx, user.id, ctx.now()).await?.ok_or(Error::NotFound)?;
    address::store::release(tx, user.mailbox_id, ctx.now()).await?;
    auth::end_sessions(tx, user.id, ctx.env().now()).await?;
    app_password::store::delete_all(tx, user.id).await?;
    event::record(tx, ctx, event::Kind::UserDeleted, user.id, shown(user)).await?;
    seats::free(tx, ctx, user.id).await?;
    quota::release_pools(tx, freed_bytes).await?;
    Ok(())
}

/// Restores a deleted user by the same id, with their mailbox, and takes a seat. Of their addresses they get back those
/// that nobody has taken meanwhile, and so their external id; `address` is their primary one from now on, and has to be given when the
/// old one is gone.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user; [`Error::Conflict`] `not_deleted`, `restore_expired` after
/// 30 days, `address_taken`, `external_id_taken`, `too_many_aliases`; [`Error::Exhausted`]; [`Error::OverQuota`] when a pool
/// has no room for their mail; [`Error::Forbidden`] when the user's role is beyond the caller's.
pub async fn restore(ctx: &Ctx, id: UserId, address: Option<&str>) -> Result<User, Error> {
    ctx.require(Action::UserWrite)?;
    let mut tx = ctx.begin().await?;
    let user = restore_in(&mut tx, ctx, id, address).await?;
    tx.commit().await?;
    Ok(user)
}

async fn restore_in(tx: &mut TenantTx, ctx: &Ctx, id: UserId, address: Option<&str>) -> Result<User, Error> {
    let primary = address.map(str::parse).transpose().map_err(|cause| Error::address("/address", cause))?;
    store::lock(tx, id).await?;
    let ctx = &tenant::keep(tx, ctx).await?;
    let old = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    let deleted_at =
        old.deleted_at.ok_or_else(|| Error::conflict("not_deleted", "the user is not deleted"))?;
    if !ctx.caller().holds(old.role) {
        return Err(Error::Forbidden("restoring a user with a role beyond one's own"));
    }
    if deleted_at + RESTORABLE < ctx.now() {
        return Err(Error::conflict("restore_expired", "a deleted user can be restored for 30 days"));
    }
    let bytes = store::restore(tx, id).await.map_err(super::taken)?;
    address::store::reclaim(tx, old.mailbox_id).await?;
    if primary.is_some() {
        let wanted = Wanted { primary, ..Wanted::default() };
        address::change(tx, ctx, Target::Mailbox(old.mailbox_id), wanted).await?;
    }
    let user = store::find(tx, id).await?.filter(|user| !user.address.is_empty());
    let user = user.ok_or_else(|| {
        let detail = "the primary address is somebody else's now; give another";
        Error::conflict_at("/address", "address_taken", detail)
    })?;
    event::record(tx, ctx, event::Kind::UserRestored, id, shown(&user)).await?;
    seats::take(tx, ctx, &[id]).await?;
    mailbox::require_allocation(tx).await?;
    if let Pools::Full = quota::charge_pools(tx, bytes).await? {
        return Err(Error::OverQuota);
    }
    Ok(user)
}

/// Gives a user another password and ends their sessions. App passwords stay.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] `user_deleted`; [`Error::Forbidden`] when the user's role is beyond the
/// caller's; [`Error::Busy`].
pub async fn reset_password(ctx: &Ctx, id: UserId, new: SecretString) -> Result<(), Error> {
    ctx.require(Action::UserWrite)?;
    let hash = hash_password(ctx, new).await?;
    let mut tx = ctx.begin().await?;
    require_not_deleted(&mut tx, ctx, id).await?;
    put_password(&mut tx, ctx, id, &hash).await?;
    tx.commit().await?;
    Ok(())
}

/// The hash of a password that may be one.
pub(super) async fn hash_password(ctx: &Ctx, new: SecretString) -> Result<String, Error> {
    let mut checks = Checks::default();
    check_password(&mut checks, &new);
    checks.done().map_err(Error::Invalid)?;
    password::hash(ctx.caller(), new).await
}

/// Gives a locked user another password, and ends their sessions.
pub(super) async fn put_password(tx: &mut TenantTx, ctx: &Ctx, id: UserId, hash: &str) -> Result<(), Error> {
    store::set_password(tx, id, hash).await?;
    auth::end_sessions(tx, id, ctx.env().now()).await?;
    event::record(tx, ctx, event::Kind::UserPasswordReset, id, json!({})).await?;
    Ok(())
}
