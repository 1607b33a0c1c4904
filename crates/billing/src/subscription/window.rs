//! The days of which a billing charges what comes once: those since the boundary before it; and of those that were billed by
//! documents that count as billed no more, all that have not been billed again.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::invoice::Billing;

/// Days after one, if there is one before, up to a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    after: Option<NaiveDate>,
    until: NaiveDate,
}

impl Window {
    pub(crate) fn has(&self, day: NaiveDate) -> bool {
        self.after.is_none_or(|after| after < day) && day <= self.until
    }
}

/// Which days were billed by what.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    last: Option<NaiveDate>,
    open: Vec<Window>,
    billed: BTreeMap<Billing, Vec<Window>>,
}

impl Windows {
    /// After a boundary, if one was billed, with nothing to be billed again.
    pub(crate) fn after(last: Option<NaiveDate>) -> Self {
        Self { last, ..Self::default() }
    }

    /// Bills a boundary: of which days it charges what comes once.
    pub(crate) fn bill(&mut self, billing: Billing) -> Vec<Window> {
        let after = self.last.replace(billing.boundary);
        let mut windows = std::mem::take(&mut self.open);
        // None, if it is the last boundary again.
        windows.push(Window { after, until: billing.boundary });
        self.billed.insert(billing, windows.clone());
        windows
    }

    /// The document of a billing counts as billed no more: the next one bills its days again.
    pub(crate) fn let_go(&mut self, billing: Billing) {
        self.open.extend(self.billed.remove(&billing).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
    }

    fn days(windows: &[Window]) -> Vec<u32> {
        (1..=31)
            .flat_map(|n| windows.iter().filter(move |window| window.has(day(n))).map(move |_| n))
            .collect()
    }

    #[test]
    fn each_day_is_billed_once_more_each_time_it_is_let_go() {
        let of = |n, revision| Billing { boundary: day(n), revision };
        let mut windows = Windows::after(Some(day(1)));
        assert_eq!(days(&windows.bill(of(3, 1))), [2, 3]);
        assert_eq!(days(&windows.bill(of(5, 1))), [4, 5]);
        windows.let_go(of(3, 1));
        assert_eq!(days(&windows.bill(of(5, 2))), [2, 3]);
        assert_eq!(days(&windows.bill(of(6, 1))), [6]);
        windows.let_go(of(5, 2));
        windows.let_go(of(6, 1));
        assert_eq!(days(&windows.bill(of(6, 2))), [2, 3, 6]);
        // What was let go before is on the one that billed it since.
        windows.let_go(of(3, 1));
        assert!(days(&windows.bill(of(6, 3))).is_empty());
    }
}
