//! When a unit that is no longer used stops being charged.

use std::collections::VecDeque;

/// When a unit that is no longer used stops being charged. The end of a subscription removes all units. Days on which
/// an account is suspended and not charged neither hold nor lock anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemovalPolicy {
    /// It stays in force until the interval ends that is paid for, which is the cycle where it is paid at once.
    #[default]
    AtCycleEnd,
    /// It is charged to the end of its last day; the rest of the cycle is credited.
    CreditToBalance,
    /// It stays in force until the term ends, unless it is removed soon after it was added.
    LockedUntilTermEnd {
        /// On how many days, with that on which it was added, a unit may be removed as if there were no lock. Units
        /// that are carried into a term count as added on its first day.
        grace_days: u32,
    },
}

impl RemovalPolicy {
    /// The days of grace of a lock that names none.
    pub const GRACE_DAYS: u32 = 7;

    /// `at_cycle_end`, `credit_to_balance` or `locked_until_term_end`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtCycleEnd => "at_cycle_end",
            Self::CreditToBalance => "credit_to_balance",
            Self::LockedUntilTermEnd { .. } => "locked_until_term_end",
        }
    }

    /// On how many days a lock gives way; `None` if there is no lock.
    pub fn grace_days(self) -> Option<u32> {
        match self {
            Self::LockedUntilTermEnd { grace_days } => Some(grace_days),
            Self::AtCycleEnd | Self::CreditToBalance => None,
        }
    }

    /// The one with that name, a lock with 7 days of grace.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AtCycleEnd, Self::CreditToBalance, Self::LockedUntilTermEnd { grace_days: Self::GRACE_DAYS }]
            .into_iter()
            .find(|policy| policy.as_str() == name)
    }
}

/// What is in force in a term, day after day: what is used, and what is held though it is used no more.
#[derive(Debug, Default)]
pub(super) struct Held {
    in_interval: i64,
    in_term: i64,
    /// What was used on the days before, as many as there are of grace, the oldest first.
    recent: VecDeque<i64>,
}

impl Held {
    /// An interval begins.
    pub(super) fn begin_interval(&mut self) {
        self.in_interval = 0;
    }

    /// What is in force on the next day, on which so many are used.
    pub(super) fn in_force(&mut self, policy: RemovalPolicy, used: i64) -> i64 {
        self.in_interval = self.in_interval.max(used);
        match policy {
            RemovalPolicy::CreditToBalance => used,
            RemovalPolicy::AtCycleEnd => self.in_interval,
            RemovalPolicy::LockedUntilTermEnd { grace_days } => {
                let in_force = self.in_term.max(used);
                self.recent.push_back(used);
                // Units are interchangeable, and the newest go first: those that were used throughout the days of
                // grace and on the day after are locked.
                if self.recent.len() > grace_days as usize {
                    self.in_term = self.in_term.max(self.recent.iter().copied().min().unwrap_or(0));
                    self.recent.pop_front();
                }
                in_force
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force<const N: usize>(policy: RemovalPolicy, used: [i64; N]) -> [i64; N] {
        let mut held = Held::default();
        used.map(|used| held.in_force(policy, used))
    }

    #[test]
    fn a_policy_says_how_long_a_removed_unit_counts() {
        let used = [3, 5, 4, 1, 1, 2];
        assert_eq!(in_force(RemovalPolicy::CreditToBalance, used), used);
        assert_eq!(in_force(RemovalPolicy::AtCycleEnd, used), [3, 5, 5, 5, 5, 5]);
    }

    #[test]
    fn a_lock_begins_after_the_days_of_grace() {
        // A unit that is removed on a day is still used on it, and not on the next.
        let locked = |grace_days, used| in_force(RemovalPolicy::LockedUntilTermEnd { grace_days }, used);
        assert_eq!(locked(0, [5, 3, 3, 3, 3]), [5, 5, 5, 5, 5]);
        assert_eq!(locked(1, [5, 3, 3, 3, 3]), [5, 3, 3, 3, 3]);
        assert_eq!(locked(2, [5, 5, 3, 3, 1]), [5, 5, 3, 3, 3]);
        assert_eq!(locked(2, [5, 5, 5, 0, 0]), [5, 5, 5, 5, 5]);
        assert_eq!(locked(2, [5, 5, 5, 7, 4]), [5, 5, 5, 7, 5]);
    }
}
