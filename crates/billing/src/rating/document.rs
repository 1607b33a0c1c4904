//! What goes on the document of one boundary: the cycle that opens on it, in advance, and what has changed in the
//! cycles before it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use kernel::named;

use super::RatingError;
use super::calendar::{Cycle, Zones};
use super::discount::Rate;
use super::in_force::{Log, in_force};
use super::reconcile::{Billed, Charge, reconcile};
use super::timeline::{Course, Timeline, course_of, is_same};

/// A cycle that has been opened, and what was billed for it.
#[derive(Debug, Clone)]
pub struct CycleState {
    /// Its days. The whole cycle and the first charged day name it among the cycles of the item.
    pub cycle: Cycle,
    /// The zone whose calendar its days are of, as it was when the cycle opened.
    pub zone: Tz,
    /// Its lines so far.
    pub billed: Vec<Billed>,
}

impl CycleState {
    /// The units that have been charged for each of its days.
    pub fn quantities(&self) -> Vec<(NaiveDate, i64)> {
        self.cycle.charged.each_day().map(|day| (day, self.quantity_on(day))).collect()
    }

    /// The units that have been charged for one day.
    pub fn quantity_on(&self, day: NaiveDate) -> i64 {
        self.billed.iter().filter(|line| line.period.contains(day)).map(|line| line.quantity).sum()
    }

    /// Bills a charge: it is part of the cycle when this returns. `is_new`: the cycle opens with it.
    pub fn bill(&mut self, is_new: bool, rate: &Rate, charge: Charge) -> Line {
        let kind = match (charge.quantity, charge.amount_minor) {
            _ if is_new => LineKind::Recurring,
            (..0, _) | (0, ..0) => LineKind::Credit,
            (0.., _) => LineKind::Proration,
        };
        let is_first = self.billed.is_empty();
        self.billed.push(charge.billed_at(rate.clone()));
        Line { kind, cycle: self.cycle, rate: rate.clone(), charge, is_first }
    }
}

named! {
    /// Why a line is there.
    LineKind {
        /// A cycle, in advance.
        Recurring = "recurring",
        /// What was used in a cycle, in arrears.
        Usage = "usage",
        /// Units, or days at a rate, added in a cycle that was billed before; or units that have come to cost more.
        Proration = "proration",
        /// Units, or days at a rate, removed from a cycle that was billed before; or units that have come to cost less.
        Credit = "credit",
    }
}

/// A line of a boundary's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Why it is there.
    pub kind: LineKind,
    /// The cycle it belongs to.
    pub cycle: Cycle,
    /// What it is charged at, or was.
    pub rate: Rate,
    /// What it charges.
    pub charge: Charge,
    /// Whether nothing of the cycle was billed before it.
    pub is_first: bool,
}

/// Opens every cycle that has begun to be charged by `boundary`, in the calendar that `zones` say, and brings all cycles
/// up to what is known at the end of that day. The lines are already part of `cycles` when this returns; called
/// again, it adds nothing.
///
/// A cycle that the timeline has come to cut, or to extend again, has its charged days changed in `cycles`. One that
/// the timeline has come to have no more is credited whole, and stays as it is: [`Timeline::cycle_at`] its first
/// charged day is another.
pub fn document<'a>(
    timeline: &Timeline,
    boundary: NaiveDate,
    zones: impl Into<Zones<'a>>,
    cycles: &mut Vec<CycleState>,
    log: &Log,
) -> Result<Vec<Line>, RatingError> {
    let at = Boundary::open(timeline, boundary, zones, cycles, log)?;
    let mut lines = Vec::new();
    for state in cycles.iter_mut().rev() {
        let in_force = at.in_force(state)?;
        let is_new = at.is_new(state);
        for (rate, levels) in in_force {
            let charges = reconcile(&rate, timeline.currency(), &state.cycle, &levels, &state.billed)?;
            lines.extend(charges.into_iter().map(|charge| state.bill(is_new, &rate, charge)));
        }
    }
    Ok(lines)
}

/// An account at one boundary: which cycles open on it, and what is in force in each.
#[derive(Debug)]
pub struct Boundary<'a> {
    timeline: &'a Timeline,
    courses: Vec<Course<'a>>,
    day: NaiveDate,
    log: &'a Log,
    /// Those that are opened on it.
    opening: Vec<Cycle>,
}

impl<'a> Boundary<'a> {
    /// Opens the cycles that have an active day by `day`, also those of a past that was changed.
    pub fn open<'b>(
        timeline: &'a Timeline,
        day: NaiveDate,
        zones: impl Into<Zones<'b>>,
        cycles: &mut Vec<CycleState>,
        log: &'a Log,
    ) -> Result<Self, RatingError> {
        let courses = timeline.courses()?;
        let opening = open(timeline, &courses, day, zones.into(), cycles)?;
        Ok(Self { timeline, courses, day, log, opening })
    }

    /// Whether a cycle opens on it, and nothing of it was billed.
    pub fn is_new(&self, state: &CycleState) -> bool {
        state.billed.is_empty() && self.opening.contains(&state.cycle)
    }

    /// What is in force on each day of the whole cycle, rate by rate, those that were billed before first. A cycle that was
    /// cut or extended has its charged days changed.
    pub fn in_force(&self, state: &mut CycleState) -> Result<Vec<(Rate, Vec<i64>)>, RatingError> {
        let days = match course_of(&self.courses, &state.cycle) {
            Some(course) => {
                state.cycle = course.cycle_at(state.cycle.charged.start())?;
                in_force(self.timeline, course, (&state.cycle, state.zone), self.log, self.day)?
            }
            None => Vec::new(),
        };
        let mut rates: Vec<&Rate> = Vec::new();
        for rate in state.billed.iter().map(|line| &line.rate).chain(days.iter().map(|day| &day.rate)) {
            if !rates.contains(&rate) {
                rates.push(rate);
            }
        }
        let levels = |rate: &Rate| {
            let at_this = days.iter().filter(|day| day.rate == *rate);
            let by_day: BTreeMap<NaiveDate, i64> = at_this.map(|day| (day.day, day.quantity)).collect();
            state.cycle.whole.each_day().map(|day| by_day.get(&day).copied().unwrap_or(0)).collect()
        };
        Ok(rates.into_iter().map(|rate| (rate.clone(), levels(rate))).collect())
    }
}

/// As [`Boundary::open`]; returns the cycles that are opened on it.
pub(super) fn open(
    timeline: &Timeline,
    courses: &[Course<'_>],
    boundary: NaiveDate,
    zones: Zones<'_>,
    cycles: &mut Vec<CycleState>,
) -> Result<Vec<Cycle>, RatingError> {
    let mut opening = Vec::new();
    for course in courses {
        let mut day = course.start;
        while day <= boundary && course.contains(day) {
            let cycle = course.cycle_at(day)?;
            day = cycle.charged.end();
            let first = timeline.first_active_day(course, &cycle);
            let Some(first) = first.filter(|first| *first <= boundary) else { continue };
            let is_open = cycles.iter().any(|state| is_same(&state.cycle, &cycle));
            if !is_open {
                let zone = zones.of(&cycle);
                cycles.push(CycleState { cycle, zone, billed: Vec::new() });
            }
            if !is_open || first == boundary {
                opening.push(cycle);
            }
        }
    }
    Ok(opening)
}
