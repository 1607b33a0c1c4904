//! Flags and keywords of a message.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use kernel::{FieldError, named};

/// How many keywords a message has at most.
pub const MAX_KEYWORDS: usize = 100;

/// How many characters a keyword has at most.
pub const MAX_KEYWORD_CHARS: usize = 100;

named! {
    /// A flag that RFC 9051 §2.3.2 gives a meaning, by its name in the REST API; tables have its bit.
    Flag {
        /// It was read.
        Seen = "seen",
        /// It was answered.
        Answered = "answered",
        /// Somebody wants to come back to it.
        Flagged = "flagged",
        /// It goes when the folder is expunged.
        Deleted = "deleted",
        /// It is not finished.
        Draft = "draft",
    }
}

impl Flag {
    const fn bit(self) -> i16 {
        match self {
            Self::Seen => 1,
            Self::Answered => 2,
            Self::Flagged => 4,
            Self::Deleted => 8,
            Self::Draft => 16,
        }
    }

    pub(crate) fn to_column(flags: impl IntoIterator<Item = Self>) -> i16 {
        flags.into_iter().fold(0, |bits, flag| bits | flag.bit())
    }

    pub(crate) fn from_column(bits: i16) -> BTreeSet<Self> {
        Self::ALL.iter().copied().filter(|flag| bits & flag.bit() != 0).collect()
    }
}

/// A flag that clients gave a meaning (RFC 9051 §2.3.2), as `$Forwarded`: 1 to 100 characters of an atom. As it was written first; equal
/// however it is written.
#[derive(Debug, Clone)]
pub struct Keyword(String);

impl Keyword {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_column(text: String) -> Self {
        Self(text)
    }

    fn folded(&self) -> impl Iterator<Item = char> + '_ {
        self.0.chars().map(|char| char.to_ascii_lowercase())
    }
}

impl std::str::FromStr for Keyword {
    type Err = FieldError;

    /// RFC 9051 §9, `flag-keyword`.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let is_atom = |char: char| char.is_ascii_graphic() && !"(){%*\"\\]".contains(char);
        if text.is_empty() || text.len() > MAX_KEYWORD_CHARS || !text.chars().all(is_atom) {
            let detail =
                format!("must have 1 to {MAX_KEYWORD_CHARS} visible ASCII characters, none of (){{%*\"\\]");
            return Err(FieldError::new("", detail));
        }
        Ok(Self(text.to_owned()))
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

/// The flags and keywords of a message, or those that a command is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// Those that have a meaning to everybody.
    pub flags: BTreeSet<Flag>,
    /// The others.
    pub keywords: BTreeSet<Keyword>,
}

impl Flags {
    pub(crate) fn from_columns(bits: i16, words: Vec<String>) -> Self {
        Self {
            flags: Flag::from_column(bits),
            keywords: words.into_iter().map(Keyword::from_column).collect(),
        }
    }
}

/// What is to become of flags: first some or all are taken away, then some are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagChange {
    /// All flags go.
    pub clears_flags: bool,
    /// All keywords go.
    pub clears_keywords: bool,
    /// These go.
    pub remove: Flags,
    /// These are set.
    pub add: Flags,
}

impl FlagChange {
    /// These are set, the others stay.
    pub fn adding(add: Flags) -> Self {
        Self { add, ..Self::default() }
    }

    /// These go, the others stay.
    pub fn removing(remove: Flags) -> Self {
        Self { remove, ..Self::default() }
    }

    /// These are set and no others.
    pub fn replacing(add: Flags) -> Self {
        Self { clears_flags: true, clears_keywords: true, add, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_atoms_and_equal_however_they_are_written() {
        let keyword = |text: &str| text.parse::<Keyword>();
        assert_eq!(keyword("$Forwarded").unwrap(), keyword("$forwarded").unwrap());
        assert_eq!(keyword("$Forwarded").unwrap().as_str(), "$Forwarded");
        assert!(keyword("a").unwrap() < keyword("B").unwrap());
        let refused = ["", " ", "a b", "a\r\nb", "(a", "a]", "\\Seen", "a%", "ä", "\"a\"", &"x".repeat(101)];
        assert!(refused.iter().all(|text| keyword(text).is_err()));
    }

    #[test]
    fn flags_come_back_from_their_column() {
        for bits in 0..32 {
            assert_eq!(Flag::to_column(Flag::from_column(bits)), bits);
        }
        assert_eq!(Flag::to_column([Flag::Seen, Flag::Draft]), 17);
    }
}
