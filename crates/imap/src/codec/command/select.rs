//! The parameters of SELECT and EXAMINE (RFC 7162).

use std::num::NonZeroU32;

use crate::codec::set::SequenceSet;

/// The parameters of SELECT and EXAMINE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectParameters {
    /// RFC 7162 §3.1.8.
    pub condstore: bool,
    /// RFC 7162 §3.2.5.
    pub qresync: Option<Resync>,
}

/// What a client knows of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The UIDVALIDITY that it knows.
    pub uid_validity: NonZeroU32,
    /// The modification sequence that it has come to.
    pub modseq: u64,
    /// The UIDs that it knows; `None`: all.
    pub known_uids: Option<SequenceSet>,
    /// Message numbers and UIDs that it takes to be each other's.
    pub known_pairs: Option<(SequenceSet, SequenceSet)>,
}
