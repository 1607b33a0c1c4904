//! The parsed view of a message: what a listing and a reader show without the body ([`outline`](crate::outline)).
//!
//! Made from whatever a stranger sent. Everything in it is bounded and free of NULs, so that it
//! fits a jsonb column; a message that cannot be parsed has an empty view and is stored all the same.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod html;
pub(crate) mod mime;
pub(crate) mod text;

use chrono::{DateTime, Utc};
use mail_parser::{Addr, HeaderValue, Message};
use mime::Leaf;
use serde::{Deserialize, Serialize};

const MAX_SUBJECT_CHARS: usize = 998;
const MAX_NAME_CHARS: usize = 255;
/// RFC 5321 §4.5.3.1: 64 octets, `@`, 255 octets.
const MAX_ADDRESS_CHARS: usize = 320;
const MAX_MESSAGE_ID_CHARS: usize = 998;
const MAX_PREVIEW_CHARS: usize = 256;
const MAX_LIST: usize = 100;
/// How much of a text is decoded for the preview. Style sheets come before the text of many an HTML mail.
const MAX_PREVIEWED_BYTES: usize = 64 * 1024;
/// How many texts are looked at for one that says something.
const MAX_PREVIEWED_PARTS: usize = 4;

/// A sender or recipient as the message names it; unproven.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The display name, at most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address as written, at most 320 characters; it need not be a valid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A part that is shown as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The file name that the sender proposes, at most 255 characters; not safe as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type in lower case.
    pub content_type: String,
    /// Its length after decoding, in bytes.
    pub size_bytes: u64,
}

/// What the message says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parsed {
    /// The subject, decoded, at most 998 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The authors; this list and the following ones have at most 100 entries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Address>,
    /// The recipients in `To`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Address>,
    /// The recipients in `Cc`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Address>,
    /// Where replies are wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<Address>,
    /// The instant in the `Date` field, if it is one between 1970 and 2200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateTime<Utc>>,
    /// The message id without its angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The ids of what it answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_reply_to: Vec<String>,
    /// The ids of its thread, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// The beginning of the text, white space folded and without bidirectional controls, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The parts shown as files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// Reads what can be read. Never fails; a parser that panics has read nothing.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    std::panic::catch_unwind(|| view(bytes)).unwrap_or_default()
}

/// The instant in the `Date` field of a message of which only the header is looked at.
pub(crate) fn date_of(bytes: &[u8]) -> Option<DateTime<Utc>> {
    std::panic::catch_unwind(|| mime::header(bytes).as_ref().and_then(date)).unwrap_or_default()
}

fn view(bytes: &[u8]) -> Parsed {
    let leaves = mime::leaves(bytes);
    let parsed = Parsed {
        preview: preview(&leaves),
        attachments: leaves.iter().filter(|leaf| is_file(leaf)).map(attachment).take(MAX_LIST).collect(),
        ..Parsed::default()
    };
    let Some(header) = mime::header(bytes) else { return parsed };
    Parsed {
        subject: header.subject().and_then(|text| clean(text, MAX_SUBJECT_CHARS)),
        from: addresses(header.from()),
        to: addresses(header.to()),
        cc: addresses(header.cc()),
        reply_to: addresses(header.reply_to()),
        date: date(&header),
        message_id: header.message_id().and_then(|id| clean(id, MAX_MESSAGE_ID_CHARS)),
        in_reply_to: ids(header.in_reply_to()),
        references: ids(header.references()),
        ..parsed
    }
}

fn addresses(field: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let entry = |addr: &Addr<'_>| {
        let name = addr.name().and_then(|name| clean(name, MAX_NAME_CHARS));
        let address = addr.address().and_then(|address| clean(address, MAX_ADDRESS_CHARS));
        (name.is_some() || address.is_some()).then_some(Address { name, address })
    };
    field.map(|field| field.iter().filter_map(entry).take(MAX_LIST).collect()).unwrap_or_default()
}

fn ids(field: &HeaderValue<'_>) -> Vec<String> {
    let texts = match field {
        HeaderValue::Text(text) => std::slice::from_ref(text),
        HeaderValue::TextList(texts) => texts,
        _ => &[],
    };
    texts.iter().filter_map(|id| clean(id, MAX_MESSAGE_ID_CHARS)).take(MAX_LIST).collect()
}

fn date(message: &Message<'_>) -> Option<DateTime<Utc>> {
    let date = message.date().filter(|date| date.is_valid() && (1970..2200).contains(&date.year))?;
    DateTime::from_timestamp(date.to_timestamp(), 0)
}

fn is_file(leaf: &Leaf<'_>) -> bool {
    let is_text = matches!(leaf.content_type.as_str(), "text/plain" | "text/html" | "text/");
    // A name alone makes a file of a text unless the message begins with it.
    leaf.is_attachment || !is_text || (leaf.name.is_some() && !leaf.is_first)
}

/// Plain text before HTML, and what says something before what is blank.
fn preview(leaves: &[Leaf<'_>]) -> Option<String> {
    let texts = || leaves.iter().filter(|leaf| !is_file(leaf));
    let is_html = |leaf: &&Leaf<'_>| leaf.content_type == "text/html";
    let plain = texts().filter(|leaf| !is_html(leaf));
    plain.chain(texts().filter(is_html)).take(MAX_PREVIEWED_PARTS).find_map(beginning)
}

fn beginning(leaf: &Leaf<'_>) -> Option<String> {
    let (mut text, _) = leaf.text(MAX_PREVIEWED_BYTES, html::as_shown)?;
    text.retain(|c| !reorders(c));
    let words = text.split([' ', '\t', '\r', '\n', '\0', '\u{a0}']).filter(|word| !word.is_empty());
    let mut folded = String::new();
    for word in words {
        // Enough for the cut below, whatever the characters' widths.
        if folded.len() > 4 * MAX_PREVIEW_CHARS {
            break;
        }
        folded.push_str(word);
        folded.push(' ');
    }
    clean(&folded, MAX_PREVIEW_CHARS)
}

/// Whether it is one of the bidirectional controls (UAX #9 §2): one that nothing closes would turn round what is shown beside the text, too.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn attachment(leaf: &Leaf<'_>) -> Attachment {
    Attachment {
        name: leaf.name.as_deref().and_then(|name| clean(name, MAX_NAME_CHARS)),
        content_type: clean(&leaf.content_type, MAX_NAME_CHARS)
            .unwrap_or_else(|| "application/octet-stream".to_owned()),
        size_bytes: leaf.decoded_bytes(),
    }
}

/// Text without NULs (no jsonb can hold one) and other control characters, trimmed, cut to `max_chars`; `None` if
/// nothing is left.
fn clean(text: &str, max_chars: usize) -> Option<String> {
    let printable = text.trim().chars().filter(|&c| c != '\0').map(|c| if c.is_control() { ' ' } else { c });
    let text: String = printable.take(max_chars).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_preview_is_of_the_first_text_that_says_something() {
        let of = |plain: &str, html: &str| {
            let text = format!(
                "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n{plain}\r\n--b\r\nContent-Type: text/html\r\n\r\n\
                 {html}\r\n--b--\r\n"
            );
            parse(text.as_bytes()).preview
        };
        let html = "<div>Dear all,</div><div>lunch</div>";
        assert_eq!(of("Lunch", html).as_deref(), Some("Lunch"));
        assert_eq!(of(" \r\n", html).as_deref(), Some("Dear all, lunch"));
        assert_eq!(of("", ""), None);
    }

    #[test]
    fn no_preview_is_of_styles_or_scripts_however_long_they_are() {
        let of = |html: &str| parse(format!("Content-Type: text/html\r\n\r\n{html}\r\n").as_bytes()).preview;
        let long = ".a { color: red; }\r\n".repeat(2 * MAX_PREVIEWED_BYTES / 20);
        for name in ["style", "STYLE type=\"text/css\"", "script", "script type='text/javascript'"] {
            let end = name.split(' ').next().unwrap();
            assert_eq!(
                of(&format!("Hi<{name}>a < b</p>{{ }}</{end}\r\n > you")).as_deref(),
                Some("Hi you"),
                "{name}"
            );
            assert_eq!(
                of(&format!("<p>Hi</p><{name}>\r\n{long}</{end}>you")).as_deref(),
                Some("Hi"),
                "{name}"
            );
            assert_eq!(of(&format!("<{name}>\r\n{long}</{end}><p>you</p>")), None, "{name}");
        }
    }

    #[test]
    fn nothing_in_a_preview_turns_round_what_is_beside_it() {
        let text = "pay \u{202e}001\u{202c} \u{2066}EUR\u{2069} \u{200f} now\u{61c}\u{200e}";
        assert_eq!(parse(format!("\r\n{text}\r\n").as_bytes()).preview.as_deref(), Some("pay 001 EUR now"));
        let html = "Content-Type: text/html\r\n\r\n<p>pay &#x202E;001 &rlm;now</p>";
        assert_eq!(parse(html.as_bytes()).preview.as_deref(), Some("pay 001 now"));
        let alone = "Content-Type: text/plain; charset=utf-8\r\n\r\n\u{202e}\u{200f}\r\n";
        assert_eq!(parse(alone.as_bytes()).preview, None);
    }

    #[test]
    fn reads_what_a_listing_shows() {
        let parsed = parse(
            b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: a@example.org, B <b@example.org>\r\n\
              Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nDate: Thu, 20 Nov 2025 15:03:07 +0100\r\nMessage-ID: <1@x>\r\n\
              References: <a@x> <b@x>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
              --b\r\n\r\nHello\r\n  you\r\n--b\r\nContent-Type: Application/PDF\r\n\
              Content-Disposition: attachment; filename=\"../a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
              AAAA\r\n--b--\r\n",
        );
        assert_eq!(parsed.subject.as_deref(), Some("Grüße"));
        assert_eq!(parsed.from[0].name.as_deref(), Some("Jürgen"));
        assert_eq!(parsed.to[1].address.as_deref(), Some("b@example.org"));
        assert_eq!(parsed.date.unwrap().to_rfc3339(), "2025-11-20T14:03:07+00:00");
        assert_eq!(parsed.message_id.as_deref(), Some("1@x"));
        assert_eq!(parsed.references, ["a@x", "b@x"]);
        assert_eq!(parsed.preview.as_deref(), Some("Hello you"));
        let file = &parsed.attachments[0];
        assert_eq!(
            (file.name.as_deref(), file.content_type.as_str(), file.size_bytes),
            (Some("../a.pdf"), "application/pdf", 3)
        );
    }

    #[test]
    fn nuls_and_length_stay_out() {
        let parsed = parse(format!("Subject: a\0b{}\r\n\r\nx\0y\r\n", "é".repeat(5_000)).as_bytes());
        let subject = parsed.subject.unwrap();
        assert_eq!(subject.chars().count(), MAX_SUBJECT_CHARS);
        assert!(subject.starts_with("ab"), "{subject}");
        assert!(!serde_json::to_string(&parsed.preview).unwrap().contains("\\u0000"));
        assert!(
            parse(format!("To: {}\r\n\r\n", "a@b.example, ".repeat(300)).as_bytes()).to.len() <= MAX_LIST
        );
    }

    #[test]
    fn nesting_and_floods_are_bounded() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(200_000);
        let deep = parse(format!("Subject: deep\r\n{nested}").as_bytes());
        assert_eq!(deep.subject.as_deref(), Some("deep"));
        // The same in base64: "Content-Type: message/rfc822\r\n\r\n" and a space, a multiple of three bytes.
        let encoded = "Q29udGVudC1UeXBlOiBtZXNzYWdlL3JmYzgyMg0KDQog\r\n".repeat(200_000);
        let hidden = parse(
            format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}")
                .as_bytes(),
        );
        assert_eq!(hidden.attachments.len(), 1);
        assert_eq!(hidden.attachments[0].size_bytes, 200_000 * 33);

        let mut multiparts = String::new();
        for level in 0..5_000 {
            multiparts.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
        }
        assert_eq!(parse(multiparts.as_bytes()).attachments.len(), 1);
        let parts = "--b\n\n".repeat(500_000);
        let wide =
            parse(format!("Subject: wide\nContent-Type: multipart/mixed; boundary=b\n\n{parts}").as_bytes());
        assert_eq!(wide.subject.as_deref(), Some("wide"));
        let to = parse(format!("To: {}\n\n", "a,".repeat(5_000_000)).as_bytes());
        assert_eq!(to.to.len(), MAX_LIST);
        assert_eq!(parse(b""), Parsed::default());
    }

    proptest! {
        #[test]
        fn anything_is_parsed_and_fits_a_jsonb_column(pieces in proptest::collection::vec(prop_oneof![
            Just(b"Subject: ".to_vec()), Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()),
            Just(b"Content-Type: message/rfc822\r\n".to_vec()), Just(b"Content-Type: multipart/digest; boundary=\"\"\r\n".to_vec()),
            Just(b"Content-Transfer-Encoding: base64\r\n".to_vec()), Just(b"To: ".to_vec()), Just(b"Date: ".to_vec()),
            Just(b"--b\r\n".to_vec()), Just(b"--b--\r\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\0".to_vec()),
            Just(b"=?utf-8?q?".to_vec()), proptest::collection::vec(any::<u8>(), 0..16)], 0..24)) {
            let parsed = parse(&pieces.concat());
            let text = serde_json::to_string(&parsed).unwrap();
            prop_assert!(!text.contains("\\u0000"));
            prop_assert_eq!(serde_json::from_str::<Parsed>(&text).unwrap(), parsed);
        }
    }
}
