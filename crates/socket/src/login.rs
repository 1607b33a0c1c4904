//! Logins: how many there were, and what becomes of those that were refused.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The server is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShuttingDown;

/// Counts a login by what came of it: in `pillarbox_{protocol}_logins_total`.
pub fn count(protocol: &'static str, outcome: &'static str) {
    let name = format!("pillarbox_{protocol}_logins_total");
    metrics::counter!(name, "outcome" => outcome).increment(1);
}

/// The logins of one session that were refused. They are the connection's own: a handshake does not make it another.
#[derive(Debug, Default)]
pub struct FailedLogins(u32);

impl FailedLogins {
    /// Counts one more, and lets `delay` pass before it is answered.
    ///
    /// # Errors
    /// When the server shuts down meanwhile.
    pub async fn add(
        &mut self,
        protocol: &'static str,
        delay: Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), ShuttingDown> {
        count(protocol, "refused");
        self.0 += 1;
        tracing::info!(login.failed = self.0, "{protocol} login refused");
        tokio::select! {
            () = shutdown.cancelled() => Err(ShuttingDown),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }

    /// Whether there are so many, and the session is to end.
    pub fn are(&self, max: u32) -> bool {
        self.0 >= max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_are_counted_and_answered_late_and_a_shutdown_waits_for_none() {
        let (mut failed, shutdown) = (FailedLogins::default(), CancellationToken::new());
        let (delay, began) = (Duration::from_millis(50), tokio::time::Instant::now());
        assert_eq!(failed.add("test", delay, &shutdown).await, Ok(()));
        assert!(began.elapsed() >= delay && !failed.are(2));
        shutdown.cancel();
        assert_eq!(failed.add("test", Duration::from_secs(3600), &shutdown).await, Err(ShuttingDown));
        assert!(failed.are(2) && !failed.are(3), "it was refused all the same");
    }
}
