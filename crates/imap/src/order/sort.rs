//! The order of mails by what a client names (RFC 5256 §3, RFC 5957).

use std::cmp::Ordering;

use crate::codec::command::SortKey;

/// A mail as it is sorted. Texts are keys as [`key`](super::collate::key) makes them, empty if the mail has none; of those that no
/// criterion names it does not matter what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sortable {
    /// The sequence number, or the UID: what the answer consists of, and what decides when nothing else does.
    pub(crate) number: u32,
    /// When it came in, in seconds since 1970.
    pub(crate) internal_date: i64,
    /// When it was sent, in seconds since 1970; if it does not say, when it came in (RFC 5256 §2.2).
    pub(crate) sent_at: i64,
    /// How many bytes it has.
    pub(crate) size_bytes: u64,
    /// The base subject.
    pub(crate) subject: String,
    /// The mailbox, which is what is before the `@`, of the first address of From.
    pub(crate) from: String,
    /// The same of To.
    pub(crate) to: String,
    /// The same of Cc.
    pub(crate) cc: String,
    /// What is shown of the first address of From, as a client shows it.
    pub(crate) display_from: String,
    /// The same of To.
    pub(crate) display_to: String,
}

/// Sorts by the first criterion, what is equal by the second, and so on. What is equal by all is in the order of its
/// numbers, also if the criteria, where `true` says so, are reversed.
pub(crate) fn sort(criteria: &[(bool, SortKey)], items: &mut [Sortable]) {
    items.sort_unstable_by(|one, other| {
        let by = |&(is_reverse, key): &(bool, SortKey)| {
            let order = compare(key, one, other);
            if is_reverse { order.reverse() } else { order }
        };
        let order = criteria.iter().map(by).find(|order| order.is_ne());
        order.unwrap_or_else(|| one.number.cmp(&other.number))
    });
}

fn compare(key: SortKey, one: &Sortable, other: &Sortable) -> Ordering {
    match key {
        SortKey::Arrival => one.internal_date.cmp(&other.internal_date),
        SortKey::Cc => one.cc.cmp(&other.cc),
        SortKey::Date => one.sent_at.cmp(&other.sent_at),
        SortKey::From => one.from.cmp(&other.from),
        SortKey::Size => one.size_bytes.cmp(&other.size_bytes),
        SortKey::Subject => one.subject.cmp(&other.subject),
        SortKey::To => one.to.cmp(&other.to),
        SortKey::DisplayFrom => one.display_from.cmp(&other.display_from),
        SortKey::DisplayTo => one.display_to.cmp(&other.display_to),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::order::collate;

    fn sorted(criteria: &[(bool, SortKey)], mut items: Vec<Sortable>) -> Vec<u32> {
        sort(criteria, &mut items);
        items.into_iter().map(|item| item.number).collect()
    }

    /// Each with its place as number.
    fn items<T>(values: &[T], make: impl Fn(&T) -> Sortable) -> Vec<Sortable> {
        (1..).zip(values).map(|(number, value)| Sortable { number, ..make(value) }).collect()
    }

    #[test]
    fn each_criterion_compares_its_own() {
        let default = Sortable::default;
        let text = |text: &str| text.to_owned();
        let cases: [(SortKey, Sortable); 9] = [
            (SortKey::Arrival, Sortable { internal_date: -1, ..default() }),
            (SortKey::Date, Sortable { sent_at: -1, ..default() }),
            (SortKey::Size, Sortable { size_bytes: 1, ..default() }),
            (SortKey::Cc, Sortable { cc: text("A"), ..default() }),
            (SortKey::From, Sortable { from: text("A"), ..default() }),
            (SortKey::To, Sortable { to: text("A"), ..default() }),
            (SortKey::Subject, Sortable { subject: text("A"), ..default() }),
            (SortKey::DisplayFrom, Sortable { display_from: text("A"), ..default() }),
            (SortKey::DisplayTo, Sortable { display_to: text("A"), ..default() }),
        ];
        for (at, (key, item)) in cases.iter().enumerate() {
            for (other, (_, other_item)) in cases.iter().enumerate() {
                let pair = items(&[item, other_item], |&item| item.clone());
                let order = compare(*key, &pair[0], &pair[1]);
                let is_less = matches!(key, SortKey::Arrival | SortKey::Date);
                let expected = match at == other {
                    true => Ordering::Equal,
                    false if is_less => Ordering::Less,
                    false => Ordering::Greater,
                };
                assert_eq!(order, expected, "{key:?} {other}");
            }
        }
    }

    #[test]
    fn what_is_equal_is_in_the_order_of_numbers_though_reversed() {
        let sizes = items(&[2, 1, 2, 3, 1], |&size_bytes| Sortable { size_bytes, ..Sortable::default() });
        assert_eq!(sorted(&[(false, SortKey::Size)], sizes.clone()), [2, 5, 1, 3, 4]);
        assert_eq!(sorted(&[(true, SortKey::Size)], sizes.clone()), [4, 1, 3, 2, 5]);
        let backwards: Vec<_> = sizes.iter().rev().cloned().collect();
        assert_eq!(sorted(&[(true, SortKey::Size)], backwards.clone()), [4, 1, 3, 2, 5]);
        assert_eq!(sorted(&[(true, SortKey::Arrival)], backwards.clone()), [1, 2, 3, 4, 5]);
        assert_eq!(sorted(&[], backwards), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_later_criterion_decides_what_earlier_ones_leave() {
        let values = [("b", 1), ("a", 2), ("b", 3), ("a", 1), ("", 9)];
        let mails = items(&values, |&(subject, sent_at)| Sortable {
            subject: collate::key(subject),
            sent_at,
            ..Sortable::default()
        });
        assert_eq!(
            sorted(&[(false, SortKey::Subject), (false, SortKey::Date)], mails.clone()),
            [5, 4, 2, 1, 3]
        );
        assert_eq!(
            sorted(&[(false, SortKey::Subject), (true, SortKey::Date)], mails.clone()),
            [5, 2, 4, 3, 1]
        );
        assert_eq!(sorted(&[(true, SortKey::Subject), (false, SortKey::Date)], mails), [1, 3, 4, 2, 5]);
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_loses_none(
            values in proptest::collection::vec((0..3_i64, 0..3_u64, "[ab]?"), 0..20),
            criteria in proptest::collection::vec(
                (any::<bool>(), prop::sample::select(vec![SortKey::Date, SortKey::Size, SortKey::From])),
                0..4,
            ),
            turn in 0..20_usize,
        ) {
            let mut mails = items(&values, |(sent_at, size_bytes, from)| Sortable {
                sent_at: *sent_at,
                size_bytes: *size_bytes,
                from: from.clone(),
                ..Sortable::default()
            });
            let once = sorted(&criteria, mails.clone());
            let len = mails.len();
            mails.rotate_left(turn.min(len));
            prop_assert_eq!(&sorted(&criteria, mails), &once);
            let mut numbers = once;
            numbers.sort_unstable();
            prop_assert!(numbers.into_iter().eq(1..=u32::try_from(values.len()).unwrap()));
        }
    }
}
