//! A tenant's move to another reseller: everything in it stays as it is, by the same ids.

use kernel::ResellerId;
use serde_json::json;

use super::{Tenant, store, system};
use crate::caps::{self, Delta};
use crate::{Action, Ctx, Error, Scope, event, placement, quota, require_version};

/// Moves a tenant below another reseller that the caller sees, if the caps and pools there allow. Its subscription goes
/// on by the prices it has.
///
/// # Errors
/// [`Error::NotFound`] for a reseller out of scope; [`Error::Exhausted`], [`Error::OverQuota`] when the tenant does not fit
/// there; [`Error::Conflict`] `same_reseller`; [`Error::VersionMismatch`]; [`Error::Forbidden`] for a tenant's own caller.
pub async fn transfer(ctx: &Ctx, if_version: Option<i64>, to: ResellerId) -> Result<Tenant, Error> {
    ctx.require(Action::TenantWrite)?;
    let to = ctx.caller().enter_reseller(to).await?;
    let id = ctx.tenant_id();
    let mut tx = system(ctx.db()).await?;
    // Mailboxes are locked before the levels above them; those that are made meanwhile are counted below.
    quota::count_moving(&mut tx, id).await?;
    let moving = store::lock_for_transfer(&mut tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, moving.version)?;
    if moving.path.last() == Some(&to.reseller_id()) {
        return Err(Error::conflict("same_reseller", "the tenant belongs to this reseller already"));
    }
    let left: Vec<_> = moving.path.iter().filter(|id| !to.path().contains(id)).copied().collect();
    let entered: Vec<_> = to.path().iter().filter(|id| !moving.path.contains(id)).copied().collect();
    let delta = Delta { tenants: 1, domains: moving.domains, seats: moving.seats };
    // First, since it locks every level that is left or entered.
    caps::shift(&mut tx, &left, &entered, delta).await?;
    let bytes = quota::count_moving(&mut tx, id).await?;
    if !quota::shift(&mut tx, &left, &entered, bytes).await? {
        return Err(Error::OverQuota);
    }
    store::set_reseller(&mut tx, id, to.reseller_id(), to.path()).await?;
    placement::record(&mut tx, id, Some(to.reseller_id()), ctx.db().env().now()).await?;
    let data = json!({"from": moving.path.last(), "to": to.reseller_id()});
    let from = moving.path.last().map(|&from| Scope::Reseller(from));
    for trail in from.into_iter().chain([Scope::Reseller(to.reseller_id()), Scope::Tenant(id)]) {
        let kind = event::Kind::TenantTransferred;
        event::record_on(&mut tx, ctx.caller(), trail, kind, id, data.clone()).await?;
    }
    tx.commit().await?;
    let mut tx = ctx.begin().await?;
    store::find(&mut tx).await?.ok_or(Error::NotFound)
}
