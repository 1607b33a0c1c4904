//! The place that an export is written to: who may read it, and what is left there.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mailstore::export::Format;

use super::{exported, filled};
use crate::support::Bench;

/// All that is below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.push((path.clone(), fs::metadata(&path).unwrap().permissions().mode() & 0o777));
        if path.is_dir() {
            all.extend(modes(&path));
        }
    }
    all.sort();
    all
}

#[track_caller]
fn assert_closed(folder: &Path) {
    for (path, mode) in modes(folder) {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[tokio::test]
async fn nobody_but_its_owner_reads_what_is_exported() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, format) in [
        ("maildir", Format::Maildir),
        ("mboxes", Format::Mbox),
        ("maildir.zip", Format::Maildir),
        ("mboxes.zip", Format::Mbox),
    ] {
        exported(&bench, ada, &at(name), format).await;
    }
    assert!(modes(dir.path()).len() > 30, "{:?}", modes(dir.path()));
    assert_closed(dir.path());
    for name in ["maildir.zip", "mboxes.zip"] {
        let mut zip = zip::ZipArchive::new(File::open(at(name)).unwrap()).unwrap();
        for entry in 0..zip.len() {
            let entry = zip.by_index(entry).unwrap();
            let expected = if entry.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(entry.unix_mode().map(|mode| mode & 0o777), Some(expected), "{name}");
        }
    }
    // As an earlier version has left them.
    for (path, _) in modes(dir.path()) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    fs::remove_file(at("maildir/cur").read_dir().unwrap().next().unwrap().unwrap().path()).unwrap();
    for (name, format) in
        [("maildir", Format::Maildir), ("mboxes", Format::Mbox), ("mboxes.zip", Format::Mbox)]
    {
        exported(&bench, ada, &at(name), format).await;
    }
    for (path, mode) in modes(dir.path()) {
        let name = path.strip_prefix(dir.path()).unwrap();
        let is_mail = ["cur", ".mbox", "mboxes.zip"].iter().any(|part| name.to_string_lossy().contains(part));
        assert!(!is_mail || mode & 0o077 == 0, "{}: {mode:o}", name.display());
    }
    // What somebody has made is theirs to open.
    assert_eq!(fs::metadata(at("maildir")).unwrap().permissions().mode() & 0o777, 0o755);
}
