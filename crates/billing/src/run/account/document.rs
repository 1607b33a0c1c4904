//! Making documents: what is outstanding at each boundary, taxed and written; and numbered and posted, unless the issuer
//! looks at drafts first.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use kernel::{InvoiceId, Money};
use tenancy::{Ctx, TenantTx};

use super::{Finality, Written, store};
use crate::Error;
use crate::invoice::draft::complete;
use crate::invoice::store::{NewInvoice, unbilled};
use crate::invoice::tax::{Past, Shown, shown, treatment_on};
use crate::invoice::{
    Billing, Customer, DocumentKind, InvoiceLine, InvoiceLineKind, Issuer, store as invoices,
};
use crate::profile::{self, DAYS_TO_PAY};
use crate::rating::{GroupTotal, TaxedDocument, local_day};
use crate::series;
use crate::subscription::{OwedLine, Subscription};
use crate::tax_rate::{self, TaxRate};

/// Who documents are from and for, and by which rates they are taxed.
struct Parties {
    issuer: Issuer,
    customer: Customer,
    rates: Vec<TaxRate>,
}

/// A document to be written.
struct Draft<'a> {
    billing: Billing,
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
///
/// A boundary's document is issued on it; one that is billed again, on the run's day; and a draft is to be issued so many
/// days after that.
pub(super) async fn write_all(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
    documents: &[(Billing, Vec<OwedLine>)],
    until: NaiveDate,
    finality: Finality,
) -> Result<Vec<Written>, Error> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let parties = parties(ctx, tx).await?;
    let drafts = drafts(tx, subscription, &parties, documents).await?;
    let draft_days = parties.issuer.profile.as_ref().map_or(0, |profile| profile.draft_days);
    // Documents become final in the order of their boundaries: a credit note after what it corrects.
    let waits = draft_days > 0 || unbilled::oldest_draft(tx).await?.is_some();
    let mut numbers = BTreeMap::new();
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        let are_final = !waits && finality == Finality::AtOnce;
        for draft in drafts.iter().filter(|draft| are_final && draft.kind() == kind) {
            let number = series::store::take(tx.conn(), parties.issuer.id, kind.series()).await?;
            numbers.insert(draft.billing, number);
        }
    }
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = drafts.iter().map(|_| ctx.env().new_id()).collect();
    ids.sort_unstable();
    let days_to_pay = parties.issuer.profile.as_ref().map_or(DAYS_TO_PAY, |profile| profile.days_to_pay);
    let after = |day: NaiveDate, days: u32| {
        day.checked_add_days(Days::new(days.into())).ok_or(Error::Stored("boundary"))
    };
    let today = until.min(local_day(ctx.now(), ctx.time_zone()));
    let mut written = Vec::new();
    for (draft, id) in drafts.iter().zip(ids) {
        let issued_on = match (waits, draft.billing) {
            (false, Billing { boundary, revision: 1 }) => boundary,
            (_, Billing { boundary, .. }) => after(today.max(boundary), draft_days)?,
        };
        let number = numbers.remove(&draft.billing);
        let new = NewInvoice {
            id,
            kind: draft.kind(),
            issuer: &parties.issuer,
            customer: &parties.customer,
            currency: subscription.terms.price.currency,
            billing: Some(draft.billing),
            reason: None,
            issued_on,
            due_on: after(issued_on, days_to_pay)?,
            totals: &draft.taxed.totals,
            tax_behavior: subscription.terms.price.basis,
            tax_rates_known: i64::try_from(parties.rates.len()).map_err(|_| Error::Stored("rates of tax"))?,
            finalized: number.map(|number| (number, ctx.env().now())),
        };
        write(tx, &new, draft).await?;
        if let Some((number, posted_at)) = new.finalized {
            complete(ctx, tx, &new.posting(posted_at), number).await?;
        }
        written.push(Written { id, kind: new.kind, is_draft: new.finalized.is_none() });
    }
    Ok(written)
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
    documents: &'a [(Billing, Vec<OwedLine>)],
) -> Result<Vec<Draft<'a>>, Error> {
    // Only a credit asks what there was before.
    let credits = documents.iter().flat_map(|(_, lines)| lines).filter(|line| line.charge.amount_minor < 0);
    let credited: Vec<NaiveDate> = credits.map(|line| line.cycle.charged.start()).collect();
    let mut past = if credited.is_empty() { Past::default() } else { invoices::past(tx, &credited).await? };
    let (issuer, customer) = (parties.issuer.profile.as_ref(), parties.customer.profile.as_ref());
    let basis = subscription.terms.price.basis;
    let mut drafts = Vec::new();
    for (billing, lines) in documents {
        let treatment = treatment_on(issuer, customer, &parties.rates, billing.boundary)?;
        let amounts: Vec<(NaiveDate, i64)> =
            lines.iter().map(|line| (line.cycle.charged.start(), line.charge.amount_minor)).collect();
        let taxed = past.history.tax(basis, treatment.group, &amounts)?;
        let groups = taxed.totals.groups.iter();
        let reasons = groups.map(|total| past.reason(total.group, &treatment)).collect();
        let shown = shown(&taxed, basis, lines)?;
        drafts.push(Draft { billing: *billing, lines, taxed, shown, reasons });
    }
    Ok(drafts)
}

async fn write(tx: &mut TenantTx, new: &NewInvoice<'_>, draft: &Draft<'_>) -> Result<(), Error> {
    invoices::insert(tx, new).await?;
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
    Ok(())
}
