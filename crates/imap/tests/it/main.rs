//! Sessions over real sockets, against a real Postgres.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as tests themselves may")]

mod append;
mod edit;
mod extensions;
mod fetch;
mod folders;
mod full_access;
mod hostile;
mod login;
mod pieces;
mod resync;
mod search;
mod shared;
mod support;
mod updates;
