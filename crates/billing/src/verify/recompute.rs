//! Computing the documents again, by the rating core and from the first boundary on.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::{Currency, InvoiceId, Money};

use super::difference::{Difference, LineFigures};
use super::tax;
use crate::Error;
use crate::invoice::{Billing, Invoice, InvoiceLine, InvoiceLineKind};
use crate::price_book::Item;
use crate::rating::{
    Billed, Cycle, CycleState, Instalment, LineKind, Log, PriceBasis, Rate, Span, Step, steps_of_changes,
    steps_of_levels,
};
use crate::subscription::{Agreements, Cycles, OwedLine, Used, Windows};
use tenancy::mailbox::count::CountChange;
use tenancy::storage_sample::StorageSample;

/// A boundary that was billed, and what was known then.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) billing: Billing,
    /// The calendar that a cycle which opens on it is of.
    pub(super) zone: Tz,
    pub(super) seat_changes_known: usize,
    pub(super) mailbox_changes_known: usize,
    /// The last one's position.
    pub(super) storage_sample_known: Option<i64>,
    pub(super) commitments_known: usize,
    pub(super) terms_known: usize,
    pub(super) standings_known: usize,
    pub(super) discounts_known: usize,
}

/// The whole of the logs, in the order in which they were written.
#[derive(Debug)]
pub(super) struct WholeLog {
    pub(super) seat_changes: Vec<(DateTime<Utc>, i64)>,
    pub(super) commitments: Vec<Step>,
    pub(super) mailbox_changes: Vec<CountChange>,
    pub(super) stored: Vec<StorageSample>,
    pub(super) agreed: Agreements,
}

impl WholeLog {
    /// What was known at a boundary; `None` if that is more than there is.
    fn known(&self, at: &Recorded) -> Option<(Used, Agreements)> {
        let changes = self.seat_changes.get(..at.seat_changes_known)?;
        let committed = self.commitments.get(..at.commitments_known)?;
        let seats = Log {
            seats: steps_of_changes(changes.iter().copied()),
            committed: steps_of_levels(committed.iter().copied()),
        };
        let mailboxes = self.mailbox_changes.get(..at.mailbox_changes_known)?;
        let stored = StorageSample::up_to(&self.stored, at.storage_sample_known)?;
        Some((
            Used::new(seats, mailboxes, stored),
            self.agreed.first(at.billing, at.terms_known, at.standings_known, at.discounts_known)?.ok()?,
        ))
    }
}

/// Everything that an account's documents are computed from, and the documents.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) log: WholeLog,
    pub(super) boundaries: Vec<Recorded>,
    /// The next boundary, as it is stored.
    pub(super) next_invoice_on: Option<NaiveDate>,
    /// Whether the next run bills the last boundary again.
    pub(super) bills_again: bool,
    /// What counts as billed no more, and after which billing that was.
    pub(super) unbilled: Vec<(Billing, InvoiceId)>,
    /// Whether the subscription has taken account of how the tenant stands.
    pub(super) standings_are_known: bool,
    /// What taxes are computed from.
    pub(super) tax: tax::Account,
    /// The cycles as they were before the first recorded boundary: what is not recorded is taken as it is stored.
    pub(super) before: Cycles,
    /// The cycles as they are stored now.
    pub(super) stored: Cycles,
    /// The documents, by what they were made by: one of each issuer.
    pub(super) documents: BTreeMap<Billing, Vec<Invoice>>,
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
        let recorded = self.documents.split_off(&Billing { boundary: first, revision: 0 });
        let before = std::mem::replace(&mut self.documents, recorded);
        let before: Vec<Invoice> = before.into_values().flatten().collect();
        let unrecorded = before.len() as u64;
        before.into_iter().for_each(|document| self.tax.keep(document));
        let mut differences = Vec::new();
        if let Err(stop) = self.replay(&mut differences) {
            differences.push(*stop);
            return Recomputed { differences, unrecorded };
        }
        differences.extend(self.documents.values().flatten().map(unfounded));
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
    fn replay(&mut self, differences: &mut Vec<Difference>) -> Result<(), Box<Difference>> {
        // Of those before the first that is recorded the last is not known, if there are any.
        let mut last = self.before.is_empty().then_some(None);
        let mut windows = Windows::default();
        for recorded in &self.boundaries {
            let Billing { boundary, revision } = recorded.billing;
            let (used, agreed) = self.log.known(recorded).ok_or(Difference::LogCut { boundary })?;
            match last {
                // Billed again: only ever the last.
                Some(Some(last)) if revision > 1 && last == boundary => {}
                Some(last) => due(&agreed, last, Some(boundary), differences)?,
                None => {}
            }
            let timelines = agreed.timelines().map_err(|_| Difference::Unreadable("terms"))?;
            // As the run did: one that bills a boundary again looks at every cycle.
            let settled = last.flatten().filter(|_| revision == 1);
            let (at, stored) = ((boundary, recorded.zone), Some(&self.stored));
            let lines = agreed
                .rate(&timelines, at, stored, settled, &mut self.before, &used)
                .map_err(|error| unowable(boundary, &error))?;
            let lines = agreed
                .owed(&lines, &windows.bill(recorded.billing), boundary)
                .map_err(|error| unowable(boundary, &error))?;
            let terms = agreed.terms().map_err(|_| Difference::Unreadable("terms"))?;
            let (basis, currency) = (terms.price.basis, terms.price.currency);
            let stored = self.documents.remove(&recorded.billing).unwrap_or_default();
            let priced = (basis, currency);
            let parts = compare_documents(&mut self.tax, boundary, priced, &lines, stored, differences)?;
            part(&mut self.before, &lines, &parts);
            last = Some(Some(boundary));
            for (_, id) in self.unbilled.iter().filter(|(after, _)| *after == recorded.billing) {
                if let Some(document) = self.tax.let_go(*id) {
                    take_out(&mut self.before, &document);
                    let is_charge = |line: &InvoiceLine| {
                        !matches!(
                            line.kind,
                            InvoiceLineKind::Rated(LineKind::Credit) | InvoiceLineKind::Discount
                        )
                    };
                    let charges = document.lines.iter().any(is_charge);
                    document
                        .billing
                        .filter(|_| charges)
                        .into_iter()
                        .for_each(|billing| windows.let_go(billing));
                }
            }
        }
        // What became of the tenant since is taken account of by the next run.
        if let (true, Some(last)) = (self.bills_again, last) {
            if self.next_invoice_on != last {
                differences.push(Difference::Boundary { computed: last, stored: self.next_invoice_on });
            }
        } else if let Some(last) = last.filter(|_| self.standings_are_known) {
            due(&self.log.agreed, last, self.next_invoice_on, differences)?;
        }
        Ok(())
    }
}

/// Compares what a boundary owes with its documents, each issuer's, and goes on from these.
fn compare_documents(
    tax: &mut tax::Account,
    boundary: NaiveDate,
    (basis, currency): (PriceBasis, Currency),
    lines: &[OwedLine],
    mut stored: Vec<Invoice>,
    differences: &mut Vec<Difference>,
) -> Result<Vec<OwedLine>, Box<Difference>> {
    let is_as_stored = |lines: &[OwedLine], stored: Option<&Invoice>| {
        let mut apart = Vec::new();
        compare(boundary, &figures(lines, currency), stored, &mut apart);
        apart.is_empty()
    };
    let by_issuer = tax.apportion(lines, &stored, is_as_stored);
    let by_issuer = by_issuer.map_err(|error| unowable(boundary, &error))?;
    let parts = by_issuer.values().flatten().cloned().collect();
    for (issuer, lines) in by_issuer {
        let at = stored.iter().position(|document| document.issuer.id == issuer);
        let stored = at.map(|at| stored.remove(at));
        let before = differences.len();
        compare(boundary, &figures(&lines, currency), stored.as_ref(), differences);
        let are_as_rated = differences.len() == before;
        let taxes = tax.compare(basis, &lines, stored.as_ref());
        // Beside a wrong line they would say the same again.
        differences.extend(taxes.into_iter().filter(|_| are_as_rated));
        stored.into_iter().for_each(|stored| tax.keep(stored));
    }
    for unowed in stored {
        compare(boundary, &[], Some(&unowed), differences);
        tax.keep(unowed);
    }
    Ok(parts)
}

/// Puts the parts that several issuers have of a line in its place among what was billed.
fn part(cycles: &mut Cycles, lines: &[OwedLine], parts: &[OwedLine]) {
    for line in lines.iter().filter(|line| line.charge.amount_minor < 0) {
        let is_of_line = |part: &&OwedLine| {
            let of =
                |line: &OwedLine| (line.item, line.cycle, line.charge.period, line.price_id, line.discount);
            of(part) == of(line)
        };
        let parts: Vec<&OwedLine> = parts.iter().filter(is_of_line).collect();
        let states = line.item.parse().ok().and_then(|item: Item| cycles.get_mut(&item));
        let state = states.and_then(|states| states.iter_mut().find(|state| state.cycle == line.cycle));
        let Some(state) = state.filter(|_| parts.len() > 1) else { continue };
        let is_it = |billed: &Billed| line.charge.billed_at(billed.rate.clone()) == *billed;
        if let Some(at) = state.billed.iter().rposition(is_it) {
            let rate = state.billed.remove(at).rate;
            state.billed.extend(parts.iter().map(|part| part.charge.billed_at(rate.clone())));
        }
    }
}

/// Takes out of what was billed the lines of a document.
fn take_out(cycles: &mut Cycles, document: &Invoice) {
    let parts = document.lines.chunk_by(|one, next| one.rated_position == next.rated_position);
    for parts in parts {
        let Some((first, others)) = parts.split_first() else { continue };
        let of_item = first.item.parse().ok().and_then(|item: Item| cycles.get_mut(&item));
        let Some(of_item) = of_item else { continue };
        let line = whole(first, others);
        let off = others.iter().filter(|part| part.kind == InvoiceLineKind::Discount);
        let off_minor: i64 = off.map(|part| part.rated.amount_minor).sum();
        let is_it = |billed: &Billed| {
            (billed.period, billed.quantity, billed.amount_minor, billed.discount_minor)
                == (line.period, line.quantity, line.amount.amount_minor, -off_minor)
                && billed.rate.tariff.unit_price() == line.unit_price
                && (billed.rate.discount, billed.rate.off) == first.discount
        };
        for state in of_item.iter_mut().filter(|state| state.cycle.charged.start() == first.cycle_starts_on) {
            if let Some(at) = state.billed.iter().position(is_it) {
                state.billed.remove(at);
                break;
            }
        }
    }
}

/// Compares a boundary with the one that follows the last.
fn due(
    agreed: &Agreements,
    last: Option<NaiveDate>,
    stored: Option<NaiveDate>,
    differences: &mut Vec<Difference>,
) -> Result<(), Box<Difference>> {
    let computed = agreed.next_boundary(last).map_err(|_| Difference::Unreadable("terms"))?;
    if !agreed.follows(stored, last).map_err(|_| Difference::Unreadable("terms"))? {
        differences.push(Difference::Boundary { computed, stored });
    }
    Ok(())
}

/// A document that nothing calls for.
pub(super) fn unfounded(document: &Invoice) -> Difference {
    Difference::DocumentUnfounded { document: document.id, issued_on: document.issued_on }
}

/// What a run goes on from: of a cycle, and of its lines how many there are on which days, at which rate and with what off.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    item: Item,
    starts_on: NaiveDate,
    whole: Span,
    instalment: Instalment,
    zone: &'static str,
    lines: Vec<(Span, i64, Rate, i64)>,
}

fn states(cycles: &Cycles) -> BTreeSet<State> {
    let state = |(item, state): (Item, &CycleState)| {
        let line = |line: &Billed| (line.period, line.quantity, line.rate.clone(), line.discount_minor);
        let mut lines: Vec<_> = state.billed.iter().map(line).collect();
        lines.sort_unstable();
        let Cycle { charged, whole, instalment } = state.cycle;
        State { item, starts_on: charged.start(), whole, instalment, zone: state.zone.name(), lines }
    };
    let all = cycles.iter().flat_map(|(item, states)| states.iter().map(|state| (*item, state)));
    all.map(state).collect()
}

fn compare(
    boundary: NaiveDate,
    computed: &[LineFigures],
    stored: Option<&Invoice>,
    differences: &mut Vec<Difference>,
) {
    let Some(stored) = stored else {
        if !computed.is_empty() {
            differences.push(Difference::DocumentMissing { boundary, lines: computed.len() });
        }
        return;
    };
    let lines = as_rated(stored);
    for index in 0..lines.len().max(computed.len()) {
        let (line, should_be) = (lines.get(index).copied(), computed.get(index).copied());
        if line != should_be {
            let (document, position) = (stored.id, index + 1);
            differences.push(Difference::Line { document, position, stored: line, computed: should_be });
        }
    }
}

/// The lines as they were rated: the parts of one together.
fn as_rated(stored: &Invoice) -> Vec<LineFigures> {
    let parts = stored.lines.chunk_by(|one, next| one.rated_position == next.rated_position);
    parts.filter_map(|parts| parts.split_first().map(|(first, others)| whole(first, others))).collect()
}

fn whole(first: &InvoiceLine, others: &[InvoiceLine]) -> LineFigures {
    let InvoiceLine {
        kind, period, quantity, seat_days, price_id, one_off_item_id, unit_price, rated, ..
    } = *first;
    let of_first = LineFigures {
        tenant_id: None,
        kind,
        period,
        quantity,
        seat_days,
        price_id,
        one_off_item_id,
        unit_price,
        amount: rated,
    };
    others.iter().fold(of_first, |sum, part| LineFigures {
        quantity: sum.quantity.saturating_add(part.quantity),
        seat_days: sum.seat_days.saturating_add(part.seat_days),
        amount: Money::new(
            sum.amount.amount_minor.saturating_add(part.rated.amount_minor),
            sum.amount.currency,
        ),
        ..sum
    })
}

fn figures(lines: &[OwedLine], currency: Currency) -> Vec<LineFigures> {
    lines.iter().map(|line| computed(line, currency)).collect()
}

fn computed(line: &OwedLine, currency: Currency) -> LineFigures {
    LineFigures {
        tenant_id: None,
        kind: line.kind,
        period: line.charge.period,
        quantity: line.charge.quantity,
        seat_days: line.charge.seat_days,
        price_id: line.price_id,
        one_off_item_id: line.one_off_item_id,
        unit_price: line.unit_price,
        amount: Money::new(line.charge.amount_minor, currency),
    }
}

fn unowable(boundary: NaiveDate, error: &Error) -> Box<Difference> {
    Box::new(match error {
        Error::Rating(error) => Difference::NotRatable { boundary, error: *error },
        Error::Stored(what) => Difference::Unreadable(what),
        _ => Difference::Unreadable("line"),
    })
}
