//! Making documents: what is outstanding at each boundary, taxed and written; and numbered and posted, unless the issuer
//! looks at drafts first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use kernel::{Currency, InvoiceId, Money, ResellerId, TenantId};
use tenancy::{Ctx, OfTenants};

use super::books::Rated;
use super::{Finality, Written, store};
use crate::Error;
use crate::invoice::draft::{Completed, announce_drafts, complete};
use crate::invoice::issued::Issued;
use crate::invoice::store::{NewInvoice, NewLine, NewTax, unbilled};
use crate::invoice::tax::{OfCycle, Shown, shown, treatment_on};
use crate::invoice::{
    Billing, Customer, DocumentKind, InvoiceLine, InvoiceLineKind, Issuer, store as invoices,
};
use crate::profile::{self, DAYS_TO_PAY};
use crate::rating::{GroupTotal, TaxedDocument};
use crate::series;
use crate::subscription::OwedLine;
use crate::tax_rate::{self, TaxRate};

/// Who issues documents, and by which rates they are taxed.
struct IssuedBy {
    issuer: Issuer,
    rates: Vec<TaxRate>,
}

/// Who documents of several tenants are from and for.
struct Parties {
    issuers: BTreeMap<ResellerId, IssuedBy>,
    /// Or why one's profile cannot be read.
    customers: BTreeMap<TenantId, Result<Customer, Error>>,
}

/// An account whose documents are taxed.
pub(super) struct Drafted<'a> {
    pub(super) rated: Rated<'a>,
    customer: Customer,
    drafts: Vec<Draft>,
    /// For how many days the present issuer looks at drafts.
    draft_days: u32,
}

/// A document to be written.
struct Draft {
    billing: Billing,
    issuer: Issuer,
    /// How many rates of tax the issuer has.
    tax_rates_known: i64,
    lines: Vec<OwedLine>,
    taxed: TaxedDocument,
    shown: Vec<Shown>,
    /// Of each of its groups, in their order.
    reasons: Vec<Option<String>>,
}

impl Draft {
    fn kind(&self) -> DocumentKind {
        DocumentKind::of_total(self.taxed.totals.total_minor)
    }

    fn taxes(&self) -> impl Iterator<Item = (&GroupTotal, &Option<String>)> {
        self.taxed.totals.groups.iter().zip(&self.reasons)
    }
}

impl Parties {
    async fn read(tx: &mut impl OfTenants, accounts: &[Rated<'_>]) -> Result<Self, Error> {
        let mut parties = Self { issuers: BTreeMap::new(), customers: BTreeMap::new() };
        let mut names = store::customer_names(tx).await?;
        let mut profiles = profile::store::customers(tx).await?;
        for ctx in accounts.iter().map(|account| account.due.ctx) {
            let id = ctx.tenant_id();
            let name = names.remove(&id).ok_or(Error::Stored("tenant"))?;
            let profile = profiles.remove(&id).transpose();
            let customer = profile.map(|found| Customer::now(id, name, found.map(|found| found.profile)));
            parties.customers.insert(id, customer);
            if let Entry::Vacant(entry) = parties.issuers.entry(ctx.reseller_id()) {
                let id = ctx.reseller_id();
                // One whose tenant has just moved to another is not seen by the tenant any more.
                let name = profile::store::reseller_name(tx.conn(), id).await?.ok_or(Error::NotFound)?;
                let profile = profile::store::issuer(tx.conn(), id).await?.map(|issuer| issuer.profile);
                let rates = tax_rate::store::rates(tx.conn(), id).await?;
                entry.insert(IssuedBy { issuer: Issuer::now(id, name, profile), rates });
            }
        }
        Ok(parties)
    }
}

/// Taxes the documents of each account, of which it has some; the reason, for one whose documents cannot be taxed.
pub(super) async fn draft_all<'a>(
    tx: &mut impl OfTenants,
    accounts: Vec<Rated<'a>>,
) -> Result<Vec<(TenantId, Result<Drafted<'a>, Error>)>, Error> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let mut parties = Parties::read(tx, &accounts).await?;
    // Only a credit asks what there was before.
    let credited: Vec<_> = accounts.iter().flat_map(credited).collect();
    let mut issued =
        if credited.is_empty() { BTreeMap::new() } else { invoices::past(tx, &credited).await? };
    let mut drafted = Vec::new();
    for rated in accounts {
        let tenant_id = rated.due.ctx.tenant_id();
        let customer = parties.customers.remove(&tenant_id).ok_or(Error::Stored("tenant"))?;
        let present = rated.due.ctx.reseller_id();
        let issued = issued.remove(&tenant_id).unwrap_or_default();
        let mut formers = BTreeMap::new();
        for id in issued.issuers().filter(|id| *id != present).collect::<BTreeSet<_>>() {
            formers.insert(id, former(tx, tenant_id, id).await?);
        }
        let mut issuers: BTreeMap<_, _> = formers.iter().map(|(id, former)| (*id, former)).collect();
        issuers.insert(present, parties.issuers.get(&present).ok_or(Error::Stored("reseller"))?);
        drafted.push((tenant_id, customer.and_then(|customer| draft(rated, &issuers, customer, issued))));
    }
    Ok(drafted)
}

/// The cycles of which something is credited.
fn credited(account: &Rated<'_>) -> impl Iterator<Item = (TenantId, NaiveDate)> {
    let tenant_id = account.due.ctx.tenant_id();
    let lines = account.documents.iter().flat_map(|(_, lines)| lines);
    let credits = lines.filter(|line| line.charge.amount_minor < 0);
    credits.map(move |line| (tenant_id, line.cycle.charged.start()))
}

/// A reseller whose tenant has moved to another, as it was on its last document for the tenant.
async fn former(tx: &mut impl OfTenants, tenant_id: TenantId, id: ResellerId) -> Result<IssuedBy, Error> {
    let issuer = invoices::last_issuer(tx, tenant_id, id).await?.ok_or(Error::Stored("issuer"))?;
    Ok(IssuedBy { issuer, rates: tax_rate::store::rates(tx.conn(), id).await? })
}

fn draft<'a>(
    mut rated: Rated<'a>,
    issuers: &BTreeMap<ResellerId, &IssuedBy>,
    customer: Customer,
    mut issued: Issued,
) -> Result<Drafted<'a>, Error> {
    let basis = rated.subscription.terms.price.basis;
    let present = rated.due.ctx.reseller_id();
    let mut drafts = Vec::new();
    for (billing, lines) in std::mem::take(&mut rated.documents) {
        for (id, lines) in issued.apportion(present, lines)? {
            let IssuedBy { issuer, rates } = issuers.get(&id).ok_or(Error::Stored("reseller"))?;
            let profiles = (issuer.profile.as_ref(), customer.profile.as_ref());
            let past = issued.pasts.entry(id).or_default();
            let treatment = treatment_on(profiles.0, profiles.1, rates, billing.boundary);
            // Credits are taxed as what they take back was, whether or not a charge could be taxed today.
            let treatment =
                if id == present { treatment? } else { past.treatment().map_or(treatment, Ok)? };
            let amounts: Vec<(OfCycle, i64)> =
                lines.iter().map(|line| (OfCycle::of(line), line.charge.amount_minor)).collect();
            let (taxed, reasons) = past.tax(basis, &treatment, &amounts)?;
            let shown = shown(&taxed, basis, &lines)?;
            let tax_rates_known = i64::try_from(rates.len()).map_err(|_| Error::Stored("rates of tax"))?;
            drafts.push(Draft {
                billing,
                issuer: issuer.clone(),
                tax_rates_known,
                lines,
                taxed,
                shown,
                reasons,
            });
        }
    }
    let profile = issuers.get(&present).and_then(|from| from.issuer.profile.as_ref());
    let draft_days = profile.map_or(0, |profile| profile.draft_days);
    Ok(Drafted { rated, customer, drafts, draft_days })
}

/// A document with its place.
struct Placed<'a> {
    of: &'a Drafted<'a>,
    draft: &'a Draft,
    /// Whether somebody looks at it first, or at one before it.
    waits: bool,
    /// Whether it becomes final at once.
    is_final: bool,
}

impl Placed<'_> {
    fn ctx(&self) -> &Ctx {
        self.of.rated.due.ctx
    }

    /// Nobody looks any more at drafts of a reseller whose tenant has moved, and of a tenant that is about to be destroyed there is no
    /// time for it.
    fn draft_days(&self) -> u32 {
        let is_looked_at = self.draft.issuer.id == self.ctx().reseller_id() && !self.of.rated.due.settles;
        if is_looked_at { self.of.draft_days } else { 0 }
    }

    fn series(&self) -> (DocumentKind, ResellerId) {
        (self.draft.kind(), self.draft.issuer.id)
    }

    /// A boundary's document is issued on it; one that is billed again or before its day, on the present day, whichever day the run is for;
    /// and a draft is to be issued so many days after that.
    fn issued_on(&self) -> Result<NaiveDate, Error> {
        let Billing { boundary, revision } = self.draft.billing;
        let today = self.ctx().today();
        if self.of.rated.due.settles && today < boundary {
            return Ok(today);
        }
        if !self.waits && revision == 1 {
            return Ok(boundary);
        }
        after(today.max(boundary), self.draft_days())
    }

    /// What is settled is due at once: a day later what it could be charged by is destroyed.
    fn due_on(&self, issued_on: NaiveDate) -> Result<NaiveDate, Error> {
        if self.of.rated.due.settles {
            return Ok(self.ctx().today());
        }
        let profile = self.draft.issuer.profile.as_ref();
        after(issued_on, profile.map_or(DAYS_TO_PAY, |profile| profile.days_to_pay))
    }
}

impl Drafted<'_> {
    fn currency(&self) -> Currency {
        self.rated.subscription.terms.price.currency
    }
}

fn after(day: NaiveDate, days: u32) -> Result<NaiveDate, Error> {
    day.checked_add_days(Days::new(days.into())).ok_or(Error::Stored("boundary"))
}

/// Numbers, writes, posts and tells of the documents of some accounts, after everything that can fail for an account's own
/// reasons: the number series are locked for as short as can be. All invoices take their numbers before all credit notes, and
/// the issuers in their order, so that two runs never wait for each other crosswise.
pub(super) async fn write_all(
    tx: &mut impl OfTenants,
    accounts: &[Drafted<'_>],
    finality: Finality,
) -> Result<BTreeMap<TenantId, Vec<Written>>, Error> {
    // Documents become final in the order of their boundaries: a credit note after what it corrects.
    let with_drafts = unbilled::have_drafts(tx).await?;
    let is_after_drafts = |of: &Drafted<'_>| {
        // A run has made those final before whose day has come; one that only looks has not.
        let is_left = |until: &NaiveDate| finality == Finality::AtOnce || *until > of.rated.due.until;
        with_drafts.get(&of.customer.id).is_some_and(is_left)
    };
    let mut placed: Vec<Placed<'_>> = Vec::new();
    for of in accounts {
        let is_after_drafts = is_after_drafts(of);
        placed.extend(of.drafts.iter().map(|draft| {
            let mut placed = Placed { of, draft, waits: is_after_drafts, is_final: false };
            placed.waits |= placed.draft_days() > 0;
            placed.is_final = finality == Finality::AtOnce && !placed.waits;
            placed
        }));
    }
    let Some(first) = placed.first() else { return Ok(BTreeMap::new()) };
    let env = first.ctx().env();
    let numbers = take_numbers(tx, &placed).await?;
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = placed.iter().map(|_| env.new_id()).collect();
    ids.sort_unstable();
    let mut new = Vec::new();
    for ((one, id), number) in placed.iter().zip(ids).zip(numbers) {
        let issued_on = one.issued_on()?;
        new.push(NewInvoice {
            id,
            kind: one.draft.kind(),
            issuer: &one.draft.issuer,
            customer: &one.of.customer,
            currency: one.of.currency(),
            billing: Some(one.draft.billing),
            reason: None,
            issued_on,
            due_on: one.due_on(issued_on)?,
            totals: &one.draft.taxed.totals,
            tax_behavior: one.of.rated.subscription.terms.price.basis,
            tax_rates_known: one.draft.tax_rates_known,
            finalized: number.map(|number| (number, env.now())),
        });
    }
    write(tx, &placed, &new).await?;
    let completed = placed.iter().zip(&new).filter_map(|(one, new)| {
        let (number, posted_at) = new.finalized?;
        Some(Completed { ctx: one.ctx(), posting: new.posting(posted_at), number })
    });
    complete(tx, &completed.collect::<Vec<_>>()).await?;
    if finality == Finality::AtOnce {
        let of_placed = placed.iter().zip(&new).filter(|(_, new)| new.finalized.is_none());
        let drafts: Vec<_> = of_placed.map(|(one, new)| (one.ctx(), new)).collect();
        announce_drafts(tx, &drafts).await?;
    }
    let mut written = BTreeMap::<TenantId, Vec<Written>>::new();
    for new in &new {
        let one = Written { id: new.id, kind: new.kind, is_draft: new.finalized.is_none() };
        written.entry(new.customer.id).or_default().push(one);
    }
    Ok(written)
}

/// The numbers of those that become final.
async fn take_numbers(tx: &mut impl OfTenants, placed: &[Placed<'_>]) -> Result<Vec<Option<i64>>, Error> {
    let mut counts = BTreeMap::<(DocumentKind, ResellerId), i64>::new();
    for one in placed.iter().filter(|one| one.is_final) {
        *counts.entry(one.series()).or_default() += 1;
    }
    let mut next = BTreeMap::new();
    for (series, count) in counts {
        let first = series::store::take_some(tx.conn(), series.1, series.0.series(), count).await?;
        next.insert(series, first);
    }
    let numbers = placed.iter().map(|one| {
        let next = next.get_mut(&one.series()).filter(|_| one.is_final)?;
        *next += 1;
        Some(*next - 1)
    });
    Ok(numbers.collect())
}

async fn write(tx: &mut impl OfTenants, placed: &[Placed<'_>], new: &[NewInvoice<'_>]) -> Result<(), Error> {
    store::own(tx, new.iter().map(|new| new.customer.id))?;
    invoices::insert(tx, new).await?;
    let (mut lines, mut taxes) = (Vec::new(), Vec::new());
    for (one, new) in placed.iter().zip(new) {
        let (tenant_id, invoice_id) = (new.customer.id, new.id);
        lines.extend(lines_of(one, new)?);
        let of_document = one.draft.taxes();
        taxes.extend(of_document.map(|(total, reason)| NewTax {
            tenant_id,
            invoice_id,
            total,
            reason: reason.as_deref(),
        }));
    }
    invoices::insert_lines(tx, &lines).await?;
    invoices::insert_taxes(tx, &taxes).await?;
    Ok(())
}

fn lines_of(one: &Placed<'_>, new: &NewInvoice<'_>) -> Result<Vec<NewLine>, Error> {
    let mut before = None;
    let mut lines = Vec::new();
    for (position, Shown { part, is_discount }) in (1..).zip(&one.draft.shown) {
        let line = one.draft.lines.get(part.line).ok_or(Error::Stored("line"))?;
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
        let (tenant_id, invoice_id, cycle) = (new.customer.id, new.id, line.cycle);
        lines.push(NewLine { tenant_id, invoice_id, position, line: shown, cycle });
    }
    Ok(lines)
}
