//! Prices by tiers.

use billing::rating::{Share, Tariff, Tier, Tiers};
use serde_json::Value;

use crate::case::{Case, Outcome, field};
use crate::comparison::{Comparison, ComputedLine};
use crate::decimal::{self, Decimal};
use crate::kind::Kind;

pub(crate) const KINDS: &[Kind] = &[Kind {
    needs: &[&[&["tiers"]], &[&["gb_months"], &["quantity"]]],
    takes: &["interval"],
    read: of_a_quantity,
}];

/// The last unit of a tier; `None` without a limit, or one that is beyond all that can be counted.
fn limit_of(tier: &Value) -> Result<Option<u32>, String> {
    let fields = tier.as_object().ok_or("a tier is not an object")?;
    if let Some(key) =
        fields.keys().find(|key| !["up_to_gb", "up_to", "price", "price_minor"].contains(&key.as_str()))
    {
        return Err(format!("no reader for tiers with {key}"));
    }
    let limit = fields.get("up_to_gb").or_else(|| fields.get("up_to")).filter(|limit| !limit.is_null());
    match limit {
        None => Ok(None),
        Some(limit) if limit == "inf" || limit == "infinity" => Ok(None),
        Some(limit) => decimal::whole(limit)
            .map(|n| u32::try_from(n).ok())
            .ok_or_else(|| "a limit is not a number".into()),
    }
}

/// What each tier that is reached comes to, or all of the quantity in its own, and the sum.
fn of_a_quantity(case: &Case) -> Result<Outcome, String> {
    let currency = case.currency()?;
    let quantity = case.items(if case.has("gb_months") { "gb_months" } else { "quantity" }).first();
    let quantity =
        quantity.and_then(Decimal::of).and_then(Decimal::share).ok_or("the quantity is not a number")?;
    let (mut limits, mut tiers) = (Vec::new(), Vec::new());
    for tier in case.list("tiers")? {
        let limit = limit_of(tier)?;
        let price =
            field(tier, "price").and_then(|(price, is_minor)| decimal::price(price, is_minor, currency));
        limits.push(limit.map_or(quantity, |limit| Share::from(i128::from(limit)).min(quantity)));
        tiers.push(Tier { up_to: limit, unit_price: price.ok_or("a tier has no price")? });
    }
    // The last one that is listed bounds the list, not the quantity.
    if let Some(last) = tiers.last_mut().filter(|_| limits.last() == Some(&quantity)) {
        last.up_to = None;
    }
    let tiers = Tiers::new(tiers).map_err(|e| e.to_string())?;
    let tariff = match case.convention("tiers") {
        None | Some("graduated" | "incremental" | "progressive" | "slab" | "tiered") => {
            Tariff::Graduated(tiers)
        }
        Some("volume") => Tariff::Volume(tiers),
        Some(other) => return Err(format!("needs tiers {other}")),
    };
    let amount = |units| tariff.amount_minor(units, currency).map_err(|e| e.to_string());
    let (mut lines, mut below) = (Vec::new(), 0);
    // All of a volume is in one tier.
    let reached = limits.into_iter().filter(|limit| tariff.model() == "graduated" || *limit == quantity);
    for limit in reached {
        let so_far = amount(limit)?;
        lines.push(ComputedLine::charge(so_far - below));
        below = so_far;
    }
    let mut comparison = Comparison::of(case);
    comparison.bill(currency, &lines);
    Ok(comparison.outcome())
}
