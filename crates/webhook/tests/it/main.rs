//! Attempts over real sockets on loopback.

#![expect(clippy::unwrap_used, reason = "the helpers of tests panic as tests do")]

mod send;
mod support;
mod tls;
