//! LMTP in (RFC 2033): sockets and sessions over the mail store's one door.
//!
//! A connection is [`codec`] (bytes ⇄ values), `session` (what may follow what), one file of `lmtp` per command
//! and `reply` (values and errors → reply lines). A `250` after DATA means that body and metadata are durable.
//!
//! Deliberately absent: HELO and EHLO (LMTP must refuse them), BDAT, STARTTLS and AUTH: the listener is for the
//! operator's own MTA, on loopback or a private network.

pub mod codec;
mod connection;
mod limits;
mod lmtp;
mod reply;
mod room;
mod serve;
mod session;
mod wire;

pub use limits::Limits;
pub use serve::{Lmtp, serve};
