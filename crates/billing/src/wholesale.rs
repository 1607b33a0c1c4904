//! Wholesale: the operator bills a reseller for the seats that all its tenants hold, one document a boundary with lines of
//! each tenant, whether or not the reseller bills the tenant itself.
//!
//! It is the rating core of retail, once for each tenant: the terms of the agreement, and the tenant's own event log, of
//! which only the days count on which the tenant belonged to the reseller. What the reseller committed to beyond all of that
//! is a line without a tenant.
//!
//! Only the operator and the reseller itself see any of it: to resellers above it, beside it and below it, and to tenants,
//! it does not exist.

pub mod agreement;
pub(crate) mod bill;
pub(crate) mod counted;
pub mod invoice;
pub(crate) mod logs;
pub mod margin;
pub mod payment;
pub mod profile;
pub(crate) mod rate;
pub mod reconciliation;

use db::{Db, SystemTx};
use tenancy::{ResellerCtx, Scope};

use crate::Error;

/// Whether the caller is the operator or the reseller itself, to anybody else there is no such thing.
pub(crate) fn must_be_party(ctx: &ResellerCtx) -> Result<(), Error> {
    match ctx.caller().scope() {
        Scope::Operator => Ok(()),
        Scope::Reseller(id) if id == ctx.reseller_id() => Ok(()),
        Scope::Reseller(_) | Scope::Tenant(_) => Err(Error::NotFound),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "wholesale is between the operator and a reseller, over all its tenants; each call is bounded by a ResellerCtx or is the operator's"
)]
pub(crate) async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
