//! Verifying: whether what was billed is what the event log makes, and the ledger what was billed.
//!
//! Proved, when nothing is found:
//! - Every document since the ledger's introduction is, line by line, what the rating core makes of the tenant's calendar
//!   of then and of the append-only logs (seat and mailbox changes, samples of storage, commitments, terms, standings, discounts) as far as they were known when its
//!   boundary was billed. What has come into the logs since, late events too, belongs to boundaries to
//!   come and makes no difference here. No boundary was skipped, and each that owes something has its document.
//! - Each line is taxed as the parties' profiles on the document make it, by the rates that the issuer had added by then
//!   and that held on its boundary's day; a credit, as what it takes back was. The tax of each group is that of its lines.
//! - Of every document: lines = net, tax groups = tax, net + tax = total, a credit note's references = its total, and what is credited on
//!   an invoice is at most its total.
//! - A credit note corrects the invoices that billed what it takes back, of its cycle and in its group of tax, and each by no more than that
//!   billed, unless nothing is left of them to credit.
//! - Every document, payment, refund, dispute and fee of one has exactly its transfers and every transfer what it was posted from; the balance
//!   of each account by the transfers is the one by these, so that receivable = invoices − credit notes − payments + refunds + what disputes took,
//!   and cash is what came less what went and less those fees, each in its own currency.
//!   Debits = credits by the shape of a transfer, which names both.
//! - The same of what the operator billed each reseller and was paid by it, tenant by tenant, by the seat changes and terms that were known and
//!   on the days on which each tenant was found to count: priced together by the tiers of the sum, and taxed.
//! - What counts as billed no more was a draft that was discarded, and is computed again all the same, or was taken back to
//!   nothing, line by line and tax by tax, by the credit note that voids it.
//! - The numbers of each series are 1 to the last that its counter gave out.
//!
//! Not proved:
//! - That the logs are true, or that a log and the documents were not changed together by somebody who has the database:
//!   that is what the audit trail and its hashes are for.
//! - Lines of before it was recorded what was known: they are taken as they are stored, and counted. Only their sums are
//!   checked, and that later boundaries follow from them.
//! - What credit notes of before migration 0078 correct: they named the newest invoices.
//! - On which days a tenant counted for a reseller: they are taken as they were found when the boundary was billed.
//! - What a document says in words: names, descriptions, when it is due, why something is not taxed. Nor that the profiles
//!   say the truth.

mod corrections;
mod difference;
mod recompute;
mod store;
mod tax;
mod unbilled;
mod wholesale;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono::{DateTime, Utc};
use db::{SystemRead, SystemTx};
use kernel::{InvoiceId, Money, Page, PageRequest, ResellerId, TenantId};
use tenancy::{Action, Caller, Ctx, Scope, TenantTx, mailbox, seats, storage_sample};
use uuid::Uuid;

use crate::Error;
use crate::invoice::store::unbilled::unbilled as unbilled_documents;
use crate::invoice::{self, Billing, Invoice};
use crate::run::opened;
use crate::subscription;
use crate::tax_rate::{self, TaxRate};
pub use difference::{
    Customer, Difference, Fault, Finding, Gap, GapKind, LineFigures, Posted, Sum, TaxedAmount,
};
use recompute::{Account, Recomputed, WholeLog};

/// How many tenants are looked up at a time; one at a time is held in memory.
const PAGE: i64 = 500;

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Tenants, deleted ones too.
    pub tenants: u64,
    /// Wholesale agreements.
    pub agreements: u64,
    /// Documents.
    pub documents: u64,
    /// Of these, the ones of before it was recorded what was known: not computed again.
    pub unrecorded: u64,
    /// Transfers.
    pub transfers: u64,
    /// What was found.
    pub differences: u64,
}

/// Verifies one tenant, or with `None` all of them, the wholesale agreements and the number series besides, and tells each difference to `found`
/// as it is found. May run beside anything: runs wait for one account at a time.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see invoices, for a tenant out of scope, and for all from any but the operator;
/// [`Error::Db`] when the database fails. A difference is no error.
pub async fn verify(
    caller: &Caller,
    tenant_id: Option<TenantId>,
    mut found: impl FnMut(&Finding),
) -> Result<Verified, Error> {
    caller.require(Action::InvoiceRead)?;
    let mut verified = Verified::default();
    if let Some(tenant_id) = tenant_id {
        one(caller, tenant_id, &mut verified, &mut found).await?;
        return Ok(verified);
    }
    if caller.scope() != Scope::Operator {
        return Err(tenancy::Error::Forbidden(Action::InvoiceRead.as_str()).into());
    }
    let mut after = None;
    loop {
        let page = store::tenants(&mut read(caller).await?, after, PAGE).await?;
        let Some(&last) = page.last() else { break };
        after = Some(last);
        for tenant_id in page {
            one(caller, tenant_id, &mut verified, &mut found).await?;
        }
    }
    for reseller_id in wholesale::agreements(&mut read(caller).await?).await? {
        let mut differences = Vec::new();
        let looked = wholesale::look(caller, reseller_id, &mut verified, &mut differences).await;
        report(looked, Customer::Reseller(reseller_id), differences, &mut verified, &mut found)?;
        verified.agreements += 1;
    }
    for gap in store::gaps(&mut system(caller).await?).await? {
        verified.differences += 1;
        found(&Finding { customer: None, difference: Difference::Numbers(gap) });
    }
    Ok(verified)
}

async fn one(
    caller: &Caller,
    tenant_id: TenantId,
    verified: &mut Verified,
    found: &mut impl FnMut(&Finding),
) -> Result<(), Error> {
    let ctx = caller.enter_deleted_too(tenant_id).await?;
    let mut differences = Vec::new();
    let looked = look(&ctx, verified, &mut differences).await;
    report(looked, Customer::Tenant(tenant_id), differences, verified, found)?;
    verified.tenants += 1;
    Ok(())
}

/// Tells what was found as far as somebody's documents could be read.
fn report(
    looked: Result<(), Error>,
    customer: Customer,
    mut differences: Vec<Difference>,
    verified: &mut Verified,
    found: &mut impl FnMut(&Finding),
) -> Result<(), Error> {
    match looked {
        Ok(()) => {}
        // A value that nobody but somebody by hand can have written.
        Err(Error::Stored(what)) => differences.push(Difference::Unreadable(what)),
        Err(error) => return Err(error),
    }
    for difference in differences {
        verified.differences += 1;
        found(&Finding { customer: Some(customer), difference });
    }
    Ok(())
}

async fn look(ctx: &Ctx, verified: &mut Verified, differences: &mut Vec<Difference>) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    store::hold(&mut tx).await?;
    let sums = store::document_sums(&mut tx).await?;
    verified.documents += sums.len() as u64;
    verified.transfers += store::count_transfers(&mut tx).await?.unsigned_abs();
    for document in &sums {
        document.check(differences)?;
    }
    differences.extend(store::transfer_faults(&mut tx).await?);
    differences.extend(store::balances_apart(&mut tx).await?);
    differences.extend(store::over_refunded(&mut tx).await?);
    let Recomputed { differences: lines, unrecorded } = recomputed(&mut tx).await?;
    verified.unrecorded += unrecorded;
    differences.extend(lines);
    Ok(())
}

async fn recomputed(tx: &mut TenantTx) -> Result<Recomputed, Error> {
    let Documents { billed: documents, voids } = documents(tx).await?;
    let unbilled = unbilled_documents(tx).await?;
    let not_taken_back = {
        let billed: Vec<unbilled::Document<'_>> = documents.values().flatten().map(Into::into).collect();
        let voids: Vec<unbilled::Document<'_>> = voids.iter().map(Into::into).collect();
        unbilled::check(&billed, &voids, &unbilled)
    };
    let corrected = {
        let billed: Vec<_> =
            documents.values().flatten().filter_map(corrections::Document::of_tenant).collect();
        corrections::check(&billed, &unbilled, &store::references(tx).await?)?
    };
    let Some(subscription) = subscription::store::find(tx).await? else {
        let unfounded = documents.into_values().flatten().map(|document| recompute::unfounded(&document));
        let differences = unfounded.chain(not_taken_back).collect();
        return Ok(Recomputed { differences, unrecorded: 0 });
    };
    let boundaries = store::boundaries(tx).await?;
    let Some(first) = boundaries.first().map(|first| first.billing.boundary) else {
        let unrecorded = documents.values().flatten().count() as u64;
        return Ok(Recomputed { differences: not_taken_back, unrecorded });
    };
    // All of them, not those up to now: the clock of the server that billed may be ahead of this one's.
    let seat_changes = seats::changes(tx, DateTime::<Utc>::MAX_UTC).await?;
    let until = [(tx.tenant_id(), DateTime::<Utc>::MAX_UTC)];
    let mailbox_changes = mailbox::count::changes_of_each(tx, &until).await?;
    let account = Account {
        log: WholeLog {
            mailbox_changes: mailbox_changes.into_iter().map(|(_, change)| change).collect(),
            stored: storage_sample::of(tx).await?,
            seat_changes: seat_changes.iter().map(|change| (change.at, i64::from(change.delta))).collect(),
            commitments: subscription::store::commitments(tx).await?,
            agreed: subscription.agreed,
        },
        boundaries,
        next_invoice_on: subscription.next_invoice_on,
        bills_again: subscription.bills_again,
        unbilled,
        standings_are_known: subscription::store::standings_are_known(tx).await?,
        tax: tax::Account::new(rates_of(tx, &documents).await?),
        before: opened(tx, Some(first)).await?,
        stored: opened(tx, None).await?,
        documents,
    };
    let mut recomputed = account.recompute(first);
    recomputed.differences.extend(not_taken_back);
    // Beside a wrong line it would say the same again.
    if recomputed.differences.is_empty() {
        recomputed.differences.extend(corrected);
    }
    Ok(recomputed)
}

/// The rates of tax of everybody who issued one of these.
async fn rates_of(
    tx: &mut TenantTx,
    documents: &BTreeMap<Billing, Vec<Invoice>>,
) -> Result<BTreeMap<ResellerId, Vec<TaxRate>>, Error> {
    let mut rates = BTreeMap::new();
    for document in documents.values().flatten() {
        if let Entry::Vacant(entry) = rates.entry(document.issuer.id) {
            entry.insert(tax_rate::store::rates(tx.conn(), document.issuer.id).await?);
        }
    }
    Ok(rates)
}

/// A tenant's documents.
struct Documents {
    /// By what they were made by: one of each issuer.
    billed: BTreeMap<Billing, Vec<Invoice>>,
    /// The credit notes that void an invoice.
    voids: Vec<Invoice>,
}

async fn documents(tx: &mut TenantTx) -> Result<Documents, Error> {
    let mut all = Documents { billed: BTreeMap::new(), voids: Vec::new() };
    let mut after = None;
    loop {
        let request = PageRequest::new(Some(PageRequest::MAX_LIMIT), after);
        let rows = invoice::store::list(tx, invoice::Filter::default(), &request, true).await?;
        let page = Page::cut(rows, &request, |invoice| invoice.id.uuid());
        for document in page.items {
            match document.billing {
                Some(billing) => all.billed.entry(billing).or_default().push(document),
                None => all.voids.push(document),
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// A document's sums as they are stored, in its currency's minor units.
struct DocumentSums {
    id: Uuid,
    is_credit_note: bool,
    is_draft: bool,
    currency: String,
    net_minor: i64,
    tax_minor: i64,
    total_minor: i64,
    lines_minor: i64,
    taxes_minor: i64,
    credits_minor: i64,
    credited_minor: i64,
}

impl DocumentSums {
    fn check(&self, differences: &mut Vec<Difference>) -> Result<(), Error> {
        let currency = self.currency.parse().map_err(|_| Error::Stored("currency"))?;
        let total = self.net_minor.checked_add(self.tax_minor).ok_or(Error::Stored("total"))?;
        let (credits, most_credited) =
            if self.is_credit_note { (self.total_minor.saturating_neg(), 0) } else { (0, self.total_minor) };
        // A draft credits nothing yet, and nothing is credited on it.
        let (credits, most_credited) = if self.is_draft { (0, 0) } else { (credits, most_credited) };
        let sums = [
            (Sum::Net, self.net_minor, self.lines_minor, self.net_minor == self.lines_minor),
            (Sum::Tax, self.tax_minor, self.taxes_minor, self.tax_minor == self.taxes_minor),
            (Sum::Total, self.total_minor, total, self.total_minor == total),
            (Sum::Credits, self.credits_minor, credits, self.credits_minor == credits),
            (Sum::Credited, self.credited_minor, most_credited, self.credited_minor <= most_credited),
        ];
        differences.extend(sums.into_iter().filter(|(.., is_right)| !is_right).map(
            |(sum, stored, computed, _)| Difference::Sum {
                document: InvoiceId::from_uuid(self.id),
                sum,
                stored: Money::new(stored, currency),
                computed: Money::new(computed, currency),
            },
        ));
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "which tenants there are; each is then entered")]
async fn read(caller: &Caller) -> Result<SystemRead, db::Error> {
    SystemRead::open(caller.db()).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a number series is an issuer's over all its customers, and so are the operator's documents"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
}
