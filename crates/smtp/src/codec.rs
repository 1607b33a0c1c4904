//! Bytes ⇄ values of LMTP (RFC 2033) and the SMTP it borrows from (RFC 5321). No I/O: it can be fuzzed alone.

pub mod command;
pub mod data;
pub mod line;
pub mod path;
pub mod trace;
