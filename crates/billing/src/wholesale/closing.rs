//! Deleting a reseller, once nothing is below it and what was used there is billed.

use db::SystemTx;
use tenancy::{ResellerCtx, Scope, reseller};

use super::agreement::{self, Agreement};
use super::counted::Counted;
use super::{bill, system};
use crate::invoice::store::unbilled;
use crate::rating::local_day;
use crate::{Error, payment_provider};

/// Deletes a reseller for good, with the provider by which it charged. The operator bills it nothing more; documents that it has
/// issued or was issued stay, and so does what is owed by them.
///
/// # Errors
/// As [`reseller::delete`]; [`Error::Tenancy`] forbidden for whoever is not the operator where the operator has an agreement with it.
/// [`Error::Conflict`]: `reseller_not_billed` while the operator has not billed it up to the present day, or what came to count otherwise
/// since; `reseller_has_drafts` while one of its own documents is a draft; `payments_under_way` while its provider may still say what
/// comes of one.
pub async fn delete(ctx: &ResellerCtx, if_version: Option<i64>) -> Result<(), Error> {
    let mut tx = system(ctx.db()).await?;
    reseller::look_at_deletion(&mut tx, ctx, if_version).await?;
    require_operator(ctx, agreement::store::find(&mut tx, ctx.reseller_id()).await?.as_ref())?;
    let agreement = agreement::store::find_locked(&mut tx, ctx.reseller_id()).await?;
    require_operator(ctx, agreement.as_ref())?;
    reseller::delete(&mut tx, ctx, if_version).await?;
    if let Some(agreement) = agreement {
        require_billed(&mut tx, ctx, &agreement).await?;
    }
    if unbilled::has_drafts_of(&mut tx, ctx.reseller_id()).await? {
        let detail = "it has drafts; it can be deleted when they are final or discarded";
        return Err(Error::Conflict { code: "reseller_has_drafts", detail });
    }
    payment_provider::delete_in(&mut tx, ctx).await?;
    tx.commit().await?;
    Ok(())
}

/// What the operator has agreed is the operator's to end.
fn require_operator(ctx: &ResellerCtx, agreement: Option<&Agreement>) -> Result<(), Error> {
    if agreement.is_some() && ctx.caller().scope() != Scope::Operator {
        return Err(tenancy::Error::Forbidden("ending what the operator has agreed with a reseller").into());
    }
    Ok(())
}

/// What is due was billed, and everything that was used, since a boundary settles what was used before it.
async fn require_billed(tx: &mut SystemTx, ctx: &ResellerCtx, agreement: &Agreement) -> Result<(), Error> {
    let now = ctx.db().env().now();
    let is_due = agreement.next_invoice_on <= local_day(now, agreement.time_zone);
    let last = bill::store::last_billed(tx, agreement.reseller_id).await?;
    let is_settled = match last {
        Some((_, last)) => {
            let today = bill::counted_today(tx, agreement, &last, now).await?;
            let reaches = |days: &Counted| days.until.is_none_or(|until| until > last.boundary);
            today.settled(&last) == last.boundary && !today.tenants.values().flatten().any(reaches)
        }
        None => true,
    };
    if is_due || !is_settled {
        let detail = "what was used below it, or agreed to, is not billed yet; it can be deleted after its next invoice";
        return Err(Error::Conflict { code: "reseller_not_billed", detail });
    }
    Ok(())
}
