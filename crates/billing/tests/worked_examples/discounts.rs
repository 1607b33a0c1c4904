//! An amount off, split over items, of which one is removed.

use billing::rating::UnitPrice;

use crate::case::{Case, Outcome, plain};
use crate::comparison::Comparison;
use crate::decimal;
use crate::kind::Kind;
use crate::part::{PART, Part};

pub(crate) const KINDS: &[Kind] = &[Kind {
    needs: &[&[&["coupon", "items", "remove_item"]], PART],
    takes: &["interval"],
    read: over_items,
}];

fn over_items(case: &Case) -> Result<Outcome, String> {
    let (part, currency) = (Part::of(case)?, case.currency()?);
    let items: Result<Vec<i64>, String> =
        case.list("items")?.iter().map(|item| case.amount_of("items", item)).collect();
    let items = items?;
    let discounts = split(case.amount("coupon")?, &items);
    let removed = case.amount("remove_item")?;
    let at = items.iter().position(|item| *item == removed).ok_or("the removed item is none of them")?;
    let off = u64::try_from(discounts[at]).ok().and_then(|minor| UnitPrice::of_minor(minor, currency));
    let price = case.price("remove_item")?;
    let credit = part.discounted_credit(price, off.ok_or("the coupon is out of range")?, 1, currency)?;
    let total_minor = items.iter().sum::<i64>() - discounts.iter().sum::<i64>();
    let mut comparison = Comparison::of(case);
    comparison.check("initial", (&discounts, total_minor), |initial, _| {
        let fields = initial.as_object().filter(|fields| !fields.is_empty())?;
        let met = fields.iter().map(|(key, value)| {
            let (name, is_minor) = plain(key);
            let amount = |value| decimal::amount(value, is_minor, currency);
            match name {
                "discounts" => {
                    let expected: Option<Vec<i64>> = value.as_array()?.iter().map(amount).collect();
                    Some(expected? == discounts)
                }
                "total" => Some(amount(value)? == total_minor),
                _ => None,
            }
        });
        Some(met.collect::<Option<Vec<bool>>>()?.iter().all(|is| *is))
    });
    comparison.bill(currency, &[credit]);
    Ok(comparison.outcome())
}

/// An amount over charges in proportion, as whoever gives one off several items has to split it: Pillarbox takes an amount off one.
/// Each gets the floor of its part, and the last one what remains, as far as its charge goes.
fn split(amount_minor: i64, charges_minor: &[i64]) -> Vec<i64> {
    let total: i64 = charges_minor.iter().sum();
    let amount = amount_minor.min(total);
    let mut parts: Vec<i64> = charges_minor.iter().map(|charge| amount * charge / total.max(1)).collect();
    let mut rest = amount - parts.iter().sum::<i64>();
    for (part, charge) in parts.iter_mut().zip(charges_minor).rev() {
        let more = rest.min(charge - *part);
        (*part, rest) = (*part + more, rest - more);
    }
    parts
}
