//! An amount off, split over items, of which one is removed.

use billing::rating::{AmountOff, split};
use serde_json::Value;

use crate::case::{Case, Comparison, Outcome, Reader};
use crate::plan_changes::{charge, credit, cycle_of_fraction};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        [
            "coupon_minor",
            "currency",
            "fraction_remaining",
            "interval",
            "items_minor",
            "remove_item_minor",
        ] => over_items,
        _ => return None,
    })
}

fn over_items(case: &Case) -> Result<Outcome, String> {
    case.needs_enclosing_cycle()?;
    let currency = case.currency()?;
    let items = case.inputs["items_minor"].as_array().ok_or("items_minor is not a list")?;
    let items: Option<Vec<i64>> = items.iter().map(Value::as_i64).collect();
    let items = items.ok_or("an item is not an amount")?;
    let discounts = split(case.number("coupon_minor")?, &items);
    let removed = case.number("remove_item_minor")?;
    let at = items.iter().position(|item| *item == removed).ok_or("the removed item is none of them")?;
    let (whole, rest) = cycle_of_fraction(case.fraction("fraction_remaining")?)?;
    let price = case.price("remove_item_minor")?;
    let charged_minor = charge(price, 1, currency, whole, whole)?;
    let kept = charged_minor + credit(price, 1, currency, whole, rest)?;
    let off = AmountOff { charged_minor, off_minor: discounts[at] };
    let net = |charge| off.kept(charge).map(|off| charge - off).map_err(|e| e.to_string());
    let credit = net(kept)? - net(charged_minor)?;
    let mut comparison = Comparison::of(case);
    let initial = &case.expected["initial"];
    let total = items.iter().sum::<i64>() - discounts.iter().sum::<i64>();
    comparison.check("initial", format_args!("{discounts:?}, {total}"), |_| {
        initial["discounts_minor"] == Value::from(discounts.clone()) && initial["total_minor"] == total
    });
    comparison.amount("credit_minor", currency, credit);
    Ok(comparison.outcome())
}
