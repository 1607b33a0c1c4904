//! An account as the product keeps it: terms, an event log, and a document at each boundary.

use billing::rating::{
    Billed, CycleState, Discount, Interval, Line, Log, Off, PaymentSchedule, RemovalPolicy, Segment, Share,
    Span, Step, SuspensionPolicy, Tariff, Terms, Timeline, UnitPrice, document, steps_of_changes,
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use kernel::Currency;

use crate::comparison::ComputedLine;

#[derive(Clone)]
pub(crate) struct Account {
    currency: Currency,
    segments: Vec<Segment>,
    off: UnitPrice,
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
        Ok(Self { currency, segments, off: UnitPrice::ZERO, cycles: Vec::new(), last: None })
    }

    pub(crate) fn priced(mut self, unit_price: UnitPrice, currency: Currency) -> Self {
        self.currency = currency;
        for terms in self.segments.iter_mut().filter_map(|segment| segment.terms.as_mut()) {
            terms.tariff = Tariff::Flat(unit_price);
        }
        self
    }

    /// With an amount off each cycle.
    pub(crate) fn discounted(self, off: UnitPrice) -> Self {
        Self { off, ..self }
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
        let off = Discount { off: Off::Amount(self.off), from: self.starts_on(), until: None };
        Timeline::new(self.currency, self.segments.clone()).discounted(vec![off])
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

    /// The documents of as many boundaries as have so many lines together, or fewer if nothing more comes.
    pub(crate) fn bill_lines(&mut self, count: usize, log: &Log) -> Result<Vec<Line>, String> {
        let mut lines = Vec::new();
        // Long cycles have a document each month, and a line on the first.
        for _ in 0..(count + 1) * 40 {
            if lines.len() >= count {
                break;
            }
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
    match until {
        Some(until) if until <= starts_on => Log::default(),
        Some(until) => requantified(quantity, starts_on, 0, until),
        None => requantified(quantity, starts_on, quantity, starts_on),
    }
}

/// As [`units`], and another number of them from a day on.
pub(crate) fn requantified(old: i64, starts_on: NaiveDate, new: i64, from: NaiveDate) -> Log {
    // A unit counts on the day on which it is removed.
    let at = if new < old { midnight(from) - TimeDelta::hours(12) } else { midnight(from) };
    let changes = [(midnight(starts_on) - TimeDelta::days(1000), old), (at, new - old)];
    Log { seats: steps_of_changes(changes), committed: Vec::new() }
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

pub(crate) fn computed(lines: &[Line]) -> Vec<ComputedLine> {
    lines.iter().map(ComputedLine::of).collect()
}

/// What was billed of a cycle before, as a line.
pub(crate) fn line_of(billed: &Billed) -> ComputedLine {
    ComputedLine {
        period: Some(billed.period),
        quantity: Some(billed.quantity.abs()),
        is_credit: billed.quantity < 0,
        amount_minor: billed.amount_minor,
    }
}
