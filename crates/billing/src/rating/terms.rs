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
    /// What a quantity costs for one whole cycle.
    pub tariff: Tariff,
    /// How long a cycle is.
    pub interval: Interval,
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
    pub(super) fn cycles(&self) -> Result<Schedule, RatingError> {
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
            Interval::Days(_) => self.cycles(),
        }
    }

    /// Whether the cycles of both are the same.
    pub(super) fn makes_cycles_of(&self, other: &Self) -> bool {
        (self.anchor, self.interval) == (other.anchor, other.interval)
    }
}
