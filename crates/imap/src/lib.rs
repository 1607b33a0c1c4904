//! IMAP: sockets and sessions over the mail store.
//!
//! RFC 3501, with the extensions that CAPABILITY lists. [`codec`] turns bytes into values and back and knows nothing else; a session plays
//! the states; each command with substance is one file under `op`; `status` alone renders domain errors; `render` writes what FETCH tells.
//!
//! Not offered: NOTIFY, METADATA, and the contexts of RFC 5267.

mod ahead;
mod capability;
pub mod codec;
mod connection;
mod enabled;
mod folders;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod limits;
mod op;
mod order;
mod piece;
mod render;
mod resync;
mod room;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
mod selected;
mod server;
mod session;
mod status;
mod uids;

pub use limits::Limits;
pub use server::{Imap, serve};
pub use socket::listen::Mode;
