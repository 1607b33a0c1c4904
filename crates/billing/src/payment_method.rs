//! By what a tenant pays: the provider's ids of the customer and of their card or account. Neither is a secret; without
//! the issuer's key they are good for nothing.

mod store;

use chrono::{DateTime, Utc};
use kernel::Checks;
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
}

/// The tenant's payment method.
///
/// # Errors
/// [`Error::NotFound`] when there is none; [`Error::Tenancy`] without the right to see it.
pub async fn get(ctx: &Ctx) -> Result<PaymentMethod, Error> {
    ctx.require(Action::PaymentRead)?;
    let mut tx = ctx.begin().await?;
    find(&mut tx).await?.ok_or(Error::NotFound)
}

pub(crate) async fn find(tx: &mut TenantTx) -> Result<Option<PaymentMethod>, Error> {
    Ok(store::find(tx).await?)
}

/// Puts the tenant's payment method, whole.
///
/// # Errors
/// [`Error::Invalid`] for what is no id; a version mismatch when `if_version` is not the one there is.
pub async fn put(ctx: &Ctx, put: PutPaymentMethod, if_version: Option<i64>) -> Result<PaymentMethod, Error> {
    ctx.require(Action::PaymentMake)?;
    let mut checks = Checks::default();
    for (id, pointer) in [(&put.customer, "/customer"), (&put.method, "/method")] {
        let is_id = (1..=255).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        checks.require(is_id, pointer, "must be 1 to 255 letters, digits, _ and -");
    }
    checks.done().map_err(Error::Invalid)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx).await?;
    require_version(if_version, old.map_or(0, |old| old.version))?;
    let method = store::put(&mut tx, &put, ctx.env().now()).await?;
    let data = json!({"has_payment_method": true});
    event::record(&mut tx, ctx, event::Kind::PaymentMethodChanged, ctx.tenant_id(), data).await?;
    tx.commit().await?;
    Ok(method)
}

/// Forgets the tenant's payment method.
///
/// # Errors
/// [`Error::NotFound`]; a version mismatch as for [`put`].
pub async fn delete(ctx: &Ctx, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::PaymentMake)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    store::delete(&mut tx).await?;
    let data = json!({"has_payment_method": false});
    event::record(&mut tx, ctx, event::Kind::PaymentMethodChanged, ctx.tenant_id(), data).await?;
    tx.commit().await?;
    Ok(())
}
