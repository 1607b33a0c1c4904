//! The fields in which an mbox tells how a message is marked, where they come before all others, each once.

use crate::message::{Flag, Flags, MAX_KEYWORDS};

/// The one that is long enough to be folded.
const KEYWORDS: &[u8] = b"x-keywords:";

/// Takes them off a message, and reads them. Further down they are the message's own.
pub(super) fn take(bytes: &mut Vec<u8>) -> Flags {
    let mut flags = Flags::default();
    let (mut end, mut known) = (0, Vec::new());
    while let Some(length) = field(&bytes[end..]) {
        let Ok(field) = std::str::from_utf8(&bytes[end..end + length]) else { break };
        let Some((name, says)) = field.split_once(':') else { break };
        let name = name.to_ascii_lowercase();
        if known.contains(&name) {
            break;
        }
        match name.as_str() {
            "status" => flags.flags.extend(says.contains('R').then_some(Flag::Seen)),
            "x-status" => flags.flags.extend(says.chars().filter_map(mark)),
            "x-keywords" => {
                let keywords = says.split_whitespace().filter_map(|keyword| keyword.parse().ok());
                flags.keywords.extend(keywords.take(MAX_KEYWORDS));
            }
            _ => break,
        }
        known.push(name);
        end += length;
    }
    bytes.drain(..end);
    flags
}

/// How long a field is: keywords with the lines that they are folded into (RFC 5322 §2.2.3). Some letters are folded by nobody; a line that begins with a
/// space after them is the message's first.
fn field(bytes: &[u8]) -> Option<usize> {
    let is_folded = bytes.get(..KEYWORDS.len()).is_some_and(|name| name.eq_ignore_ascii_case(KEYWORDS));
    let goes_on = |at: usize| is_folded && matches!(bytes.get(at), Some(b' ' | b'\t'));
    let is_end = |at: &usize| bytes[*at] == b'\n' && !goes_on(at + 1);
    (0..bytes.len()).find(is_end).map(|at| at + 1)
}

fn mark(letter: char) -> Option<Flag> {
    match letter {
        'A' => Some(Flag::Answered),
        'F' => Some(Flag::Flagged),
        'T' => Some(Flag::Draft),
        'D' => Some(Flag::Deleted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_taken_and_what_comes_later_is_the_message_s() {
        let mut bytes =
            b"Status: RO\nX-Status: AF\r\nX-Keywords: $Work (no later\nSubject: x\nStatus: O\n\ny".to_vec();
        let flags = take(&mut bytes);
        assert_eq!(bytes, b"Subject: x\nStatus: O\n\ny");
        assert_eq!(flags.flags, [Flag::Seen, Flag::Answered, Flag::Flagged].into());
        assert_eq!(flags.keywords, ["$Work", "later"].map(|keyword| keyword.parse().unwrap()).into());
        let mut folded = b"X-Keywords: one\r\n\ttwo\n three\nX-Status: A\n y\n".to_vec();
        let flags = take(&mut folded);
        assert_eq!(folded, b" y\n");
        assert_eq!(flags.flags, [Flag::Answered].into());
        assert_eq!(flags.keywords, ["one", "two", "three"].map(|keyword| keyword.parse().unwrap()).into());
        let mut twice = b"Status: O\nStatus: RO\n\n".to_vec();
        assert_eq!(take(&mut twice), Flags::default());
        assert_eq!(twice, b"Status: RO\n\n");
        let mut other = b"Subject: x\nStatus: RO\n\n".to_vec();
        assert_eq!(take(&mut other), Flags::default());
        assert_eq!(other, b"Subject: x\nStatus: RO\n\n");
    }
}
