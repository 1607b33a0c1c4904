//! What goes on the document of one boundary: the cycle that opens on it, in advance, and what has changed in the
//! cycles before it.

use chrono::NaiveDate;
use chrono_tz::Tz;
use kernel::Currency;

use super::RatingError;
use super::calendar::{Cycle, Interval, Schedule};
use super::quantity::{DayLevels, Step};
use super::reconcile::{Billed, Charge, RemovalPolicy, in_force, reconcile};
use super::tariff::Tariff;

/// What one subscription item is charged by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What a quantity costs for one whole cycle.
    pub tariff: Tariff,
    /// Of the price and of every document.
    pub currency: Currency,
    /// How long a cycle is.
    pub interval: Interval,
    /// When a removed unit stops being charged.
    pub removal: RemovalPolicy,
    /// Where cycles are counted from; before, on or after the start.
    pub anchor: NaiveDate,
    /// The first day that is charged.
    pub starts_on: NaiveDate,
}

impl Terms {
    fn cycles(&self) -> Result<Schedule, RatingError> {
        Schedule::anchored_on(self.anchor, self.interval)
    }

    /// The boundary after one: documents are made at the start and on each monthly boundary of the anchor, for
    /// longer cycles too, so that what is added to an annual subscription does not wait for a year.
    pub fn next_boundary(&self, after: NaiveDate) -> Result<NaiveDate, RatingError> {
        match self.interval {
            Interval::Months(_) => Schedule::anchored_on(self.anchor, Interval::MONTH)?.next_after(after),
            Interval::Days(_) => self.cycles()?.next_after(after),
        }
    }

    /// The cycle that opens on a boundary, if one does.
    pub fn opens_on(&self, boundary: NaiveDate) -> Result<Option<Cycle>, RatingError> {
        let cycles = self.cycles()?;
        if boundary != self.starts_on && !cycles.begins_on(boundary)? {
            return Ok(None);
        }
        cycles.charged_at(boundary, self.starts_on)
    }
}

/// The event log of an account, in order of time.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// How many users held a seat.
    pub seats: Vec<Step>,
    /// The committed minimum.
    pub committed: Vec<Step>,
}

/// A cycle that has been opened, and what was billed for it.
#[derive(Debug, Clone)]
pub struct CycleState {
    /// Its days.
    pub cycle: Cycle,
    /// The zone whose calendar its days are of, as it was when the cycle opened.
    pub zone: Tz,
    /// Its lines so far.
    pub billed: Vec<Billed>,
}

/// Why a line is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// A cycle, in advance.
    Recurring,
    /// Units added in a cycle that was billed before.
    Proration,
    /// Units removed from a cycle that was billed before.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Why it is there.
    pub kind: LineKind,
    /// The cycle it belongs to.
    pub cycle: Cycle,
    /// What it charges.
    pub charge: Charge,
}

/// Opens the cycle that begins on `boundary`, in the calendar of `zone`, and brings every cycle up to what is known
/// at the end of that day. The lines are already part of `cycles` when this returns; called again, it adds nothing.
pub fn document(
    terms: &Terms,
    boundary: NaiveDate,
    zone: Tz,
    cycles: &mut Vec<CycleState>,
    log: &Log,
) -> Result<Vec<Line>, RatingError> {
    if let Some(cycle) = terms.opens_on(boundary)?
        && cycles.iter().all(|state| state.cycle != cycle)
    {
        cycles.push(CycleState { cycle, zone, billed: Vec::new() });
    }
    if !cycles.iter().any(|state| state.cycle.charged.contains(boundary)) {
        return Err(RatingError::CycleMissing);
    }
    let mut lines = Vec::new();
    for state in cycles.iter_mut().rev() {
        let is_new = state.billed.is_empty() && state.cycle.charged.start() == boundary;
        for charge in outstanding(terms, boundary, state, log)? {
            let kind = match charge.quantity {
                _ if is_new => LineKind::Recurring,
                ..0 => LineKind::Credit,
                0.. => LineKind::Proration,
            };
            let Charge { period, quantity, amount_minor, .. } = charge;
            state.billed.push(Billed { period, quantity, amount_minor });
            lines.push(Line { kind, cycle: state.cycle, charge });
        }
    }
    Ok(lines)
}

fn outstanding(
    terms: &Terms,
    boundary: NaiveDate,
    state: &CycleState,
    log: &Log,
) -> Result<Vec<Charge>, RatingError> {
    let seats = DayLevels::new(&log.seats, state.zone)?;
    let committed = DayLevels::new(&log.committed, state.zone)?;
    let quantities = in_force(terms.removal, state.cycle.charged, &[&seats, &committed], boundary);
    reconcile(&terms.tariff, terms.currency, &state.cycle, &quantities, &state.billed)
}
