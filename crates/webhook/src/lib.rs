//! Signs a webhook by Standard Webhooks 1.0 and sends it, to no address that is not public.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! A [`Secret`] signs, and [`schedule`] says when the next attempt is due. Nothing here remembers anything: endpoints,
//! deliveries and attempts are rows of the caller's.

pub mod schedule;
mod secret;
mod signature;

pub use secret::{Secret, SecretError};
pub use signature::{Received, TOLERANCE, VerifyError, sign, verify};
