//! The mail store against a real Postgres.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test's helper fails the test")]

mod check;
mod compact;
mod fault;
mod folder;
mod import;
mod ingest;
mod key;
mod maildrop;
mod message;
mod purge;
mod support;
mod sweep;
