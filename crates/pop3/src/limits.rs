//! How much one listener gives to its clients.

use std::time::Duration;

/// The bounds of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; further ones are turned away with `[SYS/TEMP]`.
    pub max_connections: usize,
    /// Of these, from one IPv4 address or IPv6 /64.
    pub max_connections_per_peer: usize,
    /// How long a session may go without a login.
    pub login_timeout: Duration,
    /// How long a session waits for a complete command before it ends without deleting anything. RFC 1939 §3 asks
    /// for at least ten minutes.
    pub command_timeout: Duration,
    /// How long a client may take to accept the next 32 KiB or less of a response. A message may take so long and in addition what it takes at
    /// `min_bytes_per_second`.
    pub write_timeout: Duration,
    /// How fast messages go at least: a slower client is cut off.
    pub min_bytes_per_second: u64,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Refused logins after which the connection is closed.
    pub max_failed_logins: u32,
    /// How long the answer to a refused login is held back.
    pub failed_login_delay: Duration,
    /// How often a session renews its lease on the maildrop; well under the 120 s that a lease lasts.
    pub lease_renewal: Duration,
    /// Bytes of messages being sent at a time, over all sessions, of which a mailbox has an eighth, or what the largest message takes. A message
    /// larger than that goes alone.
    pub bodies_in_flight_bytes: u64,
    /// How long a RETR or TOP waits for its share of them before it answers `[SYS/TEMP]`.
    pub body_wait: Duration,
    /// How long sessions get, at shutdown, to finish the command they are at.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 2048,
            max_connections_per_peer: 256,
            login_timeout: Duration::from_secs(180),
            command_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(60),
            min_bytes_per_second: 16 << 10,
            handshake_timeout: Duration::from_secs(30),
            max_failed_logins: 3,
            failed_login_delay: Duration::from_secs(2),
            lease_renewal: Duration::from_secs(30),
            bodies_in_flight_bytes: 512 << 20,
            body_wait: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
