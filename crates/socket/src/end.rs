//! How sessions end.

use std::io;
use std::time::Instant;

use crate::login::ShuttingDown;
use crate::stream::Broken;

/// The reasons of a protocol's own for which its sessions end.
pub trait Reason {
    /// As metrics and logs name it.
    fn as_str(&self) -> &'static str;
}

/// Why a session ended.
#[derive(Debug)]
pub enum End<Own> {
    /// For a reason of its protocol's own.
    Own(Own),
    /// The client hung up.
    Disconnected,
    /// No command came in time.
    Idle,
    /// The client did not take its response in time.
    Stalled,
    /// Too many logins were refused.
    TooManyFailedLogins,
    /// The login is not good any more.
    LoginGone,
    /// The server is shutting down.
    Shutdown,
    /// The connection broke.
    Io(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
}

impl<Own> From<Broken> for End<Own> {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stalled => Self::Stalled,
            Broken::Io(cause) => Self::Io(cause),
        }
    }
}

impl<Own> From<ShuttingDown> for End<Own> {
    fn from(ShuttingDown: ShuttingDown) -> Self {
        Self::Shutdown
    }
}

impl<Own: Reason> End<Own> {
    /// As metrics and logs name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Own(own) => own.as_str(),
            Self::Disconnected => "disconnected",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::TooManyFailedLogins => "too_many_failed_logins",
            Self::LoginGone => "login_gone",
            Self::Shutdown => "shutdown",
            Self::Io(_) => "connection_broken",
            Self::Tls(_) => "tls_failed",
        }
    }

    /// Logs it, and counts it in `pillarbox_{protocol}_sessions_ended_total` and `…_sent_bytes_total`.
    pub fn report(&self, protocol: &'static str, started: Instant, sent_bytes: u64) {
        let broken = match self {
            Self::Io(cause) | Self::Tls(cause) => Some(cause.kind()),
            _ => None,
        };
        tracing::info!(
            session.end = self.as_str(),
            session.error = broken.map(tracing::field::debug),
            session.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            session.sent_bytes = sent_bytes,
            "{protocol} session ended"
        );
        let ended = format!("pillarbox_{protocol}_sessions_ended_total");
        metrics::counter!(ended, "reason" => self.as_str()).increment(1);
        let sent = format!("pillarbox_{protocol}_sent_bytes_total");
        metrics::counter!(sent).increment(sent_bytes);
    }
}
