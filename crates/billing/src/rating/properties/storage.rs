//! The invariants of stored bytes (I3, I7, I18).

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
        Cycle::new(Span::new(day(cut.index(length)), whole.end()).unwrap(), whole)
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
        let found = overage(cycle.whole, zone, &constant(&cycle, bytes), &nothing);
        prop_assert_eq!(found, Ok(Overage { gib: load, part: Share::from(1) }));

        let stored = bytes / 5000 * seats;
        let pooled = allowed(cycle.charged, stored.into());
        let found = overage(cycle.whole, zone, &constant(&cycle, stored), &pooled);
        prop_assert_eq!(found.map(|found| found.gib), Ok(Share::from(0)));
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
            let Overage { gib, part } = overage(cycle.whole, zone, samples, &allowed(charged, 0)).unwrap();
            gib * part
        });
        let before = Span::new(cycle.whole.start(), cycle.charged.start());
        let all = of(Some(cycle.whole), &samples);
        prop_assert_eq!(of(before, &samples) + of(Some(cycle.charged), &samples), all);
        let twice = |s: &Step| [*s, Step { at: s.at + TimeDelta::milliseconds(1), ..*s }];
        let again: Vec<Step> = samples.iter().flat_map(twice).collect();
        prop_assert_eq!(of(Some(cycle.whole), &again), all);
    }
    /// I3, I7: what is billed of stored bytes is what each cycle that is over costs, rounded once, on whatever days runs were;
    /// a second look, at every cycle again, adds nothing, and after an end nothing is charged. A run has the samples that it needs, and no others.
    #[test]
    fn i3_i7_storage_is_billed_once_whenever_runs_were(
        start in days(),
        runs in prop::collection::btree_set(0_u64..200, 1..8),
        ends_after in prop::option::of(1_u64..150),
        samples in prop::collection::vec((0_i64..200 * 86_400, 0_i64..1 << 42), 0..8),
        pool in 0_i128..1 << 41,
        tariff in super::tariffs(),
        currency in super::currencies(),
        zone in prop::sample::select(ZONES.to_vec()),
    ) {
        let first = start.and_hms_opt(0, 0, 0).unwrap().and_utc();
        let mut samples: Vec<Step> =
            samples.into_iter().map(|(at, level)| Step { at: first + TimeDelta::seconds(at), level }).collect();
        samples.sort_by_key(|sample| sample.at);
        let terms = Terms {
            tariff: tariff.clone(),
            interval: Interval::MONTH,
            payment: PaymentSchedule::AtOnce,
            anchor: start,
            term: Interval::MONTH,
            removal: RemovalPolicy::CreditToBalance,
            suspension: SuspensionPolicy::Continue,
        };
        let segment = Segment { from: start, terms: Some(terms) };
        let ends_on = ends_after.map(|days| start + Days::new(days));
        let ending_on = |end| Timeline::new(currency, vec![segment.clone()]).ending_on(end);
        let billed = |boundaries: &[NaiveDate]| {
            let (mut cycles, mut sums) = (Vec::<CycleState>::new(), std::collections::BTreeMap::new());
            let mut settled = None;
            for boundary in boundaries {
                // It may end on a day that was billed as if it went on.
                let timeline = ending_on(ends_on.filter(|end| end < boundary));
                let (settled, at) = (settled.replace(*boundary), (*boundary, zone));
                let known: Vec<_> = cycles.iter().map(|state| (state.cycle, state.zone)).collect();
                let from = settled.map(|settled| sampled_from(known.into_iter(), settled, zone));
                let before = samples.iter().rposition(|sample| from.is_some_and(|from| sample.at <= from));
                let needed = &samples[before.unwrap_or(0)..];
                for (line, _) in storage(&timeline, at, settled, &mut cycles, needed, &|_| pool).unwrap() {
                    *sums.entry(line.cycle.charged.start()).or_insert(0) += line.charge.amount_minor;
                }
                let again = storage(&timeline, at, None, &mut cycles, &samples, &|_| pool).unwrap();
                assert!(again.is_empty(), "{again:?}");
            }
            (cycles, sums)
        };
        let last = start + Days::new(240);
        let (cycles, once) = billed(&[last]);
        let days: Vec<NaiveDate> = runs.into_iter().map(|n| start + Days::new(n)).chain([last]).collect();
        prop_assert_eq!(&billed(&days).1, &once);
        for CycleState { cycle, .. } in cycles.iter().filter(|state| state.cycle.charged.end() <= last) {
            let found = overage(cycle.whole, zone, &samples, &allowed(cycle.charged, pool)).unwrap();
            let owed = tariff.cost(found.gib).unwrap().times(found.part).unwrap().minor(currency).unwrap();
            prop_assert_eq!(once.get(&cycle.charged.start()).copied().unwrap_or(0), owed);
        }
        let before_the_end = ends_on.is_none_or(|end| cycles.iter().all(|state| state.cycle.charged.end() <= end));
        prop_assert!(before_the_end);
    }
}
