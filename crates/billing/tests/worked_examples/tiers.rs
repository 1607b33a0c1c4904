//! Prices by tiers.

use billing::rating::{Share, Tariff, Tier, Tiers};
use serde_json::Value;

use crate::case::{Case, Comparison, Outcome, Reader, price_in};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["currency", "gb_months", "tiers"] => of_a_quantity,
        _ => return None,
    })
}

/// The part of each tier that is reached, and their sum.
fn of_a_quantity(case: &Case) -> Result<Outcome, String> {
    let (currency, quantity) = (case.currency()?, i128::from(case.number("gb_months")?));
    let named = case.inputs["tiers"].as_array().ok_or("tiers is not a list")?;
    let mut limits = Vec::new();
    let mut tiers = Vec::new();
    for tier in named {
        let limit = tier["up_to_gb"].as_u64().and_then(|limit| u32::try_from(limit).ok());
        let unit_price = price_in(&tier["price"], false, currency).ok_or("a tier has no price")?;
        limits.push(limit.map_or(quantity, i128::from).min(quantity));
        tiers.push(Tier { up_to: limit, unit_price });
    }
    // The last one that is listed bounds the list, not the quantity.
    if let Some(last) = tiers.last_mut().filter(|_| limits.last() == Some(&quantity)) {
        last.up_to = None;
    }
    let tiers = Tiers::new(tiers).map_err(|e| e.to_string())?;
    let tariff = match case.convention("tiers") {
        Some("graduated") => Tariff::Graduated(tiers),
        Some("volume") => Tariff::Volume(tiers),
        other => return Err(format!("needs tiers {}", other.unwrap_or("of that system"))),
    };
    let amount = |units| tariff.amount_minor(Share::from(units), currency).map_err(|e| e.to_string());
    let (mut parts, mut below) = (Vec::new(), 0);
    for limit in limits {
        let reached = amount(limit)?;
        parts.push(reached - below);
        below = reached;
    }
    let mut comparison = Comparison::of(case);
    let texts = |value: &Value| value.as_array().is_some_and(|lines| lines.iter().all(Value::is_string));
    comparison.check("lines", "", texts);
    comparison.amounts("lines", currency, &parts);
    comparison.amount("total", currency, amount(quantity)?);
    Ok(comparison.outcome())
}
