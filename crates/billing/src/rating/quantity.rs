//! How many units were in force on each local day.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::RatingError;
use super::calendar::{Span, local_day};

/// From an instant on, so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The instant.
    pub at: DateTime<Utc>,
    /// How many from then on.
    pub level: i64,
}

/// The levels that changes make, in any order. Changes at one instant are one step: their order means nothing.
pub fn steps_of_changes(changes: impl IntoIterator<Item = (DateTime<Utc>, i64)>) -> Vec<Step> {
    let mut at_instants = BTreeMap::<DateTime<Utc>, i64>::new();
    for (at, delta) in changes {
        *at_instants.entry(at).or_default() += delta;
    }
    let mut level = 0;
    at_instants
        .into_iter()
        .map(|(at, delta)| {
            level += delta;
            Step { at, level }
        })
        .collect()
}

/// The levels that were set, in the order in which they were. Of those at one instant the last one holds.
pub fn steps_of_levels(levels: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let at_instants: BTreeMap<_, _> = levels.into_iter().map(|step| (step.at, step.level)).collect();
    at_instants.into_iter().map(|(at, level)| Step { at, level }).collect()
}

/// The largest level on each day of a span, as days are charged: from steps in order of time, before the first of which it is 0.
///
/// # Errors
/// [`RatingError::NegativeQuantity`] if a level is below 0.
pub fn daily_peaks(steps: &[Step], zone: Tz, days: Span) -> Result<Vec<i64>, RatingError> {
    let levels = DayLevels::new(steps, zone)?;
    Ok(days.each_day().map(|day| levels.peak(day)).collect())
}

#[derive(Debug, Clone, Copy)]
struct DayLevel {
    peak: i64,
    close: i64,
}

/// The largest and the last level of each local day in a zone.
#[derive(Debug, Clone)]
pub(super) struct DayLevels {
    days: BTreeMap<NaiveDate, DayLevel>,
}

impl DayLevels {
    /// From steps in order of time; before the first the level is 0.
    ///
    /// [`RatingError::NegativeQuantity`] if a level is below 0.
    pub(super) fn new(steps: &[Step], zone: Tz) -> Result<Self, RatingError> {
        let mut days = BTreeMap::<NaiveDate, DayLevel>::new();
        let mut before = 0;
        for step in steps {
            if step.level < 0 {
                return Err(RatingError::NegativeQuantity);
            }
            let day = local_day(step.at, zone);
            // What ends with a day is not in force on the next.
            let begins_day = local_day(step.at - TimeDelta::nanoseconds(1), zone) != day;
            let peak = if begins_day { step.level } else { before };
            let day = days.entry(day).or_insert(DayLevel { peak, close: before });
            day.peak = day.peak.max(step.level);
            day.close = step.level;
            before = step.level;
        }
        Ok(Self { days })
    }

    /// The largest level in force on a day.
    pub(super) fn peak(&self, day: NaiveDate) -> i64 {
        self.latest(day).map_or(0, |(at, level)| if *at == day { level.peak } else { level.close })
    }

    /// The level at the end of a day.
    pub(super) fn close(&self, day: NaiveDate) -> i64 {
        self.latest(day).map_or(0, |(_, level)| level.close)
    }

    fn latest(&self, day: NaiveDate) -> Option<(&NaiveDate, &DayLevel)> {
        self.days.range(..=day).next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_counts_its_largest_level_in_the_local_zone() {
        let steps = steps_of_changes([
            (at("2026-01-20T12:00:00Z"), -1),
            (at("2026-01-01T09:00:00Z"), 5),
            // Already the 11th in Auckland.
            (at("2026-01-10T22:00:00Z"), 1),
        ]);
        let day = |d| NaiveDate::from_ymd_opt(2026, 1, d).unwrap();
        let auckland = DayLevels::new(&steps, chrono_tz::Pacific::Auckland).unwrap();
        assert_eq!([day(1), day(10), day(11), day(12)].map(|d| auckland.peak(d)), [5, 5, 6, 6]);
        let utc = DayLevels::new(&steps, Tz::UTC).unwrap();
        assert_eq!([day(9), day(10), day(20), day(21)].map(|d| utc.peak(d)), [5, 6, 6, 5]);
        assert_eq!([day(9), day(10), day(20), day(21)].map(|d| utc.close(d)), [5, 6, 5, 5]);
        assert_eq!(utc.peak(day(1).pred_opt().unwrap()), 0);
    }

    #[test]
    fn what_ends_at_midnight_is_not_in_force_on_the_day_that_begins() {
        let day = |d| NaiveDate::from_ymd_opt(2026, 3, d).unwrap();
        // Clocks in Havana go from midnight to one o'clock on the 8th.
        for (zone, midnight) in
            [(Tz::UTC, "2026-03-08T00:00:00Z"), (Tz::America__Havana, "2026-03-08T05:00:00Z")]
        {
            let peaks = |at: DateTime<Utc>| {
                let steps = steps_of_changes([("2026-03-01T09:00:00Z".parse().unwrap(), 2), (at, -1)]);
                let levels = DayLevels::new(&steps, zone).unwrap();
                [day(7), day(8), day(9)].map(|day| levels.peak(day))
            };
            assert_eq!(peaks(at(midnight)), [2, 1, 1], "{zone}");
            assert_eq!(peaks(at(midnight) + TimeDelta::nanoseconds(1)), [2, 2, 1], "{zone}");
            assert_eq!(peaks(at(midnight) - TimeDelta::nanoseconds(1)), [2, 1, 1], "{zone}");
        }
    }

    #[test]
    fn a_log_that_frees_more_than_was_taken_is_refused() {
        let steps = steps_of_changes([(at("2026-01-01T09:00:00Z"), -1)]);
        assert_eq!(DayLevels::new(&steps, Tz::UTC).unwrap_err(), RatingError::NegativeQuantity);
    }
}
