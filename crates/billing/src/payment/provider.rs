//! What a provider that takes charges has to do. Its contract, which every one of them is tested against:
//!
//! - The same charge under the same key charges at most once, however often and at once it is asked.
//! - `Unknown` is said whenever it may have been charged; `Busy`, `Refused`, `KeyRefused` and `Declined` only when it was not.
//! - What was charged is found by our id of it, though its answer never came.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::Money;
use stripe::{Account, Charge, Client, Limits, Outcome, RefundOutcome, SetupError};

/// The code of what failed since the provider takes no such amount of the currency, whoever is charged.
pub(super) const NOT_CHARGEABLE: &str = "amount_not_chargeable";

/// Takes charges and pays them back.
#[async_trait]
pub trait Provider: std::fmt::Debug + Send + Sync {
    /// Charges a customer who is not there.
    async fn charge(&self, account: &Account, key: &str, charge: &Charge) -> Outcome;

    /// Where a charge is: by the provider's id of it, else by ours among those made since. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// What is known instead; never [`Outcome::Found`].
    async fn look(
        &self,
        account: &Account,
        charge: &Charge,
        reference: Option<&str>,
        since: DateTime<Utc>,
    ) -> Result<Option<Outcome>, Outcome>;

    /// Gives up a charge that waits for its customer.
    async fn cancel(&self, account: &Account, key: &str, reference: &str) -> Outcome;

    /// Pays back; the same under the same key at most once. `refund` is our id of it.
    async fn refund(
        &self,
        account: &Account,
        key: &str,
        reference: &str,
        amount: Money,
        refund: &str,
    ) -> RefundOutcome;

    /// Where a refund of a payment is: by the provider's id of it, else by ours. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// What is known instead; never [`RefundOutcome::Found`].
    async fn look_refund(
        &self,
        account: &Account,
        payment: &str,
        reference: Option<&str>,
        refund: &str,
    ) -> Result<Option<RefundOutcome>, RefundOutcome>;
}

/// The provider at an address such as `https://api.stripe.com`.
///
/// # Errors
/// [`SetupError::Url`] for what is none, or neither `https` nor on this machine.
pub fn provider_at(base: &str) -> Result<Arc<dyn Provider>, SetupError> {
    let base = base.parse().map_err(|_| SetupError::Url)?;
    // Shorter than a request to us may take: whoever asks shall hear that it is not known.
    let limits = Limits { total: Duration::from_secs(20), ..Limits::default() };
    Ok(Arc::new(Client::new(&base, limits)?))
}

#[async_trait]
impl Provider for Client {
    async fn charge(&self, account: &Account, key: &str, charge: &Charge) -> Outcome {
        self.charge(account, key, charge).await.unwrap_or_else(|error| Outcome::Refused {
            code: NOT_CHARGEABLE.into(),
            message: error.to_string(),
        })
    }

    async fn look(
        &self,
        account: &Account,
        charge: &Charge,
        reference: Option<&str>,
        since: DateTime<Utc>,
    ) -> Result<Option<Outcome>, Outcome> {
        let Some(reference) = reference else { return self.find(account, charge, since).await };
        match self.retrieve(account, reference).await {
            found @ (Outcome::Found(_) | Outcome::Declined { .. }) => Ok(Some(found)),
            other => Err(other),
        }
    }

    async fn cancel(&self, account: &Account, key: &str, reference: &str) -> Outcome {
        self.cancel(account, reference, key).await
    }

    async fn refund(
        &self,
        account: &Account,
        key: &str,
        reference: &str,
        amount: Money,
        refund: &str,
    ) -> RefundOutcome {
        self.refund(account, key, reference, amount, refund).await.unwrap_or_else(|error| {
            RefundOutcome::Refused { code: NOT_CHARGEABLE.into(), message: error.to_string() }
        })
    }

    async fn look_refund(
        &self,
        account: &Account,
        payment: &str,
        reference: Option<&str>,
        refund: &str,
    ) -> Result<Option<RefundOutcome>, RefundOutcome> {
        let Some(reference) = reference else { return self.find_refund(account, payment, refund).await };
        match self.retrieve_refund(account, reference).await {
            found @ RefundOutcome::Found(_) => Ok(Some(found)),
            other => Err(other),
        }
    }
}
