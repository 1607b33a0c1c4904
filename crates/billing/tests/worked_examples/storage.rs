//! Stored amounts, averaged over a month by the second.

use billing::rating::{Share, Span, Step, Tariff, overage};
use chrono::{DateTime, Datelike as _, Months, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::case::{Case, Outcome};
use crate::comparison::Comparison;
use crate::dates::Moment;
use crate::decimal::Decimal;
use crate::kind::Kind;

pub(crate) const KINDS: &[Kind] = &[Kind {
    needs: &[&[&["month", "unit"]], &[&["events"], &["opening"]]],
    takes: &["interval"],
    read: averaged,
}];

/// Of a unit: amounts may be told in so many decimals.
const PLACES: u32 = 6;

fn level(value: &Value) -> Option<i64> {
    Decimal::of(value)?.in_units_of(PLACES)
}

/// A millionth of a unit stands for a byte, of which none is free.
fn averaged(case: &Case) -> Result<Outcome, String> {
    match case.asks("proration") {
        None | Some("time_weighted") => {}
        Some(other) => return Err(format!("needs proration {other}")),
    }
    let month = case.text("month")?;
    let first: Option<NaiveDate> = month.parse().ok().or_else(|| format!("{month}-01").parse().ok());
    let first = first.filter(|first| first.day() == 1).ok_or("month is not a month")?;
    let whole = first.checked_add_months(Months::new(1)).and_then(|end| Span::new(first, end));
    let whole = whole.ok_or("month is out of range")?;
    let mut stored = 0;
    for opening in case.items("opening") {
        stored = level(opening).ok_or("opening is not an amount that can be stored")?;
    }
    let mut samples = vec![Step { at: DateTime::<Utc>::MIN_UTC, level: stored }];
    let mut changes = Vec::new();
    for event in case.events(&["at", "delta"])? {
        let at = Moment::of(&event["at"]).and_then(Moment::instant).ok_or("an event has no instant")?;
        changes.push((at, level(&event["delta"]).ok_or("an event has no delta that can be stored")?));
    }
    changes.sort_by_key(|(at, _)| *at);
    for (at, delta) in changes {
        stored += delta;
        samples.push(Step { at, level: stored });
    }
    let nothing: Vec<(NaiveDate, i128)> = whole.each_day().map(|day| (day, 0)).collect();
    let zone = case.zone()?.unwrap_or(Tz::UTC);
    let gib = overage(whole, zone, &samples, &nothing).map_err(|e| e.to_string())?.gib;
    let one = Share::from(10_i128.pow(PLACES));
    let units = gib * Share::from(1 << 30) / one;
    let (currency, tariff) = (case.currency()?, Tariff::Flat(case.price("unit")?));
    let amount = tariff.amount_minor(units, currency).map_err(|e| e.to_string())?;
    let mut comparison = Comparison::of(case);
    comparison.share("units", units);
    for name in ["amount", "total"] {
        comparison.amount(name, currency, amount);
    }
    comparison.share("closing", Share::from(i128::from(stored)) / one);
    Ok(comparison.outcome())
}
