//! Asks the domain name system what a mail domain's records say, and compares them with what they should.

mod ownership;
mod resolver;

pub use ownership::{ownership_name, ownership_value, owns};
pub use resolver::{Error, Mx, Resolver};
