//! What the API answers, and what is known by it.

use bytes::Bytes;
use hyper::StatusCode;
use kernel::{Currency, Money};
use outbound::Failure;
use serde::Deserialize;
use serde_json::Value;

use crate::amount::from_api;

/// Where a payment is at the provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// The money is the issuer's.
    Succeeded,
    /// It is on its way; an event says what comes of it.
    Processing,
    /// The customer has to do something first, such as to confirm it to their bank.
    RequiresAction,
    /// It was tried and refused, or never tried; or it was cancelled.
    Failed,
}

/// A payment as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The provider's id of it.
    pub id: String,
    /// Where it is.
    pub status: IntentStatus,
    /// What was received, if it succeeded, else what is asked.
    pub amount: Money,
    /// Our id of it, from the metadata.
    pub payment: Option<String>,
    /// Why it failed last, as code and in words.
    pub failure: Option<(String, String)>,
}

/// What is known after asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has it, succeeded or on its way.
    Found(Intent),
    /// The customer's bank or the provider refused the charge; it is not coming.
    Declined {
        /// The provider's id of the payment, if it made one.
        intent: Option<String>,
        /// The provider's code, such as `card_declined`.
        code: String,
        /// In words.
        message: String,
    },
    /// Ours was no good request: nothing was charged, and the same again cannot work.
    Refused {
        /// The provider's code.
        code: String,
        /// In words.
        message: String,
    },
    /// The provider does not take the key: nothing was charged, and nothing will be by it until somebody sees to it.
    KeyRefused {
        /// The provider's code.
        code: String,
        /// In words.
        message: String,
    },
    /// The provider asks for patience: nothing was charged by this request.
    Busy,
    /// Nobody knows: it may have been charged. Ask, do not charge again.
    Unknown(&'static str),
}

/// Where a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundStatus {
    /// It is paid back.
    Succeeded,
    /// It is on its way.
    Pending,
    /// It came back, or was cancelled.
    Failed,
}

/// A refund as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The provider's id of it.
    pub id: String,
    /// Where it is.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
    /// Our id of it, from the metadata; `None` for one that was made by hand.
    pub refund: Option<String>,
    /// The provider's id of the payment, if it is of one.
    pub intent: Option<String>,
}

/// What is known after asking for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The provider has it.
    Found(Refund),
    /// It is not made, and the same again cannot work.
    Refused {
        /// The provider's code.
        code: String,
        /// In words.
        message: String,
    },
    /// Nothing was made by this request; later it may be.
    Busy,
    /// It may have been made.
    Unknown(&'static str),
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) payment: Option<String>,
    pub(crate) refund: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawIntent {
    id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    #[serde(default)]
    metadata: Metadata,
    last_payment_error: Option<RawError>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawError {
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
    payment_intent: Option<Box<RawIntent>>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    error: RawError,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawRefund {
    id: String,
    status: Option<String>,
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

/// A list, of which only what is ours is read.
#[derive(Debug, Deserialize)]
pub(crate) struct RawList {
    pub(crate) data: Vec<Value>,
    #[serde(default)]
    pub(crate) has_more: bool,
}

pub(crate) fn currency(code: &str) -> Option<Currency> {
    code.to_ascii_uppercase().parse().ok()
}

impl RawError {
    fn in_words(&self) -> (String, String) {
        let code = self.decline_code.as_ref().or(self.code.as_ref()).map_or("declined", String::as_str);
        let message = self.message.as_deref().unwrap_or("the provider gave no reason");
        // They are kept and shown: a provider's answer is not to fill our tables.
        (code.chars().take(100).collect(), message.chars().take(500).collect())
    }
}

/// What we wrote into an object's metadata. Looked at before the object is read: what is not ours need not make sense.
pub(crate) fn metadata<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"][key].as_str()
}

impl RawIntent {
    /// `None` for what makes no sense.
    pub(crate) fn read(object: Value) -> Option<Intent> {
        Self::intent(serde_json::from_value(object).ok()?)
    }

    fn intent(self) -> Option<Intent> {
        let status = match self.status.as_str() {
            "succeeded" => IntentStatus::Succeeded,
            "processing" => IntentStatus::Processing,
            "requires_action" | "requires_confirmation" | "requires_capture" => IntentStatus::RequiresAction,
            "requires_payment_method" | "canceled" => IntentStatus::Failed,
            _ => return None,
        };
        let is_received = status == IntentStatus::Succeeded;
        let amount = if is_received { self.amount_received } else { self.amount };
        Some(Intent {
            id: self.id,
            status,
            amount: from_api(amount, currency(&self.currency)?).ok()?,
            payment: self.metadata.payment,
            failure: self.last_payment_error.as_ref().map(RawError::in_words),
        })
    }
}

impl RawRefund {
    /// `None` for what makes no sense.
    pub(crate) fn read(object: Value) -> Option<Refund> {
        Self::refund(serde_json::from_value(object).ok()?)
    }

    fn refund(self) -> Option<Refund> {
        let status = match self.status.as_deref() {
            Some("succeeded") => RefundStatus::Succeeded,
            Some("pending" | "requires_action") => RefundStatus::Pending,
            Some("failed" | "canceled") => RefundStatus::Failed,
            _ => return None,
        };
        let amount = from_api(self.amount, currency(&self.currency)?).ok()?;
        Some(Refund {
            id: self.id,
            status,
            amount,
            refund: self.metadata.refund,
            intent: self.payment_intent,
        })
    }
}

impl Outcome {
    pub(crate) fn of_intent(intent: Intent) -> Self {
        if intent.status == IntentStatus::Failed {
            let (code, message) =
                intent.failure.unwrap_or_else(|| ("canceled".into(), "the payment was cancelled".into()));
            return Self::Declined { intent: Some(intent.id), code, message };
        }
        Self::Found(intent)
    }

    /// Of an answer about one payment.
    pub(crate) fn read(answer: Result<(StatusCode, Bytes), Failure>) -> Self {
        match read(answer) {
            Read::Good(body) => serde_json::from_slice(&body)
                .ok()
                .and_then(RawIntent::read)
                .map_or(Self::Unknown("the answer cannot be read"), Self::of_intent),
            Read::Declined(error) => {
                let (code, message) = error.in_words();
                // A payment that is on its way in spite of the error is believed, not the error.
                match error.payment_intent.and_then(|intent| intent.intent()) {
                    Some(intent) if intent.status != IntentStatus::Failed => Self::Found(intent),
                    intent => Self::Declined { intent: intent.map(|intent| intent.id), code, message },
                }
            }
            Read::Refused(code, message) => Self::Refused { code, message },
            Read::KeyRefused(code, message) => Self::KeyRefused { code, message },
            Read::Busy => Self::Busy,
            Read::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl RefundOutcome {
    pub(crate) fn read(answer: Result<(StatusCode, Bytes), Failure>) -> Self {
        match read(answer) {
            Read::Good(body) => serde_json::from_slice(&body)
                .ok()
                .and_then(RawRefund::read)
                .map_or(Self::Unknown("the answer cannot be read"), Self::Found),
            Read::Declined(error) => {
                let (code, message) = error.in_words();
                Self::Refused { code, message }
            }
            Read::Refused(code, message) | Read::KeyRefused(code, message) => Self::Refused { code, message },
            Read::Busy => Self::Busy,
            Read::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// An answer by its status line.
pub(crate) enum Read {
    Good(Bytes),
    Declined(RawError),
    Refused(String, String),
    KeyRefused(String, String),
    Busy,
    Unknown(&'static str),
}

pub(crate) fn read(answer: Result<(StatusCode, Bytes), Failure>) -> Read {
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(Failure::NotSent) => return Read::Busy,
        Err(Failure::NoAnswer(why)) => return Read::Unknown(why),
    };
    let problem = || serde_json::from_slice::<Problem>(&body).ok().map(|problem| problem.error);
    match status.as_u16() {
        200..=299 => Read::Good(body),
        402 => problem().map_or(Read::Unknown("the answer cannot be read"), Read::Declined),
        // 409: another request with this idempotency key is under way, and that one may charge.
        409 => Read::Unknown("the same request is under way"),
        429 => Read::Busy,
        status @ 400..=499 => {
            let (code, message) = problem().unwrap_or_default().in_words();
            let code = if code == "declined" { format!("http_{status}") } else { code };
            match status {
                // No valid key, or one that may not charge. <https://docs.stripe.com/api/errors>
                401 | 403 => Read::KeyRefused(code, message),
                _ => Read::Refused(code, message),
            }
        }
        _ => Read::Unknown("the provider failed"),
    }
}
