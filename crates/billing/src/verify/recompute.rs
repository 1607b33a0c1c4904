//! Computing the documents again, by the rating core and from the first boundary on.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::{Currency, Money};

use super::difference::{Difference, LineFigures};
use crate::invoice::{Invoice, InvoiceLine};
use crate::rating::{
    Billed, CycleState, Line, Log, RatingError, Step, Terms, UnitPrice, document, steps_of_changes,
};

/// A boundary that was billed, and what was known then.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) boundary: NaiveDate,
    /// The calendar that a cycle which opens on it is of.
    pub(super) zone: Tz,
    pub(super) seat_changes_known: usize,
    pub(super) commitments_known: usize,
}

/// The whole of the two logs, in the order in which they were written.
#[derive(Debug)]
pub(super) struct WholeLog {
    pub(super) seat_changes: Vec<(DateTime<Utc>, i64)>,
    pub(super) commitments: Vec<Step>,
}

impl WholeLog {
    /// What was known at a boundary; `None` if that is more than there is.
    fn known(&self, at: &Recorded) -> Option<Log> {
        let changes = self.seat_changes.get(..at.seat_changes_known)?;
        // Of those at one instant, the last that was set.
        let committed: BTreeMap<_, _> =
            self.commitments.get(..at.commitments_known)?.iter().map(|step| (step.at, step.level)).collect();
        Some(Log {
            seats: steps_of_changes(changes.iter().copied()),
            committed: committed.into_iter().map(|(at, level)| Step { at, level }).collect(),
        })
    }
}

/// Everything that an account's documents are computed from, and the documents.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) terms: Terms,
    pub(super) next_invoice_on: NaiveDate,
    pub(super) boundaries: Vec<Recorded>,
    pub(super) log: WholeLog,
    /// The cycles that were opened.
    pub(super) cycles: Vec<CycleState>,
    /// The documents, by the day that they were issued on.
    pub(super) documents: BTreeMap<NaiveDate, Invoice>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Recomputed {
    pub(super) differences: Vec<Difference>,
    /// Documents of before it was recorded what was known.
    pub(super) unrecorded: u64,
}

impl Account {
    /// Computes every recorded boundary's lines and compares them with those of its document. Each goes on from the
    /// lines as they should be, so that one wrong line is one difference.
    pub(super) fn recompute(mut self) -> Recomputed {
        let mut done = Recomputed::default();
        if let Some(first) = self.boundaries.first().map(|first| first.boundary) {
            let earlier = self.split_off_before(first);
            done.unrecorded = earlier.len() as u64;
            self.start_from(first, &earlier);
            if let Err(difference) = self.replay(first, &mut done.differences) {
                done.differences.push(difference);
                return done;
            }
            let rest = self.documents.into_values();
            done.differences.extend(
                rest.map(|left| Difference::DocumentUnfounded {
                    document: left.id,
                    issued_on: left.issued_on,
                }),
            );
        } else {
            done.unrecorded = self.documents.len() as u64;
        }
        done
    }

    fn split_off_before(&mut self, first: NaiveDate) -> Vec<Invoice> {
        let recorded = self.documents.split_off(&first);
        std::mem::replace(&mut self.documents, recorded).into_values().collect()
    }

    /// The cycles as they were before the first recorded boundary: what is not recorded is taken as it is stored.
    fn start_from(&mut self, first: NaiveDate, earlier: &[Invoice]) {
        self.cycles.retain(|state| state.cycle.charged.start() < first);
        for state in &mut self.cycles {
            let lines = earlier.iter().flat_map(|document| &document.lines);
            let own = lines.filter(|line| state.cycle.charged.contains(line.period.start()));
            state.billed = own.map(billed).collect();
        }
    }

    /// Stops at the first boundary that cannot be computed: those after it could not be, either.
    fn replay(&mut self, first: NaiveDate, differences: &mut Vec<Difference>) -> Result<(), Difference> {
        let mut due = first;
        for recorded in &self.boundaries {
            let boundary = recorded.boundary;
            if boundary != due {
                differences.push(Difference::Boundary { computed: due, stored: boundary });
            }
            let not_ratable = |error: RatingError| Difference::NotRatable { boundary, error };
            let log = self.log.known(recorded).ok_or(Difference::LogCut { boundary })?;
            let lines = document(&self.terms, boundary, recorded.zone, &mut self.cycles, &log)
                .map_err(not_ratable)?;
            compare(&self.terms, boundary, &lines, self.documents.remove(&boundary), differences);
            due = self.terms.next_boundary(boundary).map_err(not_ratable)?;
        }
        if due != self.next_invoice_on {
            differences.push(Difference::Boundary { computed: due, stored: self.next_invoice_on });
        }
        Ok(())
    }
}

fn billed(line: &InvoiceLine) -> Billed {
    Billed { period: line.period, quantity: line.quantity, amount_minor: line.amount.amount_minor }
}

fn compare(
    terms: &Terms,
    boundary: NaiveDate,
    lines: &[Line],
    stored: Option<Invoice>,
    differences: &mut Vec<Difference>,
) {
    let Some(stored) = stored else {
        if !lines.is_empty() {
            differences.push(Difference::DocumentMissing { boundary, lines: lines.len() });
        }
        return;
    };
    for index in 0..stored.lines.len().max(lines.len()) {
        let computed = lines.get(index).map(|line| computed(line, terms.unit_price, terms.currency));
        let stored_line = stored.lines.get(index).map(as_stored);
        if computed != stored_line {
            let (document, position) = (stored.id, index + 1);
            differences.push(Difference::Line { document, position, stored: stored_line, computed });
        }
    }
}

fn as_stored(line: &InvoiceLine) -> LineFigures {
    let InvoiceLine { kind, period, quantity, seat_days, unit_price, amount, .. } = *line;
    LineFigures { kind, period, quantity, seat_days, unit_price, amount }
}

fn computed(line: &Line, unit_price: UnitPrice, currency: Currency) -> LineFigures {
    LineFigures {
        kind: line.kind,
        period: line.charge.period,
        quantity: line.charge.quantity,
        seat_days: line.charge.seat_days,
        unit_price,
        amount: Money::new(line.charge.amount_minor, currency),
    }
}
