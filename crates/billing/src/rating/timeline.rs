//! The terms of an item over time: what holds from which day on, what is suspended, and when it ends.

use std::iter;

use chrono::{Days, NaiveDate};
use kernel::Currency;

use super::RatingError;
use super::calendar::{Cycle, Schedule, Span};
use super::discount::{Discount, Off, Rate};
use super::removal::RemovalPolicy;
use super::terms::{SuspensionPolicy, Terms};

/// What holds from a day on, until the next segment's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The first day.
    pub from: NaiveDate,
    /// What is charged; `None` for nothing, as in a trial.
    pub terms: Option<Terms>,
}

impl Segment {
    /// A trial, and what follows it. Cycles are counted from the end of the trial, or from `anchor` if that is given,
    /// and then the first one may be a stub.
    pub fn after_trial(
        starts_on: NaiveDate,
        trial_days: u32,
        anchor: Option<NaiveDate>,
        terms: Terms,
    ) -> Result<[Self; 2], RatingError> {
        let end = starts_on.checked_add_days(Days::new(trial_days.into())).ok_or(RatingError::DateRange)?;
        let terms = Terms { anchor: anchor.unwrap_or(end), ..terms };
        Ok([Self { from: starts_on, terms: None }, Self { from: end, terms: Some(terms) }])
    }
}

/// Days on which the account is suspended, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspension {
    /// The first day.
    pub from: NaiveDate,
    /// The day on which it is resumed; `None` if that is not known.
    pub until: Option<NaiveDate>,
}

impl Suspension {
    fn contains(self, day: NaiveDate) -> bool {
        self.from <= day && self.until.is_none_or(|until| day < until)
    }
}

/// The terms of one item over time, all in one currency, and so every document of it.
///
/// A change of the price alone leaves the cycles as they are, and what the removal policy holds in them. A change
/// of the interval or the anchor cuts the cycle that it falls into, and counts new ones by its own anchor: to
/// re-anchor, make that the day of the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    currency: Currency,
    segments: Vec<Segment>,
    suspensions: Vec<Suspension>,
    discounts: Vec<Discount>,
    ends_on: Option<NaiveDate>,
}

/// Segments that follow each other and whose cycles are the same.
#[derive(Debug)]
pub(super) struct Course<'a> {
    segments: Vec<&'a Segment>,
    schedule: Schedule,
    intervals: Schedule,
    documents: Schedule,
    pub(super) start: NaiveDate,
    /// The day after the last that can be charged.
    until: Option<NaiveDate>,
}

impl Timeline {
    /// Segments in any order; of two from the same day on, the later in the list holds.
    pub fn new(currency: Currency, mut segments: Vec<Segment>) -> Self {
        segments.reverse();
        segments.sort_by_key(|segment| segment.from);
        segments.dedup_by_key(|segment| segment.from);
        Self { currency, segments, suspensions: Vec::new(), discounts: Vec::new(), ends_on: None }
    }

    /// Suspended at times, in any order.
    #[must_use]
    pub fn suspended(self, suspensions: Vec<Suspension>) -> Self {
        Self { suspensions, ..self }
    }

    /// With discounts at times, in any order.
    #[must_use]
    pub fn discounted(self, discounts: Vec<Discount>) -> Self {
        Self { discounts, ..self }
    }

    /// With an end: the first day on which no unit is used any more. How long units are then charged is for the
    /// removal policy to say; no later segment begins.
    #[must_use]
    pub fn ending_on(self, ends_on: Option<NaiveDate>) -> Self {
        Self { ends_on, ..self }
    }

    /// Of every price and document.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Whether units are no longer used on a day.
    pub(super) fn has_ended(&self, day: NaiveDate) -> bool {
        self.ends_on.is_some_and(|end| end <= day)
    }

    /// The cycle that a day belongs to, as far as it can be charged; `None` if nothing is charged on that day. A
    /// change that waits for the end of the cycle is one from `charged.end()` on.
    pub fn cycle_at(&self, day: NaiveDate) -> Result<Option<Cycle>, RatingError> {
        let courses = self.courses()?;
        let course = courses.iter().find(|course| course.contains(day) && !self.is_paused(course, day));
        course.map(|course| course.cycle_at(day)).transpose()
    }

    /// The first boundary: the first day that is charged. `None` if none ever is.
    pub fn first_boundary(&self) -> Result<Option<NaiveDate>, RatingError> {
        self.next_boundary(NaiveDate::MIN)
    }

    /// The day after the last that is charged; `None` if there is no such day, or nothing is charged at all.
    pub fn charged_until(&self) -> Result<Option<NaiveDate>, RatingError> {
        Ok(self.courses()?.last().and_then(|course| course.until))
    }

    /// Whether it makes that cycle, however much of it is charged.
    pub fn makes(&self, cycle: &Cycle) -> Result<bool, RatingError> {
        Ok(course_of(&self.courses()?, cycle).is_some())
    }

    /// The boundary after a day, on which there may be something to bill; `None` if there is none.
    ///
    /// Boundaries are the monthly ones of the terms in force, and the days on which something begins or ceases to be
    /// charged: a start, a new anchor, a suspension, an end. A price that changes in a cycle waits for the next of
    /// them. A document can be made on any other day too, and settles what has changed; after a change in the past
    /// that leaves no boundary, the present day is the one to make it on.
    pub fn next_boundary(&self, after: NaiveDate) -> Result<Option<NaiveDate>, RatingError> {
        let mut next: Option<NaiveDate> = None;
        for course in self.courses()? {
            let monthly = self.next_document(&course, after)?;
            let changes = course.segments.iter().map(|segment| segment.from).chain(course.until);
            let suspensions = self.suspensions.iter().flat_map(|s| iter::once(s.from).chain(s.until));
            let turns = changes.chain(suspensions).filter(|day| *day > after && self.turns_on(&course, *day));
            next = turns.chain(monthly).chain(next).min();
        }
        Ok(next)
    }

    /// Whether a course begins or ceases to be charged on a day.
    fn turns_on(&self, course: &Course<'_>, day: NaiveDate) -> bool {
        let is_charged = |day| course.contains(day) && !self.is_paused(course, day);
        day.pred_opt().is_some_and(is_charged) != is_charged(day)
    }

    /// The next monthly boundary of a course that has begun, unless it falls into a suspension: that ends on one.
    fn next_document(&self, course: &Course<'_>, after: NaiveDate) -> Result<Option<NaiveDate>, RatingError> {
        if after < course.start {
            return Ok(None);
        }
        let day = course.documents.next_after(after)?;
        Ok(Some(day).filter(|day| course.contains(*day) && !self.is_paused(course, *day)))
    }

    /// The runs of segments that make the same cycles, in order.
    pub(super) fn courses(&self) -> Result<Vec<Course<'_>>, RatingError> {
        let mut courses: Vec<Course<'_>> = Vec::new();
        let segments = || self.segments.iter().filter(|segment| !self.has_ended(segment.from));
        let following = segments().skip(1).map(|next| Some(next.from)).chain(iter::once(None));
        for (segment, until) in segments().zip(following) {
            let Some(terms) = &segment.terms else { continue };
            match courses.last_mut() {
                Some(course) if course.is_continued_by(segment) => {
                    course.segments.push(segment);
                    course.until = until;
                }
                _ => courses.push(Course {
                    segments: vec![segment],
                    schedule: terms.cycles()?,
                    intervals: terms.intervals()?,
                    documents: terms.documents()?,
                    start: segment.from,
                    until,
                }),
            }
        }
        if let Some((course, end)) = courses.last_mut().zip(self.ends_on)
            && course.until.is_none()
        {
            course.until = Some(course.last_charge(end)?);
        }
        Ok(courses)
    }

    /// What a day is charged at under some terms.
    pub(super) fn rate_on(&self, day: NaiveDate, terms: &Terms) -> Rate {
        let mut rate = Rate::from(terms.tariff.clone());
        for discount in self.discounts.iter().filter(|discount| discount.contains(day)) {
            match discount.off {
                Off::Percentage(percentage) => rate.discount = rate.discount.max(percentage),
                Off::Amount(amount) => rate.off = rate.off.plus(amount),
            }
        }
        rate
    }

    /// Whether a day is not charged because of a suspension.
    pub(super) fn is_paused(&self, course: &Course<'_>, day: NaiveDate) -> bool {
        course.terms_on(day).is_some_and(|terms| terms.suspension == SuspensionPolicy::Pause)
            && self.suspensions.iter().any(|suspension| suspension.contains(day))
    }

    /// The first day of a cycle on which something can be charged.
    pub(super) fn first_active_day(&self, course: &Course<'_>, cycle: &Cycle) -> Option<NaiveDate> {
        cycle.charged.each_day().find(|day| !self.is_paused(course, *day))
    }
}

impl Course<'_> {
    pub(super) fn contains(&self, day: NaiveDate) -> bool {
        self.start <= day && self.until.is_none_or(|until| day < until)
    }

    /// The terms in force on a day.
    pub(super) fn terms_on(&self, day: NaiveDate) -> Option<&Terms> {
        let segments = self.contains(day).then_some(&self.segments)?;
        segments.iter().rev().find(|segment| segment.from <= day)?.terms.as_ref()
    }

    /// The cycle that has a day of the course.
    pub(super) fn cycle_at(&self, day: NaiveDate) -> Result<Cycle, RatingError> {
        let whole = self.schedule.cycle_at(day)?;
        let end = self.until.map_or(whole.end(), |until| until.min(whole.end()));
        let charged = Span::new(whole.start().max(self.start), end).ok_or(RatingError::DateRange)?;
        Ok(Cycle { charged, whole, instalment: self.schedule.instalment_at(day)? })
    }

    fn is_continued_by(&self, next: &Segment) -> bool {
        let last = self.segments.last().and_then(|segment| segment.terms.as_ref());
        let continues = last.zip(next.terms.as_ref()).is_some_and(|(last, next)| next.makes_cycles_of(last));
        continues && self.until == Some(next.from)
    }

    /// The day after the last that can be charged, of something that ends on a day.
    fn last_charge(&self, end: NaiveDate) -> Result<NaiveDate, RatingError> {
        let last_day = end.pred_opt().ok_or(RatingError::DateRange)?;
        let segment = self.segments.iter().rev().find(|segment| segment.from <= last_day);
        let Some(terms) = segment.and_then(|segment| segment.terms.as_ref()) else { return Ok(end) };
        let held = match terms.removal {
            RemovalPolicy::CreditToBalance => return Ok(end),
            RemovalPolicy::AtCycleEnd => terms.intervals()?.cycle_at(last_day)?,
            RemovalPolicy::LockedUntilTermEnd { .. } => terms.terms()?.cycle_at(last_day)?,
        };
        Ok(held.end())
    }

    /// The first day of the whole interval of the price that a cycle belongs to; it may be before the course.
    pub(super) fn interval_start(&self, cycle: &Cycle) -> Result<NaiveDate, RatingError> {
        Ok(self.intervals.cycle_at(cycle.charged.start())?.start())
    }

    /// The first day that counts for what is in force in a cycle: that of its interval, or under a lock that of its
    /// term; either may be before the course.
    pub(super) fn counts_from(&self, cycle: &Cycle) -> Result<NaiveDate, RatingError> {
        let first = cycle.charged.start();
        let is_locked = |terms: &&Terms| matches!(terms.removal, RemovalPolicy::LockedUntilTermEnd { .. });
        let mut in_cycle = cycle.charged.each_day().filter_map(|day| self.terms_on(day));
        let Some(terms) = in_cycle.find(is_locked) else { return self.interval_start(cycle) };
        Ok(terms.terms()?.cycle_at(first)?.start())
    }
}

/// Whether two are the same cycle, though one may have been cut.
pub(super) fn is_same(one: &Cycle, other: &Cycle) -> bool {
    (one.whole, one.charged.start()) == (other.whole, other.charged.start())
}

/// The course whose cycle it is; `None` if the timeline has come to have no such cycle.
pub(super) fn course_of<'a, 'b>(courses: &'a [Course<'b>], cycle: &Cycle) -> Option<&'a Course<'b>> {
    let first = cycle.charged.start();
    let course = courses.iter().find(|course| course.contains(first))?;
    course.cycle_at(first).is_ok_and(|found| is_same(&found, cycle)).then_some(course)
}

#[cfg(test)]
mod tests {
    use super::super::{Interval, PaymentSchedule, Tariff};
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn terms(anchor: &str, interval: Interval) -> Terms {
        Terms {
            tariff: Tariff::Flat("12".parse().unwrap()),
            interval,
            anchor: date(anchor),
            payment: PaymentSchedule::AtOnce,
            term: Interval::YEAR,
            removal: RemovalPolicy::AtCycleEnd,
            suspension: SuspensionPolicy::Pause,
        }
    }

    fn timeline(segments: &[Segment], suspensions: &[Suspension], ends_on: Option<&str>) -> Timeline {
        let timeline = Timeline::new("EUR".parse().unwrap(), segments.to_vec());
        timeline.suspended(suspensions.to_vec()).ending_on(ends_on.map(date))
    }

    fn boundaries(timeline: &Timeline, most: usize) -> Vec<String> {
        let next = |after: &NaiveDate| timeline.next_boundary(*after).unwrap();
        let all = iter::successors(timeline.first_boundary().unwrap(), next);
        all.take(most).map(|day| day.to_string()).collect()
    }

    fn from(day: &str, terms: Terms) -> Segment {
        Segment { from: date(day), terms: Some(terms) }
    }

    #[test]
    fn a_trial_moves_the_anchor_to_its_end_unless_one_is_given() {
        let monthly = terms("2000-01-01", Interval::MONTH);
        let trial = |anchor| Segment::after_trial(date("2026-01-16"), 15, anchor, monthly.clone()).unwrap();
        let plain = timeline(&trial(None), &[], None);
        assert_eq!(boundaries(&plain, 3), ["2026-01-31", "2026-02-28", "2026-03-31"]);
        let stub = timeline(&trial(Some(date("2026-01-15"))), &[], None);
        assert_eq!(boundaries(&stub, 3), ["2026-01-31", "2026-02-15", "2026-03-15"]);
        let [course] = &stub.courses().unwrap()[..] else { panic!("one course") };
        let cycle = course.cycle_at(date("2026-01-31")).unwrap();
        assert_eq!((cycle.charged.days(), cycle.whole.days()), (15, 31));
    }

    #[test]
    fn a_stub_is_part_of_the_cycle_that_contains_it() {
        let yearly = timeline(&[from("2011-02-01", terms("2011-02-13", Interval::YEAR))], &[], None);
        let [course] = &yearly.courses().unwrap()[..] else { panic!("one course") };
        let shares = ["2011-02-01", "2011-02-13", "2013-01-01"].map(|day| {
            let cycle = course.cycle_at(date(day)).unwrap();
            format!("{}/{}", cycle.charged.days(), cycle.whole.days())
        });
        assert_eq!(shares, ["12/365", "365/365", "366/366"]);
    }

    #[test]
    fn an_interval_that_changes_cuts_the_cycle() {
        let segments = [
            from("2026-01-10", terms("2026-01-10", Interval::MONTH)),
            from("2026-02-20", terms("2026-02-20", Interval::YEAR)),
        ];
        let changed = timeline(&segments, &[], None);
        let expected = ["2026-01-10", "2026-02-10", "2026-02-20", "2026-03-20"];
        assert_eq!(boundaries(&changed, 4), expected);
        let courses = changed.courses().unwrap();
        let charged: Vec<(i64, i64)> = courses
            .iter()
            .zip(["2026-02-10", "2026-02-20"])
            .map(|(course, day)| course.cycle_at(date(day)).unwrap())
            .map(|cycle| (cycle.charged.days(), cycle.whole.days()))
            .collect();
        assert_eq!(charged, [(10, 28), (365, 365)]);
        let found = changed.cycle_at(date("2026-02-10")).unwrap().unwrap();
        assert_eq!(found.charged.end(), date("2026-02-20"));
        assert_eq!(changed.cycle_at(date("2026-01-09")), Ok(None));
        // A price that changes keeps the cycles.
        let dearer =
            Terms { tariff: Tariff::Flat("13".parse().unwrap()), ..terms("2026-01-10", Interval::MONTH) };
        let priced = timeline(&[segments[0].clone(), from("2026-02-20", dearer)], &[], None);
        assert_eq!(boundaries(&priced, 3), ["2026-01-10", "2026-02-10", "2026-03-10"]);
    }

    #[test]
    fn nothing_is_looked_at_while_nothing_is_charged() {
        let segments = [from("2026-01-01", terms("2026-01-01", Interval::MONTH))];
        let pause = |until: Option<&str>| Suspension { from: date("2026-01-15"), until: until.map(date) };
        let paused = timeline(&segments, &[pause(Some("2026-04-20"))], None);
        let expected = ["2026-01-01", "2026-01-15", "2026-04-20", "2026-05-01"];
        assert_eq!(boundaries(&paused, 4), expected);
        assert_eq!(boundaries(&timeline(&segments, &[pause(None)], None), 4), expected[..2]);
        let ended = timeline(&segments, &[], Some("2026-02-10"));
        assert_eq!(boundaries(&ended, 4), ["2026-01-01", "2026-02-01", "2026-03-01"]);
        let never = timeline(&segments, &[], Some("2026-01-01"));
        assert_eq!(boundaries(&never, 4), [""; 0]);
    }
}
