//! Disputes: a customer's bank takes money back, and may give it back again.

use kernel::Money;
use serde::Deserialize;
use serde_json::Value;

use crate::amount::from_api;
use crate::intent::currency;

/// Where a dispute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeStatus {
    /// It is not decided.
    Open,
    /// It ended for the issuer, or came to nothing.
    Won,
    /// It ended for the customer.
    Lost,
}

/// A dispute as an event tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The provider's id of it.
    pub id: String,
    /// The provider's id of the payment.
    pub intent: String,
    /// How much of it.
    pub amount: Money,
    /// Where it is.
    pub status: DisputeStatus,
    /// The provider's word for why, such as `fraudulent`.
    pub reason: String,
    /// Whether the money was taken from the issuer.
    pub is_withdrawn: bool,
    /// Whether it was given back to the issuer.
    pub is_reinstated: bool,
    /// What the issuer was charged for it so far, each once.
    pub fees: Vec<DisputeFee>,
    /// Whether there are fees besides that cannot be read.
    pub has_unread_fees: bool,
}

/// What the provider charged for a dispute, or gave back of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeFee {
    /// The provider's id of its booking.
    pub id: String,
    /// How much, in the currency in which it settles with the issuer; below nothing was given back.
    pub amount: Money,
}

#[derive(Debug, Deserialize)]
struct Raw {
    id: String,
    payment_intent: Option<String>,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    balance_transactions: Vec<Movement>,
}

/// What a dispute did to the issuer's balance: out of it is negative.
#[derive(Debug, Deserialize)]
struct Movement {
    #[serde(default)]
    id: String,
    amount: i64,
    #[serde(default)]
    currency: String,
    /// Beside the amount and not in it: out of the balance is positive.
    #[serde(default)]
    fee: i64,
}

impl Movement {
    /// `None` if it cannot be told from others, or its amount cannot be told.
    fn fee(&self) -> Option<DisputeFee> {
        let amount = from_api(self.fee, currency(&self.currency)?).ok()?;
        (!self.id.is_empty()).then(|| DisputeFee { id: self.id.clone(), amount })
    }
}

impl Dispute {
    /// Of an event's kind and object; `None` for what makes no sense, and for a dispute of no payment of the kind that is made
    /// here.
    pub(crate) fn read(kind: &str, object: Value) -> Option<Self> {
        let raw: Raw = serde_json::from_value(object).ok()?;
        let status = match raw.status.as_str() {
            "won" | "warning_closed" | "prevented" => DisputeStatus::Won,
            "lost" => DisputeStatus::Lost,
            _ => DisputeStatus::Open,
        };
        let charged: Vec<_> = raw.balance_transactions.iter().filter(|one| one.fee != 0).collect();
        let fees: Vec<_> = charged.iter().filter_map(|one| one.fee()).collect();
        let moved = |is_of: fn(i64) -> bool| raw.balance_transactions.iter().any(|one| is_of(one.amount));
        Some(Self {
            id: raw.id,
            intent: raw.payment_intent?,
            amount: from_api(raw.amount, currency(&raw.currency)?).ok()?,
            status,
            reason: raw.reason.unwrap_or_default().chars().take(100).collect(),
            is_withdrawn: kind == "charge.dispute.funds_withdrawn"
                || raw.status == "lost"
                || moved(|amount| amount < 0),
            is_reinstated: kind == "charge.dispute.funds_reinstated"
                || raw.status == "won"
                || moved(|amount| amount > 0),
            has_unread_fees: fees.len() < charged.len(),
            fees,
        })
    }
}
