//! Tax on the rounded lines of an invoice, and of its credit note.

use billing::rating::{Interval, PriceBasis, TaxCategory, TaxGroup, TaxLine, Totals, totals};
use chrono::Datelike as _;
use kernel::Currency;

use crate::account::{Account, share, sum, units};
use crate::case::{Case, Comparison, Outcome, Reader};
use crate::plan_changes::{charge, credit, cycle_of_fraction};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["currency", "net_minor", "tax"] => of_a_net,
        ["currency", "interval", "price_minor", "tax", "unused"] => unused_part,
        ["currency", "price_minor", "start", "tax", "terminate"] => terminated,
        _ => return None,
    })
}

fn line(case: &Case, amount_minor: i64) -> Result<[TaxLine; 1], String> {
    let rate = case.text("tax")?.trim_end_matches('%').parse().map_err(|e| format!("tax: {e}"))?;
    let group = TaxGroup::new(TaxCategory::Standard, rate).map_err(|e| e.to_string())?;
    Ok([TaxLine { group, amount_minor }])
}

fn invoiced(case: &Case, net_minor: i64) -> Result<Totals, String> {
    totals(PriceBasis::Exclusive, &[], &line(case, net_minor)?).map_err(|e| e.to_string())
}

fn credited(case: &Case, invoiced_minor: i64, credit_minor: i64) -> Result<Totals, String> {
    let invoice = invoiced(case, invoiced_minor)?;
    let note = line(case, -credit_minor)?;
    totals(PriceBasis::Exclusive, &invoice.groups, &note).map_err(|e| e.to_string())
}

fn compare(comparison: &mut Comparison, currency: Currency, totals: &Totals) {
    comparison.amount("net_minor", currency, totals.net_minor);
    comparison.amount("tax_minor", currency, totals.tax_minor);
    comparison.amount("total_minor", currency, totals.total_minor);
}

fn compare_credit_note(case: &Case, totals: &Totals) -> Outcome {
    let mut comparison = Comparison::of(case);
    comparison.check("credit_note", format_args!("{totals:?}"), |note| {
        note["net_minor"] == -totals.net_minor
            && note["tax_minor"] == -totals.tax_minor
            && note["total_minor"] == -totals.total_minor
    });
    comparison.outcome()
}

fn of_a_net(case: &Case) -> Result<Outcome, String> {
    let mut comparison = Comparison::of(case);
    compare(&mut comparison, case.currency()?, &invoiced(case, case.number("net_minor")?)?);
    Ok(comparison.outcome())
}

/// A cycle that was billed whole, and the credit note for what was not used of it.
fn unused_part(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (currency, price) = (case.currency()?, case.price("price_minor")?);
    let (whole, rest) = cycle_of_fraction(case.fraction("unused")?)?;
    let billed = charge(price, 1, currency, whole, whole)?;
    let credit = credit(price, 1, currency, whole, rest)?;
    Ok(compare_credit_note(case, &credited(case, billed, -credit)?))
}

/// From a start up to and including the last day that is used. A case that names no interval is of calendar months.
fn terminated(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let (currency, price, start) = (case.currency()?, case.price("price_minor")?, case.date("start")?);
    let terminate = case.date("terminate")?;
    let end = if case.ends_are_inclusive() { terminate.succ_opt() } else { Some(terminate) };
    let until = units(1, start, Some(end.ok_or("terminate is out of range")?));
    let first = start.with_day(1).ok_or("an empty cycle")?;
    let mut account = Account::new(first, Interval::MONTH, start)?.priced(price, currency);
    let mut comparison = Comparison::of(case);
    if comparison.expects("credit_note") {
        let billed = sum(&account.bill_next(&units(1, start, None))?);
        let credit = sum(&account.bill_next(&until)?);
        return Ok(compare_credit_note(case, &credited(case, billed, -credit)?));
    }
    // In arrears: everything is known when it is billed.
    let net_minor = sum(&account.bill_on(end.ok_or("terminate is out of range")?, &until)?);
    comparison.share("days", account.cycles.first().map(share).ok_or("no cycle")?);
    compare(&mut comparison, currency, &invoiced(case, net_minor)?);
    Ok(comparison.outcome())
}
