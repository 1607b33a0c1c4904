//! Parts of a cycle: as a share of the whole, and as an amount.

use billing::rating::{Billed, Cycle, CycleState, LineKind, Rate, Share, Span, Tariff, UnitPrice, reconcile};
use chrono_tz::Tz;

use crate::account::{Account, anchor, computed, share, sum, units};
use crate::case::{Case, Comparison, ComputedLine, Outcome, Reader};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["end", "interval", "start"] => factor,
        ["anchor_day", "first_full", "interval", "start"] => factor_to_first_full,
        ["anchor_day", "bill_up_to", "end", "interval", "start"]
        | ["anchor_day", "bill_up_to", "interval", "start"] => cycles,
        ["anchor_day", "currency", "interval", "price" | "price_minor", "start"] => leading_stub,
        ["currency", "interval", "period", "price" | "price_minor", "split"] => split,
        ["anchor_day", "billing", "cancel", "currency", "interval", "price" | "price_minor", "start"] => {
            cancelled
        }
        ["currency", "days", "remaining", "unit"] => correction,
        _ => return None,
    })
}

/// A stub that begins on a boundary or ends on one; where the case names both, each must give the same.
fn factor(case: &Case) -> Result<Outcome, String> {
    case.needs_days()?;
    let interval = case.interval("interval")?;
    let span = Span::new(case.date("start")?, case.date("end")?).ok_or("the period is empty")?;
    let denominator = case.convention("denominator").unwrap_or("enclosing_cycle");
    let trailing =
        denominator.contains("period_starting_at_previous_bill_date") || denominator == "enclosing_cycle";
    let leading = denominator.contains("period_ending_at_next_bill_date");
    if !trailing && !leading {
        return Err(format!("needs a denominator of {denominator}"));
    }
    let mut comparison = Comparison::of(case);
    for (wanted, anchor) in [(trailing, span.start()), (leading, span.end())] {
        if wanted {
            let mut account = Account::new(anchor, interval, span.start())?;
            account.bill_one_unit(Some(span.end()), span.end())?;
            let [cycle] = account.cycles.as_slice() else {
                return Err("the period is longer than a cycle".into());
            };
            comparison.share("factor", share(cycle));
            comparison.decimal("factor_decimal", share(cycle));
        }
    }
    Ok(comparison.outcome())
}

fn factor_to_first_full(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let mut account = from_start(case)?;
    let begins = account.first_cycles(1)?[0].end();
    if begins != case.date("first_full")? {
        return Ok(Outcome::Differs(format!("the first full cycle begins on {begins}")));
    }
    let share = share(&account.cycles[0]);
    let mut comparison = Comparison::of(case);
    comparison.share("factor", share);
    comparison.decimal("factor_decimal", share);
    Ok(comparison.outcome())
}

/// Stubs as shares; whole cycles that follow each other as their count.
fn cycles(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let mut account = from_start(case)?;
    account.bill_one_unit(case.optional_date("end")?, case.date("bill_up_to")?)?;
    let mut grouped: Vec<(bool, Share)> = Vec::new();
    for share in account.cycles.iter().map(share) {
        let is_whole = share == Share::from(1);
        match grouped.last_mut() {
            Some((true, count)) if is_whole => *count += share,
            _ => grouped.push((is_whole, share)),
        }
    }
    let mut comparison = Comparison::of(case);
    comparison.shares("cycles", grouped.iter().map(|(_, share)| *share).collect());
    comparison.share("cycles_total", grouped.iter().map(|(_, share)| *share).sum());
    Ok(comparison.outcome())
}

fn from_start(case: &Case) -> Result<Account, String> {
    let (start, interval) = (case.date("start")?, case.interval("interval")?);
    Account::new(anchor(start, case.anchor_day()?, interval)?, interval, start)
}

fn price(case: &Case) -> Result<UnitPrice, String> {
    let key = if case.inputs.get("price").is_some() { "price" } else { "price_minor" };
    case.price(key)
}

/// As many lines as are expected, the first of them the stub.
fn leading_stub(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let currency = case.currency()?;
    let mut account = from_start(case)?.priced(price(case)?, currency);
    let log = units(1, case.date("start")?, None);
    let mut comparison = Comparison::of(case);
    let mut lines = Vec::new();
    while lines.len() < comparison.count_of("lines") {
        lines.extend(account.bill_next(&log)?);
    }
    comparison.lines(currency, &computed(&lines));
    Ok(comparison.outcome())
}

fn undiscounted(price: UnitPrice) -> Rate {
    Tariff::Flat(price).into()
}

/// A cycle billed in two parts, then the next one whole.
fn split(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (currency, price, whole, at) =
        (case.currency()?, price(case)?, case.span("period")?, case.date("split")?);
    let (cycle, rate) = (Cycle::new(whole, whole), undiscounted(price));
    let first = Span::new(whole.start(), at).ok_or("the split is not inside the period")?;
    // In advance a product bills the whole; that a part of it was billed is where this account resumes.
    let in_force: Vec<i64> = whole.each_day().map(|day| i64::from(first.contains(day))).collect();
    let charges = reconcile(&rate, currency, &cycle, &in_force, &[]).map_err(|e| e.to_string())?;
    let billed = charges.iter().map(|charge| charge.billed_at(rate.clone()));
    let state = CycleState { cycle, zone: Tz::UTC, billed: billed.collect() };
    let of = |line: &Billed| ComputedLine { period: Some(line.period), amount_minor: line.amount_minor };
    let mut lines: Vec<ComputedLine> = state.billed.iter().map(of).collect();
    let account = Account::new(whole.start(), case.interval("interval")?, whole.start())?;
    let mut account = account.priced(price, currency).resumed(state);
    let log = units(1, whole.start(), None);
    let mut comparison = Comparison::of(case);
    lines.extend(computed(&account.bill_next(&log)?));
    while lines.len() < comparison.count_of("lines") {
        lines.extend(computed(&account.bill_next(&log)?));
    }
    comparison.lines(currency, &lines);
    let both = account.cycles[0].billed.iter().map(|line| line.amount_minor).sum();
    comparison.amount("sum_of_first_two", currency, both);
    Ok(comparison.outcome())
}

/// The credit for the days of a billed cycle from the day of an immediate cancellation on.
fn cancelled(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    if case.text("billing")? != "immediate" {
        return Err(format!("needs cancellation {}", case.text("billing")?));
    }
    let (currency, price, start, cancel) =
        (case.currency()?, price(case)?, case.date("start")?, case.date("cancel")?);
    let mut account = from_start(case)?.priced(price, currency);
    account.bill_until(cancel, &units(1, start, None))?;
    let mut credit = account.bill_next(&units(1, start, Some(cancel)))?;
    credit.retain(|line| line.kind == LineKind::Credit);
    let mut comparison = Comparison::of(case);
    comparison.lines(currency, &computed(&credit));
    Ok(comparison.outcome())
}

/// One more unit for the days that remain of a cycle of so many days.
fn correction(case: &Case) -> Result<Outcome, String> {
    let (currency, unit) = (case.currency()?, case.price("unit")?);
    let (whole, rest) = crate::plan_changes::cycle_of_days(case.number("days")?, case.number("remaining")?)?;
    let lines = crate::plan_changes::charged_lines(unit, 1, currency, whole, rest)?;
    let mut comparison = Comparison::of(case);
    comparison.amount("correction", currency, sum(&lines));
    Ok(comparison.outcome())
}
