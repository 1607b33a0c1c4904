//! Sets of UIDs.

use std::ops::RangeInclusive;

/// UIDs of one folder: ascending ranges that neither touch nor overlap. Its size goes with the ranges, not with the UIDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidSet(Vec<RangeInclusive<u64>>);

impl UidSet {
    /// The ranges, ascending.
    pub fn ranges(&self) -> &[RangeInclusive<u64>] {
        &self.0
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a UID is in it.
    pub fn contains(&self, uid: u64) -> bool {
        let after = self.0.partition_point(|range| *range.end() < uid);
        self.0.get(after).is_some_and(|range| range.contains(&uid))
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Those of them that are in another set too.
    pub fn within(&self, other: &Self) -> Self {
        let (mut common, mut others) = (Vec::new(), other.0.as_slice());
        for range in &self.0 {
            others = &others[others.partition_point(|other| other.end() < range.start())..];
            let meet = others.iter().take_while(|other| other.start() <= range.end());
            common
                .extend(meet.map(|other| *other.start().max(range.start())..=*other.end().min(range.end())));
        }
        Self(common)
    }

    /// Those of them that are not in another set.
    pub fn without(&self, other: &Self) -> Self {
        let (mut left, mut others) = (Vec::new(), other.0.as_slice());
        for range in &self.0 {
            others = &others[others.partition_point(|other| other.end() < range.start())..];
            let mut from = *range.start();
            for other in others.iter().take_while(|other| other.start() <= range.end()) {
                if from < *other.start() {
                    left.push(from..=other.start() - 1);
                }
                from = other.end().saturating_add(1);
            }
            if from <= *range.end() {
                left.push(from..=*range.end());
            }
        }
        Self(left)
    }

    /// As a column holds them: the first and the last of each range.
    pub(crate) fn to_column(&self) -> Vec<i64> {
        self.0.iter().flat_map(|range| [*range.start(), *range.end()]).map(crate::to_column).collect()
    }

    pub(crate) fn from_column(pairs: &[i64]) -> Self {
        let (pairs, _) = pairs.as_chunks::<2>();
        Self(
            pairs
                .iter()
                .map(|[first, last]| crate::from_column(*first)..=crate::from_column(*last))
                .collect(),
        )
    }
}

impl FromIterator<u64> for UidSet {
    fn from_iter<I: IntoIterator<Item = u64>>(uids: I) -> Self {
        let mut uids: Vec<u64> = uids.into_iter().collect();
        uids.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for uid in uids {
            match ranges.last_mut() {
                Some(last) if uid <= last.end().saturating_add(1) => *last = *last.start()..=uid,
                _ => ranges.push(uid..=uid),
            }
        }
        Self(ranges)
    }
}

impl FromIterator<RangeInclusive<u64>> for UidSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_was_put_in_and_comes_back_from_its_column(uids in prop::collection::vec(1_u64..60, 0..40)) {
            let set: UidSet = uids.iter().copied().collect();
            let expected: BTreeSet<u64> = uids.into_iter().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert!((0..62).all(|uid| set.contains(uid) == expected.contains(&uid)));
            prop_assert!(set.ranges().windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
            prop_assert_eq!(UidSet::from_column(&set.to_column()), set);
        }

        #[test]
        fn is_met_with_another(
            one in prop::collection::vec((1_u64..60, 0_u64..9), 0..12),
            other in prop::collection::vec((1_u64..60, 0_u64..9), 0..12),
        ) {
            let set = |ranges: Vec<(u64, u64)>| {
                ranges.into_iter().map(|(first, more)| first..=first + more).collect::<UidSet>()
            };
            let (one, other) = (set(one), set(other));
            let (both, left) = (one.within(&other), one.without(&other));
            for uid in 0..80 {
                prop_assert_eq!(both.contains(uid), one.contains(uid) && other.contains(uid));
                prop_assert_eq!(left.contains(uid), one.contains(uid) && !other.contains(uid));
            }
            prop_assert_eq!(both.iter().chain(left.iter()).collect::<UidSet>(), one);
            for set in [both, left] {
                prop_assert!(set.ranges().windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
            }
        }
    }
}
