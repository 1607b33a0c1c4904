//! Rights to folders (RFC 4314).

use std::collections::BTreeSet;

/// What SETACL makes of somebody's rights (RFC 4314 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    how: RightsHow,
    letters: BTreeSet<char>,
}

impl Rights {
    /// Rights, each by its letter or digit; there may be none. Whether there is such a right, and what the obsolete ones stand for
    /// (RFC 4314 §2.1.1), is not decided here. `None` if there is anything among them that is no right anywhere: they are lower-case
    /// ASCII letters and digits (RFC 4314 §2).
    pub fn new(how: RightsHow, letters: &str) -> Option<Self> {
        let is_right = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        letters.chars().all(is_right).then(|| Self { how, letters: letters.chars().collect() })
    }

    /// What is done with them.
    pub fn how(&self) -> RightsHow {
        self.how
    }

    /// Each of them once, in the order of ASCII.
    pub fn letters(&self) -> impl Iterator<Item = char> {
        self.letters.iter().copied()
    }
}

/// What is done with rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightsHow {
    /// They are all that there are from now on.
    Replace,
    /// `+`.
    Add,
    /// `-`.
    Remove,
}
