//! Reads files into messages in their CRLF form. Blocking: runs on a thread of its own.

use std::fs;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::Failure;
use super::mbox::{Entry, Splitter};
use super::numbering::Left;
use super::source::{self, File, Kind};
use super::status::{self, Marks};
use crate::ingest::Was;
use crate::message::Flags;
use crate::uidlist::{Listed, Numbering};
use crate::{Error, maildir, parsed};

/// A message to store.
pub(super) struct Raw {
    /// In CRLF form.
    pub(super) bytes: Bytes,
    /// Of these bytes.
    pub(super) sha256: [u8; 32],
    /// Of what versions before took for the message, if that is something else.
    pub(super) former: Option<[u8; 32]>,
    pub(super) received_at: Option<DateTime<Utc>>,
    pub(super) flags: Flags,
    /// What it was known by.
    pub(super) was: Was,
}

/// One message, or one failure, or nothing but a folder or progress (`Ok(None)`).
pub(super) struct Item {
    pub(super) origin: String,
    /// The folder that it was in, by the parts of its path; none is the Inbox.
    pub(super) folder: Vec<String>,
    pub(super) message: Result<Option<Raw>, Failure>,
    /// Whether there is nothing in that folder.
    pub(super) is_empty: bool,
    /// What a list has for messages that could not be read.
    pub(super) left: Option<Left>,
    pub(super) read_bytes: u64,
    pub(super) total_bytes: u64,
}

/// Reads everything under `paths` in order, until `emit` says that nobody listens any more. Messages above the
/// limit are failures.
pub(super) fn read(paths: &[PathBuf], limit_bytes: u64, emit: &mut dyn FnMut(Item) -> bool) {
    let found = source::find(paths);
    let total_bytes = found.files.iter().map(|file| file.size_bytes).sum();
    let mut done_bytes = 0;
    let unreadable =
        found.unreadable.into_iter().map(|(path, error)| (path, Failure::Unreadable(Arc::new(error))));
    let passed_over = found.passed_over.into_iter().map(|(path, what)| (path, Failure::PassedOver(what)));
    for (path, reason) in unreadable.chain(passed_over) {
        let message = Err(reason);
        let (origin, folder) = (path.display().to_string(), Vec::new());
        if !emit(Item { origin, folder, message, is_empty: false, left: None, read_bytes: 0, total_bytes }) {
            return;
        }
    }
    for file in found.files {
        let origin = file.path.display().to_string();
        let mut pass_on = |origin: String, message, left, read_bytes: u64| {
            let read_bytes = done_bytes + read_bytes.min(file.size_bytes);
            let folder = file.folder.clone();
            emit(Item { origin, folder, message, is_empty: false, left, read_bytes, total_bytes })
        };
        let goes_on = match file.kind {
            Kind::Mbox => read_mbox(&file, limit_bytes, &mut pass_on),
            Kind::Message | Kind::Maildir => {
                let message = read_message(&file, limit_bytes).map(Some);
                let is_unreadable = matches!(message, Err(Failure::Unreadable(_)));
                let left = file.was.listed.filter(|_| is_unreadable).map(Left::from);
                pass_on(origin, message, left, file.size_bytes)
            }
        };
        if !goes_on {
            return;
        }
        done_bytes += file.size_bytes;
    }
    for (path, folder) in found.empty {
        let (origin, message) = (path.display().to_string(), Ok(None));
        let read_bytes = done_bytes;
        if !emit(Item { origin, folder, message, is_empty: true, left: None, read_bytes, total_bytes }) {
            return;
        }
    }
}

type PassOn<'a> = dyn FnMut(String, Result<Option<Raw>, Failure>, Option<Left>, u64) -> bool + 'a;

fn read_mbox(file: &File, limit_bytes: u64, pass_on: &mut PassOn<'_>) -> bool {
    let origin = file.path.display().to_string();
    match fs::File::open(&file.path) {
        Ok(opened) => {
            read_messages(BufReader::new(opened), &origin, limit_bytes, pass_on)
                && pass_on(origin, Ok(None), None, file.size_bytes)
        }
        Err(error) => pass_on(origin, Err(Failure::Unreadable(Arc::new(error))), None, file.size_bytes),
    }
}

/// Reads the messages of an mbox.
fn read_messages(mbox: impl BufRead, origin: &str, limit_bytes: u64, pass_on: &mut PassOn<'_>) -> bool {
    let mut splitter = Splitter::new(mbox, limit_bytes);
    let (mut number, mut numbering, mut last) = (0_u64, None::<Numbering>, 0);
    while let Some(entry) = splitter.next() {
        let of = match &entry {
            Ok(Entry::Message { .. } | Entry::TooLarge { .. }) => {
                number += 1;
                format!("{origin}, message {number}")
            }
            Ok(Entry::Preamble) | Err(_) => origin.to_owned(),
        };
        let mut left = None;
        let message = match entry {
            Ok(Entry::Message { mut bytes, received_at }) => {
                let marks = status::take(&mut bytes, number == 1);
                numbering = numbering.or(marks.numbering).filter(|_| !marks.is_anothers);
                let (former, was) = (marks.former, was(&marks, numbering));
                last = was.listed.map_or(last, |listed| listed.uid);
                let raw = finish(bytes, received_at, marks.flags, limit_bytes);
                raw.map(|raw| Raw { former, was, ..raw })
            }
            Ok(Entry::TooLarge { size_bytes }) => Err(too_large(size_bytes, limit_bytes)),
            Ok(Entry::Preamble) => Err(Failure::NoFromLine),
            Err(error) => {
                // Any of those that it has not come to.
                left = numbering.map(|of| Left { of, uids: last + 1..=of.uid_next - 1 });
                Err(Failure::Unreadable(Arc::new(error)))
            }
        };
        if !pass_on(of, message.map(Some), left, splitter.read_bytes()) {
            return false;
        }
    }
    true
}

/// What an mbox says that its message was known by.
fn was(marks: &Marks, numbering: Option<Numbering>) -> Was {
    let listed = numbering.zip(marks.uid).filter(|(of, uid)| *uid < of.uid_next);
    Was { uidl: marks.uidl.clone(), listed: listed.map(|(of, uid)| Listed { of, uid }) }
}

fn read_message(file: &File, limit_bytes: u64) -> Result<Raw, Failure> {
    let (bytes, modified) =
        read_file(&file.path, limit_bytes).map_err(|error| Failure::Unreadable(Arc::new(error)))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(too_large(file.size_bytes, limit_bytes));
    }
    let modified = modified.and_then(instant);
    let received_at = match file.kind {
        Kind::Maildir => modified,
        Kind::Message | Kind::Mbox => parsed::date_of(&bytes).or(modified),
    };
    let flags = match file.kind {
        Kind::Maildir => {
            maildir::flags(&file.path.file_name().unwrap_or_default().to_string_lossy(), &file.keywords)
        }
        Kind::Message | Kind::Mbox => Flags::default(),
    };
    let raw = finish(bytes, received_at, flags, limit_bytes)?;
    Ok(Raw { was: file.was.clone(), ..raw })
}

/// The file's bytes, at most one more than the limit, and when it was modified.
fn read_file(path: &Path, limit_bytes: u64) -> io::Result<(Vec<u8>, Option<SystemTime>)> {
    let file = fs::File::open(path)?;
    let modified = file.metadata()?.modified().ok();
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    Ok((bytes, modified))
}

fn finish(
    bytes: Vec<u8>,
    received_at: Option<DateTime<Utc>>,
    flags: Flags,
    limit_bytes: u64,
) -> Result<Raw, Failure> {
    let size_bytes = kernel::crlf::len(&bytes);
    if size_bytes > limit_bytes {
        return Err(too_large(size_bytes, limit_bytes));
    }
    let bytes: Bytes = match kernel::crlf::normalize(&bytes) {
        std::borrow::Cow::Owned(mended) => mended.into(),
        std::borrow::Cow::Borrowed(_) => bytes.into(),
    };
    let received_at = received_at.or_else(|| parsed::date_of(&bytes));
    let sha256 = Sha256::digest(&bytes).into();
    Ok(Raw { sha256, bytes, former: None, received_at, flags, was: Was::default() })
}

fn too_large(size_bytes: u64, limit_bytes: u64) -> Failure {
    Failure::Refused(Error::TooLarge { size_bytes, limit_bytes })
}

/// A file's time as a date; `None` outside the years that a date has.
fn instant(time: SystemTime) -> Option<DateTime<Utc>> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    DateTime::from_timestamp(i64::try_from(since.as_secs()).ok()?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(root: &Path, limit_bytes: u64) -> Vec<Item> {
        let mut items = Vec::new();
        read(&[root.to_owned()], limit_bytes, &mut |item| {
            items.push(item);
            true
        });
        items
    }

    #[test]
    fn mends_line_ends_and_dates_by_the_rules() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("m/cur")).unwrap();
        fs::create_dir_all(root.path().join("m/new")).unwrap();
        let dated = "Date: Thu, 20 Nov 2025 14:03:07 +0000\nA: 1\n\nx";
        fs::write(root.path().join("a.eml"), dated).unwrap();
        fs::write(root.path().join("m/cur/1"), dated).unwrap();
        fs::write(root.path().join("z.mbox"), "From x Fri Nov 21 10:00:00 2025\nA: 2\n\n>From y\n").unwrap();
        let past = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        for name in ["a.eml", "m/cur/1"] {
            fs::File::options().write(true).open(root.path().join(name)).unwrap().set_modified(past).unwrap();
        }
        let items = read_all(root.path(), 1000);
        let seen: Vec<_> = items
            .iter()
            .filter_map(|item| item.message.as_ref().unwrap().as_ref())
            .map(|raw| (raw.bytes.as_ref(), raw.received_at.unwrap().to_rfc3339()))
            .collect();
        let body: &[u8] = b"Date: Thu, 20 Nov 2025 14:03:07 +0000\r\nA: 1\r\n\r\nx\r\n";
        assert_eq!(seen[0], (body, "2025-11-20T14:03:07+00:00".to_owned()));
        assert_eq!(seen[1], (body, "2001-09-09T01:46:40+00:00".to_owned()));
        assert_eq!(seen[2], (&b"A: 2\r\n\r\nFrom y\r\n"[..], "2025-11-21T10:00:00+00:00".to_owned()));
        let last = items.last().unwrap();
        assert_eq!(last.read_bytes, last.total_bytes);
    }

    /// What cannot be read.
    struct Broken;

    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("a bad sector"))
        }
    }

    #[test]
    fn an_mbox_that_breaks_off_leaves_the_uids_that_it_has_not_come_to() {
        let from = "From x Fri Nov 21 10:00:00 2025\n";
        let text = format!("{from}X-IMAPbase: 7 20\nX-UID: 5\nA: 1\n\n\n{from}X-UID: 6\n");
        let mbox = BufReader::new(text.as_bytes().chain(Broken));
        let mut seen = Vec::new();
        read_messages(mbox, "x.mbox", 1000, &mut |_, message, left, _| {
            seen.push((message.is_ok(), left));
            true
        });
        let of = Numbering { uid_validity: 7, uid_next: 21 };
        assert_eq!(seen, [(true, None), (false, Some(Left { of, uids: 6..=20 }))]);
    }

    #[test]
    fn what_is_too_large_fails_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.eml"), "x".repeat(101)).unwrap();
        fs::write(root.path().join("b.eml"), "\n".repeat(51)).unwrap();
        fs::write(root.path().join("c.eml"), "\n".repeat(50)).unwrap();
        let items = read_all(root.path(), 100);
        let large = |item: &Item| matches!(item.message, Err(Failure::Refused(Error::TooLarge { .. })));
        assert_eq!(items.iter().map(large).collect::<Vec<_>>(), [true, true, false]);
    }
}
