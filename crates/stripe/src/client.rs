//! Requests: form-encoded, by version, each that changes something under an idempotency key.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use kernel::Money;
use outbound::{Failure, Limits, SetupError, Transport};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::AmountError;
use crate::amount::to_api;
use crate::intent::{Outcome, RawIntent, RawList, RawRefund, Read, RefundOutcome, metadata, read};

/// The version of the API whose answers are read here.
const VERSION: &str = "2024-06-20";
const USER_AGENT: &str = "Pillarbox-Billing/1";
/// The most that a list gives at a time.
const PAGE: &str = "100";

/// Speaks to one provider, for any number of accounts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

/// Whose account at the provider it is.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its secret key.
    pub secret_key: SecretString,
}

/// What to charge, to whom.
#[derive(Debug, Clone)]
pub struct Charge {
    /// How much.
    pub amount: Money,
    /// The provider's id of the customer.
    pub customer: String,
    /// The provider's id of the customer's means of payment.
    pub payment_method: String,
    /// Our id of the payment: goes into its metadata, so that it can be found without the provider's id.
    pub payment: String,
    /// What the customer may read of it.
    pub description: String,
}

impl Client {
    /// A client of the provider at `base`, such as `https://api.stripe.com`. Reads the machine's root certificates.
    ///
    /// # Errors
    /// [`SetupError::Url`] for one that is not `https`, unless it is the machine itself.
    pub fn new(base: &Url, limits: Limits) -> Result<Self, SetupError> {
        Ok(Self { transport: Transport::new(base, limits)? })
    }

    /// Charges a customer who is not there. The same `idempotency_key` again, within a day, charges nothing again.
    ///
    /// # Errors
    /// [`AmountError`] for an amount that the provider cannot charge; nothing is sent then.
    pub async fn charge(
        &self,
        account: &Account,
        idempotency_key: &str,
        charge: &Charge,
    ) -> Result<Outcome, AmountError> {
        let amount = to_api(charge.amount)?.to_string();
        let currency = charge.amount.currency.code().to_ascii_lowercase();
        let fields = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("customer", &charge.customer),
            ("payment_method", &charge.payment_method),
            ("confirm", "true"),
            ("off_session", "true"),
            ("description", &charge.description),
            ("metadata[payment]", &charge.payment),
        ];
        Ok(Outcome::read(self.post(account, &["payment_intents"], idempotency_key, &fields).await))
    }

    /// Asks where a payment is, by the provider's id of it.
    pub async fn retrieve(&self, account: &Account, intent: &str) -> Outcome {
        Outcome::read(self.get(account, &["payment_intents", intent], &[]).await)
    }

    /// Looks for a payment by our id of it, among those of its customer made since; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// What is known instead, such as that it is there and cannot be read: never [`Outcome::Found`].
    pub async fn find(
        &self,
        account: &Account,
        charge: &Charge,
        since: DateTime<Utc>,
    ) -> Result<Option<Outcome>, Outcome> {
        let since = since.timestamp().to_string();
        let query = [("customer", charge.customer.as_str()), ("created[gte]", &since), ("limit", PAGE)];
        let body = match read(self.get(account, &["payment_intents"], &query).await) {
            Read::Good(body) => body,
            Read::Declined(_) => return Err(Outcome::Unknown("the answer cannot be read")),
            Read::Refused(code, message) => return Err(Outcome::Refused { code, message }),
            Read::KeyRefused(code, message) => return Err(Outcome::KeyRefused { code, message }),
            Read::Busy => return Err(Outcome::Busy),
            Read::Unknown(why) => return Err(Outcome::Unknown(why)),
        };
        let unreadable = Outcome::Unknown("the answer cannot be read");
        let Ok(mut list) = serde_json::from_slice::<RawList>(&body) else { return Err(unreadable) };
        let is_it = |one: &Value| metadata(one, "payment") == Some(&charge.payment);
        match list.data.iter().position(is_it).map(|at| RawIntent::read(list.data.swap_remove(at))) {
            Some(Some(intent)) => Ok(Some(Outcome::of_intent(intent))),
            Some(None) => Err(unreadable),
            None if list.has_more => {
                Err(Outcome::Unknown("the customer has too many payments to look through"))
            }
            None => Ok(None),
        }
    }

    /// Gives up a payment that waits for its customer.
    pub async fn cancel(&self, account: &Account, intent: &str, idempotency_key: &str) -> Outcome {
        Outcome::read(self.post(account, &["payment_intents", intent, "cancel"], idempotency_key, &[]).await)
    }

    /// Pays back a part of a payment, or all of it. `refund` is our id of it, for the metadata.
    ///
    /// # Errors
    /// As of [`Client::charge`].
    pub async fn refund(
        &self,
        account: &Account,
        idempotency_key: &str,
        intent: &str,
        amount: Money,
        refund: &str,
    ) -> Result<RefundOutcome, AmountError> {
        let amount = to_api(amount)?.to_string();
        let fields = [("payment_intent", intent), ("amount", amount.as_str()), ("metadata[refund]", refund)];
        Ok(RefundOutcome::read(self.post(account, &["refunds"], idempotency_key, &fields).await))
    }

    /// Looks for a refund by our id of it, among those of its payment; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// What is known instead, such as that it is there and cannot be read: never [`RefundOutcome::Found`].
    pub async fn find_refund(
        &self,
        account: &Account,
        intent: &str,
        refund: &str,
    ) -> Result<Option<RefundOutcome>, RefundOutcome> {
        let query = [("payment_intent", intent), ("limit", PAGE)];
        let unreadable = RefundOutcome::Unknown("the answer cannot be read");
        let body = match read(self.get(account, &["refunds"], &query).await) {
            Read::Good(body) => body,
            Read::Declined(_) => return Err(unreadable),
            Read::Refused(code, message) | Read::KeyRefused(code, message) => {
                return Err(RefundOutcome::Refused { code, message });
            }
            Read::Busy => return Err(RefundOutcome::Busy),
            Read::Unknown(why) => return Err(RefundOutcome::Unknown(why)),
        };
        let Ok(mut list) = serde_json::from_slice::<RawList>(&body) else { return Err(unreadable) };
        let is_it = |one: &Value| metadata(one, "refund") == Some(refund);
        match list.data.iter().position(is_it).map(|at| RawRefund::read(list.data.swap_remove(at))) {
            Some(Some(found)) => Ok(Some(RefundOutcome::Found(found))),
            Some(None) => Err(unreadable),
            None if list.has_more => {
                Err(RefundOutcome::Unknown("the payment has too many refunds to look through"))
            }
            None => Ok(None),
        }
    }

    /// Asks where a refund is, by the provider's id of it.
    pub async fn retrieve_refund(&self, account: &Account, refund: &str) -> RefundOutcome {
        RefundOutcome::read(self.get(account, &["refunds", refund], &[]).await)
    }

    async fn post(
        &self,
        account: &Account,
        path: &[&str],
        idempotency_key: &str,
        fields: &[(&str, &str)],
    ) -> Result<(StatusCode, Bytes), Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .request(account, Method::POST, path, &[])
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("idempotency-key", idempotency_key)
            .body(Full::new(body.into()));
        // A key or id that no header can carry.
        self.transport.send(request.map_err(|_| Failure::NotSent)?).await
    }

    async fn get(
        &self,
        account: &Account,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<(StatusCode, Bytes), Failure> {
        let request = self.request(account, Method::GET, path, query).body(Full::default());
        self.transport.send(request.map_err(|_| Failure::NotSent)?).await
    }

    fn request(
        &self,
        account: &Account,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> hyper::http::request::Builder {
        let mut url = self.transport.url(["v1"].into_iter().chain(path.iter().copied()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", account.secret_key.expose_secret()))
            .header(header::USER_AGENT, USER_AGENT)
            .header("stripe-version", VERSION)
    }
}
