//! The operating-system account that Postgres runs as: our own, or an unprivileged one when we are root.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, io};

/// A user and group id, and whether we have to become them.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) uid: u32,
    gid: u32,
    /// We are root: programs are run as, and files given to, `uid`.
    switch: bool,
    /// Whom Postgres lets in: our own account's name, and root, who could get in anyway.
    pub(super) admitted: Vec<String>,
}

impl Account {
    /// The account for the data directory `data`: its owner's when it exists, so that a cluster keeps its account.
    pub(super) fn choose(data: &Path) -> Result<Self, Error> {
        let own = id(&["-u"]).ok_or(Error::NoAccount)?;
        if own != 0 {
            let gid = id(&["-g"]).ok_or(Error::NoAccount)?;
            let name = id_text(&["-un"]).ok_or(Error::NoAccount)?;
            return Ok(Self { uid: own, gid, switch: false, admitted: vec![name, "root".into()] });
        }
        let (uid, gid) = match std::fs::metadata(data) {
            Ok(meta) if meta.uid() == 0 => return Err(Error::OwnedByRoot(data.to_owned())),
            Ok(meta) => (meta.uid(), meta.gid()),
            Err(_) => ["postgres", "nobody"]
                .iter()
                .find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)))
                .ok_or(Error::NoAccount)?,
        };
        Ok(Self { uid, gid, switch: true, admitted: vec!["root".into()] })
    }

    /// A command that runs `program` as this account in `dir`: with none of our environment, whose `PG…` variables
    /// would change what it does, and out of reach of the terminal's Ctrl-C.
    pub(super) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir(dir).stdin(Stdio::null()).process_group(0);
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives `path` to this account.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        if self.switch {
            chown(path, Some(self.uid), Some(self.gid)).map_err(io("giving away", path))?;
        }
        Ok(())
    }

    /// Fails with the directory in the way when this account cannot reach `dir`.
    pub(super) fn check_reach(&self, dir: &Path) -> Result<(), Error> {
        match self.command(Path::new("/bin/true"), dir).status() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::NotTraversable { uid: self.uid, blocked_at: self.blocked_at(dir) })
            }
            Err(error) => Err(io("entering", dir)(error)),
        }
    }

    /// The topmost directory on the way to `dir` whose mode keeps this account out.
    fn blocked_at(&self, dir: &Path) -> PathBuf {
        let closed = |path: &&Path| {
            std::fs::metadata(path).is_ok_and(|meta| {
                let execute = match meta {
                    ref m if m.uid() == self.uid => 0o100,
                    ref m if m.gid() == self.gid => 0o010,
                    _ => 0o001,
                };
                meta.mode() & execute == 0
            })
        };
        let mut ancestors: Vec<&Path> = dir.ancestors().collect();
        ancestors.reverse();
        ancestors.into_iter().find(closed).unwrap_or(dir).to_owned()
    }
}

/// What `id` says, which knows directories of users that /etc/passwd does not.
fn id_text(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn id(arguments: &[&str]) -> Option<u32> {
    id_text(arguments)?.parse().ok()
}
