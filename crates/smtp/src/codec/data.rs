//! What DATA carries (RFC 5321 §4.1.1.4, §4.5.2): found its end, its dots unstuffed, every other byte as it came.

/// What one piece of input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the input belong to the message; what follows is the next command.
    pub consumed: usize,
    /// Whether the final dot was reached.
    pub is_done: bool,
}

/// Decodes the bytes after `354` as they come, in pieces of any size.
///
/// Only CRLF `.` CRLF ends the message, and only a dot right after CRLF (or at the very start) is unstuffed. Every
/// other combination of CR, LF and dots is content: recognising more than one end is how a message smuggles
/// another past a relay.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    has_bare: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At the first byte of a line.
    #[default]
    Start,
    /// Inside a line.
    Inside,
    /// After a carriage return, which has been given out.
    Return,
    /// After a dot at the start of a line, held back.
    Dot,
    /// After a dot at the start of a line and a carriage return, both held back.
    DotReturn,
    Done,
}

impl Decoder {
    /// A decoder at the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a CR or LF came alone. Some servers take such a one for the end of a line, and what follows for the end of a message: the message is
    /// to be refused (RFC 5321 §2.3.8).
    pub fn has_bare(&self) -> bool {
        self.has_bare
    }

    /// Appends the content of `input` to `content`: at most two bytes more than `input` has.
    pub fn decode(&mut self, input: &[u8], content: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Inside {
                // Nothing but the bytes of a line's end changes anything here.
                let ends = |&byte: &u8| matches!(byte, b'\r' | b'\n');
                let run = input[at..].iter().position(ends).unwrap_or(input.len() - at);
                content.extend_from_slice(&input[at..at + run]);
                at += run;
                if at == input.len() {
                    break;
                }
            }
            self.step(input[at], content);
            at += 1;
        }
        Progress { consumed: at, is_done: self.state == State::Done }
    }

    fn step(&mut self, byte: u8, content: &mut Vec<u8>) {
        let follows_return = matches!(self.state, State::Return | State::DotReturn);
        self.has_bare |= follows_return != (byte == b'\n');
        self.state = match (self.state, byte) {
            (State::Start, b'.') => State::Dot,
            (State::Dot, b'\r') => State::DotReturn,
            (State::DotReturn, b'\n') => State::Done,
            (State::Return, b'\n') => {
                content.push(byte);
                State::Start
            }
            (held, _) => {
                if held == State::DotReturn {
                    content.push(b'\r');
                }
                content.push(byte);
                if byte == b'\r' { State::Return } else { State::Inside }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sender's side of RFC 5321 §4.5.2, for content that ends with CRLF or is empty.
    fn encode(content: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut is_start = true;
        for (at, &byte) in content.iter().enumerate() {
            if is_start && byte == b'.' {
                wire.push(b'.');
            }
            wire.push(byte);
            is_start = byte == b'\n' && at > 0 && content[at - 1] == b'\r';
        }
        wire.extend_from_slice(b".\r\n");
        wire
    }

    fn decode(chunks: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
        let mut decoder = Decoder::new();
        let (mut content, mut before) = (Vec::new(), 0);
        for chunk in chunks {
            let progress = decoder.decode(chunk, &mut content);
            if progress.is_done {
                return (content, Some(before + progress.consumed));
            }
            assert_eq!(progress.consumed, chunk.len());
            before += chunk.len();
        }
        (content, None)
    }

    #[test]
    fn nothing_else_ends_a_message() {
        for inside in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r\n",
            "\r.\r",
            "\n.\r",
            "\r\n.\n",
            "\r\n.\r",
            "\r\n.\r\r\n",
            "\r\n. \r\n",
            "\r\n..\r\n",
        ] {
            let wire = format!("a{inside}MAIL FROM:<x@y.example>\r\n");
            assert_eq!(decode(&[wire.as_bytes()]).1, None, "{inside:?}");
        }
    }

    #[test]
    fn dots_go_only_after_crlf_and_bare_bytes_stay() {
        for (wire, content) in [
            (".\r\n", ""),
            ("..\r\n.\r\n", ".\r\n"),
            (".x\r\n.\r\n", "x\r\n"),
            ("a\n.\nb\r\n.\r\n", "a\n.\nb\r\n"),
            ("a\n..\r\n.\r\n", "a\n..\r\n"),
            ("a\r..\r\n.\r\n", "a\r..\r\n"),
            ("a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n"),
            ("a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n"),
            ("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n"),
            ("\0\u{80}\r\n.\r\n", "\0\u{80}\r\n"),
        ] {
            assert_eq!(decode(&[wire.as_bytes()]), (content.into(), Some(wire.len())), "{wire:?}");
            let singles: Vec<&[u8]> = wire.as_bytes().chunks(1).collect();
            assert_eq!(decode(&singles), (content.into(), Some(wire.len())), "{wire:?} byte by byte");
        }
    }

    #[test]
    fn leaves_the_next_command_alone() {
        assert_eq!(decode(&[b"a\r\n.\r\nQUIT\r\n"]), (b"a\r\n".to_vec(), Some(6)));
    }

    proptest! {
        #[test]
        fn is_the_inverse_of_stuffing_in_any_chunks(
            mut content in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..200),
            sizes in proptest::collection::vec(1usize..17, 1..20),
            after in "[A-Z]{0,8}",
        ) {
            if !content.is_empty() {
                content.extend_from_slice(b"\r\n");
            }
            let mut wire = encode(&content);
            let end = wire.len();
            wire.extend_from_slice(after.as_bytes());
            prop_assert_eq!(decode(&testkit::pieces(&wire, &sizes)), (content, Some(end)));
        }
    }
}
