//! Speaks a Stripe-compatible API: charges, refunds, and events that are signed.
//!
//! <https://docs.stripe.com/api/payment_intents>, <https://docs.stripe.com/webhooks/signature>
//!
//! A [`Client`] makes one request at a time and says in types what is known afterwards; [`verify`] proves that an event
//! is the provider's, and [`Happened::parse`] reads it. Nothing here remembers or repeats anything: payments and their
//! attempts are rows of the caller's, and so is the decision to ask again.

mod amount;
mod client;
mod dispute;
mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod intent;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod signature;

pub use amount::AmountError;
pub use client::{Account, Charge, Client};
pub use dispute::{Dispute, DisputeFee, DisputeStatus};
pub use event::{EventError, Happened};
pub use intent::{Intent, IntentStatus, Outcome, Refund, RefundOutcome, RefundStatus};
pub use outbound::{Limits, SetupError};
pub use signature::{TOLERANCE, VerifyError, sign, verify};

/// The header that carries an event's time and signatures.
pub const SIGNATURE_HEADER: &str = "stripe-signature";
