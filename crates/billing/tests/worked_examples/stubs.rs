//! Parts of a cycle: as a share of the whole, and as an amount.

use billing::rating::{Billed, Cycle, Schedule, Share, Span, UnitPrice, reconcile};
use kernel::Currency;

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

/// The lines that bill one unit for a cycle of which nothing was billed.
pub(crate) fn bill(price: UnitPrice, currency: Currency, cycle: &Cycle) -> Result<Vec<Billed>, String> {
    bill_more(price, currency, cycle, &[], cycle.charged, 1)
}

/// The lines that bring a cycle from what was billed to `quantity` units in `kept` and none elsewhere.
pub(crate) fn bill_more(
    price: UnitPrice,
    currency: Currency,
    cycle: &Cycle,
    billed: &[Billed],
    kept: Span,
    quantity: i64,
) -> Result<Vec<Billed>, String> {
    let in_force: Vec<i64> =
        cycle.charged.each_day().map(|day| if kept.contains(day) { quantity } else { 0 }).collect();
    let charges = reconcile(price, currency, cycle, &in_force, billed).map_err(|e| e.to_string())?;
    Ok(charges
        .iter()
        .map(|c| Billed { period: c.period, quantity: c.quantity, amount_minor: c.amount_minor })
        .collect())
}

fn computed(billed: &[Billed]) -> Vec<ComputedLine> {
    billed
        .iter()
        .map(|line| ComputedLine { period: Some(line.period), amount_minor: line.amount_minor })
        .collect()
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
            let last_day = span.end().pred_opt().ok_or("end is out of range")?;
            let whole = Schedule::anchored_on(anchor, interval)
                .and_then(|s| s.cycle_at(last_day))
                .map_err(|e| e.to_string())?;
            if whole.intersection(span) != Some(span) {
                return Err("the period is longer than a cycle".into());
            }
            comparison.share("factor", span.share_of(whole));
            comparison.decimal("factor_decimal", span.share_of(whole));
        }
    }
    Ok(comparison.outcome())
}

fn factor_to_first_full(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let start = case.date("start")?;
    let schedule =
        Schedule::on_day(start, case.anchor_day()?, case.interval("interval")?).map_err(|e| e.to_string())?;
    let cycle =
        schedule.charged_at(start, start, None).map_err(|e| e.to_string())?.ok_or("an empty cycle")?;
    let first_full = case.date("first_full")?;
    if cycle.charged.end() != first_full {
        return Ok(Outcome::Differs(format!("the first full cycle begins on {}", cycle.charged.end())));
    }
    let share = cycle.charged.share_of(cycle.whole);
    let mut comparison = Comparison::of(case);
    comparison.share("factor", share);
    comparison.decimal("factor_decimal", share);
    Ok(comparison.outcome())
}

/// Stubs as shares; whole cycles that follow each other as their count.
fn cycles(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let start = case.date("start")?;
    let schedule =
        Schedule::on_day(start, case.anchor_day()?, case.interval("interval")?).map_err(|e| e.to_string())?;
    let billed = schedule
        .billed_by(start, case.optional_date("end")?, case.date("bill_up_to")?)
        .map_err(|e| e.to_string())?;
    let mut grouped: Vec<(bool, Share)> = Vec::new();
    for cycle in &billed {
        let share = cycle.charged.share_of(cycle.whole);
        match grouped.last_mut() {
            Some((true, count)) if cycle.is_whole() => *count += share,
            _ => grouped.push((cycle.is_whole(), share)),
        }
    }
    let mut comparison = Comparison::of(case);
    comparison.shares("cycles", grouped.iter().map(|(_, share)| *share).collect());
    comparison.share("cycles_total", grouped.iter().map(|(_, share)| *share).sum());
    Ok(comparison.outcome())
}

fn price(case: &Case) -> Result<UnitPrice, String> {
    let key = if case.inputs.get("price").is_some() { "price" } else { "price_minor" };
    case.price(key)
}

/// As many lines as are expected, the first of them the stub.
fn leading_stub(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (currency, price, start) = (case.currency()?, price(case)?, case.date("start")?);
    let schedule =
        Schedule::on_day(start, case.anchor_day()?, case.interval("interval")?).map_err(|e| e.to_string())?;
    let mut comparison = Comparison::of(case);
    let mut lines = Vec::new();
    let mut day = start;
    while lines.len() < comparison.count_of("lines") {
        let cycle =
            schedule.charged_at(day, start, None).map_err(|e| e.to_string())?.ok_or("an empty cycle")?;
        lines.extend(bill(price, currency, &cycle)?);
        day = cycle.whole.end();
    }
    comparison.lines(currency, &computed(&lines));
    Ok(comparison.outcome())
}

/// A cycle billed in two parts, then the next one whole.
fn split(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (currency, price, whole, at) =
        (case.currency()?, price(case)?, case.span("period")?, case.date("split")?);
    let cycle = Cycle { charged: whole, whole };
    let first = Span::new(whole.start(), at).ok_or("the split is not inside the period")?;
    let mut lines = bill_more(price, currency, &cycle, &[], first, 1)?;
    lines.extend(bill_more(price, currency, &cycle, &lines, whole, 1)?);
    let both = lines.iter().map(|line| line.amount_minor).sum();
    let schedule =
        Schedule::anchored_on(whole.start(), case.interval("interval")?).map_err(|e| e.to_string())?;
    let mut comparison = Comparison::of(case);
    let mut day = whole.end();
    while lines.len() < comparison.count_of("lines") {
        let next = schedule.cycle_at(day).map_err(|e| e.to_string())?;
        lines.extend(bill(price, currency, &Cycle { charged: next, whole: next })?);
        day = next.end();
    }
    comparison.lines(currency, &computed(&lines));
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
    let schedule =
        Schedule::on_day(start, case.anchor_day()?, case.interval("interval")?).map_err(|e| e.to_string())?;
    let cycle =
        schedule.charged_at(cancel, start, None).map_err(|e| e.to_string())?.ok_or("an empty cycle")?;
    let billed = bill(price, currency, &cycle)?;
    let credit = match Span::new(cycle.charged.start(), cancel) {
        Some(kept) => bill_more(price, currency, &cycle, &billed, kept, 1)?,
        None => bill_more(price, currency, &cycle, &billed, cycle.charged, 0)?,
    };
    let mut comparison = Comparison::of(case);
    comparison.lines(currency, &computed(&credit));
    Ok(comparison.outcome())
}

/// One more unit for the days that remain of a cycle of so many days.
fn correction(case: &Case) -> Result<Outcome, String> {
    let (currency, unit) = (case.currency()?, case.price("unit")?);
    let (whole, rest) = crate::plan_changes::cycle_of_days(case.number("days")?, case.number("remaining")?)?;
    let lines = bill(unit, currency, &Cycle { charged: rest, whole })?;
    let mut comparison = Comparison::of(case);
    comparison.amount("correction", currency, lines.iter().map(|line| line.amount_minor).sum());
    Ok(comparison.outcome())
}
