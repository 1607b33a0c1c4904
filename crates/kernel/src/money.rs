//! Money: a whole number of a currency's minor units. No float comes near it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::wire::text_on_the_wire;

/// An ISO 4217 currency that has minor units.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// A text that is not a currency in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 4217 currency code in upper case that has minor units")]
pub struct CurrencyError;

impl Currency {
    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal digits the minor unit has: 0 for JPY, 2 for EUR, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;
    fn from_str(code: &str) -> Result<Self, CurrencyError> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some() && currency.code() == code)
            .map(Self)
            .ok_or(CurrencyError)
    }
}

text_on_the_wire!(Currency);

/// An amount in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Whole minor units: 1250 is 12.50 EUR, 1250 JPY or 1.250 KWD.
    pub amount_minor: i64,
    /// The currency they are of.
    pub currency: Currency,
}

impl Money {
    /// An amount of minor units.
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }
}

impl Money {
    /// The amount in major units with as many decimals as the currency has, such as `-12.50`.
    pub fn decimal(self) -> String {
        let digits = self.currency.exponent();
        let unit = 10_u64.pow(digits);
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let minor = self.amount_minor.unsigned_abs();
        match digits {
            0 => format!("{sign}{minor}"),
            _ => format!("{sign}{}.{:0width$}", minor / unit, minor % unit, width = digits as usize),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_by_the_currency_s_own_digits() {
        let show = |minor, code: &str| Money::new(minor, code.parse().unwrap()).to_string();
        assert_eq!(show(1250, "EUR"), "12.50 EUR");
        assert_eq!(show(-5, "EUR"), "-0.05 EUR");
        assert_eq!(show(1250, "JPY"), "1250 JPY");
        assert_eq!(show(1250, "KWD"), "1.250 KWD");
        assert_eq!(show(i64::MIN, "EUR"), "-92233720368547758.08 EUR");
    }

    #[test]
    fn only_codes_with_minor_units_are_currencies() {
        for code in ["eur", "XXX", "XAU", "EURO", ""] {
            assert_eq!(code.parse::<Currency>(), Err(CurrencyError), "{code}");
        }
    }
}
