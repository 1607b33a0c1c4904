//! Parts of a cycle: as a share of the whole, and as an amount.

use billing::rating::{Cycle, CycleState, Interval, Rate, Span, Tariff, reconcile};
use chrono::Months;
use chrono_tz::Tz;

use crate::account::{Account, computed, line_of, share, units};
use crate::case::{Case, Outcome};
use crate::comparison::{Comparison, ComputedLine, sum};
use crate::kind::Kind;

pub(crate) const KINDS: &[Kind] = &[
    Kind { needs: &[&[&["start", "end", "interval"]]], takes: &[], read: factor },
    Kind { needs: &[&[&["period", "split", "price"]]], takes: &["interval"], read: split },
];

/// A stub that begins on a boundary or ends on one; where the case names both, each must give the same.
fn factor(case: &Case) -> Result<Outcome, String> {
    case.needs_days()?;
    let interval = case.interval()?;
    let span = Span::new(case.date("start")?, case.end("end")?).ok_or("the period is empty")?;
    let denominator = case.convention("denominator").unwrap_or("");
    let leading = denominator.contains("period_ending_at_next_bill_date");
    let trailing = !leading || denominator.contains("period_starting_at_previous_bill_date");
    let mut comparison = Comparison::of(case);
    for (wanted, anchor) in [(trailing, span.start()), (leading, span.end())] {
        if wanted {
            let mut account = Account::new(anchor, interval, span.start())?;
            account.bill_one_unit(Some(span.end()), span.end())?;
            let [cycle] = account.cycles.as_slice() else {
                return Err("the period is longer than a cycle".into());
            };
            case.needs_whole_cycle(Some(cycle.cycle.whole.days()))?;
            for name in ["days", "factor", "factor_decimal"] {
                comparison.share(name, share(cycle));
            }
        }
    }
    Ok(comparison.outcome())
}

/// The interval that a cycle is of: months, if it is whole ones.
pub(crate) fn interval_of(whole: Span) -> Result<Interval, String> {
    let is_whole = |months: &u32| whole.start().checked_add_months(Months::new(*months)) == Some(whole.end());
    let months = (1..=120).find(is_whole).map(Interval::Months);
    let days = || u32::try_from(whole.days()).map(Interval::Days).map_err(|e| e.to_string());
    months.map_or_else(days, Ok)
}

/// A cycle billed in two parts, and what follows if that is expected too.
fn split(case: &Case) -> Result<Outcome, String> {
    case.needs_days()?;
    let (currency, price, whole) = (case.currency()?, case.price("price")?, case.span("period")?);
    case.needs_whole_cycle(Some(whole.days()))?;
    let interval = if case.has("interval") { case.interval()? } else { interval_of(whole)? };
    let (cycle, rate) = (Cycle::new(whole, whole), Rate::from(Tariff::Flat(price)));
    let first = Span::new(whole.start(), case.date("split")?).ok_or("the split is not inside the period")?;
    // In advance a product bills the whole; that a part of it was billed is where this account resumes.
    let in_force: Vec<i64> = whole.each_day().map(|day| i64::from(first.contains(day))).collect();
    let charges = reconcile(&rate, currency, &cycle, &in_force, &[]).map_err(|e| e.to_string())?;
    let billed = charges.iter().map(|charge| charge.billed_at(rate.clone()));
    let state = CycleState { cycle, zone: Tz::UTC, billed: billed.collect() };
    let mut lines: Vec<ComputedLine> = state.billed.iter().map(line_of).collect();
    let account = Account::new(whole.start(), interval, whole.start())?;
    let mut account = account.priced(price, currency).resumed(state);
    let log = units(1, whole.start(), None);
    lines.extend(computed(&account.bill_on(first.end(), &log)?));
    let both = sum(&lines);
    let mut comparison = Comparison::of(case);
    let more = comparison.count_of("lines").saturating_sub(lines.len());
    lines.extend(computed(&account.bill_lines(more, &log)?));
    comparison.bill(currency, &lines);
    comparison.amount("sum_of_first_two", currency, both);
    Ok(comparison.outcome())
}
