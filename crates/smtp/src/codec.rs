//! Bytes ⇄ values of LMTP (RFC 2033), and of the SMTP that it borrows from (RFC 5321) and that submission is (RFC 6409). No I/O: it can be fuzzed alone.

pub mod command;
pub mod data;
pub mod envelope;
pub mod line;
pub mod mark;
pub mod netstring;
pub mod path;
pub mod trace;
