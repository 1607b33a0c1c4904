//! Rating an agreement: each tenant by the rating core, and what is left of the commitment.
//!
//! Prices are flat, so what a tenant's seats cost does not depend on the others'.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::TenantId;

use super::agreement::Agreement;
use super::counted::{Counted, others};
use crate::Error;
use crate::rating::{
    Billed, CycleState, Line, LineKind, Log, Rate, RatingError, Span, Timeline, document, reconcile,
};

/// A tenant of the agreement's.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) tenant_id: TenantId,
    /// Its own event log, whoever's it was.
    pub(crate) log: Log,
    /// The agreement's cycles with what was billed of them for the tenant.
    pub(crate) cycles: Vec<CycleState>,
}

/// A line, and whose seats it is for; nobody's, if they were committed and not used.
pub(crate) type PartyLine = (Option<TenantId>, Line);

/// An agreement with everything that was billed of it.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    pub(crate) agreement: &'a Agreement,
    timeline: Timeline,
    /// In the order of their ids.
    pub(crate) parties: Vec<Party>,
    /// The cycles opened so far, with what was billed of the commitment alone.
    pub(crate) cycles: Vec<CycleState>,
}

impl<'a> Account<'a> {
    pub(crate) fn new(agreement: &'a Agreement, parties: Vec<Party>, cycles: Vec<CycleState>) -> Self {
        Self { timeline: agreement.timeline(), agreement, parties, cycles }
    }

    /// Opens the cycles that begin by `boundary` and brings all of them up to what is known at the end of that day: the
    /// lines are part of the account when this returns, and called again it adds none. `counted` says on which days a
    /// tenant counts. Returns besides how many cycles were open before.
    pub(crate) fn bill(
        &mut self,
        boundary: NaiveDate,
        counted: impl Fn(TenantId) -> Vec<Counted>,
    ) -> Result<(Vec<PartyLine>, usize), Error> {
        let zone = self.agreement.time_zone;
        let known = self.cycles.len();
        let mut lines = Vec::new();
        for party in &mut self.parties {
            // A cycle that opened while the tenant was elsewhere is open for it all the same.
            for open in &self.cycles {
                let is_there = |state: &CycleState| state.cycle.charged == open.cycle.charged;
                if !party.cycles.iter().any(is_there) {
                    party.cycles.push(CycleState { billed: Vec::new(), ..open.clone() });
                }
            }
            let timeline = self.timeline.clone().suspended(others(&counted(party.tenant_id)));
            let found = document(&timeline, boundary, zone, &mut party.cycles, &party.log)?;
            lines.extend(found.into_iter().map(|line| (Some(party.tenant_id), line)));
        }
        self.open(boundary)?;
        lines.extend(self.commitment(known)?.into_iter().map(|line| (None, line)));
        Ok((lines, known))
    }

    /// The boundary after a day.
    pub(crate) fn next_boundary(&self, after: NaiveDate) -> Result<NaiveDate, Error> {
        self.timeline.next_boundary(after)?.ok_or(Error::Stored("boundary"))
    }

    /// Opens the agreement's own cycles, by an account that has no seat.
    fn open(&mut self, boundary: NaiveDate) -> Result<(), Error> {
        let mut cycles: Vec<CycleState> =
            self.cycles.iter().map(|state| CycleState { billed: Vec::new(), ..state.clone() }).collect();
        document(&self.timeline, boundary, self.agreement.time_zone, &mut cycles, &Log::default())?;
        self.cycles.extend(cycles.into_iter().skip(self.cycles.len()));
        Ok(())
    }

    /// What of the commitment the tenants do not use: charged as it stands, since a seat that one of them takes replaces it.
    fn commitment(&mut self, known: usize) -> Result<Vec<Line>, Error> {
        let mut lines = Vec::new();
        if !self.agreement.commits() && self.cycles.iter().all(|state| state.billed.is_empty()) {
            return Ok(lines);
        }
        for (index, state) in self.cycles.iter_mut().enumerate().rev() {
            let mut used = BTreeMap::<NaiveDate, i64>::new();
            for party in &self.parties {
                let same = party.cycles.iter().find(|theirs| theirs.cycle.charged == state.cycle.charged);
                for (day, units) in same.map(CycleState::quantities).unwrap_or_default() {
                    *used.entry(day).or_default() += units;
                }
            }
            let is_new = index >= known && state.billed.is_empty();
            for (rate, levels) in unused(self.agreement, state, &used) {
                let charges =
                    reconcile(&rate, self.agreement.currency, state.cycle.whole, &levels, &state.billed)?;
                for charge in charges {
                    let kind = match charge.quantity {
                        _ if is_new => LineKind::Recurring,
                        ..0 => LineKind::Credit,
                        0.. => LineKind::Proration,
                    };
                    state.billed.push(charge.billed_at(rate.clone()));
                    lines.push(Line { kind, cycle: state.cycle, rate: rate.clone(), charge });
                }
            }
        }
        Ok(lines)
    }
}

/// For each rate of a cycle, in force or billed: on each day of the whole cycle, the seats committed and not used.
fn unused(
    agreement: &Agreement,
    state: &CycleState,
    used: &BTreeMap<NaiveDate, i64>,
) -> Vec<(Rate, Vec<i64>)> {
    let rate_on = |day| Rate::from(agreement.terms_on(day).price.tariff.clone());
    let mut rates: Vec<Rate> = Vec::new();
    for rate in
        state.billed.iter().map(|line| line.rate.clone()).chain(state.cycle.charged.each_day().map(rate_on))
    {
        if !rates.contains(&rate) {
            rates.push(rate);
        }
    }
    let left = |day: NaiveDate| {
        let committed = i64::from(agreement.terms_on(day).seats_committed);
        (committed - used.get(&day).copied().unwrap_or(0)).max(0)
    };
    rates
        .into_iter()
        .map(|rate| {
            let on =
                |day| if state.cycle.charged.contains(day) && rate_on(day) == rate { left(day) } else { 0 };
            let levels = state.cycle.whole.each_day().map(on).collect();
            (rate, levels)
        })
        .collect()
}

/// Cycles with what was billed of each, by their first charged days.
pub(crate) fn with_lines(
    cycles: &[CycleState],
    mut billed: BTreeMap<NaiveDate, Vec<Billed>>,
) -> Result<Vec<CycleState>, Error> {
    let states = cycles
        .iter()
        .map(|state| CycleState {
            billed: billed.remove(&state.cycle.charged.start()).unwrap_or_default(),
            ..state.clone()
        })
        .collect();
    if billed.is_empty() { Ok(states) } else { Err(RatingError::BilledOutsideCycle.into()) }
}

/// The sum of some lines.
pub(crate) fn net_of(lines: &[PartyLine]) -> Result<i64, Error> {
    lines
        .iter()
        .try_fold(0_i64, |sum, (_, line)| sum.checked_add(line.charge.amount_minor))
        .ok_or(Error::Stored("amount"))
}

/// The days that a boundary settles changes of.
pub(crate) fn settled(before: Option<NaiveDate>, agreement: &Agreement, boundary: NaiveDate) -> Option<Span> {
    Span::new(before.unwrap_or(agreement.starts_on), boundary)
}
