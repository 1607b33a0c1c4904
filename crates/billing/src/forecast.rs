//! What a change of seats would cost, before it is made: the rating core asked twice, with the change and without.

use chrono::NaiveDate;
use kernel::Money;
use tenancy::{Action, Ctx, seats};

use crate::Error;
use crate::price_book::Item;
use crate::rating::{CycleState, Log, document, local_day, steps_of_changes, steps_of_levels};
use crate::run::opened;
use crate::subscription::{self, Subscription};

/// What the next invoice comes to more, or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceDifference {
    /// When that invoice is made.
    pub next_invoice_on: NaiveDate,
    /// The difference: what is added for the days up to then and, if a cycle opens on it, for that cycle. Negative is less.
    pub amount: Money,
}

/// What `more` seats (fewer, when negative) taken at this moment make of the next invoice. `None` without a subscription,
/// when it cannot be rated, or when the caller may not see subscriptions.
///
/// # Errors
/// As of any statement.
pub async fn of_seats(ctx: &Ctx, more: i64) -> Result<Option<PriceDifference>, Error> {
    if !ctx.caller().may(Action::SubscriptionRead) {
        return Ok(None);
    }
    let mut tx = ctx.begin().await?;
    let Some(subscription) = subscription::store::find(&mut tx).await? else { return Ok(None) };
    let last_billed = subscription::store::last_boundary(&mut tx).await?;
    let cycles = opened(&mut tx, None).await?.remove(&Item::Mailbox).unwrap_or_default();
    let changes = seats::changes(&mut tx, ctx.now()).await?;
    let changes: Vec<_> = changes.iter().map(|change| (change.at, i64::from(change.delta))).collect();
    let committed = steps_of_levels(subscription::store::commitments(&mut tx).await?);
    drop(tx);
    let log = |more| {
        let changes = changes.iter().copied().chain([(ctx.now(), more)]);
        Log { seats: steps_of_changes(changes), committed: committed.clone() }
    };
    let without = next_invoice(ctx, &subscription, last_billed, cycles.clone(), &log(0));
    let with = next_invoice(ctx, &subscription, last_billed, cycles, &log(more));
    let (Ok(Some((next_invoice_on, with))), Ok(Some((_, without)))) = (with, without) else {
        return Ok(None);
    };
    let amount_minor = with.checked_sub(without).ok_or(Error::Stored("amount"))?;
    let amount = Money::new(amount_minor, subscription.terms.price.currency);
    Ok(Some(PriceDifference { next_invoice_on, amount }))
}

/// The first boundary that is still to come, and the net of everything outstanding up to it, in minor units. `None` if there
/// is none.
fn next_invoice(
    ctx: &Ctx,
    subscription: &Subscription,
    last_billed: Option<NaiveDate>,
    mut cycles: Vec<CycleState>,
    log: &Log,
) -> Result<Option<(NaiveDate, i64)>, Error> {
    let timeline = subscription.agreed.timeline(Item::Mailbox)?;
    let today = local_day(ctx.now(), ctx.time_zone());
    let (mut next, mut net) = (subscription.agreed.next_boundary(last_billed)?, 0_i64);
    while let Some(boundary) = next {
        for line in document(&timeline, boundary, ctx.time_zone(), &mut cycles, log)? {
            net = net.checked_add(line.charge.amount_minor).ok_or(Error::Stored("amount"))?;
        }
        if boundary > today {
            return Ok(Some((boundary, net)));
        }
        next = subscription.agreed.next_boundary(Some(boundary))?;
    }
    Ok(None)
}
