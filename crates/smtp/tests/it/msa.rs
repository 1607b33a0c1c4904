//! Submission over real sockets.

mod dialogue;
mod limits;
mod message;
mod sender;
