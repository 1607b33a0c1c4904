//! Charges that come once, such as a setup.

use chrono::NaiveDate;
use kernel::Currency;

use super::RatingError;
use super::price::{Share, UnitPrice};

/// A charge on a day, once, whole and in no cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneOff {
    /// The day on which it falls due. It goes on the first document made on that day or after.
    pub on: NaiveDate,
    /// For one unit.
    pub unit_price: UnitPrice,
    /// How many; 0 after it has been called off.
    pub quantity: u32,
}

impl OneOff {
    /// `owed − billed` at the end of a day, in minor units; negative for a credit of what was billed.
    pub fn outstanding(
        &self,
        as_of: NaiveDate,
        currency: Currency,
        billed_minor: i64,
    ) -> Result<i64, RatingError> {
        let quantity = if self.on <= as_of { self.quantity } else { 0 };
        let owed_minor = self.unit_price.cost(Share::from(i128::from(quantity)))?.minor(currency)?;
        owed_minor.checked_sub(billed_minor).ok_or(RatingError::AmountRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_charged_once_from_its_day_on() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let eur = "EUR".parse().unwrap();
        let setup = OneOff { on: day("2026-01-10"), unit_price: "49.995".parse().unwrap(), quantity: 3 };
        assert_eq!(setup.outstanding(day("2026-01-09"), eur, 0), Ok(0));
        assert_eq!(setup.outstanding(day("2026-01-10"), eur, 0), Ok(14_999));
        assert_eq!(setup.outstanding(day("2026-02-01"), eur, 14_999), Ok(0));
        let called_off = OneOff { quantity: 0, ..setup };
        assert_eq!(called_off.outstanding(day("2026-02-01"), eur, 14_999), Ok(-14_999));
    }
}
