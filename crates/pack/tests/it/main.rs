//! Packs and keys, by their public face.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test's helper fails the test")]

mod golden;
mod keys;
mod limits;
mod pack;
mod support;
