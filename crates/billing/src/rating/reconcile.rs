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
    /// What it came to.
    pub amount_minor: i64,
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
    /// In minor units.
    pub amount_minor: i64,
}

/// `owed − billed` of a cycle at one rate, one charge for each stretch of days with the same difference.
///
/// Owed is the sum of what each day's quantity costs for a whole cycle, divided by the days of the whole cycle.
/// Telescoping: after each charge the cycle's lines add up to the rounded cost so far, of the days up to its end as
/// they are in force and of the days after as they were billed; so segments add up to the full price and a credit is
/// what was billed less what is kept.
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
    let mut billed_minor = 0_i64;
    for line in billed.iter().filter(|line| line.rate == *rate) {
        let days = offsets(whole, line.period).ok_or(RatingError::BilledOutsideCycle)?;
        for level in billed_levels.get_mut(days).ok_or(RatingError::BilledOutsideCycle)? {
            *level += line.quantity;
        }
        billed_minor = billed_minor.checked_add(line.amount_minor).ok_or(RatingError::AmountRange)?;
    }
    let mut cost = cost_of_days(rate, &billed_levels)?;
    let difference: Vec<i64> = in_force.iter().zip(&billed_levels).map(|(now, then)| now - then).collect();
    let mut charges = Vec::new();
    for (period, quantity) in stretches(whole, &difference) {
        let days = offsets(whole, period).ok_or(RatingError::BilledOutsideCycle)?;
        let of = |levels: &[i64]| cost_of_days(rate, levels.get(days.clone()).unwrap_or_default());
        cost = cost.plus(of(in_force)?.minus(of(&billed_levels)?)?)?;
        let owed_minor = cost.times(Share::new(1, whole.days().into()))?.minor(currency)?;
        let amount_minor = owed_minor.checked_sub(billed_minor).ok_or(RatingError::AmountRange)?;
        let seat_days = quantity.checked_mul(period.days()).ok_or(RatingError::AmountRange)?;
        charges.push(Charge { period, quantity, seat_days, amount_minor });
        billed_minor = owed_minor;
    }
    Ok(charges)
}

/// The sum of what the quantity of each day costs for a whole cycle.
fn cost_of_days(rate: &Rate, levels: &[i64]) -> Result<Amount, RatingError> {
    levels.chunk_by(|a, b| a == b).try_fold(Amount::ZERO, |sum, days| {
        let (level, count) = (days.first().copied().unwrap_or(0), i128::try_from(days.len()).unwrap_or(0));
        sum.plus(rate.cost(Share::from(i128::from(level)))?.times(Share::from(count))?)
    })
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
