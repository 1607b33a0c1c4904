//! Stories of an account, and the account as the shell would keep it.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use kernel::Currency;
use proptest::prelude::*;

use super::super::*;
use super::{currencies, days_of_years, tariffs};

/// A change at a local date and time; the same story can be told in any zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) at: NaiveDateTime,
    pub(super) delta: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) currency: Currency,
    pub(super) starts_on: NaiveDate,
    pub(super) terms: Terms,
    pub(super) events: Vec<Event>,
    /// Levels from a local time on, of which the first is there from the start.
    pub(super) committed: Vec<(NaiveDateTime, i64)>,
}

impl Story {
    /// The same terms from the start on.
    pub(super) fn timeline(&self) -> Timeline {
        let segment = Segment { from: self.starts_on, terms: Some(self.terms.clone()) };
        Timeline::new(self.currency, vec![segment])
    }

    pub(super) fn log(&self, zone: Tz, known_until: NaiveDateTime) -> Log {
        let instant = |at: NaiveDateTime| {
            let begins = zone.from_local_datetime(&at).earliest();
            // Midnight, where clocks skip it: the day begins an hour later by them.
            begins
                .or_else(|| zone.from_local_datetime(&(at + TimeDelta::hours(1))).earliest())
                .unwrap()
                .to_utc()
        };
        let known = self.events.iter().filter(|event| event.at <= known_until);
        let seats = steps_of_changes(known.map(|event| (instant(event.at), event.delta)));
        let known = self.committed.iter().filter(|(at, _)| *at <= known_until);
        let committed = steps_of_levels(known.map(|(at, level)| Step { at: instant(*at), level: *level }));
        Log { seats, committed }
    }

    /// The same, that many days earlier or later.
    pub(super) fn moved_to(mut self, starts_on: NaiveDate) -> Self {
        let by = starts_on - self.starts_on;
        self.starts_on = starts_on;
        self.terms.anchor += by;
        self.events.iter_mut().for_each(|event| event.at += by);
        self.committed.iter_mut().for_each(|(at, _)| *at += by);
        self
    }

    /// What would happen on a day happens at the end of the one before.
    pub(super) fn without(mut self, day: NaiveDate) -> Self {
        let end = end_of(day - Days::new(1));
        self.events.iter_mut().filter(|event| event.at.date() == day).for_each(|event| event.at = end);
        self.committed.iter_mut().filter(|(at, _)| at.date() == day).for_each(|(at, _)| *at = end);
        self
    }

    /// The quantity of a day, by looking at everything: the largest of the levels that the day saw, from its first instant on.
    pub(super) fn quantity(&self, day: NaiveDate) -> i64 {
        let changes =
            self.events.iter().map(|event| event.at).chain(self.committed.iter().map(|(at, _)| *at));
        let instants = changes.filter(|at| at.date() == day).chain([day.and_time(NaiveTime::MIN)]);
        let level = |at: NaiveDateTime| {
            let seats: i64 = self.events.iter().filter(|e| e.at <= at).map(|e| e.delta).sum();
            let committed =
                self.committed.iter().filter(|(from, _)| *from <= at).max_by_key(|(from, _)| *from);
            seats.max(committed.map_or(0, |(_, level)| *level))
        };
        instants.map(level).max().unwrap_or(0)
    }

    /// By what more seats may cost less in a cycle: parts of a price that is a little higher can each be a unit less.
    pub(super) fn slack_minor(&self) -> i64 {
        i64::from(self.terms.payment == PaymentSchedule::Monthly)
    }

    /// As many days after the start as all events need, and then to a boundary.
    pub(super) fn horizon(&self) -> NaiveDate {
        let last = self.starts_on + Days::new(LAST_DAY + 1);
        self.timeline().next_boundary(last).unwrap().unwrap()
    }
}

/// The account as the shell would keep it.
pub(super) struct Account {
    pub(super) timeline: Timeline,
    pub(super) zone: Tz,
    pub(super) next: Option<NaiveDate>,
    pub(super) cycles: Vec<CycleState>,
    pub(super) documents: Vec<(NaiveDate, Vec<Line>)>,
}

impl Account {
    pub(super) fn new(timeline: Timeline, zone: Tz) -> Self {
        let next = timeline.first_boundary().unwrap();
        Self { timeline, zone, next, cycles: Vec::new(), documents: Vec::new() }
    }

    pub(super) fn run(&mut self, as_of: NaiveDate, log: &Log) {
        while let Some(boundary) = self.next.filter(|next| *next <= as_of) {
            self.bill(boundary, log);
            self.next = self.timeline.next_boundary(boundary).unwrap();
        }
    }

    /// The terms turn out to be others.
    pub(super) fn change(&mut self, timeline: Timeline) {
        self.timeline = timeline;
        let last = self.documents.last().map(|(boundary, _)| *boundary);
        self.next = self.timeline.next_boundary(last.unwrap_or(NaiveDate::MIN)).unwrap();
    }

    /// The document of one day, a boundary or not.
    pub(super) fn bill(&mut self, day: NaiveDate, log: &Log) {
        let lines = document(&self.timeline, day, self.zone, &mut self.cycles, log).unwrap();
        self.documents.push((day, lines));
    }

    /// Every boundary in one run, with everything known.
    pub(super) fn late(story: &Story, zone: Tz) -> Self {
        let mut account = Self::new(story.timeline(), zone);
        account.run(story.horizon(), &story.log(zone, NaiveDateTime::MAX));
        account
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.documents.iter().flat_map(|(_, lines)| lines.clone()).collect()
    }

    pub(super) fn totals_by_rate(&self) -> BTreeMap<(Span, NaiveDate, Rate), i64> {
        let mut totals = BTreeMap::new();
        for state in &self.cycles {
            for line in &state.billed {
                let key = (state.cycle.whole, state.cycle.charged.start(), line.rate.clone());
                *totals.entry(key).or_default() += line.amount_minor;
            }
        }
        totals
    }

    pub(super) fn totals(&self) -> Vec<(Cycle, i64)> {
        let total = |state: &CycleState| state.billed.iter().map(|line| line.amount_minor).sum();
        let mut totals: Vec<_> = self.cycles.iter().map(|state| (state.cycle, total(state))).collect();
        totals.sort();
        totals
    }

    pub(super) fn total(&self) -> i64 {
        self.totals().iter().map(|(_, total)| total).sum()
    }
}

/// Events happen on the first so many days.
pub(super) const LAST_DAY: u64 = 120;

pub(super) fn noon(day: NaiveDate) -> NaiveDateTime {
    day.and_hms_opt(12, 0, 0).unwrap()
}

pub(super) fn end_of(day: NaiveDate) -> NaiveDateTime {
    day.and_time(NaiveTime::from_hms_opt(23, 59, 59).unwrap())
}

/// Local order is the order of instants: at midnight, and at times of day at which no zone here turns its clocks.
fn times() -> impl Strategy<Value = (u64, u32)> {
    // Often on few days and at few times, so that much happens at one instant, and as a day begins.
    let days = prop_oneof![2 => 0..=LAST_DAY, 1 => 30..33_u64];
    let minutes = prop_oneof![2 => 4 * 60..23 * 60_u32, 1 => Just(0), 1 => Just(12 * 60)];
    (days, minutes)
}

pub(super) fn raw_events() -> impl Strategy<Value = Vec<(u64, u32, bool)>> {
    prop::collection::vec(
        (times(), any::<bool>()).prop_map(|((day, minute), adds)| (day, minute, adds)),
        0..14,
    )
}

fn local((day, minute): (u64, u32), start: NaiveDate) -> NaiveDateTime {
    (start + Days::new(day)).and_time(NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).unwrap())
}

pub(super) fn stories() -> impl Strategy<Value = Story> {
    let interval = prop::sample::select(vec![
        (Interval::MONTH, PaymentSchedule::AtOnce),
        (Interval::YEAR, PaymentSchedule::AtOnce),
        (Interval::YEAR, PaymentSchedule::Monthly),
    ]);
    let removal = prop::sample::select(vec![RemovalPolicy::AtCycleEnd, RemovalPolicy::CreditToBalance]);
    let dates = (days_of_years(), -400_i64..400);
    let committed = prop::collection::btree_map(times(), 0_i64..4, 0..3);
    (tariffs(), interval, removal, dates, currencies(), raw_events(), (0_i64..4, committed)).prop_map(
        |(tariff, (interval, payment), removal, (starts_on, offset), currency, raw, (committed, changes))| {
            let anchor = starts_on + chrono::TimeDelta::days(offset);
            let (term, suspension) = (Interval::YEAR, SuspensionPolicy::Continue);
            let terms = Terms { tariff, interval, payment, anchor, term, removal, suspension };
            let changes = changes.into_iter().map(|(at, level)| (local(at, starts_on), level));
            let committed = [(starts_on.and_time(NaiveTime::MIN), committed)].into_iter().chain(changes);
            let events = possible(starts_on, raw);
            Story { currency, starts_on, terms, events, committed: committed.collect() }
        },
    )
}

/// Adds, and removals of what is there.
pub(super) fn possible(start: NaiveDate, mut raw: Vec<(u64, u32, bool)>) -> Vec<Event> {
    raw.sort_unstable();
    let mut level = 0;
    raw.into_iter()
        .map(|(day, minute, adds)| {
            let delta = if adds || level == 0 { 1 } else { -1 };
            level += delta;
            Event { at: local((day, minute), start), delta }
        })
        .collect()
}
