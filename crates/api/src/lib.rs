//! HTTP and OpenAPI over the domains; the only crate that knows axum, utoipa and problem+json.
//!
//! A handler translates: it takes a request apart (`extract`), calls one function of a domain and wraps what comes
//! back. What all requests have in common is in layers, from outside in: `around` (id, span, measures, deadline, form
//! of errors), `rate` (requests per credential), the limits on bodies, `bare` (no parameter where there is none),
//! `idempotency`, and `version` (any version of several).

mod accept;
mod around;
mod bare;
mod client;
mod day;
mod document;
mod extract;
mod file;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod idempotency;
mod instant;
mod limits;
mod page;
mod problem;
mod rate;
mod routes;
mod schema;
mod scim;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod serve;
mod strict;
mod tasks;
mod version;
mod word;

use std::ops::Deref;
use std::sync::Arc;

use dns::Resolver;
use dns::health::Expected;
use ipnet::IpNet;
use mailstore::MailStore;
use metrics_exporter_prometheus::PrometheusHandle;
use tenancy::auth::Auth;

pub use document::openapi;
pub use limits::Limits;
pub use routes::router;
pub use serve::serve;

/// What the API works with.
#[derive(Clone)]
pub struct Means {
    /// Proves who calls; brings the database with it.
    pub auth: Auth,
    /// Where mail is kept.
    pub store: MailStore,
    /// What `/metrics` prints: the handle of the recorder that the process installed.
    pub metrics: PrometheusHandle,
    /// Takes charges.
    pub payments: Arc<dyn billing::payment::Provider>,
    /// Knows numbers for value-added tax.
    pub vat_register: Arc<dyn billing::vat_id::VatRegister>,
    /// Says which addresses webhooks may be sent to.
    pub webhooks: webhook::Guard,
    /// How much clients get.
    pub limits: Limits,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Asks the domain name system whose a domain is and what it says of its mail.
    pub dns: Resolver,
    /// What a domain's records should say.
    pub expected_dns: Expected,
}

/// The same for the layers and handlers, each of which takes a clone of it for each request.
#[derive(Clone)]
struct Api(Arc<Means>);

impl Deref for Api {
    type Target = Means;

    fn deref(&self) -> &Means {
        &self.0
    }
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").field("limits", &self.limits).finish_non_exhaustive()
    }
}
