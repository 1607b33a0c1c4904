//! Billing one account: one transaction that locks its row, asks the rating core what is outstanding at each due
//! boundary, and writes the documents.

mod document;
mod store;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use kernel::{InvoiceId, TenantId};
use tenancy::{Caller, Ctx, TenantTx, seats};

use crate::Error;
use crate::invoice::{Billing, DocumentKind};
use crate::price_book::MAILBOX;
use crate::rating::{
    self, Cycle, CycleState, Log, Span, Timeline, local_day, steps_of_changes, steps_of_levels,
};
use crate::subscription::{self, OwedLine, Subscription, Windows};

/// How an account is gone about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Treatment {
    /// Whether it is tried though it is parked.
    pub(crate) retries_parked: bool,
    /// Whether to wait for somebody who holds it.
    pub(crate) waits: bool,
}

/// How an account came out of a run.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything due has been billed, as far as it has come in the tenant's own time.
    Billed {
        /// Invoices made.
        invoices: u64,
        /// Credit notes made.
        credit_notes: u64,
        /// Drafts made of either.
        drafts: u64,
    },
    /// Somebody holds its row: another run, or a change of the subscription.
    Held,
    /// Another run has billed it.
    Elsewhere,
    /// It cannot be billed.
    Parked,
}

/// Bills every boundary of an account up to a day, or up to the tenant's present day if that is earlier.
///
/// What cannot be rated parks the account, with the reason. Only the database's faults are errors.
pub(super) async fn bill(
    caller: &Caller,
    tenant_id: TenantId,
    as_of: NaiveDate,
    treatment: Treatment,
) -> Result<Outcome, Error> {
    // A deleted one, too: what it used is still to be billed.
    let ctx = match caller.enter_deleted_too(tenant_id).await {
        Ok(ctx) => ctx,
        // Gone since it was found due.
        Err(tenancy::Error::NotFound) => return Ok(Outcome::Elsewhere),
        Err(error) => return Err(error.into()),
    };
    let mut billed = claim_and_bill(&ctx, as_of, treatment).await;
    if billed.as_ref().is_err_and(is_done_elsewhere) {
        // Somebody was faster; if the same is still due, it is not that.
        billed = claim_and_bill(&ctx, as_of, treatment).await;
    }
    match billed {
        Err(error) if is_done_elsewhere(&error) => {
            park(&ctx, &Error::Stored("record of what was billed")).await?;
            Ok(Outcome::Parked)
        }
        Err(error @ (Error::Rating(_) | Error::Untaxable(_) | Error::Stored(_))) => {
            park(&ctx, &error).await?;
            Ok(Outcome::Parked)
        }
        other => other,
    }
}

/// The database refuses what has been billed before.
fn is_done_elsewhere(error: &Error) -> bool {
    matches!(
        error.constraint(),
        Some(
            "billing_coverage_once"
                | "billing_coverage_same_days"
                | "billed_boundaries_once"
                | "invoices_boundary_once"
        )
    )
}

async fn park(ctx: &Ctx, error: &Error) -> Result<(), Error> {
    tracing::warn!(tenant.id = %ctx.tenant_id(), error = %error, "an account is parked");
    let mut tx = ctx.begin().await?;
    store::park(&mut tx, &error.to_string(), ctx.env().now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn claim_and_bill(ctx: &Ctx, as_of: NaiveDate, treatment: Treatment) -> Result<Outcome, Error> {
    let mut tx = ctx.begin().await?;
    let claim =
        if treatment.waits { store::claim_waiting(&mut tx).await? } else { store::claim(&mut tx).await? };
    let Some(claim) = claim else {
        // A row that was waited for is gone with its tenant.
        return Ok(if treatment.waits { Outcome::Elsewhere } else { Outcome::Held });
    };
    if claim.is_parked && !treatment.retries_parked {
        return Ok(Outcome::Parked);
    }
    let until = as_of.min(local_day(ctx.now(), ctx.time_zone()));
    if claim.next_invoice_on.is_none_or(|next| next > until) {
        return Ok(Outcome::Elsewhere);
    }
    let subscription = subscription::store::find(&mut tx).await?.ok_or(Error::Stored("subscription"))?;
    let made = bill_until(ctx, &mut tx, &subscription, until, Finality::AtOnce).await?;
    store::advance(&mut tx, made.next_boundary).await?;
    tx.commit().await?;
    let count =
        |is_counted: fn(&Written) -> bool| made.documents.iter().filter(|one| is_counted(one)).count() as u64;
    Ok(Outcome::Billed {
        invoices: count(|one| !one.is_draft && one.kind == DocumentKind::Invoice),
        credit_notes: count(|one| !one.is_draft && one.kind == DocumentKind::CreditNote),
        drafts: count(|one| one.is_draft),
    })
}

/// Whether documents become final at once, where the issuer does not look at drafts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finality {
    /// They do, with the next numbers of its series.
    AtOnce,
    /// None does: what is made is taken back, and nobody waits for the series meanwhile.
    Never,
}

/// A document that was written.
pub(crate) struct Written {
    pub(crate) id: InvoiceId,
    kind: DocumentKind,
    is_draft: bool,
}

/// What was made of an account, and where the next run goes on.
pub(crate) struct Made {
    pub(crate) documents: Vec<Written>,
    pub(crate) next_boundary: Option<NaiveDate>,
}

/// Bills every boundary up to a day. The account's row is the caller's, and so is whether it stays.
pub(crate) async fn bill_until(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    until: NaiveDate,
    finality: Finality,
) -> Result<Made, Error> {
    let rated = rate(ctx, tx, subscription, until).await?;
    let documents = document::write_all(ctx, tx, subscription, &rated.documents, until, finality).await?;
    Ok(Made { documents, next_boundary: rated.next_boundary })
}

/// What is outstanding, by boundary, and where the next run goes on.
struct Rated {
    documents: Vec<(Billing, Vec<OwedLine>)>,
    next_boundary: Option<NaiveDate>,
}

/// Rates every boundary up to a day, the last one again if that is asked, and records the days that are billed by it.
async fn rate(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    until: NaiveDate,
) -> Result<Rated, Error> {
    let timeline = subscription.agreed.timeline()?;
    let changes = seats::changes(tx, ctx.now()).await?;
    let seat_changes_known = i64::try_from(changes.len()).map_err(|_| Error::Stored("event log"))?;
    let standings_known =
        i64::try_from(subscription.agreed.standings_known()).map_err(|_| Error::Stored("standings"))?;
    let log = Log {
        seats: steps_of_changes(changes.into_iter().map(|change| (change.at, i64::from(change.delta)))),
        committed: steps_of_levels(subscription::store::commitments(tx).await?),
    };
    let covered = store::cycles(tx, MAILBOX).await?;
    let mut cycles = with_lines(tx, &covered, None).await?;
    let mut documents = Vec::new();
    let mut last = subscription::store::last_boundary(tx).await?;
    let mut windows = if subscription.bills_again { store::windows(tx).await? } else { Windows::after(last) };
    let mut next = subscription.next_boundary(last)?;
    while let Some(boundary) = next.filter(|next| *next <= until) {
        let lines = rating::document(&timeline, boundary, ctx.time_zone(), &mut cycles, &log)?;
        let zone = ctx.time_zone();
        let billing = store::record_boundary(tx, boundary, zone, seat_changes_known, standings_known).await?;
        let lines = subscription.agreed.owed(&lines, &windows.bill(billing), boundary)?;
        if let Some(changes) = Span::new(last.unwrap_or(subscription.starts_on()), boundary) {
            store::cover_changes(tx, MAILBOX, changes).await?;
        }
        if !lines.is_empty() {
            documents.push((billing, lines));
        }
        last = Some(boundary);
        next = subscription.agreed.next_boundary(last)?;
    }
    cover(tx, &timeline, &cycles, &covered).await?;
    Ok(Rated { documents, next_boundary: next })
}

/// Records the days of the cycles. Those that were there before come first, as they were covered: they may have been cut,
/// replaced or put back.
async fn cover(
    tx: &mut TenantTx,
    timeline: &Timeline,
    cycles: &[CycleState],
    covered: &[Covered],
) -> Result<(), Error> {
    let (before, new) = cycles.split_at_checked(covered.len()).ok_or(Error::Stored("cycle"))?;
    let mut changed = Vec::new();
    for (state, covered) in before.iter().zip(covered) {
        let days = timeline.makes(&state.cycle)?.then_some(state.cycle.charged);
        if covered.days != days {
            changed.push((CycleKey::of(&state.cycle), days));
        }
    }
    // First none of them has days, so that none is in the way of another.
    for (key, _) in &changed {
        store::cover_days(tx, MAILBOX, *key, None).await?;
    }
    for (key, days) in changed {
        store::cover_days(tx, MAILBOX, key, days).await?;
    }
    for state in new {
        let days = timeline.makes(&state.cycle)?.then_some(state.cycle.charged);
        store::cover_cycle(tx, MAILBOX, CycleKey::of(&state.cycle), days, state.zone).await?;
    }
    Ok(())
}

/// The cycles opened so far, with their lines; or as they were before a boundary.
pub(crate) async fn opened(tx: &mut TenantTx, before: Option<NaiveDate>) -> Result<Vec<CycleState>, Error> {
    let mut covered = store::cycles(tx, MAILBOX).await?;
    covered.retain(|covered| before.is_none_or(|before| covered.key.starts_on < before));
    with_lines(tx, &covered, before).await
}

async fn with_lines(
    tx: &mut TenantTx,
    covered: &[Covered],
    before: Option<NaiveDate>,
) -> Result<Vec<CycleState>, Error> {
    let mut billed = BTreeMap::<CycleKey, Vec<_>>::new();
    for (cycle, line) in store::billed_lines(tx, MAILBOX, before).await? {
        billed.entry(cycle).or_default().push(line);
    }
    let state = |covered: &Covered| {
        Ok(CycleState {
            cycle: covered.cycle()?,
            zone: covered.zone,
            billed: billed.remove(&covered.key).unwrap_or_default(),
        })
    };
    covered.iter().map(state).collect()
}

/// A cycle as it is recorded.
struct Covered {
    key: CycleKey,
    /// Its charged days; `None` where other cycles have taken its place.
    days: Option<Span>,
    /// Of its calendar.
    zone: Tz,
}

impl Covered {
    /// One whose place others have taken has all the days that it might have.
    fn cycle(&self) -> Result<Cycle, Error> {
        let CycleKey { starts_on, whole } = self.key;
        let charged =
            self.days.or_else(|| Span::new(starts_on, whole.end())).ok_or(Error::Stored("cycle"))?;
        Ok(Cycle { charged, whole })
    }
}

/// What tells a cycle from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CycleKey {
    starts_on: NaiveDate,
    whole: Span,
}

impl CycleKey {
    fn of(cycle: &Cycle) -> Self {
        Self { starts_on: cycle.charged.start(), whole: cycle.whole }
    }
}
