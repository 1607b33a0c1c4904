//! Amounts as the API counts them, which is not always in the minor units of ISO 4217.
//!
//! <https://docs.stripe.com/currencies#zero-decimal>, as it was read in November 2026.

use kernel::{Currency, Money};

/// Why an amount cannot be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The API takes coarser steps of this currency than the amount has.
    #[error("the provider charges this currency in steps of {0} minor units only")]
    Step(i64),
    /// The API does not know a currency of so many digits.
    #[error("the provider does not take this currency")]
    Currency,
    /// Out of range.
    #[error("the amount is too large")]
    Range,
}

/// How one of the API's units and a currency's minor unit go together.
enum Scale {
    /// So many of the API's units make one minor unit.
    Finer(i64),
    /// One of the API's units is so many minor units.
    Coarser(i64),
    /// The same, but only multiples of it are taken.
    InStepsOf(i64),
}

fn scale(currency: Currency) -> Result<Scale, AmountError> {
    match (currency.code(), currency.exponent()) {
        // ISO 4217 has no digits of these, the API keeps two for compatibility, always 00.
        ("ISK" | "UGX", 0) => Ok(Scale::Finer(100)),
        // ISO 4217 has two digits of it, the API none.
        ("MGA", 2) => Ok(Scale::Coarser(100)),
        (_, 0 | 2) => Ok(Scale::InStepsOf(1)),
        // The last of three digits has to be 0, which is what card networks bear.
        (_, 3) => Ok(Scale::InStepsOf(10)),
        _ => Err(AmountError::Currency),
    }
}

/// An amount in the API's units.
pub(crate) fn to_api(amount: Money) -> Result<i64, AmountError> {
    let minor = amount.amount_minor;
    match scale(amount.currency)? {
        Scale::Finer(factor) => minor.checked_mul(factor).ok_or(AmountError::Range),
        Scale::Coarser(step) if minor % step == 0 => Ok(minor / step),
        Scale::InStepsOf(step) if minor % step == 0 => Ok(minor),
        Scale::Coarser(step) | Scale::InStepsOf(step) => Err(AmountError::Step(step)),
    }
}

/// An amount of the API's as ours.
pub(crate) fn from_api(amount: i64, currency: Currency) -> Result<Money, AmountError> {
    let minor = match scale(currency)? {
        Scale::Finer(factor) if amount % factor == 0 => amount / factor,
        Scale::Finer(factor) => return Err(AmountError::Step(factor)),
        Scale::Coarser(step) => amount.checked_mul(step).ok_or(AmountError::Range)?,
        Scale::InStepsOf(_) => amount,
    };
    Ok(Money::new(minor, currency))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse().unwrap())
    }

    #[test]
    fn the_api_s_own_digits() {
        for (minor, code, expected) in [
            (1250, "EUR", Ok(1250)),
            (500, "JPY", Ok(500)),
            (500, "VND", Ok(500)),
            (5120, "KWD", Ok(5120)),
            (5124, "KWD", Err(AmountError::Step(10))),
            (5, "ISK", Ok(500)),
            (5, "UGX", Ok(500)),
            (5_00, "MGA", Ok(5)),
            (5_01, "MGA", Err(AmountError::Step(100))),
            (i64::MAX, "UGX", Err(AmountError::Range)),
            (1, "CLF", Err(AmountError::Currency)),
        ] {
            assert_eq!(to_api(money(minor, code)), expected, "{minor} {code}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(minor in 0_i64..1_000_000_000_000, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "ISK", "UGX", "MGA", "HUF", "TWD"])) {
            if let Ok(sent) = to_api(money(minor, code)) {
                prop_assert_eq!(from_api(sent, code.parse().unwrap()), Ok(money(minor, code)));
            }
        }
    }
}
