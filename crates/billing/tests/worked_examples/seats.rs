//! Seats that are added and removed: what is paid is paid, and what is added goes by the day.

use billing::rating::{LineKind, RemovalPolicy};
use chrono::NaiveDate;
use serde_json::Value;

use crate::account::{Account, changed, computed, quantity_on};
use crate::anchor::{self, Unsaid};
use crate::case::{Case, Outcome};
use crate::comparison::{Comparison, sum};
use crate::decimal;
use crate::kind::Kind;

pub(crate) const KINDS: &[Kind] = &[Kind {
    needs: &[&[&["events", "start"]], &[&["quantity"], &["units"]]],
    takes: &["anchor_day", "interval", "unit"],
    read,
}];

/// How rules begin that say what removal under `at_cycle_end` does.
const AT_CYCLE_END: [&str; 3] = ["added units", "high-water mark", "removal at"];

fn needs_removal_at_the_end(case: &Case) -> Result<(), String> {
    let is_ours = |rule: &&str| AT_CYCLE_END.iter().any(|known| rule.starts_with(known));
    match case.asks("seat_rule").filter(|rule| !is_ours(rule)) {
        Some(rule) => Err(format!("needs the seat rule {rule}")),
        None => Ok(()),
    }
}

/// What there is at first, and by how much it changes on which days.
fn changes(case: &Case, start: NaiveDate) -> Result<Vec<(NaiveDate, i64)>, String> {
    let mut level = case.number(if case.has("quantity") { "quantity" } else { "units" })?;
    let mut changes = vec![(start, level)];
    let dates = case.dates();
    for event in case.events(&["at", "delta", "quantity", "units"])? {
        let day = dates.day(&event["at"]).ok_or("an event has no date")?;
        let now = ["quantity", "units"].iter().find_map(|key| decimal::whole(&event[key]));
        let delta = decimal::whole(&event["delta"]).or_else(|| Some(now? - level));
        let delta = delta.ok_or("an event changes nothing")?;
        changes.push((day, delta));
        level += delta;
    }
    // Of changes on one day, a removal takes effect after what was added.
    changes.sort_by_key(|&(at, delta)| (at, delta < 0));
    Ok(changes)
}

/// Whether more is added than is paid for.
fn adds_to_what_is_paid(changes: &[(NaiveDate, i64)]) -> bool {
    let (mut level, mut paid) = (0, changes.first().map_or(0, |(_, quantity)| *quantity));
    changes.iter().any(|(_, delta)| {
        level += delta;
        let adds = level > paid;
        paid = paid.max(level);
        adds
    })
}

fn read(case: &Case) -> Result<Outcome, String> {
    case.needs_days()?;
    needs_removal_at_the_end(case)?;
    let (start, interval, currency) = (case.date("start")?, case.interval()?, case.currency()?);
    let changes = changes(case, start)?;
    let mut comparison = Comparison::of(case);
    let account = Account::new(anchor::of(case, start, interval, Unsaid::Start)?, interval, start)?;
    let mut account = account.removing(RemovalPolicy::AtCycleEnd);
    if comparison.expects("invoices") {
        if case.convention("proration") == Some("none") && adds_to_what_is_paid(&changes) {
            return Err("needs added seats that are not prorated".into());
        }
        account = account.priced(case.price("unit")?, currency);
        let (mut billed, mut invoices) = (account.clone(), Vec::new());
        for (index, (day, _)) in changes.iter().enumerate() {
            let known = changes.get(..=index).unwrap_or_default();
            invoices.push(sum(&computed(&billed.bill_on(*day, &changed(known))?)));
        }
        comparison.amounts("invoices", currency, &invoices);
    }
    let mut active = Vec::new();
    let expected = comparison.peek("active").and_then(|(active, _)| active.as_object());
    for (day, quantity) in expected.into_iter().flatten() {
        active.push((day.parse::<NaiveDate>().map_err(|_| "an active day is not a date")?, quantity));
    }
    let log = changed(&changes);
    let last = active.iter().map(|(day, _)| *day).chain(changes.iter().map(|(day, _)| *day)).max();
    let mut lines = account.bill_until(last.unwrap_or(start), &log)?;
    lines.extend(account.bill_next(&log)?);
    let charged = |day| account.cycles.iter().map(|state| quantity_on(state, day)).sum::<i64>();
    let computed: Vec<(NaiveDate, i64)> = active.iter().map(|(day, _)| (*day, charged(*day))).collect();
    comparison.check("active", &computed, |_, _| {
        let expected = active.iter().map(|(_, quantity)| decimal::whole(quantity));
        let expected: Option<Vec<i64>> = expected.collect();
        Some(!computed.is_empty() && computed.iter().map(|(_, charged)| *charged).eq(expected?))
    });
    let is_credited = lines.iter().any(|line| line.kind == LineKind::Credit);
    comparison.equal("invoice_for_removal", is_credited, Value::as_bool);
    Ok(comparison.outcome())
}
