//! What is searched for, and whether a message is it.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};
use kernel::FieldError;
use unicode_normalization::char::is_combining_mark;

use crate::message::{Flag, Flags, Keyword};
use crate::parsed::text::{Texts, fold};

/// How many characters what REST searches for has at most.
pub const MAX_QUERY_CHARS: usize = 256;
/// How many words.
pub const MAX_QUERY_WORDS: usize = 16;

/// A text to look for: folded as messages' texts are (Unicode's compatibility decomposition, without regard to case, white space as one
/// space). The empty one is in every text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle(String);

impl Needle {
    /// As somebody wrote it.
    pub fn new(text: &str) -> Self {
        Self(fold(text))
    }

    /// As it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A day that a date is before, on, or not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// Before it.
    Before(NaiveDate),
    /// On it.
    On(NaiveDate),
    /// On it or later.
    Since(NaiveDate),
}

impl Day {
    fn has(self, date: NaiveDate) -> bool {
        match self {
            Self::Before(day) => date < day,
            Self::On(day) => date == day,
            Self::Since(day) => date >= day,
        }
    }
}

/// What is searched for: the keys of RFC 9051 §6.4.4 that are not made of others, and the words that REST asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All of them; of none: every message.
    And(Vec<Query>),
    /// One of them at least; of none: no message.
    Or(Vec<Query>),
    /// Not it.
    Not(Box<Query>),
    /// There is a header field of the name, and the text is in it, its encoded words decoded.
    Field {
        /// The whole name.
        name: Needle,
        /// The text.
        says: Needle,
    },
    /// The text is in a part that is shown as text, or in a part's name.
    Body(Needle),
    /// The text is in the header, or as of [`Query::Body`].
    Text(Needle),
    /// A whole word is in the subject, in a sender or recipient, or as of [`Query::Body`].
    Word(Needle),
    /// It has the flag.
    Flag(Flag),
    /// It has the keyword.
    Keyword(Keyword),
    /// When it was received, as a day in UTC.
    Received(Day),
    /// The day in its `Date` field as it is written there. A message without one was sent on no day.
    Sent(Day),
    /// It has more bytes in its CRLF form.
    Larger(u64),
    /// It has fewer bytes in its CRLF form.
    Smaller(u64),
    /// It was received at that moment or before (RFC 5032).
    Until(DateTime<Utc>),
    /// It was received at that moment or later (RFC 5032).
    From(DateTime<Utc>),
    /// Its UID is in one of the ranges, which are ascending and do not overlap.
    Uids(Vec<RangeInclusive<u64>>),
    /// Its modification sequence is this or higher (RFC 7162 §3.1.5).
    ModSeq(u64),
}

impl Query {
    /// `FROM`, `TO`, `CC`, `BCC`, `SUBJECT` and `HEADER` of IMAP: a text in a field.
    pub fn field(name: &str, says: &str) -> Self {
        Self::Field { name: Needle::new(name), says: Needle::new(says) }
    }

    /// What REST's `q` asks for: every word of it.
    ///
    /// # Errors
    /// More than [`MAX_QUERY_CHARS`] or [`MAX_QUERY_WORDS`], or not one word.
    pub fn words(text: &str) -> Result<Self, FieldError> {
        if text.chars().count() > MAX_QUERY_CHARS {
            return Err(FieldError::new("/q", format!("must have at most {MAX_QUERY_CHARS} characters")));
        }
        let folded = fold(text);
        let words: Vec<Query> = folded
            .split(|char| !is_of_a_word(char))
            .filter(|word| !word.is_empty())
            .map(|word| Self::Word(Needle(word.to_owned())))
            .collect();
        if words.is_empty() || words.len() > MAX_QUERY_WORDS {
            return Err(FieldError::new("/q", format!("must have 1 to {MAX_QUERY_WORDS} words")));
        }
        Ok(Self::And(words))
    }

    /// Whether more than a message's header is looked at.
    pub(super) fn reads_body(&self) -> bool {
        match self {
            Self::And(some) | Self::Or(some) => some.iter().any(Self::reads_body),
            Self::Not(query) => query.reads_body(),
            Self::Body(_) | Self::Text(_) | Self::Word(_) => true,
            _ => false,
        }
    }

    /// Whether a message is it; `None` when that takes its texts, or more of them.
    pub(super) fn is(&self, facts: &Facts, texts: Option<&Texts>) -> Option<bool> {
        let says = |found: &dyn Fn(&Texts) -> bool| {
            let texts = texts?;
            if found(texts) { Some(true) } else { texts.is_whole.then_some(false) }
        };
        match self {
            Self::And(all) => each(all, facts, texts, false),
            Self::Or(any) => each(any, facts, texts, true),
            Self::Not(query) => query.is(facts, texts).map(|is| !is),
            Self::Field { name, says: text } => {
                says(&|texts| texts.fields(&name.0).any(|field| field.contains(&text.0)))
            }
            Self::Body(text) => says(&|texts| parts(texts).any(|part| part.contains(&text.0))),
            Self::Text(text) => {
                says(&|texts| texts.header.lines().chain(parts(texts)).any(|part| part.contains(&text.0)))
            }
            Self::Word(word) => says(&|texts| {
                let named =
                    ["subject", "from", "to", "cc", "bcc"].into_iter().flat_map(|name| texts.fields(name));
                named.chain(parts(texts)).any(|part| has_word(part, &word.0))
            }),
            Self::Sent(day) => texts.map(|texts| texts.sent_on.is_some_and(|date| day.has(date))),
            Self::Flag(flag) => Some(facts.flags.flags.contains(flag)),
            Self::Keyword(keyword) => Some(facts.flags.keywords.contains(keyword)),
            Self::Received(day) => Some(day.has(facts.internal_date.date_naive())),
            Self::Larger(bytes) => Some(facts.wire_size_bytes > *bytes),
            Self::Smaller(bytes) => Some(facts.wire_size_bytes < *bytes),
            Self::Until(moment) => Some(facts.internal_date <= *moment),
            Self::From(moment) => Some(facts.internal_date >= *moment),
            Self::Uids(ranges) => {
                let after = ranges.partition_point(|range| *range.end() < facts.uid);
                Some(ranges.get(after).is_some_and(|range| range.contains(&facts.uid)))
            }
            Self::ModSeq(modseq) => Some(facts.modseq >= *modseq),
        }
    }
}

/// Whether one of some is `wanted` (then so is the whole), or none.
fn each(some: &[Query], facts: &Facts, texts: Option<&Texts>, wanted: bool) -> Option<bool> {
    let mut is = Some(!wanted);
    for query in some {
        match query.is(facts, texts) {
            Some(found) if found == wanted => return Some(wanted),
            Some(_) => {}
            None => is = None,
        }
    }
    is
}

/// What of a message is shown as text, a part a line, and the names of its parts. The empty text is in a message without either.
fn parts(texts: &Texts) -> impl Iterator<Item = &str> {
    texts.body.lines().chain(texts.attachment_names.lines()).chain(std::iter::once(""))
}

fn is_of_a_word(char: char) -> bool {
    char.is_alphanumeric() || is_combining_mark(char)
}

/// Whether a character may stand next to another of a word of its own: scripts that are written without spaces.
fn is_unspaced(char: char) -> bool {
    matches!(char, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3fffd}')
}

/// Whether a text has a word, with no other character of the same word beside it.
fn has_word(text: &str, word: &str) -> bool {
    let joins = |inner: Option<char>, outer: Option<char>| {
        let both = inner.zip(outer);
        both.is_some_and(|(inner, outer)| is_of_a_word(outer) && !(is_unspaced(inner) || is_unspaced(outer)))
    };
    let (first, last) = (word.chars().next(), word.chars().next_back());
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !joins(first, before) && !joins(last, after)
    })
}

/// What a search knows of a message without its texts.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) uid: u64,
    pub(super) modseq: u64,
    pub(super) wire_size_bytes: u64,
    pub(super) internal_date: DateTime<Utc>,
    pub(super) flags: Flags,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        let has = |text: &str, word: &str| has_word(&fold(text), &fold(word));
        assert!(has("Grüße, Ada", "grüße") && has("ada@bakery.example", "bakery") && has("(a)", "A"));
        assert!(!has("adapter", "ada") && !has("Canada", "ada") && !has("café", "cafe"));
        assert!(has("Canada, ada", "ada"));
        assert!(has("東京タワー", "京タ") && has("東京tower", "tower"));
    }

    #[test]
    fn a_query_has_words_and_not_too_many() {
        let words = |text: &str| match Query::words(text) {
            Ok(Query::And(words)) => words.len(),
            _ => 0,
        };
        assert_eq!(words("two bags"), 2);
        assert_eq!(words("ada@bakery.example résumé"), 4);
        assert_eq!(words(&"a ".repeat(MAX_QUERY_WORDS)), MAX_QUERY_WORDS);
        for text in ["", " .,!", &"a ".repeat(MAX_QUERY_WORDS + 1), &"a".repeat(MAX_QUERY_CHARS + 1)] {
            assert!(Query::words(text).is_err(), "{text}");
        }
    }
}
