//! The mail that the story takes in, read one message at a time, and the form in which it is hashed.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// SHA-256.
pub(super) type Hash = [u8; 32];

/// The hash of some bytes.
pub(super) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// A message as the story's client sends it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Where it came from, for messages about it.
    pub(super) label: String,
    /// Its bytes: every line feed has its carriage return and every carriage return its line feed, and the last line is ended.
    pub(super) wire: Bytes,
    /// The hash of those bytes.
    pub(super) hash: Hash,
}

impl Message {
    /// Makes line ends CRLF and ends the last line. A carriage return alone becomes a space, as MTAs have it (Postfix's
    /// `cleanup_replace_stray_cr_lf`): by SMTP it would be refused.
    pub(super) fn new(label: String, raw: &[u8]) -> Self {
        let mut wire = Vec::with_capacity(raw.len() + raw.len() / 32 + 2);
        for (at, &byte) in raw.iter().enumerate() {
            let next = raw.get(at + 1);
            match byte {
                b'\n' if wire.last() != Some(&b'\r') => wire.extend_from_slice(b"\r\n"),
                b'\r' if next != Some(&b'\n') => wire.push(b' '),
                byte => wire.push(byte),
            }
        }
        if wire.last().is_some_and(|&last| last != b'\n') {
            wire.extend_from_slice(b"\r\n");
        }
        Self { label, hash: hash(&wire), wire: wire.into() }
    }

    /// A message of our own making, about `body_bytes` long.
    pub(super) fn generated(name: &str, body_bytes: usize) -> Self {
        let mut raw = format!(
            "From: story@sender.example\r\nTo: team@customer.example\r\nSubject: {name}\r\n\
             Message-ID: <{name}@sender.example>\r\n\r\n"
        );
        let mut line = 0;
        while raw.len() < body_bytes {
            line += 1;
            raw.push_str(&format!(
                "{name}, line {line}: the quick brown fox jumps over the lazy dog, and back.\r\n"
            ));
        }
        Self::new(name.to_owned(), raw.as_bytes())
    }
}

/// The messages below a path: each regular file is one, an `*.mbox` file holds several.
#[derive(Debug)]
pub(super) struct Messages {
    root: PathBuf,
    files: VecDeque<PathBuf>,
    mbox: Option<Mbox>,
}

impl Messages {
    pub(super) fn below(path: &Path) -> Result<Self> {
        let mut files = VecDeque::new();
        collect(path, &mut files)?;
        let root = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        Ok(Self { root: root.to_owned(), files, mbox: None })
    }

    fn label(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn collect(path: &Path, files: &mut VecDeque<PathBuf>) -> Result<()> {
    let context = || path.display().to_string();
    if !path.is_dir() {
        files.push_back(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(context)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().with_context(context)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        // Not following links: what is not regular is no message, and a link upwards would have no end.
        let kind = entry.file_type().with_context(context)?;
        if kind.is_dir() || kind.is_file() {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

impl Iterator for Messages {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mbox) = &mut self.mbox {
                match mbox.next() {
                    Some(message) => return Some(message),
                    None => self.mbox = None,
                }
            }
            let path = self.files.pop_front()?;
            let label = self.label(&path);
            if path.extension().is_some_and(|extension| extension == "mbox") {
                match File::open(&path).with_context(|| label.clone()) {
                    Ok(file) => {
                        self.mbox =
                            Some(Mbox { label, reader: BufReader::new(file), count: 0, is_ahead: false })
                    }
                    Err(error) => return Some(Err(error)),
                }
            } else {
                let raw = std::fs::read(&path).with_context(|| label.clone());
                return Some(raw.map(|raw| Message::new(label, &raw)));
            }
        }
    }
}

/// An mbox being read (mboxrd: a `From ` line after an empty one separates, a `>` before `>*From ` is undone).
#[derive(Debug)]
struct Mbox {
    label: String,
    reader: BufReader<File>,
    count: usize,
    /// Whether the separator of the next message has been read.
    is_ahead: bool,
}

impl Mbox {
    fn next(&mut self) -> Option<Result<Message>> {
        let mut raw = Vec::new();
        let mut has_begun = std::mem::take(&mut self.is_ahead);
        let mut after_empty_line = true;
        loop {
            let mut line = Vec::new();
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) if !has_begun => return None,
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Some(Err(error).with_context(|| self.label.clone())),
            }
            if after_empty_line && line.starts_with(b"From ") {
                if has_begun && !raw.is_empty() {
                    self.is_ahead = true;
                    break;
                }
                has_begun = true;
                continue;
            }
            after_empty_line = matches!(&line[..], b"\n" | b"\r\n");
            let quotes = line.iter().take_while(|&&byte| byte == b'>').count();
            let unquoted =
                if quotes > 0 && line[quotes..].starts_with(b"From ") { &line[1..] } else { &line[..] };
            raw.extend_from_slice(unquoted);
        }
        // The empty line before the next separator, or at the end, belongs to the file.
        for empty in [&b"\n\r\n"[..], b"\n\n"] {
            if raw.ends_with(empty) {
                raw.truncate(raw.len() - empty.len() + 1);
                break;
            }
        }
        self.count += 1;
        Some(Ok(Message::new(format!("{} message {}", self.label, self.count), &raw)))
    }
}

/// How often each message is expected, by its hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(HashMap<Hash, usize>);

impl Tally {
    pub(super) fn add(&mut self, hash: Hash) {
        *self.0.entry(hash).or_default() += 1;
    }

    /// Takes one of it away; false when there is none left.
    pub(super) fn take(&mut self, hash: &Hash) -> bool {
        match self.0.get_mut(hash) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// How many are left altogether.
    pub(super) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

/// What is left of a stored message without the trace fields that the server put in front: Return-Path and
/// Received, one each. Where the message's own first lines look like a continuation of Received there are several
/// answers, the shortest trace first.
pub(super) fn without_trace(stored: &[u8]) -> Vec<&[u8]> {
    let after_line =
        |at: usize| stored[at..].windows(2).position(|two| two == b"\r\n").map(|found| at + found + 2);
    let mut rests = Vec::new();
    if !stored.starts_with(b"Return-Path: <") {
        return rests;
    }
    let Some(received) = after_line(0).filter(|&at| stored[at..].starts_with(b"Received: from ")) else {
        return rests;
    };
    let mut at = received;
    while let Some(next) = after_line(at) {
        rests.push(&stored[next..]);
        if !matches!(stored.get(next), Some(b' ' | b'\t')) {
            break;
        }
        at = next;
    }
    rests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashed_form_has_crlf_at_every_line_and_at_the_end() {
        for (raw, wire) in
            [("", ""), ("a\nb", "a\r\nb\r\n"), ("a\r\n", "a\r\n"), ("a\rb\n", "a b\r\n"), ("a\r", "a \r\n")]
        {
            assert_eq!(Message::new(String::new(), raw.as_bytes()).wire, wire.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn every_regular_file_is_a_message_and_an_mbox_holds_several() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/m0001"), "one\n").unwrap();
        std::fs::write(dir.path().join("mbox"), "From is a word\n").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop")).unwrap();
        let mbox =
            "From a@b Fri Jan  2 11:00:00 2026\nS: 1\n\n>From x\n>>From y\nFrom z\n\nFrom c@d\nS: 2\n\n";
        std::fs::write(dir.path().join("z.mbox"), mbox).unwrap();
        let found = Messages::below(dir.path()).unwrap().collect::<Result<Vec<_>>>().unwrap();
        let wires = found.iter().map(|m| String::from_utf8_lossy(&m.wire).into_owned()).collect::<Vec<_>>();
        assert_eq!(
            wires,
            ["From is a word\r\n", "one\r\n", "S: 1\r\n\r\nFrom x\r\n>From y\r\nFrom z\r\n", "S: 2\r\n"]
        );
        assert_eq!(found[3].label, "z.mbox message 2");
    }

    #[test]
    fn the_shipped_mail_has_what_breaks_careless_servers() {
        let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/mail"));
        let found = Messages::below(shipped).unwrap().collect::<Result<Vec<_>>>().unwrap();
        assert_eq!(found.len(), 12);
        let any = |holds: fn(&[u8]) -> bool| found.iter().any(|message| holds(&message.wire));
        assert!(any(|wire| wire.windows(5).any(|five| five == b"\r\n.\r\n")), "a line of a dot alone");
        assert!(any(|wire| wire.split(|&byte| byte == b'\n').any(|line| line.len() > 5_000)), "a long line");
        assert!(any(|wire| std::str::from_utf8(wire).is_err()), "eight bits that are not UTF-8");
        assert!(any(|wire| wire.contains(&0)), "a NUL");
        assert!(any(|wire| wire.starts_with(b"Return-Path: ")), "trace fields of its own");
        assert!(any(|wire| !wire.windows(4).any(|four| four == b"\r\n\r\n")), "a header without a body");
    }

    #[test]
    fn exactly_the_servers_own_trace_is_taken_off() {
        let own = b"Return-Path: <x@y>\r\nReceived: by z\r\n\tfolded\r\nS: 1\r\n";
        let stored =
            [b"Return-Path: <a@b>\r\nReceived: from c\r\n\tby d;\r\n\tdate\r\n".as_slice(), own].concat();
        assert_eq!(without_trace(&stored).last().unwrap(), own);
        let folded = [b"Return-Path: <>\r\nReceived: from c\r\n\tdate\r\n".as_slice(), b" odd\r\n"].concat();
        assert!(without_trace(&folded).contains(&b" odd\r\n".as_slice()));
        assert!(without_trace(own).is_empty(), "a Received field that is not ours");
        assert!(without_trace(b"S: 1\r\n").is_empty());
    }
}
