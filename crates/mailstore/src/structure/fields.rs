//! The fields of a header, one by one, and what they say as text.

/// How long a text of a header can be: four lines of the longest there are (RFC 5322 §2.1.1).
const MAX_TEXT_CHARS: usize = 998 * 4;

/// A field of a header.
pub(super) struct Field<'a> {
    /// All of it, with its folding and its line end.
    pub(super) raw: &'a [u8],
    /// What is before the colon. A line without one is a field without a name.
    pub(super) name: &'a [u8],
    /// What is after it, still folded.
    pub(super) value: &'a [u8],
}

/// The fields of a header up to the empty line that ends it.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(header: &'a [u8]) -> Self {
        Self { rest: header }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let mut len = 0;
        for line in self.rest.split_inclusive(|&byte| byte == b'\n') {
            let goes_on = len == 0 || matches!(line.first(), Some(b' ' | b'\t'));
            if !goes_on || matches!(line, b"\n" | b"\r\n") {
                break;
            }
            len += line.len();
        }
        let (raw, rest) = self.rest.split_at_checked(len).filter(|(raw, _)| !raw.is_empty())?;
        self.rest = rest;
        // Only in its first line: what is folded is no name.
        let end = raw.iter().position(|&byte| matches!(byte, b':' | b'\n'));
        let split = end.and_then(|end| raw.split_at_checked(end));
        Some(match split {
            Some((name, [b':', value @ ..])) => Field { raw, name: name.trim_ascii_end(), value },
            _ => Field { raw, name: b"", value: raw },
        })
    }
}

/// What a field says, on one line and without NULs, other control characters as spaces: in JSON each would take six bytes. What is not
/// UTF-8 is read as Latin-1, which anything is.
pub(super) fn text(value: &[u8]) -> String {
    // A line end can only be there by folding, and goes without the white space after it: RFC 5322 §2.2.3.
    let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n' | 0);
    let shown = |byte: u8| if byte.is_ascii_control() && byte != b'\t' { b' ' } else { byte };
    let bytes: Vec<u8> = value.trim_ascii().iter().copied().filter(is_text).map(shown).collect();
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect::<String>())
}

/// A text of a length that can be kept; none if there is nothing in it.
pub(super) fn kept(text: String) -> Option<String> {
    let text = cut(text, MAX_TEXT_CHARS);
    (!text.is_empty()).then_some(text)
}

/// The beginning of a text.
pub(super) fn cut(mut text: String, max_chars: usize) -> String {
    if text.len() > max_chars
        && let Some((end, _)) = text.char_indices().nth(max_chars)
    {
        text.truncate(end);
    }
    text
}

/// As [`kept`], where nothing is an answer, too.
pub(super) fn kept_or_empty(text: String) -> String {
    cut(text, MAX_TEXT_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_and_unfolded() {
        let header = b" stray: x\r\nFrom nobody\r\n 10:00\r\nTo : a,\r\n\tb \r\nX:\r\n\r\nSubject: body\r\n";
        let fields: Vec<_> =
            Fields::of(header).map(|field| (text(field.name), text(field.value), field.raw.len())).collect();
        let expected = [("stray", "x", 11), ("", "From nobody 10:00", 21), ("To", "a,\tb", 14), ("X", "", 4)];
        assert_eq!(fields, expected.map(|(name, value, len)| (name.to_owned(), value.to_owned(), len)));
        assert_eq!(Fields::of(b"").count() + Fields::of(b"\r\nx: y").count(), 0);
    }

    #[test]
    fn any_bytes_are_text() {
        assert_eq!(text(b" Gr\xfc\xdfe\0\r "), "Grüße");
        assert_eq!(text("Grüße".as_bytes()), "Grüße");
        assert_eq!(kept(String::new()), None);
        assert_eq!(kept("é".repeat(5_000)).map(|text| text.chars().count()), Some(MAX_TEXT_CHARS));
    }
}
