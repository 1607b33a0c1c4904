//! A tenant's move to another reseller. What the former one was to charge once, and what it takes off, is its own and stays
//! behind: the new one neither charges nor grants it. What is used goes on by the prices that were agreed.

use kernel::ResellerId;
use tenancy::Ctx;
use tenancy::tenant::{self, Tenant};

use crate::{Error, discount, one_off_item, subscription};

/// Moves a tenant below another reseller that the caller sees, if the caps and pools there allow. One-off items that wait for a
/// document are deleted, and discounts end with what has been billed, but not before the day after this one.
///
/// # Errors
/// As for [`tenant::leave`] and [`tenant::Leaving::move_to`].
pub async fn transfer(ctx: &Ctx, if_version: Option<i64>, to: ResellerId) -> Result<Tenant, Error> {
    let mut leaving = tenant::leave(ctx).await?;
    let tx = leaving.tx();
    let mut left = Vec::new();
    if let Some(subscription) = subscription::store::find_locked(tx).await? {
        left.extend(one_off_item::leave(tx).await?);
        left.extend(discount::leave(ctx, tx, &subscription).await?);
        subscription::look_ahead(tx).await?;
    }
    Ok(leaving.move_to(if_version, to, left).await?)
}
