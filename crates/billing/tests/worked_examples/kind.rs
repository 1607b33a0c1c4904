//! Which reader a case is for: by the keys that it must have, and those that it may have as well.

use std::cmp::Reverse;

use crate::case::{Case, Reader};
use crate::{discounts, ended, not_offered, periods, plan_changes, seats, storage, stubs, subscription, tax};
use crate::{terms, tiers};

/// Keys of which a case has all of one set at least.
pub(crate) type Group = &'static [&'static [&'static str]];

/// Cases that are told alike.
pub(crate) struct Kind {
    pub(crate) needs: &'static [Group],
    /// What it looks at if it is there.
    pub(crate) takes: &'static [&'static str],
    pub(crate) read: Reader,
}

/// Looked at wherever they matter: amounts have a currency, and dates a zone.
const EVERYWHERE: &[&str] = &["comment", "currency", "note", "tz"];

const KINDS: &[&[Kind]] = &[
    discounts::KINDS,
    ended::KINDS,
    periods::KINDS,
    plan_changes::KINDS,
    seats::KINDS,
    storage::KINDS,
    stubs::KINDS,
    subscription::KINDS,
    tax::KINDS,
    terms::KINDS,
    tiers::KINDS,
];

impl Kind {
    fn fits(&self, case: &Case) -> bool {
        self.needs.iter().all(|group| group.iter().any(|keys| keys.iter().all(|key| case.has(key))))
    }

    fn asks_for(&self, key: &str) -> bool {
        self.needs.iter().copied().flatten().copied().flatten().any(|needed| *needed == key)
    }

    /// How many keys of the case it asks for.
    fn needed(&self, case: &Case) -> usize {
        case.keys().filter(|key| self.asks_for(key)).count()
    }

    /// Keys of the case that it does not look at.
    fn unread<'a>(&self, case: &Case<'a>) -> Vec<&'a str> {
        let is_read =
            |key: &str| self.asks_for(key) || self.takes.contains(&key) || EVERYWHERE.contains(&key);
        case.keys().filter(|key| !is_read(key)).collect()
    }
}

/// The reader that leaves the fewest keys unread, which must be none: any may matter.
pub(crate) fn reader(case: &Case) -> Result<Reader, String> {
    not_offered::named(case)?;
    case.zone()?;
    let fitting = KINDS.iter().copied().flatten().filter(|kind| kind.fits(case));
    let best = fitting.min_by_key(|kind| (kind.unread(case).len(), Reverse(kind.needed(case))));
    let keys = |keys: Vec<&str>| Err(format!("no reader for {}", keys.join(",")));
    match best {
        None => keys(case.keys().collect()),
        Some(kind) if kind.unread(case).is_empty() => Ok(kind.read),
        Some(kind) => keys(kind.unread(case)),
    }
}
