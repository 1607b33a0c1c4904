//! Signs a webhook by Standard Webhooks 1.0 and sends it, to no address that is not public.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! A [`Secret`] signs, a [`Guard`] says which addresses may be reached, a [`Sender`] makes one attempt and reports its
//! [`Outcome`], and [`schedule`] says when the next one is due. Nothing here remembers anything: endpoints, deliveries
//! and attempts are rows of the caller's.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guard;
mod outcome;
pub mod schedule;
mod secret;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod sender;
mod signature;
mod target;

pub use guard::Guard;
pub use outcome::{Outcome, SendError, Verdict};
pub use secret::{Secret, SecretError};
pub use sender::{Delivery, Limits, Sender, TlsError};
pub use signature::{Received, TOLERANCE, VerifyError, sign, verify};
pub use target::UrlError;

/// The header that carries the event's id, the same in every attempt.
pub const ID_HEADER: &str = "webhook-id";
/// The header that carries the attempt's time, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header that carries the signatures, separated by spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
