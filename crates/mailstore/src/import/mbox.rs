//! Splits an mbox into messages, holding one at a time.
//!
//! The dialect is mboxrd: a `From ` line after an empty line (or at the very start) begins a message, one `>` is
//! taken off every `>From `, `>>From ` and so on, and the empty line before the next `From ` line belongs to the
//! file, not to the message. Writers that leave `From ` lines of a body as they are exist: therefore, in a file
//! whose first `From ` line carries a date, only lines that carry one separate.

use std::io::{self, BufRead, Read as _};

use chrono::{DateTime, Utc};

use super::from_line;

/// The longest piece of a line looked at in one go.
const PIECE_BYTES: u64 = 64 * 1024;

/// What one separator and what follows it came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A message as the file has it, quoting undone, line ends not yet mended.
    Message {
        /// Its bytes.
        bytes: Vec<u8>,
        /// When it was received, by its `From ` line.
        received_at: Option<DateTime<Utc>>,
    },
    /// A message above the limit, skipped without being kept.
    TooLarge {
        /// How long it is, quoting undone.
        size_bytes: u64,
    },
    /// Text before the first `From ` line, which belongs to no message.
    Preamble,
}

/// The messages of one mbox, in its order.
pub(super) struct Splitter<R> {
    reader: R,
    limit_bytes: u64,
    piece: Vec<u8>,
    /// The `From ` line that began the message to come; `None` before the first.
    pending: Option<Option<DateTime<Utc>>>,
    dated: bool,
    started: bool,
    ended: bool,
    read_bytes: u64,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn new(reader: R, limit_bytes: u64) -> Self {
        let piece = Vec::new();
        Self {
            reader,
            limit_bytes,
            piece,
            pending: None,
            dated: false,
            started: false,
            ended: false,
            read_bytes: 0,
        }
    }

    /// How much of the file has been read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Reads up to and including the next separator.
    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let received_at = self.pending.take();
        let mut body = Body::new(self.limit_bytes);
        let mut at_line_start = true;
        let mut after_empty_line = !self.started;
        loop {
            self.piece.clear();
            (&mut self.reader).take(PIECE_BYTES).read_until(b'\n', &mut self.piece)?;
            self.read_bytes += self.piece.len() as u64;
            if self.piece.is_empty() {
                self.ended = true;
                break;
            }
            if at_line_start && after_empty_line && self.piece.starts_with(b"From ") {
                let date = from_line::date(&self.piece);
                if !self.started || !self.dated || date.is_dated() {
                    if !self.started {
                        self.dated = date.is_dated();
                    }
                    self.started = true;
                    self.pending = Some(date.instant());
                    break;
                }
            }
            after_empty_line = at_line_start && matches!(self.piece.as_slice(), b"\n" | b"\r\n");
            body.push(&self.piece, at_line_start);
            at_line_start = self.piece.ends_with(b"\n");
        }
        Ok(match received_at {
            Some(received_at) => Some(body.into_entry(received_at)),
            None if body.is_blank() => None,
            None => Some(Entry::Preamble),
        })
    }
}

impl<R: BufRead> Iterator for Splitter<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_entry() {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// A message being gathered; above the limit it is counted and no longer kept.
struct Body {
    bytes: Vec<u8>,
    size_bytes: u64,
    limit_bytes: u64,
    blank: bool,
    /// An empty line held back: the separator's if a `From ` line or the end follows, else the body's.
    empty_line: Vec<u8>,
}

impl Body {
    fn new(limit_bytes: u64) -> Self {
        Self { bytes: Vec::new(), size_bytes: 0, limit_bytes, blank: true, empty_line: Vec::new() }
    }

    /// Whether nothing but empty lines has come.
    fn is_blank(&self) -> bool {
        self.blank
    }

    fn push(&mut self, piece: &[u8], at_line_start: bool) {
        let held = std::mem::take(&mut self.empty_line);
        self.keep(&held);
        if at_line_start && matches!(piece, b"\n" | b"\r\n") {
            self.empty_line = piece.to_vec();
            return;
        }
        self.blank = false;
        let quoted = at_line_start && is_quoted_from(piece);
        self.keep(if quoted { &piece[1..] } else { piece });
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes <= self.limit_bytes {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes = Vec::new();
        }
    }

    fn into_entry(self, received_at: Option<DateTime<Utc>>) -> Entry {
        if self.size_bytes > self.limit_bytes {
            Entry::TooLarge { size_bytes: self.size_bytes }
        } else {
            Entry::Message { bytes: self.bytes, received_at }
        }
    }
}

/// `>From `, `>>From ` and so on.
fn is_quoted_from(line: &[u8]) -> bool {
    let rest = line.iter().position(|&byte| byte != b'>').map_or(&[][..], |at| &line[at..]);
    line.starts_with(b">") && rest.starts_with(b"From ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FROM: &str = "From ada@example.org Thu Nov 20 14:03:07 2025\n";

    fn split(text: &[u8], limit_bytes: u64) -> Vec<Entry> {
        // A small buffer, so that lines are read in pieces.
        let reader = io::BufReader::with_capacity(7, text);
        Splitter::new(reader, limit_bytes).collect::<io::Result<_>>().unwrap()
    }

    fn bodies(text: &str) -> Vec<String> {
        split(text.as_bytes(), 1 << 20)
            .into_iter()
            .map(|entry| match entry {
                Entry::Message { bytes, .. } => String::from_utf8(bytes).unwrap(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn takes_off_one_quote_and_the_separating_empty_line() {
        let text = format!("{FROM}A: 1\n\n>From me\n>>From you\n > From\n>Fro\n\n{FROM}B: 2\n\n\n\n");
        assert_eq!(bodies(&text), ["A: 1\n\nFrom me\n>From you\n > From\n>Fro\n", "B: 2\n\n\n"]);
    }

    #[test]
    fn a_from_line_needs_an_empty_line_before_it_and_a_date_if_the_first_had_one() {
        let text = format!("{FROM}A: 1\n{FROM}\nFrom now on, no date\n\nFrom 10:30 to 2025 people\n");
        assert_eq!(bodies(&text).len(), 1, "{:?}", bodies(&text));
        assert_eq!(bodies("From one\nA: 1\n\nFrom two\nB: 2\n"), ["A: 1\n", "B: 2\n"]);
    }

    #[test]
    fn text_that_belongs_to_no_message_is_said_and_skipped() {
        assert_eq!(bodies(&format!("\n\n{FROM}A: 1\n")), ["A: 1\n"]);
        assert_eq!(bodies("A: 1\n\nbody\n"), ["Preamble"]);
        assert_eq!(bodies(&format!("rubbish\n\n{FROM}A: 1\n")), ["Preamble", "A: 1\n"]);
        assert!(bodies("").is_empty());
        assert_eq!(bodies(FROM), [""]);
    }

    #[test]
    fn a_message_above_the_limit_is_counted_and_the_next_is_read() {
        let long = "x".repeat(200_000);
        let text = format!("{FROM}{long}\n\n{FROM}B: 2\n");
        let entries = split(text.as_bytes(), 100);
        assert_eq!(entries[0], Entry::TooLarge { size_bytes: 200_001 });
        assert!(matches!(&entries[1], Entry::Message { bytes, .. } if bytes == b"B: 2\n"));
        assert_eq!(bodies(&text)[0].len(), 200_001);
    }

    #[test]
    fn the_from_line_tells_when_the_message_was_received() {
        let entries = split(format!("{FROM}A: 1\n").as_bytes(), 100);
        let Entry::Message { received_at: Some(at), .. } = &entries[0] else { panic!("{entries:?}") };
        assert_eq!(at.to_rfc3339(), "2025-11-20T14:03:07+00:00");
    }

    /// What a mboxrd writer does with messages whose lines are ended.
    fn join(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            out.extend_from_slice(FROM.as_bytes());
            for line in message.split_inclusive(|&byte| byte == b'\n') {
                if line.starts_with(b"From ") || is_quoted_from(line) {
                    out.push(b'>');
                }
                out.extend_from_slice(line);
            }
            out.push(b'\n');
        }
        out
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"From ".to_vec()),
            Just(FROM.as_bytes().to_vec()),
            Just(b">".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
            let mut bytes = pieces.concat();
            if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                bytes.push(b'\n');
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn splitting_undoes_joining(messages in proptest::collection::vec(message(), 0..6)) {
            let split = split(&join(&messages), u64::MAX).into_iter().map(|entry| match entry {
                Entry::Message { bytes, .. } => bytes,
                other => panic!("{other:?}"),
            });
            prop_assert_eq!(split.collect::<Vec<_>>(), messages);
        }
    }
}
