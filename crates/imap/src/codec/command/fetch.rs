//! FETCH (RFC 9051 §6.4.5).

use std::num::NonZeroU32;

use crate::codec::set::SequenceSet;

/// FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whether the set is of UIDs.
    pub by_uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What of them; `ALL`, `FAST` and `FULL` are read as what they stand for.
    pub items: Vec<FetchItem>,
    /// Only those changed since (RFC 7162).
    pub changed_since: Option<u64>,
    /// And which are gone (RFC 7162 §3.2.6).
    pub vanished: bool,
}

/// What FETCH tells of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// `UID`.
    Uid,
    /// `FLAGS`.
    Flags,
    /// `INTERNALDATE`.
    InternalDate,
    /// `RFC822.SIZE`.
    Size,
    /// `ENVELOPE`.
    Envelope,
    /// `BODY` without a section.
    Body,
    /// `BODYSTRUCTURE`.
    BodyStructure,
    /// `MODSEQ` (RFC 7162).
    ModSeq,
    /// `EMAILID` (RFC 8474).
    EmailId,
    /// `THREADID` (RFC 8474).
    ThreadId,
    /// `PREVIEW` (RFC 8970).
    Preview {
        /// `(LAZY)`: whether nobody is to wait for one.
        is_lazy: bool,
    },
    /// `BODY[…]`, `BODY.PEEK[…]`.
    Section {
        /// Whether reading marks as seen.
        is_peek: bool,
        /// Which section.
        section: Section,
        /// Where it begins and how many bytes there are of it.
        partial: Option<(u64, u64)>,
    },
    /// `BINARY[…]`, `BINARY.PEEK[…]`: out of its transfer encoding (RFC 3516 §4.2, RFC 9051 §6.4.5).
    Binary {
        /// Whether reading marks as seen.
        is_peek: bool,
        /// The numbers that lead to a part; none for the message itself.
        part: Vec<NonZeroU32>,
        /// Where it begins and how many bytes there are of it, when it is decoded.
        partial: Option<(u64, u64)>,
    },
    /// `BINARY.SIZE[…]`: how long a part is when it is decoded (RFC 3516 §4.2, RFC 9051 §6.4.5).
    BinarySize(Vec<NonZeroU32>),
    /// `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`: named differently, and else `BODY[]`, `BODY.PEEK[HEADER]`, `BODY[TEXT]`.
    Rfc822(Rfc822),
}

/// The old names of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rfc822 {
    /// `RFC822`.
    All,
    /// `RFC822.HEADER`.
    Header,
    /// `RFC822.TEXT`.
    Text,
}

/// A section of a message (RFC 9051 §6.4.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The numbers that lead to a part; none for the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of it.
    pub what: SectionText,
}

/// What of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// All of it.
    All,
    /// `HEADER`.
    Header,
    /// `HEADER.FIELDS`: names as they were written.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT`.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`.
    Text,
    /// `MIME`; only of a part.
    Mime,
}
