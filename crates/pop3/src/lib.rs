//! POP3: sockets and sessions over the mail store.
//!
//! RFC 1939 with RFC 2449 (CAPA, response codes, pipelining), RFC 2595 and 8314 (STLS, implicit TLS), RFC 5034 with
//! 4616 (AUTH PLAIN) and RFC 3206. [`codec`] turns bytes into values and back and knows nothing else; a session
//! plays the states; each command with substance is one file under `op`; `reply` alone renders domain errors.
//!
//! Not offered: APOP (it needs passwords stored as they are) and LAST (RFC 1939 has it no more), which are unknown
//! commands here, and UTF8 and LANG (RFC 6856).

pub mod codec;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod limits;
mod marks;
mod op;
mod reply;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod server;
mod session;

pub use limits::Limits;
pub use server::{Pop3, serve};
pub use socket::listen::Mode;
