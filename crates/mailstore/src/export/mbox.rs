//! Mboxes out of a Maildir.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::{Failure, place, private};
use crate::maildir;
use crate::message::{Flag, Flags};

/// The folders of a Maildir, the Inbox first: the parts of each one's path as files are called, and where it is.
pub(super) fn folders(at: &Path) -> Result<Vec<(Vec<String>, PathBuf)>, Failure> {
    let mut folders = vec![(vec!["Inbox".to_owned()], at.to_owned())];
    let mut names = Vec::new();
    for entry in fs::read_dir(at).map_err(Failure::of(at))? {
        names.push(entry.map_err(Failure::of(at))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for name in names {
        let folder = at.join(&name);
        if !name.starts_with('.') || !folder.is_dir() {
            continue;
        }
        let whole = fs::read_to_string(folder.join(maildir::FOLDER_FILE)).unwrap_or(name);
        let parts = whole.strip_prefix('.').unwrap_or(&whole).split('.');
        let parts = parts.map(|part| maildir::fitting(&maildir::escaped(&maildir::name(part))));
        folders.push((parts.collect(), folder));
    }
    Ok(folders)
}

/// The messages' files of one, in the order in which they were received.
pub(super) fn messages(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cur = folder.join("cur");
    let mut files = Vec::new();
    for entry in fs::read_dir(&cur).map_err(Failure::of(&cur))? {
        let name = entry.map_err(Failure::of(&cur))?.file_name().to_string_lossy().into_owned();
        files.push((maildir::received(&name), name));
    }
    files.sort();
    Ok(files.into_iter().map(|(_, name)| cur.join(name)).collect())
}

/// Writes an mbox for each folder of a Maildir into a folder, folders of them for what lies in others, and takes away those of folders that are not there
/// any more.
pub(super) fn write_all(at: &Path, to: &Path) -> Result<(), Failure> {
    let mut written = HashSet::new();
    for (path, folder) in folders(at)? {
        let mbox = to.join(format!("{}.mbox", path.join("/")));
        let part = place::beside(&mbox);
        let mut parent = to.to_owned();
        for name in path.iter().take(path.len() - 1) {
            parent.push(name);
            private::folder(&parent).map_err(Failure::of(&parent))?;
        }
        let mut file = BufWriter::new(private::file(&part).map_err(Failure::of(&part))?);
        write(&folder, &mut file)?;
        // What is there already is not to give way to less.
        file.into_inner()
            .map_err(io::Error::from)
            .and_then(|file| file.sync_all())
            .map_err(Failure::of(&part))?;
        fs::rename(&part, &mbox).map_err(Failure::of(&mbox))?;
        written.insert(mbox);
    }
    clear(to, &written).map(drop)
}

/// Removes the mboxes, whole or begun, that were not written, and the folders that nothing is left in then; whether there were any. What else lies there,
/// and what links lead to, stays.
fn clear(folder: &Path, written: &HashSet<PathBuf>) -> Result<bool, Failure> {
    let mut has_removed = false;
    for entry in fs::read_dir(folder).map_err(Failure::of(folder))? {
        let entry = entry.map_err(Failure::of(folder))?;
        let (path, of) = (entry.path(), entry.file_type().map_err(Failure::of(folder))?);
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_mbox = name.ends_with(".mbox") || name.ends_with(".mbox.part");
        if of.is_dir() && clear(&path, written)? {
            has_removed = true;
            match fs::remove_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                    return Err(Failure::of(&path)(error));
                }
                _ => {}
            }
        } else if of.is_file() && is_mbox && !written.contains(&path) {
            fs::remove_file(&path).map_err(Failure::of(&path))?;
            has_removed = true;
        }
    }
    Ok(has_removed)
}

/// Writes the messages of a Maildir's folder as an mbox.
pub(super) fn write(folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let keywords = fs::read_to_string(folder.join(maildir::KEYWORDS_FILE)).unwrap_or_default();
    let keywords = maildir::read_keywords(&keywords);
    for path in messages(folder)? {
        let bytes = fs::read(&path).map_err(Failure::of(&path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let flags = maildir::flags(&name, &keywords);
        entry(out, maildir::received(&name).unwrap_or(0), &flags, &bytes).map_err(Failure::of(&path))?;
    }
    Ok(())
}

/// Writes a message, whose lines end in CRLF.
pub(crate) fn entry(out: &mut impl Write, seconds: u64, flags: &Flags, bytes: &[u8]) -> io::Result<()> {
    let date = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let date = date.unwrap_or_default().format("%a %b %e %H:%M:%S %Y");
    writeln!(out, "From MAILER-DAEMON {date}")?;
    let has = |flag| flags.flags.contains(&flag);
    let keywords: Vec<_> = flags.keywords.iter().map(|keyword| keyword.as_str()).collect();
    // Also where they say nothing: what follows is the message's own.
    writeln!(out, "X-Keywords: {}", keywords.join(" "))?;
    let marks = [(Flag::Answered, 'A'), (Flag::Flagged, 'F'), (Flag::Draft, 'T'), (Flag::Deleted, 'D')];
    let marks: String = marks.iter().filter(|(flag, _)| has(*flag)).map(|(_, mark)| *mark).collect();
    writeln!(out, "X-Status: {marks}")?;
    // Last, since nobody folds it: a message may begin with a space.
    writeln!(out, "Status: {}O", if has(Flag::Seen) { "R" } else { "" })?;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            out.write_all(b">")?;
        }
        out.write_all(line)?;
        // A line's own CR is told from its end by a CRLF.
        out.write_all(if line.ends_with(b"\r") { b"\r\n" } else { b"\n" })?;
    }
    out.write_all(b"\n")
}
