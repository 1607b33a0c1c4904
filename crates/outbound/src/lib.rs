//! One request over HTTPS to a service that the operator named, with limits. Redirects are not followed: a key goes where it
//! was meant to go, and an answer is the service's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection.
    pub connect: Duration,
    /// For the whole request. What is given up here may have been done all the same.
    pub total: Duration,
    /// How much of an answer is read, in bytes.
    pub response_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(60),
            response_bytes: 2 * 1_024 * 1_024,
        }
    }
}

/// Why no client can be built.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is none of a server's: it needs to be `https`, or `http` to the machine itself, and end in a host.
    #[error("the address must be https://host, or http://127.0.0.1:port for tests")]
    Url,
    /// The TLS library refuses its own defaults.
    #[error("tls cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

fn is_base(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    let is_plain = url.has_host() && url.query().is_none() && url.fragment().is_none();
    is_plain && (url.scheme() == "https" || url.scheme() == "http" && is_local)
}

/// How a request failed, without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made, so nothing was asked.
    NotSent,
    /// It may have arrived.
    NoAnswer(&'static str),
}

/// Sends requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transport {
    base: Url,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: Limits,
}

impl Transport {
    /// Sends to the service at `base`, such as `https://api.stripe.com`. Reads the machine's root certificates.
    ///
    /// # Errors
    /// [`SetupError::Url`] for one that is not `https`, unless it is the machine itself.
    pub fn new(base: &Url, limits: Limits) -> Result<Self, SetupError> {
        if !is_base(base) {
            return Err(SetupError::Url);
        }
        let mut roots = RootCertStore::empty();
        // One certificate that cannot be read is no reason to stop.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        // The provider is named: rustls' choice by default panics if a dependency brings a second.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(limits.connect));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // No connection is kept: one that has died in the meantime would leave it in doubt what was done.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(https);
        Ok(Self { base: base.clone(), client, limits })
    }

    /// The service's address with these segments after it, each escaped.
    pub fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Sends a request, and reads its answer whole.
    ///
    /// # Errors
    /// [`Failure`]: there is no answer, or none in time or of its size.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    Failure::NotSent
                } else {
                    Failure::NoAnswer("the connection was cut")
                }
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), self.limits.response_bytes);
            let body = body.collect().await.map_err(|_| Failure::NoAnswer("the answer was cut"))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(self.limits.total, exchange)
            .await
            .unwrap_or(Err(Failure::NoAnswer("no answer in time")))
    }
}
