//! For tests only: a database with a tenant in it, a fixed clock, a seeded rng, an S3 server and faults before it, a payment provider, a tax register, protocol clients, the story.
//!
//! What goes wrong in here panics with what to do about it, as a test helper should; only the story, which
//! `make demo` plays for people, answers with errors.

pub mod certificate;
pub mod client;
mod cut;
pub mod dns;
pub mod env;
mod fake;
pub mod faults;
pub mod garage;
pub mod kek;
pub mod s3;
pub mod smarthost;
pub mod story;
pub mod stripe;
mod test_db;
pub mod vies;
pub mod world;

pub use cut::{Cut, Side};
pub use env::{ManualClock, SeededRandom};
pub use test_db::{TEST_DATABASE_URL, TestDb};
pub use world::World;

/// Bytes in pieces of these sizes, which are taken over and over; none is 0.
pub fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    assert!(!sizes.is_empty() && !sizes.contains(&0), "pieces of {sizes:?}");
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, others) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = others;
    }
    pieces
}

/// How many cases a property gets whose cases are dear, each with a database: as many as `PROPTEST_CASES` says, as `make nightly`
/// does, or else so many.
pub fn cases(by_default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(by_default)
}
