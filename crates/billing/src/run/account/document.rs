//! Making documents final: what is outstanding at each boundary, taxed, numbered, written and posted.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use kernel::{InvoiceId, Money};
use serde_json::json;
use tenancy::{Ctx, TenantTx, event};

use super::store;
use crate::Error;
use crate::invoice::store::NewInvoice;
use crate::invoice::tax::{Past, Shown, shown, treatment_on};
use crate::invoice::{Customer, DocumentKind, InvoiceLine, InvoiceLineKind, Issuer, store as invoices};
use crate::ledger::{self, Posting};
use crate::profile::{self, DAYS_TO_PAY};
use crate::rating::{GroupTotal, TaxedDocument};
use crate::series;
use crate::subscription::{OwedLine, Subscription};
use crate::tax_rate::{self, TaxRate};

/// Who documents are from and for, and by which rates they are taxed.
struct Parties {
    issuer: Issuer,
    customer: Customer,
    rates: Vec<TaxRate>,
}

/// A document, without a number yet.
struct Draft<'a> {
    issued_on: NaiveDate,
    lines: &'a [OwedLine],
    taxed: TaxedDocument,
    shown: Vec<Shown>,
    /// Of each of its groups, in their order.
    reasons: Vec<Option<String>>,
}

impl Draft<'_> {
    fn kind(&self) -> DocumentKind {
        DocumentKind::of_total(self.taxed.totals.total_minor)
    }

    fn taxes(&self) -> impl Iterator<Item = (&GroupTotal, &Option<String>)> {
        self.taxed.totals.groups.iter().zip(&self.reasons)
    }
}

/// Taxes, numbers and writes the documents, after everything that can fail for the account's own reasons: the number
/// series is locked for as short as can be. Invoices take their numbers before credit notes, so that two runs never
/// wait for each other crosswise.
pub(super) async fn finalise(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    documents: &[(NaiveDate, Vec<OwedLine>)],
) -> Result<Vec<(DocumentKind, InvoiceId)>, Error> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let parties = parties(ctx, tx).await?;
    let drafts = drafts(tx, subscription, &parties, documents).await?;
    let mut numbers = BTreeMap::new();
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        for draft in drafts.iter().filter(|draft| draft.kind() == kind) {
            let number = series::store::take(tx.conn(), parties.issuer.id, kind.series()).await?;
            numbers.insert(draft.issued_on, number);
        }
    }
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = drafts.iter().map(|_| ctx.env().new_id()).collect();
    ids.sort_unstable();
    let days_to_pay = parties.issuer.profile.as_ref().map_or(DAYS_TO_PAY, |profile| profile.days_to_pay);
    let days_to_pay = Days::new(days_to_pay.into());
    let mut made = Vec::new();
    for (draft, id) in drafts.iter().zip(ids) {
        let new = NewInvoice {
            id,
            kind: draft.kind(),
            issuer: &parties.issuer,
            customer: &parties.customer,
            currency: subscription.terms.price.currency,
            issued_on: draft.issued_on,
            due_on: draft.issued_on.checked_add_days(days_to_pay).ok_or(Error::Stored("boundary"))?,
            totals: &draft.taxed.totals,
            tax_behavior: subscription.terms.price.basis,
            tax_rates_known: i64::try_from(parties.rates.len()).map_err(|_| Error::Stored("rates of tax"))?,
            finalized_at: ctx.env().now(),
        };
        let number = numbers.remove(&draft.issued_on).ok_or(Error::Stored("number series"))?;
        write(tx, &new, number, draft).await?;
        let data = json!({"kind": new.kind.as_str(), "number": number, "issued_on": new.issued_on,
            "total": {"amount_minor": new.totals.total_minor, "currency": new.currency.code()}});
        event::record(tx, ctx, event::Kind::InvoiceFinalized, new.id, data).await?;
        made.push((new.kind, new.id));
    }
    Ok(made)
}

async fn parties(ctx: &Ctx, tx: &mut TenantTx) -> Result<Parties, Error> {
    let names = store::names(tx).await?;
    let id = ctx.reseller_id();
    let issuer = profile::store::issuer(tx.conn(), id).await?.map(|issuer| issuer.profile);
    let customer = profile::store::customer(tx).await?.map(|customer| customer.profile);
    let rates = tax_rate::store::rates(tx.conn(), id).await?;
    let issuer_name = issuer.as_ref().map_or(names.issuer, |profile| profile.legal_name.clone());
    let customer_name = customer.as_ref().map_or(names.customer, |profile| profile.legal_name.clone());
    Ok(Parties {
        issuer: Issuer { id, name: issuer_name, profile: issuer },
        customer: Customer { id: ctx.tenant_id(), name: customer_name, profile: customer },
        rates,
    })
}

async fn drafts<'a>(
    tx: &mut TenantTx,
    subscription: &Subscription,
    parties: &Parties,
    documents: &'a [(NaiveDate, Vec<OwedLine>)],
) -> Result<Vec<Draft<'a>>, Error> {
    // Only a credit asks what there was before.
    let credits = documents.iter().flat_map(|(_, lines)| lines).filter(|line| line.charge.amount_minor < 0);
    let credited: Vec<NaiveDate> = credits.map(|line| line.cycle.charged.start()).collect();
    let mut past = if credited.is_empty() { Past::default() } else { invoices::past(tx, &credited).await? };
    let (issuer, customer) = (parties.issuer.profile.as_ref(), parties.customer.profile.as_ref());
    let basis = subscription.terms.price.basis;
    let mut drafts = Vec::new();
    for (issued_on, lines) in documents {
        let treatment = treatment_on(issuer, customer, &parties.rates, *issued_on)?;
        let amounts: Vec<(NaiveDate, i64)> =
            lines.iter().map(|line| (line.cycle.charged.start(), line.charge.amount_minor)).collect();
        let taxed = past.history.tax(basis, treatment.group, &amounts)?;
        let groups = taxed.totals.groups.iter();
        let reasons = groups.map(|total| past.reason(total.group, &treatment)).collect();
        let shown = shown(&taxed, basis, lines)?;
        drafts.push(Draft { issued_on: *issued_on, lines, taxed, shown, reasons });
    }
    Ok(drafts)
}

async fn write(tx: &mut TenantTx, new: &NewInvoice<'_>, number: i64, draft: &Draft<'_>) -> Result<(), Error> {
    // Read before the document itself is there.
    let creditable =
        if new.kind == DocumentKind::CreditNote { invoices::creditable(tx).await? } else { Vec::new() };
    invoices::insert(tx, new, number).await?;
    let mut before = None;
    for (position, Shown { part, is_discount }) in (1..).zip(&draft.shown) {
        let line = draft.lines.get(part.line).ok_or(Error::Stored("line"))?;
        // The parts of a line share its days, which the first one counts.
        let is_first = before.replace(part.line) != Some(part.line);
        let counted = |count: i64| if is_first { count } else { 0 };
        let shown = InvoiceLine {
            description: if *is_discount { line.discount_in_words.clone() } else { line.description.clone() },
            item: line.item.into(),
            kind: if *is_discount { InvoiceLineKind::Discount } else { line.kind },
            period: line.charge.period,
            quantity: counted(line.charge.quantity),
            seat_days: counted(line.charge.seat_days),
            price_id: line.price_id,
            unit_price: line.unit_price.filter(|_| !is_discount),
            amount: Money::new(part.net_minor, new.currency),
            tax: part.group,
            rated_position: i32::try_from(part.line + 1).map_err(|_| Error::Stored("line"))?,
            rated: Money::new(part.rated_minor, new.currency),
            cycle_starts_on: line.cycle.charged.start(),
            one_off_item_id: line.one_off_item_id,
            discount: line.discount,
        };
        invoices::insert_line(tx, new.id, position, &shown, line.cycle).await?;
    }
    for (total, reason) in draft.taxes() {
        invoices::insert_tax(tx, new.id, total, reason.as_deref()).await?;
    }
    let posting = Posting {
        document: new.id,
        kind: new.kind,
        issuer: new.issuer.id,
        currency: new.currency,
        net_minor: new.totals.net_minor,
        tax_minor: new.totals.tax_minor,
        effective_on: new.issued_on,
        posted_at: new.finalized_at,
    };
    ledger::post(tx, &posting).await?;
    // The newest invoices first. What was credited never exceeds what was invoiced.
    let mut left = new.totals.total_minor.saturating_neg();
    for (invoice, open) in creditable {
        if left > 0 {
            invoices::insert_reference(tx, new.id, invoice, open.min(left)).await?;
            left -= open.min(left);
        }
    }
    if left > 0 { Err(Error::Stored("sum of credits")) } else { Ok(()) }
}
