//! What the provider charges the issuer for a dispute, and gives back of that. It is the issuer's cost: the customer is not
//! told of it and owes nothing by it. Each of the provider's bookings is posted once, in the currency in which it was booked.

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{DisputeFeeId, Money};
use tenancy::{Ctx, TenantTx};

use super::{MAX_AMOUNT_MINOR, Payment, store};
use crate::Error;
use crate::ledger::{self, Moved, Movement};

/// A booking of the provider's.
#[derive(Debug)]
pub(super) struct DisputeFee {
    pub(super) id: DisputeFeeId,
    /// Below nothing was given back.
    pub(super) amount: Money,
    /// The customer's local day on which it was told of.
    pub(super) charged_on: NaiveDate,
    pub(super) created_at: DateTime<Utc>,
}

/// Notes the fees of a dispute that were not yet. Who calls holds the payment, so that of two who tell at once one waits.
pub(super) async fn note(
    tx: &mut TenantTx,
    ctx: &Ctx,
    payment: &Payment,
    told: &stripe::Dispute,
) -> Result<(), Error> {
    let (now, today) = (ctx.env().now(), ctx.today());
    let is_absurd =
        |fee: &stripe::DisputeFee| fee.amount.amount_minor.unsigned_abs() > MAX_AMOUNT_MINOR.unsigned_abs();
    if told.has_unread_fees || told.fees.iter().any(is_absurd) {
        tracing::error!(payment.id = %payment.id, "a provider tells of a dispute's fee that makes no sense; it is not booked");
    }
    for charged in told.fees.iter().filter(|fee| !is_absurd(fee)) {
        let fee =
            DisputeFee { id: ctx.env().new_id(), amount: charged.amount, charged_on: today, created_at: now };
        if !store::insert_dispute_fee(tx, payment.id, &fee, (&told.id, &charged.id)).await? {
            continue;
        }
        let Money { amount_minor, currency } = fee.amount;
        let what =
            if amount_minor > 0 { Moved::DisputeFee(fee.id) } else { Moved::DisputeFeeReturned(fee.id) };
        let amount = Money::new(amount_minor.saturating_abs(), currency);
        let movement =
            Movement { what, issuer: payment.issuer_id, amount, effective_on: today, posted_at: now };
        ledger::post_movement(tx, &movement).await?;
    }
    Ok(())
}
