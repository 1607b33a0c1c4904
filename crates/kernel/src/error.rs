//! The closed set of ways in which a call can fail, as every edge understands them.

use crate::is_visible;

/// What kind of failure an error is. Each edge maps a kind to its own wire form in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is malformed or breaks a rule; sending it again unchanged cannot work.
    Invalid,
    /// Nobody has been proven to be calling.
    Unauthenticated,
    /// The caller is known and may see the object, but may not do this to it.
    Forbidden,
    /// The object does not exist, or the caller may not know that it does.
    NotFound,
    /// The object's present state does not allow it.
    Conflict,
    /// A quota, cap or rate is used up.
    LimitExceeded,
    /// It may work later without any change of the request.
    Unavailable,
    /// A fault of ours: logged with its cause, shown as a request id.
    Internal,
}

/// One mistake in a caller's input, with the place where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, such as `/seats/limit`.
    pub pointer: String,
    /// What is wrong there, as the caller may read it.
    pub detail: String,
}

impl FieldError {
    /// A mistake at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { pointer: pointer.into(), detail: detail.to_string() }
    }
}

/// A JSON pointer in words: `seats limit` for `/seats/limit`.
pub fn place(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace(['/', '_'], " ")
}

/// What is wrong, for people: the first mistakes, and how many there are besides.
pub fn mistakes(errors: &[FieldError]) -> String {
    const SHOWN: usize = 3;
    let one = |error: &FieldError| match place(&error.pointer).as_str() {
        "" => error.detail.clone(),
        place => format!("{place}: {}", error.detail),
    };
    let shown = errors.iter().take(SHOWN).map(one).collect::<Vec<_>>().join("; ");
    match errors.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// Collects the mistakes of one input, so that a caller learns of all of them at once.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes a mistake unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: &str, detail: impl std::fmt::Display) {
        if !holds {
            self.0.push(FieldError::new(pointer, detail));
        }
    }

    /// The value, or a note of why there is none.
    pub fn value<T>(&mut self, found: Option<T>, pointer: &str, detail: impl std::fmt::Display) -> Option<T> {
        self.require(found.is_some(), pointer, detail);
        found
    }

    /// Requires a text of 1 to `max` characters for somebody to read: without control characters, and with at least one character that can be seen.
    pub fn name(&mut self, text: &str, max: usize, pointer: &str) {
        let length = text.chars().count();
        self.require((1..=max).contains(&length), pointer, format_args!("must have 1 to {max} characters"));
        let is_printable = !text.chars().any(char::is_control);
        self.require(is_printable, pointer, "must not have control characters");
        let is_blank = is_printable && !text.is_empty() && !is_visible(text);
        self.require(!is_blank, pointer, "must have a character that can be seen");
    }

    /// # Errors
    /// The mistakes found.
    pub fn done(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// An error and what it came from, in one line, for logs; without a cause that the text before it has said.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn a_cause_is_told_once() {
        let last = Told("refused", None);
        let told = Told("connecting", Some(Box::new(Told("it failed: refused", Some(Box::new(last))))));
        assert_eq!(chain(&told), "connecting: it failed: refused");
    }

    #[test]
    fn a_name_can_be_seen() {
        let mistakes = |text: &str| {
            let mut checks = Checks::default();
            checks.name(text, 10, "/name");
            checks.done().err().map(|errors| errors.into_iter().map(|error| error.detail).collect::<Vec<_>>())
        };
        assert_eq!(mistakes(" why "), None);
        for text in [" ", "  \u{a0}\u{2003}", "\u{200b}"] {
            assert_eq!(mistakes(text).unwrap(), ["must have a character that can be seen"], "{text:?}");
        }
        assert_eq!(mistakes("").unwrap(), ["must have 1 to 10 characters"]);
        assert_eq!(mistakes("\n").unwrap(), ["must not have control characters"]);
    }

    #[test]
    fn mistakes_are_told_in_words_and_not_all_of_many() {
        let one = |pointer: &str| FieldError::new(pointer, "must be so");
        assert_eq!(mistakes(&[one("/seats/limit")]), "seats limit: must be so");
        assert_eq!(mistakes(&[one(""), one("/given_name")]), "must be so; given name: must be so");
        let many: Vec<FieldError> = (0..5).map(|n| one(&format!("/users/{n}"))).collect();
        let told = "users 0: must be so; users 1: must be so; users 2: must be so; and 2 more";
        assert_eq!(mistakes(&many), told);
    }
}
