//! Asks the domain name system what a mail domain's records say, and compares them with what they should.
//!
//! It keeps no state and decides nothing: [`Resolver`] looks up, [`owns`] proves a domain's ownership, and
//! [`health::check`] compares. Every lookup is a fresh one, for a person who has just published a record asks again.

pub mod health;
mod ownership;
mod resolver;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;

pub use ownership::{ownership_name, ownership_value, owns};
pub use resolver::{Error, Mx, Resolver};
