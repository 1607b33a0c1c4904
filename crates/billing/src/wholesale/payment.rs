//! What a reseller has paid the operator: bank transfers that the operator records, matched and settled as those of tenants
//! are. A record is never changed; what was recorded by mistake is paid back, as what was paid by mistake is.

mod store;

use std::collections::BTreeSet;

use db::SystemTx;
use kernel::{Money, Page, PageRequest, PaymentId, ResellerId};
use serde_json::json;
use tenancy::{Action, Caller, ResellerCtx, Scope, event};

use super::agreement::{self, Agreement};
use super::{must_be_party, system};
use crate::Error;
use crate::ledger::{self, Moved, Movement};
use crate::payment::{self, Filter, NewTransfer, Payment, Refund, RefundStatus};
use crate::rating::local_day;
use crate::receivable::Receivables;
use crate::series::OPERATOR;

/// Records a bank transfer of a reseller's. Without an invoice named it is meant for the one whose number its reference has,
/// else for the oldest unpaid one of exactly its amount, else for the reseller's balance.
///
/// # Errors
/// [`Error::NotFound`] for a reseller that has no agreement, and for whoever is no party; [`Error::Tenancy`] for any but the
/// operator; [`Error::Invalid`] for bad input and for an invoice that is not the reseller's.
pub async fn record(ctx: &ResellerCtx, new: NewTransfer) -> Result<Payment, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleWrite)?;
    let (env, reseller_id) = (ctx.db().env(), ctx.reseller_id());
    let mut tx = system(ctx.db()).await?;
    let agreement = held(&mut tx, reseller_id).await?;
    let received_on = payment::check(&new, agreement.currency, local_day(env.now(), agreement.time_zone))?;
    let receivables = Receivables::of_reseller(&mut tx, reseller_id).await?;
    let invoice = payment::meant_for(&new, &receivables, &BTreeSet::from([OPERATOR]))?;
    let invoice_id = invoice.map(|invoice| invoice.invoice);
    let now = env.now();
    let (id, NewTransfer { amount, reference, .. }) = (env.new_id(), new);
    let payment = Payment::transfer(id, OPERATOR, invoice_id, amount, reference, received_on, now);
    store::insert(&mut tx, reseller_id, &payment, received_on).await?;
    let (what, issuer) = (Moved::Payment(id), OPERATOR);
    let movement = Movement { what, issuer, amount, effective_on: received_on, posted_at: now };
    ledger::post_wholesale_movement(&mut tx, reseller_id, &movement).await?;
    // Resellers above see the trail too, and are not to know how much.
    let data = json!({"invoice_id": invoice_id, "received_on": received_on});
    let (trail, kind) = (Scope::Reseller(reseller_id), event::Kind::WholesalePaymentSucceeded);
    event::record_on(&mut tx, ctx.caller(), trail, kind, id, data).await?;
    tx.commit().await?;
    Ok(payment)
}

/// A reseller's payments that the filter leaves, in the order in which they were recorded. All of them have succeeded.
///
/// # Errors
/// [`Error::NotFound`] for whoever is neither the operator nor the reseller itself; [`Error::Tenancy`] without the right to
/// see them.
pub async fn list(ctx: &ResellerCtx, filter: Filter, page: PageRequest) -> Result<Page<Payment>, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    let mut tx = system(ctx.db()).await?;
    let rows = store::list(&mut tx, ctx.reseller_id(), filter, &page).await?;
    Ok(Page::cut(rows, &page, |payment| payment.id.uuid()))
}

/// The payment with that id, whichever reseller's it is.
pub(crate) async fn get(caller: &Caller, id: PaymentId) -> Result<Payment, Error> {
    let ctx = enter(caller, id).await?;
    ctx.require(Action::PaymentRead)?;
    ctx.require(Action::WholesaleRead)?;
    let mut tx = system(ctx.db()).await?;
    store::find(&mut tx, ctx.reseller_id(), id).await?.ok_or(Error::NotFound)
}

/// Notes that a payment of a reseller's, or a part of it, was paid back; `None` is all that is left of it.
pub(crate) async fn refund(
    caller: &Caller,
    id: PaymentId,
    amount: Option<Money>,
    reason: String,
) -> Result<Refund, Error> {
    let ctx = enter(caller, id).await?;
    ctx.require(Action::PaymentWrite)?;
    ctx.require(Action::WholesaleWrite)?;
    let (env, reseller_id) = (ctx.db().env(), ctx.reseller_id());
    let mut tx = system(ctx.db()).await?;
    // Nobody else refunds of it until this is written.
    let agreement = held(&mut tx, reseller_id).await?;
    let payment = store::find(&mut tx, reseller_id, id).await?.ok_or(Error::NotFound)?;
    let left = Money::new(payment.left_minor(), payment.amount.currency);
    let amount = amount.unwrap_or(left);
    payment::check_refund(amount, left, &reason)?;
    let now = env.now();
    let today = local_day(now, agreement.time_zone);
    let refund = Refund {
        id: env.new_id(),
        payment_id: id,
        status: RefundStatus::Succeeded,
        amount,
        reason,
        refunded_on: Some(today),
        returned_on: None,
        created_at: now,
    };
    store::insert_refund(&mut tx, reseller_id, &refund, today).await?;
    let (what, issuer) = (Moved::Refund(refund.id), OPERATOR);
    let movement = Movement { what, issuer, amount, effective_on: today, posted_at: now };
    ledger::post_wholesale_movement(&mut tx, reseller_id, &movement).await?;
    // As of a payment, without how much.
    let data = json!({"refund_id": refund.id, "refunded_on": today});
    let (trail, kind) = (Scope::Reseller(reseller_id), event::Kind::WholesalePaymentRefunded);
    event::record_on(&mut tx, caller, trail, kind, id, data).await?;
    tx.commit().await?;
    Ok(refund)
}

/// The reseller's agreement, whose row everybody waits for who moves its account.
async fn held(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Agreement, Error> {
    agreement::store::held(tx, reseller_id).await?.ok_or(Error::NotFound)
}

/// Enters the reseller that a payment is of, to whoever is no party the same as if there were none.
async fn enter(caller: &Caller, id: PaymentId) -> Result<ResellerCtx, Error> {
    let found = {
        let mut tx = system(caller.db()).await?;
        store::reseller_of(&mut tx, id).await?
    };
    let ctx = caller.enter_reseller_deleted_too(found.ok_or(Error::NotFound)?).await?;
    must_be_party(&ctx)?;
    Ok(ctx)
}
