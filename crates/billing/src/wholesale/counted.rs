//! On which days a tenant counts for a reseller.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::{ResellerId, TenantId};
use tenancy::placement::Placement;

use crate::rating::{Suspension, local_day};

/// Days on which a tenant counts, half-open; without an end if it is not known. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) from: NaiveDate,
    pub(crate) until: Option<NaiveDate>,
}

impl Counted {
    fn new(from: NaiveDate, until: Option<NaiveDate>) -> Option<Self> {
        until.is_none_or(|until| from < until).then_some(Self { from, until })
    }

    /// From the columns that hold such days in pairs.
    pub(crate) fn of_columns(from: Vec<NaiveDate>, until: Vec<Option<NaiveDate>>) -> Vec<Self> {
        from.into_iter().zip(until).map(|(from, until)| Self { from, until }).collect()
    }

    pub(crate) fn contains(self, day: NaiveDate) -> bool {
        self.from <= day && self.until.is_none_or(|until| day < until)
    }
}

/// On which days each tenant counts, as far as is known at a boundary.
#[derive(Debug)]
pub(crate) struct CountedAt {
    pub(crate) boundary: NaiveDate,
    pub(crate) tenants: BTreeMap<TenantId, Vec<Counted>>,
}

impl CountedAt {
    /// The day before which all is as it was at an earlier boundary, when it was billed: that boundary, unless somebody has come to
    /// count otherwise on a day before it, as when a reseller below agrees from a past day on.
    pub(crate) fn settled(&self, earlier: &Self) -> NaiveDate {
        let changes = self.tenants.iter().filter_map(|(id, now)| first_other(earlier.tenants.get(id)?, now));
        changes.min().map_or(earlier.boundary, |first| first.min(earlier.boundary))
    }
}

/// The first day on which somebody counts by one of two and not by the other.
fn first_other(one: &[Counted], other: &[Counted]) -> Option<NaiveDate> {
    let turns = one.iter().chain(other).flat_map(|days| [Some(days.from), days.until]).flatten();
    let counts = |by: &[Counted], day| by.iter().any(|days| days.contains(day));
    turns.filter(|day| counts(one, *day) != counts(other, *day)).min()
}

/// An agreement of a reseller below the one that is billed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Below {
    pub(crate) reseller_id: ResellerId,
    /// From this day on, the tenants below it count for it.
    pub(crate) starts_on: NaiveDate,
    /// When it was agreed.
    pub(crate) agreed_at: DateTime<Utc>,
}

/// The days on which a tenant counts for a reseller, as far as is known at the end of a day in the agreement's calendar.
///
/// It counts for the nearest reseller above it that has an agreement. The day on which it moves, or is deleted, is still
/// the former reseller's, since it had its seats on it; so each day is somebody's once.
pub(crate) fn counted(
    reseller_id: ResellerId,
    placements: &[Placement],
    below: &[Below],
    zone: Tz,
    known_on: NaiveDate,
) -> Vec<Counted> {
    let known: Vec<(NaiveDate, &Placement)> = placements
        .iter()
        .map(|placement| (local_day(placement.since, zone), placement))
        .filter(|(day, _)| *day <= known_on)
        .collect();
    let first_day = |index: usize, day: NaiveDate| if index == 0 { Some(day) } else { day.succ_opt() };
    let starts: Vec<Option<NaiveDate>> =
        known.iter().enumerate().map(|(index, (day, _))| first_day(index, *day)).collect();
    let mut found: Vec<Counted> = Vec::new();
    for (index, (_, placement)) in known.iter().enumerate() {
        let Some(from) = starts.get(index).copied().flatten() else { continue };
        let Some(place) = placement.path.iter().position(|id| *id == reseller_id) else { continue };
        let nearer = placement.path.get(place + 1..).unwrap_or_default();
        let taken = below
            .iter()
            .filter(|one| nearer.contains(&one.reseller_id) && local_day(one.agreed_at, zone) <= known_on)
            .map(|one| one.starts_on)
            .min();
        let until = starts.get(index + 1).copied().flatten().into_iter().chain(taken).min();
        let Some(counted) = Counted::new(from, until) else { continue };
        match found.last_mut() {
            Some(last) if last.until == Some(counted.from) => last.until = counted.until,
            _ => found.push(counted),
        }
    }
    found
}

/// The days between, on which it does not count.
pub(crate) fn others(counted: &[Counted]) -> Vec<Suspension> {
    let mut others = Vec::new();
    let mut from = Some(NaiveDate::MIN);
    for days in counted {
        if let Some(from) = from {
            others.push(Suspension { from, until: Some(days.from) });
        }
        from = days.until;
    }
    others.extend(from.map(|from| Suspension { from, until: None }));
    others
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use uuid::Uuid;

    use super::*;

    const TOP: ResellerId = ResellerId::from_uuid(Uuid::from_u128(1));
    const SUB: ResellerId = ResellerId::from_uuid(Uuid::from_u128(2));
    const OTHER: ResellerId = ResellerId::from_uuid(Uuid::from_u128(3));

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn placed(since: &str, path: &[ResellerId]) -> Placement {
        let tenant_id = TenantId::from_uuid(Uuid::nil());
        Placement { tenant_id, since: since.parse().unwrap(), path: path.to_vec() }
    }

    fn shown(reseller: ResellerId, placements: &[Placement], below: &[Below], known_on: &str) -> Vec<String> {
        counted(reseller, placements, below, Tz::UTC, date(known_on))
            .iter()
            .map(|days| format!("{}..{}", days.from, days.until.map_or(String::new(), |day| day.to_string())))
            .collect()
    }

    #[test]
    fn each_day_is_one_reseller_s_and_the_day_of_a_move_the_former_one_s() {
        let placements = [
            placed("2026-01-01T09:00:00Z", &[TOP]),
            placed("2026-01-15T09:00:00Z", &[OTHER]),
            placed("2026-01-15T10:00:00Z", &[TOP]),
            placed("2026-01-20T00:00:00Z", &[]),
            placed("2026-02-01T00:00:00Z", &[OTHER]),
        ];
        assert_eq!(shown(TOP, &placements, &[], "2026-03-01"), ["2026-01-01..2026-01-21"]);
        assert_eq!(shown(OTHER, &placements, &[], "2026-03-01"), ["2026-02-02.."]);
        // What is not known yet does not count.
        assert_eq!(shown(TOP, &placements, &[], "2026-01-14"), ["2026-01-01.."]);
        assert_eq!(shown(OTHER, &placements, &[], "2026-01-31"), [""; 0]);
    }

    #[test]
    fn a_tenant_counts_for_the_nearest_reseller_with_an_agreement() {
        let placements = [placed("2026-01-01T09:00:00Z", &[TOP, SUB])];
        let agreed_at = "2026-01-20T09:00:00Z".parse().unwrap();
        let below = [Below { reseller_id: SUB, starts_on: date("2026-02-01"), agreed_at }];
        assert_eq!(shown(TOP, &placements, &[], "2026-03-01"), ["2026-01-01.."]);
        assert_eq!(shown(TOP, &placements, &below, "2026-01-19"), ["2026-01-01.."]);
        assert_eq!(shown(TOP, &placements, &below, "2026-01-20"), ["2026-01-01..2026-02-01"]);
        assert_eq!(shown(SUB, &placements, &[], "2026-03-01"), ["2026-01-01.."]);
        // It never counts for both, nor does one that is not below: the agreement's own start bounds the one below.
        let other = [Below { reseller_id: OTHER, ..below[0] }];
        assert_eq!(shown(TOP, &placements, &other, "2026-03-01"), ["2026-01-01.."]);
    }

    #[test]
    fn what_was_billed_is_settled_but_for_days_that_are_somebody_else_s_now() {
        let days = |from, until: Option<&str>| Counted { from: date(from), until: until.map(date) };
        let at = |boundary, counted: &[Counted]| CountedAt {
            boundary: date(boundary),
            tenants: [(TenantId::from_uuid(Uuid::nil()), counted.to_vec())].into(),
        };
        let march = at("2026-03-01", &[days("2026-01-05", None)]);
        let settled = |counted: &[Counted]| at("2026-04-01", counted).settled(&march);
        assert_eq!(settled(&march.tenants[&TenantId::from_uuid(Uuid::nil())]), date("2026-03-01"));
        assert_eq!(settled(&[days("2026-01-05", Some("2026-03-16"))]), date("2026-03-01"));
        assert_eq!(settled(&[days("2026-01-05", Some("2026-02-10"))]), date("2026-02-10"));
        assert_eq!(settled(&[days("2026-01-01", None)]), date("2026-01-01"));
        assert_eq!(settled(&[]), date("2026-01-05"));
        // Of one that used nothing by then there was nothing to settle.
        let none = CountedAt { boundary: date("2026-03-01"), tenants: BTreeMap::new() };
        assert_eq!(at("2026-04-01", &[days("2026-01-05", None)]).settled(&none), date("2026-03-01"));
    }

    #[test]
    fn what_is_left_of_the_calendar_is_others() {
        let counted = [
            Counted { from: date("2026-01-01"), until: Some(date("2026-01-10")) },
            Counted { from: date("2026-02-01"), until: None },
        ];
        let days = others(&counted);
        let shown: Vec<_> = days.iter().map(|other| (other.from, other.until)).collect();
        let expected =
            [(NaiveDate::MIN, Some(date("2026-01-01"))), (date("2026-01-10"), Some(date("2026-02-01")))];
        assert_eq!(shown, expected);
        assert_eq!(others(&[]).len(), 1);
    }
}
