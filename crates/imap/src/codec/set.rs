//! Sets of message numbers or UIDs (RFC 9051, `sequence-set`).

use std::ops::RangeInclusive;

/// The end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A number from 1 to 2³² − 1.
    Number(u32),
    /// `*`: the highest that there is.
    Last,
}

/// Message numbers or UIDs, as a client names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceSet {
    /// Ranges in the order in which they came, one at least; either end may be the higher.
    Ranges(Vec<(Bound, Bound)>),
    /// `$`: what the last search kept (RFC 5182).
    Saved,
}

impl SequenceSet {
    /// The ranges in ascending order, none touching another, where `last` is the highest number there is. A range with `*` has `last` in
    /// it whatever its other end (RFC 9051 §9, `seq-range`). Empty for [`Self::Saved`].
    pub fn ranges(&self, last: u32) -> Vec<RangeInclusive<u32>> {
        let Self::Ranges(ranges) = self else { return Vec::new() };
        let number = |bound: Bound| match bound {
            Bound::Number(number) => number,
            Bound::Last => last,
        };
        let mut ranges: Vec<RangeInclusive<u32>> = ranges
            .iter()
            .map(|&(one, other)| (number(one), number(other)))
            .map(|(one, other)| one.min(other)..=one.max(other))
            .collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u32>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(before) if *range.start() <= before.end().saturating_add(1) => {
                    *before = *before.start()..=*before.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}
