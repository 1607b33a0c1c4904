//! Kinds of cases that need something which is not offered, or not yet, by the set of their input keys.

use crate::case::{Case, Outcome, Reader};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    if keys.iter().any(|key| key.ends_with("_unix")) {
        return Some(|_| Err("needs proration by the second".into()));
    }
    if keys.contains(&"trial_days") {
        return Some(|_| Err("needs trials".into()));
    }
    if keys.contains(&"tax") {
        return Some(|_| Err("needs tax".into()));
    }
    Some(match keys {
        [
            "coupon_minor",
            "currency",
            "fraction_remaining",
            "interval",
            "items_minor",
            "remove_item_minor",
        ] => |_: &Case| Err("needs discounts".into()),
        ["currency", "events", "month", "unit_minor"]
        | ["currency", "events", "month", "opening", "unit_minor"] => {
            |_: &Case| Err("needs metered storage".into())
        }
        ["currency", "events", "start", "unit_minor", "units"] => seat_rule,
        ["anchor_day", "currency", "interval", "price" | "price_minor"] => |case: &Case| {
            case.anchor_day()?;
            Err("the case names no start".into())
        },
        ["billed", "change", "currency", "new", "old", "then_anchor_day"] => {
            |_: &Case| Err("needs a bill day that can be moved".into())
        }
        ["anchor_day", "billed", "change", "currency", "new_annual", "old_annual"] => {
            |_: &Case| Err("needs plan changes that keep another plan's bill day".into())
        }
        ["annual", "billed", "currency", "invoicing", "pause", "resume"]
        | ["anchor_day", "annual", "billed", "currency", "pause", "resume"] => {
            |_: &Case| Err("needs suspension policies".into())
        }
        ["anchor", "currency", "monthly_minor", "upgrade", "yearly_minor"] => {
            |_: &Case| Err("needs interval changes that keep the anchor".into())
        }
        ["cancel_at", "currency", "interval", "price", "start", "subscription_end_proration_mode"] => {
            |case: &Case| Err(format!("needs the end mode {}", case.text("subscription_end_proration_mode")?))
        }
        _ => return None,
    })
}

fn seat_rule(case: &Case) -> Result<Outcome, String> {
    Err(format!("needs the seat rule {}", case.convention("seat_rule").unwrap_or("of that system")))
}
