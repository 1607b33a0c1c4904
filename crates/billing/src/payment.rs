//! Payments: what a customer paid, what it is meant for, and what was paid back. A payment is never taken back but by a
//! refund or a dispute, which are rows of their own; what is due by them is [`crate::receivable`]'s.

mod autopay;
mod charge;
mod dispute;
mod dispute_fee;
mod matching;
mod provider;
mod reconcile;
mod refund;
mod status;
mod store;
mod webhook;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use db::{Db, SystemRead};
use kernel::{Checks, Currency, InvoiceId, Money, Page, PageRequest, PaymentId, ResellerId};
use serde_json::json;
use tenancy::{Action, Caller, Ctx, TenantTx, event};

pub use autopay::{Autopaid, autopay, autopay_deleted};
pub use charge::pay;
pub use dispute::{Dispute, DisputeStatus};
pub use provider::{Provider, provider_at};
pub use reconcile::{Reconciled, reconcile};
pub(crate) use refund::check as check_refund;
pub use refund::{Refund, refund};
pub use status::{PaymentStatus, RefundStatus};
pub use webhook::receive;

use crate::error::{NOT_A_DATE, date};
use crate::ledger::{self, Moved, Movement};
use crate::reader::{Place, Reader, issued_by_another};
use crate::receivable::{Receivable, Receivables};
use crate::{Error, dunning, wholesale};

/// The longest reference or reason, in characters.
const MAX_TEXT: usize = 500;
/// The most that one transfer may be, so that no sum of what a ledger holds comes near 64 bits.
pub(crate) const MAX_AMOUNT_MINOR: i64 = 1_000_000_000_000_000;

/// Why no payment is for a draft.
const DRAFT: &str = "is a draft, which cannot be paid yet: nobody owes it before it is final";

/// What a customer paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose money it is; [`crate::OPERATOR`]'s, of what a reseller paid.
    pub issuer_id: ResellerId,
    /// What it is meant for first; `None`: the customer's balance, which settles the oldest.
    pub invoice_id: Option<InvoiceId>,
    /// How it came: `manual` is a bank transfer that somebody recorded, else the provider's name.
    pub provider: String,
    /// Where it is.
    pub status: PaymentStatus,
    /// What arrived; until then, what is asked.
    pub amount: Money,
    /// What was paid back of it, or is on its way back.
    pub refunded: Money,
    /// Each time that it was to be paid back, the oldest first.
    pub refunds: Vec<Refund>,
    /// Each time that the customer's bank contested it, the oldest first.
    pub disputes: Vec<Dispute>,
    /// What the transfer said, or what the charge says.
    pub reference: String,
    /// Why it failed, as the provider's code and in its words.
    pub failure: Option<(String, String)>,
    /// The customer's local day that it counts for, once it has arrived.
    pub received_on: Option<NaiveDate>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

impl Payment {
    /// A bank transfer, which has arrived before anybody records it.
    pub(crate) fn transfer(
        id: PaymentId,
        issuer_id: ResellerId,
        invoice_id: Option<InvoiceId>,
        amount: Money,
        reference: String,
        received_on: NaiveDate,
        created_at: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            issuer_id,
            invoice_id,
            provider: "manual".into(),
            status: PaymentStatus::Succeeded,
            amount,
            refunded: Money::new(0, amount.currency),
            refunds: Vec::new(),
            disputes: Vec::new(),
            reference,
            failure: None,
            received_on: Some(received_on),
            created_at,
        }
    }

    /// What has arrived and was neither paid back nor taken back.
    pub(crate) fn left_minor(&self) -> i64 {
        let taken: i64 = self.disputes.iter().map(Dispute::taken_minor).sum();
        let is_here = self.status == PaymentStatus::Succeeded;
        if is_here { (self.amount.amount_minor - self.refunded.amount_minor - taken).max(0) } else { 0 }
    }
}

/// A bank transfer that has arrived.
#[derive(Debug, Clone)]
pub struct NewTransfer {
    /// How much, in the currency of the customer's invoices.
    pub amount: Money,
    /// What it says, at most 500 characters.
    pub reference: String,
    /// When it arrived, of the form 2026-01-31, not after the customer's present day.
    pub received_on: String,
    /// What it is meant for; `None`: as its reference and amount say.
    pub invoice_id: Option<InvoiceId>,
}

/// Records a bank transfer. Without an invoice named it is meant for the one whose number its reference has, else for the
/// oldest unpaid one of exactly its amount, else for the customer's balance. A former reseller's invoices are looked at
/// only for a caller who sees that reseller.
///
/// # Errors
/// [`Error::Tenancy`] without the right to record payments; [`Error::Invalid`] for bad input and for an invoice that is
/// not there, or a draft; [`Error::Conflict`] `issued_by_another` for one of a former reseller that the caller does not see.
pub async fn record(ctx: &Ctx, new: NewTransfer) -> Result<Payment, Error> {
    ctx.require(Action::PaymentWrite)?;
    let issuers = issuers(ctx).await?;
    let today = ctx.today();
    let mut tx = ctx.begin().await?;
    let of_the_tenant = store::currency(&mut tx).await?.ok_or(Error::NotFound)?;
    let received_on = check(&new, of_the_tenant, today)?;
    if let Some(id) = new.invoice_id
        && store::is_draft(&mut tx, id).await?
    {
        return Err(Error::invalid("/invoice_id", DRAFT));
    }
    let receivables = Receivables::read(&mut tx).await?;
    let invoice = meant_for(&new, &receivables, &issuers)?;
    let issuer_id = invoice.map_or(ctx.reseller_id(), |invoice| invoice.issuer);
    let invoice_id = invoice.map(|invoice| invoice.invoice);
    let now = ctx.env().now();
    let (id, NewTransfer { amount, reference, .. }) = (ctx.env().new_id(), new);
    let payment = Payment::transfer(id, issuer_id, invoice_id, amount, reference, received_on, now);
    store::insert(&mut tx, &payment).await?;
    arrived(&mut tx, ctx, &payment, received_on, now).await?;
    tx.commit().await?;
    Ok(payment)
}

/// Which of a customer's invoices a transfer is meant for, if any: the one that it names, else as it matches those of the
/// issuers that the caller may speak for.
pub(crate) fn meant_for<'a>(
    new: &NewTransfer,
    receivables: &'a Receivables,
    issuers: &BTreeSet<ResellerId>,
) -> Result<Option<&'a Receivable>, Error> {
    let Some(id) = new.invoice_id else {
        let theirs = receivables.iter().filter(|one| issuers.contains(&one.issuer));
        return Ok(matching::find(&new.reference, new.amount, &theirs.collect::<Vec<_>>()));
    };
    let named = receivables.get(id).filter(|found| found.currency == new.amount.currency);
    let named = named.ok_or_else(|| Error::invalid("/invoice_id", "must be an invoice of the customer's"))?;
    if issuers.contains(&named.issuer) { Ok(Some(named)) } else { Err(issued_by_another()) }
}

/// Whose invoices the caller may say are paid: the tenant's reseller's, and those of former ones that the caller sees.
async fn issuers(ctx: &Ctx) -> Result<BTreeSet<ResellerId>, Error> {
    let mut all = BTreeSet::from([ctx.reseller_id()]);
    let of_invoices = {
        let mut tx = ctx.read().await?;
        store::issuers(&mut tx).await?
    };
    for issuer in of_invoices.difference(&all.clone()) {
        match ctx.caller().enter_reseller_deleted_too(*issuer).await {
            Ok(_) => _ = all.insert(*issuer),
            Err(tenancy::Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// Posts a payment, tells of it and lifts what it ends, in the transaction in which it succeeds.
async fn arrived(
    tx: &mut TenantTx,
    ctx: &Ctx,
    payment: &Payment,
    effective_on: NaiveDate,
    posted_at: DateTime<Utc>,
) -> Result<(), Error> {
    let what = Moved::Payment(payment.id);
    let (issuer, amount) = (payment.issuer_id, payment.amount);
    ledger::post_movement(tx, &Movement { what, issuer, amount, effective_on, posted_at }).await?;
    let data = json!({"invoice_id": payment.invoice_id, "provider": payment.provider, "amount": amount,
        "received_on": effective_on});
    event::record(tx, ctx, event::Kind::PaymentSucceeded, payment.id, data).await?;
    dunning::lift(tx, ctx).await
}

/// What a provider tells is of a payment that is still being found out, or may be: it is to be told again.
fn tell_again() -> Error {
    let detail = "it may be of a payment that is being found out; tell it again";
    Error::Conflict { code: "payment_under_way", detail }
}

/// Tells that a payment is not coming.
async fn failed(tx: &mut TenantTx, ctx: &Ctx, payment: &Payment) -> Result<(), Error> {
    let code = payment.failure.as_ref().map(|(code, _)| code);
    let data = json!({"invoice_id": payment.invoice_id, "provider": payment.provider, "amount": payment.amount,
        "failure_code": code});
    event::record(tx, ctx, event::Kind::PaymentFailed, payment.id, data).await?;
    Ok(())
}

/// The day on which it arrived; of a customer that is billed in a currency, and whose present day it is.
pub(crate) fn check(new: &NewTransfer, billed_in: Currency, today: NaiveDate) -> Result<NaiveDate, Error> {
    let mut checks = Checks::default();
    let is_in_range = (1..=MAX_AMOUNT_MINOR).contains(&new.amount.amount_minor);
    checks.require(is_in_range, "/amount/amount_minor", format_args!("must be 1 to {MAX_AMOUNT_MINOR}"));
    let is_its_own = format_args!("must be {billed_in}, which the customer is billed in");
    checks.require(new.amount.currency == billed_in, "/amount/currency", is_its_own);
    let is_short = new.reference.chars().count() <= MAX_TEXT;
    checks.require(is_short, "/reference", format_args!("must have at most {MAX_TEXT} characters"));
    let is_plain = !new.reference.chars().any(char::is_control);
    checks.require(is_plain, "/reference", "must not have control characters");
    let received_on = checks.value(date(&new.received_on), "/received_on", NOT_A_DATE);
    let is_past = received_on.is_none_or(|day| day <= today);
    checks.require(
        is_past,
        "/received_on",
        format_args!("must not be after {today}, the customer's present day"),
    );
    checks.done().map_err(Error::Invalid)?;
    received_on.ok_or_else(|| Error::Invalid(Vec::new()))
}

/// Which payments are listed: those of which all of this holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub status: Option<PaymentStatus>,
    /// Only those that are meant for this invoice.
    pub invoice_id: Option<InvoiceId>,
}

/// The tenant's payments, in the order in which they were recorded.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see them.
pub async fn list(ctx: &Ctx, filter: Filter, page: PageRequest) -> Result<Page<Payment>, Error> {
    ctx.require(Action::PaymentRead)?;
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, filter, &page).await?;
    Ok(Page::cut(rows, &page, |payment| payment.id.uuid()))
}

/// The tenant that a payment is of, and whose money it is. `None` for one that is no tenant's.
async fn place(db: &Db, id: PaymentId) -> Result<Option<Place>, Error> {
    Ok(store::place_of(&mut read(db).await?, id).await?)
}

/// One payment of the caller's, of either level. Those above a deleted tenant still see its payments, and whoever sees a former
/// issuer those of that one.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one that the caller may not know of.
pub async fn get(caller: &Caller, id: PaymentId) -> Result<Payment, Error> {
    let Some(place) = place(caller.db(), id).await? else {
        return wholesale::payment::get(caller, id).await;
    };
    let reader = Reader::enter(caller, place, Action::PaymentRead).await?;
    let mut tx = reader.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what names no tenant is looked up across them: by a path, whose tenant or issuer the caller then enters; by an event that \
              an issuer's provider signed; and by us, who ask about what is open and charge what is due"
)]
async fn read(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
