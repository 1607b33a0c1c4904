//! What becomes of a tenant: tried, deleted, restored. Destroying one is `purge`'s.

mod store;

use chrono::TimeDelta;
use db::Db;
use kernel::{ResellerId, TenantId};
use serde_json::json;

use super::{Tenant, store as tenants, system};
use crate::caps;
use crate::effect::{self, Level};
use crate::policy::Capability;
use crate::standing::{self, Standing};
use crate::{Action, Caller, Ctx, Error, Scope, TenantTx, event, hold, placement, quota, require_version};

/// For how long a deleted tenant can be restored.
pub const RESTORABLE: TimeDelta = TimeDelta::days(30);

/// Deletes a tenant: nobody signs in, its mail is refused, its domains are free for others, and its resellers count it no
/// more. All that is in it is kept, and for 30 days it can be restored.
///
/// # Errors
/// [`Error::NotFound`] when somebody else was first; [`Error::VersionMismatch`].
pub async fn delete(ctx: &Ctx, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::TenantWrite)?;
    let id = ctx.tenant_id();
    let mut tx = system(ctx.db()).await?;
    // As for a transfer: mailboxes before the levels above them.
    quota::count_moving(&mut tx, id).await?;
    let leaving = tenants::lock_for_transfer(&mut tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, leaving.version)?;
    let ctx = &ctx.by_clock(leaving.test_clock);
    if hold::is_any_in_force(&mut tx, id).await? {
        return Err(Error::conflict(
            "tenant_on_hold",
            "mail of the tenant is on hold; it can be deleted when all holds are released",
        ));
    }
    caps::shift(&mut tx, &leaving.path, &[], &[], leaving.counts).await?;
    let bytes = quota::count_moving(&mut tx, id).await?;
    quota::shift(&mut tx, &leaving.path, &[], bytes).await?;
    store::set_deleted(&mut tx, id, ctx.now()).await?;
    standing::append_as_system(&mut tx, ctx, Standing::Deleted).await?;
    placement::record(&mut tx, id, None, ctx.db().env().now()).await?;
    store::release_domain_names(&mut tx, id).await?;
    record(&mut tx, ctx, event::Kind::TenantDeleted, leaving.path.last()).await?;
    effect::note(&mut tx, ctx.caller(), Level::Tenant(id)).await?;
    tx.commit().await?;
    Ok(())
}

/// Restores a deleted tenant by the same id, with everything in it, if the caps and pools above have room. A domain whose
/// name another tenant has verified meanwhile has to be verified again, once it is free.
///
/// # Errors
/// [`Error::Conflict`] `not_deleted`, `restore_expired` after 30 days;
/// [`Error::Exhausted`], [`Error::OverQuota`] when it does not fit any more.
pub async fn restore(ctx: &Ctx) -> Result<Tenant, Error> {
    ctx.require(Action::TenantWrite)?;
    let id = ctx.tenant_id();
    let mut tx = system(ctx.db()).await?;
    quota::count_moving(&mut tx, id).await?;
    let returning = tenants::lock_deleted(&mut tx, id).await?;
    let returning = returning.ok_or_else(|| Error::conflict("not_deleted", "the tenant is not deleted"))?;
    let ctx = &ctx.by_clock(returning.moving.test_clock);
    let deleted_at = returning.deleted_at.filter(|_| !returning.is_going);
    if deleted_at.is_none_or(|at| at + RESTORABLE < ctx.now()) {
        return Err(Error::conflict("restore_expired", "a deleted tenant can be restored for 30 days"));
    }
    let moving = returning.moving;
    let seen = ctx.caller().seen_of(&moving.path);
    caps::shift(&mut tx, &[], &moving.path, &seen, moving.counts).await?;
    let bytes = quota::count_moving(&mut tx, id).await?;
    if !quota::shift(&mut tx, &[], &moving.path, bytes).await? {
        return Err(Error::OverQuota);
    }
    let suspended = store::set_restored(&mut tx, id).await?;
    standing::append_as_system(&mut tx, ctx, Standing::without(suspended.len())).await?;
    placement::record(&mut tx, id, moving.path.last().copied(), ctx.db().env().now()).await?;
    store::reclaim_domain_names(&mut tx, id).await?;
    record(&mut tx, ctx, event::Kind::TenantRestored, moving.path.last()).await?;
    effect::note(&mut tx, ctx.caller(), Level::Tenant(id)).await?;
    tx.commit().await?;
    let mut tx = ctx.begin().await?;
    tenants::find(&mut tx).await?.ok_or(Error::NotFound)
}

/// Notes what became of a tenant on its own trail and on its reseller's.
async fn record(
    tx: &mut db::SystemTx,
    ctx: &Ctx,
    kind: event::Kind,
    reseller: Option<&ResellerId>,
) -> Result<(), Error> {
    let id = ctx.tenant_id();
    let reseller = reseller.map(|&id| Scope::Reseller(id));
    for trail in reseller.into_iter().chain([Scope::Tenant(id)]) {
        event::record_on(tx, ctx.caller(), trail, kind, id, json!({})).await?;
    }
    Ok(())
}

/// Suspends the tenants whose trial has ended, as a whole; how many. `resume` makes them customers.
///
/// # Errors
/// When the database fails.
pub async fn end_trials(db: &Db) -> Result<u64, Error> {
    let mut tx = system(db).await?;
    let over = store::trials_that_are_over(&mut tx, db.env().now()).await?;
    drop(tx);
    let server = Caller::server(db.clone());
    let mut ended = 0;
    for id in over {
        match end_one(&server, id).await {
            Ok(done) => ended += u64::from(done),
            // Deleted meanwhile.
            Err(Error::NotFound) => {}
            Err(error) => {
                tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "a trial could not be ended");
            }
        }
    }
    Ok(ended)
}

/// Whether the trial was there to end: somebody may have given it more time since, or another server been here.
async fn end_one(server: &Caller, id: TenantId) -> Result<bool, Error> {
    let ctx = server.enter(id).await?;
    let mut tx = ctx.begin().await?;
    let tenant = tenants::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    let ctx = ctx.by_clock(tenant.test_clock);
    if tenant.trial_ends_at.is_none_or(|at| at > ctx.now()) {
        return Ok(false);
    }
    suspend_tried(&mut tx, &ctx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Suspends a locked tenant whose trial is over, as a whole.
///
/// # Errors
/// When the database fails.
pub(super) async fn suspend_tried(tx: &mut TenantTx, ctx: &Ctx) -> Result<(), Error> {
    store::end_trial(tx).await?;
    tenants::set_suspended(tx, Capability::ALL, &[]).await?;
    standing::append(tx, ctx, Standing::Suspended).await?;
    let names: Vec<&str> = Capability::ALL.iter().map(|capability| capability.as_str()).collect();
    let data = json!({"suspended_capabilities": names, "reason": "trial_ended"});
    event::record(tx, ctx, event::Kind::TenantSuspended, ctx.tenant_id(), data).await?;
    Ok(())
}

/// Ends a locked tenant's trial, or moves its end; it is a customer when there is none any more.
///
/// # Errors
/// [`Error::Conflict`] `trial_over` for a tenant that is not tried; [`Error::Invalid`] for an end that is past.
pub(super) async fn set_trial(
    tx: &mut TenantTx,
    ctx: &Ctx,
    old: &Tenant,
    ends_at: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<(), Error> {
    if old.trial_ends_at.is_none() {
        return Err(Error::conflict("trial_over", "the tenant is not on trial"));
    }
    match ends_at {
        Some(at) if at <= ctx.now() => Err(Error::invalid("/trial_ends_at", "must be in the future")),
        Some(at) => Ok(store::set_trial_end(tx, at).await?),
        None => Ok(store::end_trial(tx).await?),
    }
}
