//! The invariants of stored bytes (I13, I18).

use chrono::{Days, NaiveDate, TimeDelta};
use proptest::prelude::*;

use super::super::*;
use super::{ZONES, days_of_years};

/// Days around which clocks turn, or the calendar of a zone leaves one out.
fn days() -> impl Strategy<Value = NaiveDate> {
    let special = ["2011-12-20", "1993-08-10", "2026-03-10", "2026-10-20"].map(|day| day.parse().unwrap());
    prop_oneof![3 => days_of_years(), 1 => prop::sample::select(special.to_vec())]
}

fn cycles() -> impl Strategy<Value = Cycle> {
    (days(), 2_u64..400, any::<prop::sample::Index>()).prop_map(|(start, length, cut)| {
        let day = |n: usize| start + Days::new(n as u64);
        let length = usize::try_from(length).unwrap();
        let whole = Span::new(start, day(length)).unwrap();
        Cycle { charged: Span::new(day(cut.index(length)), whole.end()).unwrap(), whole }
    })
}

/// From long before the cycle on.
fn constant(cycle: &Cycle, bytes: i64) -> Vec<Step> {
    let at = cycle.whole.start().and_hms_opt(0, 0, 0).unwrap().and_utc() - TimeDelta::days(3);
    vec![Step { at, level: bytes }]
}

/// So many bytes on each day.
fn allowed(days: Span, bytes: i128) -> Vec<(NaiveDate, i128)> {
    days.each_day().map(|day| (day, bytes)).collect()
}

proptest! {
    /// I18: constant load over a cycle is that load, and as much as the allowance is no overage, in every zone.
    #[test]
    fn i18_constant_load_is_that_load(
        cycle in cycles(),
        bytes in 0_i64..1 << 50,
        seats in 0_i64..5000,
        zone in prop::sample::select(ZONES.to_vec()),
    ) {
        let load = Share::new(bytes.into(), 1 << 30);
        let nothing = allowed(cycle.whole, 0);
        prop_assert_eq!(overage_gib(cycle.whole, zone, &constant(&cycle, bytes), &nothing), Ok(load));

        let stored = bytes / 5000 * seats;
        let pooled = allowed(cycle.charged, stored.into());
        prop_assert_eq!(overage_gib(cycle.whole, zone, &constant(&cycle, stored), &pooled), Ok(Share::from(0)));
    }

    /// Parts of a cycle add up to the whole, and samples that say nothing new change nothing.
    #[test]
    fn parts_add_up(
        cycle in cycles(),
        samples in prop::collection::vec((0_i64..400 * 86_400, 0_i64..1 << 45), 0..12),
        zone in prop::sample::select(ZONES.to_vec()),
    ) {
        let first = cycle.whole.start().and_hms_opt(0, 0, 0).unwrap().and_utc();
        let mut samples: Vec<Step> =
            samples.into_iter().map(|(at, level)| Step { at: first + TimeDelta::seconds(at), level }).collect();
        samples.sort_by_key(|sample| sample.at);
        let of = |charged: Option<Span>, samples: &[Step]| charged.map_or(Share::from(0), |charged| {
            overage_gib(cycle.whole, zone, samples, &allowed(charged, 0)).unwrap()
        });
        let before = Span::new(cycle.whole.start(), cycle.charged.start());
        let all = of(Some(cycle.whole), &samples);
        prop_assert_eq!(of(before, &samples) + of(Some(cycle.charged), &samples), all);
        let twice = |s: &Step| [*s, Step { at: s.at + TimeDelta::milliseconds(1), ..*s }];
        let again: Vec<Step> = samples.iter().flat_map(twice).collect();
        prop_assert_eq!(of(Some(cycle.whole), &again), all);
    }
}
