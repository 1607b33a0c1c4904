//! What a cycle is owed, less what it has been billed.

use chrono::NaiveDate;
use kernel::Currency;
use num_traits::Zero;

use super::RatingError;
use super::calendar::Span;
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
/// Owed is the sum of what each day's quantity costs for a whole cycle, divided by the days of the whole cycle.
/// Telescoping: after each charge the cycle's lines add up to the rounded cost so far, of the days up to its end as
/// they are in force and of the days after as they were billed; so segments add up to the full price and a credit is
/// what was billed less what is kept. What is taken off is what the lines would add up to without discounts, less that.
///
/// `in_force` has a quantity for each day of the whole cycle. Lines that were billed at other rates are passed over.
/// [`RatingError::BilledOutsideCycle`] if one that was billed at this has other days.
pub fn reconcile(
    rate: &Rate,
    currency: Currency,
    whole: Span,
    in_force: &[i64],
    billed: &[Billed],
) -> Result<Vec<Charge>, RatingError> {
    let mut billed_levels = vec![0_i64; in_force.len()];
    let (mut net, mut list) = (Telescope::new(rate, Rate::cost), Telescope::new(rate, Rate::list_cost));
    for line in billed.iter().filter(|line| line.rate == *rate) {
        let days = offsets(whole, line.period).ok_or(RatingError::BilledOutsideCycle)?;
        for level in billed_levels.get_mut(days).ok_or(RatingError::BilledOutsideCycle)? {
            *level += line.quantity;
        }
        net.add(line.amount_minor)?;
        list.add(line.amount_minor.checked_add(line.discount_minor).ok_or(RatingError::AmountRange)?)?;
    }
    net.cost = net.cost_of(&billed_levels)?;
    if rate.is_discounted() {
        list.cost = list.cost_of(&billed_levels)?;
    }
    let difference: Vec<i64> = in_force.iter().zip(&billed_levels).map(|(now, then)| now - then).collect();
    let mut charges = Vec::new();
    for (period, quantity) in stretches(whole, &difference) {
        let days = offsets(whole, period).ok_or(RatingError::BilledOutsideCycle)?;
        let before = billed_levels.get(days.clone()).unwrap_or_default();
        let now = in_force.get(days).unwrap_or_default();
        let amount_minor = net.step(before, now, whole, currency)?;
        let list_minor = match rate.is_discounted() {
            true => list.step(before, now, whole, currency)?,
            false => amount_minor,
        };
        let discount_minor = list_minor.checked_sub(amount_minor).ok_or(RatingError::AmountRange)?;
        let seat_days = quantity.checked_mul(period.days()).ok_or(RatingError::AmountRange)?;
        charges.push(Charge { period, quantity, seat_days, amount_minor, discount_minor });
    }
    Ok(charges)
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
        self.billed_minor = self.billed_minor.checked_add(billed_minor).ok_or(RatingError::AmountRange)?;
        Ok(())
    }

    /// The sum of what the quantity of each day costs for a whole cycle.
    fn cost_of(&self, levels: &[i64]) -> Result<Amount, RatingError> {
        levels.chunk_by(|a, b| a == b).try_fold(Amount::ZERO, |sum, days| {
            let (level, count) =
                (days.first().copied().unwrap_or(0), i128::try_from(days.len()).unwrap_or(0));
            let of_cycle = (self.cost_of_cycle)(self.rate, Share::from(i128::from(level)))?;
            sum.plus(of_cycle.times(Share::from(count))?)
        })
    }

    /// What is to be billed when some days have other quantities than before.
    fn step(
        &mut self,
        before: &[i64],
        now: &[i64],
        whole: Span,
        currency: Currency,
    ) -> Result<i64, RatingError> {
        self.cost = self.cost.plus(self.cost_of(now)?.minus(self.cost_of(before)?)?)?;
        let owed_minor = self.cost.times(Share::new(1, whole.days().into()))?.minor(currency)?;
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

/// The maximal runs of days with the same quantity other than zero.
fn stretches(days: Span, quantities: &[i64]) -> Vec<(Span, i64)> {
    let mut found: Vec<(NaiveDate, NaiveDate, i64)> = Vec::new();
    for (day, quantity) in days.each_day().zip(quantities) {
        let after = day.succ_opt().unwrap_or(day);
        match found.last_mut() {
            Some((_, end, before)) if *end == day && before == quantity => *end = after,
            _ if quantity.is_zero() => {}
            _ => found.push((day, after, *quantity)),
        }
    }
    found.into_iter().filter_map(|(start, end, quantity)| Some((Span::new(start, end)?, quantity))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_maximal_and_leave_out_nothing_but_zeroes() {
        let day = |d| NaiveDate::from_ymd_opt(2026, 1, d).unwrap();
        let days = Span::new(day(1), day(9)).unwrap();
        let found = stretches(days, &[0, 1, 1, 0, 0, -2, 3, 3]);
        let expected = [(2, 4, 1), (6, 7, -2), (7, 9, 3)];
        assert_eq!(found, expected.map(|(from, to, q)| (Span::new(day(from), day(to)).unwrap(), q)));
    }
}
