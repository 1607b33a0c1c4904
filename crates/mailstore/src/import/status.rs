//! The fields in which an mbox tells how a message is numbered and marked, where they come before all others, each once, and the numbers before the marks.

use pack::Uidl;
use sha2::{Digest as _, Sha256};

use crate::message::{Flag, Flags, MAX_KEYWORDS};
use crate::uidlist::{MAX_UID, Numbering};

/// The one that is long enough to be folded.
const KEYWORDS: &[u8] = b"x-keywords:";

/// What an mbox says of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) flags: Flags,
    /// How the mbox numbers its messages, said of the first.
    pub(super) numbering: Option<Numbering>,
    /// 1 to [`MAX_UID`].
    pub(super) uid: Option<u32>,
    pub(super) uidl: Option<Uidl>,
    /// Whether another mbox begins with it, which was put behind the one before: what that one said of its numbers is no more so.
    pub(super) is_anothers: bool,
    /// The hash of the message in CRLF form with its numbers: versions that did not take these off took nothing off then.
    pub(super) former: Option<[u8; 32]>,
}

/// Takes them off a message, and reads them. Further down they are the message's own; but its UID is read from there if none is before all others, since
/// other programs write it there.
pub(super) fn take(bytes: &mut Vec<u8>, is_first: bool) -> Marks {
    let mut marks = Marks::default();
    let (mut end, mut known) = (0, Vec::new());
    let mut is_numbered = false;
    while let Some(length) = field(&bytes[end..]) {
        let Ok(field) = std::str::from_utf8(&bytes[end..end + length]) else { break };
        let Some((name, says)) = field.split_once(':') else { break };
        let mut name = name.to_ascii_lowercase();
        if name == "x-imap" {
            name = "x-imapbase".to_owned();
        }
        let is_number = matches!(name.as_str(), "x-imapbase" | "x-uid" | "x-uidl");
        // What an export of a version before put there are marks alone: numbers behind them are the message's own.
        if known.contains(&name) || (is_number && !known.is_empty() && !is_numbered) {
            break;
        }
        match name.as_str() {
            "x-imapbase" if is_first => marks.numbering = numbering(says),
            // Behind others it is the message's own: an export puts none there.
            "x-imapbase" if known.is_empty() => marks.is_anothers = true,
            "x-uid" => marks.uid = uid(says),
            "x-uidl" => marks.uidl = says.trim().parse().ok(),
            "status" => marks.flags.flags.extend(says.contains('R').then_some(Flag::Seen)),
            "x-status" => marks.flags.flags.extend(says.chars().filter_map(mark)),
            "x-keywords" => {
                let keywords = says.split_whitespace().filter_map(|keyword| keyword.parse().ok());
                marks.flags.keywords.extend(keywords.take(MAX_KEYWORDS));
            }
            _ => break,
        }
        is_numbered |= is_number;
        known.push(name);
        end += length;
    }
    if is_numbered {
        marks.former = Some(Sha256::digest(kernel::crlf::normalize(bytes)).into());
    } else {
        let header = &bytes[end..];
        marks.uid = last(header, b"x-uid:").and_then(uid);
        let base = last(header, b"x-imapbase:").or_else(|| last(header, b"x-imap:"));
        marks.numbering = base.filter(|_| is_first).and_then(numbering);
        marks.is_anothers = base.is_some() && !is_first;
    }
    bytes.drain(..end);
    marks
}

/// What the last field of a name says in a header, as far as that is text.
fn last<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let lines = message.split(|byte| *byte == b'\n').take_while(|line| !matches!(*line, b"" | b"\r"));
    let is_it = |line: &&[u8]| line.get(..name.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(name));
    std::str::from_utf8(lines.filter(is_it).last()?.get(name.len()..)?).ok()
}

/// The UID validity and the last UID that was given out; keywords may follow.
fn numbering(says: &str) -> Option<Numbering> {
    let mut words = says.split_ascii_whitespace().map(str::parse::<u32>);
    let (uid_validity, last) = (words.next()?.ok()?, words.next()?.ok()?);
    (uid_validity > 0 && last <= MAX_UID).then_some(Numbering { uid_validity, uid_next: last + 1 })
}

fn uid(says: &str) -> Option<u32> {
    says.trim().parse::<u32>().ok().filter(|uid| (1..=MAX_UID).contains(uid))
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
        let Marks { flags, .. } = take(&mut bytes, true);
        assert_eq!(bytes, b"Subject: x\nStatus: O\n\ny");
        assert_eq!(flags.flags, [Flag::Seen, Flag::Answered, Flag::Flagged].into());
        assert_eq!(flags.keywords, ["$Work", "later"].map(|keyword| keyword.parse().unwrap()).into());
        let mut folded = b"X-Keywords: one\r\n\ttwo\n three\nX-Status: A\n y\n".to_vec();
        let Marks { flags, .. } = take(&mut folded, true);
        assert_eq!(folded, b" y\n");
        assert_eq!(flags.flags, [Flag::Answered].into());
        assert_eq!(flags.keywords, ["one", "two", "three"].map(|keyword| keyword.parse().unwrap()).into());
        let mut twice = b"Status: O\nStatus: RO\n\n".to_vec();
        assert_eq!(take(&mut twice, true), Marks::default());
        assert_eq!(twice, b"Status: RO\n\n");
        let mut other = b"Subject: x\nStatus: RO\n\n".to_vec();
        assert_eq!(take(&mut other, true), Marks::default());
        assert_eq!(other, b"Subject: x\nStatus: RO\n\n");
    }

    #[test]
    fn numbers_come_before_marks_and_are_taken_off_with_them() {
        let text = "X-IMAPbase: 1275660208 0000000030 $Work\nX-UID: 7\nX-UIDL: a:b\nX-Status: F\nStatus: O\nX-UID: 8\n\ny";
        let mut bytes = text.as_bytes().to_vec();
        let marks = take(&mut bytes, true);
        assert_eq!(bytes, b"X-UID: 8\n\ny");
        let numbering = Numbering { uid_validity: 1_275_660_208, uid_next: 31 };
        assert_eq!((marks.numbering, marks.uid), (Some(numbering), Some(7)));
        assert_eq!(marks.uidl, "a:b".parse().ok());
        assert_eq!(marks.flags.flags, [Flag::Flagged].into());
        let whole: [u8; 32] = Sha256::digest(text.replace('\n', "\r\n") + "\r\n").into();
        assert_eq!(marks.former, Some(whole));
        // Where they say nothing, what a message has of its own says nothing either.
        let mut empty = b"X-IMAP:\nX-UID: \nX-UIDL:\nStatus: O\nX-UID: 8\n\n".to_vec();
        let marks = take(&mut empty, true);
        assert_eq!((marks.numbering, marks.uid, marks.uidl), (None, None, None));
        assert_eq!(empty, b"X-UID: 8\n\n");
    }

    #[test]
    fn numbers_of_a_message_s_own_stay_and_those_of_other_programs_are_read_where_they_are() {
        let own = b"Status: O\nX-UID: 8\nX-UIDL: x\nSubject: y\nX-Imap: 5 9\nX-UID: 9\n\nX-UID: 3\n";
        let mut bytes = own.to_vec();
        let marks = take(&mut bytes, true);
        assert_eq!(bytes, &own[b"Status: O\n".len()..]);
        assert_eq!(marks.numbering, Some(Numbering { uid_validity: 5, uid_next: 10 }));
        assert_eq!((marks.uid, marks.uidl, marks.former), (Some(9), None, None));
        let mut later = b"X-UID: 1\nX-IMAPbase: 5 9\n\n".to_vec();
        let marks = take(&mut later, false);
        assert_eq!((marks.uid, marks.numbering, marks.is_anothers), (Some(1), None, false));
        assert_eq!(later, b"X-IMAPbase: 5 9\n\n");
        let mut another = b"X-IMAPbase: 5 9\nX-UID: 1\nSubject: y\n\n".to_vec();
        let marks = take(&mut another, false);
        assert_eq!((marks.uid, marks.numbering, marks.is_anothers), (Some(1), None, true));
        assert_eq!(another, b"Subject: y\n\n");
        let mut of_others = b"Subject: y\nX-IMAPbase: 5 9\n\n".to_vec();
        assert!(take(&mut of_others, false).is_anothers);
        assert_eq!(of_others, b"Subject: y\nX-IMAPbase: 5 9\n\n");
        for says in ["", "0 5", "5", "x 5", "5 2147483648", "4294967296 1"] {
            assert_eq!(numbering(says), None, "{says}");
        }
        for says in ["", "0", "-1", "2147483648", "1 2"] {
            assert_eq!(uid(says), None, "{says}");
        }
    }
}
