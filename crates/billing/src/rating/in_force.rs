//! What is in force on each day of a cycle: a quantity, at a rate.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::RatingError;
use super::calendar::{Cycle, Span};
use super::discount::Rate;
use super::quantity::{DayLevels, Step};
use super::removal::{Held, RemovalPolicy};
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
    let counted = Span::new(course.counts_from(cycle)?, cycle.charged.end()).ok_or(RatingError::DateRange)?;
    for day in counted.each_day() {
        let Some(terms) = course.terms_on(day) else { continue };
        if day == cycle.charged.start() {
            held.begin_cycle();
        }
        if matches!(terms.removal, RemovalPolicy::LockedUntilTermEnd { .. })
            && terms.terms()?.begins_on(day)?
        {
            held.begin_term();
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
