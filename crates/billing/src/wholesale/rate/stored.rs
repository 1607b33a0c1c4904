//! Rating what the tenants of an agreement stored: beyond what all their seats pool, in arrears.

use chrono::NaiveDate;
use kernel::TenantId;

use super::super::agreement::Agreement;
use super::super::counted::Counted;
use super::{Party, PartyLine, at};
use crate::Error;
use crate::price_book::Item;
use crate::rating::{CycleState, Over, StoragePart, Timeline, each_over, storage_parts};
use crate::subscription::RatedLine;

/// Storage, at a boundary.
pub(super) struct Storing<'a> {
    pub(super) agreement: &'a Agreement,
    pub(super) timeline: &'a Timeline,
    pub(super) boundary: NaiveDate,
    pub(super) settled: Option<NaiveDate>,
    /// The cycles of seats that nobody uses: they are charged, and so they pool.
    pub(super) unused: &'a [CycleState],
}

impl Storing<'_> {
    /// Bills every cycle that is over to the tenants that stored more than their own seats may.
    pub(super) fn bill(
        &self,
        of_nobody: &mut Vec<CycleState>,
        parties: &mut [Party],
        counted: &[&[Counted]],
    ) -> Result<Vec<PartyLine>, Error> {
        let (at_boundary, currency) = ((self.boundary, self.agreement.time_zone), self.agreement.currency);
        let mut lines = Vec::new();
        each_over(self.timeline, at_boundary, self.settled, of_nobody, |state, Over { days, rate }| {
            // A cycle that was opened stays as it is, whatever is agreed afterwards.
            let rate = rate.ok_or(Error::Stored("cycle"))?;
            let cycle = CycleState { billed: Vec::new(), ..state.clone() };
            let allowed = days.iter().map(|day| (*day, self.allowance(self.unused, *day))).collect();
            let mut tenants: Vec<Option<TenantId>> = vec![None];
            let mut parts = vec![StoragePart { state, samples: &[], allowed }];
            for (Party { tenant_id, used, cycles }, counted) in parties.iter_mut().zip(counted) {
                let counts = |day: &&NaiveDate| counted.iter().any(|days| days.contains(**day));
                let seats = cycles.get(&Item::Mailbox).map_or(&[][..], Vec::as_slice);
                let allowed = days.iter().filter(counts).map(|day| (*day, self.allowance(seats, *day)));
                let allowed = allowed.collect();
                let Some(state) = at(cycles.entry(Item::Storage).or_default(), &cycle) else { continue };
                tenants.push(Some(*tenant_id));
                parts.push(StoragePart { state, samples: used.stored(), allowed });
            }
            let rated = storage_parts(&rate, currency, &days, &mut parts)?;
            for (tenant_id, (line, gib)) in
                tenants.into_iter().zip(rated).filter_map(|(id, line)| Some((id, line?)))
            {
                let rated = RatedLine { item: Item::Storage, line, gib: Some(gib) };
                lines.push(PartyLine { tenant_id, rated });
            }
            Ok::<_, Error>(())
        })?;
        Ok(lines)
    }

    /// What the seats that are charged on a day may store for nothing.
    fn allowance(&self, seats: &[CycleState], day: NaiveDate) -> i128 {
        let price = self.agreement.terms_on(day).price_of(Item::Storage);
        let each = price.and_then(|price| price.included_bytes).unwrap_or(0);
        let cycles = seats.iter().filter(|state| state.cycle.charged.contains(day));
        let charged: i64 = cycles.map(|state| state.quantity_on(day)).sum();
        i128::from(each) * i128::from(charged)
    }
}
