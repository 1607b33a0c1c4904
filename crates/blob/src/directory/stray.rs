//! What lies in a directory and is no object.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::BlobKey;
use crate::key::{is_folder, is_stray};

/// What a file system makes by itself where a disk is mounted.
const LOST_AND_FOUND: &str = "lost+found";

/// The names of everything below `root` that is no object, in the order of their texts: of files, of links that lead nowhere or that are not followed, and
/// of folders of others that cannot be read. Links to folders are followed only where a folder of ours would be.
pub(super) fn find(root: &Path) -> io::Result<Vec<String>> {
    let mut strays = Vec::new();
    walk(root, "", &mut strays)?;
    strays.sort_unstable();
    Ok(strays)
}

/// Looks through a folder; `within` is its name, empty or with a slash at its end.
fn walk(folder: &Path, within: &str, strays: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // It is gone meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if is_folder(within) => return Err(error),
        Err(_) => {
            strays.push(within.to_owned());
            return Ok(());
        }
    };
    for entry in entries {
        let entry = entry?;
        let of = match entry.file_type() {
            Ok(of) => of,
            // Some file systems do not say it in the listing, and it is gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let path = entry.path();
        if within.is_empty() && entry.file_name() == OsStr::new(LOST_AND_FOUND) {
            continue;
        }
        let name = format!("{within}{}", entry.file_name().to_string_lossy());
        let inner = format!("{name}/");
        let is_key = name.parse::<BlobKey>().is_ok();
        if is_key {
            let leads_nowhere = |error: io::Error| error.kind() == ErrorKind::NotFound;
            if of.is_symlink() && fs::metadata(&path).is_err_and(leads_nowhere) {
                strays.push(name);
            }
        } else if of.is_dir() || (of.is_symlink() && is_folder(&inner) && path.is_dir()) {
            // Of what is being written nothing is an object yet.
            if is_stray(&format!("{inner}x")) || is_folder(&inner) {
                walk(&path, &inner, strays)?;
            }
        } else if is_stray(&name) {
            strays.push(name);
        }
    }
    Ok(())
}
