//! What a change of what is counted would cost, before it is made: the rating core asked twice, with the change and without. And when the
//! next document is made.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::Money;
use tenancy::{Action, Ctx, TenantTx, mailbox, seats, storage_sample};

use crate::Error;
use crate::invoice::Billing;
use crate::price_book::Item;
use crate::rating::{Log, steps_of_changes, steps_of_levels};
use crate::run::opened;
use crate::subscription::{self, Cycles, Subscription, Used, Windows};

/// What the next invoice comes to more, or less: the first that a change makes a difference to. That may be one which is due by now and was not made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceDifference {
    /// When that invoice is made.
    pub next_invoice_on: NaiveDate,
    /// The difference: what is added for the days up to then and, if a cycle opens on it, for that cycle. Negative is less.
    pub amount: Money,
}

/// An invoice that is still to be made: its day, and its net in minor units.
type Outstanding = (NaiveDate, i64);

/// What so many more units of what is counted (fewer, when negative), taken at this moment, make of the next invoice. `None` without
/// a subscription, when it cannot be rated, or when the caller may not see subscriptions.
///
/// # Errors
/// When the database fails.
pub async fn of(ctx: &Ctx, more: &BTreeMap<Item, i64>) -> Result<Option<PriceDifference>, Error> {
    if !ctx.caller().may(Action::SubscriptionRead) {
        return Ok(None);
    }
    let mut tx = ctx.read().await?;
    let Some(subscription) = subscription::store::find(&mut tx).await? else { return Ok(None) };
    let last_billed = subscription::store::last_boundary(&mut tx).await?;
    let cycles = opened(&mut tx, None).await?;
    let used = used(ctx, &mut tx, &subscription, &cycles, last_billed).await?;
    drop(tx);
    let changed = more.iter().fold(used.clone(), |used, (item, more)| used.with(*item, ctx.now(), *more));
    let without = outstanding(ctx, &subscription, last_billed, cycles.clone(), &used);
    let with = outstanding(ctx, &subscription, last_billed, cycles, &changed);
    let (Ok(with), Ok(without)) = (with, without) else { return Ok(None) };
    // Of the same days: a change of what is counted moves none.
    let both: Vec<_> = with.into_iter().zip(without).collect();
    let first = both.iter().find(|(with, without)| with != without).or(both.last());
    let Some(&((next_invoice_on, with), (_, without))) = first else { return Ok(None) };
    let amount_minor = with.checked_sub(without).ok_or(Error::Stored("amount"))?;
    let amount = Money::new(amount_minor, subscription.terms.price.currency);
    Ok(Some(PriceDifference { next_invoice_on, amount }))
}

/// The day of the next document, as far as is known: the next boundary, but where changes are billed by the day of those days only one that has
/// something to bill. As of what the transaction has billed.
///
/// # Errors
/// When the database fails.
pub(crate) async fn next_document_on(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
) -> Result<Option<NaiveDate>, Error> {
    let last_billed = subscription::store::last_boundary(tx).await?;
    let next = subscription.next_boundary(last_billed)?;
    if subscription.bills_again || next == subscription.agreed.next_monthly(last_billed)? {
        return Ok(next);
    }
    let cycles = opened(tx, None).await?;
    let used = used(ctx, tx, subscription, &cycles, last_billed).await?;
    match next_with_lines(ctx, subscription, last_billed, cycles, &used) {
        // A run will say so, on that day.
        Err(Error::Rating(_) | Error::Stored(_)) => Ok(next),
        found => found,
    }
}

/// The first day after the last that was billed on which there is something to bill, or the first boundary that there is whatever changes.
fn next_with_lines(
    ctx: &Ctx,
    subscription: &Subscription,
    last_billed: Option<NaiveDate>,
    mut cycles: Cycles,
    used: &Used,
) -> Result<Option<NaiveDate>, Error> {
    let (agreed, today) = (&subscription.agreed, ctx.today());
    let timelines = agreed.timelines()?;
    let (mut settled, mut windows) = (last_billed, Windows::after(last_billed));
    while let Some(boundary) = agreed.next_boundary(settled)? {
        if agreed.next_monthly(settled)? == Some(boundary) {
            return Ok(Some(boundary));
        }
        let at = (boundary, subscription.zone_on(ctx.calendar(), boundary));
        let rated = agreed.rate(&timelines, at, None, settled, &mut cycles, used)?;
        let windows = windows.bill(Billing { boundary, revision: 1 });
        if !agreed.owed(&rated, &windows, boundary)?.is_empty() {
            return Ok(Some(boundary));
        }
        if boundary > today {
            return next_known(subscription, boundary);
        }
        settled = Some(boundary);
    }
    Ok(None)
}

/// What is known to be billed after a day to come: a one-off item on a day of its own, or what the next monthly boundary has.
fn next_known(subscription: &Subscription, after: NaiveDate) -> Result<Option<NaiveDate>, Error> {
    let agreed = &subscription.agreed;
    let monthly = agreed.next_monthly(Some(after))?;
    let item = agreed.one_off_after(Some(after));
    let day_before = item.and_then(|day| day.pred_opt());
    let is_billed = day_before.is_some() && agreed.next_boundary(day_before)? == item;
    Ok(item.filter(|_| is_billed).into_iter().chain(monthly).min())
}

/// What is used up to this moment.
async fn used(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    cycles: &Cycles,
    last_billed: Option<NaiveDate>,
) -> Result<Used, Error> {
    let until = [(ctx.tenant_id(), ctx.now())];
    let changes = seats::changes(tx, ctx.now()).await?;
    let seats = Log {
        seats: steps_of_changes(changes.iter().map(|change| (change.at, i64::from(change.delta)))),
        committed: steps_of_levels(subscription::store::commitments(tx).await?),
    };
    let mailboxes = mailbox::count::changes_of_each(tx, &until).await?;
    let mailboxes: Vec<_> = mailboxes.into_iter().map(|(_, change)| change).collect();
    let mut samples = Vec::new();
    if subscription.agreed.items_beside().contains(&Item::Storage) {
        let of_storage =
            cycles.get(&Item::Storage).into_iter().flatten().map(|state| (state.cycle, state.zone));
        let from = last_billed.unwrap_or(subscription.starts_on());
        let wanted = Used::samples(ctx, of_storage, from);
        samples.extend(storage_sample::of_each(tx, &[wanted]).await?.into_iter().map(|(_, sample)| sample));
    }
    Ok(Used::new(seats, &mailboxes, &samples))
}

/// The invoices that are due and not made yet, and the first that is still to come. Empty if there is none to come.
fn outstanding(
    ctx: &Ctx,
    subscription: &Subscription,
    last_billed: Option<NaiveDate>,
    mut cycles: Cycles,
    used: &Used,
) -> Result<Vec<Outstanding>, Error> {
    let timelines = subscription.agreed.timelines()?;
    let today = ctx.today();
    let (mut next, mut settled, mut all) =
        (subscription.agreed.next_boundary(last_billed)?, last_billed, Vec::new());
    while let Some(boundary) = next {
        let at = (boundary, subscription.zone_on(ctx.calendar(), boundary));
        let mut net = 0_i64;
        for rated in subscription.agreed.rate(&timelines, at, None, settled, &mut cycles, used)? {
            net = net.checked_add(rated.line.charge.amount_minor).ok_or(Error::Stored("amount"))?;
        }
        all.push((boundary, net));
        if boundary > today {
            return Ok(all);
        }
        settled = next;
        next = subscription.agreed.next_boundary(Some(boundary))?;
    }
    Ok(Vec::new())
}
