//! Sessions over real sockets, against a real Postgres.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as tests themselves may")]

mod exclusive;
mod faults;
mod input;
mod limits;
mod login;
mod support;
mod tls;
mod transaction;
