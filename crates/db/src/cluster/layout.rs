//! The cluster's directory: who may use it, where the socket goes, and the locks that order processes.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::account::Account;
use super::{Error, io};

/// Of `sun_path`'s 108 bytes one is the final NUL.
const LONGEST_SOCKET_PATH: usize = 107;
/// Part of the socket's name, which is all that a port is good for here.
pub(super) const PORT: u16 = 5432;
const LOCK_POLL: Duration = Duration::from_millis(20);

/// A prepared directory and the account that Postgres runs as in it.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    dir: PathBuf,
    socket_dir: PathBuf,
    account: Account,
}

impl Layout {
    /// Makes the directory when absent, with all that is to be ours in it, checks that Postgres can get there, and takes
    /// the turn.
    pub(super) fn prepare(dir: &Path, deadline: Instant) -> Result<(Self, File), Error> {
        std::fs::create_dir_all(dir).map_err(io("creating", dir))?;
        let dir = dir.canonicalize().map_err(io("resolving", dir))?;
        let account = Account::choose(&dir.join("data"))?;
        account.own(&dir)?;
        std::fs::set_permissions(&dir, Permissions::from_mode(0o700)).map_err(io("restricting", &dir))?;
        account.check_reach(&dir)?;
        let mut layout = Self { socket_dir: dir.join("run"), dir, account };
        let turn = layout.take_turn(deadline)?;
        layout.make_socket_dir()?;
        Ok((layout, turn))
    }

    /// Makes `DIR/run`, or a short stand-in for it when the socket's path would not fit into a socket address.
    fn make_socket_dir(&mut self) -> Result<(), Error> {
        if !fits(&self.socket_dir) {
            let mut hasher = DefaultHasher::new();
            self.dir.hash(&mut hasher);
            self.socket_dir = runtime_root().join(format!("pillarbox-{:016x}", hasher.finish()));
        }
        if !fits(&self.socket_dir) {
            let reason = "the socket's path would be over 107 bytes";
            return Err(Error::SocketDir { path: self.socket_dir.clone(), reason });
        }
        make_private(&self.socket_dir, &self.account)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// The right to start or stop the cluster, until dropped. Waits for whoever has it.
    pub(super) fn take_turn(&self, deadline: Instant) -> Result<File, Error> {
        let path = self.dir.join("start.lock");
        let file = self.open_lock(&path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::NotReady { dir: self.dir.clone(), log: self.log() });
                }
                Err(TryLockError::Error(error)) => return Err(io("locking", &path)(error)),
            }
        }
    }

    /// Counts this process among the cluster's users until dropped. Only with the turn in hand.
    pub(super) fn enter(&self) -> Result<File, Error> {
        let path = self.dir.join("users.lock");
        let file = self.open_lock(&path)?;
        file.lock_shared().map_err(io("locking", &path))?;
        Ok(file)
    }

    /// The users' lock when nobody else holds it. Only with the turn in hand.
    pub(super) fn last_one_out(&self) -> Result<Option<File>, Error> {
        let path = self.dir.join("users.lock");
        let file = self.open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io("locking", &path)(error)),
        }
    }

    fn open_lock(&self, path: &Path) -> Result<File, Error> {
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(io("opening", path))?;
        // Started by root once, the directory belongs to Postgres' account, which may be asked to start it next.
        self.account.own(path)?;
        Ok(file)
    }
}

/// Where short-lived sockets go: `/run` if we may write there (as root), else the session's own directory, else `/tmp`.
fn runtime_root() -> PathBuf {
    let own = || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_dir());
    let writable = std::fs::metadata("/run").is_ok_and(|run| {
        run.uid() == 0 && std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
    });
    if writable { PathBuf::from("/run") } else { own().unwrap_or_else(|| PathBuf::from("/tmp")) }
}

/// Makes `dir` so that nobody but `account` (and root) can reach a socket in it. In `/tmp` someone may have been
/// quicker: what is there must be a true directory of ours.
fn make_private(dir: &Path, account: &Account) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return account.own(dir),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io("creating", dir)(error)),
    }
    let meta = std::fs::symlink_metadata(dir).map_err(io("inspecting", dir))?;
    if !meta.is_dir() || meta.uid() != account.uid || meta.mode() & 0o077 != 0 {
        return Err(Error::SocketDir {
            path: dir.to_owned(),
            reason: "it is not a private directory of its account",
        });
    }
    Ok(())
}

/// The socket's path in its directory.
pub(super) fn socket_in(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}"))
}

fn fits(dir: &Path) -> bool {
    socket_in(dir).as_os_str().as_bytes().len() <= LONGEST_SOCKET_PATH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_of_107_bytes_fits_and_one_of_108_does_not() {
        let name = "/.s.PGSQL.5432".len();
        assert!(fits(Path::new(&format!("/{}", "d".repeat(LONGEST_SOCKET_PATH - name - 1)))));
        assert!(!fits(Path::new(&format!("/{}", "d".repeat(LONGEST_SOCKET_PATH - name)))));
    }
}
