//! Terms that change: pauses, other intervals and other anchors.

use billing::rating::{Interval, Tariff, Terms};

use crate::account::{Account, computed, share, units};
use crate::anchor;
use crate::case::{Case, Outcome};
use crate::comparison::Comparison;
use crate::kind::Kind;
use crate::stubs::interval_of;

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        needs: &[&[&["anchor_day", "billed", "pause", "price", "resume"]]],
        takes: &["interval"],
        read: resumed,
    },
    Kind {
        needs: &[&[&["billed", "change", "new", "old"]]],
        takes: &["anchor_day", "interval"],
        read: replaced,
    },
    Kind {
        needs: &[&[&["anchor", "monthly", "upgrade", "yearly"]]],
        takes: &["interval"],
        read: upgraded_to_a_year,
    },
];

/// An account that has billed the cycle that a case names, one unit of it.
fn billed(case: &Case, price: &str) -> Result<(Account, Terms), String> {
    case.needs_days()?;
    case.needs_whole_cycle(None)?;
    let billed = case.span("billed")?;
    let account = Account::new(billed.start(), interval_of(billed)?, billed.start())?;
    let mut account = account.priced(case.price(price)?, case.currency()?);
    account.bill_next(&units(1, billed.start(), None))?;
    let terms = account.terms()?;
    Ok((account, terms))
}

/// Pausing credits what is unused; what follows is counted from the anchor day, as after a trial.
fn resumed(case: &Case) -> Result<Outcome, String> {
    let (account, terms) = billed(case, "price")?;
    let (pause, resume, currency) = (case.date("pause")?, case.date("resume")?, case.currency()?);
    let anchor = anchor::on_day(resume, &case.anchor_day()?, terms.interval)?;
    let log = units(1, terms.anchor, None);
    let mut account = account.then(pause, None).then(resume, Some(Terms { anchor, ..terms }));
    let mut comparison = Comparison::of(case);
    // The credit and what is charged on resuming; after that it goes on for ever.
    let lines = computed(&account.bill_lines(comparison.count_of("lines").max(2), &log)?);
    comparison.bill(currency, &lines);
    Ok(comparison.outcome())
}

/// Another price from a day on, in the same cycles or in those of another anchor day.
fn replaced(case: &Case) -> Result<Outcome, String> {
    let (account, terms) = billed(case, "old")?;
    let (change, currency) = (case.date("change")?, case.currency()?);
    let anchor = match case.has("anchor_day") {
        true => anchor::on_day(change, &case.anchor_day()?, terms.interval)?,
        false => terms.anchor,
    };
    let log = units(1, terms.anchor, None);
    let tariff = Tariff::Flat(case.price("new")?);
    let mut account = account.then(change, Some(Terms { anchor, tariff, ..terms }));
    let mut lines = account.bill_until(change, &log)?;
    // A price alone waits for the next boundary, unless it is billed at once.
    lines.extend(account.bill_on(change, &log)?);
    let mut comparison = Comparison::of(case);
    comparison.bill(currency, &computed(&lines));
    Ok(comparison.outcome())
}

/// A year that is counted from the same anchor as the months before it.
fn upgraded_to_a_year(case: &Case) -> Result<Outcome, String> {
    case.needs_days()?;
    case.needs_whole_cycle(None)?;
    match case.asks("upgrade_day") {
        None => {}
        Some(whose) if whose.contains("new plan") => {}
        Some(whose) => return Err(format!("needs an upgrade day that is {whose}")),
    }
    let (start, upgrade, currency) = (case.date("anchor")?, case.date("upgrade")?, case.currency()?);
    let account = Account::new(start, Interval::MONTH, start)?;
    let mut account = account.priced(case.price("monthly")?, currency);
    let log = units(1, start, None);
    account.bill_until(upgrade.pred_opt().ok_or("upgrade is out of range")?, &log)?;
    let tariff = Tariff::Flat(case.price("yearly")?);
    let yearly = Terms { tariff, interval: Interval::YEAR, ..account.terms()? };
    let mut account = account.then(upgrade, Some(yearly));
    let lines = computed(&account.bill_until(upgrade, &log)?);
    let mut comparison = Comparison::of(case);
    comparison.bill(currency, &lines);
    comparison.share("charge_days", account.cycles.last().map(share).ok_or("no cycle")?);
    Ok(comparison.outcome())
}
