//! Where payments and refunds are. They only move forward, so that what is told late, twice or in another order does no
//! harm.

use kernel::named;
use stripe::{IntentStatus, Outcome, RefundOutcome};

named! {
    /// Where a payment is. They stand in the order in which they move.
    PaymentStatus {
        /// It is written down, and asked for.
        Pending = "pending",
        /// Nobody knows whether it was charged; it is being found out.
        Unknown = "unknown",
        /// The customer has to do something first.
        RequiresAction = "requires_action",
        /// The money is on its way.
        Processing = "processing",
        /// It is not coming. If it comes all the same, it has come.
        Failed = "failed",
        /// It has arrived.
        Succeeded = "succeeded",
    }
}

named! {
    /// Where a refund is. They stand in the order in which they move.
    RefundStatus {
        /// It is written down, and asked for.
        Pending = "pending",
        /// Nobody knows whether it was made; it is being found out.
        Unknown = "unknown",
        /// It is not made. If it is made all the same, it is made.
        Failed = "failed",
        /// It is paid back.
        Succeeded = "succeeded",
        /// It was paid back, and the bank has sent it back.
        Returned = "returned",
    }
}

impl PaymentStatus {
    /// Whether what was seen is news to one that is here.
    pub(super) fn moves_to(self, seen: Self) -> bool {
        seen > self
    }
}

impl RefundStatus {
    /// Whether what was seen is news to one that is here.
    pub(super) fn moves_to(self, seen: Self) -> bool {
        seen > self
    }

    /// What one becomes by what was seen, `None` when that is no news. `was_told` and `is_told`: whether the provider has it,
    /// then and now. Its word that one has failed is its last: what it told before may come after it. One that failed here and
    /// that the provider has all the same is under way again.
    pub(super) fn after(self, was_told: bool, seen: Self, is_told: bool) -> Option<Self> {
        match (self, seen) {
            (Self::Succeeded, Self::Failed) if is_told => Some(Self::Returned),
            (Self::Failed, _) if was_told => None,
            (Self::Failed, Self::Pending) if is_told => Some(Self::Pending),
            _ => self.moves_to(seen).then_some(seen),
        }
    }
}

/// What was seen of a payment at its provider's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: PaymentStatus,
    /// The provider's id of it.
    pub(super) reference: Option<String>,
    /// What arrived, if it did.
    pub(super) received: Option<kernel::Money>,
    /// Why it failed, as code and in words.
    pub(super) failure: Option<(String, String)>,
}

impl Seen {
    pub(super) fn failed(code: &str, message: &str) -> Self {
        let failure = Some((code.to_owned(), message.to_owned()));
        Self { status: PaymentStatus::Failed, reference: None, received: None, failure }
    }

    /// `None`: nothing new was learnt.
    pub(super) fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Found(intent) => Some(Self::of_intent(intent)),
            Outcome::Declined { intent, code, message } => {
                Some(Self { reference: intent, ..Self::failed(&code, &message) })
            }
            Outcome::Refused { code, message } | Outcome::KeyRefused { code, message } => {
                Some(Self::failed(&code, &message))
            }
            Outcome::Unknown(_) => {
                let status = PaymentStatus::Unknown;
                Some(Self { status, reference: None, received: None, failure: None })
            }
            Outcome::Busy => None,
        }
    }

    pub(super) fn of_intent(intent: stripe::Intent) -> Self {
        let status = match intent.status {
            IntentStatus::Succeeded => PaymentStatus::Succeeded,
            IntentStatus::Processing => PaymentStatus::Processing,
            IntentStatus::RequiresAction => PaymentStatus::RequiresAction,
            IntentStatus::Failed => PaymentStatus::Failed,
        };
        let received = (status == PaymentStatus::Succeeded).then_some(intent.amount);
        Self { status, reference: Some(intent.id), received, failure: intent.failure }
    }
}

/// What was seen of a refund, and the provider's id of it; `None`: nothing new was learnt.
pub(super) fn of_refund(outcome: RefundOutcome) -> Option<(RefundStatus, Option<String>)> {
    match outcome {
        RefundOutcome::Found(refund) => {
            let status = match refund.status {
                stripe::RefundStatus::Succeeded => RefundStatus::Succeeded,
                stripe::RefundStatus::Pending => RefundStatus::Pending,
                stripe::RefundStatus::Failed => RefundStatus::Failed,
            };
            Some((status, Some(refund.id)))
        }
        RefundOutcome::Refused { .. } => Some((RefundStatus::Failed, None)),
        RefundOutcome::Unknown(_) => Some((RefundStatus::Unknown, None)),
        RefundOutcome::Busy => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_order_the_end_is_the_same(seen in prop::collection::vec(prop::sample::select(PaymentStatus::ALL), 0..8), seed in any::<u64>()) {
            let end = |seen: &[PaymentStatus]| seen.iter().fold(PaymentStatus::Pending, |at, &next| if at.moves_to(next) { next } else { at });
            let mut other = seen.clone();
            other.sort_by_key(|status| (*status as u64 + 1).wrapping_mul(seed | 1));
            other.extend(&seen);
            prop_assert_eq!(end(&seen), end(&other));
            prop_assert_eq!(end(&seen) == PaymentStatus::Succeeded, seen.contains(&PaymentStatus::Succeeded));
        }
    }

    proptest! {
        /// In whatever order and however often the provider tells of one, the money is where it is, though it had failed here.
        #[test]
        fn a_refund_that_failed_at_the_provider_is_not_made(has_failed_here in any::<bool>(), mut told in prop::collection::vec(
            prop::sample::select(vec![RefundStatus::Pending, RefundStatus::Succeeded, RefundStatus::Failed]), 1..8)) {
            let mut at = if has_failed_here { RefundStatus::Failed } else { RefundStatus::Pending };
            let mut is_known = false;
            for &seen in &told {
                at = at.after(is_known, seen, true).unwrap_or(at);
                is_known = true;
            }
            let is_made = at == RefundStatus::Succeeded;
            let has_failed = told.contains(&RefundStatus::Failed);
            told.retain(|&one| one == RefundStatus::Succeeded);
            prop_assert_eq!(is_made, !has_failed && !told.is_empty());
            prop_assert!(has_failed || at != RefundStatus::Failed);
        }
    }

    #[test]
    fn what_is_final_stays() {
        for &status in PaymentStatus::ALL {
            assert!(!PaymentStatus::Succeeded.moves_to(status));
        }
        for &status in RefundStatus::ALL {
            assert_eq!(RefundStatus::Returned.after(true, status, true), None);
            assert_eq!(RefundStatus::Failed.after(true, status, true), None);
        }
    }
}
