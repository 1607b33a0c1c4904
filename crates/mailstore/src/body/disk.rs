//! Parts of packs on a local disk, behind those in memory, for a blob store that is far away or is paid for by the request: sealed, as they lie there.
//!
//! ```text
//! <dir>/<key, its slashes as dots>.<begin>-<end>     SHA-256 of the bytes 32 | the bytes
//! <dir>/put-*                                         one that is being written
//! ```
//! Nobody waits until a file is durable: what a crash has left of one is told by its SHA-256, and is fetched anew. What an earlier process has kept is taken over.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use moka::future::Cache;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::cache::Part;

/// For how long a part is kept at most, and once more if the process is another one then: what was deleted in the blob store is gone here within a week.
pub(super) const KEPT: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// What a file counts for at least: it takes whole blocks of the disk, and its entry some memory.
const MIN_BYTES: u32 = 16 << 10;
const TEMP_PREFIX: &str = "put-";
const SUM_BYTES: usize = 32;
/// How many parts are being written at once; what comes meanwhile is not kept.
const WRITING: usize = 4;

/// A folder of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    dir: Arc<Path>,
    /// How long the files are that are there.
    files: Cache<Part, u32>,
    writing: Arc<Semaphore>,
}

impl Disk {
    /// One of so many bytes at most, in a folder that is there and that no other process uses; each part is kept for so long.
    pub(super) async fn open(dir: PathBuf, max_bytes: u64, kept: Duration) -> io::Result<Self> {
        let dir: Arc<Path> = dir.into();
        let (looked_at, emptied) = (dir.clone(), dir.clone());
        let found = spawn_blocking(move || found(&looked_at, kept)).await.map_err(io::Error::other)??;
        let remove = move |part: Arc<Part>, _: u32, cause: RemovalCause| {
            let path = emptied.join(part.name());
            async move {
                if cause != RemovalCause::Replaced {
                    // It may be gone, or stay until the next process finds it.
                    let _ = spawn_blocking(move || fs::remove_file(path)).await;
                }
            }
            .boxed()
        };
        let files = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, bytes: &u32| (*bytes).max(MIN_BYTES))
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(kept)
            .async_eviction_listener(remove)
            .build();
        for (part, bytes) in found {
            files.insert(part, bytes).await;
        }
        files.run_pending_tasks().await;
        Ok(Self { dir, files, writing: Arc::new(Semaphore::new(WRITING)) })
    }

    /// Removes what has been there for long enough.
    pub(super) async fn tidy(&self) {
        self.files.run_pending_tasks().await;
    }

    /// A part, if it is there whole.
    pub(super) async fn get(&self, part: &Part) -> Option<Bytes> {
        self.files.get(part).await?;
        let path = self.dir.join(part.name());
        let read = spawn_blocking(move || read(&path)).await.ok().flatten();
        if read.is_none() {
            self.files.invalidate(part).await;
        }
        read
    }

    /// Begins to write a part.
    pub(super) fn keep(&self, part: &Part, bytes: &Bytes) {
        let (Ok(turn), Ok(length)) =
            (self.writing.clone().try_acquire_owned(), u32::try_from(bytes.len() + SUM_BYTES))
        else {
            return;
        };
        let (this, part, bytes) = (self.clone(), part.clone(), bytes.clone());
        tokio::spawn(async move {
            let (dir, path) = (this.dir.clone(), this.dir.join(part.name()));
            match spawn_blocking(move || write(&dir, &path, &bytes)).await {
                Ok(Ok(())) => {
                    this.files.insert(part, length).await;
                    // Now, and not when there are many to make room for.
                    this.files.run_pending_tasks().await;
                }
                // The disk may be full: what is not kept is fetched again.
                Ok(Err(error)) => {
                    metrics::counter!("pillarbox_body_cache_write_failures_total").increment(1);
                    tracing::debug!(error.cause = %error, "a part of a pack was not kept on the disk");
                }
                Err(_) => {}
            }
            drop(turn);
        });
    }
}

/// What an earlier process has kept, the oldest first. What is too old is removed, and what it left half written; what is not ours stays.
fn found(dir: &Path, kept: Duration) -> io::Result<Vec<(Part, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(TEMP_PREFIX) {
            fs::remove_file(entry.path())?;
        } else if let Some(part) = Part::named(&name) {
            let about = entry.metadata()?;
            let kept_at = about.modified()?;
            if kept_at.elapsed().is_ok_and(|age| age > kept) {
                fs::remove_file(entry.path())?;
            } else {
                found.push((kept_at, part, u32::try_from(about.len()).unwrap_or(u32::MAX)));
            }
        }
    }
    found.sort_by_key(|(kept_at, ..)| *kept_at);
    Ok(found.into_iter().map(|(_, part, length)| (part, length)).collect())
}

fn read(path: &Path) -> Option<Bytes> {
    let file = Bytes::from(fs::read(path).ok()?);
    let (sum, bytes) = file.split_at_checked(SUM_BYTES)?;
    (Sha256::digest(bytes).as_slice() == sum).then(|| file.slice(SUM_BYTES..))
}

fn write(dir: &Path, path: &Path, bytes: &Bytes) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(TEMP_PREFIX).tempfile_in(dir)?;
    file.write_all(Sha256::digest(bytes).as_slice())?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_reads_goes_when_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(dir.path()).unwrap().count();
        let disk = Disk::open(dir.path().to_owned(), 1 << 20, Duration::from_millis(300)).await.unwrap();
        let key = "packs/00000000-0000-0000-0000-000000000001".parse().unwrap();
        disk.keep(&Part::exact(&key, &(0..3)), &Bytes::from_static(b"abc"));
        let comes_to = async |wanted, tidies: bool| {
            while count() != wanted {
                if tidies {
                    disk.tidy().await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, comes_to(1, false)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(count(), 1, "nobody has looked");
        tokio::time::timeout(patience, comes_to(0, true)).await.unwrap();
    }
}
