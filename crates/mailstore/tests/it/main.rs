//! The mail store against a real Postgres.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test's helper fails the test")]

mod cache;
mod change;
mod check;
mod compact;
mod dedicated;
mod delegate;
mod edit;
mod export;
mod fault;
mod folder;
mod hold;
mod import;
mod ingest;
mod junk;
mod key;
mod maildrop;
mod message;
mod outline;
mod purge;
mod reservation;
mod retention;
mod search;
mod search_many;
mod support;
mod sweep;
mod upgrade;
mod verify;
mod verify_beside;
