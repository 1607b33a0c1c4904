//! Making wholesale documents: what is outstanding at each boundary, taxed, numbered, written and posted.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use db::SystemTx;
use kernel::{InvoiceId, Money, ResellerId};
use serde_json::json;
use tenancy::{Caller, Scope, event};

use super::super::agreement::Agreement;
use super::super::invoice::{NewInvoice, WholesaleLine, store as invoices};
use super::super::rate::{PartyLine, amounts};
use super::store;
use crate::Error;
use crate::invoice::tax::{Past, treatment_on};
use crate::invoice::{Customer, DocumentKind, Issuer};
use crate::ledger::{self, Posting};
use crate::profile::{self, DAYS_TO_PAY};
use crate::rating::{LineKind, PriceBasis, TaxedDocument};
use crate::series::{self, OPERATOR};
use crate::subscription::{RatedLine, in_words, storage_in_words};
use crate::tax_rate::{self, TaxRate};

/// Who documents are from and for, and by which rates they are taxed.
struct Parties {
    issuer: Issuer,
    customer: Customer<ResellerId>,
    rates: Vec<TaxRate>,
    names: store::Names,
}

/// A document to be written.
struct Draft<'a> {
    boundary: NaiveDate,
    lines: &'a [PartyLine],
    taxed: TaxedDocument,
    /// Of each of its groups, in their order.
    reasons: Vec<Option<String>>,
}

impl Draft<'_> {
    fn kind(&self) -> DocumentKind {
        DocumentKind::of_total(self.taxed.totals.total_minor)
    }
}

/// Taxes, numbers and writes the documents, as those of tenants: the number series is locked for as short as can be,
/// invoices before credit notes. Returns how many of each.
pub(super) async fn finalise(
    tx: &mut SystemTx,
    caller: &Caller,
    agreement: &Agreement,
    documents: &[(NaiveDate, Vec<PartyLine>)],
) -> Result<(u64, u64), Error> {
    if documents.is_empty() {
        return Ok((0, 0));
    }
    let parties = parties(tx, agreement, documents).await?;
    let drafts = drafts(tx, agreement, &parties, documents).await?;
    let mut numbers = BTreeMap::new();
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        let of_kind = drafts.iter().filter(|draft| draft.kind() == kind).map(|draft| draft.boundary);
        let of_kind: Vec<NaiveDate> = of_kind.collect();
        let count = i64::try_from(of_kind.len()).map_err(|_| Error::Stored("number series"))?;
        if count > 0 {
            let first = series::store::take_some(tx.conn(), OPERATOR, kind.series(), count).await?;
            numbers.extend(of_kind.into_iter().zip(first..));
        }
    }
    let env = caller.db().env();
    let days_to_pay = parties.issuer.profile.as_ref().map_or(DAYS_TO_PAY, |profile| profile.days_to_pay);
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = documents.iter().map(|_| env.new_id()).collect();
    ids.sort_unstable();
    let (mut invoices, mut credit_notes) = (0, 0);
    for (draft, id) in drafts.iter().zip(ids) {
        let totals = &draft.taxed.totals;
        let due_on = draft.boundary.checked_add_days(Days::new(days_to_pay.into()));
        let new = NewInvoice {
            id,
            reseller_id: agreement.reseller_id,
            kind: draft.kind(),
            number: numbers.remove(&draft.boundary).ok_or(Error::Stored("number series"))?,
            issuer: &parties.issuer,
            customer: &parties.customer,
            tax_rates_known: i64::try_from(parties.rates.len()).map_err(|_| Error::Stored("rates of tax"))?,
            currency: agreement.currency,
            issued_on: draft.boundary,
            due_on: due_on.ok_or(Error::Stored("boundary"))?,
            net_minor: totals.net_minor,
            tax_minor: totals.tax_minor,
            total_minor: totals.total_minor,
            finalized_at: env.now(),
        };
        write(tx, &new, agreement, &parties.names, draft).await?;
        // Resellers above see the trail too, and are not to know how much.
        let data = json!({"kind": new.kind.as_str(), "number": new.number, "issued_on": new.issued_on});
        let trail = Scope::Reseller(agreement.reseller_id);
        let event = event::Kind::WholesaleInvoiceFinalized;
        event::record_on(tx, caller, trail, event, new.id, data).await?;
        match new.kind {
            DocumentKind::Invoice => invoices += 1,
            DocumentKind::CreditNote => credit_notes += 1,
        }
    }
    Ok((invoices, credit_notes))
}

async fn parties(
    tx: &mut SystemTx,
    agreement: &Agreement,
    documents: &[(NaiveDate, Vec<PartyLine>)],
) -> Result<Parties, Error> {
    let id = agreement.reseller_id;
    let names = store::names(tx, id, documents).await?;
    let issuer = profile::store::issuer(tx.conn(), OPERATOR).await?.map(|issuer| issuer.profile);
    let customer = profile::store::reseller(tx, id).await?.map(|customer| customer.profile);
    let rates = tax_rate::store::rates(tx.conn(), OPERATOR).await?;
    Ok(Parties {
        issuer: Issuer::now(OPERATOR, agreement.operator_name.clone(), issuer),
        customer: Customer::now(id, names.reseller.clone(), customer),
        rates,
        names,
    })
}

async fn drafts<'a>(
    tx: &mut SystemTx,
    agreement: &Agreement,
    parties: &Parties,
    documents: &'a [(NaiveDate, Vec<PartyLine>)],
) -> Result<Vec<Draft<'a>>, Error> {
    // Only a credit asks what there was before.
    let lines = documents.iter().flat_map(|(_, lines)| lines).map(|line| &line.rated.line);
    let credits = lines.filter(|line| line.charge.amount_minor < 0);
    let credited: Vec<NaiveDate> = credits.map(|line| line.cycle.charged.start()).collect();
    let mut past = match credited.is_empty() {
        true => Past::default(),
        false => invoices::past(tx, agreement.reseller_id, &credited).await?,
    };
    let (issuer, customer) = (parties.issuer.profile.as_ref(), parties.customer.profile.as_ref());
    let mut drafts = Vec::new();
    for (boundary, lines) in documents {
        let treatment = treatment_on(issuer, customer, &parties.rates, *boundary)?;
        // Agreements are by prices that exclude tax.
        let (taxed, reasons) = past.tax(PriceBasis::Exclusive, &treatment, &amounts(lines))?;
        drafts.push(Draft { boundary: *boundary, lines, taxed, reasons });
    }
    Ok(drafts)
}

async fn write(
    tx: &mut SystemTx,
    new: &NewInvoice<'_>,
    agreement: &Agreement,
    names: &store::Names,
    draft: &Draft<'_>,
) -> Result<(), Error> {
    // Read before the document itself is there.
    let creditable =
        if new.total_minor < 0 { invoices::creditable(tx, new.reseller_id).await? } else { Vec::new() };
    invoices::insert(tx, new).await?;
    let mut shown = Vec::new();
    let mut before = None;
    for part in &draft.taxed.parts {
        let of = draft.lines.get(part.line).ok_or(Error::Stored("line"))?;
        let PartyLine { tenant_id, rated: RatedLine { item, line, .. } } = of;
        let price = agreement.price_at(*item, &line.rate.tariff).ok_or(Error::Stored("price"))?;
        // The parts of a line share its days, which the first one counts.
        let is_first = before.replace(part.line) != Some(part.line);
        let counted = |count: i64| if is_first { count } else { 0 };
        let line_shown = WholesaleLine {
            tenant: tenant_id.map(|id| names.of(id)).transpose()?,
            description: describe(of, draft.lines, agreement),
            item: item.as_str().into(),
            kind: line.kind,
            period: line.charge.period,
            quantity: counted(line.charge.quantity),
            seat_days: counted(line.charge.seat_days),
            price_id: price.id,
            unit_price: line.rate.tariff.unit_price(),
            amount: Money::new(part.net_minor, new.currency),
            tax: part.group,
            rated_position: i32::try_from(part.line + 1).map_err(|_| Error::Stored("line"))?,
            cycle_starts_on: line.cycle.charged.start(),
        };
        shown.push((line_shown, line.cycle));
    }
    invoices::insert_lines(tx, new, &shown).await?;
    for (total, reason) in draft.taxed.totals.groups.iter().zip(&draft.reasons) {
        invoices::insert_tax(tx, new, total, reason.as_deref()).await?;
    }
    let posting = Posting {
        document: new.id,
        kind: new.kind,
        issuer: OPERATOR,
        currency: new.currency,
        net_minor: new.net_minor,
        tax_minor: new.tax_minor,
        effective_on: new.issued_on,
        posted_at: new.finalized_at,
    };
    ledger::post_wholesale(tx, new.reseller_id, &posting).await?;
    // The newest invoices first. What was credited never exceeds what was invoiced.
    let mut left = new.total_minor.saturating_neg();
    for (invoice, open) in creditable {
        if left > 0 {
            invoices::insert_reference(tx, new, invoice, open.min(left)).await?;
            left -= open.min(left);
        }
    }
    if left > 0 { Err(Error::Stored("sum of credits")) } else { Ok(()) }
}

fn describe(of: &PartyLine, all: &[PartyLine], agreement: &Agreement) -> String {
    let PartyLine { tenant_id, rated: RatedLine { item, line, gib } } = of;
    let period = line.charge.period;
    if let Some(gib) = gib {
        return storage_in_words(line, *gib);
    }
    let (items, days) = (item.in_words(), in_words(period));
    if line.charge.quantity == 0 {
        let whose = if tenant_id.is_some() { "" } else { " committed and not used" };
        return format!("{items}{whose}, at the price of the new total, {days}");
    }
    // A change of the price takes the days off at the old one and puts them on at the new one.
    let is_repriced = line.kind != LineKind::Recurring
        && all.iter().any(|PartyLine { tenant_id: whose, rated }| {
            let other = &rated.line;
            whose == tenant_id
                && rated.item == *item
                && other.cycle == line.cycle
                && other.rate != line.rate
                && other.charge.period.start() < period.end()
                && period.start() < other.charge.period.end()
        });
    let each = || format!(", per {}", agreement.interval.as_str());
    let what = match (tenant_id, line.kind, is_repriced) {
        (Some(_), LineKind::Recurring | LineKind::Usage, _) => each(),
        (Some(_), LineKind::Proration, false) => " added".to_owned(),
        (Some(_), LineKind::Credit, false) => " removed".to_owned(),
        (Some(_), LineKind::Proration, true) => " at the new price".to_owned(),
        (Some(_), LineKind::Credit, true) => " at the former price, unused".to_owned(),
        (None, LineKind::Recurring | LineKind::Usage, _) => format!(" committed and not used{}", each()),
        (None, LineKind::Proration, _) => " committed and not used any more".to_owned(),
        (None, LineKind::Credit, _) => " committed and used after all".to_owned(),
    };
    format!("{items}{what}, {days}")
}
