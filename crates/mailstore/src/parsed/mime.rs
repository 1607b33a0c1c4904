//! The parts of a message, as far as a listing needs them: RFC 2046, read leniently and within bounds.
//!
//! `mail-parser` reads headers and decodes text; it is not given whole messages. It follows nested messages as deep
//! as they go, also inside base64, and builds objects for every part: a message of a few MiB made for the purpose
//! would take gigabytes, and dropping what was built would overflow the stack. Here a nested message is one part,
//! and the work is bounded by [`MAX_DEPTH`] passes over the bytes.

use mail_parser::{HeaderName, Message, MessageParser, MimeHeaders as _, PartType};

/// How deep multiparts are followed; a deeper one counts as a single part.
const MAX_DEPTH: usize = 10;
/// How many parts are looked at.
const MAX_PARTS: usize = 500;
/// How much of a header is read; what follows is passed over.
pub(crate) const MAX_HEADER_BYTES: usize = 256 * 1024;

/// A part that is no multipart.
pub(super) struct Leaf<'a> {
    /// Its body, encoded as it came.
    body: &'a [u8],
    /// `type/subtype` in lower case.
    pub(super) content_type: String,
    /// The file name that its header proposes.
    pub(super) name: Option<String>,
    /// Whether it is the message's first.
    pub(super) is_first: bool,
    /// Whether its header asks to be shown as a file.
    pub(super) is_attachment: bool,
    charset: Option<String>,
    encoding: Encoding,
}

#[derive(Clone, Copy)]
enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

impl Leaf<'_> {
    /// The length of the decoded body, in bytes, without decoding it.
    pub(super) fn decoded_bytes(&self) -> u64 {
        let len = self.body.len();
        let decoded = match self.encoding {
            Encoding::Identity => len,
            Encoding::Base64 => {
                let is_digit = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
                self.body.iter().filter(is_digit).count() * 6 / 8
            }
            Encoding::QuotedPrintable => {
                let escapes = self.body.windows(3).filter(|window| window[0] == b'=');
                escapes.fold(len, |len, window| match &window[1..] {
                    b"\r\n" => len.saturating_sub(3),
                    [b'\n', _] => len.saturating_sub(2),
                    [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => len.saturating_sub(2),
                    _ => len,
                })
            }
        };
        decoded as u64
    }

    /// The text at its beginning, decoded, and whether that is all of it; about `max_bytes` are looked at, and HTML is read by `of_html`. `None` if it is no
    /// text.
    pub(super) fn text(&self, max_bytes: usize, of_html: fn(&str) -> String) -> Option<(String, bool)> {
        let (message, is_whole) = self.alone(max_bytes)?;
        let message = MessageParser::default().parse(&message)?;
        let text = match &message.text_part(0)?.body {
            PartType::Text(text) => text.to_string(),
            PartType::Html(html) => of_html(html),
            _ => return None,
        };
        Some((text, is_whole))
    }

    /// A text as a message of its own, cut to about `max_bytes`, and whether it is whole. A header of our own making: whatever the body
    /// holds, it is read as one text.
    fn alone(&self, max_bytes: usize) -> Option<(Vec<u8>, bool)> {
        let subtype = self.content_type.strip_prefix("text/")?;
        let charset = self.charset.as_deref().unwrap_or("utf-8");
        let header = format!(
            "Content-Type: text/{}; charset={}\r\nContent-Transfer-Encoding: {}\r\n\r\n",
            if subtype == "html" { "html" } else { "plain" },
            charset.chars().filter(|&c| c.is_ascii_alphanumeric() || "-_.:".contains(c)).collect::<String>(),
            match self.encoding {
                Encoding::Identity => "8bit",
                Encoding::Base64 => "base64",
                Encoding::QuotedPrintable => "quoted-printable",
            }
        );
        // Cut at a line's end: in the middle of one an encoding would be broken.
        let body = &self.body[..self.body.len().min(max_bytes)];
        let is_whole = body.len() == self.body.len();
        let end = if is_whole { None } else { body.iter().rposition(|&byte| byte == b'\n') };
        Some(([header.as_bytes(), end.map_or(body, |end| &body[..=end])].concat(), is_whole))
    }
}

/// Reads the header that `bytes` begin with; `None` if there is not one field in it.
pub(super) fn header(bytes: &[u8]) -> Option<Message<'_>> {
    let (header, _) = split(bytes);
    MessageParser::default().parse_headers(&header[..header.len().min(MAX_HEADER_BYTES)])
}

/// As [`header`], every field of it as text: unfolded, and decoded by RFC 2047 wherever a word of it is encoded.
pub(super) fn header_text(bytes: &[u8]) -> Option<Message<'_>> {
    let (header, _) = split(bytes);
    // One is named, since otherwise each of the well-known ones is read by its own rules.
    let parser = MessageParser::new().header_text(HeaderName::Subject).default_header_text();
    parser.parse_headers(&header[..header.len().min(MAX_HEADER_BYTES)])
}

/// The message's parts in their order, the first [`MAX_PARTS`] of them.
pub(super) fn leaves(bytes: &[u8]) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    collect(bytes, MAX_DEPTH, "text/plain", &mut leaves);
    leaves
}

fn collect<'a>(bytes: &'a [u8], depth: usize, default_type: &str, leaves: &mut Vec<Leaf<'a>>) {
    if leaves.len() >= MAX_PARTS {
        return;
    }
    let (head, body) = split(bytes);
    let parsed = header(head);
    let root = parsed.as_ref().map(Message::root_part);
    let of = root.and_then(|part| part.content_type());
    let mut content_type = of.map_or_else(
        || default_type.to_owned(),
        |of| format!("{}/{}", of.ctype(), of.subtype().unwrap_or("")).to_ascii_lowercase(),
    );
    if depth > 0 && content_type.starts_with("multipart/") {
        // RFC 2046 §5.1.5: the parts of a digest are messages unless they say otherwise.
        let default_type = if content_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        let before = leaves.len();
        for part in of.and_then(|of| of.attribute("boundary")).into_iter().flat_map(|of| Parts::new(body, of))
        {
            collect(part, depth - 1, default_type, leaves);
        }
        if leaves.len() > before {
            return;
        }
        // Not a delimiter in it: readers show such a message as the text it is.
        content_type = "text/plain".to_owned();
    }
    let encoding = match root.and_then(|part| part.content_transfer_encoding()) {
        Some(name) if name.eq_ignore_ascii_case("base64") => Encoding::Base64,
        Some(name) if name.eq_ignore_ascii_case("quoted-printable") => Encoding::QuotedPrintable,
        _ => Encoding::Identity,
    };
    leaves.push(Leaf {
        body,
        content_type,
        is_first: leaves.is_empty(),
        charset: of.and_then(|of| of.attribute("charset")).map(str::to_owned),
        name: root.and_then(|part| part.attachment_name()).map(str::to_owned),
        is_attachment: root.and_then(|part| part.content_disposition()).is_some_and(|of| of.is_attachment()),
        encoding,
    });
}

/// A header with the empty line that ends it, and what follows. A line of white space continues the field before
/// (RFC 5322 §4.2).
pub(crate) fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
    }
    bytes.split_at(at)
}

/// What lies between the delimiter lines of a multipart.
pub(crate) struct Parts<'a, 'b> {
    /// What is left, from after a delimiter's line; `None` after the closing one.
    rest: Option<&'a [u8]>,
    boundary: &'b [u8],
}

impl<'a, 'b> Parts<'a, 'b> {
    pub(crate) fn new(body: &'a [u8], boundary: &'b str) -> Self {
        let mut parts = Self { rest: Some(body), boundary: boundary.as_bytes() };
        // The preamble is nobody's; without a delimiter there are no parts.
        if parts.delimiter(body).is_none_or(|found| found.is_last) {
            parts.rest = None;
        } else {
            parts.next();
        }
        parts
    }

    /// The next delimiter line in `bytes`.
    fn delimiter(&self, bytes: &[u8]) -> Option<Delimiter> {
        let mut at = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (start, end) = (at, at + line.len());
            at = end;
            let Some(tail) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(self.boundary))
            else {
                continue;
            };
            let (tail, is_last) = tail.strip_prefix(b"--").map_or((tail, false), |tail| (tail, true));
            if tail.trim_ascii().is_empty() {
                return Some(Delimiter { start, end, is_last });
            }
        }
        None
    }
}

struct Delimiter {
    start: usize,
    end: usize,
    is_last: bool,
}

impl<'a> Iterator for Parts<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let bytes = self.rest.take()?;
        let Some(found) = self.delimiter(bytes) else {
            // The closing delimiter is missing: the rest is the last part, if it is anything.
            return (!bytes.is_empty()).then_some(bytes);
        };
        if !found.is_last {
            self.rest = Some(&bytes[found.end..]);
        }
        // The line end before a delimiter belongs to it.
        let part = &bytes[..found.start];
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        Some(part.strip_suffix(b"\r").unwrap_or(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Vec<String> {
        leaves(text.as_bytes()).into_iter().map(|leaf| leaf.content_type).collect()
    }

    #[test]
    fn parts_are_what_lies_between_delimiters() {
        let text = "Content-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b \r\n\r\none\r\n--a bc\n\n--a b\nContent-Type: image/png\n\ntwo\n\n--a b--x\n--a b-- \nepilogue";
        let leaves = leaves(text.as_bytes());
        let bodies: Vec<_> = leaves.iter().map(|leaf| String::from_utf8_lossy(leaf.body)).collect();
        assert_eq!(bodies, ["one\r\n--a bc\n", "two\n\n--a b--x"]);
        assert_eq!(types(text), ["text/plain", "image/png"]);
    }

    #[test]
    fn what_is_broken_is_one_part() {
        assert_eq!(types(""), ["text/plain"]);
        assert_eq!(types("no header"), ["text/plain"]);
        assert_eq!(types("Content-Type: multipart/mixed; boundary=x\n\nno delimiter"), ["text/plain"]);
        assert_eq!(types("Content-Type: multipart/mixed\n\n--\n"), ["text/plain"]);
        assert_eq!(types("Content-Type: multipart/mixed; boundary=x\n\n--x--\n--x\n"), ["text/plain"]);
        assert_eq!(types("Content-Type: multipart/mixed; boundary=x\n\n--x\n\nunclosed"), ["text/plain"]);
    }

    #[test]
    fn multiparts_nest_and_messages_do_not() {
        let text = "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: one\n\n--x\nContent-Type: multipart/alternative; boundary=y\n\n--y\n\na\n--y\nContent-Type: TEXT/HTML\n\nb\n--y--\n--x--\n";
        assert_eq!(types(text), ["message/rfc822", "text/plain", "text/html"]);
    }

    #[test]
    fn decoded_lengths_are_told_without_decoding() {
        let size = |encoding: &str, body: &str| {
            leaves(format!("Content-Transfer-Encoding: {encoding}\n\n{body}").as_bytes())[0].decoded_bytes()
        };
        assert_eq!(size("BASE64", "aGVs\r\nbG8="), 5);
        assert_eq!(size("base64", "aGVsbG8h\r\n"), 6);
        assert_eq!(size("quoted-printable", "a=C3=BC=\r\nb=\nc=zz"), "a\u{fc}bc=zz".len() as u64);
        assert_eq!(size("8bit", "abc\r\n"), 5);
    }
}
