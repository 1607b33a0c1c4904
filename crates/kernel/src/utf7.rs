//! Modified UTF-7, in which RFC 3501 §5.1.3 has folder names: printable ASCII stands for itself but `&`, which is `&-`; all else is
//! UTF-16 in base64 between `&` and `-`, with `,` for `/`.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Reads a name; `None` if it is not one in modified UTF-7. What should not have been encoded is read all the same: clients do so.
/// Invalid base64, lone surrogates and a shift without an end are not.
pub fn decode(name: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = std::str::from_utf8(name).ok()?;
    loop {
        let (plain, shifted) = match rest.split_once('&') {
            Some((plain, shifted)) => (plain, Some(shifted)),
            None => (rest, None),
        };
        if !plain.bytes().all(is_plain) {
            return None;
        }
        text.push_str(plain);
        let Some(shifted) = shifted else { return Some(text) };
        let (encoded, behind) = shifted.split_once('-')?;
        if encoded.is_empty() {
            text.push('&');
        } else {
            unshift(encoded, &mut text)?;
        }
        rest = behind;
    }
}

fn unshift(encoded: &str, text: &mut String) -> Option<()> {
    let bytes = BASE64.decode(encoded).ok()?;
    let (units, rest) = bytes.as_chunks::<2>();
    if units.is_empty() || !rest.is_empty() {
        return None;
    }
    for char in char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))) {
        text.push(char.ok()?);
    }
    Some(())
}

/// Writes a name: printable ASCII, in the one form that RFC 3501 §5.1.3 has for each name.
pub fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for char in name.chars() {
        let is_plain = u8::try_from(char).is_ok_and(is_plain);
        if !is_plain {
            shifted.extend(char.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
            continue;
        }
        shift(&mut shifted, &mut text);
        text.push(char);
        if char == '&' {
            text.push('-');
        }
    }
    shift(&mut shifted, &mut text);
    text
}

fn shift(shifted: &mut Vec<u8>, text: &mut String) {
    if !shifted.is_empty() {
        text.push('&');
        BASE64.encode_string(&*shifted, text);
        text.push('-');
        shifted.clear();
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_names() {
        for (name, encoded) in [
            ("", ""),
            ("INBOX", "INBOX"),
            ("&", "&-"),
            ("A & B", "A &- B"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Éléments envoyés", "&AMk-l&AOk-ments envoy&AOk-s"),
            ("Отправленные", "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-"),
            ("😀", "&2D3eAA-"),
            ("a😀&b", "a&2D3eAA-&-b"),
            ("tab\there", "tab&AAk-here"),
        ] {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(name));
        }
    }

    #[test]
    fn superfluous_encodings_are_read() {
        assert_eq!(decode(b"&AGEAYg-").as_deref(), Some("ab"));
        assert_eq!(decode(b"&AOk-&AOk-").as_deref(), Some("éé"));
        assert_eq!(decode(b"&ACY-").as_deref(), Some("&"));
    }

    #[test]
    fn what_is_no_name() {
        for name in
            ["&", "a&AOk", "&A-", "&AA-", "&AOkA-", "&AO/-", "&AOk=-", "&A k-", "A & B", "&2D0-", "&3gA-"]
        {
            assert_eq!(decode(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(decode("é".as_bytes()), None);
        assert_eq!(decode(b"\xff"), None);
        assert_eq!(decode(b"a\nb"), None);
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_are_inverse(name in any::<String>()) {
            let encoded = encode(&name);
            prop_assert!(encoded.bytes().all(is_plain));
            prop_assert_eq!(decode(encoded.as_bytes()), Some(name));
        }

        #[test]
        fn no_bytes_break_the_decoder(name in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&name);
        }

        #[test]
        fn what_is_read_is_written_in_the_one_form(name in "[&A-E4-9+,/a -]{0,30}") {
            if let Some(text) = decode(name.as_bytes()) {
                prop_assert_eq!(decode(encode(&text).as_bytes()), Some(text));
            }
        }
    }
}
