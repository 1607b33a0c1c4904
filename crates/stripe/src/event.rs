//! Events, read as far as they concern payments and refunds.

use serde::Deserialize;

use crate::intent::{Intent, RawIntent, RawList, RawRefund, Refund};

/// Something that happened at the provider's. It says where a thing is now, or was once: events come twice and in any
/// order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The provider's id of it, the same each time it is sent.
    pub id: String,
    /// What happened.
    pub happened: Happened,
}

/// What of an event matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A payment succeeded, failed, is on its way or was cancelled.
    Payment(Intent),
    /// Refunds were made, went through or failed.
    Refunds(Vec<Refund>),
    /// Nothing that matters here.
    Other,
}

/// Why a body is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no event of the provider's")]
pub struct EventError;

#[derive(Debug, Deserialize)]
struct Raw {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: serde_json::Value,
}

/// A charge, of which only its refunds matter; newer versions of the API leave them out.
#[derive(Debug, Deserialize)]
struct RawCharge {
    refunds: Option<RawList<RawRefund>>,
}

impl Event {
    /// Reads a body whose signature holds.
    ///
    /// # Errors
    /// [`EventError`] for one that cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let raw: Raw = serde_json::from_slice(body).map_err(|_| EventError)?;
        let happened = match raw.kind.as_str() {
            "payment_intent.succeeded"
            | "payment_intent.payment_failed"
            | "payment_intent.processing"
            | "payment_intent.requires_action"
            | "payment_intent.canceled" => {
                let intent: RawIntent = object(raw.data.object)?;
                Happened::Payment(intent.read().ok_or(EventError)?)
            }
            "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
                let refund: RawRefund = object(raw.data.object)?;
                Happened::Refunds(vec![refund.read().ok_or(EventError)?])
            }
            "charge.refunded" => {
                let charge: RawCharge = object(raw.data.object)?;
                let refunds = charge.refunds.map(|list| list.data).unwrap_or_default();
                Happened::Refunds(refunds.into_iter().filter_map(RawRefund::read).collect())
            }
            _ => Happened::Other,
        };
        Ok(Self { id: raw.id, happened })
    }
}

fn object<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, EventError> {
    serde_json::from_value(value).map_err(|_| EventError)
}

#[cfg(test)]
mod tests {
    use kernel::Money;
    use proptest::prelude::*;

    use super::*;
    use crate::{IntentStatus, RefundStatus};

    fn event(kind: &str, object: &str) -> Result<Event, EventError> {
        Event::parse(format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{object}}}}}"#).as_bytes())
    }

    #[test]
    fn payments_and_refunds_are_read_and_all_else_is_passed_over() {
        let intent = r#"{"id":"pi_1","status":"succeeded","amount":1250,"amount_received":1200,"currency":"eur",
            "metadata":{"payment":"pay_1","theirs":"x"},"last_payment_error":null}"#;
        let Happened::Payment(read) = event("payment_intent.succeeded", intent).unwrap().happened else {
            panic!()
        };
        assert_eq!((read.id.as_str(), read.status), ("pi_1", IntentStatus::Succeeded));
        assert_eq!(
            (read.amount, read.payment.as_deref()),
            (Money::new(1200, "EUR".parse().unwrap()), Some("pay_1"))
        );
        let refund =
            r#"{"id":"re_1","status":"pending","amount":500,"currency":"eur","metadata":{"refund":"ref_1"}}"#;
        let charge = format!(r#"{{"id":"ch_1","refunds":{{"data":[{refund}]}}}}"#);
        for (kind, object) in [("refund.updated", refund), ("charge.refunded", charge.as_str())] {
            let Happened::Refunds(read) = event(kind, object).unwrap().happened else { panic!() };
            assert_eq!((read[0].status, read[0].refund.as_deref()), (RefundStatus::Pending, Some("ref_1")));
        }
        assert_eq!(event("charge.refunded", r#"{"id":"ch_1"}"#).unwrap().happened, Happened::Refunds(vec![]));
        assert_eq!(event("customer.created", "{}").unwrap().happened, Happened::Other);
        for object in ["{}", r#"{"id":"pi_1","status":"new","amount":1,"currency":"eur"}"#, "[]"] {
            assert_eq!(event("payment_intent.succeeded", object), Err(EventError), "{object}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Event::parse(&bytes);
        }
    }
}
