//! What goes on the document of one boundary: the cycle that opens on it, in advance, and what has changed in the
//! cycles before it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::RatingError;
use super::calendar::Cycle;
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
        let on =
            |day| self.billed.iter().filter(|line| line.period.contains(day)).map(|line| line.quantity).sum();
        self.cycle.charged.each_day().map(|day| (day, on(day))).collect()
    }
}

/// Why a line is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// A cycle, in advance.
    Recurring,
    /// Units, or days at a rate, added in a cycle that was billed before.
    Proration,
    /// Units, or days at a rate, removed from a cycle that was billed before.
    Credit,
}

impl LineKind {
    /// `recurring`, `proration` or `credit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recurring => "recurring",
            Self::Proration => "proration",
            Self::Credit => "credit",
        }
    }

    /// The one with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Recurring, Self::Proration, Self::Credit].into_iter().find(|kind| kind.as_str() == name)
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
}

/// Opens every cycle that has begun to be charged by `boundary`, in the calendar of `zone`, and brings all cycles
/// up to what is known at the end of that day. The lines are already part of `cycles` when this returns; called
/// again, it adds nothing.
///
/// A cycle that the timeline has come to cut, or to extend again, has its charged days changed in `cycles`. One that
/// the timeline has come to have no more is credited whole, and stays as it is: [`Timeline::cycle_at`] its first
/// charged day is another.
pub fn document(
    timeline: &Timeline,
    boundary: NaiveDate,
    zone: Tz,
    cycles: &mut Vec<CycleState>,
    log: &Log,
) -> Result<Vec<Line>, RatingError> {
    let courses = timeline.courses()?;
    let opening = open(timeline, &courses, boundary, zone, cycles)?;
    let mut lines = Vec::new();
    for state in cycles.iter_mut().rev() {
        let course = course_of(&courses, &state.cycle);
        if let Some(course) = course {
            state.cycle = course.cycle_at(state.cycle.charged.start())?;
        }
        let is_new = state.billed.is_empty() && opening.contains(&state.cycle);
        for (rate, charge) in outstanding(timeline, course, boundary, state, log)? {
            let kind = match charge.quantity {
                _ if is_new => LineKind::Recurring,
                ..0 => LineKind::Credit,
                0.. => LineKind::Proration,
            };
            state.billed.push(charge.billed_at(rate.clone()));
            lines.push(Line { kind, cycle: state.cycle, rate, charge });
        }
    }
    Ok(lines)
}

/// Opens the cycles that have an active day by `boundary`, also those of a past that was changed. Returns the ones
/// that are opened on it.
fn open(
    timeline: &Timeline,
    courses: &[Course<'_>],
    boundary: NaiveDate,
    zone: Tz,
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
                cycles.push(CycleState { cycle, zone, billed: Vec::new() });
            }
            if !is_open || first == boundary {
                opening.push(cycle);
            }
        }
    }
    Ok(opening)
}

/// What remains to be billed of a cycle, rate by rate, those that were billed before first.
fn outstanding(
    timeline: &Timeline,
    course: Option<&Course<'_>>,
    boundary: NaiveDate,
    state: &CycleState,
    log: &Log,
) -> Result<Vec<(Rate, Charge)>, RatingError> {
    let whole = state.cycle.whole;
    let days = match course {
        Some(course) => in_force(timeline, course, (&state.cycle, state.zone), log, boundary)?,
        None => Vec::new(),
    };
    let mut rates: Vec<&Rate> = Vec::new();
    for rate in state.billed.iter().map(|line| &line.rate).chain(days.iter().map(|day| &day.rate)) {
        if !rates.contains(&rate) {
            rates.push(rate);
        }
    }
    let mut charges = Vec::new();
    for rate in rates {
        let at_this = days.iter().filter(|day| day.rate == *rate);
        let by_day: BTreeMap<NaiveDate, i64> = at_this.map(|day| (day.day, day.quantity)).collect();
        let quantities: Vec<i64> =
            whole.each_day().map(|day| by_day.get(&day).copied().unwrap_or(0)).collect();
        let found = reconcile(rate, timeline.currency(), whole, &quantities, &state.billed)?;
        charges.extend(found.into_iter().map(|charge| (rate.clone(), charge)));
    }
    Ok(charges)
}
