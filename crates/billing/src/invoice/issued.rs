//! Who corrects what was billed: the reseller that did. One whose tenant has moved to another goes on issuing credit notes for
//! what it charged, and the other one neither credits that nor gives its taxes back.

use std::collections::BTreeMap;

use kernel::{PriceId, ResellerId};

use super::tax::{OfCycle, Past};
use crate::Error;
use crate::rating::{Charge, Percentage, Span, UnitPrice};
use crate::subscription::OwedLine;

/// What was billed of some cycles of an account, and by whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Issued {
    /// How each issuer taxed.
    pub(crate) pasts: BTreeMap<ResellerId, Past>,
    /// The oldest first.
    lines: BTreeMap<OfCycle, Vec<IssuedLine>>,
}

/// A line of a document, or a part of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IssuedLine {
    pub(crate) issuer: ResellerId,
    pub(crate) rate: RateOfLine,
    pub(crate) period: Span,
    pub(crate) quantity: i64,
    pub(crate) rated_minor: i64,
}

/// At which price and discount a line was rated.
pub(crate) type RateOfLine = (Option<PriceId>, (Percentage, UnitPrice));

/// What one issuer has charged of a cycle.
struct Holder {
    issuer: ResellerId,
    /// How many units on each of some days.
    units: i64,
    left_minor: i64,
}

impl Issued {
    pub(crate) fn take(&mut self, cycle: OfCycle, line: IssuedLine) {
        self.lines.entry(cycle).or_default().push(line);
    }

    /// The issuers of its lines.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = ResellerId> {
        self.lines.values().flatten().map(|line| line.issuer)
    }

    /// The lines of a document by who is to issue them: charges are the present issuer's, and credits theirs who charged what is
    /// credited, the newest first. Takes them as billed.
    pub(crate) fn apportion(
        &mut self,
        present: ResellerId,
        lines: Vec<OwedLine>,
    ) -> Result<BTreeMap<ResellerId, Vec<OwedLine>>, Error> {
        let mut all = BTreeMap::<ResellerId, Vec<OwedLine>>::new();
        for line in lines {
            let cycle = OfCycle::of(&line);
            for (issuer, charge) in self.parts(present, &cycle, &line)? {
                let (rate, period) = ((line.price_id, line.discount), charge.period);
                let (quantity, rated_minor) = (charge.quantity, charge.amount_minor);
                self.take(cycle.clone(), IssuedLine { issuer, rate, period, quantity, rated_minor });
                all.entry(issuer).or_default().push(OwedLine { charge, ..line.clone() });
            }
        }
        Ok(all)
    }

    /// Each gives back the units that it has charged, in proportion, and no more than it has charged.
    fn parts(
        &self,
        present: ResellerId,
        cycle: &OfCycle,
        line: &OwedLine,
    ) -> Result<Vec<(ResellerId, Charge)>, Error> {
        let whole = line.charge;
        let holders = self.holders(present, cycle, line);
        let [newer @ .., oldest] = holders.as_slice() else { return Ok(vec![(present, whole)]) };
        if newer.is_empty() || whole.amount_minor >= 0 {
            let issuer = if whole.amount_minor < 0 { oldest.issuer } else { present };
            return Ok(vec![(issuer, whole)]);
        }
        let (units, amount) = (whole.quantity.saturating_neg(), whole.amount_minor.saturating_neg());
        let (mut left_units, mut left) = (units, amount);
        let mut given: Vec<(i64, i64)> = Vec::with_capacity(holders.len());
        for holder in newer {
            let of_it = holder.units.clamp(0, left_units.max(0));
            // Of no units, as where only the price of what others have changed: as much as it has.
            let amount = if units > 0 { proportion(amount, of_it, units)? } else { left };
            let amount = amount.min(holder.left_minor).min(left);
            (left_units, left) = (left_units - of_it, left - amount);
            given.push((of_it, amount));
        }
        let of_oldest = left.min(oldest.left_minor);
        left -= of_oldest;
        given.push((left_units, of_oldest));
        for ((_, amount), holder) in given.iter_mut().zip(&holders) {
            let more = left.min(holder.left_minor - *amount);
            (*amount, left) = (*amount + more, left - more);
        }
        // What nobody has charged stays where taxing refuses it.
        if let Some((_, amount)) = given.last_mut() {
            *amount += left;
        }
        let mut discount_left = whole.discount_minor;
        let mut parts = Vec::new();
        for (at, ((units, of_it), holder)) in given.iter().zip(&holders).enumerate() {
            let is_last = at + 1 == holders.len();
            let of_discount = proportion(whole.discount_minor.saturating_neg(), *of_it, amount)?;
            let discount_minor = if is_last { discount_left } else { -of_discount };
            discount_left -= discount_minor;
            let (quantity, seat_days) = (-units, -units * whole.period.days());
            let charge =
                Charge { period: whole.period, quantity, seat_days, amount_minor: -of_it, discount_minor };
            parts.push((holder.issuer, charge));
        }
        parts.retain(|(_, part)| (part.quantity, part.amount_minor, part.discount_minor) != (0, 0, 0));
        Ok(parts)
    }

    /// Who has charged something of a line's cycle that is not given back: the present issuer, then the others, the latest first.
    fn holders(&self, present: ResellerId, cycle: &OfCycle, line: &OwedLine) -> Vec<Holder> {
        let lines = self.lines.get(cycle).map(Vec::as_slice).unwrap_or_default();
        let mut issuers = Vec::new();
        for issuer in [present].into_iter().chain(lines.iter().rev().map(|line| line.issuer)) {
            if !issuers.contains(&issuer) {
                issuers.push(issuer);
            }
        }
        let holder = |issuer| {
            let of_it = lines.iter().filter(move |line| line.issuer == issuer);
            let at_rate = of_it.clone().filter(|billed| billed.rate == (line.price_id, line.discount));
            let on = |day| {
                let of_day = at_rate.clone().filter(|billed| billed.period.contains(day));
                of_day.map(|billed| billed.quantity).sum::<i64>()
            };
            let units = line.charge.period.each_day().map(on).min().unwrap_or(0);
            Holder { issuer, units, left_minor: of_it.map(|line| line.rated_minor).sum() }
        };
        issuers.into_iter().map(holder).filter(|holder| holder.left_minor > 0).collect()
    }
}

/// `amount × part ⁄ whole`, none of them negative, rounded half up.
fn proportion(amount: i64, part: i64, whole: i64) -> Result<i64, Error> {
    let twice = i128::from(amount) * i128::from(part) * 2 + i128::from(whole);
    i64::try_from(twice / (i128::from(whole) * 2)).map_err(|_| Error::Stored("credit"))
}
