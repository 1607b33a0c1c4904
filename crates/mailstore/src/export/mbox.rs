//! Mboxes out of a Maildir.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::{Failure, place, private};
use crate::maildir;
use crate::message::{Flag, Flags};
use crate::uidlist::{self, Entry, Numbering, UidList};

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

/// What a file is called.
fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// Writes the messages of a Maildir's folder as an mbox, in the order of their UIDs, in which other programs number them.
pub(super) fn write(folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let list = fs::File::open(folder.join(uidlist::DOVECOT)).ok();
    let list = list.and_then(|file| UidList::read(BufReader::new(file), |_| true).ok().flatten());
    let listed = |path: &Path| list.as_ref().and_then(|list| list.entry(&name(path)));
    let keywords = fs::read_to_string(folder.join(maildir::KEYWORDS_FILE)).unwrap_or_default();
    let keywords = maildir::read_keywords(&keywords);
    let mut paths = messages(folder)?;
    paths.sort_by_cached_key(|path| listed(path).map_or(u32::MAX, |entry| entry.uid));
    for (at, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).map_err(Failure::of(path))?;
        let name = name(path);
        let flags = maildir::flags(&name, &keywords);
        let numbering = list.as_ref().and_then(UidList::numbering);
        let numbers = numbers((at == 0).then_some(numbering), listed(path));
        let received = maildir::received(&name).unwrap_or(0);
        entry(out, received, &numbers, &flags, &bytes).map_err(Failure::of(path))?;
    }
    Ok(())
}

/// The fields that say how a message is numbered, and, of the `first` one, how all of them are. Also where they say nothing: what follows is the message's own.
pub(crate) fn numbers(first: Option<Option<Numbering>>, entry: Option<&Entry>) -> String {
    let base = first.map(|numbering| match numbering {
        Some(Numbering { uid_validity, uid_next }) => {
            format!("X-IMAPbase: {uid_validity} {}\n", uid_next - 1)
        }
        None => "X-IMAPbase:\n".to_owned(),
    });
    let uid = entry.map_or_else(String::new, |entry| format!(" {}", entry.uid));
    let uidl = entry.and_then(|entry| entry.uidl.as_ref()).map_or("", |uidl| uidl.as_str());
    format!("{}X-UID:{uid}\nX-UIDL: {uidl}\n", base.unwrap_or_default())
}

/// Writes a message, whose lines end in CRLF, with its [`numbers`].
pub(crate) fn entry(
    out: &mut impl Write,
    seconds: u64,
    numbers: &str,
    flags: &Flags,
    bytes: &[u8],
) -> io::Result<()> {
    let date = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let date = date.unwrap_or_default().format("%a %b %e %H:%M:%S %Y");
    writeln!(out, "From MAILER-DAEMON {date}")?;
    out.write_all(numbers.as_bytes())?;
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
