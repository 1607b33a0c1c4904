//! Deleting a reseller, once nothing is below it and what was used there is billed.

use chrono::NaiveDate;
use db::SystemTx;
use tenancy::placement::{self, Placement};
use tenancy::{Action, ResellerCtx, reseller};

use super::agreement::{self, Agreement};
use super::bill;
use super::counted::counted;
use super::system;
use crate::Error;
use crate::payment_provider;
use crate::rating::local_day;

/// Deletes a reseller for good, with the provider by which it charged. The operator bills it nothing more; documents that it has
/// issued or was issued stay, and so does what is owed by them.
///
/// # Errors
/// As [`reseller::delete`]; [`Error::Conflict`] `reseller_not_billed` while the operator has not billed a day on which something
/// was below it, and `payments_under_way` while its provider may still say what comes of one.
pub async fn delete(ctx: &ResellerCtx, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::ResellerWrite)?;
    let mut tx = system(ctx.db()).await?;
    // Before the reseller's own row, as runs lock them.
    let agreement = agreement::store::find_locked(&mut tx, ctx.reseller_id()).await?;
    reseller::delete(&mut tx, ctx, if_version).await?;
    if let Some(agreement) = agreement {
        require_billed(&mut tx, ctx, &agreement).await?;
    }
    payment_provider::delete_in(&mut tx, ctx).await?;
    tx.commit().await?;
    Ok(())
}

/// A boundary settles what was used before it.
async fn require_billed(tx: &mut SystemTx, ctx: &ResellerCtx, agreement: &Agreement) -> Result<(), Error> {
    let last = bill::store::last_billed(tx, agreement.reseller_id).await?;
    let settled = last.map_or(agreement.starts_on, |last| last.boundary);
    let today = local_day(ctx.db().env().now(), agreement.time_zone);
    let below = bill::store::below(tx, agreement.reseller_id).await?;
    let placements = placement::of_reseller(tx, agreement.reseller_id).await?;
    let of_tenants = placements.chunk_by(|one, next| one.tenant_id == next.tenant_id);
    let days = |of: &[Placement]| counted(agreement.reseller_id, of, &below, agreement.time_zone, today);
    // One that counts until nobody knows when is there, or counts for a reseller below it.
    let ends = of_tenants.flat_map(days).map(|days| days.until.unwrap_or(NaiveDate::MAX));
    if ends.max().is_some_and(|end| end > settled) {
        return Err(Error::Conflict {
            code: "reseller_not_billed",
            detail: "what was used below it is not billed yet; it can be deleted after its next invoice",
        });
    }
    Ok(())
}
