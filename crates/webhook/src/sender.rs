//! One attempt at a delivery. A connection of its own each time, to an address that has been judged, over hyper
//! directly: a client library would look the name up again, and brings redirects, proxies and pools to be turned off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use kernel::Env;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use crate::outcome::{excerpt, retry_after};
use crate::target::resolve;
use crate::{Guard, ID_HEADER, Outcome, SIGNATURE_HEADER, SendError, TIMESTAMP_HEADER, sign};

const USER_AGENT: &str = "Pillarbox-Webhooks/1";

/// How many of a name's addresses are tried.
const MAX_ADDRESSES: usize = 3;

/// What hyper may keep of an answer's head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1_024;

/// One message to one endpoint.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The endpoint's URL, as [`Guard::check_url`] gave it.
    pub url: String,
    /// The event's id: the same in every attempt, so that the receiver can tell a repetition. Free of `.`.
    pub id: String,
    /// The time of this attempt.
    pub timestamp: DateTime<Utc>,
    /// The endpoint's secrets: one, or both while it is being replaced.
    pub secrets: Vec<crate::Secret>,
    /// The JSON to send. What is signed is these bytes.
    pub body: Bytes,
}

/// What one attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection to one address, and again for the TLS handshake.
    pub connect: Duration,
    /// For the whole attempt.
    pub total: Duration,
    /// How many bytes of the answer's body are read before the connection is dropped.
    pub response_bytes: usize,
    /// How many of them are kept.
    pub excerpt_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(20),
            response_bytes: 16 * 1_024,
            excerpt_bytes: 1_024,
        }
    }
}

/// Why no sender can be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The machine has no certificates of authorities, so that no endpoint could be trusted.
    #[error("the machine has no root certificates; install ca-certificates or set SSL_CERT_FILE")]
    NoRoots,
    /// The TLS library refuses its own defaults.
    #[error("tls cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Makes attempts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    guard: Guard,
    limits: Limits,
    tls: Arc<ClientConfig>,
}

/// An answer whose body is still to come, and the connection's task, which ends when this is dropped.
struct Answer {
    response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl Sender {
    /// A sender that trusts the machine's certificate authorities. Reads files.
    pub fn new(guard: Guard, limits: Limits) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        // One certificate that cannot be read is no reason to stop.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(guard, limits, roots)
    }

    /// A sender that trusts these authorities only.
    pub fn with_roots(guard: Guard, limits: Limits, roots: RootCertStore) -> Result<Self, TlsError> {
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        // The provider is named: rustls' choice by default panics if a dependency brings a second.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(Inner { guard, limits, tls: Arc::new(tls) })))
    }

    /// The guard that judges this sender's addresses.
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// Makes one attempt. `env` is only asked for the time, to read a `Retry-After` that is a date.
    pub async fn send(&self, env: &Env, delivery: &Delivery) -> Outcome {
        let started = Instant::now();
        let deadline = started + self.0.limits.total;
        let answer = timeout_at(deadline, self.0.attempt(delivery)).await.unwrap_or(Err(SendError::Timeout));
        let mut outcome = Outcome {
            status: None,
            excerpt: String::new(),
            duration: Duration::ZERO,
            retry_after: None,
            error: None,
        };
        match answer {
            Err(error) => outcome.error = Some(error),
            Ok(mut answer) => {
                let response = &mut answer.response;
                outcome.status = Some(response.status().as_u16());
                if !response.status().is_success() {
                    let asked = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
                    outcome.retry_after = asked.and_then(|value| retry_after(value, env.now()));
                }
                outcome.excerpt = excerpt(&self.0.read(response.body_mut(), deadline).await);
            }
        }
        outcome.duration = started.elapsed();
        outcome
    }
}

impl Inner {
    async fn attempt(&self, delivery: &Delivery) -> Result<Answer, SendError> {
        let url = self.guard.check_url(&delivery.url)?;
        let request = request(&url, delivery)?;
        let addresses = resolve(&self.guard, &url).await?;
        let stream = self.connect(&addresses).await?;
        if url.scheme() == "http" {
            exchange(stream, request).await
        } else {
            exchange(self.handshake(&url, stream).await?, request).await
        }
    }

    /// Connects to the first address that answers.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
        let mut last = SendError::NoAddress;
        for address in addresses.iter().take(MAX_ADDRESSES) {
            let tried = timeout(self.limits.connect, TcpStream::connect(address)).await;
            match tried.unwrap_or_else(|elapsed| Err(elapsed.into())) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = SendError::Connect(error),
            }
        }
        Err(last)
    }

    async fn handshake(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, SendError> {
        let name = server_name(url)?;
        let handshake = TlsConnector::from(self.tls.clone()).connect(name, stream);
        timeout(self.limits.connect, handshake).await.unwrap_or_else(|elapsed| Err(elapsed.into())).map_err(
            |error| match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(inner) => SendError::Tls(inner.clone()),
                None => SendError::Connect(error),
            },
        )
    }

    /// The beginning of the body. The status has already decided: a body that breaks off or never ends is only cut.
    async fn read(&self, body: &mut Incoming, deadline: Instant) -> Vec<u8> {
        let (mut kept, mut seen) = (Vec::new(), 0);
        while seen < self.limits.response_bytes {
            let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await else { break };
            let Some(data) = frame.data_ref() else { continue };
            seen += data.len();
            kept.extend_from_slice(&data[..data.len().min(self.limits.excerpt_bytes - kept.len())]);
        }
        kept
    }
}

fn request(url: &Url, delivery: &Delivery) -> Result<Request<Full<Bytes>>, SendError> {
    if delivery.secrets.is_empty() {
        return Err(SendError::Unsigned);
    }
    let signature = sign(&delivery.secrets, &delivery.id, delivery.timestamp, &delivery.body);
    let request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .header(ID_HEADER, &delivery.id)
        .header(TIMESTAMP_HEADER, delivery.timestamp.timestamp())
        .header(SIGNATURE_HEADER, signature)
        .body(Full::new(delivery.body.clone()))?;
    Ok(request)
}

/// The name that the certificate must hold; the dot that ends an absolute name is no part of it (RFC 6066 §3).
fn server_name(url: &Url) -> Result<ServerName<'static>, SendError> {
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(ServerName::from(std::net::IpAddr::from(address))),
        Some(Host::Ipv6(address)) => Ok(ServerName::from(std::net::IpAddr::from(address))),
        Some(Host::Domain(name)) => ServerName::try_from(name.strip_suffix('.').unwrap_or(name).to_owned())
            .map_err(|_| SendError::Url(url::ParseError::IdnaError.into())),
        None => Err(SendError::Url(url::ParseError::EmptyHost.into())),
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(SendError::Http)?;
    let mut task = JoinSet::new();
    // How the connection ends shows in the answer or its body.
    task.spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(SendError::Http)?;
    Ok(Answer { response, _connection: task })
}
