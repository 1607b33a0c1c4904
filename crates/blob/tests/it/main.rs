//! What every blob store does, and what each does when things go wrong.
//!
//! `cargo test -p blob` runs all but Garage; `cargo test -p blob --test it -- --ignored` runs Garage alone (`make e2e`).

#![expect(clippy::unwrap_used, reason = "the helpers of tests panic as tests do")]

mod contract;
mod directory;
mod garage;
mod memory;
mod s3;
mod versions;

use std::sync::Arc;

use blob::{BlobKey, BlobStore, Credentials, Location, S3Options};
use bytes::Bytes;
use kernel::{Env, OsRandom, Random, TenantId};

/// A key that no other call gives.
fn new_key(tenant: TenantId) -> BlobKey {
    BlobKey::Pack { owner: Some(tenant), pack: Env::system().new_id() }
}

/// As [`new_key`], of an object with a key in it.
fn new_wrapped_key(tenant: TenantId) -> BlobKey {
    BlobKey::WrappedKey { tenant, key: Env::system().new_id() }
}

fn new_tenant() -> TenantId {
    Env::system().new_id()
}

/// Bytes that no compression, and no repeated block, makes smaller.
fn random_bytes(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    OsRandom.fill(&mut bytes);
    bytes.into()
}

fn location(url: &str) -> Location {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// The store at `url`, with the credentials that testkit's S3 servers let in.
async fn open(url: &str) -> Arc<dyn BlobStore> {
    blob::open_with(&location(url), options(credentials())).await.unwrap()
}

fn options(credentials: Credentials) -> S3Options {
    S3Options { credentials: Some(credentials), ..S3Options::default() }
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: testkit::s3::ACCESS_KEY_ID.into(),
        secret_access_key: testkit::s3::SECRET_ACCESS_KEY.into(),
    }
}

/// An error with all its causes, as a log shows it.
fn chain(error: &blob::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
