//! How much one listener gives to its clients.

use std::time::Duration;

/// The bounds of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; further ones are turned away.
    pub max_connections: usize,
    /// Of these, from one IPv4 address or IPv6 /64.
    pub max_connections_per_peer: usize,
    /// How long a session may go without a login.
    pub login_timeout: Duration,
    /// How long a session waits for a command, and in IDLE for its end. RFC 9051 §5.4 asks for at least 30 minutes.
    pub command_timeout: Duration,
    /// How long each line of a command that has begun may take to arrive; each literal, also one that is refused and comes all the
    /// same, has in addition what it takes at `min_bytes_per_second`.
    pub read_timeout: Duration,
    /// How long a client may take to accept the next 32 KiB or less of a response. Messages that are in memory together may take so long and in
    /// addition what they take at `min_bytes_per_second`.
    pub write_timeout: Duration,
    /// How fast messages come and go at least: a slower client is cut off.
    pub min_bytes_per_second: u64,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Refused logins after which the connection is closed.
    pub max_failed_logins: u32,
    /// How long the answer to a refused login is held back.
    pub failed_login_delay: Duration,
    /// Bytes of messages that are being sent or taken in at a time, over all sessions. A larger message goes alone.
    pub bodies_in_flight_bytes: u64,
    /// How long a command waits for its share of them before it is answered with `UNAVAILABLE`.
    pub body_wait: Duration,
    /// How many connections may be compressed at a time, of which each takes about 250 KiB.
    pub max_compressed: usize,
    /// How often a session asks whether its user may still have it.
    pub recheck: Duration,
    /// How long sessions get, at shutdown, to finish the command they are at.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_connections_per_peer: 512,
            login_timeout: Duration::from_secs(180),
            command_timeout: Duration::from_secs(30 * 60),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            min_bytes_per_second: 16 << 10,
            handshake_timeout: Duration::from_secs(30),
            max_failed_logins: 3,
            failed_login_delay: Duration::from_secs(2),
            bodies_in_flight_bytes: 512 << 20,
            body_wait: Duration::from_secs(30),
            max_compressed: 1024,
            recheck: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
