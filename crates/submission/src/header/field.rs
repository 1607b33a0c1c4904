//! A message's header as raw fields (RFC 5322 §2.2), and where it ends.

use std::borrow::Cow;

use crate::header::Malformed;

/// The longest header taken, in octets. `mailstore` reads no more than 256 KiB of one; what is put in front of it
/// and added to it has to fit in there too.
const HEADER_LIMIT: usize = 250 * 1024;
/// How a field ends, and the header too.
const CRLF: &[u8] = b"\r\n";

/// What a field is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    From,
    Sender,
    Date,
    MessageId,
    Received,
    /// `Bcc`, whose names are nobody's business (RFC 5322 §3.6.3), and `Return-Path`, which only the server of the last
    /// delivery writes (RFC 5321 §4.4). And all that says of a message that it was sent again (§3.6.6).
    Removed,
    /// `Authentication-Results` (RFC 8601).
    Results,
    /// Left as it is.
    Other,
}

/// One field as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// All of it, with its last CRLF, which only a message that ends without one lacks.
    pub(super) raw: &'a [u8],
    /// Where in `raw` the colon is.
    colon: usize,
}

impl<'a> Field<'a> {
    /// `raw` as a field, if it begins as one: `1*ftext *WSP ":"` (RFC 5322 §3.6.8, §4.5), and no line of it has a
    /// bare CR, a bare LF or a NUL, by which a reader might see two fields in it.
    fn parse(raw: &'a [u8]) -> Option<Self> {
        let colon = raw.iter().position(|&byte| byte == b':')?;
        let field = Self { raw, colon };
        let name = field.name();
        let is_name = !name.is_empty() && name.iter().all(|byte| matches!(byte, 33..=126));
        let is_clean = lines(raw).all(|line| !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        (is_name && is_clean).then_some(field)
    }

    /// Its name without the white space that old syntax has before the colon, so that `From :` is a From.
    fn name(&self) -> &'a [u8] {
        let before = &self.raw[..self.colon];
        let end = before.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1);
        &before[..end]
    }

    /// Whether this is its name, in whatever case.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// What it is sent as: as it stands, but for that white space, which some do not know (RFC 5322 §4.5), and with a last CRLF.
    pub(super) fn sent(&self) -> [&'a [u8]; 3] {
        let last = if self.raw.ends_with(CRLF) { &[][..] } else { CRLF };
        [self.name(), &self.raw[self.colon..], last]
    }

    /// What follows the colon, folds and all, without the last CRLF.
    pub(super) fn value(&self) -> &'a [u8] {
        let value = &self.raw[self.colon + 1..];
        value.strip_suffix(CRLF).unwrap_or(value)
    }

    /// The value without folds and the white space around it; U+FFFD for what is no UTF-8.
    pub(super) fn text(&self) -> Cow<'a, str> {
        match String::from_utf8_lossy(self.value().trim_ascii()) {
            Cow::Borrowed(text) if !text.contains("\r\n") => Cow::Borrowed(text),
            text => Cow::Owned(text.replace("\r\n", "")),
        }
    }

    /// Whether the value is white space only.
    pub(super) fn is_blank(&self) -> bool {
        self.value().trim_ascii().is_empty()
    }

    /// What it is to us.
    pub(super) fn kind(&self) -> Kind {
        const KINDS: [(&str, Kind); 8] = [
            ("from", Kind::From),
            ("sender", Kind::Sender),
            ("date", Kind::Date),
            ("message-id", Kind::MessageId),
            ("received", Kind::Received),
            ("bcc", Kind::Removed),
            ("return-path", Kind::Removed),
            ("authentication-results", Kind::Results),
        ];
        const RESENT: &[u8] = b"resent-";
        if self.name().get(..RESENT.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESENT)) {
            return Kind::Removed;
        }
        KINDS.iter().find(|(name, _)| self.is_named(name)).map_or(Kind::Other, |&(_, kind)| kind)
    }
}

/// The lines of `bytes`, without their CRLF.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes).filter(|bytes| !bytes.is_empty());
    std::iter::from_fn(move || {
        let all = rest?;
        let (line, after) = match line_length(all) {
            Some(length) => (&all[..length], &all[length + CRLF.len()..]),
            None => (all, &[][..]),
        };
        rest = Some(after).filter(|after| !after.is_empty());
        Some(line)
    })
}

/// Takes a message apart: its fields, and the rest, which begins with the empty line that ends the header, or is
/// empty where the message is a header only.
pub(super) fn split(message: &[u8]) -> Result<(Vec<Field<'_>>, &[u8]), Malformed> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() && !rest.starts_with(CRLF) {
        let (raw, after) = rest.split_at(field_length(rest));
        if message.len() - after.len() > HEADER_LIMIT {
            return Err(Malformed::TooLong);
        }
        let Some(field) = Field::parse(raw) else {
            let is_mbox = fields.is_empty() && raw.starts_with(b"From ");
            return Err(if is_mbox { Malformed::Mbox } else { Malformed::Line });
        };
        fields.push(field);
        rest = after;
    }
    Ok((fields, rest))
}

/// How long the field is that `bytes` begin with: its line, and all that follow and begin with white space.
fn field_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = line_length(&bytes[at..]) {
        at += length + CRLF.len();
        if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    bytes.len()
}

/// How long the line is that `bytes` begin with, without its CRLF; `None` if it has none.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(CRLF.len()).position(|two| two == CRLF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(message: &str) -> Result<Vec<&str>, Malformed> {
        let (fields, _) = split(message.as_bytes())?;
        Ok(fields.iter().map(|field| str::from_utf8(field.name()).unwrap()).collect())
    }

    #[test]
    fn takes_fields_apart() {
        let message = b"A: 1\r\nb \t:2\r\n \r\n\t3\r\nC:\r\n\r\nD: 4\r\n";
        let (fields, rest) = split(message).unwrap();
        assert_eq!(rest, b"\r\nD: 4\r\n");
        let values = fields.iter().map(|field| (field.name(), field.value())).collect::<Vec<_>>();
        let wanted: [(&[u8], &[u8]); 3] = [(b"A", b" 1"), (b"b", b"2\r\n \r\n\t3"), (b"C", b"")];
        assert_eq!(values, wanted);
        assert_eq!(fields[1].text(), "2 \t3");
        assert!(fields[2].is_blank());
        assert_eq!(names("A: 1"), Ok(vec!["A"]));
        assert_eq!(names("A: 1\r\n x"), Ok(vec!["A"]));
        assert_eq!(names(""), Ok(vec![]));
        assert_eq!(names("\r\nA: 1\r\n"), Ok(vec![]));
    }

    #[test]
    fn refuses_lines_that_are_no_fields() {
        for line in [
            "no colon",
            " A: folded without a field before it",
            "\tA: 1",
            ": no name",
            " : x",
            "F rom: a@b",
            "From\u{b}: a@b",
            "From\u{c}: a@b",
            "From\r\n : a@b",
            "\u{b}From: a@b",
            "Fröm: a@b",
            "A: 1\nFrom: a@b",
            "A: 1\rFrom: a@b",
            "A: 1\0",
            "X: y\r\n z\rFrom: a@b",
            ">From a@b",
            "\r",
        ] {
            assert_eq!(names(&format!("{line}\r\n\r\n")), Err(Malformed::Line), "{line:?}");
            if !line.starts_with([' ', '\t']) {
                assert_eq!(names(&format!("A: 1\r\n{line}")), Err(Malformed::Line), "{line:?}");
            }
        }
        assert_eq!(names("From a@b Mon Jan  1 00:00:00 2024\r\nA: 1\r\n"), Err(Malformed::Mbox));
        assert_eq!(names("A: 1\r\nFrom a@b Mon Jan  1 00:00:00 2024\r\n"), Err(Malformed::Line));
    }

    #[test]
    fn the_header_s_length_is_bounded() {
        let field = "A: 1\r\n";
        let fits = field.repeat(HEADER_LIMIT / field.len());
        assert!(names(&fits).is_ok());
        assert_eq!(names(&(fits + field)), Err(Malformed::TooLong));
        assert_eq!(names(&format!("A: {}", "x".repeat(HEADER_LIMIT))), Err(Malformed::TooLong));
        assert!(names(&format!("A: 1\r\n\r\n{}", "x".repeat(HEADER_LIMIT))).is_ok());
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_message(message in "([A-Ca-c:]{0,3}[: ]?[ \t\ra]{0,3}(\r\n)?){0,8}") {
            if let Ok((fields, rest)) = split(message.as_bytes()) {
                let mut pieces = fields.iter().flat_map(|field| field.raw).copied().collect::<Vec<_>>();
                pieces.extend_from_slice(rest);
                prop_assert_eq!(pieces, message.as_bytes());
                prop_assert!(rest.is_empty() || rest.starts_with(CRLF));
            }
        }
    }
}
