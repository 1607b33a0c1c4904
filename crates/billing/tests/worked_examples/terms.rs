//! Terms that change: trials, pauses, other intervals and other anchors.

use billing::rating::{Interval, Line, LineKind, RemovalPolicy, Span, Tariff, Terms, local_day};
use chrono::{DateTime, Datelike as _, NaiveDate};
use chrono_tz::Tz;
use serde_json::Value;

use crate::account::{Account, anchor, changed, computed, share, sum, units};
use crate::case::{Case, Comparison, Outcome, Reader, date_in, span_in};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["created", "interval", "price", "trial_days", "tz"] => trial_in_a_zone,
        ["account_created", "subscription_created", "trial_days", "tz"] => trial_of_any_price,
        ["currency", "interval", "price_minor", "start", "trial_days"] => trial_to_a_calendar_month,
        ["anchor_day", "annual", "billed", "currency", "pause", "resume"] => resumed_on_another_anchor,
        ["anchor_day", "billed", "change", "currency", "new_annual", "old_annual"] => {
            upgraded_to_another_anchor
        }
        ["anchor", "currency", "monthly_minor", "upgrade", "yearly_minor"] => upgraded_to_a_year,
        ["currency", "events", "start", "unit_minor", "units"] => paid_units,
        _ => return None,
    })
}

/// The first line after a trial of so many days.
fn after_trial(case: &Case, created: NaiveDate, account: Account) -> Result<Outcome, String> {
    let days = u32::try_from(case.number("trial_days")?).map_err(|e| e.to_string())?;
    let mut account = account.after_trial(created, days, None)?;
    let mut lines = account.bill_next(&units(1, created, None))?;
    lines.truncate(1);
    let begins = lines.first().map(|line| line.charge.period.start().day());
    let mut comparison = Comparison::of(case);
    comparison.equal("anchor_day", |value| u32::try_from(value.as_u64()?).ok(), begins.unwrap_or(0));
    comparison.lines(account.currency, &computed(&lines));
    Ok(comparison.outcome())
}

fn trial_in_a_zone(case: &Case) -> Result<Outcome, String> {
    let zone: Tz = case.text("tz")?.parse().map_err(|_| "tz is not a zone")?;
    let created = DateTime::parse_from_rfc3339(case.text("created")?).map_err(|e| e.to_string())?;
    let created = local_day(created.to_utc(), zone);
    let account = Account::new(created, case.interval("interval")?, created)?;
    // The case names no currency; its amounts have two decimals.
    let currency = account.currency;
    let price =
        crate::case::price_in(&case.inputs["price"], false, currency).ok_or("price is not a price")?;
    after_trial(case, created, account.priced(price, currency))
}

/// The case names no price and no interval, and is told in local time.
fn trial_of_any_price(case: &Case) -> Result<Outcome, String> {
    let created = case.text("subscription_created")?.split('T').next().and_then(|day| day.parse().ok());
    let created = created.ok_or("subscription_created is not a date")?;
    after_trial(case, created, Account::new(created, Interval::MONTH, created)?)
}

fn trial_to_a_calendar_month(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (start, currency) = (case.date("start")?, case.currency()?);
    if !case.topic.contains("calendar month") || case.interval("interval")? != Interval::MONTH {
        return Err("the case names no anchor".into());
    }
    let days = u32::try_from(case.number("trial_days")?).map_err(|e| e.to_string())?;
    let account = Account::new(start, Interval::MONTH, start)?.priced(case.price("price_minor")?, currency);
    let mut account = account.after_trial(start, days, start.with_day(1))?;
    let amount = sum(&account.bill_next(&units(1, start, None))?);
    let mut comparison = Comparison::of(case);
    comparison.share("days", share(&account.cycles[0]));
    comparison.amount("amount_minor", currency, amount);
    Ok(comparison.outcome())
}

/// An annual cycle that has been billed, one unit of it.
fn billed_year(case: &Case, price: &str) -> Result<(Account, Terms, Span), String> {
    case.needs_days()?;
    let billed = span_in(&case.inputs["billed"], false).ok_or("billed is not a period")?;
    let account = Account::new(billed.start(), Interval::YEAR, billed.start())?;
    let mut account = account.priced(case.price(price)?, case.currency()?);
    account.bill_next(&units(1, billed.start(), None))?;
    if account.cycles[0].cycle.charged != billed {
        return Err("what was billed is not a year".into());
    }
    let terms = account.terms()?;
    Ok((account, terms, billed))
}

fn credits(lines: &[Line]) -> i64 {
    -lines
        .iter()
        .filter(|line| line.kind == LineKind::Credit)
        .map(|line| line.charge.amount_minor)
        .sum::<i64>()
}

/// Pausing credits what is unused; what follows is counted from the anchor day, as after a trial.
fn resumed_on_another_anchor(case: &Case) -> Result<Outcome, String> {
    let (account, terms, billed) = billed_year(case, "annual")?;
    let (pause, resume) = (case.date("pause")?, case.date("resume")?);
    let anchor = anchor(resume, case.anchor_day()?, Interval::YEAR)?;
    let mut account = account.then(pause, None).then(resume, Some(Terms { anchor, ..terms }));
    let mut comparison = Comparison::of(case);
    let (log, mut lines) = (units(1, billed.start(), None), Vec::new());
    while lines.len() < comparison.count_of("lines") {
        lines.extend(account.bill_next(&log)?);
    }
    comparison.lines(account.currency, &computed(&lines));
    comparison.amount("credit_consumed", account.currency, credits(&lines));
    Ok(comparison.outcome())
}

fn upgraded_to_another_anchor(case: &Case) -> Result<Outcome, String> {
    let (account, terms, billed) = billed_year(case, "old_annual")?;
    let change = case.date("change")?;
    let anchor = anchor(change, case.anchor_day()?, Interval::YEAR)?;
    let tariff = Tariff::Flat(case.price("new_annual")?);
    let mut account = account.then(change, Some(Terms { anchor, tariff, ..terms }));
    let lines = account.bill_until(change, &units(1, billed.start(), None))?;
    let mut comparison = Comparison::of(case);
    comparison.lines(account.currency, &computed(&lines));
    comparison.amount("total", account.currency, sum(&lines));
    Ok(comparison.outcome())
}

/// A year that is counted from the same anchor as the months before it.
fn upgraded_to_a_year(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (start, upgrade, currency) = (case.date("anchor")?, case.date("upgrade")?, case.currency()?);
    let account = Account::new(start, Interval::MONTH, start)?;
    let mut account = account.priced(case.price("monthly_minor")?, currency);
    let log = units(1, start, None);
    account.bill_until(upgrade.pred_opt().ok_or("upgrade is out of range")?, &log)?;
    let tariff = Tariff::Flat(case.price("yearly_minor")?);
    let yearly = Terms { tariff, interval: Interval::YEAR, ..account.terms()? };
    let mut account = account.then(upgrade, Some(yearly));
    let lines = account.bill_until(upgrade, &log)?;
    let credit = credits(&lines);
    let mut comparison = Comparison::of(case);
    comparison.amount("credit_minor", currency, credit);
    comparison.amount("charge_minor", currency, sum(&lines) + credit);
    comparison.share("charge_days", account.cycles.last().map(share).ok_or("no cycle")?);
    Ok(comparison.outcome())
}

/// Removal under `at_cycle_end`: what is paid is paid. What is added goes by the day, here and nowhere there.
fn paid_units(case: &Case) -> Result<Outcome, String> {
    let (start, currency, mut level) = (case.date("start")?, case.currency()?, case.number("units")?);
    let (mut paid, mut changes) = (level, vec![(start, level)]);
    for event in case.inputs["events"].as_array().into_iter().flatten() {
        let now = event["units"].as_i64().ok_or("an event has no units")?;
        if now > paid {
            return Err("needs added seats that are not prorated".into());
        }
        changes.push((date_in(&event["at"]).ok_or("an event has no date")?, now - level));
        (level, paid) = (now, paid.max(now));
    }
    let account = Account::new(start, Interval::MONTH, start)?.removing(RemovalPolicy::AtCycleEnd);
    let mut account = account.priced(case.price("unit_minor")?, currency);
    let mut invoices = Vec::new();
    for (index, (day, _)) in changes.iter().enumerate() {
        invoices.push(sum(&account.bill_on(*day, &changed(&changes[..=index]))?));
    }
    let mut comparison = Comparison::of(case);
    comparison.check("invoices_minor", "", Value::is_array);
    comparison.amounts("invoices_minor", currency, &invoices);
    Ok(comparison.outcome())
}
