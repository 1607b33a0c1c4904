//! Payments: what a customer paid, what it is meant for, and what was paid back. A payment is never taken back but by a
//! refund, which is a row of its own; what is due by them is [`crate::receivable`]'s.

mod matching;
mod store;

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{
    Checks, Currency, InvoiceId, Money, Page, PageRequest, PaymentId, RefundId, ResellerId, TenantId,
};
use serde_json::json;
use tenancy::{Action, Caller, Ctx, TenantTx, event};

use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::ledger::{self, Moved, Movement};
use crate::rating::local_day;
use crate::receivable::Receivables;

/// The longest reference or reason, in characters.
const MAX_TEXT: usize = 500;

/// What a customer paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose money it is.
    pub issuer_id: ResellerId,
    /// What it is meant for first; `None`: the customer's balance, which settles the oldest.
    pub invoice_id: Option<InvoiceId>,
    /// How it came: `manual` is a bank transfer that somebody recorded.
    pub provider: String,
    /// `succeeded`.
    pub status: String,
    /// What arrived.
    pub amount: Money,
    /// What was paid back of it.
    pub refunded: Money,
    /// What the transfer said.
    pub reference: String,
    /// The customer's local day that it counts for.
    pub received_on: Option<NaiveDate>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

/// What a customer was paid back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// `succeeded`.
    pub status: String,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// The customer's local day that it counts for.
    pub refunded_on: Option<NaiveDate>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

/// A bank transfer that has arrived.
#[derive(Debug, Clone)]
pub struct NewTransfer {
    /// How much, in minor units.
    pub amount_minor: i64,
    /// The currency's code: that of the tenant's invoices.
    pub currency: String,
    /// What it says, at most 500 characters.
    pub reference: String,
    /// When it arrived, of the form 2026-01-31, not after the tenant's present day.
    pub received_on: String,
    /// What it is meant for; `None`: as its reference and amount say.
    pub invoice_id: Option<InvoiceId>,
}

/// Records a bank transfer. Without an invoice named it is meant for the one whose number its reference has, else for the
/// oldest unpaid one of exactly its amount, else for the customer's balance.
///
/// # Errors
/// [`Error::Tenancy`] without the right to record payments; [`Error::Invalid`] for bad input and for an invoice that is
/// not there.
pub async fn record(ctx: &Ctx, new: NewTransfer) -> Result<Payment, Error> {
    ctx.require(Action::PaymentWrite)?;
    let today = local_day(ctx.now(), ctx.time_zone());
    let mut tx = ctx.begin().await?;
    let of_the_tenant = store::currency(&mut tx).await?.ok_or(Error::NotFound)?;
    let (amount, received_on) = check(&new, of_the_tenant, today)?;
    let receivables = Receivables::read(&mut tx).await?;
    let invoice = match new.invoice_id {
        Some(id) => {
            let named = receivables.get(id).filter(|found| found.currency == amount.currency);
            Some(named.ok_or_else(|| Error::invalid("/invoice_id", "must be an invoice of the tenant's"))?)
        }
        None => matching::find(&new.reference, amount, &receivables.iter().collect::<Vec<_>>()),
    };
    let now = ctx.env().now();
    let payment = Payment {
        id: ctx.env().new_id(),
        issuer_id: invoice.map_or(ctx.reseller_id(), |invoice| invoice.issuer),
        invoice_id: invoice.map(|invoice| invoice.invoice),
        provider: "manual".into(),
        status: "succeeded".into(),
        amount,
        refunded: Money::new(0, amount.currency),
        reference: new.reference,
        received_on: Some(received_on),
        created_at: now,
    };
    store::insert(&mut tx, &payment).await?;
    arrived(&mut tx, ctx, &payment, received_on, now).await?;
    tx.commit().await?;
    Ok(payment)
}

/// Posts a payment and tells of it, in the transaction in which it succeeds.
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
    Ok(())
}

fn check(new: &NewTransfer, of_the_tenant: Currency, today: NaiveDate) -> Result<(Money, NaiveDate), Error> {
    let mut checks = Checks::default();
    checks.require(new.amount_minor > 0, "/amount/amount_minor", "must be more than 0");
    let currency = new.currency.parse().ok().filter(|&currency: &Currency| currency == of_the_tenant);
    let is_its_own = format_args!("must be {of_the_tenant}, which the tenant is billed in");
    let currency = checks.value(currency, "/amount/currency", is_its_own);
    check_text(&mut checks, &new.reference, "/reference");
    let received_on = checks.value(date(&new.received_on), "/received_on", NOT_A_DATE);
    let is_past = received_on.is_none_or(|day| day <= today);
    checks.require(
        is_past,
        "/received_on",
        format_args!("must not be after {today}, the tenant's present day"),
    );
    checks.done().map_err(Error::Invalid)?;
    match (currency, received_on) {
        (Some(currency), Some(day)) => Ok((Money::new(new.amount_minor, currency), day)),
        _ => Err(Error::Invalid(Vec::new())),
    }
}

fn check_text(checks: &mut Checks, text: &str, pointer: &str) {
    let is_short = text.chars().count() <= MAX_TEXT;
    checks.require(is_short, pointer, format_args!("must have at most {MAX_TEXT} characters"));
    checks.require(!text.chars().any(char::is_control), pointer, "must not have control characters");
}

/// The tenant's payments, in the order in which they were recorded.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see them.
pub async fn list(ctx: &Ctx, page: PageRequest) -> Result<Page<Payment>, Error> {
    ctx.require(Action::PaymentRead)?;
    let mut tx = ctx.begin().await?;
    let rows = store::list(&mut tx, &page).await?;
    Ok(Page::cut(rows, &page, |payment| payment.id.uuid()))
}

/// Enters the tenant that a payment is of.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one of a tenant out of scope.
async fn enter(caller: &Caller, id: PaymentId) -> Result<Ctx, Error> {
    let tenant_id = find_tenant(caller, id).await?.ok_or(Error::NotFound)?;
    Ok(caller.enter(tenant_id).await?)
}

/// One payment of the caller's.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one of a tenant out of scope.
pub async fn get(caller: &Caller, id: PaymentId) -> Result<Payment, Error> {
    let ctx = enter(caller, id).await?;
    ctx.require(Action::PaymentRead)?;
    let mut tx = ctx.begin().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Notes that a payment, or a part of it, was paid back: `None` is all that is left of it.
///
/// # Errors
/// [`Error::NotFound`] as for [`get`]; [`Error::Conflict`] `refund_exceeds_payment` for more than is left of it;
/// [`Error::Invalid`] for bad input.
pub async fn refund(
    caller: &Caller,
    id: PaymentId,
    amount: Option<Money>,
    reason: String,
) -> Result<Refund, Error> {
    let ctx = enter(caller, id).await?;
    ctx.require(Action::PaymentWrite)?;
    let mut checks = Checks::default();
    check_text(&mut checks, &reason, "/reason");
    let mut tx = ctx.begin().await?;
    // Nobody else refunds of it until this is done.
    let payment = store::find_locked(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let left =
        Money::new(payment.amount.amount_minor - payment.refunded.amount_minor, payment.amount.currency);
    let amount = amount.unwrap_or(left);
    let is_some = amount.amount_minor > 0 || left.amount_minor == 0;
    checks.require(is_some, "/amount/amount_minor", "must be more than 0");
    let is_same = amount.currency == left.currency;
    checks.require(is_same, "/amount/currency", "must be the payment's");
    checks.done().map_err(Error::Invalid)?;
    if left.amount_minor == 0 || amount.amount_minor > left.amount_minor {
        let detail = "no more can be paid back than is left of the payment";
        return Err(Error::Conflict { code: "refund_exceeds_payment", detail });
    }
    let (now, today) = (ctx.env().now(), local_day(ctx.now(), ctx.time_zone()));
    let refund = Refund {
        id: ctx.env().new_id(),
        payment_id: id,
        status: "succeeded".into(),
        amount,
        reason,
        refunded_on: Some(today),
        created_at: now,
    };
    store::insert_refund(&mut tx, &refund).await?;
    let what = Moved::Refund(refund.id);
    let issuer = payment.issuer_id;
    let movement = Movement { what, issuer, amount, effective_on: today, posted_at: now };
    ledger::post_movement(&mut tx, &movement).await?;
    let data = json!({"refund_id": refund.id, "amount": amount, "refunded_on": today});
    event::record(&mut tx, &ctx, event::Kind::PaymentRefunded, id, data).await?;
    tx.commit().await?;
    Ok(refund)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a payment's path names no tenant; the tenant found is then entered by the caller"
)]
async fn find_tenant(caller: &Caller, id: PaymentId) -> Result<Option<TenantId>, Error> {
    let mut tx = SystemTx::begin(caller.db()).await?;
    Ok(store::tenant_of(&mut tx, id).await?)
}
