//! What a cycle is owed, less what it has been billed.

use chrono::NaiveDate;
use kernel::Currency;

use super::RatingError;
use super::calendar::{Cycle, Span};
use super::discount::Rate;
use super::price::{Amount, Share};

/// A line that was billed for a cycle before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed {
    /// What it was billed at.
    pub rate: Rate,
    /// The days it charged, or credited.
    pub period: Span,
    /// Units on each of the days; negative in a credit.
    pub quantity: i64,
    /// What it came to, net of discounts.
    pub amount_minor: i64,
    /// What was taken off; negative in a credit.
    pub discount_minor: i64,
}

/// What remains to be billed for some days of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The days.
    pub period: Span,
    /// Units on each of the days; negative in a credit.
    pub quantity: i64,
    /// Units times days.
    pub seat_days: i64,
    /// In minor units, net of discounts.
    pub amount_minor: i64,
    /// What is taken off, in minor units; negative in a credit, which takes back what was taken off.
    pub discount_minor: i64,
}

impl Charge {
    /// The line that it becomes.
    pub fn billed_at(&self, rate: Rate) -> Billed {
        let Self { period, quantity, amount_minor, discount_minor, .. } = *self;
        Billed { rate, period, quantity, amount_minor, discount_minor }
    }
}

/// `owed − billed` of a cycle at one rate, one charge for each stretch of days with the same difference.
///
/// Owed is the sum of what each day's quantity costs for a whole interval, divided by the days of the whole cycle, and of
/// that, rounded, the part that the cycle pays.
/// Telescoping: after each charge the cycle's lines add up to the rounded cost so far, of the days up to its end as
/// they are in force and of the days after as they were billed; so segments add up to the full price and a credit is
/// what was billed less what is kept. What is taken off is what the lines would add up to without discounts, less that.
///
/// `in_force` has a quantity for each day of the whole cycle. Lines that were billed at other rates are passed over.
/// [`RatingError::BilledOutsideCycle`] if one that was billed at this has other days.
pub fn reconcile(
    rate: &Rate,
    currency: Currency,
    cycle: &Cycle,
    in_force: &[i64],
    billed: &[Billed],
) -> Result<Vec<Charge>, RatingError> {
    let mut parts = reconcile_parts(rate, currency, cycle, &[Portion { in_force, billed }])?;
    Ok(parts.pop().unwrap_or_default())
}

/// What one of several that are priced together has in force and was billed.
#[derive(Debug, Clone, Copy)]
pub struct Portion<'a> {
    /// A quantity for each day of the whole cycle.
    pub in_force: &'a [i64],
    /// Its own lines.
    pub billed: &'a [Billed],
}

/// As [`reconcile()`], of several whose quantities of a day are priced as one: the tier is that of their sum. Returns the
/// charges of each, in the order given.
///
/// Each has its part of what a day costs, in proportion to its quantity, down to the last decimal of unit prices. The
/// lines of all telescope as those of one, and the last one takes what these decimals leave over, so that they add up to
/// what the sum alone would be billed. A portion whose part of some days costs another amount though it has as many
/// on them, since the others have more or fewer, has a charge of no quantity for them.
pub fn reconcile_parts(
    rate: &Rate,
    currency: Currency,
    cycle: &Cycle,
    portions: &[Portion<'_>],
) -> Result<Vec<Vec<Charge>>, RatingError> {
    let whole = cycle.whole;
    let days = usize::try_from(whole.days()).map_err(|_| RatingError::DateRange)?;
    let mut pricing = Pricing::new(rate, currency, cycle);
    let (mut before, mut sums) = (Vec::with_capacity(portions.len()), Sums::none(days));
    for portion in portions {
        let levels = pricing.billed_levels(portion.billed, days)?;
        sums.add(&levels, portion.in_force)?;
        before.push(levels);
    }
    pricing.begin(&sums)?;
    // One alone has all there is: what it has as before costs what it did, and decimals leave nothing over.
    let is_alone = before.len() == 1;
    let is_repriced = if is_alone { vec![false; days] } else { sums.repriced(rate)? };
    let mut parts = Vec::with_capacity(portions.len());
    for (portion, before) in portions.iter().zip(&before) {
        let now = portion.in_force;
        let change = |((now, before), is_repriced): ((&i64, &i64), &bool)| Change {
            quantity: now - before,
            is_repriced: *is_repriced && now == before && *now != 0,
        };
        let changes: Vec<Change> = now.iter().zip(before).zip(&is_repriced).map(change).collect();
        let mut charges = Vec::new();
        for (period, quantity) in stretches(whole, &changes) {
            let days = offsets(whole, period).ok_or(RatingError::BilledOutsideCycle)?;
            let before = Held::some(before, &sums.before, days.clone());
            let now = Held::some(now, &sums.now, days);
            charges.push(pricing.charge(period, quantity, before, now)?);
        }
        parts.push(charges);
    }
    if let Some(last) = parts.iter_mut().flatten().last().filter(|_| !is_alone) {
        pricing.finish(&sums, last)?;
    }
    let is_something =
        |charge: &Charge| (charge.quantity, charge.amount_minor, charge.discount_minor) != (0, 0, 0);
    for charges in &mut parts {
        charges.retain(is_something);
    }
    Ok(parts)
}

/// What is billed at one rate in one cycle.
struct Pricing<'a> {
    currency: Currency,
    cycle: &'a Cycle,
    rate: &'a Rate,
    net: Telescope<'a>,
    /// Without what is taken off; followed only where something is.
    list: Telescope<'a>,
}

impl<'a> Pricing<'a> {
    fn new(rate: &'a Rate, currency: Currency, cycle: &'a Cycle) -> Self {
        let (net, list) = (Telescope::new(rate, Rate::cost), Telescope::new(rate, Rate::list_cost));
        Self { currency, cycle, rate, net, list }
    }

    /// Takes what was billed, and returns how many units of each day.
    fn billed_levels(&mut self, billed: &[Billed], days: usize) -> Result<Vec<i64>, RatingError> {
        let mut levels = vec![0_i64; days];
        for line in billed.iter().filter(|line| line.rate == *self.rate) {
            let of_line = offsets(self.cycle.whole, line.period).ok_or(RatingError::BilledOutsideCycle)?;
            for level in levels.get_mut(of_line).ok_or(RatingError::BilledOutsideCycle)? {
                *level += line.quantity;
            }
            self.net.add(line.amount_minor)?;
            self.list.add(sum(line.amount_minor, line.discount_minor)?)?;
        }
        Ok(levels)
    }

    fn begin(&mut self, sums: &Sums) -> Result<(), RatingError> {
        self.net.cost = self.net.cost_of(Held::all(&sums.before))?;
        if self.rate.is_discounted() {
            self.list.cost = self.list.cost_of(Held::all(&sums.before))?;
        }
        Ok(())
    }

    fn charge(
        &mut self,
        period: Span,
        quantity: i64,
        before: Held<'_>,
        now: Held<'_>,
    ) -> Result<Charge, RatingError> {
        let amount_minor = self.net.step(before, now, self.cycle, self.currency)?;
        let list_minor = match self.rate.is_discounted() {
            true => self.list.step(before, now, self.cycle, self.currency)?,
            false => amount_minor,
        };
        let discount_minor = list_minor.checked_sub(amount_minor).ok_or(RatingError::AmountRange)?;
        let seat_days = quantity.checked_mul(period.days()).ok_or(RatingError::AmountRange)?;
        Ok(Charge { period, quantity, seat_days, amount_minor, discount_minor })
    }

    /// Has the last charge bring the lines to what the sum of all is owed.
    fn finish(&mut self, sums: &Sums, last: &mut Charge) -> Result<(), RatingError> {
        let amount_minor = self.net.left(&sums.now, self.cycle, self.currency)?;
        let list_minor = match self.rate.is_discounted() {
            true => self.list.left(&sums.now, self.cycle, self.currency)?,
            false => amount_minor,
        };
        last.amount_minor = sum(last.amount_minor, amount_minor)?;
        last.discount_minor = sum(last.discount_minor, list_minor - amount_minor)?;
        Ok(())
    }
}

fn sum(one: i64, other: i64) -> Result<i64, RatingError> {
    one.checked_add(other).ok_or(RatingError::AmountRange)
}

/// What all portions have together on each day of the whole cycle.
struct Sums {
    before: Vec<i64>,
    now: Vec<i64>,
}

impl Sums {
    fn none(days: usize) -> Self {
        Self { before: vec![0; days], now: vec![0; days] }
    }

    fn add(&mut self, before: &[i64], now: &[i64]) -> Result<(), RatingError> {
        let days = self.before.iter_mut().zip(before).chain(self.now.iter_mut().zip(now));
        for (of_day, level) in days {
            *of_day = sum(*of_day, *level)?;
        }
        Ok(())
    }

    /// On which days one unit of many has come to cost another amount.
    fn repriced(&self, rate: &Rate) -> Result<Vec<bool>, RatingError> {
        let cost = |level: i64| rate.cost(Share::from(i128::from(level)));
        let is_repriced = |(before, now): (i64, i64)| {
            if before == now || before == 0 || now == 0 {
                return Ok(false);
            }
            let units = |level: i64| Share::from(i128::from(level));
            Ok(cost(before)?.times(units(now))? != cost(now)?.times(units(before))?)
        };
        let (mut repriced, mut last) = (Vec::with_capacity(self.now.len()), None);
        for pair in self.before.iter().copied().zip(self.now.iter().copied()) {
            let is = match last {
                Some((before, is)) if before == pair => is,
                _ => is_repriced(pair)?,
            };
            last = Some((pair, is));
            repriced.push(is);
        }
        Ok(repriced)
    }
}

/// What somebody has on some days, and what all have with it.
#[derive(Debug, Clone, Copy)]
struct Held<'a> {
    levels: &'a [i64],
    sums: &'a [i64],
}

impl<'a> Held<'a> {
    fn all(sums: &'a [i64]) -> Self {
        Self { levels: sums, sums }
    }

    fn some(levels: &'a [i64], sums: &'a [i64], days: std::ops::Range<usize>) -> Self {
        let of = |all: &'a [i64]| all.get(days.clone()).unwrap_or_default();
        Self { levels: of(levels), sums: of(sums) }
    }

    /// How many days in a row have the same level and sum, and these.
    fn runs(self) -> impl Iterator<Item = (i64, i64, i128)> {
        let mut days = self.levels.iter().copied().zip(self.sums.iter().copied()).peekable();
        std::iter::from_fn(move || {
            let first = days.next()?;
            let mut count = 1;
            while days.next_if_eq(&first).is_some() {
                count += 1;
            }
            Some((first.0, first.1, count))
        })
    }
}

/// What has been billed and what the days so far cost, each times the days of the whole cycle.
struct Telescope<'a> {
    rate: &'a Rate,
    cost_of_cycle: fn(&Rate, Share) -> Result<Amount, RatingError>,
    cost: Amount,
    billed_minor: i64,
}

impl<'a> Telescope<'a> {
    fn new(rate: &'a Rate, cost_of_cycle: fn(&Rate, Share) -> Result<Amount, RatingError>) -> Self {
        Self { rate, cost_of_cycle, cost: Amount::ZERO, billed_minor: 0 }
    }

    fn add(&mut self, billed_minor: i64) -> Result<(), RatingError> {
        self.billed_minor = sum(self.billed_minor, billed_minor)?;
        Ok(())
    }

    /// The sum of what the quantity of each day costs for a whole interval, as part of what all cost.
    fn cost_of(&self, held: Held<'_>) -> Result<Amount, RatingError> {
        held.runs().try_fold(Amount::ZERO, |sum, (level, all, days)| {
            let of_all = (self.cost_of_cycle)(self.rate, Share::from(i128::from(all)))?;
            let of_cycle = match level {
                _ if level == all => of_all,
                0 => Amount::ZERO,
                _ if all == 0 => return Err(RatingError::NegativeQuantity),
                _ => of_all.times(Share::new(level.into(), all.into()))?.floor(),
            };
            sum.plus(of_cycle.times(Share::from(days))?)
        })
    }

    /// What is to be billed when some days have other quantities than before.
    fn step(
        &mut self,
        before: Held<'_>,
        now: Held<'_>,
        cycle: &Cycle,
        currency: Currency,
    ) -> Result<i64, RatingError> {
        self.cost = self.cost.plus(self.cost_of(now)?.minus(self.cost_of(before)?)?)?;
        self.bill(cycle, currency)
    }

    /// What is still to be billed of what all have in the end.
    fn left(&mut self, sums: &[i64], cycle: &Cycle, currency: Currency) -> Result<i64, RatingError> {
        self.cost = self.cost_of(Held::all(sums))?;
        self.bill(cycle, currency)
    }

    fn bill(&mut self, cycle: &Cycle, currency: Currency) -> Result<i64, RatingError> {
        let of_interval = self.cost.times(Share::new(1, cycle.whole.days().into()))?.minor(currency)?;
        let owed_minor = cycle.instalment.of(of_interval)?;
        let amount_minor = owed_minor.checked_sub(self.billed_minor).ok_or(RatingError::AmountRange)?;
        self.billed_minor = owed_minor;
        Ok(amount_minor)
    }
}

/// Where the days of `part` are in a list of the days of `whole`.
fn offsets(whole: Span, part: Span) -> Option<std::ops::Range<usize>> {
    let at = |day: NaiveDate| usize::try_from((day - whole.start()).num_days()).ok();
    Some(at(part.start())?..at(part.end())?)
}

/// What became of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    quantity: i64,
    /// The quantity is the same and costs another amount.
    is_repriced: bool,
}

impl Change {
    const NONE: Self = Self { quantity: 0, is_repriced: false };
}

/// The maximal runs of days with the same change, and its quantity.
fn stretches(days: Span, changes: &[Change]) -> Vec<(Span, i64)> {
    let mut found: Vec<(NaiveDate, NaiveDate, Change)> = Vec::new();
    for (day, change) in days.each_day().zip(changes) {
        let after = day.succ_opt().unwrap_or(day);
        match found.last_mut() {
            Some((_, end, before)) if *end == day && before == change => *end = after,
            _ if *change == Change::NONE => {}
            _ => found.push((day, after, *change)),
        }
    }
    let stretch = |(start, end, change): (_, _, Change)| Some((Span::new(start, end)?, change.quantity));
    found.into_iter().filter_map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_maximal_and_leave_out_nothing_but_zeroes() {
        let day = |d| NaiveDate::from_ymd_opt(2026, 1, d).unwrap();
        let days = Span::new(day(1), day(9)).unwrap();
        let changes = [0, 1, 1, 0, 0, -2, 3, 3].map(|quantity| Change { quantity, is_repriced: false });
        let found = stretches(days, &changes);
        let expected = [(2, 4, 1), (6, 7, -2), (7, 9, 3)];
        assert_eq!(found, expected.map(|(from, to, q)| (Span::new(day(from), day(to)).unwrap(), q)));
    }
}
