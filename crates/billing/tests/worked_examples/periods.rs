//! Which periods an anchor makes.

use billing::rating::{Interval, Span};
use chrono::{Datelike as _, Month, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _};
use chrono_tz::Tz;
use serde_json::Value;

use crate::account::{Account, charged_days};
use crate::anchor;
use crate::case::{Case, Outcome};
use crate::comparison::Comparison;
use crate::dates::{Dates, Moment, ends_of, without_remark};
use crate::kind::Kind;

pub(crate) const KINDS: &[Kind] = &[
    Kind { needs: &[&[&["anchor", "interval"]]], takes: &[], read: from_anchor },
    Kind { needs: &[&[&["anchor", "at", "interval"]]], takes: &[], read: containing_an_instant },
    Kind {
        needs: &[&[&["anchor_day", "interval", "sub_interval"]], &[&["quarter"], &["period"]]],
        takes: &[],
        read: windows,
    },
    Kind { needs: &[&[&["billing", "purchase"]]], takes: &["term"], read: from_purchase },
];

/// The cycle that opens for something that starts on a day.
pub(crate) fn whole_cycle(anchor: NaiveDate, interval: Interval, day: NaiveDate) -> Result<Span, String> {
    let mut account = Account::new(anchor, interval, day)?;
    account.first_cycles(1)?;
    Ok(account.cycles[0].cycle.whole)
}

/// One of them is a leap year: an anchor without a year must hold in each in which its day exists.
const FOUR_YEARS: std::ops::RangeInclusive<i32> = 2021..=2024;

/// The list goes on for ever; so much of it as is expected, which is something.
fn from_anchor(case: &Case) -> Result<Outcome, String> {
    let (interval, text) = (case.interval()?, case.text("anchor")?);
    let anchors: Vec<NaiveDate> = match case.date("anchor") {
        Ok(anchor) => vec![anchor],
        Err(_) => FOUR_YEARS.filter_map(|year| day_of_year(text, year)).collect(),
    };
    if anchors.is_empty() {
        return Err(format!("the anchor {text} is not a day"));
    }
    let mut comparison = Comparison::of(case);
    let dates = comparison.dates();
    for anchor in anchors {
        let count = comparison.count_of("periods").max(comparison.count_of("bill_dates")).max(1);
        let cycles = Account::new(anchor, interval, anchor)?.first_cycles(count)?;
        comparison.spans("periods", &cycles);
        let starts: Vec<NaiveDate> = cycles.iter().map(|cycle| cycle.start()).collect();
        comparison.check("bill_dates", &starts, |value, _| {
            let expected = value.as_array()?;
            let is_told = |(value, day): (&Value, &NaiveDate)| match dates.day(value) {
                Some(expected) => Some(expected == *day),
                None => Some(in_year(value.as_str()?, day.leap_year())? == day.format("%m-%d").to_string()),
            };
            let all: Option<Vec<bool>> = expected.iter().zip(&starts).map(is_told).collect();
            Some(expected.len() == starts.len() && all?.iter().all(|is| *is))
        });
    }
    Ok(comparison.outcome())
}

/// `31 January`, `31 Jan`, `January 31`, `31st January`, `01-31`; `day 31` is that of January.
fn day_of_year(text: &str, year: i32) -> Option<NaiveDate> {
    if let Ok(date) = format!("{year}-{text}").parse() {
        return Some(date);
    }
    let mut words: Vec<&str> = text.split(' ').collect();
    words.sort_by_key(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
    let [day, month] = words.as_slice() else { return None };
    let day = day.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()?;
    let month = if *month == "day" { Month::January } else { month.parse().ok()? };
    NaiveDate::from_ymd_opt(year, month.number_from_month(), day)
}

/// `02-28 (02-29 in a leap year)` or `02-28 or 02-29`
fn in_year(text: &str, leap: bool) -> Option<&str> {
    let pair = text.split_once(" (").or_else(|| text.split_once(" or "));
    let (common, in_leap) = pair.unwrap_or((text, text));
    if leap { in_leap.split(' ').next() } else { Some(common) }
}

/// Days here run from the anchor's time of day to the same time of the next.
fn containing_an_instant(case: &Case) -> Result<Outcome, String> {
    let (anchor, at, dates) = (case.moment("anchor")?, case.moment("at")?, case.dates());
    // The clock is that of the zone, or UTC where the anchor is told in it, or the one on the wall.
    let is_utc = anchor.offset.is_some_and(|offset| offset.local_minus_utc() == 0);
    let dates = Dates { zone: dates.zone.or(is_utc.then_some(Tz::UTC)), ..dates };
    let (anchor, at) = dates.local(anchor).zip(dates.local(at)).ok_or("a date is out of range")?;
    let begins = anchor.time();
    let day = at.checked_sub_signed(begins - NaiveTime::MIN).ok_or("at is out of range")?.date();
    let mut comparison = Comparison::of(case);
    let count = comparison.count_of("periods").max(1);
    let mut account = Account::new(anchor.date(), case.interval()?, day)?;
    account.first_cycles(count)?;
    let cycles: Vec<Span> = account.cycles.iter().take(count).map(|state| state.cycle.whole).collect();
    let is = |(value, cycle): (&Value, &Span)| {
        let [start, end] = ends_of(value)?;
        let starts =
            is_at(start, Dates { ends_are_inclusive: false, ..dates }, cycle.start().and_time(begins))?;
        Some(starts && is_at(end, dates, cycle.end().and_time(begins))?)
    };
    comparison.check("period", cycles[0], |value, _| is((value, &cycles[0])));
    comparison.check("periods", &cycles, |value, _| {
        let expected = value.as_array()?;
        let all: Option<Vec<bool>> = expected.iter().zip(&cycles).map(is).collect();
        Some(!expected.is_empty() && all?.iter().all(|is| *is))
    });
    Ok(comparison.outcome())
}

/// Whether a value is a local time: a date alone is any time of its day, and the last second before stands for it.
fn is_at(value: &Value, dates: Dates, at: NaiveDateTime) -> Option<bool> {
    if value.as_str().is_some_and(|text| without_remark(text).len() == "2025-01-31".len()) {
        return Some(dates.end(value)? == at.date());
    }
    let local = dates.local(Moment::of(value)?)?;
    Some(local == at || (local.second() == 59 && local.checked_add_signed(TimeDelta::seconds(1))? == at))
}

/// Cycles of a shorter interval inside one of a longer, all of them.
fn windows(case: &Case) -> Result<Outcome, String> {
    let outside = case.span(if case.has("quarter") { "quarter" } else { "period" })?;
    let day = case.anchor_day()?;
    let (outer, inner) = (case.interval()?, case.interval_of("sub_interval")?);
    let start = outside.start();
    let whole = whole_cycle(anchor::on_day(start, &day, outer)?, outer, start)?;
    if whole != outside {
        return Ok(Outcome::Differs(format!("the cycle is {whole:?}, not {outside:?}")));
    }
    let mut account = Account::new(anchor::on_day(start, &day, inner)?, inner, start)?;
    account.bill_one_unit(Some(outside.end()), outside.end())?;
    let inner: Vec<Span> = account.cycles.iter().filter_map(charged_days).collect();
    let mut comparison = Comparison::of(case);
    comparison.spans("windows", &inner);
    let dates = comparison.dates();
    comparison.check("bad", &inner, |bad, _| {
        let bad: Option<Vec<Span>> = bad.as_array()?.iter().map(|span| dates.span(span)).collect();
        Some(bad? != inner)
    });
    Ok(comparison.outcome())
}

/// The charge cycle follows the day of purchase, the invoice the calendar.
fn from_purchase(case: &Case) -> Result<Outcome, String> {
    let (purchase, interval) = (case.date("purchase")?, case.interval_of("billing")?);
    if case.has("term") {
        case.interval_of("term")?;
    }
    let cycles = Account::new(purchase, interval, purchase)?.first_cycles(2)?;
    let mut comparison = Comparison::of(case);
    comparison.span("first_charge_cycle", cycles[0]);
    comparison.span("second_charge_cycle", cycles[1]);
    let month = Month::try_from(u8::try_from(purchase.month()).unwrap_or(0)).map_err(|e| e.to_string())?;
    comparison.check("invoice", month.name(), |text, _| {
        let text = without_remark(text.as_str()?);
        let is_plain = text.chars().all(|c| c.is_alphanumeric() || c == ' ');
        let named: Option<Month> = text.split(' ').find_map(|word| word.parse().ok());
        named.filter(|_| is_plain).map(|named| named == month)
    });
    Ok(comparison.outcome())
}
