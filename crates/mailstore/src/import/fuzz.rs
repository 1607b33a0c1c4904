//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use std::borrow::Cow;
use std::io::BufReader;

use super::mbox::{Entry, Splitter};
use super::{from_line, status};
use crate::export::mbox::{entry, numbers};
use crate::maildir;
use crate::message::{Flag, Flags};
use crate::uidlist::{self, Entry as Listed, MAX_UID, Numbering, UidList};

/// An mbox: however it is read it has the same messages, each within the limit; and messages that are written into one by an
/// export are found in it again, with their marks.
pub fn mbox(bytes: &[u8]) {
    let limit = 1_000;
    let split = |capacity| {
        let splitter = Splitter::new(BufReader::with_capacity(capacity, bytes), limit);
        splitter.map(|entry| entry.expect("memory can be read")).collect::<Vec<_>>()
    };
    let entries = split(7);
    assert_eq!(entries, split(bytes.len().max(1)));
    for entry in &entries {
        match entry {
            Entry::Message { bytes, .. } => assert!(bytes.len() as u64 <= limit),
            Entry::TooLarge { size_bytes } => {
                assert!(*size_bytes > limit && *size_bytes <= bytes.len() as u64)
            }
            Entry::Preamble => {}
        }
    }
    written(bytes);
}

/// Messages have NULs between them here.
fn written(bytes: &[u8]) {
    let flags = Flags {
        flags: [Flag::Seen, Flag::Flagged].into(),
        keywords: ["$Junk".parse()].into_iter().flatten().collect(),
    };
    let messages = bytes.split(|byte| *byte == 0).map(kernel::crlf::normalize).collect::<Vec<_>>();
    let mut out = Vec::new();
    let numbering = Numbering { uid_validity: 1_700_000_000, uid_next: MAX_UID };
    let listed = |at: usize| {
        let uid = u32::try_from(at + 1).expect("there are not that many bytes");
        // One in three has no numbers.
        (!at.is_multiple_of(3)).then_some(Listed { uid, uidl: format!("name:{at}").parse().ok() })
    };
    for (at, message) in messages.iter().enumerate() {
        let numbers = numbers((at == 0).then_some(Some(numbering)), listed(at).as_ref());
        entry(&mut out, 1_700_000_000, &numbers, &flags, message).expect("memory can be written to");
    }
    let read = Splitter::new(out.as_slice(), u64::MAX).enumerate().map(|(at, entry)| match entry {
        Ok(Entry::Message { mut bytes, received_at }) => {
            assert_eq!(received_at.map(|at| at.timestamp()), Some(1_700_000_000));
            let marks = status::take(&mut bytes, at == 0);
            assert_eq!(marks.numbering, (at == 0).then_some(numbering));
            let uidl = listed(at).and_then(|listed| listed.uidl);
            assert_eq!((marks.uid, marks.uidl), (listed(at).map(|listed| listed.uid), uidl));
            assert_eq!(marks.flags, flags);
            kernel::crlf::normalize(&bytes).into_owned()
        }
        other => panic!("{other:?}"),
    });
    assert!(read.map(Cow::from).eq(messages));
}

/// A list of UIDs: what it says is within bounds, and what is written of it is read again as the same.
fn uids(text: &str) {
    let read = |text: &str| UidList::read(text.as_bytes(), |_| true).expect("memory can be read");
    let Some(list) = read(text) else { return };
    let Some(of) = list.numbering() else { return };
    let mut messages = Vec::new();
    assert!(of.uid_validity > 0);
    for line in text.lines() {
        let file = line.rsplit([' ', ':']).next().unwrap_or_default();
        // What is written beside a longer one may be too much for a line.
        let is_kept = file.len() < 1_000 && !file.ends_with('\r');
        let Some(entry) = list.entry(file).filter(|_| is_kept) else { continue };
        assert!((1..=MAX_UID).contains(&entry.uid) && entry.uid < of.uid_next);
        let uidl = list.uidl(entry).map_or_else(|| "none".to_owned(), |uidl| uidl.as_str().to_owned());
        messages.push((file, u64::from(entry.uid), uidl));
    }
    messages.sort();
    messages.dedup();
    let there = messages.iter().map(|(file, uid, uidl)| (*file, *uid, uidl.as_str()));
    let written = uidlist::write(of.uid_validity, u64::from(of.uid_next), &"0".repeat(32), there);
    let again = read(&written).expect("what was written");
    for (file, uid, uidl) in &messages {
        let entry = again.entry(file).expect("what was written");
        assert_eq!(
            (u64::from(entry.uid), entry.uidl.as_ref().map(|uidl| uidl.as_str())),
            (*uid, Some(uidl.as_str()))
        );
    }
}

/// The names that a Maildir has: of folders, of files with their flags, of keywords, in lists of UIDs; and the line that begins an mbox's message.
pub fn names(bytes: &[u8]) {
    from_line::date(bytes);
    let text = String::from_utf8_lossy(bytes);
    let escaped = maildir::escaped(&text);
    assert!(!escaped.contains(['/', '.', '\0']));
    assert_eq!(maildir::unescaped(&escaped), text);
    let part = maildir::part(&text);
    assert!(part.is_ascii() && !part.contains(['/', '.', '\0']));
    assert_eq!(maildir::name(&part), text);
    maildir::name(&text);
    let fitting = maildir::fitting(&text);
    assert!(fitting.len() <= 200 && maildir::fitting(&fitting) == fitting);

    let keywords = maildir::read_keywords(&text);
    assert!(keywords.len() <= maildir::MAX_LETTERS);
    let flags = maildir::flags(&text, &keywords);
    let again = maildir::flags(&format!("1:2,{}", maildir::letters(&flags, &keywords)), &keywords);
    assert_eq!(again.flags, flags.flags);
    assert!(again.keywords.is_subset(&flags.keywords));
    let mut marked = bytes.to_vec();
    status::take(&mut marked, true);
    assert!(bytes.ends_with(&marked));
    uids(&text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("mailstore_mbox", super::mbox);
        crate::seeds::play("mailstore_names", super::names);
    }
}
