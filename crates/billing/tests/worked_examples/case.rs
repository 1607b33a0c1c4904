//! One case: its inputs, by whichever of their names, and its convention.

use std::collections::BTreeMap;

use billing::rating::{Interval, Share, Span, UnitPrice};
use chrono::NaiveDate;
use chrono_tz::Tz;
use kernel::Currency;
use serde_json::Value;

use crate::dates::{self, Dates, Moment};
use crate::decimal;

/// How a case came out.
pub(crate) enum Outcome {
    Match,
    Differs(String),
    /// What is expected means nothing.
    Unreadable(String),
    NotApplicable(String),
}

/// Rates a case, or says why it cannot.
pub(crate) type Reader = fn(&Case) -> Result<Outcome, String>;

/// Names that other systems, or the same in another case, give to an input.
const SYNONYMS: &[(&str, &str)] = &[
    ("annual", "price"),
    ("bill_day", "anchor_day"),
    ("billing_day", "anchor_day"),
    ("cancel_at", "cancel"),
    ("change_at", "change"),
    ("created_at", "created"),
    ("new_annual", "new"),
    ("new_price", "new"),
    ("old_annual", "old"),
    ("old_price", "old"),
    ("period_days", "days"),
    ("remaining_days", "remaining"),
    ("timezone", "tz"),
    ("unit_price", "unit"),
    ("unused", "fraction_remaining"),
];

/// Without what a key says of the form of its value, and whether it says that it is in minor units.
pub(crate) fn plain(key: &str) -> (&str, bool) {
    let name = key.strip_suffix("_minor");
    (name.unwrap_or(key), name.is_some())
}

/// The name by which an input is asked for, whether it is in minor units, and whether it is in seconds since 1970.
fn canonical(key: &str) -> (&str, bool, bool) {
    let (name, is_minor) = plain(key);
    let (name, is_unix) = name.strip_suffix("_unix").map_or((name, false), |name| (name, true));
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == name);
    (synonym.map_or(name, |(_, name)| name), is_minor, is_unix)
}

#[derive(Clone, Copy)]
struct Input<'a> {
    value: &'a Value,
    is_minor: bool,
    /// Seconds since 1970.
    is_unix: bool,
}

pub(crate) struct Case<'a> {
    inputs: BTreeMap<&'a str, Input<'a>>,
    pub(crate) expected: &'a Value,
    pub(crate) usable: &'a str,
    topic: &'a str,
    convention: &'a Value,
    quirk: bool,
}

impl<'a> Case<'a> {
    pub(crate) fn new(case: &'a Value) -> Self {
        // What is null is as good as absent.
        let fields = case["inputs"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let (own, others): (Vec<_>, Vec<_>) = fields.partition(|(key, _)| canonical(key).0 == key.as_str());
        let mut inputs = BTreeMap::new();
        for (key, value) in own.into_iter().chain(others) {
            let (name, is_minor, is_unix) = canonical(key);
            // One that is there twice keeps its own name, by which nobody asks.
            let name = if inputs.contains_key(name) { key } else { name };
            inputs.insert(name, Input { value, is_minor, is_unix });
        }
        Self {
            inputs,
            expected: &case["expected"],
            usable: case["usable_with_recommended"].as_str().unwrap_or(""),
            topic: case["topic"].as_str().unwrap_or(""),
            convention: &case["convention"],
            quirk: case["quirk"].as_bool().unwrap_or(false),
        }
    }

    pub(crate) fn is_counter_example(&self) -> bool {
        self.usable.starts_with("counter_example") || (self.usable.is_empty() && self.quirk)
    }

    /// Whether it may need what is not offered.
    pub(crate) fn is_about_a_policy(&self) -> bool {
        self.usable == "policy_dependent"
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.inputs.keys().copied()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.inputs.contains_key(key)
    }

    /// A convention that has to be followed: that of a counter-example does not.
    pub(crate) fn asks(&self, name: &str) -> Option<&'a str> {
        self.convention(name).filter(|_| !self.is_counter_example())
    }

    pub(crate) fn convention(&self, name: &str) -> Option<&'a str> {
        self.convention[name].as_str()
    }

    /// Whether the topic, the interval or the time of billing has a word, such as calendar or anniversary.
    pub(crate) fn says(&self, word: &str) -> bool {
        let inputs =
            ["interval", "billing_time"].map(|key| self.value(key).and_then(Value::as_str).unwrap_or(""));
        inputs.iter().chain([&self.topic]).any(|text| text.to_lowercase().contains(word))
    }

    pub(crate) fn zone(&self) -> Result<Option<Tz>, String> {
        let zone = self.value("tz").map(|name| name.as_str().and_then(|name| name.parse().ok()));
        zone.map(|zone| zone.ok_or_else(|| "tz is not a zone".to_owned())).transpose()
    }

    /// How its dates are meant. That its zone is one was looked at before.
    pub(crate) fn dates(&self) -> Dates {
        let ends_are_inclusive = match self.convention("interval") {
            Some(interval) => interval.starts_with("inclusive") || interval == "closed",
            None => {
                let proration = self.convention("proration").unwrap_or("");
                self.usable.contains("inclusive") || proration.contains("inclusive")
            }
        };
        Dates { zone: self.zone().unwrap_or(None), ends_are_inclusive }
    }

    /// Whether local calendar days give what the convention gives. Seconds do where every input is a whole day.
    pub(crate) fn needs_days(&self) -> Result<(), String> {
        match self.convention("proration") {
            None | Some("none" | "daily" | "inclusive_days") => Ok(()),
            Some(by_day) if by_day.starts_with("per_day") => Ok(()),
            Some("per_second") if !self.has_time_of_day() => Ok(()),
            Some("per_second") => Err("needs proration by the second".into()),
            Some(_) if self.is_counter_example() => Ok(()),
            Some("fixed_30_day") => Err("needs months of 30 days".into()),
            Some(other) => Err(format!("needs proration {other}")),
        }
    }

    /// That what is divided by is the anchor-aligned cycle, which has so many days if that is known.
    pub(crate) fn needs_whole_cycle(&self, days: Option<i64>) -> Result<(), String> {
        let Some(denominator) = self.asks("denominator") else { return Ok(()) };
        let fixed: Option<i64> = denominator.split(' ').next().and_then(|number| number.parse().ok());
        let names_it = ["bill date", "bill_date", "cycle", "days", "month", "period"]
            .iter()
            .any(|word| denominator.contains(word));
        match fixed {
            Some(fixed) if days.is_none_or(|days| days == fixed) => Ok(()),
            None if names_it => Ok(()),
            _ => Err(format!("needs a denominator of {denominator}")),
        }
    }

    fn has_time_of_day(&self) -> bool {
        fn any(value: &Value, is_unix: bool) -> bool {
            match value {
                Value::Array(items) => items.iter().any(|item| any(item, is_unix)),
                Value::Object(fields) => fields.values().any(|field| any(field, is_unix)),
                Value::Number(_) if !is_unix => false,
                value => Moment::of(value).is_some_and(Moment::has_time_of_day),
            }
        }
        self.inputs.values().any(|input| any(input.value, input.is_unix))
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.inputs.get(key).map(|input| input.value)
    }

    fn get<T>(&self, key: &str, what: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<T, String> {
        self.value(key).and_then(read).ok_or_else(|| format!("{key} is not {what}"))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, String> {
        self.get(key, "a text", Value::as_str)
    }

    pub(crate) fn list(&self, key: &str) -> Result<&'a [Value], String> {
        self.get(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// The items of a list, or the only one.
    pub(crate) fn items(&self, key: &str) -> &'a [Value] {
        let value = self.value(key);
        value.map_or(&[], |value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice))
    }

    pub(crate) fn number(&self, key: &str) -> Result<i64, String> {
        self.get(key, "a whole number", decimal::whole)
    }

    pub(crate) fn number_or(&self, key: &str, other: i64) -> Result<i64, String> {
        if self.has(key) { self.number(key) } else { Ok(other) }
    }

    pub(crate) fn moment(&self, key: &str) -> Result<Moment, String> {
        self.get(key, "a date", Moment::of)
    }

    pub(crate) fn date(&self, key: &str) -> Result<NaiveDate, String> {
        self.get(key, "a date", |value| self.dates().day(value))
    }

    /// The day after the last, of what ends a period.
    pub(crate) fn end(&self, key: &str) -> Result<NaiveDate, String> {
        self.get(key, "a date", |value| self.dates().end(value))
    }

    pub(crate) fn span(&self, key: &str) -> Result<Span, String> {
        self.get(key, "a period", |value| self.dates().span(value))
    }

    /// One of two decimals where the case names none.
    pub(crate) fn currency(&self) -> Result<Currency, String> {
        let code = if self.has("currency") { self.text("currency")? } else { "EUR" };
        code.to_uppercase().parse().map_err(|e| format!("currency: {e}"))
    }

    pub(crate) fn price(&self, key: &str) -> Result<UnitPrice, String> {
        self.price_of(key, self.value(key).unwrap_or(&Value::Null))
    }

    /// Of an item of a list under a key.
    pub(crate) fn price_of(&self, key: &str, value: &Value) -> Result<UnitPrice, String> {
        let is_minor = self.inputs.get(key).is_some_and(|input| input.is_minor);
        decimal::price(value, is_minor, self.currency()?).ok_or_else(|| format!("{key} is not a price"))
    }

    /// In minor units.
    pub(crate) fn amount(&self, key: &str) -> Result<i64, String> {
        self.amount_of(key, self.value(key).unwrap_or(&Value::Null))
    }

    /// Of an item of a list under a key.
    pub(crate) fn amount_of(&self, key: &str, value: &Value) -> Result<i64, String> {
        let is_minor = self.inputs.get(key).is_some_and(|input| input.is_minor);
        decimal::amount(value, is_minor, self.currency()?).ok_or_else(|| format!("{key} is not an amount"))
    }

    pub(crate) fn share(&self, key: &str) -> Result<Share, String> {
        self.get(key, "a fraction", decimal::fraction)
    }

    /// A month where the case names none.
    pub(crate) fn interval(&self) -> Result<Interval, String> {
        if self.has("interval") { self.interval_of("interval") } else { Ok(Interval::MONTH) }
    }

    pub(crate) fn interval_of(&self, key: &str) -> Result<Interval, String> {
        let text = self.text(key)?;
        dates::interval(text).ok_or_else(|| format!("an interval of {text} is not offered"))
    }

    /// As it is told: a number, `31`, `31st`, `last`, `monday`.
    pub(crate) fn anchor_day(&self) -> Result<String, String> {
        let day = self
            .value("anchor_day")
            .map(|day| day.as_str().map_or_else(|| day.to_string(), str::to_lowercase));
        let day = day.ok_or("the case names no anchor_day")?;
        if day.contains("->") || day.contains('→') {
            return Err("needs a bill day that can be moved".into());
        }
        Ok(day)
    }

    /// The events, which have no other keys than these.
    pub(crate) fn events(&self, keys: &[&str]) -> Result<&'a [Value], String> {
        let events = if self.has("events") { self.list("events")? } else { &[] };
        let unread = |event: &'a Value| {
            event.as_object().into_iter().flatten().find(|(key, _)| !keys.contains(&plain(key).0))
        };
        match events.iter().find_map(unread) {
            Some((key, _)) => Err(format!("no reader for events with {key}")),
            None => Ok(events),
        }
    }
}

/// What an object has under a name, in minor units or not.
pub(crate) fn field<'a>(object: &'a Value, name: &str) -> Option<(&'a Value, bool)> {
    object.as_object()?.iter().find(|(key, _)| plain(key).0 == name).map(|(key, value)| (value, plain(key).1))
}
