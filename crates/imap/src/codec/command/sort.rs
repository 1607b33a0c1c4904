//! SORT and THREAD (RFC 5256).

use super::{SearchGive, SearchKey};

/// SORT (RFC 5256 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Whether UIDs are wanted.
    pub by_uid: bool,
    /// RFC 5267 §3; `None` for the SORT of RFC 5256. Empty stands for ALL, and is read as such.
    pub give: Option<SearchGive>,
    /// One at least: where messages are equal by one, the next one decides.
    pub criteria: Vec<SortCriterion>,
    /// In upper case.
    pub charset: String,
    /// What is searched for.
    pub key: SearchKey,
}

/// By what messages are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// Whether it is `REVERSE`.
    pub is_reverse: bool,
    /// By what.
    pub key: SortKey,
}

/// What of a message it is sorted by (RFC 5256 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// `ARRIVAL`: when it was received.
    Arrival,
    /// `CC`: the mailbox of the first address.
    Cc,
    /// `DATE`: when it was sent.
    Date,
    /// `FROM`: the mailbox of the first address.
    From,
    /// `SIZE`.
    Size,
    /// `SUBJECT`: the base subject (RFC 5256 §2.1).
    Subject,
    /// `TO`: the mailbox of the first address.
    To,
    /// `DISPLAYFROM`: the name of the first address (RFC 5957 §4).
    DisplayFrom,
    /// `DISPLAYTO`: the name of the first address (RFC 5957 §4).
    DisplayTo,
}

/// THREAD (RFC 5256 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Whether UIDs are wanted.
    pub by_uid: bool,
    /// How threads are made.
    pub algorithm: ThreadAlgorithm,
    /// In upper case.
    pub charset: String,
    /// What is searched for.
    pub key: SearchKey,
}

/// How threads are made (RFC 5256 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`: of messages with the same base subject.
    OrderedSubject,
    /// `REFERENCES`: by what messages say that they are answers to.
    References,
}
