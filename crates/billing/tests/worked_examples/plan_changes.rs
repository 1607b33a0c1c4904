//! A price or quantity replaced in the middle of a cycle: the old one's unused days are credited at what was billed
//! for them, the new one is charged for the days that remain.

use billing::rating::{Interval, Line, LineKind, RemovalPolicy, Span, Tariff, Terms, UnitPrice};
use chrono::{Datelike as _, Days, NaiveDate};
use kernel::Currency;
use serde_json::Value;

use crate::account::{self, Account, changed, quantity_on, sum};
use crate::case::{Case, Comparison, ComputedLine, Outcome, Reader, date_in, price_in};
use crate::periods::whole_cycle;

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["currency", "fraction_remaining", "interval", "new_price_minor", "old_price_minor"] => by_fraction,
        ["change", "currency", "new", "old", "period"] => by_period,
        ["change", "currency", "new", "old", "period_days", "remaining_days"] => by_days,
        ["added", "change", "currency", "matched", "period", "removed"] => by_component,
        ["currency", "new_addon_minor", "old_addon_minor", "second_addon_minor", "upgrade"] => add_ons,
        ["currency", "days", "new_quantity", "old_quantity", "remaining", "unit"] => quantity,
        ["currency", "events", "fraction_remaining", "interval", "price_minor", "start"] => {
            after_unprorated_change
        }
        ["events", "quantity", "start", "unit"] => seats_removed_at_the_end,
        _ => return None,
    })
}

/// A cycle of so many days and the part of it that remains.
pub(crate) fn cycle_of_days(days: i64, remaining: i64) -> Result<(Span, Span), String> {
    let day =
        |n: i64| NaiveDate::from_ymd_opt(2025, 1, 1)?.checked_add_days(Days::new(u64::try_from(n).ok()?));
    let span = |from, to| Span::new(day(from)?, day(to)?);
    let spans = span(0, days).zip(days.checked_sub(remaining).and_then(|used| span(used, days)));
    spans.ok_or_else(|| "the days that remain are not part of the cycle".to_owned())
}

pub(crate) fn cycle_of_fraction((remaining, days): (u64, u64)) -> Result<(Span, Span), String> {
    let signed = |n: u64| i64::try_from(n).map_err(|e| e.to_string());
    cycle_of_days(signed(days)?, signed(remaining)?)
}

/// One cycle after the other of so many days as `whole`.
fn account(
    price: UnitPrice,
    currency: Currency,
    whole: Span,
    starts_on: NaiveDate,
) -> Result<Account, String> {
    let days = u32::try_from(whole.days()).map_err(|e| e.to_string())?;
    Ok(Account::new(whole.start(), Interval::Days(days), starts_on)?.priced(price, currency))
}

/// What is credited for `rest` of a whole cycle that was billed; 0 or less.
pub(crate) fn credit(
    price: UnitPrice,
    units: i64,
    currency: Currency,
    whole: Span,
    rest: Span,
) -> Result<i64, String> {
    let mut account = account(price, currency, whole, whole.start())?;
    account.bill_next(&account::units(units, whole.start(), None))?;
    Ok(sum(&account.bill_next(&account::units(units, whole.start(), Some(rest.start())))?))
}

/// What is charged for `rest` of a cycle.
pub(crate) fn charge(
    price: UnitPrice,
    units: i64,
    currency: Currency,
    whole: Span,
    rest: Span,
) -> Result<i64, String> {
    Ok(sum(&charged_lines(price, units, currency, whole, rest)?))
}

pub(crate) fn charged_lines(
    price: UnitPrice,
    units: i64,
    currency: Currency,
    whole: Span,
    rest: Span,
) -> Result<Vec<Line>, String> {
    account(price, currency, whole, rest.start())?.bill_next(&account::units(units, rest.start(), None))
}

fn computed(amounts: &[i64]) -> Vec<ComputedLine> {
    amounts.iter().map(|&amount_minor| ComputedLine { period: None, amount_minor }).collect()
}

fn by_fraction(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (whole, rest) = cycle_of_fraction(case.fraction("fraction_remaining")?)?;
    replaced(case, case.price("old_price_minor")?, case.price("new_price_minor")?, whole, rest)
}

fn by_days(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (whole, rest) = cycle_of_days(case.number("period_days")?, case.number("remaining_days")?)?;
    replaced(case, case.price("old")?, case.price("new")?, whole, rest)
}

fn by_period(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (whole, rest) = changed_period(case)?;
    replaced(case, case.price("old")?, case.price("new")?, whole, rest)
}

fn changed_period(case: &Case) -> Result<(Span, Span), String> {
    let whole = case.span("period")?;
    let rest = Span::new(case.date("change")?, whole.end()).filter(|rest| rest.start() >= whole.start());
    rest.map(|rest| (whole, rest)).ok_or_else(|| "the change is not inside the period".to_owned())
}

/// One account whose price is another from the first day of `rest` on.
fn replaced(case: &Case, old: UnitPrice, new: UnitPrice, whole: Span, rest: Span) -> Result<Outcome, String> {
    let currency = case.currency()?;
    let log = account::units(1, whole.start(), None);
    let mut account = account(old, currency, whole, whole.start())?;
    account.bill_next(&log)?;
    let terms = Terms { tariff: Tariff::Flat(new), ..account.terms()? };
    let mut account = account.then(rest.start(), Some(terms));
    let lines = account.bill_on(rest.start(), &log)?;
    let credit: i64 = sum(&lines.iter().filter(|l| l.kind == LineKind::Credit).cloned().collect::<Vec<_>>());
    let mut comparison = Comparison::of(case);
    comparison.lines(currency, &computed(&lines.iter().map(|l| l.charge.amount_minor).collect::<Vec<_>>()));
    comparison.amount("total_minor", currency, sum(&lines));
    comparison.amount("total", currency, sum(&lines));
    comparison.amount("credit", currency, -credit);
    comparison.amount("charge", currency, sum(&lines) - credit);
    comparison.amount("due", currency, sum(&lines));
    comparison.amount("renewal", currency, sum(&account.bill_next(&log)?));
    Ok(comparison.outcome())
}

fn by_component(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (whole, rest) = changed_period(case)?;
    let currency = case.currency()?;
    let matched = case.inputs["matched"].as_array().map(Vec::as_slice);
    let Some([old, new]) = matched else { return Err("matched is not a pair of prices".into()) };
    let price = |value: &Value| price_in(value, false, currency).ok_or("matched is not a pair of prices");
    let amounts = [
        credit(price(old)?, 1, currency, whole, rest)?,
        charge(price(new)?, 1, currency, whole, rest)?,
        credit(case.price("removed")?, 1, currency, whole, rest)?,
        charge(case.price("added")?, 1, currency, whole, rest)?,
    ];
    let mut comparison = Comparison::of(case);
    comparison.amounts("lines_minor", currency, &amounts);
    comparison.amount("total_minor", currency, amounts.iter().sum());
    Ok(comparison.outcome())
}

/// Charges of calendar months: what is already paid for an add-on is credited against its new price.
fn add_ons(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (currency, upgrade) = (case.currency()?, case.date("upgrade")?);
    let whole = whole_cycle(upgrade.with_day(1).ok_or("an empty cycle")?, Interval::MONTH, upgrade)?;
    let rest = Span::new(upgrade, whole.end()).ok_or("an empty cycle")?;
    let first = charge(case.price("new_addon_minor")?, 1, currency, whole, rest)?
        + credit(case.price("old_addon_minor")?, 1, currency, whole, rest)?;
    let second = charge(case.price("second_addon_minor")?, 1, currency, whole, rest)?;
    let mut comparison = Comparison::of(case);
    comparison.amounts("fees_minor", currency, &[first, second]);
    Ok(comparison.outcome())
}

fn quantity(case: &Case) -> Result<Outcome, String> {
    let (currency, unit) = (case.currency()?, case.price("unit")?);
    let (whole, rest) = cycle_of_days(case.number("days")?, case.number("remaining")?)?;
    let (old, new) = (case.number("old_quantity")?, case.number("new_quantity")?);
    let amounts = [
        charge(unit, old, currency, whole, whole)?,
        credit(unit, old, currency, whole, rest)?,
        charge(unit, new, currency, whole, rest)?,
    ];
    let mut comparison = Comparison::of(case);
    comparison.lines(currency, &computed(&amounts));
    comparison.amount("total", currency, amounts.iter().sum());
    Ok(comparison.outcome())
}

/// What was never billed is not credited: the credit is of the last price that was.
fn after_unprorated_change(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let currency = case.currency()?;
    let (whole, rest) = cycle_of_fraction(case.fraction("fraction_remaining")?)?;
    let mut billed = case.price("price_minor")?;
    let events = case.inputs["events"].as_array().ok_or("events is not a list")?;
    let (last, before) = events.split_last().ok_or("there are no events")?;
    let price =
        |event: &Value| price_in(&event["price_minor"], true, currency).ok_or("an event has no price_minor");
    for event in before {
        if event["proration"] != "none" {
            billed = price(event)?;
        }
    }
    replaced(case, billed, price(last)?, whole, rest)
}

/// Removal under `at_cycle_end`: what is charged on a day, and whether the removal makes a line.
fn seats_removed_at_the_end(case: &Case) -> Result<Outcome, String> {
    match case.convention("seat_rule") {
        Some("removal at period end") => {}
        other => return Err(format!("needs the seat rule {}", other.unwrap_or("of that system"))),
    }
    let start = case.date("start")?;
    let mut changes = vec![(start, case.number("quantity")?)];
    for event in case.inputs["events"].as_array().into_iter().flatten() {
        let day = date_in(&event["at"]).ok_or("an event has no date")?;
        changes.push((day, event["delta"].as_i64().ok_or("an event has no delta")?));
    }
    // Of changes on one day, a removal takes effect after what was added.
    changes.sort_by_key(|&(at, delta)| (at, delta < 0));
    let mut active = Vec::new();
    for (day, quantity) in case.expected["active"].as_object().into_iter().flatten() {
        active.push((day.parse::<NaiveDate>().map_err(|_| "an active day is not a date")?, quantity));
    }
    let mut account = Account::new(start, Interval::MONTH, start)?.removing(RemovalPolicy::AtCycleEnd);
    let log = changed(&changes);
    let last = active.iter().map(|(day, _)| *day).chain(changes.iter().map(|(day, _)| *day)).max();
    let mut lines = account.bill_until(last.unwrap_or(start), &log)?;
    lines.extend(account.bill_next(&log)?);
    let mut comparison = Comparison::of(case);
    for (day, quantity) in active {
        let charged: i64 = account.cycles.iter().map(|state| quantity_on(state, day)).sum();
        let shown = format_args!("{charged} on {day}");
        comparison.check("active", shown, |_| Some(charged) == quantity.as_i64());
    }
    let is_credited = lines.iter().any(|line| line.kind == LineKind::Credit);
    comparison.equal("invoice_for_removal", Value::as_bool, is_credited);
    Ok(comparison.outcome())
}
