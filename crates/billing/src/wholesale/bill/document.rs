//! Making wholesale documents: what is outstanding at each boundary, taxed; then numbered, written and posted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use db::SystemTx;
use kernel::{InvoiceId, Money, ResellerId, TenantId};
use tenancy::Caller;

use super::super::agreement::Agreement;
use super::super::invoice::{self, NewInvoice, WholesaleLine, store as invoices};
use super::super::rate::{PartyLine, amounts};
use super::{Rated, store};
use crate::Error;
use crate::invoice::corrected::{correct, taken_back};
use crate::invoice::tax::{Past, treatment_on};
use crate::invoice::{Billing, Customer, DocumentKind, Issuer};
use crate::profile::{self, DAYS_TO_PAY};
use crate::rating::{Cycle, GroupTotal, LineKind, PriceBasis, TaxedPart, Totals};
use crate::series::{self, OPERATOR};
use crate::subscription::{RatedLine, in_words, is_anew, storage_in_words};
use crate::tax_rate::{self, TaxRate};

/// Who documents are from and for, and by which rates they are taxed.
struct Parties {
    issuer: Issuer,
    customer: Customer<ResellerId>,
    rates: Vec<TaxRate>,
    names: store::Names,
}

/// Documents of an agreement, made but for their ids and numbers.
pub(in crate::wholesale) struct Drafts<'a> {
    agreement: &'a Agreement,
    issuer: Issuer,
    customer: Customer<ResellerId>,
    tax_rates_known: i64,
    /// In the order of their boundaries.
    pub(in crate::wholesale) drafts: Vec<Draft>,
}

/// One of them.
pub(in crate::wholesale) struct Draft {
    billing: Billing,
    pub(in crate::wholesale) issued_on: NaiveDate,
    pub(in crate::wholesale) due_on: NaiveDate,
    pub(in crate::wholesale) totals: Totals,
    /// Of each of its groups, in their order.
    reasons: Vec<Option<String>>,
    /// As it shows them, with the cycles that they belong to.
    pub(in crate::wholesale) lines: Vec<(WholesaleLine, Cycle)>,
}

impl Draft {
    pub(in crate::wholesale) fn kind(&self) -> DocumentKind {
        DocumentKind::of_total(self.totals.total_minor)
    }

    /// By category and rate, with the reasons why there is none.
    pub(in crate::wholesale) fn taxes(&self) -> impl Iterator<Item = (&GroupTotal, Option<&str>)> {
        self.totals.groups.iter().zip(self.reasons.iter().map(Option::as_deref))
    }
}

/// Taxes what is owed at each of some boundaries, and says it as documents do; `None` where nothing is. Only reads. A boundary's
/// document is issued on it; one that is billed again, today.
pub(in crate::wholesale) async fn draft<'a>(
    tx: &mut SystemTx,
    agreement: &'a Agreement,
    boundaries: &[Rated],
    today: NaiveDate,
) -> Result<Option<Drafts<'a>>, Error> {
    let owing: Vec<&Rated> = boundaries.iter().filter(|rated| !rated.lines.is_empty()).collect();
    // Whom a document is from and for is asked only where there is one.
    if owing.is_empty() {
        return Ok(None);
    }
    let Parties { issuer, customer, rates, names } = parties(tx, agreement, &owing).await?;
    let mut past = past(tx, agreement, &owing).await?;
    let days_to_pay = issuer.profile.as_ref().map_or(DAYS_TO_PAY, |profile| profile.days_to_pay);
    let mut drafts = Vec::with_capacity(owing.len());
    for Rated { billing, lines, .. } in owing {
        // A document may have thousands of lines: others have their turn between two of them.
        tokio::task::yield_now().await;
        let Billing { boundary, revision } = *billing;
        let (from, to) = (issuer.profile.as_ref(), customer.profile.as_ref());
        let treatment = treatment_on(from, to, &rates, boundary)?;
        // Agreements are by prices that exclude tax.
        let (taxed, reasons) = past.tax(PriceBasis::Exclusive, &treatment, &amounts(lines))?;
        let issued_on = if revision == 1 { boundary } else { today.max(boundary) };
        let due_on = issued_on.checked_add_days(Days::new(days_to_pay.into()));
        drafts.push(Draft {
            billing: *billing,
            issued_on,
            due_on: due_on.ok_or(Error::Stored("boundary"))?,
            lines: shown(agreement, &names, lines, &taxed.parts)?,
            totals: taxed.totals,
            reasons,
        });
    }
    let tax_rates_known = i64::try_from(rates.len()).map_err(|_| Error::Stored("rates of tax"))?;
    Ok(Some(Drafts { agreement, issuer, customer, tax_rates_known, drafts }))
}

async fn parties(tx: &mut SystemTx, agreement: &Agreement, owing: &[&Rated]) -> Result<Parties, Error> {
    let id = agreement.reseller_id;
    let tenants: BTreeSet<TenantId> =
        owing.iter().flat_map(|rated| rated.lines.iter().filter_map(|line| line.tenant_id)).collect();
    let names = store::names(tx, id, &tenants).await?;
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

/// How what is credited was taxed.
async fn past(tx: &mut SystemTx, agreement: &Agreement, owing: &[&Rated]) -> Result<Past, Error> {
    // Only a credit asks what there was before.
    let lines = owing.iter().flat_map(|rated| &rated.lines).map(|line| &line.rated.line);
    let credits = lines.filter(|line| line.charge.amount_minor < 0);
    let credited: Vec<NaiveDate> = credits.map(|line| line.cycle.charged.start()).collect();
    match credited.is_empty() {
        true => Ok(Past::default()),
        false => invoices::past(tx, agreement.reseller_id, &credited).await,
    }
}

/// The lines of a document as it shows them: of those that were rated, by their taxed parts.
fn shown(
    agreement: &Agreement,
    names: &store::Names,
    lines: &[PartyLine],
    parts: &[TaxedPart],
) -> Result<Vec<(WholesaleLine, Cycle)>, Error> {
    let mut shown = Vec::with_capacity(parts.len());
    let mut before = None;
    for part in parts {
        let of = lines.get(part.line).ok_or(Error::Stored("line"))?;
        let PartyLine { tenant_id, rated: RatedLine { item, line, .. } } = of;
        let price = agreement.price_at(*item, &line.rate.tariff).ok_or(Error::Stored("price"))?;
        // The parts of a line share its days, which the first one counts.
        let is_first = before.replace(part.line) != Some(part.line);
        let counted = |count: i64| if is_first { count } else { 0 };
        let line_shown = WholesaleLine {
            tenant: tenant_id.map(|id| names.of(id)).transpose()?,
            description: describe(of, lines, agreement),
            item: item.as_str().into(),
            kind: line.kind,
            period: line.charge.period,
            quantity: counted(line.charge.quantity),
            seat_days: counted(line.charge.seat_days),
            price_id: price.id,
            unit_price: line.rate.tariff.unit_price(),
            amount: Money::new(part.net_minor, agreement.currency),
            tax: part.group,
            rated_position: i32::try_from(part.line + 1).map_err(|_| Error::Stored("line"))?,
            cycle_starts_on: line.cycle.charged.start(),
        };
        shown.push((line_shown, line.cycle));
    }
    Ok(shown)
}

/// Numbers and writes documents, as those of tenants: the number series is locked for as short as can be, invoices before
/// credit notes. Returns how many of each.
pub(super) async fn write(
    tx: &mut SystemTx,
    caller: &Caller,
    documents: &Drafts<'_>,
) -> Result<(u64, u64), Error> {
    let Drafts { agreement, issuer, customer, tax_rates_known, drafts } = documents;
    let mut numbers = BTreeMap::new();
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        let count = drafts.iter().filter(|draft| draft.kind() == kind).count();
        let count = i64::try_from(count).map_err(|_| Error::Stored("number series"))?;
        if count > 0 {
            let first = series::store::take_some(tx.conn(), OPERATOR, kind.series(), count).await?;
            numbers.insert(kind, first..);
        }
    }
    let env = caller.db().env();
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = drafts.iter().map(|_| env.new_id()).collect();
    ids.sort_unstable();
    let (mut invoices, mut credit_notes) = (0, 0);
    for (draft, id) in drafts.iter().zip(ids) {
        let kind = draft.kind();
        let number = numbers.get_mut(&kind).and_then(Iterator::next);
        let new = NewInvoice {
            id,
            reseller_id: agreement.reseller_id,
            kind,
            number: number.ok_or(Error::Stored("number series"))?,
            issuer,
            customer,
            tax_rates_known: *tax_rates_known,
            currency: agreement.currency,
            billing: Some(draft.billing),
            reason: None,
            issued_on: draft.issued_on,
            due_on: draft.due_on,
            net_minor: draft.totals.net_minor,
            tax_minor: draft.totals.tax_minor,
            total_minor: draft.totals.total_minor,
            finalized_at: env.now(),
        };
        write_one(tx, &new, draft).await?;
        invoice::complete(tx, caller, &new).await?;
        match kind {
            DocumentKind::Invoice => invoices += 1,
            DocumentKind::CreditNote => credit_notes += 1,
        }
    }
    Ok((invoices, credit_notes))
}

async fn write_one(tx: &mut SystemTx, new: &NewInvoice<'_>, draft: &Draft) -> Result<(), Error> {
    invoices::insert(tx, new).await?;
    invoices::insert_lines(tx, new, &draft.lines).await?;
    for (total, reason) in draft.taxes() {
        invoices::insert_tax(tx, new, total, reason).await?;
    }
    if new.total_minor >= 0 {
        return Ok(());
    }
    let taken = taken_back(&invoices::billed_lines(tx, new.reseller_id, new.id).await?)?.remove(&new.id);
    let mut creditable = invoices::creditable(tx, new.reseller_id).await?;
    let credit_minor = new.total_minor.saturating_neg();
    let corrected = correct(credit_minor, &taken.unwrap_or_default(), OPERATOR, &mut creditable)?;
    for (invoice, amount_minor) in corrected {
        invoices::insert_reference(tx, new, invoice, amount_minor).await?;
    }
    Ok(())
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
    let others = all.iter().filter(|other| (other.tenant_id, other.rated.item) == (*tenant_id, *item));
    let is_anew = is_anew(line, others.map(|other| &other.rated.line));
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
        (Some(_), LineKind::Proration, true) => " at the new price".to_owned(),
        (Some(_), LineKind::Credit, true) => " at the former price, unused".to_owned(),
        (Some(_), LineKind::Proration, false) if !is_anew => " added".to_owned(),
        (Some(_), LineKind::Credit, false) => " removed".to_owned(),
        (Some(_), LineKind::Recurring | LineKind::Usage | LineKind::Proration, _) => each(),
        // As many as somebody uses less; of what is billed anew, all of them.
        (None, LineKind::Proration, _) if !is_anew => " committed and not used".to_owned(),
        (None, LineKind::Recurring | LineKind::Usage | LineKind::Proration, _) => {
            format!(" committed and not used{}", each())
        }
        (None, LineKind::Credit, _) => " committed and used after all".to_owned(),
    };
    format!("{items}{what}, {days}")
}
