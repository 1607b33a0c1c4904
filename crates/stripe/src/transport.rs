//! One request over HTTPS, with limits. Redirects are not followed: a key goes where it was meant to go.

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

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection.
    pub connect: Duration,
    /// For the whole request. A provider may take long over a card: what is given up here may be charged all the same.
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
    #[error("a provider's address is https://host, or http://127.0.0.1:port for tests")]
    Url,
    /// The TLS library refuses its own defaults.
    #[error("tls cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// How a request failed, without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection was made, so nothing was asked.
    NotSent,
    /// It may have arrived.
    NoAnswer(&'static str),
}

/// Sends requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: Limits,
}

impl Transport {
    pub(crate) fn new(limits: Limits) -> Result<Self, SetupError> {
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
        // No connection is kept: one that has died in the meantime would leave a charge in doubt.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(https);
        Ok(Self { client, limits })
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
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
