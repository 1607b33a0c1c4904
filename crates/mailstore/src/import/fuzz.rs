//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use std::borrow::Cow;
use std::io::BufReader;

use super::mbox::{Entry, Splitter};
use super::{from_line, status};
use crate::export::mbox::entry;
use crate::maildir;
use crate::message::{Flag, Flags};

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
    for message in &messages {
        entry(&mut out, 1_700_000_000, &flags, message).expect("memory can be written to");
    }
    let read = Splitter::new(out.as_slice(), u64::MAX).map(|entry| match entry {
        Ok(Entry::Message { mut bytes, received_at }) => {
            assert_eq!(received_at.map(|at| at.timestamp()), Some(1_700_000_000));
            let marks = status::take(&mut bytes);
            assert_eq!((marks.flags, marks.keywords), (flags.flags.clone(), flags.keywords.clone()));
            kernel::crlf::normalize(&bytes).into_owned()
        }
        other => panic!("{other:?}"),
    });
    assert!(read.map(Cow::from).eq(messages));
}

/// The names that a Maildir has: of folders, of files with their flags, of keywords; and the line that begins an mbox's message.
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
    status::take(&mut marked);
    assert!(bytes.ends_with(&marked));
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("mailstore_mbox", super::mbox);
        crate::seeds::play("mailstore_names", super::names);
    }
}
