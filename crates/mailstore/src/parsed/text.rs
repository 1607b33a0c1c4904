//! What a message says, as a search compares it.
//!
//! Its header, field by field; its parts that are shown as text, HTML without its marks; and the names of its parts. The text of those that
//! are shown as files is nobody's business here. A nested message is such a file.

use chrono::NaiveDate;
use mail_parser::Message;
use unicode_normalization::UnicodeNormalization as _;

use super::{html, is_file, mime};

/// How many bytes of text are kept of a message, after folding.
pub(crate) const KEPT_BYTES: usize = 1 << 20;
/// How many are looked at where all of it matters: more than a message has, of text that was encoded.
pub(crate) const ALL_BYTES: usize = 256 << 20;

/// What a message says, folded ([`fold`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    /// A field a line: its name, a colon, a space, and what it says.
    pub(crate) header: String,
    /// What its parts that are shown as text say.
    pub(crate) body: String,
    /// The names of its parts, a name a line.
    pub(crate) attachment_names: String,
    /// The day in its `Date` field, as it is written there (RFC 9051 §6.4.4: time and zone are disregarded).
    pub(crate) sent_on: Option<NaiveDate>,
    /// Otherwise there is more than this.
    pub(crate) is_whole: bool,
}

impl Texts {
    /// What a message says that nobody can read.
    pub(crate) fn of_nothing() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// Reads what can be read, up to `max_bytes` of text. Never fails; a parser that panics has read nothing.
    pub(crate) fn read(bytes: &[u8], max_bytes: usize) -> Self {
        std::panic::catch_unwind(|| texts(bytes, max_bytes)).unwrap_or_else(|_| Self::of_nothing())
    }

    /// What each field of a name says, which is folded.
    pub(crate) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.header
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(move |(of, _)| *of == name)
            .map(|(_, says)| says)
    }
}

fn texts(bytes: &[u8], max_bytes: usize) -> Texts {
    let mut texts = Texts::of_nothing();
    let mut left = Room { bytes: max_bytes, is_enough: true };
    for field in mime::header_text(bytes).iter().flat_map(Message::headers) {
        left.add(
            &mut texts.header,
            &format!("{}: {}", fold(field.name.as_str()), fold(field.value.as_text().unwrap_or(""))),
        );
    }
    for leaf in mime::leaves(bytes) {
        left.add(&mut texts.attachment_names, &fold(leaf.name.as_deref().unwrap_or("")));
        if is_file(&leaf) {
            continue;
        }
        if let Some((text, is_whole)) = leaf.text(left.bytes, html::as_text) {
            left.is_enough &= is_whole;
            left.add(&mut texts.body, &fold_beyond(&text, left.bytes));
        }
    }
    texts.sent_on = mime::header(bytes).as_ref().and_then(Message::date).and_then(|date| {
        NaiveDate::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))
    });
    texts.is_whole = left.is_enough;
    texts
}

/// How much more is kept.
struct Room {
    bytes: usize,
    is_enough: bool,
}

impl Room {
    /// Adds a line to a text, or its beginning.
    fn add(&mut self, to: &mut String, line: &str) {
        if line.is_empty() {
            return;
        }
        let mut end = line.floor_char_boundary(self.bytes);
        if end < line.len() {
            self.is_enough = false;
            // Half a word would pass for another one.
            end = line[..end].rfind(' ').unwrap_or(end);
        }
        to.push_str(&line[..end]);
        to.push('\n');
        self.bytes -= end;
    }
}

/// A text as it is compared, after RFC 5051 (`i;unicode-casemap`): decomposed by compatibility, and without the difference of upper and lower
/// case. Besides, what is white or a control character is one space, however much there is of it.
pub(crate) fn fold(text: &str) -> String {
    fold_beyond(text, usize::MAX)
}

/// The beginning of a text as [`fold`] makes it: all of it, or just more than so many bytes. One character can become eighteen.
fn fold_beyond(text: &str, bytes: usize) -> String {
    let capacity = text.len().min(bytes);
    if text.is_ascii() {
        return one_space(text.bytes().map(|byte| char::from(byte.to_ascii_lowercase())), capacity, bytes);
    }
    // By way of the upper case: `ß` is `ss`, and a sigma the same at the end of a word. Of the upper case of `ß` only the lower one has it.
    let lower = text.nfkd().flat_map(char::to_lowercase);
    one_space(lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase), capacity, bytes)
}

/// What is white or a control character as one space, up to just more than so many bytes.
fn one_space(chars: impl Iterator<Item = char>, capacity: usize, bytes: usize) -> String {
    let mut folded = String::with_capacity(capacity);
    let mut was_space = false;
    for char in chars {
        let is_space = char.is_whitespace() || char.is_control();
        if !is_space {
            folded.push(char);
        } else if !was_space {
            folded.push(' ');
        }
        was_space = is_space;
        if folded.len() > bytes {
            break;
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_differently_is_folded_alike() {
        assert_eq!(fold("GRÜẞE, Straße"), fold("gru\u{308}sse, STRASSE"));
        assert_eq!(fold("ΟΔΟΣ"), fold("οδος"));
        assert_eq!(fold("a\r\n\t b\0c\u{a0}d"), "a b c d");
        assert_eq!(fold("ﬁne"), "fine");
    }

    #[test]
    fn ascii_is_folded_as_everything_is() {
        let ascii: String = (0..=127_u8).map(char::from).collect();
        // What is beyond ASCII at the end makes it go the long way.
        assert_eq!(fold(&ascii) + "é".nfkd().collect::<String>().as_str(), fold(&format!("{ascii}é")));
    }

    #[test]
    fn header_texts_and_names_are_apart() {
        let message = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n =?utf-8?b?IMO8YmVyYWxs?=\r\nX-Two:\r\n folded\r\n here\r\n\
            Date: Thu, 20 Nov 2025 23:03:07 -0500\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Caf=C3=A9 <b>now</b></p>\r\n\
            --b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=Notes.TXT\r\n\r\nsecret\r\n\
            --b\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n--b--\r\n";
        let texts = Texts::read(message.as_bytes(), KEPT_BYTES);
        assert_eq!(texts.fields("subject").collect::<Vec<_>>(), [fold("Grüße überall")]);
        assert_eq!(texts.fields("from").collect::<Vec<_>>(), [fold("Jürgen <j@example.org>")]);
        assert_eq!(texts.fields("x-two").collect::<Vec<_>>(), ["folded here"]);
        assert_eq!(texts.attachment_names, "notes.txt\n");
        assert!(texts.body.contains(&fold("café now")) && texts.body.contains("hello"), "{texts:?}");
        assert!(!texts.body.contains("secret"));
        assert_eq!(texts.sent_on, NaiveDate::from_ymd_opt(2025, 11, 20));
        assert!(texts.is_whole);
    }

    #[test]
    fn what_is_too_long_says_so() {
        let long = format!("Subject: x\r\n\r\n{}\r\nlast", "word é\r\n".repeat(1_000));
        let cut = Texts::read(long.as_bytes(), 1_000);
        assert!(!cut.is_whole && !cut.body.contains("last") && cut.body.len() <= 1_001, "{cut:?}");
        let all = Texts::read(long.as_bytes(), ALL_BYTES);
        assert!(all.is_whole && all.body.contains("last"));
    }

    proptest! {
        #[test]
        fn anything_is_read_within_bounds_and_fits_a_text_column(bytes in proptest::collection::vec(any::<u8>(), 0..500), max in 0_usize..300) {
            let texts = Texts::read(&bytes, max);
            let all = [&texts.header, &texts.body, &texts.attachment_names];
            prop_assert!(all.iter().all(|text| !text.contains('\0')));
            let lines: usize = all.iter().map(|text| text.lines().count()).sum();
            prop_assert!(all.iter().map(|text| text.len()).sum::<usize>() <= max + lines, "{texts:?}");
        }
    }
}
