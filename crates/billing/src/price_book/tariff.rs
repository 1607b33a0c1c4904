//! A tariff as a caller gives it.

use kernel::Checks;

use super::NewPrice;
use crate::rating::{Tariff, Tier, Tiers, UnitPrice};

/// The most tiers of one price.
const MAX_TIERS: usize = 100;
/// The highest limit of a tier.
const MAX_UNITS: u32 = 10_000_000;

/// The tariff of a price; its mistakes are pointed at.
pub(super) fn check(checks: &mut Checks, new: &NewPrice, at: &dyn Fn(&str) -> String) -> Option<Tariff> {
    let by_tiers: fn(Tiers) -> Tariff = match new.model.as_str() {
        "flat" => return flat(checks, new, at),
        "graduated" => Tariff::Graduated,
        "volume" => Tariff::Volume,
        _ => return checks.value(None, &at("model"), "must be flat, graduated or volume"),
    };
    checks.require(new.unit_price.is_none(), &at("unit_price"), "is for a flat price only");
    let given = (1..=MAX_TIERS).contains(&new.tiers.len());
    checks.require(given, &at("tiers"), format_args!("must have 1 to {MAX_TIERS} tiers"));
    let tiers: Option<Vec<Tier>> = new
        .tiers
        .iter()
        .enumerate()
        .map(|(index, tier)| {
            let is_in_range = tier.up_to.is_none_or(|limit| limit <= MAX_UNITS);
            let shown = format_args!("must be at most {MAX_UNITS}");
            checks.require(is_in_range, &at(&format!("tiers/{index}/up_to")), shown);
            let unit_price = unit_price(checks, &tier.unit_price, &at(&format!("tiers/{index}/unit_price")))?;
            Some(Tier { up_to: tier.up_to, unit_price })
        })
        .collect();
    let tiers = Tiers::new(tiers.filter(|_| given)?);
    let shown = tiers.as_ref().err().map(ToString::to_string).unwrap_or_default();
    checks.value(tiers.ok(), &at("tiers"), shown).map(by_tiers)
}

fn flat(checks: &mut Checks, new: &NewPrice, at: &dyn Fn(&str) -> String) -> Option<Tariff> {
    checks.require(new.tiers.is_empty(), &at("tiers"), "must be empty for a flat price");
    let text = checks.value(new.unit_price.as_ref(), &at("unit_price"), "is needed for a flat price")?;
    unit_price(checks, text, &at("unit_price")).map(Tariff::Flat)
}

/// A unit price as a caller gives it; a mistake is pointed at.
pub(super) fn unit_price(checks: &mut Checks, text: &str, at: &str) -> Option<UnitPrice> {
    let unit_price = text.parse::<UnitPrice>();
    let shown = unit_price.err().map(|error| error.to_string()).unwrap_or_default();
    checks.value(unit_price.ok(), at, shown)
}
