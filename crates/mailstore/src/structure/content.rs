//! The fields that say what a part is: RFC 2045 §5 and §6, RFC 2183 §2, RFC 3282.

use std::mem;

use super::Disposition;
use super::cursor::Cursor;
use super::fields::{cut, kept_or_empty};

/// RFC 6838 §4.2: neither half of a media type is longer.
const MAX_TOKEN_CHARS: usize = 127;
/// How many parameters of a field, or tags, are kept.
const MAX_LIST: usize = 100;

/// What `Content-Type` says.
pub(super) struct MediaType {
    pub(super) media_type: String,
    pub(super) subtype: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl MediaType {
    /// What a part is that does not say: RFC 2045 §5.2.
    pub(super) fn text() -> Self {
        let charset = ("charset".to_owned(), "us-ascii".to_owned());
        Self { parameters: vec![charset], ..Self::plain("text", "plain") }
    }

    /// What a part of a digest is that does not say: RFC 2046 §5.1.5.
    pub(super) fn message() -> Self {
        Self::plain("message", "rfc822")
    }

    fn plain(media_type: &str, subtype: &str) -> Self {
        Self { media_type: media_type.to_owned(), subtype: subtype.to_owned(), parameters: Vec::new() }
    }

    /// The same for what nobody looks into. Its parameters stay: a name is useful.
    pub(super) fn opaque(self) -> Self {
        Self { parameters: self.parameters, ..Self::plain("application", "octet-stream") }
    }

    /// None if there is no telling what the field says.
    pub(super) fn read(field: &str) -> Option<Self> {
        let mut cursor = Cursor::new(field);
        let media_type = token(&mut cursor)?;
        cursor.white_and_comments();
        if !cursor.eat('/') {
            return None;
        }
        let subtype = token(&mut cursor)?;
        Some(Self { media_type, subtype, parameters: parameters(&mut cursor) })
    }

    pub(super) fn is_text(&self) -> bool {
        self.media_type.eq_ignore_ascii_case("text")
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.media_type.eq_ignore_ascii_case("multipart")
    }

    /// RFC 2046 §5.2.1. A `message/global` (RFC 6532 §3.7) is not looked into: IMAP4rev1 has no form for what is in one.
    pub(super) fn is_message(&self) -> bool {
        self.media_type.eq_ignore_ascii_case("message") && self.subtype.eq_ignore_ascii_case("rfc822")
    }

    /// What its parts lie between if it is a multipart.
    pub(super) fn boundary(&self) -> Option<String> {
        let find = |name: &str| {
            let is_it = |(of, _): &&(String, String)| of.eq_ignore_ascii_case(name);
            self.parameters.iter().find(is_it).map(|(_, value)| value.as_str())
        };
        // In pieces, RFC 2231 §3, at most as many as there are parameters.
        let pieces = || (0..MAX_LIST).map_while(|number| find(&format!("boundary*{number}"))).collect();
        let boundary = find("boundary").map_or_else(pieces, str::to_owned);
        (!boundary.is_empty()).then_some(boundary)
    }
}

/// What `Content-Disposition` says.
pub(super) fn disposition(field: &str) -> Option<Disposition> {
    let mut cursor = Cursor::new(field);
    Some(Disposition { kind: token(&mut cursor)?, parameters: parameters(&mut cursor) })
}

/// What `Content-Language` says.
pub(super) fn languages(field: &str) -> Vec<String> {
    field.split(',').filter_map(|tag| token(&mut Cursor::new(tag))).take(MAX_LIST).collect()
}

/// What `Content-Transfer-Encoding` says.
pub(super) fn encoding(field: &str) -> Option<String> {
    token(&mut Cursor::new(field))
}

fn token(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.white_and_comments();
    let token = cursor.token();
    (!token.is_empty()).then(|| cut(token.to_owned(), MAX_TOKEN_CHARS))
}

/// The parameters that follow, whatever is between them.
fn parameters(cursor: &mut Cursor<'_>) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    while parameters.len() < MAX_LIST && cursor.peek().is_some() {
        cursor.white_and_comments();
        if cursor.eat(';') {
            continue;
        }
        let name = token(cursor);
        cursor.white_and_comments();
        if !cursor.eat('=') {
            cursor.skip_to(';');
            continue;
        }
        let value = kept_or_empty(value(cursor));
        parameters.extend(name.map(|name| (name, value)));
    }
    parameters
}

/// What follows an equals sign. Many a file name with spaces and parentheses comes without quotes: what looks like a
/// comment is one if nothing follows it.
fn value(cursor: &mut Cursor<'_>) -> String {
    cursor.white();
    if let Some(quoted) = cursor.quoted() {
        return quoted;
    }
    // One that has no end.
    cursor.eat('"');
    let (mut value, mut passed) = (String::new(), String::new());
    loop {
        if cursor.white() {
            passed.push(' ');
            if let Some(comment) = cursor.comment() {
                passed.extend(["(", &comment, ")"]);
                continue;
            }
        }
        if cursor.peek().is_none_or(|char| char == ';') {
            return value;
        }
        value.push_str(&mem::take(&mut passed));
        value.extend(cursor.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Option<String> {
        let of = MediaType::read(field)?;
        let parameters = of.parameters.iter().map(|(name, value)| format!("; {name}={value}"));
        Some(format!("{}/{}{}", of.media_type, of.subtype, parameters.collect::<String>()))
    }

    #[test]
    fn media_types_are_read_as_rfc_2045_has_them() {
        let same = |field: &str, says: &str| assert_eq!(read(field).as_deref(), Some(says), "{field}");
        same("text/plain; charset=us-ascii (Plain text)", "text/plain; charset=us-ascii");
        same("Text/Plain; charset=\"us-ascii\"", "Text/Plain; charset=us-ascii");
        same("(a) text (b) / (c) html (d) ; (e) a (f) = b", "text/html; a=b");
        same(
            "message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore/\"",
            "message/external-body; access-type=URL; URL*0=ftp://; URL*1=cs.utk.edu/pub/moore/",
        );
        same(
            "application/x-stuff; title*=us-ascii'en-us'This%20is",
            "application/x-stuff; title*=us-ascii'en-us'This%20is",
        );
        same("a/b; n=\"x\\\"y;\\\\z\" ; m=\"\"", "a/b; n=x\"y;\\z; m=");
    }

    #[test]
    fn media_types_are_read_as_strangers_write_them() {
        let same = |field: &str, says: &str| assert_eq!(read(field).as_deref(), Some(says), "{field}");
        same("text/html charset=utf-8", "text/html; charset=utf-8");
        same("image/png; name=my picture (1).png;x=y", "image/png; name=my picture (1).png; x=y");
        same("image/png; name=picture(1).png;", "image/png; name=picture(1).png");
        same("a/b; name=\"no end; x=y", "a/b; name=no end; x=y");
        same("a/b/c;;; =x; y; z=1", "a/b; z=1");
        same("a/b; x=1; x=2", "a/b; x=1; x=2");
        for none in ["", "text", "/plain", "text/", "; charset=x", "\"text/plain\"", "text;/x"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn boundaries_are_found_in_pieces_too() {
        let of = |field: &str| MediaType::read(field).and_then(|of| of.boundary());
        assert_eq!(of("multipart/mixed; BOUNDARY=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(of("multipart/mixed; boundary*1=b; boundary*0=a").as_deref(), Some("ab"));
        assert_eq!(of("multipart/mixed; boundary=\"\"").or_else(|| of("multipart/mixed")), None);
    }

    #[test]
    fn dispositions_and_languages() {
        let of = disposition(
            "attachment; filename=genome.jpeg;\tmodification-date=\"Wed, 12 Feb 1997 16:29:51 -0500\"",
        )
        .unwrap();
        assert_eq!((of.kind.as_str(), of.parameters.len()), ("attachment", 2));
        assert_eq!(of.parameters[1].1, "Wed, 12 Feb 1997 16:29:51 -0500");
        assert_eq!(disposition("; filename=x"), None);
        assert_eq!(languages("mi, en (British), , x-\u{e9}"), ["mi", "en", "x-\u{e9}"]);
        assert_eq!(encoding(" (sic) Quoted-Printable ;").as_deref(), Some("Quoted-Printable"));
    }

    #[test]
    fn much_is_read_in_one_pass_and_bounded() {
        for flood in [";a=b", "=", "(", "(\\", "\"\\", ";\"=", "a=\"", " (a)", "*0=;"] {
            let of = MediaType::read(&format!("a/b{}", flood.repeat(200_000))).unwrap();
            assert!(of.parameters.len() <= MAX_LIST, "{flood}");
        }
    }
}
