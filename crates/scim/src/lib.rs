//! Values of SCIM 2.0: filters, paths, PATCH, projections, the discovery documents. No I/O.
//!
//! RFC 7643 says what the resources look like, RFC 7644 what clients may ask; Entra ID and Okta say what clients
//! really send. Everything that depends on an attribute's definition (its type, its case, whether it may be
//! written) reads it from [`schema`], which is also what the discovery documents show.

mod canonical;
mod date_time;
pub mod discovery;
pub mod error;
pub mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod message;
pub mod patch;
pub mod path;
pub mod projection;
pub mod resource;
pub mod schema;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;

pub use error::{Error, ScimType};
pub use filter::Filter;
pub use path::AttrPath;
pub use projection::Projection;
pub use resource::{Group, User};
