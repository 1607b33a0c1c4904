//! Discounts: a percentage or an amount for each cycle off what days cost.
//!
//! What is off for a cycle belongs to what its days are charged at ([`Rate`]): lines are net of it, so a credit is worth
//! what was billed, net, and both the price and what is off are split over days by the same telescoping. The net is what is
//! rounded, once, and it is never below 0, so credits never exceed charges. An amount is off one item.

use chrono::NaiveDate;

use super::RatingError;
use super::percentage::Percentage;
use super::price::{Amount, Share, UnitPrice};
use super::tariff::Tariff;

/// How much is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// Of what is charged. Of several on one day the largest counts.
    Percentage(Percentage),
    /// For each whole interval, in major units of the currency, after the percentage. Several on one day add up.
    Amount(UnitPrice),
}

/// A discount on some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discount {
    /// How much.
    pub off: Off,
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last; `None` if it does not end.
    pub until: Option<NaiveDate>,
}

impl Discount {
    pub(super) fn contains(self, day: NaiveDate) -> bool {
        self.from <= day && self.until.is_none_or(|until| day < until)
    }
}

/// What a day is charged at: a tariff, less a percentage, less an amount. Equal rates are the same rate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// The tariff.
    pub tariff: Tariff,
    /// What is taken off first; 0 for nothing.
    pub discount: Percentage,
    /// What is taken off the rest for a whole interval, as far as there is any; 0 for nothing.
    pub off: UnitPrice,
}

impl From<Tariff> for Rate {
    fn from(tariff: Tariff) -> Self {
        Self { tariff, discount: Percentage::ZERO, off: UnitPrice::ZERO }
    }
}

impl Rate {
    /// The exact cost of a quantity for a whole interval, net of the discounts.
    pub fn cost(&self, units: Share) -> Result<Amount, RatingError> {
        let charged = self.tariff.cost(units)?.times(Share::from(1) - self.discount.share())?;
        Ok(charged.minus(self.off.cost(Share::from(1))?)?.max(Amount::ZERO))
    }

    /// The exact cost without the discounts.
    pub fn list_cost(&self, units: Share) -> Result<Amount, RatingError> {
        self.tariff.cost(units)
    }

    /// Whether anything is taken off.
    pub fn is_discounted(&self) -> bool {
        self.discount > Percentage::ZERO || self.off > UnitPrice::ZERO
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::calendar::{Cycle, Span};
    use super::super::reconcile::{Billed, reconcile};
    use super::*;

    #[test]
    fn what_is_kept_of_a_net_price_is_rounded_once() {
        let day = |month| NaiveDate::from_ymd_opt(2026, month, 1).unwrap();
        let whole = Span::new(day(1), day(2)).unwrap();
        let off = "2.50".parse().unwrap();
        let rate = Rate { off, ..Tariff::Flat("25".parse().unwrap()).into() };
        let charged = |in_force: &[i64], billed: &[Billed]| {
            let currency = "EUR".parse().unwrap();
            let charges = reconcile(&rate, currency, &Cycle::new(whole, whole), in_force, billed).unwrap();
            let [charge] = charges[..] else { panic!("one charge") };
            charge
        };
        let all = charged(&[1; 31], &[]);
        assert_eq!((all.amount_minor, all.discount_minor), (2250, 250));
        let kept: Vec<i64> = (0..31).map(|day| i64::from(day < 21)).collect();
        let credit = charged(&kept, &[all.billed_at(rate.clone())]);
        // 1524.19 are kept. The price and what is off, each rounded, would leave 1694 - 169.
        assert_eq!((credit.amount_minor, credit.discount_minor), (-726, -80));
    }

    #[test]
    fn each_part_of_a_cycle_in_which_a_discount_begins_is_rounded_once() {
        let day = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
        let whole = Span::new(day(1, 1), day(2, 1)).unwrap();
        let list = Rate::from(Tariff::Flat("10".parse().unwrap()));
        let rates = [list.clone(), Rate { discount: "10".parse().unwrap(), ..list }];
        let on: [fn(i64) -> bool; 2] = [|day| day < 10, |day| day >= 10];
        let currency = "EUR".parse().unwrap();
        let mut lines = Vec::new();
        for (rate, is_on) in rates.iter().zip(on) {
            let in_force: Vec<i64> = (0..31).map(|day| i64::from(is_on(day))).collect();
            let charges = reconcile(rate, currency, &Cycle::new(whole, whole), &in_force, &lines).unwrap();
            lines.extend(charges.iter().map(|charge| charge.billed_at(rate.clone())));
        }
        // 10.00 × 10/31 = 3.2258…; × 21/31 = 6.7741…, and 6.0967… net.
        let amounts = |lines: &[Billed]| -> Vec<(Span, i64, i64)> {
            lines.iter().map(|line| (line.period, line.amount_minor, line.discount_minor)).collect()
        };
        let parts = [(day(1, 1), day(1, 11)), (day(1, 11), day(2, 1))];
        let [before, after] = parts.map(|(from, until)| Span::new(from, until).unwrap());
        assert_eq!(amounts(&lines), [(before, 323, 0), (after, 610, 67)]);
        // What goes is worth what was billed, to nothing.
        for rate in &rates {
            let charges = reconcile(rate, currency, &Cycle::new(whole, whole), &[0; 31], &lines).unwrap();
            lines.extend(charges.iter().map(|charge| charge.billed_at(rate.clone())));
        }
        let sums = lines
            .iter()
            .fold((0, 0), |sums, line| (sums.0 + line.amount_minor, sums.1 + line.discount_minor));
        assert_eq!((lines.len(), sums), (4, (0, 0)));
    }

    #[test]
    fn an_amount_is_off_what_the_percentage_leaves() {
        let rate = |percentage: &str, off: &str| Rate {
            discount: percentage.parse().unwrap(),
            off: off.parse().unwrap(),
            ..Tariff::Flat("12.50".parse().unwrap()).into()
        };
        let minor =
            |rate: Rate, units: i128| rate.cost(Share::from(units)).unwrap().minor("EUR".parse().unwrap());
        assert_eq!(minor(rate("20", "3"), 2), Ok(1700));
        assert_eq!(minor(rate("0", "20"), 1), Ok(0));
        assert_eq!(minor(rate("0", "20"), 0), Ok(0));
        assert!(rate("0", "0.01").is_discounted() && !rate("0", "0").is_discounted());
        let most: UnitPrice = "999999999999.99999999".parse().unwrap();
        assert_eq!(most.plus("5".parse().unwrap()), most);
    }

    proptest! {
        /// I12: with discounts, too, more units never cost less, and never less than nothing or more than without.
        #[test]
        fn i12_more_never_costs_less(
            price in 0_u32..100_000,
            percentage in 0_u32..=1_000_000,
            off in 0_u32..1_000_000,
            (less, more) in (0_i128..50, 0_i128..50),
        ) {
            let cents = |minor: u32| UnitPrice::of_minor(minor.into(), "EUR".parse().unwrap()).unwrap();
            let percentage = format!("{}.{:04}", percentage / 10_000, percentage % 10_000);
            let discount = percentage.parse().unwrap();
            let rate = Rate { discount, off: cents(off), ..Tariff::Flat(cents(price)).into() };
            let cost = |units: i128| rate.cost(Share::from(units)).unwrap();
            prop_assert!(Amount::ZERO <= cost(less) && cost(less) <= cost(less + more));
            prop_assert!(cost(more) <= rate.list_cost(Share::from(more)).unwrap());
        }
    }
}
