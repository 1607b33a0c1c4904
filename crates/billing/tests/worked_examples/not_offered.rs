//! Kinds of cases that need something which is not offered, or not yet, by the set of their input keys.

use crate::case::{Case, Reader};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    if keys.iter().any(|key| key.ends_with("_unix")) {
        return Some(|_| Err("needs proration by the second".into()));
    }
    Some(match keys {
        ["anchor_day", "currency", "interval", "price" | "price_minor"] => |case: &Case| {
            case.anchor_day()?;
            Err("the case names no start".into())
        },
        ["billed", "change", "currency", "new", "old", "then_anchor_day"] => {
            |_: &Case| Err("needs a bill day that can be moved".into())
        }
        ["annual", "billed", "currency", "invoicing", "pause", "resume"] => {
            |_: &Case| Err("needs cycles that are extended to another bill day".into())
        }
        ["cancel_at", "currency", "interval", "price", "start", "subscription_end_proration_mode"] => {
            |case: &Case| Err(format!("needs the end mode {}", case.text("subscription_end_proration_mode")?))
        }
        _ => return None,
    })
}
