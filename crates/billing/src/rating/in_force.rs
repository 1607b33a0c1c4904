//! What is in force on each day of a cycle: a quantity, at a rate.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::RatingError;
use super::calendar::{Cycle, Span};
use super::discount::Rate;
use super::quantity::{DayLevels, Step};
use super::removal::Held;
use super::timeline::{Course, Timeline};

/// The event log of an account, in order of time.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// How many users held a seat.
    pub seats: Vec<Step>,
    /// The committed minimum.
    pub committed: Vec<Step>,
}

/// A day of a cycle.
pub(super) struct Day {
    pub(super) day: NaiveDate,
    pub(super) rate: Rate,
    pub(super) quantity: i64,
}

/// The days of a cycle that are charged, as far as is known at the end of `as_of`: with the largest quantity of a day
/// that has been, the last known quantity from then on, and what the removal policy holds.
pub(super) fn in_force(
    timeline: &Timeline,
    course: &Course<'_>,
    (cycle, zone): (&Cycle, Tz),
    log: &Log,
    as_of: NaiveDate,
) -> Result<Vec<Day>, RatingError> {
    let levels = [DayLevels::new(&log.seats, zone)?, DayLevels::new(&log.committed, zone)?];
    let largest = |of: &dyn Fn(&DayLevels) -> i64| levels.iter().map(of).max().unwrap_or(0);
    let used = |day| match day {
        _ if timeline.has_ended(day) => 0,
        _ if day <= as_of => largest(&|levels| levels.peak(day)),
        _ => largest(&|levels| levels.close(as_of)),
    };
    let mut held = Held::default();
    let mut days = Vec::new();
    let interval_start = course.interval_start(cycle)?;
    let counted = Span::new(course.counts_from(cycle)?, cycle.charged.end()).ok_or(RatingError::DateRange)?;
    for day in counted.each_day() {
        let Some(terms) = course.terms_on(day) else { continue };
        if day == interval_start {
            held.begin_interval();
        }
        if timeline.is_paused(course, day) {
            continue;
        }
        let quantity = held.in_force(terms.removal, used(day));
        if cycle.charged.contains(day) {
            days.push(Day { day, rate: timeline.rate_on(day, terms), quantity });
        }
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::super::{
        Interval, PaymentSchedule, RemovalPolicy, Segment, SuspensionPolicy, Tariff, Terms, steps_of_changes,
    };
    use super::*;

    /// From the first to the last day, so many.
    fn quantities(days: &[Day]) -> Vec<(usize, i64)> {
        days.chunk_by(|a, b| a.quantity == b.quantity)
            .map(|days| (days.len(), days.first().map_or(0, |day| day.quantity)))
            .collect()
    }

    #[test]
    fn each_policy_holds_on_its_own_days() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let terms = |removal, price: &str| Terms {
            tariff: Tariff::Flat(price.parse().unwrap()),
            interval: Interval::MONTH,
            payment: PaymentSchedule::AtOnce,
            anchor: day("2026-01-01"),
            term: Interval::YEAR,
            removal,
            suspension: SuspensionPolicy::Continue,
        };
        let locked = terms(RemovalPolicy::LockedUntilTermEnd { grace_days: 7 }, "2");
        let segments = vec![
            Segment { from: day("2026-01-01"), terms: Some(locked) },
            Segment { from: day("2026-02-11"), terms: Some(terms(RemovalPolicy::AtCycleEnd, "3")) },
        ];
        let timeline = Timeline::new("EUR".parse().unwrap(), segments);
        let at = |text: &str| text.parse().unwrap();
        let changes = [
            ("2026-01-02T09:00:00Z", 5),
            ("2026-01-20T09:00:00Z", -3),
            ("2026-02-15T09:00:00Z", 2),
            ("2026-02-20T09:00:00Z", -2),
        ];
        let log = Log {
            seats: steps_of_changes(changes.map(|(text, delta)| (at(text), delta))),
            committed: Vec::new(),
        };
        let [course] = &timeline.courses().unwrap()[..] else { panic!("one course") };
        let of = |date| {
            let cycle = course.cycle_at(day(date)).unwrap();
            in_force(&timeline, course, (&cycle, Tz::UTC), &log, day("2026-04-01")).unwrap()
        };
        assert_eq!(quantities(&of("2026-01-01")), [(1, 0), (30, 5)]);
        let february = of("2026-02-01");
        assert_eq!(quantities(&february), [(10, 5), (4, 2), (14, 4)]);
        let tariffs = [&february[9], &february[10]].map(|day| day.rate.tariff.clone());
        assert_eq!(tariffs, ["2", "3"].map(|price| Tariff::Flat(price.parse().unwrap())));
        assert_eq!(quantities(&of("2026-03-01")), [(31, 2)]);
    }
}
