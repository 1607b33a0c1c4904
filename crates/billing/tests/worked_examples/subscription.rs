//! What starts on a day and is billed in advance: after a trial or at once, from a stub or a whole cycle on, for ever
//! or to an end.

use billing::rating::{CycleState, Line, Log, Share, Span, UnitPrice};
use chrono::{Datelike as _, Days, NaiveDate};
use kernel::Currency;

use crate::account::{Account, charged_days, computed, share, units};
use crate::anchor::{self, Unsaid};
use crate::case::{Case, Outcome};
use crate::comparison::{Comparison, ComputedLine};
use crate::decimal;
use crate::kind::Kind;

pub(crate) const KINDS: &[Kind] = &[Kind {
    needs: &[&[&["start"], &["created"], &["subscription_created"]], &[&["interval"], &["trial_days"]]],
    // The zone of an account is stored by its name: when it was created says nothing.
    takes: &[
        "account_created",
        "anchor",
        "anchor_day",
        "bill_up_to",
        "billing_time",
        "end",
        "first_full",
        "price",
        "quantity",
    ],
    read,
}];

struct Subscription {
    /// Of which nothing was billed.
    account: Account,
    created: NaiveDate,
    begins: NaiveDate,
    anchor: NaiveDate,
    end: Option<NaiveDate>,
    /// Until when it is billed; `None` where as much is as the case expects.
    bill_up_to: Option<NaiveDate>,
    quantity: i64,
    currency: Currency,
}

impl Subscription {
    fn of(case: &Case) -> Result<Self, String> {
        case.needs_days()?;
        let start = ["start", "created", "subscription_created"].into_iter().find(|key| case.has(key));
        let start = start.ok_or("the case names no start")?;
        let (created, interval, currency) = (case.date(start)?, case.interval()?, case.currency()?);
        let trial_days = u32::try_from(case.number_or("trial_days", 0)?).map_err(|e| e.to_string())?;
        let begins =
            created.checked_add_days(Days::new(trial_days.into())).ok_or("trial_days is out of range")?;
        // Who tells when something was created means its own days; a trial from a start precedes the calendar's cycles.
        let unsaid =
            if start == "start" && case.has("trial_days") { Unsaid::Calendar } else { Unsaid::Start };
        let anchor = anchor::of(case, begins, interval, unsaid)?;
        let mut account = Account::new(created, interval, created)?;
        if case.has("price") {
            account = account.priced(case.price("price")?, currency);
        }
        let end = if case.has("end") { Some(case.end("end")?) } else { None };
        let bill_up_to = if case.has("bill_up_to") { Some(case.date("bill_up_to")?) } else { end };
        let account = account.after_trial(created, trial_days, Some(anchor))?;
        let quantity = case.number_or("quantity", 1)?;
        Ok(Self { account, created, begins, anchor, end, bill_up_to, quantity, currency })
    }

    fn log(&self) -> Log {
        units(self.quantity, self.created, self.end)
    }

    /// The cycles of one unit that has been billed by a day, and the days of each that it was charged for.
    fn cycles(&self, by: NaiveDate) -> Result<Vec<(CycleState, Span)>, String> {
        let mut account = self.account.clone();
        account.bill_one_unit(self.end, by)?;
        let charged =
            account.cycles.into_iter().filter_map(|state| charged_days(&state).map(|days| (state, days)));
        Ok(charged.collect())
    }

    fn compare_periods(
        &self,
        comparison: &mut Comparison,
        cycles: &[(CycleState, Span)],
    ) -> Result<(), String> {
        let periods = match self.bill_up_to {
            Some(_) => cycles.iter().map(|(_, days)| *days).collect(),
            // They go on for ever; so many as are expected, which is some.
            None => self.account.clone().first_cycles(comparison.count_of("periods").max(1))?,
        };
        comparison.spans("periods", &periods);
        if let Some(first) = periods.first() {
            comparison.span("period", *first);
        }
        comparison.equal("anchor_day", i64::from(self.anchor.day()), decimal::whole);
        Ok(())
    }

    /// How many whole cycles have begun by a day that the case expects something of.
    fn compare_count(&self, comparison: &mut Comparison) -> Result<(), String> {
        let dates = comparison.dates();
        let by = comparison.peek("whole_periods_by").and_then(|(by, _)| dates.day(by));
        if let Some(by) = by.filter(|_| comparison.expects("count")) {
            let cycles = self.cycles(by)?;
            let whole = cycles.iter().filter(|(state, _)| share(state) == Share::from(1)).count();
            comparison.check("whole_periods_by", by, |_, _| Some(true));
            comparison.equal("count", whole, |value| usize::try_from(decimal::whole(value)?).ok());
        }
        Ok(())
    }

    fn compare_lines(
        &self,
        case: &Case,
        comparison: &mut Comparison,
        cycles: &[(CycleState, Span)],
    ) -> Result<(), String> {
        if !comparison.expects_a_bill() && !comparison.expects("next") {
            return Ok(());
        }
        let mut account = self.account.clone();
        if !case.has("price") {
            account = account.priced(self.price_told(comparison, cycles)?, self.currency);
        }
        let log = self.log();
        let lines: Vec<Line> = match self.bill_up_to {
            Some(by) => account.bill_until(by, &log)?,
            None => account.bill_lines(comparison.count_of("lines").max(1), &log)?,
        };
        comparison.bill(self.currency, &computed(&lines));
        if comparison.expects("next") {
            let next = account.bill_lines(1, &log)?;
            let next = next.first().map(ComputedLine::of).ok_or("nothing is left to bill")?;
            comparison.line("next", self.currency, next);
        }
        Ok(())
    }

    /// Where a case names no price, it is what it expects of a whole cycle.
    fn price_told(
        &self,
        comparison: &Comparison,
        cycles: &[(CycleState, Span)],
    ) -> Result<UnitPrice, String> {
        let is_whole = cycles.first().is_some_and(|(first, _)| share(first) == Share::from(1));
        let amount = comparison.first_amount(self.currency).and_then(|minor| u64::try_from(minor).ok());
        let price = amount.filter(|_| is_whole).and_then(|minor| UnitPrice::of_minor(minor, self.currency));
        price.ok_or_else(|| "the case names no price".to_owned())
    }
}

/// With whole cycles that follow each other as one number.
fn grouped(shares: &[Share]) -> Vec<Share> {
    let mut grouped: Vec<Share> = Vec::new();
    for share in shares {
        match grouped.last_mut() {
            Some(before) if before.is_integer() && share.is_integer() => *before += share,
            _ => grouped.push(*share),
        }
    }
    grouped
}

fn compare_shares(
    case: &Case,
    comparison: &mut Comparison,
    cycles: &[(CycleState, Span)],
) -> Result<(), String> {
    if let Some((first, days)) = cycles.first() {
        case.needs_whole_cycle(Some(first.cycle.whole.days()))?;
        let exact = share(first);
        for name in ["factor", "factor_decimal"] {
            comparison.share(name, exact);
        }
        // A share of the cycle, or how many.
        comparison.check("days", exact, |value, _| match decimal::whole(value) {
            Some(count) if count > 1 => Some(count == days.days()),
            _ => decimal::is_number(value, exact),
        });
    }
    let shares: Vec<Share> = cycles.iter().map(|(state, _)| share(state)).collect();
    comparison.check("cycles", &shares, |value, _| {
        let expected: Option<Vec<Share>> = value.as_array()?.iter().map(decimal::fraction).collect();
        Some(grouped(&expected?) == grouped(&shares))
    });
    comparison.share("cycles_total", shares.iter().sum());
    Ok(())
}

fn read(case: &Case) -> Result<Outcome, String> {
    let subscription = Subscription::of(case)?;
    let cycles = subscription.cycles(subscription.bill_up_to.unwrap_or(subscription.begins))?;
    if case.has("first_full") {
        let (first, days) = cycles.first().ok_or("no cycle")?;
        let begins = if share(first) == Share::from(1) { days.start() } else { days.end() };
        if begins != case.date("first_full")? {
            return Ok(Outcome::Differs(format!("the first full cycle begins on {begins}")));
        }
    }
    let mut comparison = Comparison::of(case);
    subscription.compare_periods(&mut comparison, &cycles)?;
    subscription.compare_count(&mut comparison)?;
    subscription.compare_lines(case, &mut comparison, &cycles)?;
    compare_shares(case, &mut comparison, &cycles)?;
    Ok(comparison.outcome())
}
