//! Lines out of a stream of bytes, bounded before anything looks at them.

use bytes::{Buf, BytesMut};

/// RFC 2449 §4: a command has at most 255 octets, its CRLF included.
pub const LINE_MAX_OCTETS: usize = 255;

/// What stood between two line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A line, without its end.
    Line(BytesMut),
    /// A line longer than asked for; its bytes were dropped as they came.
    TooLong,
}

/// Collects received bytes and cuts them into lines.
///
/// Lines end in CRLF. A bare LF is taken for an end as well: it cannot occur inside a command, and people type
/// at this protocol by hand. A bare CR ends nothing, and is refused by the parser.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    scanned: usize,
    skipping: bool,
}

impl Framer {
    /// Where received bytes are appended.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether a line end has been received that [`Framer::frame`] has not given out yet.
    pub fn has_frame(&mut self) -> bool {
        self.find_end().is_some()
    }

    /// The next line, of at most `max_octets` octets with its end; `None` until more bytes come. What is kept
    /// between two calls is never more than `max_octets`.
    pub fn frame(&mut self, max_octets: usize) -> Option<Frame> {
        let Some(end) = self.find_end() else {
            if self.skipping || self.buffer.len() >= max_octets {
                self.skipping = true;
                self.buffer.clear();
                self.scanned = 0;
            }
            return None;
        };
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.scanned = 0;
        if std::mem::take(&mut self.skipping) || line.len() + 1 > max_octets {
            return Some(Frame::TooLong);
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(Frame::Line(line))
    }

    /// The position of the next LF; bytes already looked at are not looked at again.
    fn find_end(&mut self) -> Option<usize> {
        match self.buffer[self.scanned..].iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                self.scanned += at;
                Some(self.scanned)
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(chunks: &[&[u8]], max_octets: usize) -> Vec<Frame> {
        let mut framer = Framer::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.input().extend_from_slice(chunk);
            loop {
                let expected = framer.has_frame();
                let frame = framer.frame(max_octets);
                assert_eq!(expected, frame.is_some());
                assert!(frame.is_some() || framer.buffer.len() < max_octets, "kept more than the limit");
                match frame {
                    Some(frame) => frames.push(frame),
                    None => break,
                }
            }
        }
        frames
    }

    fn line(text: &str) -> Frame {
        Frame::Line(BytesMut::from(text.as_bytes()))
    }

    #[test]
    fn limit_counts_the_line_end() {
        let fits = format!("{}\r\n", "a".repeat(LINE_MAX_OCTETS - 2));
        assert_eq!(frames(&[fits.as_bytes()], LINE_MAX_OCTETS), [line(&fits[..253])]);
        let over = format!("{}\r\nNOOP\r\n", "a".repeat(LINE_MAX_OCTETS - 1));
        assert_eq!(frames(&[over.as_bytes()], LINE_MAX_OCTETS), [Frame::TooLong, line("NOOP")]);
    }

    #[test]
    fn ends_and_what_are_none() {
        assert_eq!(
            frames(&[b"a\nb\r\n\r\nc\rd\r\ne\r"], 255),
            [line("a"), line("b"), line(""), line("c\rd")]
        );
    }

    proptest! {
        /// However the stream is cut, the same lines come out, and they are those of splitting it whole.
        #[test]
        fn any_chunking_gives_the_same_lines(
            lines in proptest::collection::vec("[ -~\r]{0,30}[ -~]|", 0..20),
            cuts in proptest::collection::vec(1usize..9, 1..200),
        ) {
            const MAX: usize = 16;
            let stream = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let expected = lines.iter().map(|text| if text.len() + 2 > MAX { Frame::TooLong } else { line(text) }).collect::<Vec<_>>();
            prop_assert_eq!(frames(&testkit::pieces(stream.as_bytes(), &cuts), MAX), expected.clone());
            prop_assert_eq!(frames(&[stream.as_bytes()], MAX), expected);
        }
    }
}
