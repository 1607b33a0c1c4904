//! SEARCH (RFC 9051 §6.4.4).

use bytes::Bytes;
use chrono::NaiveDate;

use super::FlagName;
use crate::codec::set::SequenceSet;

/// SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Whether UIDs are wanted.
    pub by_uid: bool,
    /// RFC 4731; `None` for the SEARCH of RFC 3501. Empty stands for ALL, and is read as such.
    pub give: Option<SearchGive>,
    /// In upper case.
    pub charset: Option<String>,
    /// What is searched for.
    pub key: SearchKey,
}

/// What an ESEARCH answer tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchGive {
    /// The lowest.
    pub min: bool,
    /// The highest.
    pub max: bool,
    /// All.
    pub all: bool,
    /// How many.
    pub count: bool,
    /// Kept for `$` (RFC 5182).
    pub save: bool,
}

/// A text that is searched for, as it came.
pub type Text = Bytes;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// All of them; of none: every message.
    And(Vec<SearchKey>),
    /// One of both.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not it.
    Not(Box<SearchKey>),
    /// Every message.
    All,
    /// By message number.
    Set(SequenceSet),
    /// By UID.
    Uid(SequenceSet),
    /// With a flag; `ANSWERED`, `DELETED`, `DRAFT`, `FLAGGED`, `SEEN` and, with `NOT` about it, `UN…`, as [`FlagName::System`].
    Flag(FlagName),
    /// `RECENT`; `NEW` is read as `RECENT UNSEEN`, `OLD` as `NOT RECENT`.
    Recent,
    /// `BEFORE`.
    Before(NaiveDate),
    /// `ON`.
    On(NaiveDate),
    /// `SINCE`.
    Since(NaiveDate),
    /// `SENTBEFORE`.
    SentBefore(NaiveDate),
    /// `SENTON`.
    SentOn(NaiveDate),
    /// `SENTSINCE`.
    SentSince(NaiveDate),
    /// A text in a header field. `BCC`, `CC`, `FROM`, `SUBJECT` and `TO` are read as this.
    Header(String, Text),
    /// In the body.
    Body(Text),
    /// Anywhere.
    Text(Text),
    /// More bytes than this.
    Larger(u64),
    /// Fewer.
    Smaller(u64),
    /// Received at least so many seconds ago (RFC 5032).
    Older(u64),
    /// Received at most so many seconds ago (RFC 5032).
    Younger(u64),
    /// RFC 7162.
    ModSeq(u64),
    /// RFC 8474.
    EmailId(String),
    /// RFC 8474; there are no threads here, and no message is in one.
    ThreadId(String),
}
