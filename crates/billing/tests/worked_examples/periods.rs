//! Which periods an anchor makes.

use billing::rating::{Interval, Share, Span};
use chrono::{Datelike, NaiveDate, NaiveTime};
use serde_json::Value;

use crate::account::{Account, anchor, charged_days, share};
use crate::case::{Case, Comparison, Outcome, Reader, date_in, moment, span_in};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["anchor", "interval"] => from_anchor,
        ["anchor", "at", "interval"] => containing_an_instant,
        ["anchor_day", "interval", "start"] => from_start,
        ["anchor_day", "interval", "quarter", "sub_interval"] => windows,
        ["billing", "purchase", "term"] => from_purchase,
        _ => return None,
    })
}

/// One of them is a leap year: an anchor without a year must hold in each in which its day exists.
const FOUR_YEARS: std::ops::RangeInclusive<i32> = 2021..=2024;

fn from_anchor(case: &Case) -> Result<Outcome, String> {
    let interval = case.interval("interval")?;
    let text = case.text("anchor")?;
    let mut comparison = Comparison::of(case);
    if let Some((anchor, _)) = moment(text) {
        let count = comparison.count_of("periods").max(comparison.count_of("bill_dates"));
        let cycles = Account::new(anchor, interval, anchor)?.first_cycles(count)?;
        comparison.spans("periods", &cycles);
        let dates = cycles.iter().map(|cycle| cycle.start()).collect::<Vec<_>>();
        comparison.equal("bill_dates", |value| value.as_array()?.iter().map(date_in).collect(), dates);
        return Ok(comparison.outcome());
    }
    let mut found = false;
    for year in FOUR_YEARS {
        let Some(anchor) = day_of_year(text, year) else { continue };
        found = true;
        let count = comparison.count_of("bill_dates");
        let cycles = Account::new(anchor, interval, anchor)?.first_cycles(count)?;
        let dates: Vec<NaiveDate> = cycles.iter().map(|cycle| cycle.start()).collect();
        let shown: Vec<String> = dates.iter().map(|date| date.format("%m-%d").to_string()).collect();
        let expected = |value: &Value| {
            value.as_array()?.iter().zip(&dates).map(|(v, date)| in_year(v, date.leap_year())).collect()
        };
        comparison.equal("bill_dates", expected, shown);
    }
    if found { Ok(comparison.outcome()) } else { Err(format!("the anchor {text} is not a day")) }
}

fn day_of_year(text: &str, year: i32) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(&format!("{text} {year}"), "%d %B %Y")
        .or_else(|_| NaiveDate::parse_from_str(&format!("{year}-{text}"), "%Y-%m-%d"))
        .ok()
}

/// `02-28 (02-29 in a leap year)`
fn in_year(value: &Value, leap: bool) -> Option<String> {
    let (common, in_leap) = value.as_str()?.split_once(" (").unwrap_or((value.as_str()?, value.as_str()?));
    Some(in_leap.split(' ').next().filter(|_| leap).unwrap_or(common).to_owned())
}

/// The cycle that opens for something that starts on a day.
pub(crate) fn whole_cycle(anchor: NaiveDate, interval: Interval, day: NaiveDate) -> Result<Span, String> {
    let mut account = Account::new(anchor, interval, day)?;
    account.first_cycles(1)?;
    Ok(account.cycles[0].cycle.whole)
}

/// Days here run from the anchor's time of day to the same time of the next.
fn containing_an_instant(case: &Case) -> Result<Outcome, String> {
    let (anchor, begins) = moment(case.text("anchor")?).ok_or("anchor is not a date")?;
    let (date, time) = moment(case.text("at")?).ok_or("at is not a date")?;
    let day = if time < begins { date.pred_opt().ok_or("at is out of range")? } else { date };
    let cycle = whole_cycle(anchor, case.interval("interval")?, day)?;
    let mut comparison = Comparison::of(case);
    let same_time = |value: &Value| {
        let times: Option<Vec<NaiveTime>> =
            value.as_array()?.iter().map(|v| moment(v.as_str()?).map(|(_, time)| time)).collect();
        Some(times?.iter().all(|time| *time == begins))
    };
    comparison.span("period", cycle);
    comparison.equal("period", same_time, true);
    Ok(comparison.outcome())
}

fn from_start(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (start, interval) = (case.date("start")?, case.interval("interval")?);
    let mut account = Account::new(anchor(start, case.anchor_day()?, interval)?, interval, start)?;
    let mut comparison = Comparison::of(case);
    let cycles = account.first_cycles(comparison.count_of("periods").max(1))?;
    if comparison.expects("periods") {
        comparison.spans("periods", &cycles);
    }
    comparison.span("period", cycles[0]);
    comparison.share("factor", share(&account.cycles[0]));
    comparison.decimal("factor_decimal", share(&account.cycles[0]));
    if let Some(last) = case.expected.get("whole_periods_by").and_then(date_in) {
        account.bill_one_unit(None, last)?;
        let whole_ones = account.cycles.iter().filter(|state| share(state) == Share::from(1)).count();
        comparison.check("whole_periods_by", last, |_| true);
        comparison.equal("count", |value| usize::try_from(value.as_u64()?).ok(), whole_ones);
    }
    Ok(comparison.outcome())
}

fn windows(case: &Case) -> Result<Outcome, String> {
    let quarter = case.span("quarter")?;
    let day = case.anchor_day()?;
    let (outer, inner) = (case.interval("interval")?, case.interval("sub_interval")?);
    let outer = whole_cycle(anchor(quarter.start(), day, outer)?, outer, quarter.start())?;
    if outer != quarter {
        return Ok(Outcome::Differs(format!("the cycle is {outer:?}, not {quarter:?}")));
    }
    let mut account = Account::new(anchor(quarter.start(), day, inner)?, inner, quarter.start())?;
    account.bill_one_unit(Some(quarter.end()), quarter.end())?;
    let inner: Vec<Span> = account.cycles.iter().filter_map(charged_days).collect();
    let mut comparison = Comparison::of(case);
    comparison.spans("windows", &inner);
    let inclusive = case.ends_are_inclusive();
    comparison.check("bad", format_args!("{inner:?}"), |bad| {
        let bad: Option<Vec<Span>> =
            bad.as_array().and_then(|all| all.iter().map(|v| span_in(v, inclusive)).collect());
        bad.is_none_or(|bad| bad != inner)
    });
    Ok(comparison.outcome())
}

fn from_purchase(case: &Case) -> Result<Outcome, String> {
    let purchase = case.date("purchase")?;
    let cycle = whole_cycle(purchase, case.interval("billing")?, purchase)?;
    let mut comparison = Comparison::of(case);
    comparison.span("first_charge_cycle", cycle);
    let month = chrono::Month::try_from(u8::try_from(cycle.start().month()).unwrap_or(0))
        .map_err(|e| e.to_string())?;
    comparison
        .check("invoice", month.name(), |text| text.as_str().is_some_and(|text| text.contains(month.name())));
    Ok(comparison.outcome())
}
