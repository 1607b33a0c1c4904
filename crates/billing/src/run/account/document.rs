//! Making documents final: what is outstanding at each boundary, numbered, written and posted.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use kernel::{InvoiceId, Money};
use serde_json::json;
use tenancy::{Ctx, TenantTx, event};

use super::store;
use crate::Error;
use crate::invoice::store::NewInvoice;
use crate::invoice::{DocumentKind, InvoiceLine, Issuer, store as invoices};
use crate::ledger::{self, Posting};
use crate::price_book::MAILBOX;
use crate::rating::{Line, LineKind};
use crate::series;
use crate::subscription::Subscription;

/// By when a document is to be paid, from the day that it is issued.
const DAYS_TO_PAY: Days = Days::new(14);

/// Numbers and writes the documents, after everything that can fail for the account's own reasons: the number
/// series is locked for as short as can be. Invoices take their numbers before credit notes, so that two runs never
/// wait for each other crosswise.
pub(super) async fn finalise(
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

fn kind_of(net_minor: i64) -> DocumentKind {
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
