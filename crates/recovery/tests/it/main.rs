//! The journal and what is made out of it, over a real Postgres.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what goes wrong in a test ends it")]

mod belong;
mod bundle;
mod corpus;
mod damaged;
mod destroyed;
mod late;
mod recover;
mod restore;
mod ship;
mod support;
mod verify;
