//! By what a tenant pays its reseller: the provider's ids of the customer and of their card or account. Neither is a secret,
//! and yet whoever says them says who is charged, by the issuer's own key: so it is the reseller's side that says them, a
//! customer is one tenant's only, and what was said to one issuer is not there for another.

mod store;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use kernel::{Checks, ResellerId};
use serde_json::json;
use tenancy::{Action, Ctx, TenantTx, event, require_version};

use crate::Error;

/// By what a tenant pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentMethod {
    /// The provider's id of the customer.
    pub customer: String,
    /// The provider's id of what they pay by.
    pub method: String,
    /// Whether invoices are charged by it on their due day without anybody asking.
    pub is_autopay: bool,
    /// When it was put last.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What a payment method is put as.
#[derive(Debug, Clone)]
pub struct PutPaymentMethod {
    /// The provider's id of the customer: 1 to 255 of letters, digits, `_` and `-`.
    pub customer: String,
    /// The provider's id of what they pay by, likewise.
    pub method: String,
    /// Whether invoices are to be charged by it on their due day without anybody asking.
    pub is_autopay: bool,
}

/// By what the tenant pays its present reseller.
///
/// # Errors
/// [`Error::NotFound`] when there is none; [`Error::Tenancy`] without the right to see it.
pub async fn get(ctx: &Ctx) -> Result<PaymentMethod, Error> {
    ctx.require(Action::PaymentRead)?;
    let mut tx = ctx.read().await?;
    find(&mut tx, ctx.reseller_id()).await?.ok_or(Error::NotFound)
}

/// By what the tenant pays an issuer.
pub(crate) async fn find(tx: &mut TenantTx, issuer: ResellerId) -> Result<Option<PaymentMethod>, Error> {
    Ok(store::find(tx, issuer).await?)
}

/// The issuers that the tenant pays without being asked.
pub(crate) async fn autopaid_issuers(tx: &mut TenantTx) -> Result<BTreeSet<ResellerId>, Error> {
    Ok(store::autopaid_issuers(tx).await?)
}

/// Puts by what the tenant pays its present reseller, whole.
///
/// # Errors
/// [`Error::Invalid`] for what is no id; [`Error::Conflict`] `customer_taken` for another tenant's customer; a version
/// mismatch when `if_version` is not the one there is; [`Error::Tenancy`] for the tenant's own callers.
pub async fn put(ctx: &Ctx, put: PutPaymentMethod, if_version: Option<i64>) -> Result<PaymentMethod, Error> {
    ctx.require(Action::PaymentWrite)?;
    let mut checks = Checks::default();
    for (id, pointer) in [(&put.customer, "/customer"), (&put.method, "/method")] {
        let is_id = (1..=255).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        checks.require(is_id, pointer, "must be 1 to 255 letters, digits, _ and -");
    }
    checks.done().map_err(Error::Invalid)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx, ctx.reseller_id()).await?;
    require_version(if_version, old.map_or(0, |old| old.version))?;
    let method = store::put(&mut tx, ctx.reseller_id(), &put, ctx.env().now()).await.map_err(|error| {
        let detail = "another tenant pays by this customer";
        match error.constraint() {
            Some("payment_methods_customer") => Error::Conflict { code: "customer_taken", detail },
            _ => error.into(),
        }
    })?;
    let data = json!({"has_payment_method": true, "autopay": put.is_autopay});
    event::record(&mut tx, ctx, event::Kind::PaymentMethodChanged, ctx.tenant_id(), data).await?;
    tx.commit().await?;
    Ok(method)
}

/// Forgets by what the tenant pays its present reseller.
///
/// # Errors
/// [`Error::NotFound`]; others as for [`put`].
pub async fn delete(ctx: &Ctx, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::PaymentWrite)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx, ctx.reseller_id()).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    store::delete(&mut tx, ctx.reseller_id()).await?;
    let data = json!({"has_payment_method": false});
    event::record(&mut tx, ctx, event::Kind::PaymentMethodChanged, ctx.tenant_id(), data).await?;
    tx.commit().await?;
    Ok(())
}
