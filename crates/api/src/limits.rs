//! How much the API gives to its clients.

use std::num::NonZeroU32;
use std::time::Duration;

/// However long [`Limits::request_timeout`] is, no request is carried out for longer. `tenancy::idempotency` takes one
/// for dead that has been under way for a minute more, so raising this means raising that.
pub(crate) const LONGEST_REQUEST: Duration = Duration::from_secs(600);

/// The longest body of a request that needs no bearer token, whatever the limit of others: anybody can send it.
pub(crate) const PUBLIC_BODY_BYTES: usize = 1 << 20;

/// A hundred a second: generous for a portal, and an end to a loop that runs wild.
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6000).expect("is not zero");

/// The bounds of the API and its listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest body of a request other than a message; without a bearer token no more than 1 MiB.
    pub body_bytes: usize,
    /// The longest header of a request; a longer one is refused with 431. 8 KiB at least, whatever it says.
    pub header_bytes: usize,
    /// The longest message that can be posted.
    pub message_bytes: usize,
    /// Messages being taken in at a time, each held in memory; further ones wait for their turn.
    pub message_uploads: usize,
    /// Files being sent at a time while they are read, each on a connection to the database; further ones wait for their turn.
    pub downloads: usize,
    /// How long a client may take to take the next piece of such a file, a few hundred kilobytes.
    pub download_patience: Duration,
    /// How long such a file may take altogether, so that a few clients who take piece after piece slowly do not keep its turn.
    pub download_timeout: Duration,
    /// How long a request may take from its header to the beginning of the answer; ten minutes at most.
    pub request_timeout: Duration,
    /// Requests that one credential may make in a minute, all at once or evenly; further ones are refused with 429.
    pub requests_per_minute: NonZeroU32,
    /// Connections at a time; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send a request's header, and how long an idle connection is kept.
    pub header_read_timeout: Duration,
    /// How long a client may take to send the next piece of a body.
    pub body_read_timeout: Duration,
    /// How long requests get, at shutdown, to come to their end, also those whose clients have gone.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            header_bytes: 64 << 10,
            message_bytes: 50 << 20,
            message_uploads: 32,
            downloads: 4,
            download_patience: Duration::from_secs(60),
            download_timeout: Duration::from_secs(900),
            request_timeout: LONGEST_REQUEST,
            requests_per_minute: REQUESTS_PER_MINUTE,
            max_connections: 1024,
            header_read_timeout: Duration::from_secs(30),
            body_read_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}
