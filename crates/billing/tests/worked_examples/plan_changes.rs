//! A price or quantity replaced in the middle of a cycle: the old one's unused days are credited at what was billed
//! for them, the new one is charged for the days that remain.

use billing::rating::UnitPrice;
use kernel::Currency;
use serde_json::Value;

use crate::anchor::{self, Unsaid};
use crate::case::{Case, Outcome, field};
use crate::comparison::{Comparison, ComputedLine, sum};
use crate::decimal;
use crate::kind::Kind;
use crate::part::{PART, Part};
use crate::periods::whole_cycle;

pub(crate) const KINDS: &[Kind] = &[
    Kind { needs: &[&[&["old", "new"]], PART], takes: &["interval", "quantity"], read: price },
    Kind {
        needs: &[&[&["unit", "old_quantity", "new_quantity"]], PART],
        takes: &["interval"],
        read: quantity,
    },
    Kind {
        needs: &[&[&["matched"], &["added"], &["removed"]], PART],
        takes: &["interval"],
        read: components,
    },
    Kind { needs: &[&[&["price", "events"]], PART], takes: &["interval", "start"], read: after_unprorated },
    Kind { needs: &[&[&["price"]], PART], takes: &["interval", "quantity"], read: removed },
    Kind { needs: &[&[&["unit"]], PART], takes: &["interval", "quantity"], read: added },
    Kind {
        needs: &[&[&["old_addon", "new_addon", "upgrade"]]],
        takes: &["anchor_day", "interval", "second_addon"],
        read: add_ons,
    },
];

fn price(case: &Case) -> Result<Outcome, String> {
    let (part, units) = (Part::of(case)?, case.number_or("quantity", 1)?);
    replaced(case, &part, case.price("old")?, case.price("new")?, units)
}

/// Each side as it would be alone: where both cost the same, a product that keeps one account bills neither.
fn replaced(case: &Case, part: &Part, old: UnitPrice, new: UnitPrice, units: i64) -> Result<Outcome, String> {
    let currency = case.currency()?;
    let mut comparison = Comparison::of(case);
    let both = vec![part.credit(old, units, currency)?, part.charge(new, units, currency)?];
    let is_nothing = old == new && comparison.expects("lines") && comparison.count_of("lines") == 0;
    comparison.bill(currency, if is_nothing { &[] } else { &both });
    comparison.amount("renewal", currency, part.whole(new, units, currency)?.amount_minor);
    Ok(comparison.outcome())
}

/// Where the cycle is told in days, lines begin with what was charged at its start. A single line for the change is the
/// difference, two are the old quantity and the new one.
fn quantity(case: &Case) -> Result<Outcome, String> {
    let (part, currency, unit) = (Part::of(case)?, case.currency()?, case.price("unit")?);
    let (old, new) = (case.number("old_quantity")?, case.number("new_quantity")?);
    let mut comparison = Comparison::of(case);
    let mut lines = if case.has("days") { vec![part.whole(unit, old, currency)?] } else { Vec::new() };
    let first = lines.iter().filter(|line| line.amount_minor != 0).count();
    let change = if comparison.count_of("lines") == first + 1 {
        vec![part.difference(unit, (old, new), currency)?]
    } else {
        vec![part.credit(unit, old, currency)?, part.charge(unit, new, currency)?]
    };
    lines.extend(&change);
    comparison.lines(currency, &lines);
    comparison.total(currency, &lines);
    comparison.sides(currency, &change);
    Ok(comparison.outcome())
}

/// Prices of items that are in the old plan and the new one, and of such as are in one of them.
fn components(case: &Case) -> Result<Outcome, String> {
    let (part, currency) = (Part::of(case)?, case.currency()?);
    let price = |key, value| case.price_of(key, value);
    let mut lines = Vec::new();
    let matched = case.items("matched");
    // One pair, or several.
    let several: Option<Vec<&Vec<Value>>> = matched.iter().map(Value::as_array).collect();
    let pairs = several.map_or_else(|| vec![matched], |all| all.into_iter().map(Vec::as_slice).collect());
    for pair in pairs {
        let [old, new] = pair else { return Err("matched is not a pair of prices".into()) };
        lines.push(part.credit(price("matched", old)?, 1, currency)?);
        lines.push(part.charge(price("matched", new)?, 1, currency)?);
    }
    for removed in case.items("removed") {
        lines.push(part.credit(price("removed", removed)?, 1, currency)?);
    }
    for added in case.items("added") {
        lines.push(part.charge(price("added", added)?, 1, currency)?);
    }
    let mut comparison = Comparison::of(case);
    comparison.bill(currency, &lines);
    Ok(comparison.outcome())
}

/// What is already paid for an add-on is credited against its new price. Cycles are the calendar's unless a day is given.
fn add_ons(case: &Case) -> Result<Outcome, String> {
    case.needs_days()?;
    let (currency, upgrade, interval) = (case.currency()?, case.date("upgrade")?, case.interval()?);
    let whole = whole_cycle(anchor::of(case, upgrade, interval, Unsaid::Calendar)?, interval, upgrade)?;
    case.needs_whole_cycle(Some(whole.days()))?;
    let part = Part::from(whole, upgrade)?;
    let first = [
        part.credit(case.price("old_addon")?, 1, currency)?,
        part.charge(case.price("new_addon")?, 1, currency)?,
    ];
    let mut fees = vec![sum(&first)];
    if case.has("second_addon") {
        fees.push(part.charge(case.price("second_addon")?, 1, currency)?.amount_minor);
    }
    let mut comparison = Comparison::of(case);
    comparison.amounts("fees", currency, &fees);
    comparison.total(currency, &fees.iter().copied().map(ComputedLine::charge).collect::<Vec<_>>());
    Ok(comparison.outcome())
}

/// What was never billed is not credited: the credit is of the last price that was.
fn after_unprorated(case: &Case) -> Result<Outcome, String> {
    let (part, currency) = (Part::of(case)?, case.currency()?);
    let events = case.events(&["at", "price", "proration"])?;
    let (last, before) = events.split_last().ok_or("there are no events")?;
    let price = |event| {
        let (price, is_minor) = field(event, "price")?;
        decimal::price(price, is_minor, currency)
    };
    let is_prorated = |event: &Value| event["proration"] != "none";
    if !is_prorated(last) {
        let mut comparison = Comparison::of(case);
        comparison.bill(currency, &[]);
        return Ok(comparison.outcome());
    }
    let billed = match before.iter().rev().find(|event| is_prorated(event)) {
        Some(event) => price(event).ok_or("an event has no price")?,
        None => case.price("price")?,
    };
    replaced(case, &part, billed, price(last).ok_or("an event has no price")?, 1)
}

/// What is unused of something that is removed.
fn removed(case: &Case) -> Result<Outcome, String> {
    let (part, currency) = (Part::of(case)?, case.currency()?);
    one(case, currency, part.credit(case.price("price")?, case.number_or("quantity", 1)?, currency)?)
}

/// More units for the days that remain.
fn added(case: &Case) -> Result<Outcome, String> {
    let (part, currency) = (Part::of(case)?, case.currency()?);
    one(case, currency, part.charge(case.price("unit")?, case.number_or("quantity", 1)?, currency)?)
}

fn one(case: &Case, currency: Currency, line: ComputedLine) -> Result<Outcome, String> {
    let mut comparison = Comparison::of(case);
    comparison.amount("correction", currency, line.amount_minor);
    comparison.bill(currency, &[line]);
    Ok(comparison.outcome())
}
