//! What a submission server does to the header of a message that an authenticated user sends (RFC 6409 §8).
//!
//! Pure, and on raw fields: the body is never touched, and a field that nothing is to be done to stays as it is,
//! byte for byte, in its place.

mod author;
mod field;
mod mend;
mod scan;

use crate::header::field::{Field, Kind};

pub use crate::header::author::Author;
pub use crate::header::mend::{Mends, SenderMend};

/// How many hosts a message may have come through; Postfix's `hopcount_limit` is the same.
const HOP_LIMIT: usize = 50;

/// Why a message is refused. The texts are for the reply to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line of the header is neither `name: value` nor the continuation of one.
    #[error("a line of the header is not a header field")]
    Line,
    /// It begins with the `From ` line that parts messages in an mbox file.
    #[error("the message begins with the From line of an mbox file")]
    Mbox,
    /// The header is longer than 250 KiB.
    #[error("the header is too long")]
    TooLong,
    /// There is no From field.
    #[error("the message has no From field")]
    NoFrom,
    /// There is more than one (RFC 5322 §3.6), and readers do not agree on which to show.
    #[error("the message has more than one From field")]
    SeveralFrom,
    /// The From field names nobody, or cannot be read in one way only.
    #[error("the From field is not a plain list of addresses")]
    From,
    /// There is more than one Sender field.
    #[error("the message has more than one Sender field")]
    SeveralSender,
    /// More than 50 Received fields.
    #[error("too many Received fields: the message is in a loop")]
    Loop,
}

/// A message whose header has been read and can be sent.
#[derive(Debug)]
pub struct Header<'a> {
    fields: Vec<Field<'a>>,
    /// The empty line and the body; empty where the message is a header only.
    rest: &'a [u8],
    authors: Vec<Author>,
    sender: Option<Author>,
}

impl<'a> Header<'a> {
    /// Reads the header of `message`, in which a line ends with CRLF.
    ///
    /// What RFC 5322 §3.6 wants once and is there more often is refused only in From and Sender, which say who
    /// wrote. A second Date or Message-ID is for [`Self::mended`]; all others stay, though Gmail refuses some.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let (fields, rest) = field::split(message)?;
        let of = |kind: Kind| fields.iter().filter(move |field| field.kind() == kind);
        if of(Kind::Received).count() > HOP_LIMIT {
            return Err(Malformed::Loop);
        }
        let mut from = of(Kind::From);
        let (first, second) = (from.next().ok_or(Malformed::NoFrom)?, from.next());
        if second.is_some() {
            return Err(Malformed::SeveralFrom);
        }
        let authors = author::authors(first).ok_or(Malformed::From)?;
        let mut senders = of(Kind::Sender);
        let (sender, second) = (senders.next(), senders.next());
        if second.is_some() {
            return Err(Malformed::SeveralSender);
        }
        let sender = match sender.and_then(author::authors).as_deref() {
            Some([only]) => Some(only.clone()),
            _ => None,
        };
        Ok(Self { fields, rest, authors, sender })
    }

    /// Whom From names: one or more, those of groups (RFC 6854) among them.
    pub fn authors(&self) -> &[Author] {
        &self.authors
    }

    /// Whom Sender names, if there is one that can be read as From has to be.
    pub fn sender(&self) -> Option<&Author> {
        self.sender.as_ref()
    }
}

#[cfg(test)]
mod tests;
