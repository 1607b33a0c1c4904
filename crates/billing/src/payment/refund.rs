//! Paying back. What a provider took, the provider pays back, asked as a charge is: written down first, under one key. What
//! came by bank transfer somebody pays back, and it is noted here.

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Checks, Money, PaymentId, RefundId, ResellerId};
use serde_json::json;
use stripe::{Account, RefundOutcome};
use tenancy::{Action, Caller, Ctx, TenantTx, event};

use super::provider::Provider;
use super::reconcile::PATIENCE;
use super::status::{PaymentStatus, RefundStatus, of_refund};
use super::{MAX_TEXT, place, store, tell_again};
use crate::ledger::{self, Moved, Movement};
use crate::{Error, dunning, payment_provider, reader, wholesale};

/// The reason of a refund that somebody made at the provider's.
const BY_HAND: &str = "made at the provider's";

/// What a customer was paid back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// Where it is.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// The customer's local day that it counts for.
    pub refunded_on: Option<NaiveDate>,
    /// The one on which the bank sent it back.
    pub returned_on: Option<NaiveDate>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

/// An open refund as it was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) issuer: ResellerId,
    /// The provider's id of the payment.
    pub(super) payment: String,
    /// The provider's id of the refund.
    pub(super) reference: Option<String>,
    pub(super) amount: Money,
    pub(super) created_at: DateTime<Utc>,
}

/// The idempotency key of a refund: one for ever.
pub(super) fn key(id: RefundId) -> String {
    format!("{id}-refund")
}

/// Pays back a payment, or a part of it; `None` is all that is left of it. The answer tells what is known: a refund that
/// has failed is no error.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one of a customer out of scope; [`Error::Conflict`]
/// `issued_by_another` for money of an issuer out of scope, which a tenant that has moved brings along, `tenant_transferred` for that
/// issuer, `refund_exceeds_payment` for more than is left of it, `no_payment_provider`; [`Error::Invalid`] for bad input.
pub async fn refund(
    caller: &Caller,
    provider: &dyn Provider,
    id: PaymentId,
    amount: Option<Money>,
    reason: String,
) -> Result<Refund, Error> {
    let Some(place) = place(caller.db(), id).await? else {
        return wholesale::payment::refund(caller, id, amount, reason).await;
    };
    let issuer = place.1;
    let ctx = reader::enter(caller, place, Action::PaymentWrite).await?;
    reader::must_act_for(caller, issuer).await?;
    let has_provider = payment_provider::secrets(ctx.db(), issuer).await?.is_some();
    let mut tx = ctx.begin().await?;
    // Nobody else refunds of it until this is written.
    let payment = store::find_locked(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let left = Money::new(payment.left_minor(), payment.amount.currency);
    let amount = amount.unwrap_or(left);
    check(amount, left, &reason)?;
    let refund = Refund {
        id: ctx.env().new_id(),
        payment_id: id,
        status: RefundStatus::Pending,
        amount,
        reason,
        refunded_on: None,
        returned_on: None,
        created_at: ctx.env().now(),
    };
    store::insert_refund(&mut tx, &refund, None, refund.created_at + PATIENCE).await?;
    let Some(reference) = store::provider_reference(&mut tx, id).await? else {
        let done = settle(&ctx, &mut tx, refund.id, Some((RefundStatus::Succeeded, None))).await?;
        tx.commit().await?;
        return Ok(done);
    };
    if !has_provider {
        let detail = "the issuer has no provider to pay back by";
        return Err(Error::Conflict { code: "no_payment_provider", detail });
    }
    tx.commit().await?;
    // From here on the money may move: whoever stops, the refund is found.
    let outcome = match payment_provider::kept_secrets(ctx.db(), issuer).await? {
        Some(secrets) => {
            let account = Account { secret_key: secrets.secret_key };
            let (key, ours) = (key(refund.id), refund.id.to_string());
            provider.refund(&account, &key, &reference, amount, &ours).await
        }
        None => RefundOutcome::Refused {
            code: "no_payment_provider".into(),
            message: "the issuer has just given its provider up".into(),
        },
    };
    ended(&ctx, refund.id, outcome).await
}

/// Whether so much may be paid back of what is left.
pub(crate) fn check(amount: Money, left: Money, reason: &str) -> Result<(), Error> {
    let mut checks = Checks::default();
    checks.name(reason, MAX_TEXT, "/reason");
    let is_some = amount.amount_minor > 0 || left.amount_minor == 0;
    checks.require(is_some, "/amount/amount_minor", "must be more than 0");
    checks.require(amount.currency == left.currency, "/amount/currency", "must be the payment's");
    checks.done().map_err(Error::Invalid)?;
    if left.amount_minor == 0 || amount.amount_minor > left.amount_minor {
        let detail = "no more can be paid back than has arrived and is left of the payment";
        return Err(Error::Conflict { code: "refund_exceeds_payment", detail });
    }
    Ok(())
}

/// Notes what asking for it told.
pub(super) async fn ended(ctx: &Ctx, id: RefundId, outcome: RefundOutcome) -> Result<Refund, Error> {
    let mut tx = ctx.begin().await?;
    let refund = settle(ctx, &mut tx, id, of_refund(outcome)).await?;
    tx.commit().await?;
    Ok(refund)
}

/// Moves a refund forward by what an event says of it.
pub(super) async fn told(
    db: &db::Db,
    tenant_id: kernel::TenantId,
    id: RefundId,
    told: stripe::Refund,
) -> Result<(), Error> {
    let ctx = Caller::server(db.clone()).enter_deleted_too(tenant_id).await?;
    ended(&ctx, id, RefundOutcome::Found(told)).await?;
    Ok(())
}

/// Notes a refund that somebody made at the provider's, by hand, or moves it forward.
pub(super) async fn noted(
    db: &db::Db,
    tenant_id: kernel::TenantId,
    id: PaymentId,
    told: stripe::Refund,
) -> Result<(), Error> {
    let ctx = Caller::server(db.clone()).enter_deleted_too(tenant_id).await?;
    let mut tx = ctx.begin().await?;
    // Of two who tell at once, one waits.
    let payment = store::find_locked(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if payment.status != PaymentStatus::Succeeded {
        return Err(tell_again());
    }
    let refund = match store::refund_by_reference(&mut tx, id, &told.id).await? {
        Some(known) => known,
        None => {
            let is_of_it = told.amount.currency == payment.amount.currency
                && (1..=payment.amount.amount_minor).contains(&told.amount.amount_minor);
            if !is_of_it {
                tracing::error!(payment.id = %id, "a provider tells of a refund of other money than was paid");
                return Ok(());
            }
            // What is on its way back by another refund may yet come to be left, once that has failed.
            if told.amount.amount_minor > payment.left_minor() {
                tracing::warn!(payment.id = %id, "a provider tells of a refund of more than is left");
                return Err(tell_again());
            }
            let refund = Refund {
                id: ctx.env().new_id(),
                payment_id: id,
                status: RefundStatus::Pending,
                amount: told.amount,
                reason: BY_HAND.into(),
                refunded_on: None,
                returned_on: None,
                created_at: ctx.env().now(),
            };
            store::insert_refund(&mut tx, &refund, Some(&told.id), refund.created_at + PATIENCE).await?;
            refund.id
        }
    };
    settle(&ctx, &mut tx, refund, of_refund(RefundOutcome::Found(told))).await?;
    tx.commit().await?;
    Ok(())
}

/// Moves a refund forward. Posts it when it is paid back, which it is once, and back when the bank has sent it back.
async fn settle(
    ctx: &Ctx,
    tx: &mut TenantTx,
    id: RefundId,
    seen: Option<(RefundStatus, Option<String>)>,
) -> Result<Refund, Error> {
    let (refund, issuer, known) = store::find_refund_locked(tx, id).await?.ok_or(Error::NotFound)?;
    let Some((status, reference)) = seen else { return Ok(refund) };
    let next = refund.status.after(known.is_some(), status, reference.is_some());
    let (now, today) = (ctx.env().now(), ctx.today());
    let status = next.unwrap_or(refund.status);
    store::settle_refund(tx, id, status, reference.as_deref(), today, now).await?;
    let (refund, ..) = store::find_refund_locked(tx, id).await?.ok_or(Error::NotFound)?;
    let amount = refund.amount;
    let movement = |what| Movement { what, issuer, amount, effective_on: today, posted_at: now };
    match next {
        Some(RefundStatus::Succeeded) => {
            ledger::post_movement(tx, &movement(Moved::Refund(id))).await?;
            let data = json!({"refund_id": id, "amount": amount, "refunded_on": today});
            event::record(tx, ctx, event::Kind::PaymentRefunded, refund.payment_id, data).await?;
        }
        Some(RefundStatus::Returned) => {
            ledger::post_movement(tx, &movement(Moved::RefundReturned(id))).await?;
            let data = json!({"refund_id": id, "amount": amount, "returned_on": today});
            event::record(tx, ctx, event::Kind::PaymentRefundFailed, refund.payment_id, data).await?;
            dunning::lift(tx, ctx).await?;
        }
        Some(RefundStatus::Failed) => {
            let data = json!({"refund_id": id, "amount": amount});
            event::record(tx, ctx, event::Kind::PaymentRefundFailed, refund.payment_id, data).await?;
        }
        _ => {}
    }
    Ok(refund)
}
