//! The data directory: who may use it, and files that appear whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Others may pass through to what is theirs (Postgres' account to its cluster) and see nothing.
const PASSABLE: u32 = 0o711;
const PRIVATE: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
const PUBLIC_FILE: u32 = 0o644;
/// Held while a drill's place is made, or those that were left are removed.
const DRILLS_LOCK: &str = "drill.lock";

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes it when it is absent.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(PASSABLE).create(path).with_context(|| {
            format!("creating the data directory {} (PILLARBOX_DATA_DIR)", path.display())
        })?;
        Ok(Self(path.to_owned()))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A directory in it that nobody else may enter, made when it is absent.
    pub(crate) fn private_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name);
        let made = DirBuilder::new().recursive(true).mode(PRIVATE).create(&path);
        made.with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Removes a directory in it with all that is in there, if there is one.
    pub(crate) async fn remove_dir(&self, name: &str) -> Result<()> {
        let path = self.join(name);
        match tokio::fs::remove_dir_all(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The right to be the server of this directory, until dropped. The kernel takes it back from a process that is killed.
    pub(crate) fn lock_for_serving(&self) -> Result<File> {
        let Some(file) = self.try_lock("serve.lock")? else {
            bail!("another pillarbox serves {} already; stop it, or set PILLARBOX_DATA_DIR", self.0.display())
        };
        Ok(file)
    }

    /// The right to make and remove places of drills in this directory, until [`unlock`]; none while another process has it.
    pub(crate) fn try_lock_drills(&self) -> Result<Option<File>> {
        self.try_lock(DRILLS_LOCK)
    }

    /// As [`Self::try_lock_drills`], waiting for whoever has it. Blocking.
    pub(crate) fn lock_drills(&self) -> Result<File> {
        let (path, file) = self.open_lock(DRILLS_LOCK)?;
        file.lock().with_context(|| format!("locking {}", path.display()))?;
        Ok(file)
    }

    fn try_lock(&self, name: &str) -> Result<Option<File>> {
        let (path, file) = self.open_lock(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", path.display()))
            }
        }
    }

    fn open_lock(&self, name: &str) -> Result<(PathBuf, File)> {
        let path = self.join(name);
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE_FILE).open(&path);
        let file = open.with_context(|| format!("opening {}", path.display()))?;
        Ok((path, file))
    }
}

/// Gives a lock back at once: a child of this process that has yet to exec holds a copy of the file, and the lock with it.
pub(crate) fn unlock(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::warn!(error.cause = %error, "a lock was not given back");
    }
}

/// Writes a file of mode 0600 that is durable when this returns; a reader sees the old content or the new one.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    write_whole(path, content, PRIVATE_FILE)
}

/// As [`write_private`], unless there is such a file already, which stays as it is: whether it was written. Of several who do so at once
/// one writes it.
pub(crate) fn write_private_once(path: &Path, content: &[u8]) -> Result<bool> {
    let write = || -> io::Result<bool> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut half =
            tempfile::Builder::new().permissions(Permissions::from_mode(PRIVATE_FILE)).tempfile_in(folder)?;
        half.write_all(content)?;
        half.as_file().sync_all()?;
        // A link, unlike a rename, replaces nothing.
        let is_written = match half.persist_noclobber(path) {
            Ok(_) => true,
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error.error),
        };
        File::open(folder)?.sync_all()?;
        Ok(is_written)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// As [`write_private`], for a file that everybody may read.
pub(crate) fn write_public(path: &Path, content: &[u8]) -> Result<()> {
    write_whole(path, content, PUBLIC_FILE)
}

fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let half = path.with_extension("half");
        remove_if_present(&half)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&half)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Removes a file that need not be there.
pub(crate) fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        fs::write(path.with_extension("half"), "left by a crash").unwrap();
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_server_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::prepare(&dir.path().join("a/b")).unwrap();
        let held = data_dir.lock_for_serving().unwrap();
        assert!(data_dir.lock_for_serving().unwrap_err().to_string().contains("serves"));
        drop(held);
        data_dir.lock_for_serving().unwrap();
    }
}
