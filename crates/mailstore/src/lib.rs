//! Folders and messages, correct under concurrency: ingest, reading back, deletion and recovery, the views of
//! IMAP and POP3, import, and the sweeping of what is no longer referred to.
//!
//! Mail lives in real time: dates, leases and retention go by the machine's clock ([`tenancy::Ctx::env`]), also for a
//! tenant with a test clock, which moves its billing, and when what was deleted as a whole is destroyed.
//!
//! Locks are taken in one order everywhere: the mailbox (its counters, by `tenancy::quota`), then folders, then
//! messages, then bodies, then the pools above the mailbox, then packs, then shares in them; several of a kind by id. What refers to a parcel is
//! locked before it, and a parcel before its body. A move between mailboxes locks the folders and messages that it takes away after the
//! bodies: whoever else wants those waits for their mailbox first, and it has locked both.

mod body;
pub mod change;
pub mod check;
pub mod compact;
mod error;
pub mod export;
pub mod folder;
pub mod found;
pub mod hold;
pub mod import;
pub mod ingest;
pub mod key;
mod maildir;
pub mod maildrop;
pub mod message;
pub mod outline;
pub mod parcel;
pub mod parsed;
pub mod purge;
pub mod restore;
pub mod retention;
pub mod search;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
pub mod structure;
pub mod sweep;
mod uid;
mod uidlist;
pub mod verify;
pub mod view;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use blob::BlobStore;
use db::Db;
use kernel::MailboxId;
use pack::KeyEncryption;
use tenancy::{TenantTx, quota};
use tokio::sync::Semaphore;

use body::cache::Parts;
use change::hub::Hub;
use ingest::Door;
use key::Keys;

pub use error::Error;

/// The largest message that an edge takes in, as it comes off the wire: 50 MiB.
pub const MAX_MESSAGE_BYTES: u64 = 50 * 1024 * 1024;

/// Where bodies are kept, who seals them, and the door that mail comes in by. Cheap to clone; all clones share the door.
#[derive(Debug, Clone)]
pub struct MailStore {
    db: Db,
    blobs: Arc<dyn BlobStore>,
    parts: Parts,
    keys: Keys,
    door: Arc<Door>,
    hub: Arc<Hub>,
    /// Turns to read bodies for searches.
    search_turns: Arc<Semaphore>,
}

impl MailStore {
    /// A mail store whose bodies lie in `blobs`, under keys that are wrapped by `encryption`.
    pub fn new(db: Db, blobs: Arc<dyn BlobStore>, encryption: Arc<dyn KeyEncryption>) -> Self {
        let keys = Keys::new(db.clone(), blobs.clone(), encryption);
        let hub = Arc::new(Hub::new(db.env().new_uuid()));
        let search_turns = Arc::new(Semaphore::new(search::READ_AT_ONCE));
        let parts = Parts::new(blobs.clone(), 0);
        Self { db, blobs, parts, keys, door: Arc::default(), hub, search_turns }
    }

    /// The same, with so many bytes of bodies in memory, sealed as they lie in `blobs`.
    #[must_use]
    pub fn with_cache(self, max_bytes: u64) -> Self {
        Self { parts: Parts::new(self.blobs.clone(), max_bytes), ..self }
    }

    /// The same, with so many bytes of what is fetched from `blobs` in a folder besides, sealed as well: one that is there and that no other process uses.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn with_disk_cache(self, dir: PathBuf, max_bytes: u64) -> io::Result<Self> {
        Ok(Self { parts: self.parts.with_disk(dir, max_bytes).await?, ..self })
    }

    /// Removes from that folder what has been there for long enough: to be called now and then, also where nobody reads mail.
    pub async fn tidy_disk_cache(&self) {
        self.parts.tidy().await;
    }

    /// Tenants' keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The place where bodies lie.
    pub fn blobs(&self) -> &Arc<dyn BlobStore> {
        &self.blobs
    }

    /// Makes a change of a mailbox durable, and says that it has changed.
    ///
    /// # Errors
    /// As of a commit.
    async fn commit(&self, tx: TenantTx, mailbox_id: MailboxId) -> Result<(), Error> {
        self.commit_of(tx, &[mailbox_id]).await
    }

    /// As [`Self::commit`], of a change of several mailboxes.
    async fn commit_of(&self, tx: TenantTx, mailboxes: &[MailboxId]) -> Result<(), Error> {
        let done = tx.commit().await;
        // Also where it is not known whether it was made.
        self.hub.changed(mailboxes.iter().copied());
        Ok(done?)
    }

    /// Asks the place where bodies lie for a sign of life.
    ///
    /// # Errors
    /// [`Error::Blob`] when it does not answer or turns us away.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(blob::ping(self.blobs.as_ref()).await?)
    }
}

/// Locks a mailbox until the transaction ends, as everything does that moves bytes between its counters, and takes
/// its next modification sequence; `None` when there is no such mailbox or it was deleted.
async fn lock_mailbox(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Option<i64>, db::Error> {
    let modseq = quota::lock(tx, mailbox_id).await?;
    Ok(if quota::exists(tx, mailbox_id).await? { modseq } else { None })
}

/// A size as a bigint column holds it. No message is near the limit of either type.
fn to_column(size_bytes: u64) -> i64 {
    i64::try_from(size_bytes).unwrap_or(i64::MAX)
}

/// A size out of a bigint column, where a check keeps it from being negative.
fn from_column(size_bytes: i64) -> u64 {
    u64::try_from(size_bytes).unwrap_or(0)
}
