//! The invariants that hold for seats (I4 to I10, I12, I13) under terms that stay the same.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::super::calendar::Schedule;
use super::super::*;
use super::story::{Account, Event, LAST_DAY, end_of, noon, stories};
use super::{ZONES, currencies, days_of_years, prices, tiers};

proptest! {
    /// I4: cycles tile, and each begins on the anchor's day or the month's last.
    #[test]
    fn i4_cycles_tile(anchor in days_of_years(), months in 1_u32..25, n in -60_i64..60) {
        let schedule = Schedule::anchored_on(anchor, Interval::Months(months)).unwrap();
        let (start, end) = (schedule.boundary(n).unwrap(), schedule.boundary(n + 1).unwrap());
        prop_assert!(start < end);
        prop_assert_eq!(start.day(), anchor.day().min(u32::from(start.num_days_in_month())));
        let cycle = Span::new(start, end).unwrap();
        for day in [start, end.pred_opt().unwrap()] {
            prop_assert_eq!(schedule.cycle_at(day).unwrap(), cycle);
            prop_assert_eq!(schedule.index_at(day).unwrap(), n);
        }
    }

    /// I5: every unit in force is charged exactly once for each day, and nothing else ever is.
    #[test]
    fn i5_every_active_day_is_charged_once(story in stories(), zone in prop::sample::select(ZONES.to_vec())) {
        let account = Account::late(&story, zone);
        let mut expected_start = story.starts_on;
        let (intervals, mut held) = (story.terms.intervals().unwrap(), 0);
        for state in &account.cycles {
            prop_assert_eq!(state.cycle.charged.start(), expected_start);
            expected_start = state.cycle.charged.end();
            for day in state.cycle.charged.each_day() {
                if intervals.cycle_at(day).unwrap().start() == day {
                    held = 0;
                }
                let quantity = story.quantity(day.min(story.horizon()));
                held = if story.terms.removal == RemovalPolicy::AtCycleEnd { quantity.max(held) } else { quantity };
                let charged: i64 =
                    state.billed.iter().filter(|line| line.period.contains(day)).map(|line| line.quantity).sum();
                prop_assert_eq!(charged, held, "on {}", day);
            }
        }
        prop_assert!(expected_start > story.horizon());
    }

    /// I6: events that change nothing change nothing; a full cycle costs the price times the quantity, rounded.
    #[test]
    fn i6_no_op_events_and_full_cycles(story in stories(), days in prop::collection::vec(0..=LAST_DAY, 1..6)) {
        let mut split = story.clone();
        for day in days {
            let at = noon(story.starts_on + Days::new(day));
            split.events.extend([Event { at, delta: 1 }, Event { at, delta: -1 }]);
        }
        let (plain, split) = (Account::late(&story, Tz::UTC), Account::late(&split, Tz::UTC));
        prop_assert_eq!(&plain.documents, &split.documents);
        for (state, (_, total)) in plain.cycles.iter().zip(plain.totals()) {
            let quantities = state.quantities();
            let quantity = quantities[0].1;
            if state.cycle.charged == state.cycle.whole && quantities.iter().all(|(_, q)| *q == quantity) {
                let full = story.terms.tariff.amount_minor(Share::from(i128::from(quantity)), story.currency);
                prop_assert_eq!(Ok(total), state.cycle.instalment.of(full.unwrap()));
            }
        }
    }

    /// I7: totals do not depend on when runs happened nor on what was known then; the documents do not either,
    /// as long as each run comes after its day's last change.
    #[test]
    fn i7_totals_do_not_depend_on_the_runs(
        story in stories(),
        runs in prop::collection::btree_map(0..=LAST_DAY, 0_u32..24, 0..20),
    ) {
        let late = Account::late(&story, Tz::UTC);
        let mut at_times = Account::new(story.timeline(), Tz::UTC);
        for (day, hour) in runs {
            let day = story.starts_on + Days::new(day);
            at_times.run(day, &story.log(Tz::UTC, day.and_hms_opt(hour, 0, 0).unwrap()));
        }
        at_times.run(story.horizon(), &story.log(Tz::UTC, NaiveDateTime::MAX));
        prop_assert_eq!(late.totals(), at_times.totals());

        let mut daily = Account::new(story.timeline(), Tz::UTC);
        for day in story.starts_on.iter_days().take_while(|day| *day <= story.horizon()) {
            daily.run(day, &story.log(Tz::UTC, end_of(day)));
        }
        prop_assert_eq!(late.documents, daily.documents);
    }

    /// I8: the order of events in the log, and billing again, change nothing.
    #[test]
    fn i8_order_and_replays(story in stories(), seed in any::<u64>()) {
        let plain = Account::late(&story, Tz::UTC);
        let mut shuffled = story.clone();
        let count = shuffled.events.len().max(1);
        shuffled.events.rotate_left(usize::try_from(seed).unwrap_or(0) % count);
        shuffled.events.reverse();
        let mut again = Account::late(&shuffled, Tz::UTC);
        prop_assert_eq!(&plain.documents, &again.documents);
        let boundaries: Vec<NaiveDate> = again.documents.iter().map(|(boundary, _)| *boundary).collect();
        let log = story.log(Tz::UTC, NaiveDateTime::MAX);
        let last = document(&story.timeline(), boundaries[boundaries.len() - 1], Tz::UTC, &mut again.cycles, &log);
        prop_assert_eq!(last, Ok(Vec::new()));
    }

    /// I9: under `credit_to_balance`, adding and removing in one day costs at most one day; a swap costs nothing.
    #[test]
    fn i9_a_day_and_a_swap(story in stories(), price in prices(), day in 0..=LAST_DAY, hours in (4_u32..13, 13_u32..24)) {
        let mut story = story;
        story.terms.removal = RemovalPolicy::CreditToBalance;
        story.terms.tariff = Tariff::Flat(price);
        story.committed.clear();
        let day = story.starts_on + Days::new(day);
        let at = |hour| day.and_hms_opt(hour, 30, 30).unwrap();
        let with = |extra: [Event; 2]| {
            let mut changed = story.clone();
            changed.events.extend(extra);
            Account::late(&changed, Tz::UTC).total()
        };
        let plain = Account::late(&story, Tz::UTC);
        let added = with([Event { at: at(hours.0), delta: 1 }, Event { at: at(hours.1), delta: -1 }]);
        let cycle = plain.cycles.iter().find(|state| state.cycle.charged.contains(day)).unwrap().cycle;
        let share = Share::new(1, i128::from(cycle.whole.days()) * i128::from(cycle.instalment.count()));
        let one_day = story.terms.tariff.amount_minor(share, story.currency).unwrap();
        let (more, slack) = (added - plain.total(), story.slack_minor());
        prop_assert!((-slack..=one_day + 1 + slack).contains(&more), "a day costs {more} of {one_day}");

        let level = |at: NaiveDateTime| story.events.iter().filter(|e| e.at <= at).map(|e| e.delta).sum::<i64>();
        let between = story.events.iter().map(|e| e.at).filter(|e| (at(hours.0)..at(hours.1)).contains(e));
        if between.chain([at(hours.0)]).map(level).min() > Some(0) {
            let swapped = with([Event { at: at(hours.0), delta: -1 }, Event { at: at(hours.1), delta: 1 }]);
            prop_assert!(swapped <= plain.total() + slack);
        }
        let same_instant = with([Event { at: at(hours.0), delta: -1 }, Event { at: at(hours.0), delta: 1 }]);
        prop_assert_eq!(same_instant, plain.total());
    }

    /// I10: at no time do a cycle's credits exceed its charges, and when everything turns out never to have
    /// happened, exactly nothing remains.
    #[test]
    fn i10_credits_never_exceed_charges(story in stories()) {
        let mut story = story;
        story.committed.clear();
        let mut account = Account::late(&story, Tz::UTC);
        let mut sums = std::collections::BTreeMap::<Cycle, i64>::new();
        for line in account.lines() {
            let sum = sums.entry(line.cycle).or_default();
            *sum += line.charge.amount_minor;
            prop_assert!(*sum >= 0, "{:?}", line);
        }
        story.events.clear();
        account.run(account.next.unwrap(), &story.log(Tz::UTC, NaiveDateTime::MAX));
        prop_assert!(account.totals().iter().all(|(_, total)| *total == 0), "{:?}", account.totals());
    }

    /// I11: what is paid in instalments adds up to what the year costs at once, and they differ by at most one minor unit.
    #[test]
    fn i11_instalments_of_a_year_sum_to_its_price(story in stories(), seats in 0_i64..50) {
        let mut story = story;
        let start = story.terms.anchor;
        let at = start.and_hms_opt(0, 0, 0).unwrap();
        (story.starts_on, story.events) = (start, vec![Event { at, delta: seats }]);
        story.committed.clear();
        (story.terms.interval, story.terms.payment) = (Interval::YEAR, PaymentSchedule::Monthly);
        let year = story.terms.intervals().unwrap().cycle_at(start).unwrap();
        let mut account = Account::new(story.timeline(), Tz::UTC);
        account.run(year.end().pred_opt().unwrap(), &story.log(Tz::UTC, NaiveDateTime::MAX));
        let parts: Vec<i64> = account.totals().into_iter().map(|(_, total)| total).collect();
        prop_assert_eq!(parts.len(), 12);
        let price = story.terms.tariff.amount_minor(Share::from(i128::from(seats)), story.currency);
        prop_assert_eq!(Ok(parts.iter().sum()), price);
        prop_assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1, "{:?}", parts);
    }

    /// I12: more seat-days never cost less, at a flat and at a graduated price.
    #[test]
    fn i12_more_never_costs_less(
        tariff in prop_oneof![prices().prop_map(Tariff::Flat), tiers().prop_map(Tariff::Graduated)],
        currency in currencies(),
        (seat_days, more) in (0_i128..1_000_000, 0_i128..1000),
        days in 28_i128..=366,
    ) {
        let amount = |n| tariff.amount_minor(Share::new(n, days), currency).unwrap();
        prop_assert!(amount(seat_days) <= amount(seat_days + more));
    }

    /// I12: nor does one seat more for some days, whatever else happens in them.
    #[test]
    fn i12_a_seat_more_never_costs_less(
        story in stories(),
        tariff in prop_oneof![prices().prop_map(Tariff::Flat), tiers().prop_map(Tariff::Graduated)],
        (from, until) in (0..=LAST_DAY, 0..=LAST_DAY),
    ) {
        let mut story = story;
        story.terms.tariff = tariff;
        let plain = Account::late(&story, Tz::UTC);
        let on = |offset| noon(story.starts_on + Days::new(offset));
        let extra = [Event { at: on(from.min(until)), delta: 1 }, Event { at: on(from.max(until)), delta: -1 }];
        story.events.extend(extra);
        for ((cycle, before), (_, after)) in plain.totals().into_iter().zip(Account::late(&story, Tz::UTC).totals()) {
            prop_assert!(before <= after + story.slack_minor(), "{before} became {after} in {cycle:?}");
        }
    }

    /// I13: the same local story in another zone makes the same documents; a day on which clocks turn is one day.
    #[test]
    fn i13_zones_do_not_matter(story in stories(), zone in prop::sample::select(ZONES.to_vec())) {
        prop_assert_eq!(Account::late(&story, Tz::UTC).documents, Account::late(&story, zone).documents);
    }

    /// I13: nor does it that a zone left a day out, when it went to the other side of the date line: the day is charged as what
    /// was in force before it.
    #[test]
    fn i13_a_day_that_a_zone_leaves_out_is_a_day(
        story in stories(),
        (zone, gone) in prop::sample::select(vec![
            (Tz::Pacific__Apia, "2011-12-30"),
            (Tz::Pacific__Kwajalein, "1993-08-21"),
        ]),
        before in 1..=LAST_DAY,
    ) {
        let gone: NaiveDate = gone.parse().unwrap();
        prop_assert!(zone.from_local_datetime(&noon(gone)).earliest().is_none());
        let story = story.moved_to(gone - Days::new(before)).without(gone);
        prop_assert_eq!(Account::late(&story, Tz::UTC).documents, Account::late(&story, zone).documents);
    }
}
