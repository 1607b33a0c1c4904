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

/// No discount, as a line is rated at.
pub(crate) const UNDISCOUNTED: (Percentage, UnitPrice) = (Percentage::ZERO, UnitPrice::ZERO);

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
        if whole.amount_minor >= 0 || holders.len() < 2 {
            let charged = holders.first().filter(|_| whole.amount_minor < 0);
            return Ok(vec![(charged.map_or(present, |holder| holder.issuer), whole)]);
        }
        // Of no units, as where only the price of what others have changed, the present issuer has all.
        let (units, amount) = (whole.quantity.saturating_neg().max(0), whole.amount_minor.saturating_neg());
        let (mut left_units, mut left) = (units, amount);
        let mut given: Vec<Given> = Vec::with_capacity(holders.len());
        for (at, holder) in holders.iter().enumerate() {
            let is_oldest = at + 1 == holders.len();
            let of_it = if is_oldest { left_units } else { holder.units.clamp(0, left_units) };
            let share = match units {
                0 => left,
                _ if is_oldest => left,
                _ => proportion(amount, of_it, units)?,
            };
            let amount = share.min(holder.left_minor).min(left);
            (left_units, left) = (left_units - of_it, left - amount);
            given.push(Given { issuer: holder.issuer, units: of_it, amount });
        }
        for (given, holder) in given.iter_mut().zip(&holders) {
            let more = left.min(holder.left_minor - given.amount);
            (given.amount, left) = (given.amount + more, left - more);
        }
        // What nobody has charged stays where taxing refuses it.
        if let Some(newest) = given.first_mut() {
            newest.amount += left;
        }
        charges(whole, (units, amount), given)
    }

    /// Who has charged something of a line's cycle that is not given back: the present issuer, then the others, the latest first.
    fn holders(&self, present: ResellerId, cycle: &OfCycle, line: &OwedLine) -> Vec<Holder> {
        let lines = self.lines.get(cycle).map(Vec::as_slice).unwrap_or_default();
        let mut issuers = Vec::new();
        // By what was charged: the parts of a credit stand in no order.
        let charged = lines.iter().rev().filter(|line| line.rated_minor > 0);
        for issuer in [present].into_iter().chain(charged.map(|line| line.issuer)) {
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

/// What an issuer gives back.
struct Given {
    issuer: ResellerId,
    units: i64,
    amount: i64,
}

/// The parts of a credit. Who gives back nothing has no part: its units go with the largest.
fn charges(
    whole: Charge,
    (units, amount): (i64, i64),
    mut given: Vec<Given>,
) -> Result<Vec<(ResellerId, Charge)>, Error> {
    let of_nothing: i64 = given.iter().filter(|one| one.amount == 0).map(|one| one.units).sum();
    given.retain(|one| one.amount > 0);
    if let Some(largest) = given.iter_mut().max_by_key(|one| one.amount) {
        // And what is no unit that is given back, but one more.
        largest.units += of_nothing + (whole.quantity.saturating_neg() - units);
    }
    let mut discount_left = whole.discount_minor;
    let mut parts = Vec::with_capacity(given.len());
    for (at, one) in given.iter().enumerate() {
        let of_discount = proportion(whole.discount_minor.saturating_neg(), one.amount, amount)?;
        let is_last = at + 1 == given.len();
        let discount_minor = if is_last { discount_left } else { discount_left.max(-of_discount) };
        discount_left -= discount_minor;
        let (period, quantity, amount_minor) = (whole.period, -one.units, -one.amount);
        let seat_days = quantity.checked_mul(period.days()).ok_or(Error::Stored("credit"))?;
        parts.push((one.issuer, Charge { period, quantity, seat_days, amount_minor, discount_minor }));
    }
    Ok(parts)
}

/// `amount × part ⁄ whole`, none of them negative, rounded half up.
fn proportion(amount: i64, part: i64, whole: i64) -> Result<i64, Error> {
    let twice = i128::from(amount) * i128::from(part) * 2 + i128::from(whole);
    i64::try_from(twice / (i128::from(whole) * 2)).map_err(|_| Error::Stored("credit"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::invoice::InvoiceLineKind;
    use crate::rating::{Cycle, LineKind};

    fn days(from: u64, until: u64) -> Span {
        let first = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        Span::new(first + chrono::Days::new(from), first + chrono::Days::new(until)).unwrap()
    }

    fn line(quantity: i64, amount_minor: i64, discount_minor: i64) -> OwedLine {
        let whole = days(0, 30);
        let period = days(10, 30);
        let charge = Charge { period, quantity, seat_days: quantity * 20, amount_minor, discount_minor };
        OwedLine {
            item: "mailbox",
            kind: InvoiceLineKind::Rated(LineKind::Credit),
            description: String::new(),
            cycle: Cycle::new(whole, whole),
            charge,
            price_id: None,
            unit_price: None,
            one_off_item_id: None,
            discount: UNDISCOUNTED,
            discount_in_words: String::new(),
        }
    }

    fn issuer(number: u128) -> ResellerId {
        ResellerId::from_uuid(uuid::Uuid::from_u128(number))
    }

    proptest! {
        /// The parts add up to the line; nobody gives back more than it has charged, and none but the present one charges.
        #[test]
        fn the_parts_of_a_line_are_the_line(
            charged in prop::collection::vec((1_u128..7, 0_i64..5, 0_i64..500), 0..9),
            (units, more, part, discount) in (-2_i64..9, 0_i64..50, 0_i64..=100, 0_i64..100),
        ) {
            let mut issued = Issued::default();
            for (number, quantity, amount) in &charged {
                let charge = line(*quantity, *amount, 0);
                let charged = issued.apportion(issuer(*number), vec![charge]).unwrap();
                prop_assert_eq!(charged.into_keys().collect::<Vec<_>>(), [issuer(*number)]);
            }
            let all: i64 = charged.iter().map(|(.., amount)| amount).sum();
            // Sometimes a charge; never more than was charged.
            let amount = if part > 90 { more } else { -(all * part / 90) };
            let discount = if amount < 0 { -discount } else { discount };
            let whole = line(-units, amount, discount);
            let parts = issued.apportion(issuer(1), vec![whole.clone()]).unwrap();
            let charges: Vec<_> =
                parts.iter().flat_map(|(id, lines)| lines.iter().map(move |line| (*id, line.charge))).collect();
            let sum = |of: fn(&Charge) -> i64| charges.iter().map(|(_, charge)| of(charge)).sum::<i64>();
            prop_assert_eq!(sum(|charge| charge.amount_minor), amount);
            prop_assert_eq!(sum(|charge| charge.discount_minor), discount);
            prop_assert_eq!(sum(|charge| charge.quantity), -units);
            prop_assert_eq!(sum(|charge| charge.seat_days), -units * 20);
            prop_assert!(amount >= 0 || charges.iter().all(|(_, charge)| charge.discount_minor <= 0));
            for number in 1..7 {
                let of_it = charged.iter().filter(|(other, ..)| *other == number);
                let left: i64 = of_it.map(|(.., amount)| amount).sum();
                let back = charges.iter().filter(|(id, _)| *id == issuer(number));
                let back: i64 = back.map(|(_, charge)| charge.amount_minor).sum();
                prop_assert!(left + back >= 0, "{number} gives back {back} of {left}");
                prop_assert!(number == 1 || parts.get(&issuer(number)).is_none_or(|_| back < 0));
            }
        }
    }

    /// By what each has charged of the days, not by how much money that was.
    #[test]
    fn each_gives_back_its_units() {
        let mut issued = Issued::default();
        issued.apportion(issuer(2), vec![line(3, 300, 0)]).unwrap();
        issued.apportion(issuer(1), vec![line(1, 100, 0)]).unwrap();
        let parts = issued.apportion(issuer(1), vec![line(-2, -200, -20)]).unwrap();
        let shown: Vec<_> = parts
            .values()
            .flatten()
            .map(|line| (line.charge.quantity, line.charge.amount_minor, line.charge.discount_minor))
            .collect();
        assert_eq!(shown, [(-1, -100, -10), (-1, -100, -10)]);
    }
}
