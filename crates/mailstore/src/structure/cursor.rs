//! Reading a field that has a grammar, RFC 5322 §3.2, in one pass and with patience.

/// What is left of a field.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    /// Whether quotes, and comments, are looked for. Not after one that has no end: it counts as a plain character,
    /// and a search for each would make the work grow with the square of the length.
    seeks_quotes: bool,
    seeks_comments: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, seeks_quotes: true, seeks_comments: true }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub(super) fn eat(&mut self, char: char) -> bool {
        let rest = self.rest.strip_prefix(char);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Goes on to a character or the end.
    pub(super) fn skip_to(&mut self, char: char) {
        self.rest = self.rest.find(char).and_then(|at| self.rest.get(at..)).unwrap_or("");
    }

    /// Passes white space over, and says whether there was any.
    pub(super) fn white(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let was_white = rest.len() < self.rest.len();
        self.rest = rest;
        was_white
    }

    /// Passes white space and comments over.
    pub(super) fn white_and_comments(&mut self) {
        while self.white() || self.comment().is_some() {}
    }

    /// What a quoted string says, if one is here.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let after = self.rest.strip_prefix('"').filter(|_| self.seeks_quotes)?;
        let mut says = String::new();
        let mut chars = after.chars();
        while let Some(char) = chars.next() {
            match char {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(says);
                }
                '\\' => says.extend(chars.next()),
                _ => says.push(char),
            }
        }
        self.seeks_quotes = false;
        None
    }

    /// What a comment says, if one is here: with the parentheses of those inside it.
    pub(super) fn comment(&mut self) -> Option<String> {
        let after = self.rest.strip_prefix('(').filter(|_| self.seeks_comments)?;
        let mut says = String::new();
        let mut depth = 0_usize;
        let mut chars = after.chars();
        while let Some(char) = chars.next() {
            match char {
                ')' if depth == 0 => {
                    self.rest = chars.as_str();
                    return Some(says.trim().to_owned());
                }
                '\\' => {
                    says.extend(chars.next());
                    continue;
                }
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            says.push(char);
        }
        self.seeks_comments = false;
        None
    }

    /// What is here of a token (RFC 2045 §5.1); beyond ASCII all is one.
    pub(super) fn token(&mut self) -> &'a str {
        let is_special =
            |char: char| char.is_ascii_control() || char == ' ' || r#"()<>@,;:\"/[]?="#.contains(char);
        let (token, rest) = self.rest.split_at(self.rest.find(is_special).unwrap_or(self.rest.len()));
        self.rest = rest;
        token
    }
}
