//! Speaks SMTP to a smarthost: one transaction, a result for each recipient. Remembers nothing but its open connections.
//!
//! What a smarthost says of a recipient or a message is an [`Outcome`]; what is wrong with the smarthost or the way to it is a
//! [`RouteFault`], for which no recipient is to blame. Whatever happens before the final dot, the smarthost has no message;
//! once the dot is sent it may have it (RFC 1047), and then there are outcomes, never a fault.

mod deadlines;
mod envelope;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod pool;
mod reply;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod session;
mod smarthost;
mod transaction;
mod wire;

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

pub use crate::deadlines::Deadlines;
pub use crate::envelope::{Envelope, Notify, Recipient, Ret};
pub use crate::fault::{Phase, RouteFault};
pub use crate::reply::{Outcome, Reply};
pub use crate::smarthost::{Smarthost, UrlError};

use crate::deadlines::Timer;
use crate::pool::Pool;
use crate::session::{Session, Way};

/// Why nothing can be sent by this smarthost.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Our own name is not one word.
    #[error("the host name for EHLO must be one word")]
    Hostname,
    /// The TLS library refuses its own defaults.
    #[error("tls cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Sends messages by a smarthost. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Relay {
    way: Arc<Way>,
    pool: Arc<Pool>,
    deadlines: Deadlines,
}

impl Relay {
    /// By this smarthost, to which we are `hostname`. Reads the machine's root certificates.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(smarthost: Smarthost, hostname: String) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        // One certificate that cannot be read is no reason to stop.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(smarthost, hostname, roots)
    }

    /// The same, trusting these certificates and no others.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn with_roots(
        smarthost: Smarthost,
        hostname: String,
        roots: RootCertStore,
    ) -> Result<Self, SetupError> {
        if hostname.is_empty() || hostname.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(SetupError::Hostname);
        }
        // The provider is named: rustls' choice by default panics if a dependency brings a second.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let remote = Arc::from(smarthost.host.as_str());
        let way = Arc::new(Way { smarthost, tls: Arc::new(tls), hostname, remote });
        Ok(Self { way, pool: Arc::default(), deadlines: Deadlines::default() })
    }

    /// The same with other deadlines.
    #[must_use]
    pub fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }

    /// The smarthost's name or address, as [`Reply::remote`] has it.
    pub fn remote(&self) -> &str {
        &self.way.remote
    }

    /// Sends a message, over a connection that is open already if there is one: one outcome for each recipient, in their
    /// order. The message is whole lines that end in CRLF; dots are doubled here.
    ///
    /// To drop the future ends the connection. Before the final dot that leaves nothing at the smarthost.
    ///
    /// # Errors
    /// [`RouteFault`]: nothing was accepted, and no recipient refused for good.
    pub async fn send(&self, envelope: &Envelope<'_>, message: &[u8]) -> Result<Vec<Outcome>, RouteFault> {
        if envelope.recipients.is_empty() {
            return Ok(Vec::new());
        }
        let timer = Timer::start(self.deadlines);
        if let Some(mut session) = self.pool.take() {
            match transaction::run(&mut session, envelope, message, &timer).await {
                // It was closed while it waited, and that is no news of the smarthost.
                Err(fault @ (RouteFault::Broken { .. } | RouteFault::Refused { .. }))
                    if !session.mail_is_answered =>
                {
                    tracing::debug!(%fault, "a connection that was kept is closed");
                }
                done => return self.done(session, done),
            }
        }
        let mut session = Session::open(&self.way, &timer).await?;
        let done = transaction::run(&mut session, envelope, message, &timer).await;
        self.done(session, done)
    }

    /// Keeps the connection for the next message, if it is good for one.
    fn done(
        &self,
        session: Session,
        done: Result<Vec<Outcome>, RouteFault>,
    ) -> Result<Vec<Outcome>, RouteFault> {
        if done.is_ok() {
            self.pool.put(session, self.deadlines.idle);
        }
        done
    }
}
