//! STORE (RFC 9051 §6.4.6).

use super::FlagName;
use crate::codec::set::SequenceSet;

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Whether the set is of UIDs.
    pub by_uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Only those not changed since (RFC 7162).
    pub unchanged_since: Option<u64>,
    /// What is done with the flags.
    pub how: StoreHow,
    /// Whether the new flags are not to be told.
    pub is_silent: bool,
    /// The flags.
    pub flags: Vec<FlagName>,
}

/// What is done with flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreHow {
    /// `FLAGS`.
    Replace,
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
}
