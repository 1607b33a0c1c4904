//! xtext: how SMTP's parameters carry any text in one word (RFC 3461 §4).

/// The text that an xtext stands for; `None` for what is none, or no UTF-8.
pub fn decode(xtext: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(xtext.len());
    let mut rest = xtext.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'+' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        };
        bytes.push(decoded);
    }
    String::from_utf8(bytes).ok()
}

/// The xtext of a text.
pub fn encode(text: &str) -> String {
    let mut xtext = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=') {
            xtext.push(char::from(byte));
        } else {
            xtext += &format!("+{byte:02X}");
        }
    }
    xtext
}

/// The address of type `utf-8` that a text stands for, in whichever form of RFC 6533 §3: what is not as it is stands as `\x{2B}`; of seven bits,
/// xtext is read too.
pub fn decode_utf8(text: &str) -> Option<String> {
    let text = if text.is_ascii() { decode(text)? } else { text.to_owned() };
    let (mut decoded, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some((before, escaped)) = rest.split_once('\\') {
        let (digits, after) = escaped.strip_prefix("x{")?.split_once('}')?;
        let is_point = (2..=6).contains(&digits.len()) && digits.bytes().all(|digit| hex(digit).is_some());
        let point = u32::from_str_radix(digits, 16).ok().filter(|_| is_point)?;
        decoded += before;
        decoded.push(char::from_u32(point)?);
        rest = after;
    }
    Some(decoded + rest)
}

/// The same address for seven bits (utf-8-addr-xtext of RFC 6533 §3). It is xtext too.
pub fn encode_utf8(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') {
            encoded.push(c);
        } else {
            encoded += &format!("\\x{{{:02X}}}", u32::from(c));
        }
    }
    encoded
}

/// RFC 3461 §4 has capital digits alone.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_what_rfc_3461_says() {
        assert_eq!(decode("Bob+2BAda@b.example").as_deref(), Some("Bob+Ada@b.example"));
        for broken in ["a b", "a+", "a+2", "a+2b", "a=b", "+FF", "a\u{e4}"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn addresses_beyond_ascii_have_three_forms() {
        for form in [
            "jürgen+x@b.example",
            r"j\x{FC}rgen\x{2B}x@b.example",
            r"jürgen\x{2B}x@b.example",
            "j+C3+BCrgen+2Bx@b.example",
        ] {
            assert_eq!(decode_utf8(form).as_deref(), Some("jürgen+x@b.example"), "{form}");
        }
        assert_eq!(decode_utf8(r"\x{10FFFF}").as_deref(), Some("\u{10ffff}"));
        for broken in [
            r"\",
            r"\x",
            r"\x{}",
            r"\x{FC",
            r"\x{fc}",
            r"\x{F}",
            r"\x{D800}",
            r"\x{110000}",
            r"\x{+FC}",
            r"\u{FC}",
            "a b",
        ] {
            assert_eq!(decode_utf8(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn every_address_comes_back(text in any::<String>()) {
            let encoded = encode_utf8(&text);
            prop_assert_eq!(decode(&encoded), Some(encoded.clone()), "it is xtext");
            prop_assert_eq!(decode_utf8(&encoded), Some(text));
        }

        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let xtext = encode(&text);
            prop_assert!(xtext.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'='));
            prop_assert_eq!(decode(&xtext), Some(text));
        }
    }
}
