//! The CRLF form of a message: what POP3 sends and counts (RFC 1939 §11), what import stores.
//!
//! A line feed without a carriage return before it becomes CRLF, and a last line without an end gets one.
//! A carriage return alone ends no line (RFC 5322 §2.3) and is kept.

use std::borrow::Cow;

const CRLF: &[u8] = b"\r\n";

/// How many bytes [`normalize`] would return, without building them.
pub fn len(bytes: &[u8]) -> u64 {
    let bare = bare_line_feeds(bytes).count();
    let missing_end = if is_ended(bytes) { 0 } else { CRLF.len() };
    (bytes.len() + bare + missing_end) as u64
}

/// The CRLF form of `bytes`; borrowed when it is that already.
pub fn normalize(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut feeds = bare_line_feeds(bytes).peekable();
    if feeds.peek().is_none() && is_ended(bytes) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 2);
    let mut from = 0;
    for feed in feeds {
        out.extend_from_slice(&bytes[from..feed]);
        out.push(b'\r');
        from = feed;
    }
    out.extend_from_slice(&bytes[from..]);
    if !is_ended(bytes) {
        out.extend_from_slice(CRLF);
    }
    Cow::Owned(out)
}

fn bare_line_feeds(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr::memchr_iter(b'\n', bytes).filter(|&at| at == 0 || bytes[at - 1] != b'\r')
}

/// Whether the last line is ended once bare line feeds have been mended. No bytes are no line; a final bare CR
/// is a byte of its line and ends nothing.
fn is_ended(bytes: &[u8]) -> bool {
    bytes.last().is_none_or(|&last| last == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mends_line_feeds_and_the_last_line_only() {
        for (from, to) in [
            ("", ""),
            ("a\r\n", "a\r\n"),
            ("a\nb", "a\r\nb\r\n"),
            ("\n\n", "\r\n\r\n"),
            ("a\rb\r\n", "a\rb\r\n"),
            ("a\r\r\n", "a\r\r\n"),
            ("a\r", "a\r\r\n"),
        ] {
            assert_eq!(normalize(from.as_bytes()), to.as_bytes(), "{from:?}");
        }
    }

    proptest! {
        #[test]
        fn is_idempotent_counted_and_free_of_bare_feeds(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..64)) {
            let once = normalize(&bytes).into_owned();
            prop_assert_eq!(len(&bytes), once.len() as u64);
            prop_assert!(matches!(normalize(&once), Cow::Borrowed(_)));
            prop_assert_eq!(bare_line_feeds(&once).count(), 0);
        }
    }
}
