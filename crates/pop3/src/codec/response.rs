//! Responses as bytes: status lines, multi-line bodies with byte-stuffing, and where TOP ends.

use bytes::{BufMut, BytesMut};

/// RFC 2449 §4: the first line of a response has at most 512 octets, its CRLF included.
pub const STATUS_MAX_OCTETS: usize = 512;

/// What ends a multi-line response.
pub const TERMINATOR: &[u8] = b".\r\n";

/// A response code (RFC 2449 §8): why a command failed, for the client's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// RFC 2449 §8.1.2: another session has the maildrop.
    InUse,
    /// RFC 3206 §5: a problem with the credentials, policy included; ask for others.
    Auth,
    /// RFC 3206 §4: it may work later.
    SysTemp,
    /// RFC 3206 §4: someone has to look into it.
    SysPerm,
}

impl Code {
    /// As it stands between the brackets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "IN-USE",
            Self::Auth => "AUTH",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
        }
    }
}

/// A status line: `+OK text` or `-ERR [CODE] text`, with its CRLF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    positive: bool,
    line: String,
}

impl Status {
    /// A positive status.
    pub fn ok(text: impl std::fmt::Display) -> Self {
        Self { positive: true, line: status_line(&format!("+OK {text}")) }
    }

    /// A negative status without a response code.
    pub fn err(text: impl std::fmt::Display) -> Self {
        Self { positive: false, line: status_line(&format!("-ERR {text}")) }
    }

    /// A negative status with a response code.
    pub fn coded(code: Code, text: impl std::fmt::Display) -> Self {
        Self { positive: false, line: status_line(&format!("-ERR [{}] {text}", code.as_str())) }
    }

    /// Whether it is a `+OK`.
    pub fn is_positive(&self) -> bool {
        self.positive
    }

    /// The line as it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        self.line.as_bytes()
    }
}

/// One line of at most [`STATUS_MAX_OCTETS`] octets, whatever the text.
fn status_line(text: &str) -> String {
    let mut line = text.replace(|c: char| c.is_control(), "?");
    let mut end = line.len().min(STATUS_MAX_OCTETS - 2);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push_str("\r\n");
    line
}

/// Byte-stuffs a message (RFC 1939 §3), piece by piece, so that a large one is never copied whole.
///
/// A line starts after each CRLF; the bytes are in CRLF form, so after each LF.
#[derive(Debug)]
pub struct Stuffer {
    last: u8,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self { last: b'\n' }
    }
}

impl Stuffer {
    /// Appends `piece`, stuffed, to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut BytesMut) {
        let Some(&last) = piece.last() else { return };
        if self.last == b'\n' && piece.starts_with(b".") {
            out.put_u8(b'.');
        }
        let mut from = 0;
        for feed in memchr::memmem::find_iter(piece, b"\n.") {
            out.extend_from_slice(&piece[from..=feed]);
            out.put_u8(b'.');
            from = feed + 1;
        }
        out.extend_from_slice(&piece[from..]);
        self.last = last;
    }

    /// Appends the end of the response. A last line without an end gets one, or the terminator would be lost
    /// in it.
    pub fn finish(self, out: &mut BytesMut) {
        if self.last != b'\n' {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(TERMINATOR);
    }
}

/// The part of a message that TOP sends (RFC 1939 §7): its header, the empty line, and `lines` lines of its body.
/// A message without an empty line is all header. With enough lines it is what RETR sends.
pub fn top(message: &[u8], lines: u64) -> &[u8] {
    let mut in_body = false;
    let mut left = lines;
    let mut end = 0;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if in_body {
            if left == 0 {
                break;
            }
            left -= 1;
        }
        end += line.len();
        in_body |= line == b"\r\n";
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut stuffer = Stuffer::default();
        let mut out = BytesMut::new();
        for piece in pieces {
            stuffer.push(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out.to_vec()
    }

    /// A client's reading of a multi-line response, by RFC 1939 §3: lines until the lone dot, a first dot removed.
    /// `None` when the terminator is missing or something follows it.
    fn unstuffed(mut response: &[u8]) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let end = response.windows(2).position(|pair| pair == b"\r\n")? + 2;
            let (line, rest) = response.split_at(end);
            response = rest;
            if line == TERMINATOR {
                return response.is_empty().then_some(message);
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    #[test]
    fn stuffs_dots_at_line_starts_only() {
        assert_eq!(stuffed(&[b""]), b".\r\n");
        assert_eq!(stuffed(&[b".\r\n..a\r\nb.c\r\n"]), b"..\r\n...a\r\nb.c\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\r\n", b".b", b".c"]), b"a\r\n..b.c\r\n.\r\n");
    }

    #[test]
    fn top_counts_lines_of_the_body_only() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\n";
        assert_eq!(top(message, 0), b"A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(top(message, 1), b"A: 1\r\nB: 2\r\n\r\none\r\n");
        assert_eq!(top(message, 2), b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n");
        assert_eq!(top(message, 3), message);
        assert_eq!(top(message, u64::MAX), message);
        assert_eq!(top(b"no: body\r\n", 0), b"no: body\r\n");
        assert_eq!(top(b"\r\nbody\r\n", 0), b"\r\n");
        assert_eq!(top(b"", 5), b"");
    }

    #[test]
    fn status_lines_stay_lines() {
        assert_eq!(Status::ok("a\r\n.b").as_bytes(), b"+OK a??.b\r\n");
        assert_eq!(Status::coded(Code::SysTemp, "later").as_bytes(), b"-ERR [SYS/TEMP] later\r\n");
        let long = Status::err("ä".repeat(600));
        assert!(long.as_bytes().len() <= STATUS_MAX_OCTETS && long.as_bytes().ends_with("ä\r\n".as_bytes()));
    }

    /// Messages in CRLF form, rich in what matters here.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(0), any::<u8>()];
        proptest::collection::vec(byte, 0..120).prop_map(|bytes| kernel::crlf::normalize(&bytes).into_owned())
    }

    proptest! {
        #[test]
        fn unstuffing_undoes_stuffing_in_any_pieces(message in message(), cuts in proptest::collection::vec(1usize..9, 1..20)) {
            let pieces = testkit::pieces(&message, &cuts);
            prop_assert_eq!(stuffed(&pieces), stuffed(&[&message]));
            prop_assert_eq!(unstuffed(&stuffed(&pieces)), Some(message));
        }

        #[test]
        fn top_is_a_prefix_of_whole_lines_and_grows_to_all(message in message(), lines in 0u64..200) {
            let part = top(&message, lines);
            prop_assert!(message.starts_with(part));
            prop_assert!(part.is_empty() || part.ends_with(b"\r\n"));
            prop_assert!(part.len() <= top(&message, lines + 1).len());
            prop_assert_eq!(top(&message, message.len() as u64), &message[..]);
            let header = top(&message, 0);
            let body_lines = part[header.len()..].iter().filter(|&&byte| byte == b'\n').count() as u64;
            prop_assert!(body_lines <= lines);
            prop_assert!(body_lines == lines || part == &message[..]);
        }
    }
}
