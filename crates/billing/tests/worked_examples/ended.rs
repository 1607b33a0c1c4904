//! What ends within a cycle: credited if the cycle was billed in advance, charged for its days if in arrears.

use billing::rating::{LineKind, RemovalPolicy};
use chrono::NaiveDate;
use kernel::Currency;

use crate::account::{Account, charged_days, computed, share, units};
use crate::anchor::{self, Unsaid};
use crate::case::{Case, Outcome};
use crate::comparison::{Comparison, ComputedLine, sum};
use crate::kind::Kind;
use crate::tax;

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        needs: &[&[&["cancel", "price", "start"]]],
        takes: &["anchor", "anchor_day", "billing", "billing_time", "interval", "quantity"],
        read: cancelled,
    },
    Kind {
        needs: &[&[&["price", "start", "terminate"]]],
        takes: &["anchor", "anchor_day", "billing_time", "interval", "quantity", "tax"],
        read: terminated,
    },
];

struct Ended {
    account: Account,
    currency: Currency,
    start: NaiveDate,
    /// The first day that is not used.
    end: NaiveDate,
    quantity: i64,
}

impl Ended {
    fn of(case: &Case, key: &str, unsaid: Unsaid) -> Result<Self, String> {
        case.needs_days()?;
        let (currency, start, end) = (case.currency()?, case.date("start")?, case.end(key)?);
        let interval = case.interval()?;
        let account = Account::new(anchor::of(case, start, interval, unsaid)?, interval, start)?;
        let account = account.priced(case.price("price")?, currency);
        Ok(Self { account, currency, start, end, quantity: case.number_or("quantity", 1)? })
    }

    fn last_day(&self) -> Result<NaiveDate, String> {
        self.end.pred_opt().ok_or_else(|| "the end is out of range".into())
    }

    /// The documents of all boundaries on which the end is not known, and what that of the end credits.
    fn in_advance(&mut self) -> Result<(Vec<ComputedLine>, Vec<ComputedLine>), String> {
        let forever = units(self.quantity, self.start, None);
        let billed = self.account.bill_until(self.last_day()?.max(self.start), &forever)?;
        let log = units(self.quantity, self.start, Some(self.end));
        let mut credits = self.account.bill_on(self.end, &log)?;
        credits.retain(|line| line.kind == LineKind::Credit);
        Ok((computed(&billed), computed(&credits)))
    }
}

/// An immediate cancellation credits the days from that day on, one at the end of the cycle nothing.
fn cancelled(case: &Case) -> Result<Outcome, String> {
    let mut ended = Ended::of(case, "cancel", Unsaid::Start)?;
    let billing = if case.has("billing") { case.text("billing")?.to_lowercase() } else { "immediate".into() };
    match billing.replace([' ', '-'], "_").as_str() {
        "immediate" | "immediately" => {}
        "at_cycle_end" | "at_period_end" | "end_of_cycle" | "end_of_period" | "end_of_term" => {
            ended.account = ended.account.removing(RemovalPolicy::AtCycleEnd);
        }
        other => return Err(format!("needs cancellation {other}")),
    }
    let (billed, credits) = ended.in_advance()?;
    let mut comparison = Comparison::of(case);
    // Some list what was billed before.
    let mut lines = credits.clone();
    if comparison.count_of("lines") > credits.len() {
        lines.splice(0..0, billed);
    }
    comparison.lines(ended.currency, &lines);
    comparison.total(ended.currency, &lines);
    comparison.sides(ended.currency, &credits);
    if let Some(first) = ended.account.cycles.first() {
        case.needs_whole_cycle(Some(first.cycle.whole.days()))?;
    }
    Ok(comparison.outcome())
}

/// The credit note of a cycle that was billed in advance, or the last invoice in arrears. Cycles are the calendar's
/// unless the case says otherwise.
fn terminated(case: &Case) -> Result<Outcome, String> {
    let mut ended = Ended::of(case, "terminate", Unsaid::Calendar)?;
    let mut comparison = Comparison::of(case);
    if comparison.expects("credit_note") {
        let (_, credits) = ended.in_advance()?;
        let credit_minor = sum(&credits);
        let last_day = ended.last_day()?;
        let last = ended.account.cycles.iter().find(|state| state.cycle.charged.contains(last_day));
        let lines = last.ok_or("no cycle")?.billed.iter().map(|line| line.amount_minor);
        let invoiced_minor = lines.sum::<i64>() - credit_minor;
        tax::compare_credited(case, &mut comparison, invoiced_minor, credit_minor)?;
        return Ok(comparison.outcome());
    }
    // Everything is known when it is billed.
    let log = units(ended.quantity, ended.start, Some(ended.end));
    ended.account.bill_on(ended.last_day()?, &log)?;
    let charged = ended.account.cycles.iter().filter(|state| charged_days(state).is_some());
    let last = charged.max_by_key(|state| state.cycle.charged.start()).ok_or("no cycle")?;
    case.needs_whole_cycle(Some(last.cycle.whole.days()))?;
    comparison.share("days", share(last));
    let net_minor = last.billed.iter().map(|line| line.amount_minor).sum();
    tax::compare_invoiced(case, &mut comparison, net_minor)?;
    Ok(comparison.outcome())
}
