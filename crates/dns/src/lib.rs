//! Asks the domain name system what a mail domain's records say, and compares them with what they should.

mod resolver;

pub use resolver::{Error, Mx, Resolver};
