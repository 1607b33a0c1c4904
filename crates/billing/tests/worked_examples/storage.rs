//! Stored amounts, averaged over a month by the second.

use billing::rating::{Share, Span, Step, Tariff, overage};
use chrono::{DateTime, Months, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::case::{Case, Comparison, Outcome, Reader};

pub(crate) fn reader(keys: &[&str]) -> Option<Reader> {
    Some(match keys {
        ["currency", "events", "month", "unit_minor"]
        | ["currency", "events", "month", "opening", "unit_minor"] => averaged,
        _ => return None,
    })
}

/// `2023-03-05T00:00Z`
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let local = DateTime::parse_from_str(value.as_str()?, "%Y-%m-%dT%H:%M%#z").ok()?;
    Some(local.to_utc())
}

/// Units stand for GiB, of which none is free.
fn averaged(case: &Case) -> Result<Outcome, String> {
    match case.convention("proration") {
        Some("time_weighted") => {}
        other => return Err(format!("needs proration {}", other.unwrap_or("of that system"))),
    }
    let first: NaiveDate =
        format!("{}-01", case.text("month")?).parse().map_err(|_| "month is not a month")?;
    let whole = first.checked_add_months(Months::new(1)).and_then(|end| Span::new(first, end));
    let whole = whole.ok_or("month is out of range")?;
    let mut level = case.inputs["opening"].as_i64().unwrap_or(0);
    let gib = |units: i64| units.checked_mul(1 << 30).ok_or("too much is stored");
    let mut samples = vec![Step { at: DateTime::<Utc>::MIN_UTC, level: gib(level)? }];
    for event in case.inputs["events"].as_array().into_iter().flatten() {
        level += event["delta"].as_i64().ok_or("an event has no delta")?;
        let at = instant(&event["at"]).ok_or("an event has no instant")?;
        samples.push(Step { at, level: gib(level)? });
    }
    let nothing: Vec<(NaiveDate, i128)> = whole.each_day().map(|day| (day, 0)).collect();
    let units: Share = overage(whole, Tz::UTC, &samples, &nothing).map_err(|e| e.to_string())?.gib;
    let tariff = Tariff::Flat(case.price("unit_minor")?);
    let currency = case.currency()?;
    let amount = tariff.amount_minor(units, currency).map_err(|e| e.to_string())?;
    let mut comparison = Comparison::of(case);
    comparison.decimal("units", units);
    comparison.amount("amount_minor", currency, amount);
    comparison.equal("closing", Value::as_i64, level);
    Ok(comparison.outcome())
}
