//! Rating an agreement: what each tenant has in force by the rating core, and what is left of the commitment; and all of
//! that priced together, so that the tier of a day is that of the reseller's seats.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::TenantId;

use super::agreement::Agreement;
use super::counted::{Counted, others};
use crate::Error;
use crate::invoice::tax::OfCycle;
use crate::price_book::Item;
use crate::rating::{
    Billed, Boundary, CycleState, Line, Log, Portion, Rate, RatingError, Span, Timeline, reconcile_parts,
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
        let (known, zone) = (self.cycles.len(), self.agreement.time_zone);
        // The agreement's own cycles are those of an account that has no seat.
        Boundary::open(&self.timeline, boundary, zone, &mut self.cycles, &Log::default())?;
        let timelines: Vec<Timeline> = self
            .parties
            .iter()
            .map(|party| self.timeline.clone().suspended(others(&counted(party.tenant_id))))
            .collect();
        let mut open = Vec::with_capacity(timelines.len());
        for (Party { tenant_id, log, cycles }, timeline) in self.parties.iter_mut().zip(&timelines) {
            // A cycle that opened while the tenant was elsewhere is open for it all the same.
            for state in self.cycles.iter().take(known) {
                if at(cycles, state).is_none() {
                    cycles.push(CycleState { cycle: state.cycle, zone: state.zone, billed: Vec::new() });
                }
            }
            let at_boundary = Boundary::open(timeline, boundary, zone, cycles, log)?;
            open.push(Open { tenant_id: *tenant_id, boundary: at_boundary, cycles, lines: Vec::new() });
        }
        let mut unused = Vec::new();
        for (index, state) in self.cycles.iter_mut().enumerate().rev() {
            unused.extend(bill_cycle(self.agreement, state, index >= known, &mut open)?);
        }
        let of_tenants = open
            .into_iter()
            .flat_map(|one| one.lines.into_iter().map(move |line| (Some(one.tenant_id), line)));
        let lines = of_tenants.chain(unused.into_iter().map(|line| (None, line))).collect();
        Ok((lines, known))
    }

    /// The boundary after a day.
    pub(crate) fn next_boundary(&self, after: NaiveDate) -> Result<NaiveDate, Error> {
        self.timeline.next_boundary(after)?.ok_or(Error::Stored("boundary"))
    }
}

/// A tenant at a boundary.
struct Open<'a> {
    tenant_id: TenantId,
    boundary: Boundary<'a>,
    cycles: &'a mut Vec<CycleState>,
    lines: Vec<Line>,
}

/// A tenant's share in a cycle, rate by rate.
struct InForce<'a> {
    state: &'a mut CycleState,
    is_new: bool,
    levels: Vec<(Rate, Vec<i64>)>,
    lines: &'a mut Vec<Line>,
}

/// A tenant's state of a cycle of the agreement's.
fn at<'a>(cycles: &'a mut [CycleState], of: &CycleState) -> Option<&'a mut CycleState> {
    cycles.iter_mut().find(|state| state.cycle.charged == of.cycle.charged)
}

/// Bills a cycle to all tenants, and to nobody what of the commitment they do not use: that is charged as it stands, since
/// a seat that one of them takes replaces it. Returns what nobody is billed.
fn bill_cycle(
    agreement: &Agreement,
    of: &mut CycleState,
    is_new: bool,
    open: &mut [Open<'_>],
) -> Result<Vec<Line>, Error> {
    let mut tenants = Vec::new();
    for Open { boundary, cycles, lines, .. } in open {
        let Some(state) = at(cycles, of) else { continue };
        let levels = boundary.in_force(state)?;
        tenants.push(InForce { is_new: boundary.is_new(state), state, levels, lines });
    }
    let days: Vec<NaiveDate> = of.cycle.whole.each_day().collect();
    let unused = unused(agreement, of, &days, &tenants)?;
    let is_new = is_new && of.billed.is_empty();
    let mut rates: Vec<Rate> = Vec::new();
    let in_force = tenants.iter().flat_map(|tenant| &tenant.levels).map(|(rate, _)| rate);
    for rate in in_force.chain(of.billed.iter().map(|line| &line.rate)).chain(unused.keys()) {
        if !rates.contains(rate) {
            rates.push(rate.clone());
        }
    }
    let nothing = vec![0; days.len()];
    let mut of_nobody = Vec::new();
    for rate in rates {
        let mut portions: Vec<Portion<'_>> = Vec::with_capacity(tenants.len() + 1);
        for tenant in &tenants {
            let found = tenant.levels.iter().find(|(of, _)| *of == rate);
            let in_force = found.map_or(&nothing, |(_, levels)| levels);
            portions.push(Portion { in_force, billed: &tenant.state.billed });
        }
        portions.push(Portion { in_force: unused.get(&rate).unwrap_or(&nothing), billed: &of.billed });
        let mut charges = reconcile_parts(&rate, agreement.currency, of.cycle.whole, &portions)?;
        for charge in charges.pop().unwrap_or_default() {
            of_nobody.push(of.bill(is_new, &rate, charge));
        }
        for (InForce { state, is_new, lines, .. }, charges) in tenants.iter_mut().zip(charges) {
            lines.extend(charges.into_iter().map(|charge| state.bill(*is_new, &rate, charge)));
        }
    }
    Ok(of_nobody)
}

/// For each rate in force in a cycle: on each day of the whole cycle, the seats committed and not used.
fn unused(
    agreement: &Agreement,
    of: &CycleState,
    days: &[NaiveDate],
    tenants: &[InForce<'_>],
) -> Result<BTreeMap<Rate, Vec<i64>>, Error> {
    let mut unused = BTreeMap::<Rate, Vec<i64>>::new();
    if !agreement.commits() {
        return Ok(unused);
    }
    for (index, day) in days.iter().enumerate().filter(|(_, day)| of.cycle.charged.contains(**day)) {
        let of_tenants =
            tenants.iter().flat_map(|tenant| &tenant.levels).filter_map(|(_, levels)| levels.get(index));
        let used = of_tenants.copied().try_fold(0_i64, i64::checked_add).ok_or(RatingError::AmountRange)?;
        let terms = agreement.terms_on(*day);
        let left = (i64::from(terms.seats_committed) - used).max(0);
        let levels =
            unused.entry(Rate::from(terms.price.tariff.clone())).or_insert_with(|| vec![0; days.len()]);
        if let Some(level) = levels.get_mut(index) {
            *level = left;
        }
    }
    Ok(unused)
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

/// What taxes follow from: of each line its cycle, and what it comes to.
pub(crate) fn amounts(lines: &[PartyLine]) -> Vec<(OfCycle, i64)> {
    let of =
        |line: &Line| OfCycle { item: Item::Mailbox.as_str().into(), starts_on: line.cycle.charged.start() };
    lines.iter().map(|(_, line)| (of(line), line.charge.amount_minor)).collect()
}

/// The days that a boundary settles changes of.
pub(crate) fn settled(before: Option<NaiveDate>, agreement: &Agreement, boundary: NaiveDate) -> Option<Span> {
    Span::new(before.unwrap_or(agreement.starts_on), boundary)
}

#[cfg(test)]
mod tests;
