//! How much one listener gives to its clients.

use std::time::Duration;

use crate::limits::Transfer;

/// The bounds of one listener; each has a default fit for production.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest message taken, in bytes as DATA carries it, dot-unstuffed; at most [`mailstore::MAX_MESSAGE_BYTES`]. Told by SIZE.
    pub message_bytes: u64,
    /// The most bytes that messages in the middle of DATA may occupy together: a half of it as they come, and the other half for two copies of each that has
    /// come. Those of one mailbox have an eighth of each half, or what two of the largest size take as they come. Who needs more waits. At least what two
    /// take is used.
    pub bodies_in_flight_bytes: u64,
    /// How many messages of one mailbox may be in the middle of DATA.
    pub messages_at_once: usize,
    /// How long a message waits for room there before it is put off.
    pub body_wait: Duration,
    /// The most recipients of one transaction. RFC 5321 §4.5.3.1.8: at least 100.
    pub recipients: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Of these, from one IPv4 address or IPv6 /64.
    pub max_connections_per_peer: usize,
    /// How many recipients that nobody is may be named; the next ends the session.
    pub unknown_recipients: u32,
    /// How many commands may be refused as mistakes between two messages; the next ends the session.
    pub faults: u32,
    /// How long a whole command line may take to come, and replies to be read. RFC 5321 §4.5.3.2.7: at least five minutes.
    pub command_timeout: Duration,
    /// How long a client may take, from its connection on, to sign in.
    pub login_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long DATA may take to come.
    pub transfer: Transfer,
    /// Refused logins after which the connection is closed.
    pub max_failed_logins: u32,
    /// How long the answer to a refused login is held back.
    pub failed_login_delay: Duration,
    /// After how long it is asked again whether who has signed in may still send.
    pub recheck: Duration,
    /// How long sessions get, at shutdown, to finish the command they are at.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: mailstore::MAX_MESSAGE_BYTES,
            bodies_in_flight_bytes: 512 << 20,
            messages_at_once: 4,
            body_wait: Duration::from_secs(60),
            recipients: 100,
            max_connections: 1024,
            max_connections_per_peer: 128,
            unknown_recipients: 100,
            faults: 20,
            command_timeout: Duration::from_secs(5 * 60),
            login_timeout: Duration::from_secs(2 * 60),
            handshake_timeout: Duration::from_secs(30),
            transfer: Transfer {
                piece: Duration::from_secs(3 * 60),
                whole: Duration::from_secs(30 * 60),
                min_bytes_per_second: 16 << 10,
            },
            max_failed_logins: 3,
            failed_login_delay: Duration::from_secs(2),
            recheck: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}
