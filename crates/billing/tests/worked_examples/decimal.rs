//! Decimal numbers as other systems write them, exactly.

use billing::rating::{Percentage, Share, UnitPrice};
use kernel::Currency;
use serde_json::Value;

/// So many of 10 to the power of minus `places`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    digits: i128,
    places: u32,
}

/// How many digits of a JSON number with a point are meant; its own last ones may be those of its binary form.
const FLOAT_DIGITS: usize = 15;

impl Decimal {
    /// A number, or a text such as `24.95`, `-5.32`, `$7.24` or `7.24 USD`.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) if number.is_f64() => {
                let number = number.as_f64()?;
                let (shown, whole) = (number.to_string(), number.abs().trunc().to_string());
                if shown.trim_start_matches(['-', '0', '.']).len() <= FLOAT_DIGITS {
                    return Self::parse(&shown);
                }
                Self::parse(&format!("{number:.*}", FLOAT_DIGITS.saturating_sub(whole.len())))
            }
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let is_code = |word: &str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_uppercase());
        let text = text.trim();
        let text = text.rsplit_once(' ').filter(|(_, word)| is_code(word)).map_or(text, |(number, _)| number);
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let text = text.trim_start_matches(['+', '$', '€', '£', '¥']);
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{decimals}");
        if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let places = u32::try_from(decimals.len()).ok()?;
        Some(Self { digits: sign * digits.parse::<i128>().ok()?, places })
    }

    /// Divided by ten to the power of `places`.
    pub(crate) fn shifted(self, places: u32) -> Self {
        Self { places: self.places + places, ..self }
    }

    fn trimmed(mut self) -> Self {
        while self.places > 0 && self.digits % 10 == 0 {
            self = Self { digits: self.digits / 10, places: self.places - 1 };
        }
        self
    }

    /// In units of the last of so many decimals; `None` if it has digits below them.
    pub(crate) fn in_units_of(self, places: u32) -> Option<i64> {
        let Self { digits, places: own } = self.trimmed();
        let scale = 10_i128.checked_pow(places.checked_sub(own)?)?;
        i64::try_from(digits.checked_mul(scale)?).ok()
    }

    pub(crate) fn share(self) -> Option<Share> {
        Some(Share::new(self.digits, 10_i128.checked_pow(self.places)?))
    }

    /// Without zeros at the end.
    fn text(self) -> Option<String> {
        let Self { digits, places } = self.trimmed();
        let one = 10_i128.checked_pow(places)?;
        let sign = if digits < 0 { "-" } else { "" };
        let (whole, decimals) = (digits.abs() / one, digits.abs() % one);
        let width = places as usize;
        Some(if width == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals:0width$}") })
    }

    /// Whether it is a number, half up to as many decimals as it has; one that has none is exact.
    pub(crate) fn is(self, exact: Share) -> bool {
        if self.places == 0 {
            return exact == Share::from(self.digits);
        }
        let (numer, denom) = (exact.numer().unsigned_abs(), exact.denom().unsigned_abs());
        let (mut digits, mut rest) = (numer / denom, numer % denom);
        for _ in 0..self.places {
            let (Some(ten), Some(shifted)) = (rest.checked_mul(10), digits.checked_mul(10)) else {
                return false;
            };
            (digits, rest) = (shifted + ten / denom, ten % denom);
        }
        let rounded = digits + u128::from(rest >= denom - rest);
        let has_sign = rounded == 0 || (self.digits < 0) == (*exact.numer() < 0);
        has_sign && self.digits.unsigned_abs() == rounded
    }
}

/// A whole number, or a text with one.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    Decimal::of(value)?.in_units_of(0)
}

/// In minor units of the currency, if the key does not say that it is.
pub(crate) fn amount(value: &Value, is_minor: bool, currency: Currency) -> Option<i64> {
    Decimal::of(value)?.in_units_of(if is_minor { 0 } else { currency.exponent() })
}

pub(crate) fn price(value: &Value, is_minor: bool, currency: Currency) -> Option<UnitPrice> {
    let number = Decimal::of(value)?.shifted(if is_minor { currency.exponent() } else { 0 });
    number.text()?.parse().ok()
}

/// `20%`, `20 %` or 20. What is below 1 and has no sign is a share: 0.2.
pub(crate) fn percentage(value: &Value) -> Option<Percentage> {
    let signed = value.as_str().and_then(|text| text.trim().strip_suffix('%'));
    let number = match signed {
        Some(text) => Decimal::parse(text)?,
        None => Decimal::of(value)?,
    };
    let is_share = signed.is_none() && *number.share()?.numer() > 0 && number.share()? < Share::from(1);
    let number = match number.places.checked_sub(2) {
        _ if !is_share => number,
        Some(places) => Decimal { places, ..number },
        None => Decimal { digits: number.digits * 10, places: 0 },
    };
    number.text()?.parse().ok()
}

/// `15/30`, in lowest terms, or a decimal.
pub(crate) fn fraction(value: &Value) -> Option<Share> {
    let Some((numer, denom)) = value.as_str().and_then(|text| text.split_once('/')) else {
        return Decimal::of(value)?.share();
    };
    let (numer, denom) = (numer.trim().parse::<i128>().ok()?, denom.trim().parse::<i128>().ok()?);
    (denom > 0).then(|| Share::new(numer, denom))
}

/// Whether a fraction is a number exactly, or a decimal to as many digits as it has.
pub(crate) fn is_number(value: &Value, exact: Share) -> Option<bool> {
    match value.as_str().filter(|text| text.contains('/')) {
        Some(_) => fraction(value).map(|fraction| fraction == exact),
        None => Decimal::of(value).map(|decimal| decimal.is(exact)),
    }
}
