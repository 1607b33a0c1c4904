//! How long anything may take.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::fault::{Phase, RouteFault};

/// How long a smarthost is waited for, by what it is asked (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For a connection, and for a TLS handshake.
    pub connect: Duration,
    /// For each reply before a transaction: the greeting, EHLO, STARTTLS, AUTH.
    pub greeting: Duration,
    /// For each reply to MAIL, RCPT and RSET.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For each block of the message to be taken.
    pub block: Duration,
    /// For the reply to the final dot.
    pub dot: Duration,
    /// For all of it together.
    pub whole: Duration,
    /// How long a connection is kept that has nothing to do.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            command: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
            whole: minutes(14),
            idle: Duration::from_secs(30),
        }
    }
}

/// The deadlines of one transaction that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer {
    /// Of each step.
    pub(crate) deadlines: Deadlines,
    /// When all of it has to be over.
    ends_at: Instant,
}

impl Timer {
    /// Counts from now.
    pub(crate) fn start(deadlines: Deadlines) -> Self {
        Self { deadlines, ends_at: Instant::now() + deadlines.whole }
    }

    /// What a step may take that has so much for itself.
    pub(crate) fn left(&self, limit: Duration) -> Duration {
        limit.min(self.ends_at.saturating_duration_since(Instant::now()))
    }

    /// Waits for a step, at most so long.
    ///
    /// # Errors
    /// [`RouteFault::TimedOut`], [`RouteFault::Broken`].
    pub(crate) async fn within<T>(
        &self,
        phase: Phase,
        limit: Duration,
        step: impl Future<Output = io::Result<T>>,
    ) -> Result<T, RouteFault> {
        match timeout_at(self.ends_at.min(Instant::now() + limit), step).await {
            Ok(done) => done.map_err(|source| RouteFault::Broken { phase, source }),
            Err(_) => Err(RouteFault::TimedOut(phase)),
        }
    }
}
