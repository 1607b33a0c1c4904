//! The invariants of the design that hold for seats (I4 to I10, I12, I13), over random calendars, zones, prices and
//! event orders. A failing case prints its seed.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use kernel::Currency;
use proptest::prelude::*;

use super::calendar::Schedule;
use super::*;

const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::America__Los_Angeles,
    Tz::Europe__Berlin,
    Tz::Pacific__Apia,
    Tz::Pacific__Kiritimati,
    Tz::Australia__Lord_Howe,
];

/// A change at a local date and time; the same story can be told in any zone.
#[derive(Debug, Clone, Copy)]
struct Event {
    at: NaiveDateTime,
    delta: i64,
}

#[derive(Debug, Clone)]
struct Story {
    terms: Terms,
    events: Vec<Event>,
    committed: i64,
}

impl Story {
    fn log(&self, zone: Tz, known_until: NaiveDateTime) -> Log {
        let instant = |at: NaiveDateTime| zone.from_local_datetime(&at).earliest().unwrap().to_utc();
        let known = self.events.iter().filter(|event| event.at <= known_until);
        let seats = steps_of_changes(known.map(|event| (instant(event.at), event.delta)));
        let committed = Step { at: instant(noon(self.terms.starts_on)), level: self.committed };
        Log { seats, committed: vec![committed] }
    }

    /// The quantity of a day, by looking at every event: the largest of the levels that the day saw.
    fn quantity(&self, day: NaiveDate) -> i64 {
        let mut instants: Vec<NaiveDateTime> =
            self.events.iter().map(|e| e.at).filter(|at| at.date() == day).collect();
        instants.push(day.pred_opt().unwrap().and_hms_opt(23, 59, 59).unwrap());
        let level = |at: NaiveDateTime| self.events.iter().filter(|e| e.at <= at).map(|e| e.delta).sum();
        instants.into_iter().map(level).max().unwrap_or(0).max(self.committed)
    }

    /// As many days after the start as all events need, and then to a boundary.
    fn horizon(&self) -> NaiveDate {
        let last = self.terms.starts_on + Days::new(LAST_DAY + 1);
        self.terms.next_boundary(last).unwrap()
    }
}

/// The account as the shell would keep it.
struct Account {
    terms: Terms,
    zone: Tz,
    next: NaiveDate,
    cycles: Vec<CycleState>,
    documents: Vec<(NaiveDate, Vec<Line>)>,
}

impl Account {
    fn new(story: &Story, zone: Tz) -> Self {
        let (terms, next) = (story.terms.clone(), story.terms.starts_on);
        Self { terms, zone, next, cycles: Vec::new(), documents: Vec::new() }
    }

    fn run(&mut self, as_of: NaiveDate, log: &Log) {
        while self.next <= as_of {
            let lines = document(&self.terms, self.next, self.zone, &mut self.cycles, log).unwrap();
            self.documents.push((self.next, lines));
            self.next = self.terms.next_boundary(self.next).unwrap();
        }
    }

    /// Every boundary in one run, with everything known.
    fn late(story: &Story, zone: Tz) -> Self {
        let mut account = Self::new(story, zone);
        account.run(story.horizon(), &story.log(zone, NaiveDateTime::MAX));
        account
    }

    fn lines(&self) -> Vec<Line> {
        self.documents.iter().flat_map(|(_, lines)| lines.clone()).collect()
    }

    fn totals(&self) -> Vec<(Cycle, i64)> {
        let total = |state: &CycleState| state.billed.iter().map(|line| line.amount_minor).sum();
        let mut totals: Vec<_> = self.cycles.iter().map(|state| (state.cycle, total(state))).collect();
        totals.sort();
        totals
    }

    fn total(&self) -> i64 {
        self.totals().iter().map(|(_, total)| total).sum()
    }
}

/// Events happen on the first so many days.
const LAST_DAY: u64 = 120;

fn noon(day: NaiveDate) -> NaiveDateTime {
    day.and_hms_opt(12, 0, 0).unwrap()
}

fn end_of(day: NaiveDate) -> NaiveDateTime {
    day.and_time(NaiveTime::from_hms_opt(23, 59, 59).unwrap())
}

fn days_of_years() -> impl Strategy<Value = NaiveDate> {
    (0_u64..2200).prop_map(|n| NaiveDate::from_ymd_opt(2019, 1, 1).unwrap() + Days::new(n))
}

fn currencies() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["JPY", "EUR", "KWD"]).prop_map(|code| code.parse().unwrap())
}

/// At times of day at which no zone here turns its clocks, so that local order is the order of instants.
fn raw_events() -> impl Strategy<Value = Vec<(u64, u32, bool)>> {
    prop::collection::vec((0..=LAST_DAY, 4 * 60..24 * 60_u32, any::<bool>()), 0..14)
}

fn prices() -> impl Strategy<Value = UnitPrice> {
    (0_u64..2_000_000_000, 0_u32..6).prop_map(|(digits, scale)| {
        let unit = 10_u64.pow(scale);
        let width = scale.max(1) as usize;
        format!("{}.{:0width$}", digits / unit / 100, digits % unit).parse().unwrap()
    })
}

/// Up to three tiers that the quantities of the stories reach.
fn tiers() -> impl Strategy<Value = Tiers> {
    (prop::collection::btree_set(1_u32..8, 0..3), prop::array::uniform3(prices())).prop_map(
        |(limits, prices)| {
            let limits = limits.into_iter().map(Some).chain([None]);
            Tiers::new(limits.zip(prices).map(|(up_to, unit_price)| Tier { up_to, unit_price }).collect())
                .unwrap()
        },
    )
}

fn tariffs() -> impl Strategy<Value = Tariff> {
    prop_oneof![
        2 => prices().prop_map(Tariff::Flat),
        1 => tiers().prop_map(Tariff::Graduated),
        1 => tiers().prop_map(Tariff::Volume),
    ]
}

fn stories() -> impl Strategy<Value = Story> {
    let interval = prop::sample::select(vec![Interval::MONTH, Interval::YEAR]);
    let removal = prop::sample::select(vec![RemovalPolicy::AtCycleEnd, RemovalPolicy::CreditToBalance]);
    let dates = (days_of_years(), -400_i64..400);
    (tariffs(), interval, removal, dates, currencies(), raw_events(), 0_i64..4).prop_map(
        |(tariff, interval, removal, (starts_on, offset), currency, raw, committed)| {
            let anchor = starts_on + chrono::TimeDelta::days(offset);
            let terms = Terms { tariff, currency, interval, removal, anchor, starts_on };
            Story { terms, events: possible(starts_on, raw), committed }
        },
    )
}

/// Adds, and removals of what is there.
fn possible(start: NaiveDate, mut raw: Vec<(u64, u32, bool)>) -> Vec<Event> {
    raw.sort_unstable();
    let mut level = 0;
    raw.into_iter()
        .map(|(day, minute, adds)| {
            let delta = if adds || level == 0 { 1 } else { -1 };
            level += delta;
            let time = NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).unwrap();
            Event { at: (start + Days::new(day)).and_time(time), delta }
        })
        .collect()
}

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
        let mut expected_start = story.terms.starts_on;
        for state in &account.cycles {
            prop_assert_eq!(state.cycle.charged.start(), expected_start);
            expected_start = state.cycle.charged.end();
            let mut held = 0;
            for day in state.cycle.charged.each_day() {
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
            let at = noon(story.terms.starts_on + Days::new(day));
            split.events.extend([Event { at, delta: 1 }, Event { at, delta: -1 }]);
        }
        let (plain, split) = (Account::late(&story, Tz::UTC), Account::late(&split, Tz::UTC));
        prop_assert_eq!(&plain.documents, &split.documents);
        for (state, (_, total)) in plain.cycles.iter().zip(plain.totals()) {
            let quantities: Vec<i64> = state.cycle.charged.each_day().map(|day| story.quantity(day)).collect();
            if state.cycle.charged == state.cycle.whole && quantities.iter().all(|q| *q == quantities[0]) {
                let full = story.terms.tariff.amount_minor(Share::from(i128::from(quantities[0])), story.terms.currency);
                prop_assert_eq!(Ok(total), full);
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
        let mut at_times = Account::new(&story, Tz::UTC);
        for (day, hour) in runs {
            let day = story.terms.starts_on + Days::new(day);
            at_times.run(day, &story.log(Tz::UTC, day.and_hms_opt(hour, 0, 0).unwrap()));
        }
        at_times.run(story.horizon(), &story.log(Tz::UTC, NaiveDateTime::MAX));
        prop_assert_eq!(late.totals(), at_times.totals());

        let mut daily = Account::new(&story, Tz::UTC);
        for day in story.terms.starts_on.iter_days().take_while(|day| *day <= story.horizon()) {
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
        let last = document(&story.terms, boundaries[boundaries.len() - 1], Tz::UTC, &mut again.cycles, &log);
        prop_assert_eq!(last, Ok(Vec::new()));
    }

    /// I9: under `credit_to_balance`, adding and removing in one day costs at most one day; a swap costs nothing.
    #[test]
    fn i9_a_day_and_a_swap(story in stories(), price in prices(), day in 0..=LAST_DAY, hours in (4_u32..13, 13_u32..24)) {
        let mut story = story;
        story.terms.removal = RemovalPolicy::CreditToBalance;
        story.terms.tariff = Tariff::Flat(price);
        story.committed = 0;
        let day = story.terms.starts_on + Days::new(day);
        let at = |hour| day.and_hms_opt(hour, 30, 30).unwrap();
        let with = |extra: [Event; 2]| {
            let mut changed = story.clone();
            changed.events.extend(extra);
            Account::late(&changed, Tz::UTC).total()
        };
        let plain = Account::late(&story, Tz::UTC);
        let added = with([Event { at: at(hours.0), delta: 1 }, Event { at: at(hours.1), delta: -1 }]);
        let cycle = plain.cycles.iter().find(|state| state.cycle.charged.contains(day)).unwrap().cycle;
        let one_day = story.terms.tariff.amount_minor(Share::new(1, cycle.whole.days().into()), story.terms.currency).unwrap();
        prop_assert!((0..=one_day + 1).contains(&(added - plain.total())), "a day costs {} of {one_day}", added - plain.total());

        let level = |at: NaiveDateTime| story.events.iter().filter(|e| e.at <= at).map(|e| e.delta).sum::<i64>();
        let between = story.events.iter().map(|e| e.at).filter(|e| (at(hours.0)..at(hours.1)).contains(e));
        if between.chain([at(hours.0)]).map(level).min() > Some(0) {
            let swapped = with([Event { at: at(hours.0), delta: -1 }, Event { at: at(hours.1), delta: 1 }]);
            prop_assert!(swapped <= plain.total());
        }
        let same_instant = with([Event { at: at(hours.0), delta: -1 }, Event { at: at(hours.0), delta: 1 }]);
        prop_assert_eq!(same_instant, plain.total());
    }

    /// I10: at no time do a cycle's credits exceed its charges, and when everything turns out never to have
    /// happened, exactly nothing remains.
    #[test]
    fn i10_credits_never_exceed_charges(story in stories()) {
        let mut story = story;
        story.committed = 0;
        let mut account = Account::late(&story, Tz::UTC);
        let mut sums = std::collections::BTreeMap::<Cycle, i64>::new();
        for line in account.lines() {
            let sum = sums.entry(line.cycle).or_default();
            *sum += line.charge.amount_minor;
            prop_assert!(*sum >= 0, "{:?}", line);
        }
        story.events.clear();
        account.run(account.next, &story.log(Tz::UTC, NaiveDateTime::MAX));
        prop_assert!(account.totals().iter().all(|(_, total)| *total == 0), "{:?}", account.totals());
    }

    /// I12: more seat-days never cost less, at a flat and at a graduated price.
    #[test]
    fn i12_more_never_costs_less(story in stories(), seat_days in 0_i128..1_000_000, more in 0_i128..1000, days in 28_i128..=366) {
        prop_assume!(!matches!(story.terms.tariff, Tariff::Volume(_)));
        let amount = |n| story.terms.tariff.amount_minor(Share::new(n, days), story.terms.currency).unwrap();
        prop_assert!(amount(seat_days) <= amount(seat_days + more));
    }

    /// I13: the same local story in another zone makes the same documents; a day on which clocks turn is one day.
    #[test]
    fn i13_zones_do_not_matter(story in stories(), zone in prop::sample::select(ZONES.to_vec())) {
        prop_assert_eq!(Account::late(&story, Tz::UTC).documents, Account::late(&story, zone).documents);
    }
}
