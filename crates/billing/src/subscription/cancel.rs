//! Cancelling a subscription.

use tenancy::{Action, Ctx, TenantTx};

use super::{Entry, Status, Subscription, store, today, write};
use crate::Error;
use crate::error::{NOT_A_DATE, date};

/// Ends the tenant's subscription on a day: the first on which nothing is used any more; if none is given, at the end of
/// the term, or of the trial. For how long seats are charged beyond it is for the removal policy to say. A later call
/// moves an end that has not come, and [`super::put`] takes it back.
///
/// # Errors
/// [`Error::NotFound`] without a subscription; [`Error::Invalid`] for a day that is not to come; [`Error::Conflict`]
/// `subscription_ended`; [`tenancy::Error::VersionMismatch`].
pub async fn cancel(
    ctx: &Ctx,
    ends_on: Option<&str>,
    if_version: Option<i64>,
) -> Result<Subscription, Error> {
    let mut tx = ctx.begin().await?;
    let ended = end(ctx, &mut tx, ends_on, if_version, false).await?.foreseen(ctx, &mut tx).await?;
    tx.commit().await?;
    Ok(ended)
}

/// As [`cancel`] with no day given, but an end that comes sooner stays; and whether it stays is the caller's to say.
///
/// # Errors
/// As for [`cancel`].
pub(crate) async fn cancel_at_the_latest(ctx: &Ctx, tx: &mut TenantTx) -> Result<Subscription, Error> {
    end(ctx, tx, None, None, true).await
}

async fn end(
    ctx: &Ctx,
    tx: &mut TenantTx,
    ends_on: Option<&str>,
    if_version: Option<i64>,
    keeps_sooner: bool,
) -> Result<Subscription, Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let asked = match ends_on.map(date) {
        Some(None) => return Err(Error::invalid("/ends_on", NOT_A_DATE)),
        asked => asked.flatten(),
    };
    let old = store::find_locked(tx).await?.ok_or(Error::NotFound)?;
    tenancy::require_version(if_version, old.version)?;
    let status = old.status(ctx);
    if status == Status::Ended {
        return Err(Error::Conflict { code: "subscription_ended", detail: "the subscription has ended" });
    }
    let today = today(ctx);
    let end = match (asked, old.trial_ends_on()) {
        (Some(day), _) if day <= today => {
            let detail = format_args!("must be after the tenant's present day, which is {today}");
            return Err(Error::invalid("/ends_on", detail));
        }
        (Some(day), _) => day,
        (None, Some(end)) if status == Status::Trialing => end,
        // One that begins anew may not have begun yet.
        (None, _) => match old.agreed.terms_on(today) {
            Some(terms) => terms.term_end(today)?,
            None => old.terms.term_end(old.terms.starts_on)?,
        },
    };
    if old.ends_on().is_some_and(|present| present == end || (keeps_sooner && present < end)) {
        return Ok(old);
    }
    let mut agreed = old.agreed.clone();
    agreed.append(Entry::End(end))?;
    let last_billed = store::last_boundary(tx).await?;
    let ended = old.clone().with(agreed, last_billed)?;
    write(ctx, tx, Some(&old), ended, last_billed.is_some()).await
}
