//! Mail by SMTP: LMTP in (RFC 2033), over the mail store's one door, what an MTA before it asks ([`lookup`]), and submission (RFC 6409, [`msa`]), over the queue of mail that leaves.
//!
//! A connection is [`codec`] (bytes ⇄ values), `session` (what may follow what), one file per command
//! and `reply` (values and errors → reply lines). A `250` after DATA means that body and metadata are durable.
//!
//! Deliberately absent: BDAT; and of LMTP, STARTTLS and AUTH: its listener is for the operator's own MTA, on loopback or a private network.

pub mod codec;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod intake;
mod limits;
mod lmtp;
pub mod lookup;
pub mod msa;
mod reply;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod serve;
mod session;
mod wire;

pub use limits::{Limits, Transfer};
pub use serve::{Lmtp, serve};
