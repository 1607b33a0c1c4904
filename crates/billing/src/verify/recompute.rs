//! Computing the documents again, by the rating core and from the first boundary on.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::Money;

use super::difference::{Difference, LineFigures};
use crate::invoice::{Invoice, InvoiceLine};
use crate::rating::{
    CycleState, Line, Log, RatingError, Span, Step, document, steps_of_changes, steps_of_levels,
};
use crate::subscription::Subscription;

/// A boundary that was billed, and what was known then.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) boundary: NaiveDate,
    /// The calendar that a cycle which opens on it is of.
    pub(super) zone: Tz,
    pub(super) seat_changes_known: usize,
    pub(super) commitments_known: usize,
    pub(super) terms_known: usize,
}

/// The whole of the logs, in the order in which they were written.
#[derive(Debug)]
pub(super) struct WholeLog {
    pub(super) seat_changes: Vec<(DateTime<Utc>, i64)>,
    pub(super) commitments: Vec<Step>,
    /// With all terms.
    pub(super) subscription: Subscription,
}

impl WholeLog {
    /// What was known at a boundary; `None` if that is more than there is.
    fn known(&self, at: &Recorded) -> Option<(Log, Subscription)> {
        let changes = self.seat_changes.get(..at.seat_changes_known)?;
        let committed = self.commitments.get(..at.commitments_known)?;
        let log = Log {
            seats: steps_of_changes(changes.iter().copied()),
            committed: steps_of_levels(committed.iter().copied()),
        };
        Some((log, self.subscription.with_first_terms(at.terms_known)?))
    }
}

/// Everything that an account's documents are computed from, and the documents.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) log: WholeLog,
    pub(super) boundaries: Vec<Recorded>,
    /// The cycles as they were before the first recorded boundary: what is not recorded is taken as it is stored.
    pub(super) before: Vec<CycleState>,
    /// The cycles as they are stored now.
    pub(super) stored: Vec<CycleState>,
    /// The documents, by the day that they were issued on.
    pub(super) documents: BTreeMap<NaiveDate, Invoice>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Recomputed {
    pub(super) differences: Vec<Difference>,
    /// Documents of before it was recorded what was known.
    pub(super) unrecorded: u64,
}

impl Account {
    /// Computes the lines of every boundary from the first recorded one on, and compares them with those of its
    /// document. Each goes on from the lines as they should be, so that one wrong line is one difference.
    pub(super) fn recompute(mut self, first: NaiveDate) -> Recomputed {
        let recorded = self.documents.split_off(&first);
        let unrecorded = std::mem::replace(&mut self.documents, recorded).len() as u64;
        let mut differences = Vec::new();
        if let Err(stop) = self.replay(first, &mut differences) {
            differences.push(*stop);
            return Recomputed { differences, unrecorded };
        }
        differences.extend(self.documents.values().map(unfounded));
        // Beside a wrong line it would say the same again.
        if differences.is_empty() {
            let (computed, stored) = (states(&self.before), states(&self.stored));
            let apart: BTreeSet<_> =
                computed.symmetric_difference(&stored).map(|state| state.starts_on).collect();
            differences.extend(apart.into_iter().map(|starts_on| Difference::Cycle { starts_on }));
        }
        Recomputed { differences, unrecorded }
    }

    /// Stops at the first boundary that cannot be computed: those after it could not be, either.
    fn replay(&mut self, first: NaiveDate, differences: &mut Vec<Difference>) -> Result<(), Box<Difference>> {
        let mut due = first;
        for recorded in &self.boundaries {
            let boundary = recorded.boundary;
            if boundary != due {
                differences.push(Difference::Boundary { computed: due, stored: boundary });
            }
            let not_ratable = |error: RatingError| Box::new(Difference::NotRatable { boundary, error });
            let (log, subscription) = self.log.known(recorded).ok_or(Difference::LogCut { boundary })?;
            let timeline = subscription.timeline();
            let lines =
                document(&timeline, boundary, recorded.zone, &mut self.before, &log).map_err(not_ratable)?;
            let computed = lines
                .iter()
                .map(|line| computed(line, &subscription))
                .collect::<Option<Vec<_>>>()
                .ok_or(Difference::Unreadable("price"))?;
            compare(boundary, &computed, self.documents.remove(&boundary), differences);
            due = timeline
                .next_boundary(boundary)
                .map_err(not_ratable)?
                .ok_or_else(|| not_ratable(RatingError::DateRange))?;
        }
        let stored = self.log.subscription.next_invoice_on;
        if due != stored {
            differences.push(Difference::Boundary { computed: due, stored });
        }
        Ok(())
    }
}

/// A document that nothing calls for.
pub(super) fn unfounded(document: &Invoice) -> Difference {
    Difference::DocumentUnfounded { document: document.id, issued_on: document.issued_on }
}

/// What a run goes on from: of a cycle, and of its lines how many there are on which days.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    starts_on: NaiveDate,
    whole: Span,
    zone: &'static str,
    lines: Vec<(Span, i64)>,
}

fn states(cycles: &[CycleState]) -> BTreeSet<State> {
    let state = |state: &CycleState| {
        let mut lines: Vec<_> = state.billed.iter().map(|line| (line.period, line.quantity)).collect();
        lines.sort_unstable();
        let (starts_on, whole) = (state.cycle.charged.start(), state.cycle.whole);
        State { starts_on, whole, zone: state.zone.name(), lines }
    };
    cycles.iter().map(state).collect()
}

fn compare(
    boundary: NaiveDate,
    computed: &[LineFigures],
    stored: Option<Invoice>,
    differences: &mut Vec<Difference>,
) {
    let Some(stored) = stored else {
        if !computed.is_empty() {
            differences.push(Difference::DocumentMissing { boundary, lines: computed.len() });
        }
        return;
    };
    for index in 0..stored.lines.len().max(computed.len()) {
        let (line, should_be) = (stored.lines.get(index).map(as_stored), computed.get(index).copied());
        if line != should_be {
            let (document, position) = (stored.id, index + 1);
            differences.push(Difference::Line { document, position, stored: line, computed: should_be });
        }
    }
}

fn as_stored(line: &InvoiceLine) -> LineFigures {
    let InvoiceLine { kind, period, quantity, seat_days, price_id, unit_price, amount, .. } = *line;
    LineFigures { tenant_id: None, kind, period, quantity, seat_days, price_id, unit_price, amount }
}

fn computed(line: &Line, subscription: &Subscription) -> Option<LineFigures> {
    let price = subscription.price_at(&line.rate.tariff)?;
    Some(LineFigures {
        tenant_id: None,
        kind: line.kind,
        period: line.charge.period,
        quantity: line.charge.quantity,
        seat_days: line.charge.seat_days,
        price_id: price.id,
        unit_price: line.rate.tariff.unit_price(),
        amount: Money::new(line.charge.amount_minor, price.currency),
    })
}
