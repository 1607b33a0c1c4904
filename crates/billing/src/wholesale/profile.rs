//! Who a reseller is on the documents that it gets from the operator: its customer's side, beside the profile by which it
//! is an issuer itself. The operator says so, as resellers do of their tenants, since taxes follow from it.

use serde_json::json;
use tenancy::{Action, ResellerCtx, Scope, event};

use super::{agreement, must_be_party, system};
use crate::Error;
use crate::profile::{self, CustomerProfile, PutCustomer, Versioned};
use crate::series::OPERATOR;
use crate::vat_id::VatRegister;

/// The reseller's profile as the operator's customer.
///
/// # Errors
/// [`Error::NotFound`] when it has none, and for whoever is neither the operator nor the reseller itself; [`Error::Tenancy`]
/// without the right.
pub async fn get(ctx: &ResellerCtx) -> Result<Versioned<CustomerProfile>, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    let mut tx = system(ctx.db()).await?;
    profile::store::reseller(&mut tx, ctx.reseller_id()).await?.ok_or(Error::NotFound)
}

/// Puts it; the register is asked about its number for value-added tax, once and for a moment. If its agreement is parked, the
/// next run tries again.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`tenancy::Error::VersionMismatch`] when `if_version` is not the profile's, which is
/// 0 while there is none; [`Error::NotFound`] for whoever is no party; [`Error::Tenancy`] for any but the operator.
pub async fn put(
    ctx: &ResellerCtx,
    register: &dyn VatRegister,
    new: PutCustomer,
    if_version: Option<i64>,
) -> Result<Versioned<CustomerProfile>, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleWrite)?;
    let reseller_id = ctx.reseller_id();
    // Before the transaction, which is not to wait for a register.
    let profile = profile::check_customer(new)?;
    let operator = {
        let mut tx = system(ctx.db()).await?;
        profile::store::issuer(tx.conn(), OPERATOR).await?.map(|found| found.profile)
    };
    let profile = profile.asked_of(register, operator.as_ref(), ctx.db().env().now()).await;
    let mut tx = system(ctx.db()).await?;
    profile::store::lock_issuer(&mut tx, reseller_id).await?;
    let old = profile::store::reseller(&mut tx, reseller_id).await?;
    let version = old.as_ref().map_or(0, |old| old.version);
    tenancy::require_version(if_version, version)?;
    let profile = profile.knowing(old.as_ref());
    if let Some(old) = old.filter(|old| old.profile == profile) {
        return Ok(old);
    }
    let new = Versioned { profile, version: version + 1 };
    profile::store::put_reseller(&mut tx, reseller_id, &new).await?;
    agreement::store::unpark(&mut tx, Some(reseller_id)).await?;
    let data = json!({"wholesale_profile": new.told()});
    let trail = Scope::Reseller(reseller_id);
    event::record_on(&mut tx, ctx.caller(), trail, event::Kind::ResellerUpdated, reseller_id, data).await?;
    tx.commit().await?;
    Ok(new)
}
