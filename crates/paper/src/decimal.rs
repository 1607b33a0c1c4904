//! Exact decimals: quantities, prices and rates.

use std::fmt;
use std::str::FromStr;

/// Digits before the point that a decimal may have.
const WHOLE: usize = 18;
/// Digits after the point that a decimal may have.
const PLACES: usize = 8;
/// The whole of one, in the units a decimal is counted in.
pub(crate) const ONE: i128 = 10_i128.pow(8);

/// An exact decimal of up to 18 digits before the point and 8 after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

/// A text that is not a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal of at most 18 digits before the point and 8 after it")]
pub struct DecimalError;

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The number in units of 10⁻⁸.
    pub(crate) const fn units(self) -> i128 {
        self.0
    }

    /// The number with the other sign.
    pub(crate) const fn turned(self) -> Self {
        Self(-self.0)
    }

    /// The number without its sign.
    pub(crate) const fn abs(self) -> Self {
        Self(self.0.abs())
    }
}

impl From<i64> for Decimal {
    /// A whole number; those of 19 digits are kept too.
    fn from(whole: i64) -> Self {
        Self(i128::from(whole) * ONE)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;
    /// Reads `-12.5`: digits, and if there is a point, digits on both of its sides.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, places) = match digits.split_once('.') {
            Some((_, "")) => return Err(DecimalError),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || whole.len() > WHOLE
            || places.len() > PLACES
            || !number(whole)
            || !number(places)
        {
            return Err(DecimalError);
        }
        let units: i128 = format!("{whole}{places:0<PLACES$}").parse().map_err(|_| DecimalError)?;
        Ok(Self(if negative { -units } else { units }))
    }
}

impl fmt::Display for Decimal {
    /// Without an exponent, without zeros that say nothing: `12.5`, `-3`, `0.0001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, places) = (self.0.abs() / ONE, self.0.abs() % ONE);
        if places == 0 {
            return write!(f, "{sign}{whole}");
        }
        let places = format!("{places:0PLACES$}");
        write!(f, "{sign}{whole}.{}", places.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_shortest_form() {
        for (text, shown) in [
            ("1", "1"),
            ("-1.50", "-1.5"),
            ("0.00000001", "0.00000001"),
            ("-0", "0"),
            ("007", "7"),
            ("999999999999999999.99999999", "999999999999999999.99999999"),
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), shown);
        }
        assert_eq!(Decimal::from(i64::MIN).to_string(), "-9223372036854775808");
    }

    #[test]
    fn refuses_what_is_no_decimal() {
        for text in
            ["", "-", ".5", "5.", "1e3", "+1", "1,5", "0.000000001", "1234567890123456789", "--1", "١"]
        {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text}");
        }
    }
}
