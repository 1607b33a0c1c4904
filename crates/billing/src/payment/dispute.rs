//! Disputes: a customer's bank takes a payment, or a part of it, from the issuer, and gives it back when the issuer wins. What
//! is taken is due again. The provider tells, twice and in any order: each half is posted once, and what was given back before
//! it was told that it had been taken is not taken.

use chrono::{DateTime, NaiveDate, Utc};
use db::Db;
use kernel::{DisputeId, Money, PaymentId, TenantId, named};
use serde_json::json;
use tenancy::{Caller, Ctx, TenantTx, event};

use super::{Payment, PaymentStatus, Refund, RefundStatus, dispute_fee, store, tell_again};
use crate::ledger::{self, Moved, Movement};
use crate::{Error, dunning};

/// What a customer's bank contests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Its id.
    pub id: DisputeId,
    /// Where it is.
    pub status: DisputeStatus,
    /// How much of the payment, at most what was left of it.
    pub amount: Money,
    /// The provider's word for why, such as `fraudulent`.
    pub reason: String,
    /// The customer's local day on which it was taken from the issuer.
    pub withdrawn_on: Option<NaiveDate>,
    /// The one on which it was given back.
    pub reinstated_on: Option<NaiveDate>,
    /// When it was first told of.
    pub created_at: DateTime<Utc>,
}

impl Dispute {
    /// What the issuer is without.
    pub(super) fn taken_minor(&self) -> i64 {
        if self.withdrawn_on.is_some() && self.reinstated_on.is_none() { self.amount.amount_minor } else { 0 }
    }
}

named! {
    /// Where a dispute is.
    DisputeStatus {
        /// It is not decided.
        Open = "open",
        /// It ended for the issuer, or came to nothing.
        Won = "won",
        /// It ended for the customer.
        Lost = "lost",
    }
}

/// Notes what an event tells of a dispute.
pub(super) async fn told(
    db: &Db,
    tenant_id: TenantId,
    id: PaymentId,
    told: stripe::Dispute,
) -> Result<(), Error> {
    let ctx = Caller::server(db.clone()).enter_deleted_too(tenant_id).await?;
    let mut tx = ctx.begin().await?;
    // Of two who tell at once, one waits.
    let payment = store::find_locked(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if payment.status != PaymentStatus::Succeeded {
        return Err(tell_again());
    }
    dispute_fee::note(&mut tx, &ctx, &payment, &told).await?;
    let (dispute, is_over) = match store::dispute(&mut tx, id, &told.id).await? {
        Some(found) => found,
        None => {
            // What is on its way back may yet stay here, and then it is in dispute as well.
            let is_clamped = told.amount.amount_minor > payment.left_minor();
            let is_open =
                |refund: &Refund| matches!(refund.status, RefundStatus::Pending | RefundStatus::Unknown);
            if is_clamped && payment.refunds.iter().any(is_open) {
                return Err(tell_again());
            }
            let Some(dispute) = opened(&ctx, &payment, &told) else {
                tracing::error!(payment.id = %id, "a provider tells of a dispute that is about no money that makes sense");
                // Its fee was charged all the same.
                tx.commit().await?;
                return Ok(());
            };
            store::insert_dispute(&mut tx, id, &dispute, &told.id).await?;
            tell(&mut tx, &ctx, event::Kind::PaymentDisputeOpened, id, &dispute).await?;
            (dispute, false)
        }
    };
    advance(&mut tx, &ctx, &payment, dispute, is_over, &told).await?;
    tx.commit().await?;
    Ok(())
}

/// `None` when nothing that could be taken is left of the payment.
fn opened(ctx: &Ctx, payment: &Payment, told: &stripe::Dispute) -> Option<Dispute> {
    let amount_minor = told.amount.amount_minor.min(payment.left_minor());
    (told.amount.currency == payment.amount.currency && amount_minor > 0).then(|| Dispute {
        id: ctx.env().new_id(),
        status: DisputeStatus::Open,
        amount: Money::new(amount_minor, payment.amount.currency),
        reason: told.reason.clone(),
        withdrawn_on: None,
        reinstated_on: None,
        created_at: ctx.env().now(),
    })
}

/// Takes and gives back what was not yet, and closes it.
async fn advance(
    tx: &mut TenantTx,
    ctx: &Ctx,
    payment: &Payment,
    mut dispute: Dispute,
    is_over: bool,
    told: &stripe::Dispute,
) -> Result<(), Error> {
    let (now, today) = (ctx.env().now(), ctx.today());
    let is_over = is_over || told.is_reinstated;
    let movement = |what| Movement {
        what,
        issuer: payment.issuer_id,
        amount: dispute.amount,
        effective_on: today,
        posted_at: now,
    };
    let (taken, given) =
        (movement(Moved::Dispute(dispute.id)), movement(Moved::DisputeReinstated(dispute.id)));
    if told.is_withdrawn && !is_over && dispute.withdrawn_on.is_none() {
        dispute.withdrawn_on = Some(today);
        ledger::post_movement(tx, &taken).await?;
        tell(tx, ctx, event::Kind::PaymentDisputeWithdrawn, payment.id, &dispute).await?;
    }
    if is_over && dispute.taken_minor() > 0 {
        dispute.reinstated_on = Some(today);
        ledger::post_movement(tx, &given).await?;
        tell(tx, ctx, event::Kind::PaymentDisputeReinstated, payment.id, &dispute).await?;
    }
    let status = match told.status {
        stripe::DisputeStatus::Open => DisputeStatus::Open,
        stripe::DisputeStatus::Won => DisputeStatus::Won,
        stripe::DisputeStatus::Lost => DisputeStatus::Lost,
    };
    if dispute.status == DisputeStatus::Open && status != DisputeStatus::Open {
        dispute.status = status;
        tell(tx, ctx, event::Kind::PaymentDisputeClosed, payment.id, &dispute).await?;
    }
    store::put_dispute(tx, &dispute, is_over, now).await?;
    dunning::lift(tx, ctx).await
}

async fn tell(
    tx: &mut TenantTx,
    ctx: &Ctx,
    kind: event::Kind,
    payment: PaymentId,
    dispute: &Dispute,
) -> Result<(), Error> {
    let data = json!({"dispute_id": dispute.id, "amount": dispute.amount, "reason": dispute.reason,
        "status": dispute.status.as_str()});
    event::record(tx, ctx, kind, payment, data).await?;
    Ok(())
}
