//! What is given back of the message that the report is about.

use crate::dsn::{Original, part};

/// RFC 5322 §2.1.1: octets of a line without its CRLF.
const LINE_OCTETS: usize = 998;

/// The third part: the header, or the whole message.
///
/// In an `is_utf8` report a header beyond ASCII is of RFC 6533's types if it is UTF-8, as SMTPUTF8 promised; otherwise it
/// is given back as it came, in eight bits.
pub(super) fn part_of(original: Original<'_>, is_utf8: bool) -> Vec<u8> {
    let (message, is_whole) = match original {
        Original::Headers(message) => (message, false),
        Original::Whole(message) => (message, true),
    };
    let mut text = Vec::with_capacity(message.len());
    let mut header_len = None;
    for line in lines(message) {
        if line.is_empty() && header_len.is_none() {
            header_len = Some(text.len());
            if !is_whole {
                break;
            }
        }
        push_line(&mut text, line);
    }
    let header = &text[..header_len.unwrap_or(text.len())];
    let is_global = is_utf8 && !header.is_ascii() && std::str::from_utf8(header).is_ok();
    let content_type = match (is_whole, is_global) {
        (false, false) => "text/rfc822-headers",
        (false, true) => "message/global-headers",
        (true, false) => "message/rfc822",
        (true, true) => "message/global",
    };
    part(content_type, &text)
}

/// Lines without their ends, which are LF or CRLF; the last one may lack it.
fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = message.strip_suffix(b"\n").unwrap_or(message);
    let lines = (!message.is_empty()).then(|| whole.split(|byte| *byte == b'\n'));
    lines.into_iter().flatten().map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Adds a line and its CRLF. NUL and CR stand for nothing within a line (RFC 2045 §2.8) and become spaces.
///
/// A line that is too long is folded before white space, or else broken with a space, as Postfix does on its way out:
/// message/rfc822 may be in no other encoding (RFC 2046 §5.2.1). A new line so begins with white space, and can neither
/// be a header field nor a boundary of the original's own.
fn push_line(text: &mut Vec<u8>, line: &[u8]) {
    let line: Vec<u8> =
        line.iter().map(|byte| if matches!(byte, 0 | b'\r') { b' ' } else { *byte }).collect();
    let mut rest = line.as_slice();
    let mut room = LINE_OCTETS;
    while rest.len() > room {
        if let Some(at) = last_space(&rest[..=room]) {
            text.extend_from_slice(&rest[..at]);
            text.extend_from_slice(b"\r\n");
            rest = &rest[at..];
            room = LINE_OCTETS;
        } else {
            let at = character_start(rest, room);
            text.extend_from_slice(&rest[..at]);
            text.extend_from_slice(b"\r\n ");
            rest = &rest[at..];
            room = LINE_OCTETS - 1;
        }
    }
    text.extend_from_slice(rest);
    text.extend_from_slice(b"\r\n");
}

/// The last white space that has something else before it: folding there leaves no line that is all white.
fn last_space(line: &[u8]) -> Option<usize> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let at = line.iter().rposition(is_space)?;
    line[..at].iter().any(|byte| !is_space(byte)).then_some(at)
}

/// `at`, or the up to three octets less at which a character of UTF-8 begins.
fn character_start(line: &[u8], at: usize) -> usize {
    let is_start = |at: &usize| line[*at] & 0xc0 != 0x80;
    (at.saturating_sub(3)..=at).rev().find(is_start).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(original: Original<'_>, is_utf8: bool) -> String {
        String::from_utf8_lossy(&part_of(original, is_utf8)).into_owned()
    }

    #[test]
    fn a_header_ends_at_the_first_empty_line() {
        let message = b"Subject: a\r\nTo: b\r\n\r\nbody\r\n\r\nmore\r\n";
        let wanted = "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
                      Subject: a\r\nTo: b\r\n";
        assert_eq!(shown(Original::Headers(message), true), wanted);
        assert_eq!(shown(Original::Headers(b"Subject: a\r\nTo: b"), true), wanted);
        assert_eq!(shown(Original::Headers(b"Subject: a\nTo: b\n\nbody"), true), wanted);
        assert!(shown(Original::Headers(b"\r\nbody"), true).ends_with("7bit\r\n\r\n"));
        assert!(shown(Original::Headers(b""), true).ends_with("7bit\r\n\r\n"));
        assert!(shown(Original::Whole(message), true).ends_with("\r\n\r\nbody\r\n\r\nmore\r\n"));
    }

    #[test]
    fn types_follow_the_header_and_encodings_all() {
        let of = |original, is_utf8| {
            let text = shown(original, is_utf8);
            let mut lines = text.lines().map(|line| line.split_once(": ").unwrap().1.to_owned());
            (lines.next().unwrap(), lines.next().unwrap())
        };
        let pair = |kind: &str, encoding: &str| (kind.to_owned(), encoding.to_owned());
        let utf8 = "Subject: ü\r\n\r\n".as_bytes();
        assert_eq!(of(Original::Headers(utf8), true), pair("message/global-headers", "8bit"));
        assert_eq!(of(Original::Headers(utf8), false), pair("text/rfc822-headers", "8bit"));
        assert_eq!(of(Original::Whole(utf8), true), pair("message/global", "8bit"));
        assert_eq!(of(Original::Headers(b"Subject: \xfc\r\n"), true), pair("text/rfc822-headers", "8bit"));
        // The body alone makes no other type.
        assert_eq!(of(Original::Whole(b"A: b\r\n\r\n\xc3\xbc"), true), pair("message/rfc822", "8bit"));
        assert_eq!(of(Original::Headers(b"A: b\r\n\r\n\xc3\xbc"), true), pair("text/rfc822-headers", "7bit"));
    }

    #[test]
    fn long_lines_are_folded() {
        let header = format!("References: {}", "<0123456789@b.example> ".repeat(100));
        let text = shown(Original::Headers(header.as_bytes()), false);
        assert!(text.lines().all(|line| line.len() <= LINE_OCTETS));
        assert!(text.replace("\r\n", "").ends_with(&header), "folded where it had white space: {text}");
        let text = shown(Original::Headers(format!("X: {}", "ü".repeat(2000)).as_bytes()), true);
        assert!(
            text.contains("global-headers") && text.lines().all(|line| line.len() <= LINE_OCTETS),
            "{text}"
        );
        // A line of white space only, and one that begins with it.
        for line in [" ".repeat(2500), format!("  {}", "x".repeat(2500))] {
            let text = shown(Original::Headers(line.as_bytes()), false);
            assert!(text.lines().all(|line| line.len() <= LINE_OCTETS), "{text}");
        }
    }

    #[test]
    fn stray_controls_become_spaces() {
        assert!(shown(Original::Headers(b"A: b\rc\0d\r\r\n"), false).ends_with("A: b c d \r\n"));
    }
}
