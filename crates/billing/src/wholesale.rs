//! Wholesale: the operator bills a reseller for the seats that all its tenants hold and for what its book sells beside them, one
//! document a boundary with lines of each tenant and item, whether or not the reseller bills the tenant itself.
//!
//! It is the rating core of retail, over all tenants: the terms of the agreement, and the tenants' own logs, of which only the
//! days count on which the tenant belonged to the reseller. Seats that the reseller committed to beyond all of these are a line
//! without a tenant. What is stored is in arrears, beyond what all seats that are charged may store together.
//!
//! Only the operator and the reseller itself see any of it: to resellers above it, beside it and below it, and to tenants,
//! it does not exist.

pub mod agreement;
pub(crate) mod bill;
pub mod closing;
pub(crate) mod counted;
pub mod invoice;
pub(crate) mod logs;
pub mod margin;
pub mod payment;
pub mod preview;
pub mod profile;
pub(crate) mod rate;
pub mod reconciliation;
pub(crate) mod void;

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
