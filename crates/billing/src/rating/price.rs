//! Unit prices and exact amounts: integers and ratios of integers all the way, rounded once.

use std::fmt;
use std::str::FromStr;

use kernel::Currency;
use num_traits::{CheckedAdd as _, CheckedMul as _, CheckedSub as _};

use super::RatingError;

/// An exact number of units or of cycles: seat-days over the days of the whole cycle.
pub type Share = num_rational::Ratio<i128>;

/// How many decimals a unit price has: `numeric(20,8)`.
const SCALE: u32 = 8;
/// How many digits may stand before the point.
const INTEGER_DIGITS: u32 = 12;

/// The price of one unit for one whole interval, in major units of a currency that is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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
    /// Nothing.
    pub const ZERO: Self = Self { scaled: 0 };
    /// The least that cannot be said.
    const LIMIT: i128 = 10_i128.pow(SCALE + INTEGER_DIGITS);

    /// The sum of two, as far as it can be said.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { scaled: (self.scaled + other.scaled).min(Self::LIMIT - 1) }
    }

    /// So many minor units of a currency; `None` beyond 12 digits before the point.
    pub fn of_minor(amount_minor: u64, currency: Currency) -> Option<Self> {
        let minor_per_major = 10_i128.pow(currency.exponent());
        let scaled = i128::from(amount_minor) * (10_i128.pow(SCALE) / minor_per_major);
        (scaled < Self::LIMIT).then_some(Self { scaled })
    }

    /// The exact price of so many units.
    pub fn cost(self, units: Share) -> Result<Amount, RatingError> {
        Amount(Share::from(self.scaled)).times(units)
    }
}

/// An exact amount of money, in major units of a currency that is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(
    /// In units of 10⁻⁸.
    Share,
);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Share::new_raw(0, 1));

    /// The sum of two. [`RatingError::AmountRange`] beyond 128 bits, here as below.
    pub fn plus(self, other: Self) -> Result<Self, RatingError> {
        self.0.checked_add(&other.0).map(Self).ok_or(RatingError::AmountRange)
    }

    /// How much more it is than another; negative if it is less.
    pub fn minus(self, other: Self) -> Result<Self, RatingError> {
        self.0.checked_sub(&other.0).map(Self).ok_or(RatingError::AmountRange)
    }

    /// So many times the amount.
    pub fn times(self, factor: Share) -> Result<Self, RatingError> {
        self.0.checked_mul(&factor).map(Self).ok_or(RatingError::AmountRange)
    }

    /// The most that is no more than it and a multiple of the least that unit prices say.
    pub(super) fn floor(self) -> Self {
        Self(self.0.floor())
    }

    /// In minor units of the currency: half away from zero. What is charged is rounded here, once, and only here.
    pub fn minor(self, currency: Currency) -> Result<i64, RatingError> {
        let minor_per_major = Share::new(10_i128.pow(currency.exponent()), 10_i128.pow(SCALE));
        round_half_away(self.times(minor_per_major)?.0)
    }
}

/// The nearest integer, a half away from zero.
pub(super) fn round_half_away(exact: Share) -> Result<i64, RatingError> {
    let (numerator, denominator) = (*exact.numer(), *exact.denom());
    let rest = (numerator % denominator).unsigned_abs();
    let is_up = rest >= denominator.unsigned_abs() - rest;
    let rounded = numerator / denominator + if is_up { numerator.signum() } else { 0 };
    i64::try_from(rounded).map_err(|_| RatingError::AmountRange)
}

impl FromStr for UnitPrice {
    type Err = UnitPriceError;
    fn from_str(text: &str) -> Result<Self, UnitPriceError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole)
            || !digits(decimals)
            || whole.len() > INTEGER_DIGITS as usize
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
        let cost = price.parse::<UnitPrice>().unwrap().cost(Share::new(numer, denom))?;
        cost.minor(currency.parse().unwrap())
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
            let exact = Share::new(numerator, denominator);
            assert_eq!(round_half_away(exact), Ok(expected), "{exact}");
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
