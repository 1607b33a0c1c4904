//! As whom the program runs. What root writes into a directory of another account, the server that runs under that account cannot read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::config::Config;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Refuses to go on as root where the data directory or the directory of the bodies is another account's, before anything is touched.
///
/// # Errors
/// It is another's, or it cannot be told whose it is.
pub(crate) fn check(config: &Config) -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    for place in places(config) {
        if let Some(owner) = Owner::of(&place)? {
            bail!(owner.refusal(&place, config));
        }
    }
    Ok(())
}

/// Where commands write.
fn places(config: &Config) -> Vec<PathBuf> {
    let bodies = match &config.blob_url {
        None => Some(config.data_dir.join(crate::platform::BLOBS)),
        Some(blob::Location::Directory(dir)) => Some(dir.clone()),
        Some(blob::Location::S3(_) | blob::Location::Memory) => None,
    };
    std::iter::once(config.data_dir.clone()).chain(bodies).collect()
}

/// Somebody else than root.
#[derive(Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    /// `None`: the machine knows no name for it.
    name: Option<String>,
}

impl Owner {
    /// Whose a directory is; `None` where it is root's, or is not there.
    fn of(place: &Path) -> Result<Option<Self>> {
        match std::fs::metadata(place) {
            Ok(found) if found.uid() == 0 => Ok(None),
            Ok(found) => {
                let (uid, gid) = (found.uid(), found.gid());
                Ok(Some(Self { uid, gid, name: name_of(uid) }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("looking to whom {} belongs", place.display())),
        }
    }

    fn refusal(&self, place: &Path, config: &Config) -> String {
        let Self { uid, gid, name } = self;
        let (who, become_them) = match name {
            Some(name) => (format!("the user {name}"), format!("runuser -u {name} --")),
            None => (format!("user id {uid}"), format!("setpriv --reuid={uid} --regid={gid} --clear-groups")),
        };
        format!(
            "{} belongs to {who}, who could not read what root writes there: run the command as that user, with the same settings, such as \
             `{become_them} env PILLARBOX_DATA_DIR={} pillarbox …`",
            place.display(),
            config.data_dir.display()
        )
    }
}

/// What the machine calls a user id: by `id`, which knows directories of users that /etc/passwd does not.
fn name_of(uid: u32) -> Option<String> {
    let output = Command::new("id").arg("-un").arg(uid.to_string()).stderr(Stdio::null()).output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}
