//! What was counted in the last hour and the last day.

use chrono::{DateTime, TimeDelta, Utc};

/// One slot. What was counted is forgotten by whole slots, so up to that much later.
const SLOT: TimeDelta = TimeDelta::minutes(10);
/// The slots that an hour can touch, and a day: one more than it has, as it begins and ends within one.
const SLOTS_OF_HOUR: usize = 7;
const SLOTS_OF_DAY: usize = 145;

/// Counts by slots of ten minutes, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// In the newest slot.
    pub(super) at: DateTime<Utc>,
    pub(super) slots: Vec<i32>,
}

impl Window {
    /// The same as seen at a moment. A clock that goes back forgets nothing.
    pub(super) fn at(mut self, now: DateTime<Utc>) -> Self {
        let passed = usize::try_from(slot(now) - slot(self.at)).unwrap_or(0).min(SLOTS_OF_DAY);
        if passed > 0 {
            self.slots.splice(0..0, std::iter::repeat_n(0, passed));
        }
        self.slots.truncate(SLOTS_OF_DAY);
        self.at = self.at.max(now);
        self
    }

    pub(super) fn count(&mut self, more: i32) {
        match self.slots.first_mut() {
            Some(newest) => *newest = newest.saturating_add(more),
            None => self.slots.push(more),
        }
    }

    /// In any hour that ends now.
    pub(super) fn last_hour(&self) -> i64 {
        self.sum(SLOTS_OF_HOUR)
    }

    /// In any day that ends now.
    pub(super) fn last_day(&self) -> i64 {
        self.sum(SLOTS_OF_DAY)
    }

    fn sum(&self, slots: usize) -> i64 {
        self.slots.iter().take(slots).copied().map(i64::from).sum()
    }
}

fn slot(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(SLOT.num_seconds())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(of: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(of)
    }

    /// What is counted from a moment on, by the slot.
    fn naive(events: &[(i64, i32)], now: i64, span: i64) -> (i64, i64) {
        let sum = |from: i64| events.iter().filter(|(at, _)| *at > from).map(|(_, n)| i64::from(*n)).sum();
        (sum(now - span), sum(now - span - SLOT.num_seconds()))
    }

    proptest! {
        /// Never less than there were in the last hour or day, never more than in that and one slot.
        #[test]
        fn it_counts_all_of_an_hour_and_a_day_and_at_most_a_slot_more(
            steps in prop::collection::vec((0_i64..20_000, 0_i32..1_000), 0..40),
            rest in 0_i64..100_000,
        ) {
            let (mut now, mut events) = (1_700_000_000, Vec::new());
            let mut window = Window { at: second(now), slots: Vec::new() };
            for (step, more) in steps {
                now += step;
                events.push((now, more));
                window = window.at(second(now));
                window.count(more);
            }
            now += rest;
            let window = window.at(second(now));
            let (least, most) = naive(&events, now, 3_600);
            prop_assert!((least..=most).contains(&window.last_hour()), "{least} {} {most}", window.last_hour());
            let (least, most) = naive(&events, now, 86_400);
            prop_assert!((least..=most).contains(&window.last_day()), "{least} {} {most}", window.last_day());
            prop_assert!(window.slots.len() <= SLOTS_OF_DAY);
        }
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut window = Window { at: second(10_000), slots: vec![3] }.at(second(2_000));
        window.count(4);
        assert_eq!((window.at, window.last_hour()), (second(10_000), 7));
    }
}
