//! Sets of numbers, and flags: what names messages and marks them.

use super::token::{Cursor, Fail, Result};
use crate::codec::command::FlagName;
use crate::codec::set::{Bound, SequenceSet};

/// What is expected where a set stands.
pub(super) const SET: &str = "a set of message numbers or UIDs";

/// A set as long as a command can be has some 32,000 ranges; clients that have so many split them.
const MAX_RANGES: usize = 10_000;

const FLAG: &str = "a flag";

impl Cursor {
    /// `sequence-set`, with `$` (RFC 5182).
    pub(super) fn set(&mut self) -> Result<SequenceSet> {
        if self.eat(b'$') {
            return Ok(SequenceSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let one = self.bound()?;
            let other = if self.eat(b':') { self.bound()? } else { one };
            if ranges.len() >= MAX_RANGES {
                return Err(Fail::TooMany("ranges in a set"));
            }
            ranges.push((one, other));
            if !self.eat(b',') {
                return Ok(SequenceSet::Ranges(ranges));
            }
        }
    }

    /// A set without `*` and `$`, as RFC 7162 §3.2.5 wants what a client says that it knows.
    pub(super) fn known_set(&mut self) -> Result<SequenceSet> {
        const WHAT: &str = "a set of numbers without * or $";
        let set = self.set()?;
        let is_known = match &set {
            SequenceSet::Saved => false,
            SequenceSet::Ranges(ranges) => {
                !ranges.iter().any(|(one, other)| [one, other].contains(&&Bound::Last))
            }
        };
        if is_known { Ok(set) } else { Err(Fail::Expected(WHAT)) }
    }

    fn bound(&mut self) -> Result<Bound> {
        if self.eat(b'*') { Ok(Bound::Last) } else { Ok(Bound::Number(self.nz_number(SET)?.get())) }
    }

    /// `flag`, or any other that begins with a backslash.
    pub(super) fn flag(&mut self) -> Result<FlagName> {
        if self.eat(b'\\') {
            return Ok(FlagName::System(self.atom(FLAG)?.to_ascii_uppercase()));
        }
        self.atom(FLAG).map(FlagName::Keyword)
    }

    /// `flag-list`.
    pub(super) fn flag_list(&mut self) -> Result<Vec<FlagName>> {
        self.list("a list of flags", Self::flag)
    }
}
