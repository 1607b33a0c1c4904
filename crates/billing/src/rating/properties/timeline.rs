//! The invariants under terms that change: prices, intervals, trials, suspensions, ends (I4 to I8, I10).

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::super::*;
use super::story::{Account, LAST_DAY, Story, end_of, stories};
use super::{ZONES, prices, tariffs};

/// A story of seats, and what becomes of the terms meanwhile.
#[derive(Debug, Clone)]
struct Changes {
    story: Story,
    segments: Vec<Segment>,
    suspensions: Vec<Suspension>,
    discounts: Vec<Discount>,
    ends_on: Option<NaiveDate>,
}

impl Changes {
    fn timeline(&self) -> Timeline {
        Timeline::new(self.story.currency, self.segments.clone())
            .suspended(self.suspensions.clone())
            .discounted(self.discounts.clone())
            .ending_on(self.ends_on)
    }

    /// What is charged on a day, by looking at every segment; `None` if nothing is.
    fn terms_on(&self, day: NaiveDate) -> Option<&Terms> {
        let begins = |from: NaiveDate| from <= day && self.ends_on.is_none_or(|end| from < end);
        let segment = self.segments.iter().filter(|segment| begins(segment.from)).max_by_key(|s| s.from)?;
        let terms = segment.terms.as_ref()?;
        let suspended = |s: &Suspension| s.from <= day && s.until.is_none_or(|until| day < until);
        let is_paused = terms.suspension == SuspensionPolicy::Pause && self.suspensions.iter().any(suspended);
        (!is_paused).then_some(terms)
    }

    /// The largest percentage and the sum of the amounts.
    fn discount_on(&self, day: NaiveDate) -> (Percentage, UnitPrice) {
        let counts = |d: &&Discount| d.from <= day && d.until.is_none_or(|until| day < until);
        let none = (Percentage::ZERO, UnitPrice::ZERO);
        self.discounts.iter().filter(counts).fold(none, |(percentage, amount), discount| match discount.off {
            Off::Percentage(other) => (percentage.max(other), amount),
            Off::Amount(other) => (percentage, amount.plus(other)),
        })
    }

    fn horizon(&self) -> NaiveDate {
        self.story.starts_on + Days::new(LAST_DAY + 200)
    }

    /// As it has come to be by the horizon.
    fn settled(&self, mut account: Account) -> Account {
        let log = self.story.log(account.zone, NaiveDateTime::MAX);
        account.run(self.horizon(), &log);
        account.bill(self.horizon(), &log);
        account
    }
}

fn policies() -> impl Strategy<Value = RemovalPolicy> {
    prop_oneof![
        1 => Just(RemovalPolicy::AtCycleEnd),
        2 => Just(RemovalPolicy::CreditToBalance),
        1 => (0_u32..9).prop_map(|grace_days| RemovalPolicy::LockedUntilTermEnd { grace_days }),
    ]
}

fn some_terms(start: NaiveDate) -> impl Strategy<Value = Terms> {
    let intervals = prop::sample::select(vec![
        (Interval::MONTH, PaymentSchedule::AtOnce, Interval::Months(6)),
        (Interval::MONTH, PaymentSchedule::AtOnce, Interval::MONTH),
        (Interval::YEAR, PaymentSchedule::AtOnce, Interval::YEAR),
        (Interval::YEAR, PaymentSchedule::Monthly, Interval::YEAR),
        (Interval::Days(10), PaymentSchedule::AtOnce, Interval::Days(20)),
    ]);
    let suspension = prop::sample::select(vec![SuspensionPolicy::Continue, SuspensionPolicy::Pause]);
    (tariffs(), intervals, policies(), suspension, -40_i64..160).prop_map(
        move |(tariff, (interval, payment, term), removal, suspension, anchor)| {
            let anchor = start + chrono::TimeDelta::days(anchor);
            Terms { tariff, interval, payment, anchor, term, removal, suspension }
        },
    )
}

/// Of a few terms, so that some come back, and some change nothing but the price.
fn changes() -> impl Strategy<Value = Changes> {
    stories().prop_flat_map(|story| {
        let start = story.starts_on;
        let day = move |offset: u64| start + Days::new(offset);
        let terms = prop::collection::vec(some_terms(start), 1..3);
        let turns = prop::collection::btree_map(
            1..=LAST_DAY,
            (prop::option::weighted(0.8, 0_usize..4), tariffs()),
            0..4,
        );
        let suspensions = prop::collection::vec((0..=LAST_DAY, prop::option::of(0..60_u64)), 0..3);
        let ends_on = prop::option::of(1..=LAST_DAY + 30);
        let percentages = prop::sample::select(vec!["0.5", "12.5", "33.3333", "100"]);
        let off = prop_oneof![
            percentages.prop_map(|text| Off::Percentage(text.parse().unwrap())),
            prices().prop_map(Off::Amount),
            prop::sample::select(vec!["0.01", "5", "20"]).prop_map(|text| Off::Amount(text.parse().unwrap())),
        ];
        let discounts = prop::collection::vec((off, 0..=LAST_DAY, prop::option::of(0..90_u64)), 0..3);
        (Just(story), terms, turns, suspensions, discounts, ends_on).prop_map(
            move |(story, terms, turns, suspensions, discounts, ends_on)| {
                let turn = |(offset, (index, tariff)): (u64, (Option<usize>, Tariff))| {
                    let of = |index: usize| match terms.get(index) {
                        Some(terms) => terms.clone(),
                        None => Terms { tariff, ..terms[0].clone() },
                    };
                    Segment { from: day(offset), terms: index.map(of) }
                };
                let first = Segment { from: start, terms: Some(terms[0].clone()) };
                let segments = [first].into_iter().chain(turns.into_iter().map(turn)).collect();
                let suspension = |(from, days): (u64, Option<u64>)| Suspension {
                    from: day(from),
                    until: days.map(|days| day(from + days)),
                };
                let suspensions = suspensions.into_iter().map(suspension).collect();
                let discount = |(off, from, days): (Off, u64, Option<u64>)| Discount {
                    off,
                    from: day(from),
                    until: days.map(|days| day(from + days)),
                };
                let discounts = discounts.into_iter().map(discount).collect();
                Changes { story, segments, suspensions, discounts, ends_on: ends_on.map(day) }
            },
        )
    })
}

/// Each of these cases is many: unless a number is asked for, a few will do.
fn few() -> ProptestConfig {
    ProptestConfig::with_cases(testkit::cases(64))
}

proptest! {
    #![proptest_config(few())]

    /// I4, I5: cycles do not overlap; each unit in force is charged exactly once a day, at the rate of that day, and
    /// on days on which nothing is to be charged nothing is.
    #[test]
    fn i5_every_active_day_is_charged_once(changes in changes(), zone in prop::sample::select(ZONES.to_vec())) {
        let account = changes.settled(Account::new(changes.timeline(), zone));
        let mut charged_until = None;
        for state in &account.cycles {
            prop_assert!(charged_until <= Some(state.cycle.charged.start()));
            charged_until = Some(state.cycle.charged.end());
        }
        let mut charged = BTreeMap::<(NaiveDate, &Rate), i64>::new();
        for line in account.cycles.iter().flat_map(|state| &state.billed) {
            for day in line.period.each_day() {
                *charged.entry((day, &line.rate)).or_default() += line.quantity;
            }
        }
        charged.retain(|_, quantity| *quantity != 0);
        for day in changes.story.starts_on.iter_days().take_while(|day| *day < changes.horizon()) {
            let found: Vec<(&Rate, i64)> =
                charged.iter().filter(|((at, _), _)| *at == day).map(|((_, rate), q)| (*rate, *q)).collect();
            let used = if changes.ends_on.is_some_and(|end| end <= day) { 0 } else { changes.story.quantity(day) };
            match (changes.terms_on(day), found.as_slice()) {
                (Some(terms), [(rate, quantity)]) => {
                    prop_assert_eq!(&rate.tariff, &terms.tariff);
                    prop_assert_eq!((rate.discount, rate.off), changes.discount_on(day));
                    let exactly = terms.removal == RemovalPolicy::CreditToBalance;
                    prop_assert!(if exactly { *quantity == used } else { *quantity >= used }, "on {}", day);
                }
                (Some(_), []) => prop_assert_eq!(used, 0, "on {}", day),
                (None, []) => {}
                (terms, found) => prop_assert!(false, "{found:?} on {day} by {terms:?}"),
            }
        }
    }

    /// I6: terms that are said again, and suspensions that do not concern them, change nothing.
    #[test]
    fn i6_no_op_changes(changes in changes(), again in prop::collection::vec(0..=LAST_DAY, 1..6)) {
        let plain = changes.settled(Account::new(changes.timeline(), Tz::UTC));
        let mut split = changes.clone();
        for offset in again {
            let from = changes.story.starts_on + Days::new(offset);
            let before = changes.segments.iter().filter(|segment| segment.from <= from);
            let terms = before.max_by_key(|segment| segment.from).and_then(|segment| segment.terms.clone());
            split.segments.push(Segment { from, terms });
        }
        if changes.segments.iter().flat_map(|s| &s.terms).all(|t| t.suspension == SuspensionPolicy::Continue) {
            split.suspensions.clear();
        }
        let split = changes.settled(Account::new(split.timeline(), Tz::UTC));
        prop_assert_eq!(plain.documents, split.documents);
    }

    /// I7: totals depend neither on when runs happened, nor on what was known then of the seats and of the terms.
    #[test]
    fn i7_totals_do_not_depend_on_what_was_known(
        changes in changes(),
        known in (0_usize..4, 0_usize..3),
        runs in prop::collection::btree_set(0..=LAST_DAY + 100, 0..8),
    ) {
        let at_once = changes.settled(Account::new(changes.timeline(), Tz::UTC));
        let mut before = changes.clone();
        before.segments.truncate(known.0.max(1));
        before.suspensions.truncate(known.1);
        before.discounts.truncate(known.1);
        before.ends_on = None;
        let mut late = Account::new(before.timeline(), Tz::UTC);
        for day in runs {
            let day = changes.story.starts_on + Days::new(day);
            late.run(day, &changes.story.log(Tz::UTC, end_of(day)));
        }
        late.change(changes.timeline());
        let late = changes.settled(late);
        let nonzero = |account: &Account| {
            let mut totals = account.totals_by_rate();
            totals.retain(|_, total| *total != 0);
            totals
        };
        prop_assert_eq!(nonzero(&at_once), nonzero(&late));
    }

    /// I8: the order of segments, and billing again, change nothing.
    #[test]
    fn i8_order_and_replays(changes in changes()) {
        let plain = changes.settled(Account::new(changes.timeline(), Tz::UTC));
        let mut reversed = changes.clone();
        reversed.segments.reverse();
        reversed.suspensions.reverse();
        let mut again = changes.settled(Account::new(reversed.timeline(), Tz::UTC));
        prop_assert_eq!(&plain.documents, &again.documents);
        again.bill(changes.horizon(), &changes.story.log(Tz::UTC, NaiveDateTime::MAX));
        prop_assert_eq!(again.documents.last().map(|(_, lines)| lines.len()), Some(0));
    }

    /// I10: credits never exceed what was billed of a cycle at a rate, and when everything turns out never to have
    /// been subscribed to, exactly nothing remains.
    #[test]
    fn i10_credits_never_exceed_charges(changes in changes()) {
        let mut account = changes.settled(Account::new(changes.timeline(), Tz::UTC));
        let mut sums = BTreeMap::<(NaiveDate, Rate), i64>::new();
        for line in account.lines() {
            let sum = sums.entry((line.cycle.charged.start(), line.rate.clone())).or_default();
            *sum += line.charge.amount_minor;
            prop_assert!(*sum >= 0, "{:?}", line);
        }
        account.change(Timeline::new(changes.story.currency, Vec::new()));
        account.bill(changes.horizon(), &changes.story.log(Tz::UTC, NaiveDateTime::MAX));
        prop_assert!(account.totals_by_rate().values().all(|total| *total == 0));
    }

    /// Boundaries come to an end with what is charged, and begin with it.
    #[test]
    fn boundaries_follow_what_is_charged(changes in changes()) {
        let timeline = changes.timeline();
        let mut day = timeline.first_boundary().unwrap();
        let mut last = None;
        let far = changes.horizon() + Days::new(800);
        while let Some(boundary) = day.filter(|boundary| *boundary < far) {
            prop_assert!(last < day);
            let around = [boundary.pred_opt().unwrap(), boundary];
            let held = changes.ends_on.is_some_and(|end| end <= boundary);
            prop_assert!(held || around.iter().any(|day| changes.terms_on(*day).is_some()), "{}", boundary);
            (last, day) = (day, timeline.next_boundary(boundary).unwrap());
        }
    }
}
