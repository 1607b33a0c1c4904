//! Percentages of discounts and taxes: exact decimals.

use std::fmt;
use std::str::FromStr;

use super::price::Share;

/// How many decimals a percentage has: `numeric(7,4)`.
const SCALE: usize = 4;
/// 100 %, in units of 10⁻⁴ %.
const HUNDRED: u32 = 1_000_000;

/// From 0 to 100 %, with at most 4 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percentage {
    /// In units of 10⁻⁴ %.
    scaled: u32,
}

/// A text that is not a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is a decimal string from 0 to 100 of at most 4 decimals, such as 8.1")]
pub struct PercentageError;

impl Percentage {
    /// 0 %.
    pub const ZERO: Self = Self { scaled: 0 };

    /// As a share of 1: 25 % is ¼.
    pub fn share(self) -> Share {
        Share::new(self.scaled.into(), HUNDRED.into())
    }
}

impl FromStr for Percentage {
    type Err = PercentageError;
    fn from_str(text: &str) -> Result<Self, PercentageError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > SCALE {
            return Err(PercentageError);
        }
        let scaled: u32 = format!("{whole}{decimals:0<SCALE$}").parse().map_err(|_| PercentageError)?;
        if scaled > HUNDRED { Err(PercentageError) } else { Ok(Self { scaled }) }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = HUNDRED / 100;
        write!(f, "{}.{:0SCALE$}", self.scaled / one, self.scaled % one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_strict_decimals() {
        for (text, shown) in [
            ("0", "0.0000"),
            ("8.1", "8.1000"),
            ("23.3333", "23.3333"),
            ("100", "100.0000"),
            ("25.0", "25.0000"),
        ] {
            assert_eq!(text.parse::<Percentage>().map(|p| p.to_string()).as_deref(), Ok(shown));
        }
        for text in ["", "-1", "100.0001", "1000", "1.", ".5", "1.00001", "20%", "1e1", " 1"] {
            assert_eq!(text.parse::<Percentage>(), Err(PercentageError), "{text:?}");
        }
        assert_eq!("12.5".parse::<Percentage>().unwrap().share(), Share::new(1, 8));
    }
}
