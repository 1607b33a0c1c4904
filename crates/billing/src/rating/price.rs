//! Unit prices and exact amounts: integers and ratios of integers all the way, rounded once.

use std::fmt;
use std::str::FromStr;

use kernel::Currency;

use super::RatingError;

/// An exact number of units: seat-days over the days of the whole cycle.
pub type Share = num_rational::Ratio<i128>;

/// How many decimals a unit price has: `numeric(20,8)`.
const SCALE: u32 = 8;
/// How many digits may stand before the point.
const INTEGER_DIGITS: usize = 12;

/// The price of one unit for one whole cycle, in major units of a currency that is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice {
    /// In units of 10⁻⁸.
    scaled: i128,
}

/// A text that is not a unit price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a unit price is a decimal string of at most 12 digits and 8 decimals, not negative, such as 0.14000000"
)]
pub struct UnitPriceError;

impl UnitPrice {
    /// The price of so many units, in minor units of the currency: half away from zero, rounded here and only here.
    pub fn amount_minor(self, units: Share, currency: Currency) -> Result<i64, RatingError> {
        let minor_per_major = 10_i128.pow(currency.exponent());
        let numerator = self
            .scaled
            .checked_mul(*units.numer())
            .and_then(|product| product.checked_mul(minor_per_major))
            .ok_or(RatingError::AmountRange)?;
        let denominator = units.denom().checked_mul(10_i128.pow(SCALE)).ok_or(RatingError::AmountRange)?;
        i64::try_from(round_half_away(numerator, denominator)).map_err(|_| RatingError::AmountRange)
    }
}

/// Rounds a fraction to the nearest integer, a half away from zero. The denominator is positive.
fn round_half_away(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator / denominator;
    let rest = (numerator % denominator).unsigned_abs();
    if rest >= denominator.unsigned_abs() - rest { quotient + numerator.signum() } else { quotient }
}

impl FromStr for UnitPrice {
    type Err = UnitPriceError;
    fn from_str(text: &str) -> Result<Self, UnitPriceError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole)
            || !digits(decimals)
            || whole.len() > INTEGER_DIGITS
            || decimals.len() > SCALE as usize
        {
            return Err(UnitPriceError);
        }
        let padded = format!("{whole}{decimals:0<width$}", width = SCALE as usize);
        padded.parse().map(|scaled| Self { scaled }).map_err(|_| UnitPriceError)
    }
}

impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_i128.pow(SCALE);
        write!(f, "{}.{:0width$}", self.scaled / one, self.scaled % one, width = SCALE as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(price: &str, numer: i128, denom: i128, currency: &str) -> Result<i64, RatingError> {
        price.parse::<UnitPrice>().unwrap().amount_minor(Share::new(numer, denom), currency.parse().unwrap())
    }

    #[test]
    fn a_half_goes_away_from_zero() {
        for (numerator, denominator, expected) in [
            (1, 2, 1),
            (-1, 2, -1),
            (3, 2, 2),
            (-3, 2, -2),
            (5, 2, 3),
            (1, 3, 0),
            (2, 3, 1),
            (-2, 3, -1),
            (4, 2, 2),
        ] {
            assert_eq!(round_half_away(numerator, denominator), expected, "{numerator}/{denominator}");
        }
        assert_eq!(amount("249.95", 9, 30, "USD"), Ok(7499));
    }

    #[test]
    fn each_currency_has_its_own_minor_unit() {
        assert_eq!(amount("1500", 1, 2, "JPY"), Ok(750));
        assert_eq!(amount("1501", 1, 2, "JPY"), Ok(751));
        assert_eq!(amount("1.2345", 1, 1, "KWD"), Ok(1235));
        assert_eq!(amount("0.00000001", 500_000, 1, "EUR"), Ok(1));
        assert_eq!(amount("999999999999.99999999", 1_000_000_000, 1, "KWD"), Err(RatingError::AmountRange));
    }

    #[test]
    fn prices_are_strict_decimals() {
        for (text, shown) in
            [("0.14", "0.14000000"), ("10", "10.00000000"), ("0", "0.00000000"), ("1.00000001", "1.00000001")]
        {
            assert_eq!(text.parse::<UnitPrice>().map(|p| p.to_string()).as_deref(), Ok(shown));
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "1.000000001",
            "1234567890123",
            " 1",
            "1.2.3",
            "٣",
        ] {
            assert_eq!(text.parse::<UnitPrice>(), Err(UnitPriceError), "{text:?}");
        }
    }
}
