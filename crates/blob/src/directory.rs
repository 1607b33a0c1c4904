//! Objects as files: the embedded default.
//!
//! ```text
//! <root>/journal/<uuid>                  objects, each under its key
//! <root>/packs/<uuid>
//! <root>/tenants/<uuid>/packs/<uuid>
//! <root>/tenants/<uuid>/keys/<uuid>
//! <root>/tmp/put-*                       objects being written
//! <root>/tmp/lock                        held, shared, by every process that has the store open
//! ```
//! A listing's page reads the names of whole folders; everything else costs its own object only.

mod stray;

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use kernel::TenantId;
use uuid::Uuid;

use crate::key::{Folder, TMP, parse_uuid};
use crate::{BlobKey, BlobStore, Cause, Error, KeyPage, KeyPrefix, PAGE_KEYS, delete_all};

const TEMP_PREFIX: &str = "put-";
const LOCK_FILE: &str = "lock";

/// How many folders are remembered as durable. Forgetting one costs a few fsyncs, nothing else.
const DURABLE_FOLDERS_MAX: usize = 50_000;

/// Keeps each object in a file of its own.
#[derive(Debug)]
pub(crate) struct DirectoryStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Folders that this process fsynced all the way up. One that merely exists may be another writer's, not durable yet.
    durable_folders: Mutex<HashSet<PathBuf>>,
    /// Keeps other processes from taking our temporary files for leftovers; the kernel lets go of it when we die.
    _lock: File,
}

impl DirectoryStore {
    /// Opens the store below `root`, making the folder if need be and removing what killed processes left.
    pub(crate) async fn open(root: PathBuf) -> Result<Self, Error> {
        let inner = blocking(move || Inner::open(root)).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

#[async_trait]
impl BlobStore for DirectoryStore {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        let path = self.inner.path(key);
        self.run(move |inner| inner.put(&path, &bytes)).await
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, Error> {
        let path = self.inner.path(key);
        self.run(move |inner| match fs::read(&path) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(inner.read_error(&path, error)),
        })
        .await
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, Error> {
        let path = self.inner.path(key);
        self.run(move |inner| inner.get_range(&path, range)).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), Error> {
        let path = self.inner.path(key);
        self.run(move |inner| inner.delete(&path)).await
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, Error> {
        let (prefix, after) = (*prefix, after.map(str::to_owned));
        self.run(move |inner| inner.list(prefix, after.as_deref())).await
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), Error> {
        self.delete(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), Error> {
        delete_all(self, prefix).await
    }
}

impl Inner {
    fn open(root: PathBuf) -> Result<Self, Error> {
        let temp = root.join(TMP);
        create_folders(&temp).map_err(|error| io_error("creating", &temp, error))?;
        let lock = temp.join(LOCK_FILE);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|error| io_error("opening", &lock, error))?;
        match file.try_lock() {
            Ok(()) => {
                remove_leftovers(&temp)?;
                file.unlock().map_err(|error| io_error("unlocking", &lock, error))?;
            }
            // Another process has the store open: what lies in the folder may be its writes under way. The next to open
            // the store alone removes what is left.
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(io_error("locking", &lock, error)),
        }
        // Between the two locks another process may clean up; there is nothing of ours yet.
        file.lock_shared().map_err(|error| io_error("locking", &lock, error))?;
        Ok(Self { root, durable_folders: Mutex::default(), _lock: file })
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    fn durable_folders(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Temporary file, fsync, rename, fsync of the folder: a crash at any point leaves the old object or the new one.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let doing = |error| io_error("writing", path, error);
        let folder = path.parent().unwrap_or(&self.root);
        let mut temp =
            tempfile::Builder::new().prefix(TEMP_PREFIX).tempfile_in(self.root.join(TMP)).map_err(doing)?;
        temp.write_all(bytes).map_err(doing)?;
        temp.as_file().sync_all().map_err(doing)?;
        if !self.durable_folders().contains(folder) {
            self.make_folder(folder)?;
        }
        if let Err(failed) = temp.persist(path) {
            if failed.error.kind() != ErrorKind::NotFound {
                return Err(doing(failed.error));
            }
            // Somebody removed the folder since we made it.
            self.make_folder(folder)?;
            failed.file.persist(path).map_err(|failed| doing(failed.error))?;
        }
        sync_folder(folder).map_err(doing)
    }

    /// Makes `folder` with what is missing above it, and fsyncs every folder from the root down whether it was missing or not:
    /// one that another writer has just made is not durable before an fsync of its parent.
    fn make_folder(&self, folder: &Path) -> Result<(), Error> {
        let doing = |error| io_error("creating", folder, error);
        let mut parent = self.root.clone();
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        for part in below.components() {
            let child = parent.join(part);
            match fs::create_dir(&child) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(doing(error)),
            }
            sync_folder(&parent).map_err(doing)?;
            parent = child;
        }
        let mut known = self.durable_folders();
        if known.len() >= DURABLE_FOLDERS_MAX {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, Error> {
        let doing = |error| self.read_error(path, error);
        let file = File::open(path).map_err(doing)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let end = range.end.min(file.metadata().map_err(doing)?.len());
        if range.start >= end {
            return Err(Error::RangeNotSatisfiable);
        }
        let length = usize::try_from(end - range.start).map_err(|error| doing(io::Error::other(error)))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start).map_err(doing)?;
        Ok(bytes.into())
    }

    fn delete(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            // Without the fsync a crash could bring back what a purge had removed.
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root))
                .map_err(|error| io_error("deleting", path, error)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.check_present(),
            Err(error) => Err(io_error("deleting", path, error)),
        }
    }

    fn list(&self, prefix: KeyPrefix, after: Option<&str>) -> Result<KeyPage, Error> {
        self.check_present()?;
        let strays = match (prefix, after) {
            (KeyPrefix::All, None) => {
                stray::find(&self.root).map_err(|error| io_error("listing", &self.root, error))?
            }
            _ => Vec::new(),
        };
        let folders = match prefix {
            KeyPrefix::All => {
                let tenants = self.ids_in(&self.root.join("tenants"))?.into_iter().map(TenantId::from_uuid);
                Folder::SHARED.into_iter().chain(tenants.flat_map(Folder::of)).collect()
            }
            KeyPrefix::Tenant(tenant) => Folder::of(tenant).to_vec(),
            KeyPrefix::WrappedKeys(tenant) => vec![Folder::Keys(tenant)],
            KeyPrefix::Journal => vec![Folder::Journal],
        };
        let after = after.unwrap_or_default();
        let mut keys = Vec::new();
        for folder in folders {
            let text = folder.to_string();
            // A text that is greater than this one and does not begin with it is greater than every key in the folder.
            if after > text.as_str() && !after.starts_with(&text) {
                continue;
            }
            let found = self.ids_in(&self.root.join(&text))?.into_iter().map(|id| folder.key(id));
            // One more than fits tells whether there is a next page.
            let wanted = PAGE_KEYS + 1 - keys.len();
            keys.extend(found.skip_while(|key| key.to_string().as_str() <= after).take(wanted));
            if keys.len() > PAGE_KEYS {
                keys.truncate(PAGE_KEYS);
                let next = keys.last().map(ToString::to_string);
                return Ok(KeyPage { keys, next, strays });
            }
        }
        Ok(KeyPage { keys, next: None, strays })
    }

    /// The ids that a folder's names are, in order; none if there is no such folder. An id's order is its text's.
    fn ids_in(&self, folder: &Path) -> Result<Vec<Uuid>, Error> {
        let doing = |error| io_error("listing", folder, error);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(doing(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(doing)?.file_name();
            ids.extend(name.to_str().and_then(|name| parse_uuid(name).ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn read_error(&self, path: &Path, error: io::Error) -> Error {
        if error.kind() != ErrorKind::NotFound {
            return io_error("reading", path, error);
        }
        self.check_present().err().unwrap_or(Error::NotFound)
    }

    /// Tells an object that is missing from a store that is: an unmounted disk must not look like lost mail.
    fn check_present(&self) -> Result<(), Error> {
        let lock = self.root.join(TMP).join(LOCK_FILE);
        fs::metadata(&lock).map(drop).map_err(|error| io_error("looking for", &lock, error))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Internal(Cause::new("waiting for the file system", error))),
    }
}

/// Makes `path` and what is missing above it, durably.
fn create_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folders(parent)?;
    match fs::create_dir(path) {
        // A file of that name is told by whoever uses the folder.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(parent)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove_leftovers(temp: &Path) -> Result<(), Error> {
    let doing = |error| io_error("cleaning", temp, error);
    let mut removed = 0_u64;
    for entry in fs::read_dir(temp).map_err(doing)? {
        let entry = entry.map_err(doing)?;
        if entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX) {
            fs::remove_file(entry.path()).map_err(doing)?;
            removed += 1;
        }
    }
    if removed > 0 {
        tracing::info!(blob.leftovers_removed = removed, "removed what an earlier process left half written");
    }
    Ok(())
}

fn io_error(doing: &str, path: &Path, error: io::Error) -> Error {
    let (kind, code) = (error.kind(), error.raw_os_error());
    let cause = Cause::new(format!("{doing} {}", path.display()), error);
    match kind {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            Error::Misconfigured(cause)
        }
        // NotFound here is the store's own folder that is gone: a disk that is not mounted.
        ErrorKind::NotFound
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::TimedOut
        | ErrorKind::ResourceBusy
        | ErrorKind::OutOfMemory => Error::Unavailable(cause),
        // Too many open files has no kind of its own: EMFILE and ENFILE.
        _ if matches!(code, Some(23 | 24)) => Error::Unavailable(cause),
        _ => Error::Internal(cause),
    }
}
