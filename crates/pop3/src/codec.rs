//! Bytes ⇄ values of POP3: framing, commands, responses. Pure: no sockets, no clock, no database.

pub mod command;
pub mod line;
pub mod response;
