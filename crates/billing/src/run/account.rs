//! Billing one account: one transaction that locks its row, asks the rating core what is outstanding at each due
//! boundary, and writes the documents.

mod store;

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use kernel::{InvoiceId, Money, TenantId};
use serde_json::json;
use tenancy::{Caller, Ctx, TenantTx, event, seats};

use crate::Error;
use crate::invoice::store::NewInvoice;
use crate::invoice::{DocumentKind, InvoiceLine, Issuer, store as invoices};
use crate::ledger::{self, Posting};
use crate::price_book::MAILBOX;
use crate::rating::{
    Cycle, CycleState, Line, LineKind, Log, Span, document, local_day, steps_of_changes, steps_of_levels,
};
use crate::series;
use crate::subscription::{self, Subscription};

/// By when a document is to be paid, from the day that it is issued.
pub(crate) const DAYS_TO_PAY: Days = Days::new(14);

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
    let ctx = match caller.enter(tenant_id).await {
        Ok(ctx) => ctx,
        // Deleted since it was found due.
        Err(tenancy::Error::NotFound) => return Ok(Outcome::Elsewhere),
        Err(error) => return Err(error.into()),
    };
    match claim_and_bill(&ctx, as_of, treatment).await {
        Err(error) if is_done_elsewhere(&error) => Ok(Outcome::Elsewhere),
        Err(error @ (Error::Rating(_) | Error::Stored(_))) => {
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
    if claim.next_invoice_on > until {
        return Ok(Outcome::Elsewhere);
    }
    // A price book of another issuer is not visible.
    let subscription =
        subscription::store::find(&mut tx).await?.ok_or(Error::Stored("price of the subscription"))?;
    let drafts = rate(ctx, &mut tx, &subscription, until).await?;
    let (invoices, credit_notes) = finalise(ctx, &mut tx, &subscription, &drafts.documents).await?;
    store::advance(&mut tx, drafts.next_boundary).await?;
    tx.commit().await?;
    Ok(Outcome::Billed { invoices, credit_notes })
}

/// What is outstanding, by boundary, and where the next run goes on.
struct Drafts {
    documents: Vec<(NaiveDate, Vec<Line>)>,
    next_boundary: NaiveDate,
}

/// Rates every boundary up to a day, and records the days that are billed by it.
async fn rate(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    until: NaiveDate,
) -> Result<Drafts, Error> {
    let timeline = subscription.timeline();
    let changes = seats::changes(tx, ctx.now()).await?;
    let seat_changes_known = i64::try_from(changes.len()).map_err(|_| Error::Stored("event log"))?;
    let log = Log {
        seats: steps_of_changes(changes.iter().map(|c| (c.at, i64::from(c.delta)))),
        committed: steps_of_levels(subscription::store::commitments(tx).await?),
    };
    let mut cycles = opened(tx, None).await?;
    let mut documents = Vec::new();
    let mut before = store::changes_billed_until(tx, MAILBOX).await?;
    let mut boundary = subscription.next_invoice_on;
    while boundary <= until {
        let known = cycles.len();
        let lines = document(&timeline, boundary, ctx.time_zone(), &mut cycles, &log)?;
        for state in &cycles[known..] {
            store::cover_cycle(tx, MAILBOX, state.cycle, state.zone).await?;
        }
        store::record_boundary(tx, boundary, ctx.time_zone(), seat_changes_known).await?;
        if let Some(changes) = Span::new(before.unwrap_or(subscription.starts_on), boundary) {
            store::cover_changes(tx, MAILBOX, changes).await?;
        }
        if !lines.is_empty() {
            documents.push((boundary, lines));
        }
        before = Some(boundary);
        boundary = timeline.next_boundary(boundary)?.ok_or(Error::Stored("boundary"))?;
    }
    Ok(Drafts { documents, next_boundary: boundary })
}

/// The cycles opened so far, with their lines; or as they were before a boundary.
pub(crate) async fn opened(tx: &mut TenantTx, before: Option<NaiveDate>) -> Result<Vec<CycleState>, Error> {
    let mut billed = BTreeMap::<NaiveDate, Vec<_>>::new();
    for (cycle_starts_on, line) in store::billed_lines(tx, MAILBOX, before).await? {
        billed.entry(cycle_starts_on).or_default().push(line);
    }
    let cycles = store::cycles(tx, MAILBOX).await?;
    let with_lines = |(cycle, zone): (Cycle, _)| CycleState {
        cycle,
        zone,
        billed: billed.remove(&cycle.charged.start()).unwrap_or_default(),
    };
    let were_open = |(cycle, _): &(Cycle, _)| before.is_none_or(|before| cycle.charged.start() < before);
    Ok(cycles.into_iter().filter(were_open).map(with_lines).collect())
}

/// Numbers and writes the documents, after everything that can fail for the account's own reasons: the number
/// series is locked for as short as can be. Invoices take their numbers before credit notes, so that two runs never
/// wait for each other crosswise.
async fn finalise(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    documents: &[(NaiveDate, Vec<Line>)],
) -> Result<(u64, u64), Error> {
    let net_of = |lines: &[Line]| {
        lines
            .iter()
            .try_fold(0_i64, |sum, line| sum.checked_add(line.charge.amount_minor))
            .ok_or(Error::Stored("amount"))
    };
    let parties = store::parties(tx).await?;
    let issuer = Issuer { id: ctx.reseller_id(), name: parties.issuer_name };
    let mut numbers = BTreeMap::new();
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        for (boundary, lines) in documents {
            if kind_of(net_of(lines)?) == kind {
                numbers.insert(*boundary, series::store::take(tx.conn(), issuer.id, kind.series()).await?);
            }
        }
    }
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = documents.iter().map(|_| ctx.env().new_id()).collect();
    ids.sort_unstable();
    let (mut invoices, mut credit_notes) = (0, 0);
    for ((boundary, lines), id) in documents.iter().zip(ids) {
        let net_minor = net_of(lines)?;
        let new = NewInvoice {
            id,
            kind: kind_of(net_minor),
            issuer: &issuer,
            customer_name: &parties.customer_name,
            currency: subscription.terms.price.currency,
            issued_on: *boundary,
            due_on: boundary.checked_add_days(DAYS_TO_PAY).ok_or(Error::Stored("boundary"))?,
            net_minor,
            finalized_at: ctx.env().now(),
        };
        let number = numbers.remove(boundary).ok_or(Error::Stored("number series"))?;
        write(tx, &new, number, subscription, lines).await?;
        let data = json!({"kind": new.kind.as_str(), "number": number, "issued_on": new.issued_on,
            "total": {"amount_minor": new.net_minor, "currency": new.currency.code()}});
        event::record(tx, ctx, event::Kind::InvoiceFinalized, new.id, data).await?;
        match new.kind {
            DocumentKind::Invoice => invoices += 1,
            DocumentKind::CreditNote => credit_notes += 1,
        }
    }
    Ok((invoices, credit_notes))
}

pub(crate) fn kind_of(net_minor: i64) -> DocumentKind {
    if net_minor < 0 { DocumentKind::CreditNote } else { DocumentKind::Invoice }
}

async fn write(
    tx: &mut TenantTx,
    new: &NewInvoice<'_>,
    number: i64,
    subscription: &Subscription,
    lines: &[Line],
) -> Result<(), Error> {
    // Read before the document itself is there.
    let creditable = if new.net_minor < 0 { invoices::creditable(tx).await? } else { Vec::new() };
    invoices::insert(tx, new, number).await?;
    for (position, line) in (1..).zip(lines) {
        let shown = InvoiceLine {
            description: describe(line, lines, subscription),
            item: MAILBOX.into(),
            kind: line.kind,
            period: line.charge.period,
            quantity: line.charge.quantity,
            seat_days: line.charge.seat_days,
            price_id: subscription.price_at(&line.rate.tariff).ok_or(Error::Stored("price"))?.id,
            unit_price: line.rate.tariff.unit_price(),
            amount: Money::new(line.charge.amount_minor, new.currency),
        };
        invoices::insert_line(tx, new.id, position, &shown, line.cycle).await?;
    }
    let posting = Posting {
        document: new.id,
        kind: new.kind,
        issuer: new.issuer.id,
        currency: new.currency,
        net_minor: new.net_minor,
        tax_minor: 0,
        effective_on: new.issued_on,
        posted_at: new.finalized_at,
    };
    ledger::post(tx, &posting).await?;
    // The newest invoices first. What was credited never exceeds what was invoiced, so they suffice.
    let mut left = new.net_minor.saturating_neg();
    for (invoice, open) in creditable {
        if left > 0 {
            invoices::insert_reference(tx, new.id, invoice, open.min(left)).await?;
            left -= open.min(left);
        }
    }
    Ok(())
}

fn describe(line: &Line, all: &[Line], subscription: &Subscription) -> String {
    let period = line.charge.period;
    let last_day = period.end().pred_opt().unwrap_or(period.end());
    // A change of the price takes the days off at the old one and puts them on at the new one.
    let is_repriced = all.iter().any(|other| {
        other.cycle == line.cycle
            && other.rate != line.rate
            && other.charge.period.start() < period.end()
            && period.start() < other.charge.period.end()
    });
    let what = match (line.kind, is_repriced) {
        (LineKind::Recurring, _) => format!("mailboxes, per {}", subscription.interval.as_str()),
        (LineKind::Proration, false) => "mailboxes added".to_owned(),
        (LineKind::Credit, false) => "mailboxes removed".to_owned(),
        (LineKind::Proration, true) => "mailboxes at the new price".to_owned(),
        (LineKind::Credit, true) => "mailboxes at the former price, unused".to_owned(),
    };
    format!("{what}, {} to {last_day}", period.start())
}
