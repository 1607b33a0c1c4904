//! What SCRAM-SHA-256 proves an app password by (RFC 5802 §3).
//!
//! An app password is 125 random bits, so its keys need no more protection than its hash has: nobody finds the password by trying, under
//! whatever salt. One salt for all of them tells nobody who is there.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};
use sasl::scram::Keys;

/// The salt of all app passwords.
pub(crate) const SALT: &[u8; 16] = b"pillarbox scram1";
/// How often it is hashed: the least that RFC 7677 §4 allows.
pub(crate) const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// `StoredKey` and `ServerKey` of a password as it is shown, and those of it without its dashes: people type it either way.
pub(super) fn keys(shown: &str) -> Vec<u8> {
    let without_dashes: String = shown.chars().filter(|char| *char != '-').collect();
    [pair(shown), pair(&without_dashes)].concat()
}

fn pair(password: &str) -> Vec<u8> {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, SALT, password.as_bytes(), &mut salted);
    let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    [stored_key.as_ref(), hmac::sign(&salted, b"Server Key").as_ref()].concat()
}

/// The pairs in a column.
pub(super) fn from_column(column: &[u8]) -> impl Iterator<Item = Keys> {
    column.as_chunks().0.iter().copied()
}
