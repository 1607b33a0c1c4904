//! Rating an agreement: of each item what each tenant has in force by the rating core, and what is left of the commitment; and all
//! of that priced together, so that the tier of a day is that of the reseller's units.

mod stored;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::TenantId;

use super::agreement::Agreement;
use super::counted::{Counted, CountedAt, others};
use crate::Error;
use crate::invoice::tax::OfCycle;
use crate::price_book::Item;
use crate::rating::{
    Billed, Boundary, CycleState, Line, Log, Portion, Rate, RatingError, Timeline, reconcile_parts,
};
use crate::subscription::{Cycles, RatedLine, Used};
use stored::Storing;

/// A tenant of the agreement's.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) tenant_id: TenantId,
    /// Its own logs, whoever's it was.
    pub(crate) used: Used,
    /// The agreement's cycles of what it has used, with what was billed of them for the tenant.
    pub(crate) cycles: Cycles,
}

/// A line.
#[derive(Debug)]
pub(crate) struct PartyLine {
    /// For whose use it is; nobody's, if seats were committed and not used.
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) rated: RatedLine,
}

/// An agreement with everything that was billed of it.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    pub(crate) agreement: &'a Agreement,
    timelines: BTreeMap<Item, Timeline>,
    /// In the order of their ids.
    pub(crate) parties: Vec<Party>,
    /// The cycles opened so far, with what was billed of the commitment alone.
    pub(crate) cycles: Cycles,
}

/// What a boundary made.
#[derive(Debug)]
pub(crate) struct AtBoundary {
    /// By tenant, and by item; those of nobody last.
    pub(crate) lines: Vec<PartyLine>,
    /// The cycles that were opened.
    pub(crate) opened: Vec<(Item, CycleState)>,
}

impl<'a> Account<'a> {
    pub(crate) fn new(agreement: &'a Agreement, parties: Vec<Party>, cycles: Cycles) -> Self {
        let timelines = agreement.items().into_iter().map(|item| (item, agreement.timeline(item))).collect();
        Self { timelines, agreement, parties, cycles }
    }

    /// Opens the cycles that begin by `boundary` and brings all of them up to what is known at the end of that day: the
    /// lines are part of the account when this returns, and called again it adds none. Seats come first, since those that are
    /// charged pool what may be stored; storage of what was over by `settled` is left alone ([`each_over`](crate::rating::each_over)).
    pub(crate) fn bill(
        &mut self,
        CountedAt { boundary, tenants }: &CountedAt,
        settled: Option<NaiveDate>,
    ) -> Result<AtBoundary, Error> {
        let (boundary, zone) = (*boundary, self.agreement.time_zone);
        let counted = |party: &Party| tenants.get(&party.tenant_id).map_or(&[][..], Vec::as_slice);
        let counted: Vec<_> = self.parties.iter().map(counted).collect();
        let (mut made, nothing) = (AtBoundary { lines: Vec::new(), opened: Vec::new() }, Log::default());
        for (&item, timeline) in &self.timelines {
            let mut cycles = self.cycles.remove(&item).unwrap_or_default();
            let known = cycles.len();
            // The agreement's own cycles are those of an account that has no seat.
            let own = Boundary::open(timeline, boundary, zone, &mut cycles, &nothing)?;
            made.opened.extend(cycles.iter().skip(known).map(|state| (item, state.clone())));
            let lines = match item {
                Item::Storage => {
                    let unused = self.cycles.get(&Item::Mailbox).map_or(&[][..], Vec::as_slice);
                    let of = Storing { agreement: self.agreement, timeline, boundary, settled, unused };
                    of.bill(&mut cycles, &mut self.parties, &counted)?
                }
                Item::Mailbox | Item::SharedMailbox | Item::Archive => {
                    let of = Counting { agreement: self.agreement, item, timeline, boundary, own, known };
                    of.bill(&mut cycles, &mut self.parties, &counted)?
                }
            };
            made.lines.extend(lines);
            self.cycles.insert(item, cycles);
        }
        made.lines.sort_by_key(|line| (line.tenant_id.is_none(), line.tenant_id));
        Ok(made)
    }

    /// The boundary after a day.
    pub(crate) fn next_boundary(&self, after: NaiveDate) -> Result<NaiveDate, Error> {
        let seats = self.timelines.get(&Item::Mailbox).ok_or(Error::Stored("price"))?;
        seats.next_boundary(after)?.ok_or(Error::Stored("boundary"))
    }
}

/// Something that is counted, at a boundary.
struct Counting<'a> {
    agreement: &'a Agreement,
    item: Item,
    timeline: &'a Timeline,
    boundary: NaiveDate,
    /// The agreement's own, by which its cycles open.
    own: Boundary<'a>,
    /// How many cycles were open before.
    known: usize,
}

impl Counting<'_> {
    /// Bills every cycle to the tenants that ever had any, and to nobody.
    fn bill(
        &self,
        of_nobody: &mut [CycleState],
        parties: &mut [Party],
        counted: &[&[Counted]],
    ) -> Result<Vec<PartyLine>, Error> {
        let of_party = |(party, counted): (&Party, &&[Counted])| {
            let has_any = party.used.log(self.item).is_some();
            has_any.then(|| self.timeline.clone().suspended(others(counted)))
        };
        let timelines: Vec<Option<Timeline>> = parties.iter().zip(counted).map(of_party).collect();
        let mut open = Vec::new();
        for (Party { tenant_id, used, cycles }, timeline) in parties.iter_mut().zip(&timelines) {
            let (Some(log), Some(timeline)) = (used.log(self.item), timeline) else { continue };
            let cycles = cycles.entry(self.item).or_default();
            // A cycle that opened while the tenant was elsewhere is open for it all the same.
            for state in of_nobody.iter().take(self.known) {
                _ = at(cycles, state);
            }
            let boundary = Boundary::open(timeline, self.boundary, self.agreement.time_zone, cycles, log)?;
            open.push(Open { tenant_id: *tenant_id, boundary, cycles, lines: Vec::new() });
        }
        let mut unused = Vec::new();
        for state in of_nobody.iter_mut().rev() {
            let is_new = self.own.is_new(state);
            unused.extend(bill_cycle((self.agreement, self.item), state, is_new, &mut open)?);
        }
        let of_tenants = open
            .into_iter()
            .flat_map(|one| one.lines.into_iter().map(move |line| (Some(one.tenant_id), line)));
        let lines = of_tenants.chain(unused.into_iter().map(|line| (None, line)));
        let rated = |line| RatedLine { item: self.item, line, gib: None };
        Ok(lines.map(|(tenant_id, line)| PartyLine { tenant_id, rated: rated(line) }).collect())
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

/// A tenant's state of a cycle of the agreement's, which is opened if it was not.
fn at<'a>(cycles: &'a mut Vec<CycleState>, of: &CycleState) -> Option<&'a mut CycleState> {
    let is_it = |state: &CycleState| state.cycle.charged == of.cycle.charged;
    let found = cycles.iter().position(is_it).unwrap_or_else(|| {
        cycles.push(CycleState { billed: Vec::new(), ..of.clone() });
        cycles.len() - 1
    });
    cycles.get_mut(found)
}

/// Bills a cycle to all tenants, and to nobody what of the commitment they do not use: that is charged as it stands, since
/// a seat that one of them takes replaces it. Returns what nobody is billed.
fn bill_cycle(
    (agreement, item): (&Agreement, Item),
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
    let unused = match item {
        Item::Mailbox => unused(agreement, of, &days, &tenants)?,
        _ => BTreeMap::new(),
    };
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
        let mut charges = reconcile_parts(&rate, agreement.currency, &of.cycle, &portions)?;
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

/// What was billed of each item, by the first charged days of its cycles.
pub(crate) type BilledLines = BTreeMap<Item, BTreeMap<NaiveDate, Vec<Billed>>>;

/// Cycles with what was billed of each.
pub(crate) fn with_lines(cycles: &Cycles, mut billed: BilledLines) -> Result<Cycles, Error> {
    let mut all = Cycles::new();
    for (item, cycles) in cycles {
        let mut lines = billed.remove(item).unwrap_or_default();
        let with_lines = |state: &CycleState| CycleState {
            billed: lines.remove(&state.cycle.charged.start()).unwrap_or_default(),
            ..state.clone()
        };
        all.insert(*item, cycles.iter().map(with_lines).collect());
        if !lines.is_empty() {
            return Err(RatingError::BilledOutsideCycle.into());
        }
    }
    if billed.is_empty() { Ok(all) } else { Err(RatingError::BilledOutsideCycle.into()) }
}

/// What taxes follow from: of each line its item and cycle, and what it comes to.
pub(crate) fn amounts(lines: &[PartyLine]) -> Vec<(OfCycle, i64)> {
    let of = |RatedLine { item, line, .. }: &RatedLine| OfCycle {
        item: item.as_str().into(),
        starts_on: line.cycle.charged.start(),
    };
    lines.iter().map(|line| (of(&line.rated), line.rated.line.charge.amount_minor)).collect()
}

#[cfg(test)]
mod tests;
