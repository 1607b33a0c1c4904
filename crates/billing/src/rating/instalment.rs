//! A price that is paid in parts.

use super::RatingError;
use super::price::{Share, round_half_away};

/// Which of so many parts of a price a cycle pays; [`Instalment::WHOLE`] if it pays all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instalment {
    number: u16,
    count: u16,
}

impl Instalment {
    /// The only part.
    pub const WHOLE: Self = Self { number: 1, count: 1 };

    /// Part `number`, 1 to `count`. [`RatingError::InstalmentRange`] for one that is none of them.
    pub fn new(number: u16, count: u16) -> Result<Self, RatingError> {
        if (1..=count).contains(&number) {
            Ok(Self { number, count })
        } else {
            Err(RatingError::InstalmentRange)
        }
    }

    /// 1 to [`Instalment::count`].
    pub fn number(self) -> u16 {
        self.number
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.count
    }

    /// Its part of a total: `round(total · number / count) − round(total · (number − 1) / count)`, so that all of them
    /// add up to the total and no two differ by more than one minor unit.
    pub fn of(self, total_minor: i64) -> Result<i64, RatingError> {
        let paid_by = |number: u16| {
            let product = i128::from(total_minor) * i128::from(number);
            round_half_away(Share::new(product, i128::from(self.count)))
        };
        paid_by(self.number)?.checked_sub(paid_by(self.number - 1)?).ok_or(RatingError::AmountRange)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_year_is_paid_in_twelve_parts() {
        let parts: Vec<i64> =
            (1..=12).map(|number| Instalment::new(number, 12).unwrap().of(10_000).unwrap()).collect();
        assert_eq!(parts, [833, 834, 833, 833, 834, 833, 833, 834, 833, 833, 834, 833]);
        for (number, count) in [(0, 12), (13, 12), (1, 0)] {
            assert_eq!(Instalment::new(number, count), Err(RatingError::InstalmentRange));
        }
        assert_eq!(Instalment::WHOLE.of(-7), Ok(-7));
    }

    proptest! {
        /// I11: instalments sum to the total and differ by at most one minor unit.
        #[test]
        fn i11_instalments_sum_to_the_total(total in any::<i64>(), count in 1_u16..200) {
            let parts: Vec<i64> = (1..=count).map(|number| Instalment::new(number, count).unwrap().of(total).unwrap()).collect();
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(total));
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }
}
