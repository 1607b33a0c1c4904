//! Local calendar days, spans of them, and the cycles that an anchor makes.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;

use super::RatingError;
use super::document::CycleState;
use super::instalment::Instalment;
use super::timeline::is_same;

/// The local calendar day of an instant in a zone.
pub fn local_day(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// A span of days, half-open and never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: NaiveDate,
    end: NaiveDate,
}

impl Span {
    /// The days from `start` up to, not including, `end`; `None` if there are none.
    pub fn new(start: NaiveDate, end: NaiveDate) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first day.
    pub fn start(self) -> NaiveDate {
        self.start
    }

    /// The day after the last.
    pub fn end(self) -> NaiveDate {
        self.end
    }

    /// How many days; at least one.
    pub fn days(self) -> i64 {
        (self.end - self.start).num_days()
    }

    /// Whether a day is one of them.
    pub fn contains(self, day: NaiveDate) -> bool {
        self.start <= day && day < self.end
    }

    /// Each day in turn.
    pub fn each_day(self) -> impl Iterator<Item = NaiveDate> {
        self.start.iter_days().take_while(move |day| *day < self.end)
    }
}

/// In which zone's calendar the cycles are counted that open on a boundary.
#[derive(Debug, Clone, Copy)]
pub struct Zones<'a> {
    of_boundary: Tz,
    within: &'a [(Span, Tz)],
    recorded: &'a [CycleState],
}

impl<'a> Zones<'a> {
    /// The boundary's, but for those that begin on some days, which are counted where these are.
    pub fn within(of_boundary: Tz, days: &'a [(Span, Tz)]) -> Self {
        Self { of_boundary, within: days, recorded: &[] }
    }

    /// But for some cycles that were counted in the boundary's when they were billed, whichever day they begin on. Of what is recorded in any
    /// other nothing is taken over, so that it is seen to be wrong.
    pub fn but_as_in(self, recorded: &'a [CycleState]) -> Self {
        Self { recorded, ..self }
    }

    /// That of a cycle; of one that is not recorded, by its first day that is charged.
    pub(super) fn of(self, cycle: &Cycle) -> Tz {
        let is_as_recorded =
            |state: &CycleState| is_same(&state.cycle, cycle) && state.zone == self.of_boundary;
        if self.recorded.iter().any(is_as_recorded) {
            return self.of_boundary;
        }
        let first = cycle.charged.start();
        let around = self.within.iter().find(|(days, _)| days.contains(first)).map(|(_, zone)| *zone);
        around.unwrap_or(self.of_boundary)
    }
}

impl From<Tz> for Zones<'_> {
    fn from(of_boundary: Tz) -> Self {
        Self { of_boundary, within: &[], recorded: &[] }
    }
}

/// How long a cycle is. Zero is not a length; constructors refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interval {
    /// So many months, clamped at the ends of short ones.
    Months(u32),
    /// So many days.
    Days(u32),
}

impl Interval {
    /// One month.
    pub const MONTH: Self = Self::Months(1);
    /// One year.
    pub const YEAR: Self = Self::Months(12);
}

/// Part of a cycle that is in force, and the whole anchor-aligned cycle, which every proration divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycle {
    /// The days that can be charged: the whole cycle, or a stub of it.
    pub charged: Span,
    /// The anchor-aligned cycle.
    pub whole: Span,
    /// Which part of the price it pays.
    pub instalment: Instalment,
}

impl Cycle {
    /// One that pays its price at once.
    pub fn new(charged: Span, whole: Span) -> Self {
        Self { charged, whole, instalment: Instalment::WHOLE }
    }
}

/// The boundaries that an anchor and an interval make, in both directions.
///
/// Each is counted from the original anchor, never from the boundary before: 31 Jan → 28 Feb → 31 Mar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    origin: NaiveDate,
    day: u32,
    interval: Interval,
    /// So many of its cycles pay a price together.
    instalments: u16,
}

impl Schedule {
    /// Boundaries from an anchor date. [`RatingError::DateRange`] for an interval of nothing.
    pub(super) fn anchored_on(anchor: NaiveDate, interval: Interval) -> Result<Self, RatingError> {
        let origin = match interval {
            Interval::Months(0) | Interval::Days(0) => None,
            Interval::Months(_) => anchor.with_day(1),
            Interval::Days(_) => Some(anchor),
        };
        Ok(Self {
            origin: origin.ok_or(RatingError::DateRange)?,
            day: anchor.day(),
            interval,
            instalments: 1,
        })
    }

    /// With cycles of which so many pay a price together, from the anchor on.
    pub(super) fn paying_in(self, instalments: u16) -> Self {
        Self { instalments, ..self }
    }

    /// Boundary `n`: `clamp(first_of_month(anchor) + n × interval, anchor_day)`.
    pub(super) fn boundary(&self, n: i64) -> Result<NaiveDate, RatingError> {
        match self.interval {
            Interval::Days(days) => {
                let by = n.checked_mul(i64::from(days)).ok_or(RatingError::DateRange)?;
                let distance = Days::new(by.unsigned_abs());
                if by < 0 {
                    self.origin.checked_sub_days(distance)
                } else {
                    self.origin.checked_add_days(distance)
                }
            }
            Interval::Months(months) => {
                let by = n.checked_mul(i64::from(months)).ok_or(RatingError::DateRange)?;
                let distance =
                    u32::try_from(by.unsigned_abs()).map(Months::new).map_err(|_| RatingError::DateRange)?;
                let first = if by < 0 {
                    self.origin.checked_sub_months(distance)
                } else {
                    self.origin.checked_add_months(distance)
                };
                first.and_then(|first| first.with_day(self.day.min(u32::from(first.num_days_in_month()))))
            }
        }
        .ok_or(RatingError::DateRange)
    }

    /// The `n` of the cycle that has a day: `boundary(n) ≤ day < boundary(n + 1)`.
    pub(super) fn index_at(&self, day: NaiveDate) -> Result<i64, RatingError> {
        let (distance, step) = match self.interval {
            Interval::Days(days) => ((day - self.origin).num_days(), i64::from(days)),
            Interval::Months(months) => (months_between(self.origin, day), i64::from(months)),
        };
        let guess = distance.div_euclid(step);
        // A day early in its month may still belong to the cycle that began the month before.
        Ok(if self.boundary(guess)? <= day { guess } else { guess - 1 })
    }

    /// The whole cycle that has a day.
    pub(super) fn cycle_at(&self, day: NaiveDate) -> Result<Span, RatingError> {
        let n = self.index_at(day)?;
        Span::new(self.boundary(n)?, self.boundary(n + 1)?).ok_or(RatingError::DateRange)
    }

    /// Which part of the price the cycle pays that has a day.
    pub(super) fn instalment_at(&self, day: NaiveDate) -> Result<Instalment, RatingError> {
        let before = self.index_at(day)?.rem_euclid(i64::from(self.instalments));
        let before = u16::try_from(before).map_err(|_| RatingError::DateRange)?;
        Instalment::new(before + 1, self.instalments)
    }

    /// The first boundary after a day.
    pub(super) fn next_after(&self, day: NaiveDate) -> Result<NaiveDate, RatingError> {
        Ok(self.cycle_at(day)?.end())
    }
}

fn months_between(from: NaiveDate, to: NaiveDate) -> i64 {
    let months = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
    months(to) - months(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_end_anchor_is_clamped_and_never_lost() {
        let schedule = Schedule::anchored_on(date("2023-01-31"), Interval::MONTH).unwrap();
        let boundaries: Vec<String> = (-2..5).map(|n| schedule.boundary(n).unwrap().to_string()).collect();
        assert_eq!(
            boundaries,
            [
                "2022-11-30",
                "2022-12-31",
                "2023-01-31",
                "2023-02-28",
                "2023-03-31",
                "2023-04-30",
                "2023-05-31"
            ]
        );
        let leap = Schedule::anchored_on(date("2024-02-29"), Interval::YEAR).unwrap();
        assert_eq!(leap.boundary(1), Ok(date("2025-02-28")));
        assert_eq!(leap.boundary(4), Ok(date("2028-02-29")));
    }

    #[test]
    fn what_makes_no_cycle_is_refused() {
        let day = date("2024-01-01");
        assert_eq!(Schedule::anchored_on(day, Interval::Months(0)), Err(RatingError::DateRange));
        assert_eq!(Schedule::anchored_on(day, Interval::Days(0)), Err(RatingError::DateRange));
        let schedule = Schedule::anchored_on(day, Interval::YEAR).unwrap();
        assert_eq!(schedule.boundary(i64::MAX), Err(RatingError::DateRange));
        assert_eq!(schedule.boundary(1 << 20), Err(RatingError::DateRange));
    }
}
