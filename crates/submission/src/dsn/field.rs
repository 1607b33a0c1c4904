//! Values from outside, made fit for one line of a header or of a report.

use chrono::{DateTime, Utc};
use kernel::xtext;

/// The most octets that are kept of a value. Far above what SMTP lets through (RFC 5321 §4.5.3.1: 256 for a path, 512
/// for a reply line), and low enough that with the field's name a line stays within the 998 of RFC 5322 §2.1.1.
const LIMIT_OCTETS: usize = 900;
/// Where lines are folded if they can be (RFC 5322 §2.1.1).
pub(super) const FOLD_OCTETS: usize = 78;

/// `Tue, 03 Nov 2026 04:05:06 +0000`: RFC 3464 §2.3.7 wants the zone in digits.
pub(super) fn date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// An address, exactly as it is but for what could end a line (RFC 3464 §2.3.2) or turn its display round.
pub(super) fn address(value: &str) -> String {
    cut(value.chars().map(|c| if is_unsafe(c) { '?' } else { c }).collect())
}

/// An address with its type, as `rfc822; ada@b.example`, for a report field.
///
/// Beyond ASCII the type is `utf-8` (RFC 6533 §3): as it is in an `is_utf8` report, else in the form for seven bits.
pub(super) fn typed_address(kind: &str, value: &str, is_utf8: bool) -> String {
    let value = address(value);
    let is_utf8_type = kind.eq_ignore_ascii_case("utf-8");
    if !value.is_ascii() && is_utf8 {
        format!("utf-8; {value}")
    } else if !value.is_ascii() || is_utf8_type {
        format!("utf-8; {}", utf8_xtext(&value))
    } else {
        format!("{}; {value}", atom(kind))
    }
}

/// An address type (RFC 3464 §2.1.2); `unknown` is what §2.3.1 has for one that cannot be told.
fn atom(value: &str) -> String {
    let is_fit = !value.is_empty()
        && value.len() <= 40
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_fit { value.to_owned() } else { "unknown".to_owned() }
}

/// utf-8-addr-xtext of RFC 6533 §3: what is not QCHAR stands as `\x{2B}`.
fn utf8_xtext(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        let token = xtext::encode_utf8(c.encode_utf8(&mut [0; 4]));
        // Cut between characters: half an escape would be read as another address.
        if text.len() + token.len() > LIMIT_OCTETS {
            break;
        }
        text.push_str(&token);
    }
    text
}

/// A host name or address literal; names are A-labels here.
pub(super) fn host(value: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    cut(value.chars().map(|c| if is_fit(c) { c } else { '?' }).collect())
}

/// The inside of a Message-ID's angle brackets: graphic ASCII without what would end it.
pub(super) fn message_id(value: &str) -> String {
    cut(value.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>')).collect())
}

/// Words on one line, with one space between them; several lines are joined.
pub(super) fn words(value: &str) -> String {
    let value: String = value.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = value.split_whitespace().collect();
    cut(words.join(" "))
}

/// As [`words`], with `?` for each character beyond ASCII.
pub(super) fn ascii_words(value: &str) -> String {
    let value: String = value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    words(&value)
}

/// A field of words, folded at its spaces (RFC 5322 §2.2.3); a word that is longer than a line stays whole.
pub(super) fn folded(name: &str, words: &str) -> String {
    let mut text = format!("{name}:");
    let mut width = text.len();
    for (index, word) in words.split(' ').enumerate() {
        if index > 0 && width + 1 + word.len() > FOLD_OCTETS {
            text.push_str("\r\n");
            width = 0;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + word.len();
    }
    text.push_str("\r\n");
    text
}

/// Whether a character may not be shown: controls, which end lines, and those that set the direction of what follows
/// (Unicode UAX #9 §2) or end a line in some readers (U+2028, U+2029), by which an address can be made to look like another.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(mut value: String) -> String {
    value.truncate(value.floor_char_boundary(LIMIT_OCTETS));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_form_that_the_report_can_carry() {
        assert_eq!(typed_address("rfc822", "a+b@c.example", false), "rfc822; a+b@c.example");
        assert_eq!(typed_address("x400", "/C=de/", true), "x400; /C=de/");
        assert_eq!(typed_address("b\r\nad", "a@b.example", true), "unknown; a@b.example");
        assert_eq!(typed_address("rfc822", "ü+x@b.example", true), "utf-8; ü+x@b.example");
        // RFC 6533 §3: QCHAR is without "\", "+" and "=".
        assert_eq!(typed_address("rfc822", "ü+x@b.example", false), r"utf-8; \x{FC}\x{2B}x@b.example");
        assert_eq!(
            typed_address("UTF-8", r#""a b\"@c.example"#, true),
            r#"utf-8; "a\x{20}b\x{5C}"@c.example"#
        );
    }

    #[test]
    fn an_escape_is_never_cut() {
        let text = utf8_xtext(&"\u{10ffff}".repeat(500));
        assert!(text.len() <= LIMIT_OCTETS && text.ends_with("\\x{10FFFF}"), "{text}");
    }

    #[test]
    fn what_ends_a_line_or_turns_it_round_goes() {
        assert_eq!(address("a\r\nX: \u{202e}b"), "a??X: ?b");
        assert_eq!(words("550-no\r\n550\u{85}\t such\u{0} user "), "550-no 550 such user");
        assert_eq!(ascii_words("grün"), "gr?n");
        assert_eq!(host("mx.example>\r\n<"), "mx.example????");
        assert_eq!(message_id("<a b@c>\r\n"), "ab@c");
    }

    #[test]
    fn folding_loses_nothing() {
        let words = "a ".repeat(100) + &"b".repeat(200) + " c";
        let text = folded("Diagnostic-Code", &words);
        assert_eq!(text.replace("\r\n", ""), format!("Diagnostic-Code: {words}"));
        assert!(text.lines().filter(|line| line.len() > FOLD_OCTETS).all(|line| line.len() == 201), "{text}");
    }
}
