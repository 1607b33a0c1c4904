//! One case, read tolerantly, and the comparison of what was computed with what it expects.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};

use billing::rating::{Interval, Share, Span, UnitPrice};
use chrono::{DateTime, NaiveDate, NaiveTime};
use kernel::{Currency, Money};
use serde_json::Value;

/// How a case came out.
pub(crate) enum Outcome {
    Match,
    Differs(String),
    NotApplicable(String),
}

/// Rates a case, or says why it cannot.
pub(crate) type Reader = fn(&Case) -> Result<Outcome, String>;

pub(crate) struct Case<'a> {
    pub(crate) inputs: &'a Value,
    pub(crate) expected: &'a Value,
    pub(crate) usable: &'a str,
    pub(crate) topic: &'a str,
    convention: &'a Value,
    quirk: bool,
}

impl<'a> Case<'a> {
    pub(crate) fn new(case: &'a Value) -> Self {
        Self {
            inputs: &case["inputs"],
            expected: &case["expected"],
            usable: case["usable_with_recommended"].as_str().unwrap_or(""),
            topic: case["topic"].as_str().unwrap_or(""),
            convention: &case["convention"],
            quirk: case["quirk"].as_bool().unwrap_or(false),
        }
    }

    pub(crate) fn is_counter_example(&self) -> bool {
        self.quirk || self.usable.starts_with("counter_example")
    }

    /// Sorted.
    pub(crate) fn input_keys(&self) -> Vec<&'a str> {
        let keys: BTreeSet<&str> =
            self.inputs.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        keys.into_iter().collect()
    }

    pub(crate) fn convention(&self, name: &str) -> Option<&'a str> {
        self.convention[name].as_str()
    }

    /// Whether the case's periods name their last day instead of the day after it.
    pub(crate) fn ends_are_inclusive(&self) -> bool {
        self.convention("interval").is_some_and(|interval| interval.starts_with("inclusive"))
    }

    /// Whether local calendar days give what the convention gives. Seconds do where every input is a whole day.
    pub(crate) fn needs_days(&self) -> Result<(), String> {
        match self.convention("proration") {
            None | Some("per_day" | "none") => Ok(()),
            Some("per_second") if !self.has_time_of_day() => Ok(()),
            Some("per_second") => Err("needs proration by the second".into()),
            Some("fixed_30_day") => Err("needs months of 30 days".into()),
            Some(other) => Err(format!("needs proration {other}")),
        }
    }

    /// As [`Case::needs_days`], and that a stub is divided by the anchor-aligned cycle that contains it.
    pub(crate) fn needs_enclosing_cycle(&self) -> Result<(), String> {
        self.needs_days()?;
        match self.convention("denominator") {
            None
            | Some(
                "enclosing_cycle"
                | "period_ending_at_next_bill_date"
                | "period_starting_at_previous_bill_date / period_ending_at_next_bill_date"
                | "reference period of each stub"
                // The cycle that contains the start has as many days, where the case says that days will do.
                | "imagined period starting at the backdated start",
            ) => Ok(()),
            Some(other) => Err(format!("needs a denominator of {other}")),
        }
    }

    fn has_time_of_day(&self) -> bool {
        fn any(value: &Value) -> bool {
            match value {
                Value::String(text) => moment(text).is_some_and(|(_, time)| time != NaiveTime::MIN),
                Value::Array(items) => items.iter().any(any),
                Value::Object(fields) => fields.values().any(any),
                _ => false,
            }
        }
        any(self.inputs)
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, String> {
        self.inputs[key].as_str().ok_or_else(|| format!("{key} is not a text"))
    }

    pub(crate) fn number(&self, key: &str) -> Result<i64, String> {
        self.inputs[key].as_i64().ok_or_else(|| format!("{key} is not a whole number"))
    }

    pub(crate) fn date(&self, key: &str) -> Result<NaiveDate, String> {
        date_in(&self.inputs[key]).ok_or_else(|| format!("{key} is not a date"))
    }

    /// `None` where the case says null.
    pub(crate) fn optional_date(&self, key: &str) -> Result<Option<NaiveDate>, String> {
        if self.inputs[key].is_null() { Ok(None) } else { self.date(key).map(Some) }
    }

    pub(crate) fn span(&self, key: &str) -> Result<Span, String> {
        span_in(&self.inputs[key], self.ends_are_inclusive()).ok_or_else(|| format!("{key} is not a period"))
    }

    pub(crate) fn currency(&self) -> Result<Currency, String> {
        self.text("currency")?.parse().map_err(|e| format!("currency: {e}"))
    }

    /// A price from a decimal text, or from whole minor units where the key says so.
    pub(crate) fn price(&self, key: &str) -> Result<UnitPrice, String> {
        price_in(&self.inputs[key], key.ends_with("_minor"), self.currency()?)
            .ok_or_else(|| format!("{key} is not a price"))
    }

    /// Numerator and denominator as they are written, such as 15/30.
    pub(crate) fn fraction(&self, key: &str) -> Result<(u64, u64), String> {
        fraction(self.text(key)?).ok_or_else(|| format!("{key} is not a fraction"))
    }

    pub(crate) fn interval(&self, key: &str) -> Result<Interval, String> {
        let text = self.text(key)?;
        interval(text).ok_or_else(|| format!("an interval of {text} is not offered"))
    }

    /// The day of the month, 1 to 31.
    pub(crate) fn anchor_day(&self) -> Result<u32, String> {
        let day = &self.inputs["anchor_day"];
        if day.as_str().is_some_and(|text| text.contains("->")) {
            return Err("needs a bill day that can be moved".into());
        }
        let number = day.as_u64().or_else(|| day.as_str()?.parse().ok()).and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| "anchor_day is not a day of the month".into())
    }
}

pub(crate) fn price_in(value: &Value, is_minor: bool, currency: Currency) -> Option<UnitPrice> {
    if is_minor {
        let shown = Money::new(value.as_i64()?, currency).to_string();
        return shown.split(' ').next()?.parse().ok();
    }
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// Whole minor units of a decimal text; `None` when it has digits below them.
fn minor_of(text: &str, currency: Currency) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let places = currency.exponent() as usize;
    let (kept, below) = decimals.split_at(decimals.len().min(places));
    if below.bytes().any(|b| b != b'0') {
        return None;
    }
    format!("{whole}{kept:0<places$}").parse::<i64>().ok().map(|minor| sign * minor)
}

pub(crate) fn interval(text: &str) -> Option<Interval> {
    let (count, unit) = match text.split_once(' ') {
        Some((count, unit)) => (count.parse().ok()?, unit),
        None => (1_u32, text),
    };
    match unit.trim_end_matches('s') {
        "day" => Some(Interval::Days(count)),
        "week" => Some(Interval::Days(count.checked_mul(7)?)),
        "month" => Some(Interval::Months(count)),
        "quarter" => Some(Interval::Months(count.checked_mul(3)?)),
        "year" => Some(Interval::Months(count.checked_mul(12)?)),
        _ => None,
    }
}

/// A date, or an instant in UTC or with an offset, as date and time of day as they are written.
pub(crate) fn moment(text: &str) -> Option<(NaiveDate, NaiveTime)> {
    let text = text.split(" (").next()?.trim();
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some((date, NaiveTime::MIN));
    }
    let with_seconds = DateTime::parse_from_rfc3339(text);
    let local = with_seconds.or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z")).ok()?;
    Some((local.date_naive(), local.time()))
}

pub(crate) fn date_in(value: &Value) -> Option<NaiveDate> {
    moment(value.as_str()?).map(|(date, _)| date)
}

pub(crate) fn span_in(value: &Value, end_is_inclusive: bool) -> Option<Span> {
    let [start, end] = value.as_array()?.as_slice() else { return None };
    let end = date_in(end)?;
    Span::new(date_in(start)?, if end_is_inclusive { end.succ_opt()? } else { end })
}

pub(crate) fn fraction(text: &str) -> Option<(u64, u64)> {
    let (numer, denom) = text.split_once('/')?;
    let (numer, denom) = (numer.trim().parse().ok()?, denom.trim().parse().ok()?);
    (denom > 0).then_some((numer, denom))
}

/// A line that the core made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComputedLine {
    pub(crate) period: Option<Span>,
    pub(crate) amount_minor: i64,
}

/// Compares what was computed with every key that a case expects something of.
pub(crate) struct Comparison<'a> {
    expected: &'a Value,
    ends_are_inclusive: bool,
    compared: BTreeSet<String>,
    differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn of(case: &Case<'a>) -> Self {
        Self {
            expected: case.expected,
            ends_are_inclusive: case.ends_are_inclusive(),
            compared: BTreeSet::new(),
            differences: Vec::new(),
        }
    }

    /// The value expected under a key, which counts as compared from then on.
    fn take(&mut self, key: &str) -> Option<&'a Value> {
        let value = self.expected.get(key)?;
        self.compared.insert(key.to_owned());
        Some(value)
    }

    pub(crate) fn expects(&self, key: &str) -> bool {
        self.expected.get(key).is_some()
    }

    /// How many items are expected under a key.
    pub(crate) fn count_of(&self, key: &str) -> usize {
        self.expected[key].as_array().map_or(0, Vec::len)
    }

    pub(crate) fn differs(&mut self, key: &str, expected: impl Debug, computed: impl Debug) {
        self.differences.push(format!("{key}: expected {expected:?}, computed {computed:?}"));
    }

    /// Compares under `key`, if it is expected, what `read` makes of the expectation.
    pub(crate) fn equal<T: PartialEq + Debug>(
        &mut self,
        key: &str,
        read: impl Fn(&Value) -> Option<T>,
        computed: T,
    ) {
        if let Some(value) = self.take(key)
            && read(value).as_ref() != Some(&computed)
        {
            self.differs(key, value.to_string(), computed);
        }
    }

    pub(crate) fn spans(&mut self, key: &str, computed: &[Span]) {
        let inclusive = self.ends_are_inclusive;
        self.equal(
            key,
            |value| value.as_array()?.iter().map(|span| span_in(span, inclusive)).collect(),
            computed.to_vec(),
        );
    }

    pub(crate) fn span(&mut self, key: &str, computed: Span) {
        let inclusive = self.ends_are_inclusive;
        self.equal(key, |value| span_in(value, inclusive), computed);
    }

    /// A text such as `22/30`, as a number.
    pub(crate) fn share(&mut self, key: &str, computed: Share) {
        self.equal(key, share_in, computed);
    }

    pub(crate) fn shares(&mut self, key: &str, computed: Vec<Share>) {
        self.equal(key, |value| value.as_array()?.iter().map(share_in).collect(), computed);
    }

    /// A decimal text, to as many digits as it has.
    pub(crate) fn decimal(&mut self, key: &str, computed: Share) {
        let Some(value) = self.take(key) else { return };
        let text = value.as_str().unwrap_or_default();
        let digits = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let unit = 10_i128.pow(u32::try_from(digits).unwrap_or(0).min(18));
        let (numer, denom) = (*computed.numer() * unit * 2 + *computed.denom(), *computed.denom() * 2);
        let shown = numer.div_euclid(denom);
        if text.replace('.', "").parse::<i128>() != Ok(shown) {
            self.differs(key, text, computed);
        }
    }

    /// An amount: whole minor units where the key or the value says so, else a decimal text.
    pub(crate) fn amount(&mut self, key: &str, currency: Currency, computed: i64) {
        self.equal(key, |value| amount_in(value, currency), computed);
    }

    pub(crate) fn amounts(&mut self, key: &str, currency: Currency, computed: &[i64]) {
        self.equal(
            key,
            |value| value.as_array()?.iter().map(|item| amount_in(item, currency)).collect(),
            computed.to_vec(),
        );
    }

    /// Lines in any order: each expected one is one of those computed, with the same amount and, where it names a
    /// period, the same period; and none is left over.
    pub(crate) fn lines(&mut self, currency: Currency, computed: &[ComputedLine]) {
        let Some(value) = self.take("lines") else { return };
        let mut left = computed.to_vec();
        for line in value.as_array().into_iter().flatten() {
            let amount =
                line.get("amount_minor").or_else(|| line.get("amount")).and_then(|v| amount_in(v, currency));
            let period = line.get("period").map(|period| span_in(period, self.ends_are_inclusive));
            let same = |found: &ComputedLine| {
                Some(found.amount_minor) == amount
                    && period.is_none_or(|period| period.is_some() && period == found.period)
            };
            match left.iter().position(same) {
                Some(at) => drop(left.remove(at)),
                None => return self.differs("lines", line.to_string(), computed),
            }
        }
        if !left.is_empty() {
            self.differs("lines", value.to_string(), computed);
        }
    }

    /// Looks at an expectation in a way of its own.
    pub(crate) fn check(&mut self, key: &str, computed: impl Display, holds: impl Fn(&Value) -> bool) {
        if let Some(value) = self.take(key)
            && !holds(value)
        {
            self.differences.push(format!("{key}: expected {value}, computed {computed}"));
        }
    }

    /// A match only if every key was compared.
    pub(crate) fn outcome(self) -> Outcome {
        let keys = self.expected.as_object().into_iter().flatten().map(|(key, _)| key.clone());
        let unread: Vec<String> = keys.filter(|key| key != "note" && !self.compared.contains(key)).collect();
        match (self.differences.is_empty(), unread.is_empty()) {
            (false, _) => Outcome::Differs(self.differences.join("; ")),
            (true, true) if !self.compared.is_empty() => Outcome::Match,
            (true, true) => Outcome::NotApplicable("the case expects nothing".into()),
            (true, false) => Outcome::NotApplicable(format!("no reader for expected {}", unread.join(","))),
        }
    }
}

fn share_in(value: &Value) -> Option<Share> {
    let (numer, denom) = fraction(value.as_str()?)?;
    Some(Share::new(i128::from(numer), i128::from(denom)))
}

fn amount_in(value: &Value, currency: Currency) -> Option<i64> {
    value.as_i64().or_else(|| minor_of(value.as_str()?, currency))
}
