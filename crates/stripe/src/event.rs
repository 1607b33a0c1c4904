//! Events, read as far as they concern payments, refunds and disputes.

use serde::Deserialize;
use serde_json::Value;

use crate::dispute::Dispute;
use crate::intent::{Intent, RawIntent, RawRefund, Refund, metadata};

/// What an event tells, as far as it matters here: where a thing is now, or was once. Events come twice and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A payment of ours succeeded, failed, is on its way or was cancelled.
    Payment(Intent),
    /// Refunds were made, went through or failed: ours, and those by hand, which may be of others' payments.
    Refunds(Vec<Refund>),
    /// A dispute was opened, took money, gave it back or was closed. It may be of others' payments.
    Dispute(Dispute),
    /// Nothing that matters here, such as what others do with the same account.
    Other,
}

/// Why a body is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no event of the provider's")]
pub struct EventError;

#[derive(Debug, Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Value,
}

impl Happened {
    /// Reads a body whose signature holds.
    ///
    /// # Errors
    /// [`EventError`] for one that is no event, and for one of ours that cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let raw: Raw = serde_json::from_slice(body).map_err(|_| EventError)?;
        let mut object = raw.data.object;
        match raw.kind.as_str() {
            "payment_intent.succeeded"
            | "payment_intent.payment_failed"
            | "payment_intent.processing"
            | "payment_intent.requires_action"
            | "payment_intent.canceled"
                if metadata(&object, "payment").is_some() =>
            {
                RawIntent::read(object).map(Self::Payment).ok_or(EventError)
            }
            "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
                refunds(vec![object])
            }
            // Newer versions of the API leave them out.
            "charge.refunded" => match object.pointer_mut("/refunds/data").map(Value::take) {
                Some(Value::Array(all)) => refunds(all),
                _ => Ok(Self::Other),
            },
            // Which payments are ours is for the caller to know: what makes no sense is others'.
            kind if kind.starts_with("charge.dispute.") => {
                Ok(Dispute::read(kind, object).map_or(Self::Other, Self::Dispute))
            }
            _ => Ok(Self::Other),
        }
    }
}

/// Those of ours, and those of any payment that make sense: it may be ours.
fn refunds(all: Vec<Value>) -> Result<Happened, EventError> {
    let mut read = Vec::new();
    for one in all {
        let is_ours = metadata(&one, "refund").is_some();
        match RawRefund::read(one) {
            Some(refund) if is_ours || refund.intent.is_some() => read.push(refund),
            None if is_ours => return Err(EventError),
            _ => {}
        }
    }
    Ok(if read.is_empty() { Happened::Other } else { Happened::Refunds(read) })
}

#[cfg(test)]
mod tests {
    use kernel::Money;
    use proptest::prelude::*;

    use super::*;
    use crate::{DisputeStatus, IntentStatus, RefundStatus};

    fn event(kind: &str, object: &str) -> Result<Happened, EventError> {
        Happened::parse(
            format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{object}}}}}"#).as_bytes(),
        )
    }

    #[test]
    fn payments_and_refunds_are_read_and_all_else_is_passed_over() {
        let intent = r#"{"id":"pi_1","status":"succeeded","amount":1250,"amount_received":1200,"currency":"eur",
            "metadata":{"payment":"pay_1","theirs":"x"},"last_payment_error":null}"#;
        let Happened::Payment(read) = event("payment_intent.succeeded", intent).unwrap() else { panic!() };
        assert_eq!((read.id.as_str(), read.status), ("pi_1", IntentStatus::Succeeded));
        assert_eq!(
            (read.amount, read.payment.as_deref()),
            (Money::new(1200, "EUR".parse().unwrap()), Some("pay_1"))
        );
        let refund =
            r#"{"id":"re_1","status":"pending","amount":500,"currency":"eur","metadata":{"refund":"ref_1"}}"#;
        let charge = format!(r#"{{"id":"ch_1","refunds":{{"data":[{refund}]}}}}"#);
        for (kind, object) in [("refund.updated", refund), ("charge.refunded", charge.as_str())] {
            let Happened::Refunds(read) = event(kind, object).unwrap() else { panic!() };
            assert_eq!((read[0].status, read[0].refund.as_deref()), (RefundStatus::Pending, Some("ref_1")));
        }
        assert_eq!(event("customer.created", "{}"), Ok(Happened::Other));
    }

    #[test]
    fn what_is_done_by_hand_is_read_by_its_payment() {
        let by_hand = r#"{"id":"re_1","status":"succeeded","amount":500,"currency":"eur","payment_intent":"pi_1","metadata":{}}"#;
        let Happened::Refunds(read) = event("refund.created", by_hand).unwrap() else { panic!() };
        assert_eq!((read[0].refund.as_deref(), read[0].intent.as_deref()), (None, Some("pi_1")));
        let dispute = |status: &str, moved: &str| {
            format!(
                r#"{{"id":"du_1","payment_intent":"pi_1","amount":500,"currency":"eur","status":"{status}","reason":"fraudulent","balance_transactions":[{moved}]}}"#
            )
        };
        for (kind, status, moved, expected) in [
            ("created", "needs_response", "", (DisputeStatus::Open, false, false)),
            ("created", "needs_response", r#"{"amount":-500}"#, (DisputeStatus::Open, true, false)),
            ("funds_withdrawn", "under_review", "", (DisputeStatus::Open, true, false)),
            ("closed", "won", r#"{"amount":-500},{"amount":500}"#, (DisputeStatus::Won, true, true)),
            ("closed", "warning_closed", "", (DisputeStatus::Won, false, false)),
            ("closed", "lost", "", (DisputeStatus::Lost, true, false)),
        ] {
            let kind = format!("charge.dispute.{kind}");
            let Happened::Dispute(read) = event(&kind, &dispute(status, moved)).unwrap() else { panic!() };
            assert_eq!((read.status, read.is_withdrawn, read.is_reinstated), expected, "{kind} {status}");
        }
        assert_eq!(event("charge.dispute.created", "{}"), Ok(Happened::Other));
    }

    #[test]
    fn a_dispute_s_fees_are_read_in_the_currency_in_which_they_are_charged() {
        let moved = r#"{"id":"txn_1","amount":-590,"currency":"usd","fee":1500,"net":-2090},
            {"id":"txn_2","amount":590,"currency":"usd","fee":0,"net":590},
            {"id":"txn_3","amount":0,"currency":"isk","fee":-500,"net":500},
            {"id":"txn_4","amount":0,"currency":"isk","fee":-501,"net":501},
            {"amount":0,"currency":"eur","fee":1,"net":-1}"#;
        let object = format!(
            r#"{{"id":"du_1","payment_intent":"pi_1","amount":500,"currency":"eur","status":"won","balance_transactions":[{moved}]}}"#
        );
        let Happened::Dispute(read) = event("charge.dispute.closed", &object).unwrap() else { panic!() };
        let fees: Vec<_> = read.fees.iter().map(|fee| format!("{} {}", fee.id, fee.amount)).collect();
        // What cannot be told from others, or not in minor units, is none that can be booked.
        assert_eq!(
            (fees, read.has_unread_fees),
            (vec!["txn_1 15.00 USD".into(), "txn_3 -5 ISK".into()], true)
        );
        assert_eq!(read.amount, Money::new(500, "EUR".parse().unwrap()));
    }

    #[test]
    fn what_is_not_ours_need_not_make_sense_and_what_is_has_to() {
        let odd = r#"{"id":"pi_1","status":"new","amount":1,"currency":"eur","metadata":{"order":"7"}}"#;
        for object in ["{}", "[]", "7", odd] {
            for kind in ["payment_intent.succeeded", "refund.updated", "charge.refunded"] {
                assert_eq!(event(kind, object), Ok(Happened::Other), "{kind} {object}");
            }
        }
        let ours = odd.replace("order", "payment");
        assert_eq!(event("payment_intent.succeeded", &ours), Err(EventError));
        let ours = odd.replace("order", "refund");
        assert_eq!(event("refund.updated", &ours), Err(EventError));
        let charge = format!(r#"{{"refunds":{{"data":[{odd},{ours}]}}}}"#);
        assert_eq!(event("charge.refunded", &charge), Err(EventError));
        assert_eq!(event("charge.refunded", &charge.replace("\"refund\"", "\"x\"")), Ok(Happened::Other));
        assert_eq!(Happened::parse(b"{}"), Err(EventError));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Happened::parse(&bytes);
        }
    }
}
