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

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let xtext = encode(&text);
            prop_assert!(xtext.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'='));
            prop_assert_eq!(decode(&xtext), Some(text));
        }
    }
}
