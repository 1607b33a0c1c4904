//! An account as the product keeps it: terms, an event log, and a document at each boundary.

use billing::rating::{
    CycleState, Interval, Line, Log, PaymentSchedule, RemovalPolicy, Segment, Share, Span, SuspensionPolicy,
    Tariff, Terms, Timeline, UnitPrice, document,
};
use billing::rating::{Step, steps_of_changes};
use chrono::{DateTime, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use kernel::Currency;

use crate::case::ComputedLine;

pub(crate) struct Account {
    pub(crate) currency: Currency,
    segments: Vec<Segment>,
    pub(crate) cycles: Vec<CycleState>,
    last: Option<NaiveDate>,
}

impl Account {
    /// At a price of 1, of which a removed unit gets the rest back.
    pub(crate) fn new(anchor: NaiveDate, interval: Interval, starts_on: NaiveDate) -> Result<Self, String> {
        let tariff = Tariff::Flat("1".parse().map_err(|e| format!("{e}"))?);
        let currency = "EUR".parse().map_err(|e| format!("{e}"))?;
        let (removal, suspension) = (RemovalPolicy::CreditToBalance, SuspensionPolicy::Pause);
        let payment = PaymentSchedule::AtOnce;
        let terms = Terms { tariff, interval, payment, anchor, term: interval, removal, suspension };
        let segments = vec![Segment { from: starts_on, terms: Some(terms) }];
        Ok(Self { currency, segments, cycles: Vec::new(), last: None })
    }

    pub(crate) fn priced(mut self, unit_price: UnitPrice, currency: Currency) -> Self {
        self.currency = currency;
        for terms in self.segments.iter_mut().filter_map(|segment| segment.terms.as_mut()) {
            terms.tariff = Tariff::Flat(unit_price);
        }
        self
    }

    /// With a removal policy of its own.
    pub(crate) fn removing(mut self, removal: RemovalPolicy) -> Self {
        for terms in self.segments.iter_mut().filter_map(|segment| segment.terms.as_mut()) {
            terms.removal = removal;
        }
        self
    }

    /// With a trial before its terms, which are counted from its end or from an anchor that is given.
    pub(crate) fn after_trial(
        mut self,
        starts_on: NaiveDate,
        days: u32,
        anchor: Option<NaiveDate>,
    ) -> Result<Self, String> {
        let segments = Segment::after_trial(starts_on, days, anchor, self.terms()?);
        self.segments = segments.map_err(|e| e.to_string())?.into();
        Ok(self)
    }

    /// Other terms, or nothing, from a day on.
    pub(crate) fn then(mut self, from: NaiveDate, terms: Option<Terms>) -> Self {
        self.segments.push(Segment { from, terms });
        self
    }

    /// As it starts.
    pub(crate) fn terms(&self) -> Result<Terms, String> {
        self.segments.iter().find_map(|segment| segment.terms.clone()).ok_or_else(|| "no terms".into())
    }

    /// That has billed a cycle before, as far as `state` says.
    pub(crate) fn resumed(mut self, state: CycleState) -> Self {
        self.last = state.cycle.charged.end().pred_opt();
        self.cycles.push(state);
        self
    }

    fn timeline(&self) -> Timeline {
        Timeline::new(self.currency, self.segments.clone())
    }

    fn next(&self) -> Result<Option<NaiveDate>, String> {
        let timeline = self.timeline();
        let next = self.last.map_or_else(|| timeline.first_boundary(), |last| timeline.next_boundary(last));
        next.map_err(|e| e.to_string())
    }

    /// The document of the next boundary.
    pub(crate) fn bill_next(&mut self, log: &Log) -> Result<Vec<Line>, String> {
        let boundary = self.next()?.ok_or("nothing is left to bill")?;
        self.bill_on(boundary, log)
    }

    /// The document of a day, a boundary or not.
    pub(crate) fn bill_on(&mut self, day: NaiveDate, log: &Log) -> Result<Vec<Line>, String> {
        let lines =
            document(&self.timeline(), day, Tz::UTC, &mut self.cycles, log).map_err(|e| e.to_string())?;
        self.last = Some(day);
        Ok(lines)
    }

    /// The documents of all boundaries up to a day.
    pub(crate) fn bill_until(&mut self, last: NaiveDate, log: &Log) -> Result<Vec<Line>, String> {
        let mut lines = Vec::new();
        while self.next()?.is_some_and(|next| next <= last) {
            lines.extend(self.bill_next(log)?);
        }
        Ok(lines)
    }

    fn starts_on(&self) -> NaiveDate {
        self.segments.iter().map(|segment| segment.from).min().unwrap_or_default()
    }

    /// The first so many cycles of one unit.
    pub(crate) fn first_cycles(&mut self, count: usize) -> Result<Vec<Span>, String> {
        let log = units(1, self.starts_on(), None);
        while self.cycles.len() < count {
            self.bill_next(&log)?;
        }
        Ok(self.cycles.iter().take(count).map(|state| state.cycle.charged).collect())
    }

    /// Bills one unit from the start until `end`, and keeps those cycles that it is charged for and that are billed
    /// in advance by a day.
    pub(crate) fn bill_one_unit(&mut self, end: Option<NaiveDate>, by: NaiveDate) -> Result<(), String> {
        let next = |end| self.timeline().next_boundary(end).map_err(|e| e.to_string());
        let settled = end.map_or(Ok(None), next)?.unwrap_or(by);
        self.bill_until(settled.max(by), &units(1, self.starts_on(), end))?;
        self.cycles.retain(|state| state.cycle.charged.start() <= by && charged_days(state).is_some());
        Ok(())
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// So many units, held since long before the account starts, until a day, which is not included.
pub(crate) fn units(quantity: i64, starts_on: NaiveDate, until: Option<NaiveDate>) -> Log {
    if until.is_some_and(|until| until <= starts_on) {
        return Log::default();
    }
    // A unit counts on the day on which it is removed.
    let removed = until.map(|until| (midnight(until) - TimeDelta::hours(12), -quantity));
    let seats = steps_of_changes(
        [(midnight(starts_on) - TimeDelta::days(1000), quantity)].into_iter().chain(removed),
    );
    Log { seats, committed: Vec::new() }
}

/// What changes by the day make, in the order given.
pub(crate) fn changed(changes: &[(NaiveDate, i64)]) -> Log {
    let mut level = 0;
    let steps = changes.iter().zip(0_i64..).map(|((day, delta), index)| {
        level += delta;
        Step { at: midnight(*day) + TimeDelta::microseconds(index), level }
    });
    Log { seats: steps.collect(), committed: Vec::new() }
}

/// A date on a day of the month: in the start's month, or whole intervals before where that is too short.
pub(crate) fn anchor(start: NaiveDate, day: u32, interval: Interval) -> Result<NaiveDate, String> {
    use chrono::Datelike as _;
    let Interval::Months(months) = interval else {
        return Err("an anchor day needs an interval of months".into());
    };
    let mut months_before = (0_u32..12).filter_map(|n| n.checked_mul(months)).map(Months::new);
    months_before
        .find_map(|before| start.with_day(1)?.checked_sub_months(before)?.with_day(day))
        .ok_or_else(|| format!("no cycle begins on day {day}"))
}

/// The units that a cycle was charged for on a day.
pub(crate) fn quantity_on(state: &CycleState, day: NaiveDate) -> i64 {
    state.billed.iter().filter(|line| line.period.contains(day)).map(|line| line.quantity).sum()
}

/// From the first to the last day of a cycle that something was charged for.
pub(crate) fn charged_days(state: &CycleState) -> Option<Span> {
    let mut days = state.cycle.charged.each_day().filter(|day| quantity_on(state, *day) > 0);
    let first = days.next()?;
    Span::new(first, days.last().unwrap_or(first).succ_opt()?)
}

/// What was charged of a cycle, as a share of the whole.
pub(crate) fn share(state: &CycleState) -> Share {
    let unit_days: i64 = state.billed.iter().map(|line| line.quantity * line.period.days()).sum();
    Share::new(unit_days.into(), state.cycle.whole.days().into())
}

pub(crate) fn sum(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.charge.amount_minor).sum()
}

pub(crate) fn computed(lines: &[Line]) -> Vec<ComputedLine> {
    let computed = |line: &Line| ComputedLine {
        period: Some(line.charge.period),
        amount_minor: line.charge.amount_minor,
    };
    lines.iter().map(computed).collect()
}
