//! Framing: where one command line ends, decided before anything in it is read.

use bytes::{Buf, Bytes, BytesMut};

/// The longest command line taken, with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512 octets, the extensions for
/// about a hundred more; the rest is for long source routes and paths.
pub const LINE_MAX_OCTETS: usize = 2048;

/// One line of a client, or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A line, without its CRLF.
    Line(Bytes),
    /// More than the limit came before CRLF.
    TooLong,
    /// A line feed came without its carriage return.
    BareLineFeed,
}

/// Cuts a stream into lines.
///
/// Only CRLF ends a line (RFC 5321 §2.3.8). A broken line is reported once, as soon as it is known to be broken,
/// and the rest of it, up to its CRLF, is dropped: nothing that follows a bare line feed is ever taken for a
/// command.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    scanned: usize,
    dropping: bool,
}

impl Framer {
    /// A framer for lines of at most `limit` octets, CRLF included.
    pub fn new(limit: usize) -> Self {
        Self { limit, scanned: 0, dropping: false }
    }

    /// Takes the next frame off the front of `input`; `None` when more bytes are needed. `input` then holds at
    /// most `limit` bytes. Between two calls that return `None`, `input` may only grow.
    pub fn next(&mut self, input: &mut BytesMut) -> Option<Frame> {
        loop {
            let Some(feed) = input[self.scanned..].iter().position(|&byte| byte == b'\n') else {
                return self.wait(input);
            };
            let feed = self.scanned + feed;
            self.scanned = 0;
            let is_ended = feed > 0 && input[feed - 1] == b'\r';
            let line = input.split_to(feed + 1);
            if self.dropping {
                self.dropping = !is_ended;
                continue;
            }
            self.dropping = !is_ended;
            return Some(match is_ended {
                _ if feed >= self.limit => Frame::TooLong,
                true => Frame::Line(line.freeze().slice(..feed - 1)),
                false => Frame::BareLineFeed,
            });
        }
    }

    fn wait(&mut self, input: &mut BytesMut) -> Option<Frame> {
        let is_too_long = input.len() >= self.limit;
        if self.dropping || is_too_long {
            // A last carriage return may be the first half of the CRLF that ends the drop.
            let kept = usize::from(input.last() == Some(&b'\r'));
            input.advance(input.len() - kept);
        }
        self.scanned = input.len();
        if self.dropping || !is_too_long {
            return None;
        }
        self.dropping = true;
        Some(Frame::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(chunks: &[&[u8]], limit: usize) -> Vec<Frame> {
        let mut framer = Framer::new(limit);
        let mut input = BytesMut::new();
        let mut frames = Vec::new();
        for chunk in chunks {
            input.extend_from_slice(chunk);
            while let Some(frame) = framer.next(&mut input) {
                frames.push(frame);
            }
            assert!(input.len() < limit.max(2), "waits with {} bytes", input.len());
        }
        frames
    }

    fn line(text: &'static str) -> Frame {
        Frame::Line(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(frames(&[b"NOOP\r\nQUIT\r\nhalf"], 32), [line("NOOP"), line("QUIT")]);
        assert_eq!(frames(&[b"a\rb\r\n"], 32), [line("a\rb")]);
        assert_eq!(frames(&[b"RCPT\nDATA\r\nNOOP\r\n"], 32), [Frame::BareLineFeed, line("NOOP")]);
        assert_eq!(frames(&[b"\nDATA\nDATA\r", b"\nNOOP\r\n"], 32), [Frame::BareLineFeed, line("NOOP")]);
        assert_eq!(frames(&[b"\r\n"], 32), [line("")]);
    }

    #[test]
    fn the_limit_counts_the_crlf() {
        assert_eq!(frames(&[b"12345678\r\n"], 10), [line("12345678")]);
        assert_eq!(frames(&[b"123456789\r\nok\r\n"], 10), [Frame::TooLong, line("ok")]);
        assert_eq!(frames(&[b"1234567890", b"1234\r", b"\nok\r\n"], 10), [Frame::TooLong, line("ok")]);
        assert_eq!(frames(&[b"123456789\r", b"\nok\r\n"], 10), [Frame::TooLong, line("ok")]);
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'x')], 0..120),
            sizes in proptest::collection::vec(1usize..9, 1..20),
        ) {
            let whole = {
                // Fed byte by byte, the waiting part is checked against the limit at each step.
                let singles: Vec<&[u8]> = bytes.chunks(1).collect();
                frames(&singles, 12)
            };
            prop_assert_eq!(&frames(&testkit::pieces(&bytes, &sizes), 12), &whole);
            prop_assert_eq!(&frames(&[&bytes], 12), &whole);
        }
    }
}
