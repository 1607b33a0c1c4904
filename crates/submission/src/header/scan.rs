//! The lexical pieces of structured field values (RFC 5322 §3.2), read from unfolded text.

/// A place in a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'t> {
    /// What is still to be read.
    pub(super) rest: &'t str,
}

impl<'t> Scan<'t> {
    /// The next character, left where it is.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes `c`, if it is next.
    pub(super) fn take(&mut self, c: char) -> bool {
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Takes the characters that are `wanted`.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes white space and comments (CFWS, RFC 5322 §3.2.2); `None` if a comment does not end.
    pub(super) fn skip_cfws(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some('(') => depth += 1,
                Some(')') if depth > 0 => depth -= 1,
                Some(' ' | '\t') => {}
                Some('\\') if depth > 0 => {
                    self.take('\\');
                }
                Some(_) if depth > 0 => {}
                None if depth > 0 => return None,
                _ => return Some(()),
            }
            let mut chars = self.rest.chars();
            chars.next();
            self.rest = chars.as_str();
        }
    }

    /// Takes a quoted string (RFC 5322 §3.2.4), which is next: what it means; `None` if it does not end.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.strip_prefix('"')?.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next()?),
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

/// `WSP` of RFC 5234.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_comments() {
        for (text, rest) in [
            ("x", Some("x")),
            (" \t(a (b) \\) \\( \") x(y)", Some("x(y)")),
            ("()()", Some("")),
            (")x", Some(")x")),
            ("\\(x)", Some("\\(x)")),
            ("(", None),
            ("(a (b)", None),
            ("(a\\)", None),
            ("(a\\", None),
        ] {
            let mut scan = Scan { rest: text };
            let end = scan.skip_cfws().map(|()| scan.rest);
            assert_eq!(end, rest, "{text:?}");
        }
    }

    #[test]
    fn reads_quoted_strings() {
        for (text, read) in [
            ("\"\"", Some(("", ""))),
            ("\"a\\\"(b\\\\\" c", Some(("a\"(b\\", " c"))),
            ("a", None),
            ("\"a", None),
            ("\"a\\", None),
            ("\"a\\\"", None),
        ] {
            let mut scan = Scan { rest: text };
            let quoted = scan.quoted();
            assert_eq!(quoted.as_deref().map(|quoted| (quoted, scan.rest)), read, "{text:?}");
        }
    }
}
