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

/// What a message is refused for if it has it twice.
const ONCE: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

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
    /// There is more than one of a field that a message has once: readers do not agree on which to show, and large receivers refuse it.
    #[error("the message has more than one {0} field")]
    Several(&'static str),
    /// The From field names nobody, or cannot be read in one way only.
    #[error("the From field is not a plain list of addresses, or a name in it is an address as well")]
    From,
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
    /// What a message has once (RFC 5322 §3.6, RFC 2045 §3) and is there more often is refused, as Gmail refuses it; so a signature over all of
    /// them is bounded too. A second Date, Message-ID or Bcc is for [`Self::mended`].
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let (fields, rest) = field::split(message)?;
        let of = |kind: Kind| fields.iter().filter(move |field| field.kind() == kind);
        if of(Kind::Received).count() > HOP_LIMIT {
            return Err(Malformed::Loop);
        }
        for name in ONCE {
            if fields.iter().filter(|field| field.is_named(name)).nth(1).is_some() {
                return Err(Malformed::Several(name));
            }
        }
        let from = of(Kind::From).next().ok_or(Malformed::NoFrom)?;
        let authors = author::authors(from).ok_or(Malformed::From)?;
        let sender = of(Kind::Sender).next();
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
