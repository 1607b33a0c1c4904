//! A cycle, and the part of it that remains when something changes.

use billing::rating::{Interval, Line, LineKind, Share, Span, UnitPrice};
use chrono::{Days, NaiveDate};
use kernel::Currency;

use crate::account::{Account, requantified, units};
use crate::case::Case;
use crate::comparison::ComputedLine;
use crate::kind::Group;

/// How a case tells it.
pub(crate) const PART: Group = &[
    &["fraction_remaining"],
    &["days", "remaining"],
    &["period", "change"],
    &["period_start", "period_end", "change"],
];

pub(crate) struct Part {
    whole: Span,
    /// `None` if nothing remains.
    rest: Option<Span>,
    /// Whether these are days of the calendar, and not only so many.
    is_dated: bool,
}

impl Part {
    /// What the case tells, in all the ways in which it does.
    pub(crate) fn of(case: &Case) -> Result<Self, String> {
        case.needs_days()?;
        let mut told = Vec::new();
        if case.has("change") && (case.has("period") || case.has("period_start")) {
            let whole = if case.has("period") {
                case.span("period")?
            } else {
                let (start, end) = (case.date("period_start")?, case.end("period_end")?);
                Span::new(start, end).ok_or("the period is empty")?
            };
            told.push(Self::from(whole, case.date("change")?)?);
        }
        if case.has("days") && case.has("remaining") {
            told.push(Self::of_days(case.number("days")?, case.number("remaining")?)?);
        }
        if case.has("fraction_remaining") {
            // In lowest terms: a day stands for each of them.
            let share = case.share("fraction_remaining")?;
            let signed = |n: i128| i64::try_from(n).map_err(|e| e.to_string());
            told.push(Self::of_days(signed(*share.denom())?, signed(*share.numer())?)?);
        }
        let mut told = told.into_iter();
        let part = told.next().ok_or("the case does not tell what remains")?;
        if told.any(|other| other.share() != part.share()) {
            return Err("the case tells in two ways what remains".into());
        }
        // A fraction does not say of how many days it is.
        let days = (!case.has("fraction_remaining")).then(|| part.whole.days());
        case.needs_whole_cycle(days)?;
        Ok(part)
    }

    /// From a day on, which may be the one after the last.
    pub(crate) fn from(whole: Span, change: NaiveDate) -> Result<Self, String> {
        if change < whole.start() || whole.end() < change {
            return Err("the change is not inside the period".into());
        }
        Ok(Self { whole, rest: Span::new(change, whole.end()), is_dated: true })
    }

    fn of_days(days: i64, remaining: i64) -> Result<Self, String> {
        let first = NaiveDate::default();
        let day = |n: i64| first.checked_add_days(Days::new(u64::try_from(n).ok()?));
        let whole = day(days).and_then(|end| Span::new(first, end)).ok_or("a cycle of no days")?;
        let used = days.checked_sub(remaining).filter(|_| remaining >= 0).and_then(day);
        let change = used.ok_or("the days that remain are not part of the cycle")?;
        Ok(Self { is_dated: false, ..Self::from(whole, change)? })
    }

    fn share(&self) -> Share {
        let rest = self.rest.map_or(0, Span::days);
        Share::new(rest.into(), self.whole.days().into())
    }

    /// One cycle after the other of so many days as this one.
    fn account(&self, price: UnitPrice, currency: Currency, starts_on: NaiveDate) -> Result<Account, String> {
        let days = u32::try_from(self.whole.days()).map_err(|e| e.to_string())?;
        Ok(Account::new(self.whole.start(), Interval::Days(days), starts_on)?.priced(price, currency))
    }

    fn line(&self, lines: &[Line], quantity: i64, is_credit: bool) -> ComputedLine {
        ComputedLine {
            period: self.rest.filter(|_| self.is_dated),
            quantity: Some(quantity),
            is_credit,
            amount_minor: lines.iter().map(|line| line.charge.amount_minor).sum(),
        }
    }

    /// What is charged for the whole cycle, at its start.
    pub(crate) fn whole(
        &self,
        price: UnitPrice,
        quantity: i64,
        currency: Currency,
    ) -> Result<ComputedLine, String> {
        let start = self.whole.start();
        let lines = self.account(price, currency, start)?.bill_next(&units(quantity, start, None))?;
        let period = Some(self.whole).filter(|_| self.is_dated);
        Ok(ComputedLine { period, ..self.line(&lines, quantity, false) })
    }

    /// What is credited for the rest of a cycle that was billed; 0 or less.
    pub(crate) fn credit(
        &self,
        price: UnitPrice,
        quantity: i64,
        currency: Currency,
    ) -> Result<ComputedLine, String> {
        self.discounted_credit(price, UnitPrice::ZERO, quantity, currency)
    }

    /// As [`Part::credit`], with an amount off the whole cycle.
    pub(crate) fn discounted_credit(
        &self,
        price: UnitPrice,
        off: UnitPrice,
        quantity: i64,
        currency: Currency,
    ) -> Result<ComputedLine, String> {
        let start = self.whole.start();
        let mut account = self.account(price, currency, start)?.discounted(off);
        account.bill_next(&units(quantity, start, None))?;
        let lines = match self.rest {
            Some(rest) => account.bill_on(rest.start(), &units(quantity, start, Some(rest.start())))?,
            None => Vec::new(),
        };
        Ok(self.line(&lines, quantity, true))
    }

    /// What is charged for the rest of a cycle.
    pub(crate) fn charge(
        &self,
        price: UnitPrice,
        quantity: i64,
        currency: Currency,
    ) -> Result<ComputedLine, String> {
        let lines = match self.rest {
            Some(rest) => {
                let log = units(quantity, rest.start(), None);
                self.account(price, currency, rest.start())?.bill_next(&log)?
            }
            None => Vec::new(),
        };
        Ok(self.line(&lines, quantity, false))
    }

    /// What is billed for the rest of a cycle in which a quantity becomes another: the difference.
    pub(crate) fn difference(
        &self,
        price: UnitPrice,
        (old, new): (i64, i64),
        currency: Currency,
    ) -> Result<ComputedLine, String> {
        let mut account = self.account(price, currency, self.whole.start())?;
        account.bill_next(&units(old, self.whole.start(), None))?;
        let lines = match self.rest {
            Some(rest) => {
                let log = requantified(old, self.whole.start(), new, rest.start());
                account.bill_on(rest.start(), &log)?
            }
            None => Vec::new(),
        };
        let is_credit = lines.iter().any(|line| line.kind == LineKind::Credit);
        Ok(self.line(&lines, (new - old).abs(), is_credit))
    }
}
