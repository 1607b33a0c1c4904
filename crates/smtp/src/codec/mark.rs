//! The header field by which a mail filter marks spam, such as `X-Spam: Yes`.

use std::str::FromStr;

/// The field, and what it has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpamMark {
    name: String,
    value: String,
}

/// A text that is not a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a header field of the form name: value")]
pub struct NoField;

impl FromStr for SpamMark {
    type Err = NoField;

    fn from_str(text: &str) -> Result<Self, NoField> {
        let (name, value) = text.split_once(':').ok_or(NoField)?;
        let value = value.trim_matches([' ', '\t']);
        let is_value = !value.is_empty() && value.chars().all(|c| matches!(c, ' '..='~'));
        // RFC 5322 §3.6.8.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) || !is_value {
            return Err(NoField);
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

impl SpamMark {
    /// Whether a message's header has the field with that value, in whatever case and with whatever white space around it. All of the header is
    /// looked at, however long its sender has made it: a milter's field comes last. What follows is not, nor is anything after a line that is no
    /// field's, where an MTA ends the header too.
    pub fn is_on(&self, message: &[u8]) -> bool {
        let mut lines = message.split(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
            let (name, first) = (line[..colon].trim_ascii_end(), &line[colon + 1..]);
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return false;
            }
            let is_it = name.eq_ignore_ascii_case(self.name.as_bytes());
            let mut value = if is_it { first.trim_ascii().to_vec() } else { Vec::new() };
            // RFC 5322 §2.2.3: a line that begins with white space goes on with the field.
            while let Some(folded) = lines.next_if(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
                if is_it {
                    value.push(b' ');
                    value.extend_from_slice(folded.trim_ascii());
                }
            }
            if is_it && value.trim_ascii().eq_ignore_ascii_case(self.value.as_bytes()) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_spam(message: &str) -> bool {
        "X-Spam: Yes".parse::<SpamMark>().unwrap().is_on(message.as_bytes())
    }

    #[test]
    fn finds_the_field_however_it_is_written() {
        for field in [
            "X-Spam: Yes",
            "x-spam:YES",
            "X-SPAM \t:  yes \t",
            "X-Spam:\r\n Yes",
            "X-Spam:\r\n\t\r\n yes\r\n ",
            "X-Spam: no\r\nX-Spam: yes",
        ] {
            assert!(is_spam(&format!("Subject: a\r\n b\r\n{field}\r\nTo: b\r\n\r\nbody\r\n")), "{field:?}");
            assert!(is_spam(&format!("{field}\r\n")), "{field:?}");
        }
    }

    #[test]
    fn sees_nothing_else_for_it() {
        for message in [
            "",
            "Subject: a\r\n\r\nX-Spam: Yes\r\n",
            "Subject: a\n\nX-Spam: Yes\n",
            "\r\nX-Spam: Yes\r\n",
            "Subject: a\r\nno field\r\nX-Spam: Yes\r\n",
            "Subject: a\r\n X-Spam: Yes\r\n\r\n",
            "X-Spam: No\r\n\r\n",
            "X-Spam:\r\n\r\nYes\r\n",
            "X-Spam: Yes, really\r\n\r\n",
            "X-Spam-Flag: Yes\r\n\r\n",
            "Spam: Yes\r\n\r\n",
            "X-Spam: Y\r\n es\r\n\r\n",
            "Content-Type: message/rfc822\r\n\r\nX-Spam: Yes\r\n\r\n",
        ] {
            assert!(!is_spam(message), "{message:?}");
        }
    }

    #[test]
    fn a_long_header_hides_nothing() {
        let fields = "A: 123456789012\r\n".repeat(100_000);
        assert!(is_spam(&format!("{fields}X-Spam: Yes\r\n\r\n")));
        assert!(!is_spam(&format!("{fields}\r\nX-Spam: Yes\r\n")));
    }

    #[test]
    fn takes_a_field_and_nothing_else() {
        for text in [
            "",
            "X-Spam",
            "X-Spam:",
            "X-Spam: ",
            ": Yes",
            "X Spam: Yes",
            "X-Spam: Yes\r\nA: b",
            "X-Spam: Yes\u{b}",
            "X-Späm: Yes",
        ] {
            assert_eq!(text.parse::<SpamMark>(), Err(NoField), "{text:?}");
        }
        assert!("X-Spam-Status: Yes, of course".parse::<SpamMark>().is_ok());
    }

    proptest! {
        #[test]
        fn a_body_tells_nothing(header in "([A-Z][a-z]{0,8}: [a-z: ]{0,20}\r\n( [a-z:]{1,9}\r\n)?){0,4}", body in "(X-Spam: Yes\r\n|[ -~]{0,30}\r\n){0,6}") {
            let message = format!("{header}\r\n{body}");
            prop_assert!(!is_spam(&message));
            let marked = format!("{header}X-Spam: Yes\r\n\r\n{body}");
            prop_assert!(is_spam(&marked));
        }
    }
}
