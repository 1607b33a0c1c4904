//! A zip that is imported: what is in it, in a folder that is gone again afterwards.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use zip::ZipArchive;

use crate::maildir;

/// How many times its own size a zip may come to, and so many bytes besides: mail comes to some ten times.
const MAX_RATIO: u64 = 100;
const MAX_MORE_BYTES: u64 = 1 << 30;

/// What was in a zip.
pub(super) struct Extracted {
    pub(super) dir: TempDir,
    /// The names of links, and of what would lie elsewhere: they are left out.
    pub(super) left_out: Vec<String>,
}

/// Takes a zip apart, beside itself if that can be written to.
pub(super) fn extract(path: &Path) -> io::Result<Extracted> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // It is mail in the clear, wherever that is.
    let mut private = tempfile::Builder::new();
    private.permissions(Permissions::from_mode(0o700));
    let dir = private.tempdir_in(parent).or_else(|_| private.tempdir())?;
    let zip = File::open(path)?;
    let mut left = zip.metadata()?.len().saturating_mul(MAX_RATIO).saturating_add(MAX_MORE_BYTES);
    let mut archive = ZipArchive::new(io::BufReader::new(zip))?;
    let mut left_out = Vec::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at)?;
        let Some(name) = entry.enclosed_name().filter(|_| !entry.is_symlink()) else {
            left_out.push(entry.name().map_or_else(|_| "?".to_owned(), |name| name.into_owned()));
            continue;
        };
        let to = dir.path().join(&name);
        if entry.is_dir() {
            fs::create_dir_all(&to)?;
        } else if entry.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(dir.path()))?;
            let mut file = File::create(&to)?;
            left -= io::copy(&mut (&mut entry).take(left), &mut file)?;
            if left == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the zip comes to far more than mail does",
                ));
            }
            // A zip knows no zone of its files' times.
            let name = name.file_name().unwrap_or_default().to_string_lossy();
            let received = maildir::received(&name).map(Duration::from_secs);
            if let Some(received) = received.and_then(|after| SystemTime::UNIX_EPOCH.checked_add(after)) {
                file.set_modified(received)?;
            }
        }
    }
    Ok(Extracted { dir, left_out })
}
