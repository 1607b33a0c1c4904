//! A price of a term that is paid in parts.

use super::RatingError;
use super::price::{Share, round_half_away};

/// Instalment `number` (1 to `count`) of a total: `round(total · number / count) − round(total · (number − 1) /
/// count)`, so that all of them add up to the total and no two differ by more than one minor unit.
///
/// It is a plan of payments for what has been billed, not a charge: what is owed of a cycle goes by its days, and
/// these parts do not. [`RatingError::InstalmentRange`] for a number that is none of them.
pub fn instalment(total_minor: i64, number: u32, count: u32) -> Result<i64, RatingError> {
    if number == 0 || number > count {
        return Err(RatingError::InstalmentRange);
    }
    let paid_by = |number: u32| {
        let product = i128::from(total_minor) * i128::from(number);
        round_half_away(Share::new(product, i128::from(count)))
    };
    paid_by(number)?.checked_sub(paid_by(number - 1)?).ok_or(RatingError::AmountRange)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_year_is_paid_in_twelve_parts() {
        let parts: Vec<i64> = (1..=12).map(|number| instalment(10_000, number, 12).unwrap()).collect();
        assert_eq!(parts, [833, 834, 833, 833, 834, 833, 833, 834, 833, 833, 834, 833]);
        assert_eq!(instalment(100, 0, 12), Err(RatingError::InstalmentRange));
        assert_eq!(instalment(100, 13, 12), Err(RatingError::InstalmentRange));
        assert_eq!(instalment(100, 1, 0), Err(RatingError::InstalmentRange));
    }

    proptest! {
        /// I11: instalments sum to the total and differ by at most one minor unit.
        #[test]
        fn i11_instalments_sum_to_the_total(total in any::<i64>(), count in 1_u32..200) {
            let parts: Vec<i64> = (1..=count).map(|number| instalment(total, number, count).unwrap()).collect();
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(total));
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }
}
