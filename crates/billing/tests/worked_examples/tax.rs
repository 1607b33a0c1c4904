//! Tax on the rounded lines of an invoice, and of its credit note.

use billing::rating::{Percentage, PriceBasis, TaxGroup, TaxLine, Totals, totals};
use serde_json::Value;

use crate::case::{Case, Outcome, plain};
use crate::comparison::Comparison;
use crate::decimal;
use crate::kind::Kind;
use crate::part::{PART, Part};

pub(crate) const KINDS: &[Kind] = &[
    Kind { needs: &[&[&["net", "tax"]]], takes: &[], read: of_a_net },
    Kind { needs: &[&[&["price", "tax"]], PART], takes: &["interval", "quantity"], read: unused_part },
];

/// Nothing where the case names none.
fn rate(case: &Case) -> Result<Percentage, String> {
    match case.items("tax") {
        [] => Ok(Percentage::ZERO),
        [rate] => decimal::percentage(rate).ok_or_else(|| "tax is not a percentage that is offered".into()),
        _ => Err("tax is more than one".into()),
    }
}

fn line(case: &Case, amount_minor: i64) -> Result<[TaxLine; 1], String> {
    Ok([TaxLine { group: TaxGroup::at_rate(rate(case)?), amount_minor }])
}

fn invoiced(case: &Case, net_minor: i64) -> Result<Totals, String> {
    totals(PriceBasis::Exclusive, &[], &line(case, net_minor)?).map_err(|e| e.to_string())
}

fn credited(case: &Case, invoice: &Totals, credit_minor: i64) -> Result<Totals, String> {
    totals(PriceBasis::Exclusive, &invoice.groups, &line(case, credit_minor)?).map_err(|e| e.to_string())
}

fn compare_totals(case: &Case, comparison: &mut Comparison, totals: &Totals) -> Result<(), String> {
    let currency = case.currency()?;
    comparison.amount("net", currency, totals.net_minor);
    comparison.amount("tax", currency, totals.tax_minor);
    comparison.amount("total", currency, totals.total_minor);
    Ok(())
}

/// Those of the amounts of a document that are named, which are some. A credit note names them above 0.
fn compare_document(
    case: &Case,
    comparison: &mut Comparison,
    name: &str,
    totals: &Totals,
    sign: i64,
) -> Result<(), String> {
    let currency = case.currency()?;
    let is_met = |(key, value): (&String, &Value)| {
        let (name, is_minor) = plain(key);
        let computed = match name {
            "net" => totals.net_minor,
            "tax" => totals.tax_minor,
            "total" => totals.total_minor,
            _ => return None,
        };
        Some(decimal::amount(value, is_minor, currency)? == sign * computed)
    };
    comparison.check(name, totals, |document, _| {
        let fields = document.as_object().filter(|fields| !fields.is_empty())?;
        let met: Option<Vec<bool>> = fields.iter().map(is_met).collect();
        Some(met?.iter().all(|is| *is))
    });
    Ok(())
}

pub(crate) fn compare_invoiced(
    case: &Case,
    comparison: &mut Comparison,
    net_minor: i64,
) -> Result<(), String> {
    compare_totals(case, comparison, &invoiced(case, net_minor)?)
}

/// The credit note of an invoice, and the invoice; `credit_minor` is 0 or less.
pub(crate) fn compare_credited(
    case: &Case,
    comparison: &mut Comparison,
    invoiced_minor: i64,
    credit_minor: i64,
) -> Result<(), String> {
    let invoice = invoiced(case, invoiced_minor)?;
    compare_document(case, comparison, "invoice", &invoice, 1)?;
    compare_document(case, comparison, "credit_note", &credited(case, &invoice, credit_minor)?, -1)
}

/// Below 0 it is what a credit note gives back of an invoice of as much.
fn of_a_net(case: &Case) -> Result<Outcome, String> {
    let net_minor = case.amount("net")?;
    let mut comparison = Comparison::of(case);
    if net_minor < 0 {
        let note = credited(case, &invoiced(case, -net_minor)?, net_minor)?;
        compare_totals(case, &mut comparison, &note)?;
    } else {
        compare_invoiced(case, &mut comparison, net_minor)?;
    }
    Ok(comparison.outcome())
}

/// A cycle that was billed whole, and the credit note for what was not used of it.
fn unused_part(case: &Case) -> Result<Outcome, String> {
    let (part, currency, price) = (Part::of(case)?, case.currency()?, case.price("price")?);
    let quantity = case.number_or("quantity", 1)?;
    let billed = part.whole(price, quantity, currency)?.amount_minor;
    let credit = part.credit(price, quantity, currency)?.amount_minor;
    let mut comparison = Comparison::of(case);
    compare_credited(case, &mut comparison, billed, credit)?;
    Ok(comparison.outcome())
}
