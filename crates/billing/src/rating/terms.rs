//! What an item is charged by.

use chrono::NaiveDate;
use kernel::named;

use super::RatingError;
use super::calendar::{Interval, Schedule};
use super::removal::RemovalPolicy;
use super::tariff::Tariff;

/// What a subscription item is charged by, from one day to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What a quantity costs for one whole interval.
    pub tariff: Tariff,
    /// For how long the tariff's prices are: a cycle, where it is paid at once.
    pub interval: Interval,
    /// Whether it is paid at once.
    pub payment: PaymentSchedule,
    /// Where cycles and terms are counted from; before, on or after the first day that is charged.
    pub anchor: NaiveDate,
    /// For how long it is agreed: a multiple of the interval, so that no cycle is in two terms, which [`RemovalPolicy::LockedUntilTermEnd`] looks at.
    /// Days before the anchor belong to the term that ends on it.
    pub term: Interval,
    /// When a removed unit stops being charged.
    pub removal: RemovalPolicy,
    /// Whether it is charged while the account is suspended.
    pub suspension: SuspensionPolicy,
}

named! {
    /// In how many parts the price of an interval is paid.
    #[derive(Default)]
    PaymentSchedule {
        /// All of it, at the interval's start.
        #[default]
        AtOnce = "at_once",
        /// A part each month, whose cycle is that month: of a year, a twelfth of what the month's units cost for a year.
        /// What is agreed for the interval stays so.
        Monthly = "monthly",
    }
}

named! {
    /// Whether something is charged while the account is suspended.
    #[derive(Default)]
    SuspensionPolicy {
        /// As ever.
        #[default]
        Continue = "continue",
        /// No: nothing is charged for the days of the suspension, and cycles go on as if they had been.
        Pause = "pause",
    }
}

impl Terms {
    /// Of what is charged.
    pub(super) fn cycles(&self) -> Result<Schedule, RatingError> {
        match (self.payment, self.interval) {
            (PaymentSchedule::Monthly, Interval::Months(months)) => {
                let parts = u16::try_from(months).map_err(|_| RatingError::DateRange)?;
                Ok(Schedule::anchored_on(self.anchor, Interval::MONTH)?.paying_in(parts))
            }
            (PaymentSchedule::Monthly | PaymentSchedule::AtOnce, _) => self.intervals(),
        }
    }

    /// Of what the tariff's prices are for.
    pub(super) fn intervals(&self) -> Result<Schedule, RatingError> {
        Schedule::anchored_on(self.anchor, self.interval)
    }

    pub(super) fn terms(&self) -> Result<Schedule, RatingError> {
        Schedule::anchored_on(self.anchor, self.term)
    }

    /// Documents are made on each monthly boundary of the anchor, for longer cycles too, so that what is added to an
    /// annual subscription does not wait for a year.
    pub(super) fn documents(&self) -> Result<Schedule, RatingError> {
        match self.interval {
            Interval::Months(_) => Schedule::anchored_on(self.anchor, Interval::MONTH),
            Interval::Days(_) => self.intervals(),
        }
    }

    /// Whether the cycles of both are the same.
    pub(super) fn makes_cycles_of(&self, other: &Self) -> bool {
        (self.anchor, self.interval, self.payment) == (other.anchor, other.interval, other.payment)
    }
}
