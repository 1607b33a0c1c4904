//! The wire protocol as values: bytes to commands, and values to the bytes of responses. Pure: no I/O, no clock, no storage.
//!
//! Framing ([`frame`]) comes before parsing: what bounds memory is decided before anything looks at grammar. The session feeds what
//! it reads to a [`Framer`], says of each announced literal whether it is taken, and hands whole commands to [`parse()`].

pub mod command;
pub mod frame;
mod parse;
pub mod set;
pub mod write;

pub use frame::{Announced, Event, Framer, Input, Literal};
pub use parse::{ParseError, Reason, normalised, parse};
