//! Registers of numbers for value-added tax.

use std::sync::Arc;

use async_trait::async_trait;
use vies::{Client, Limits, Number, Outcome, SetupError};

/// A register of numbers, such as the Commission's VIES. One that cannot be reached, or that does not know just now, answers
/// [`Outcome::Unknown`], and never that it has no such number.
#[async_trait]
pub trait VatRegister: std::fmt::Debug + Send + Sync {
    /// Asks whether it has a number, on behalf of an issuer with a number of its own.
    async fn look_up(&self, number: Number<'_>, asker: Option<Number<'_>>) -> Outcome;

    /// Whether there is anybody to ask.
    fn is_there(&self) -> bool {
        true
    }
}

#[async_trait]
impl VatRegister for Client {
    async fn look_up(&self, number: Number<'_>, asker: Option<Number<'_>>) -> Outcome {
        self.check(number, asker).await
    }
}

/// No register: nobody is asked.
#[derive(Debug, Clone, Copy)]
pub struct NoRegister;

#[async_trait]
impl VatRegister for NoRegister {
    async fn look_up(&self, _: Number<'_>, _: Option<Number<'_>>) -> Outcome {
        Outcome::Unknown("there is no register".to_owned())
    }

    fn is_there(&self) -> bool {
        false
    }
}

/// VIES at an address such as `https://ec.europa.eu/taxation_customs/vies/rest-api`.
///
/// # Errors
/// [`SetupError::Url`] for what is none, or neither `https` nor on this machine.
pub fn register_at(base: &str) -> Result<Arc<dyn VatRegister>, SetupError> {
    let base = base.parse().map_err(|_| SetupError::Url)?;
    // A member state may take its time; whoever puts a profile waits for less.
    let limits =
        Limits { total: std::time::Duration::from_secs(30), response_bytes: 64 * 1024, ..Limits::default() };
    Ok(Arc::new(Client::new(&base, limits)?))
}
