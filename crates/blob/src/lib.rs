//! Puts and gets immutable bytes under a typed key.
//!
//! One small trait, [`BlobStore`], and three backends behind [`open`]: a directory (the embedded default), any
//! S3-compatible service, and memory for tests. One suite of tests, `tests/it/contract.rs`, states what all of them do.
//!
//! # Durability
//!
//! [`BlobStore::put`] returns `Ok` only when the object survives a crash of this process, and of the machine as far
//! as the backend can promise it:
//! - **directory**: the bytes were written to a temporary file on the same file system and fsynced, the file was renamed
//!   to its key, and its folder, with every folder above it up to the root, was fsynced;
//! - **S3**: the service answered 200 to a request that carried a checksum of the bytes. What a 200 is worth is
//!   the service's promise (Garage: set `metadata_fsync` and `data_fsync`);
//! - **memory**: nothing outlives the process.
//!
//! After an `Err` from `put` the object is there whole or not there at all: never in part. A reader never sees half an object.
//!
//! # Keys
//!
//! A [`BlobKey`] holds an id that is made once, so no two writers ever write different bytes under one key. Nothing here
//! relies on a conditional PUT, which some services ignore; putting the same key again replaces the object.
//! A key's text is also the object's name in the bucket and the file's path in the directory, so one backend's content
//! can be copied to another with any tool that copies files.

mod directory;
mod error;
mod key;
mod location;
mod memory;
mod s3;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;

pub use error::{Cause, Error};
pub use key::{BlobKey, KeyError, KeyPage, KeyPrefix};
pub use location::{Location, LocationError, S3Location};

/// The number of keys that a listing's page holds at most.
pub const PAGE_KEYS: usize = 1000;

/// A place that keeps immutable objects.
#[async_trait]
pub trait BlobStore: Send + Sync + Debug + 'static {
    /// Stores `bytes` under `key`, replacing what was there; returns when they are durable (see the crate's page).
    ///
    /// Dropping the future does not undo a write that is under way: it may still complete.
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error>;

    /// The whole object. [`Error::NotFound`] if there is none.
    async fn get(&self, key: &BlobKey) -> Result<Bytes, Error>;

    /// The object's bytes from `range.start` up to, not including, `range.end`; offsets in bytes from 0.
    ///
    /// As in S3, an end past the object's is cut to it, and a start at or past it is [`Error::RangeNotSatisfiable`].
    /// An empty range (which HTTP cannot express) gives no bytes wherever it lies. [`Error::NotFound`] if there is no object.
    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, Error>;

    /// Removes the object; removing what is not there succeeds. A bucket that keeps versions keeps it as an older one: see [`Self::erase`].
    async fn delete(&self, key: &BlobKey) -> Result<(), Error>;

    /// The keys under `prefix` in the byte order of their texts, at most [`PAGE_KEYS`] of them.
    ///
    /// Start with `after: None` and go on with [`KeyPage::next`] until that is `None`. Each page shows the store as it is when the
    /// page is made: a key put behind the cursor in the meantime is missed. Objects whose names are not keys are
    /// not among the keys, but [`KeyPage::strays`].
    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, Error>;

    /// Removes the object with every version of it that the store keeps, so that nobody reads it again; what is not there is no error.
    ///
    /// After an `Err` some versions may be left, whether or not the object is there; the same call goes on with them.
    /// [`Error::Misconfigured`] if the service does not let us see or delete versions. A store over another one passes this on.
    async fn erase(&self, key: &BlobKey) -> Result<(), Error>;

    /// As [`Self::erase`], all objects under `prefix`, those too that were deleted and of which only older versions are left.
    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), Error>;
}

/// Removes all objects under a prefix, where a store keeps one version of each.
async fn delete_all<S: BlobStore + ?Sized>(store: &S, prefix: &KeyPrefix) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        let page = store.list(prefix, after.as_deref()).await?;
        for key in &page.keys {
            store.delete(key).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Credentials of an S3 service, for callers that do not take them from the process's environment.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key's public part.
    pub access_key_id: String,
    /// The access key's secret part.
    pub secret_access_key: SecretString,
}

/// How an S3 service is talked to, as far as its URL does not say it.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Who we are; `None` takes the usual AWS sources: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a profile, a web identity,
    /// the instance's role. With credentials given, neither the environment nor a profile is read.
    pub credentials: Option<Credentials>,
    /// How long one try of one request may take; an operation, which makes up to five, may take two and a half times as long.
    pub attempt_timeout: Duration,
}

impl Default for S3Options {
    /// The AWS sources, and half a minute: enough for the largest message over a slow line.
    fn default() -> Self {
        Self { credentials: None, attempt_timeout: Duration::from_secs(30) }
    }
}

/// Opens the store at `location`, S3 with the default options.
///
/// A directory is created if it is absent, and what a killed process left half written in it is removed. An S3 service is not
/// contacted: the first operation, or [`ping`], tells whether it answers.
pub async fn open(location: &Location) -> Result<Arc<dyn BlobStore>, Error> {
    open_with(location, S3Options::default()).await
}

/// As [`open`], with options for S3; the other backends have none.
pub async fn open_with(location: &Location, options: S3Options) -> Result<Arc<dyn BlobStore>, Error> {
    Ok(match location {
        Location::Memory => Arc::new(memory::MemoryStore::default()),
        Location::Directory(root) => Arc::new(directory::DirectoryStore::open(root.clone()).await?),
        Location::S3(location) => Arc::new(s3::S3Store::open(location, options).await?),
    })
}

/// Asks the store for an object that cannot exist: `Ok` means that it answers and lets us in.
pub async fn ping(store: &dyn BlobStore) -> Result<(), Error> {
    match store.get(&BlobKey::nil()).await {
        Ok(_) | Err(Error::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}
