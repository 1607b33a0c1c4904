//! What a client may use up.

use std::time::Duration;

use tokio::time::Instant;

/// How long a message may take to come.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Its next bytes. So long may it fall behind `min_bytes_per_second`, too.
    pub piece: Duration,
    /// All of it, so that nobody holds a buffer for ever byte by byte.
    pub whole: Duration,
    /// How fast it comes at least.
    pub min_bytes_per_second: u64,
}

impl Transfer {
    /// By when the next bytes are to be there, now that so many have come that were to be there by `deadline`. Who was quick gains no time to be slow
    /// in: whatever has come, no more than [`Self::piece`] from now on.
    pub(crate) fn extended(&self, deadline: Instant, bytes: usize) -> Instant {
        let micros = (bytes as u64).saturating_mul(1_000_000) / self.min_bytes_per_second.max(1);
        (deadline + Duration::from_micros(micros)).min(Instant::now() + self.piece)
    }
}

impl Default for Transfer {
    fn default() -> Self {
        Self {
            piece: Duration::from_secs(10 * 60),
            whole: Duration::from_secs(60 * 60),
            min_bytes_per_second: 16 << 10,
        }
    }
}

/// The limits of an LMTP server; each has a default fit for production.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest message taken, in bytes as DATA carries it, dot-unstuffed; at most
    /// [`mailstore::MAX_MESSAGE_BYTES`]. Told to clients by SIZE.
    pub message_bytes: u64,
    /// The most bytes that messages in the middle of DATA may occupy together, over all connections. Who needs
    /// more waits, and is not read from meanwhile. At least the size of one message is used.
    pub bodies_in_flight_bytes: u64,
    /// The most recipients of one transaction. RFC 5321 §4.5.3.1.8: at least 100.
    pub recipients: usize,
    /// The most connections at once; one more is told 421.
    pub max_connections: usize,
    /// How many commands of a client may be refused as mistakes between two messages; the next ends the session.
    pub faults: u32,
    /// How long a whole command line may take to come, and replies to be read. RFC 5321 §4.5.3.2.7: at least
    /// five minutes.
    pub command_timeout: Duration,
    /// How long DATA may take to come.
    pub transfer: Transfer,
    /// How long a message waits for room in the buffers before it is put off with 451.
    pub body_wait: Duration,
    /// How long after the shutdown a transaction in the middle of DATA may take to finish.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: mailstore::MAX_MESSAGE_BYTES,
            bodies_in_flight_bytes: 512 << 20,
            recipients: 100,
            max_connections: 1024,
            faults: 20,
            command_timeout: Duration::from_secs(5 * 60),
            transfer: Transfer::default(),
            body_wait: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_quick_gains_no_time_to_be_slow_in() {
        let secs = Duration::from_secs;
        let transfer = Transfer { piece: secs(100), whole: secs(1000), min_bytes_per_second: 1000 };
        let now = Instant::now();
        assert_eq!(transfer.extended(now + secs(50), 2000), now + secs(52));
        assert_eq!(transfer.extended(now + secs(50), 1), now + secs(50) + Duration::from_millis(1));
        let quick = transfer.extended(now + secs(50), 1_000_000_000);
        assert!(quick >= now + secs(100) && quick < now + secs(160), "{:?}", quick - now);
        assert_eq!(Transfer { min_bytes_per_second: 0, ..transfer }.extended(now, 1), now + secs(1));
    }
}
