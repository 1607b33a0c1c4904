//! Whatever its tenants are, a reseller is billed what one tenant with all that they use would be.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::{PriceBookId, PriceId, ResellerId, WholesaleAgreementId};
use proptest::prelude::*;
use tenancy::mailbox::Kind;
use tenancy::mailbox::count::CountChange;
use tenancy::storage_sample::StorageSample;
use uuid::Uuid;

use super::super::agreement::AgreedTerms;
use super::*;
use crate::price_book::CycleLength;
use crate::rating::{
    PriceBasis, RemovalPolicy, Share, SuspensionPolicy, Tariff, Tier, Tiers, steps_of_changes,
};
use crate::subscription::SubscribedPrice;

const DAYS: u64 = 100;

fn start() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 15).unwrap()
}

fn day(n: u64) -> NaiveDate {
    start() + Days::new(n)
}

fn tariffs() -> impl Strategy<Value = Tariff> {
    let price = || (0_u64..90_000, 0_u64..100_000_000).prop_map(|(units, part)| format!("{units}.{part:08}"));
    let limits = prop::collection::btree_set(1_u32..40, 0..3);
    (0..3, limits, prop::array::uniform3(price())).prop_map(|(model, limits, prices)| {
        let limits = limits.into_iter().map(Some).chain([None]);
        let tier = |(up_to, price): (_, &String)| Tier { up_to, unit_price: price.parse().unwrap() };
        let tiers = Tiers::new(limits.zip(&prices).map(tier).collect()).unwrap();
        match model {
            0 => Tariff::Flat(prices[0].parse().unwrap()),
            1 => Tariff::Graduated(tiers),
            _ => Tariff::Volume(tiers),
        }
    })
}

/// Of each day that has one: which tenant, and how much it then has.
type Changes = BTreeMap<u64, (usize, i64)>;

/// What a reseller's tenants use: of each item at most one change a day, so that the largest level of a day is the sum of the
/// tenants'.
#[derive(Debug, Clone)]
struct Story {
    first: Tariff,
    /// What is agreed after a month.
    then: Tariff,
    committed: [i32; 2],
    removal: RemovalPolicy,
    shared: Tariff,
    storage: Tariff,
    included_bytes: i64,
    /// Seats, shared mailboxes, and bytes.
    changes: [Changes; 3],
    tenants: usize,
}

/// A tenant's changes of seats, of shared mailboxes, and of bytes.
type Uses = [Vec<(DateTime<Utc>, i64)>; 3];

/// What they make, as far as is known at the end of a day.
fn used(uses: &Uses, known_on: NaiveDate) -> Used {
    let known = |of: &[(DateTime<Utc>, i64)]| -> Vec<_> {
        of.iter().copied().filter(|(at, _)| at.date_naive() <= known_on).collect()
    };
    let [seats, shared, stored] = uses.each_ref().map(|of| known(of));
    let stored = steps_of_changes(stored).into_iter();
    let stored: Vec<_> =
        stored.map(|step| StorageSample { at: step.at, position: 0, used_bytes: step.level }).collect();
    let count = |(at, delta): &(_, i64)| CountChange { at: *at, delta: *delta as i32, kind: Kind::Shared };
    let seats = Log { seats: steps_of_changes(seats), committed: Vec::new() };
    Used::new(seats, &shared.iter().map(count).collect::<Vec<_>>(), &stored)
}

fn stories() -> impl Strategy<Value = Story> {
    let committed = prop::array::uniform2(prop_oneof![Just(0), 0..60]);
    let prices = prop::array::uniform4(tariffs());
    (prices, committed, 1_usize..5, 0_i64..20 << 30).prop_flat_map(
        |(prices, committed, tenants, included_bytes)| {
            let changes = |most: i64| prop::collection::btree_map(0..DAYS, (0..tenants, 0..most), 0..25);
            (changes(25), changes(10), changes(500 << 30)).prop_map(move |(seats, shared, bytes)| {
                let [first, then, shared_price, storage] = prices.clone();
                Story {
                    first,
                    then,
                    committed,
                    removal: RemovalPolicy::CreditToBalance,
                    shared: shared_price,
                    storage,
                    included_bytes,
                    changes: [seats, shared, bytes],
                    tenants,
                }
            })
        },
    )
}

impl Story {
    fn agreement(&self) -> Agreement {
        let price = |tariff: &Tariff, included_bytes| SubscribedPrice {
            id: PriceId::from_uuid(Uuid::nil()),
            tariff: tariff.clone(),
            currency: "EUR".parse().unwrap(),
            basis: PriceBasis::Exclusive,
            removal: self.removal,
            suspension: SuspensionPolicy::Continue,
            included_bytes,
        };
        let storage = SubscribedPrice {
            removal: RemovalPolicy::CreditToBalance,
            ..price(&self.storage, Some(self.included_bytes))
        };
        let terms = |starts_on, tariff: &Tariff, seats_committed| AgreedTerms {
            starts_on,
            price_book_id: PriceBookId::from_uuid(Uuid::nil()),
            price_book_version: 1,
            term_months: 1,
            seats_committed,
            price: price(tariff, None),
            beside: [(Item::SharedMailbox, price(&self.shared, None)), (Item::Storage, storage.clone())]
                .into(),
        };
        let changed_on = NaiveDate::from_ymd_opt(2026, 2, 15).unwrap();
        Agreement {
            id: WholesaleAgreementId::from_uuid(Uuid::nil()),
            reseller_id: ResellerId::from_uuid(Uuid::nil()),
            operator_name: String::new(),
            terms: terms(changed_on, &self.then, self.committed[1]),
            interval: CycleLength::Month,
            currency: "EUR".parse().unwrap(),
            time_zone: Tz::UTC,
            anchor_date: start(),
            starts_on: start(),
            next_invoice_on: start(),
            parked_reason: None,
            version: 1,
            created_at: DateTime::default(),
            earlier: vec![terms(start(), &self.first, self.committed[0])],
        }
    }

    /// What each tenant uses.
    fn uses(&self) -> Vec<Uses> {
        let mut uses = vec![Uses::default(); self.tenants];
        for (item, changes) in self.changes.iter().enumerate() {
            let mut levels = vec![0; self.tenants];
            for (n, (tenant, level)) in changes {
                let at = day(*n).and_hms_opt(12, 0, 0).unwrap().and_utc();
                uses[*tenant][item].push((at, level - levels[*tenant]));
                levels[*tenant] = *level;
            }
        }
        uses
    }

    /// The lines of every boundary by the end, each billed when it is due, or all `late`.
    fn billed(&self, uses: &[Uses], late: bool) -> Vec<PartyLine> {
        let agreement = self.agreement();
        let party = |n| Party {
            tenant_id: TenantId::from_uuid(Uuid::from_u128(n)),
            used: Used::default(),
            cycles: Cycles::new(),
        };
        let parties = (1..).take(uses.len()).map(party).collect();
        let mut account = Account::new(&agreement, parties, Cycles::new());
        let (mut boundary, mut settled, mut lines) = (start(), None, Vec::new());
        while boundary < day(DAYS + 40) {
            for (party, uses) in account.parties.iter_mut().zip(uses) {
                party.used = used(uses, if late { NaiveDate::MAX } else { boundary });
            }
            let since_the_start =
                |party: &Party| (party.tenant_id, vec![Counted { from: start(), until: None }]);
            let counted =
                CountedAt { boundary, tenants: account.parties.iter().map(since_the_start).collect() };
            lines.extend(account.bill(&counted, settled).unwrap().lines);
            assert!(account.bill(&counted, None).unwrap().lines.is_empty(), "again");
            settled = Some(boundary);
            boundary = account.next_boundary(boundary).unwrap();
        }
        lines
    }
}

/// Of each item and cycle, what the lines come to if that is anything.
fn sums(lines: &[PartyLine]) -> BTreeMap<(Item, NaiveDate), i64> {
    let mut sums = BTreeMap::new();
    for PartyLine { rated: RatedLine { item, line, .. }, .. } in lines {
        *sums.entry((*item, line.cycle.charged.start())).or_default() += line.charge.amount_minor;
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn id(n: usize) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(n as u128 + 1))
}

/// What somebody has on a day and in the night before it.
fn levels(changes: &[(DateTime<Utc>, i64)], n: u64) -> [i64; 2] {
    [n, n + 1].map(|night| {
        changes.iter().filter(|(at, _)| at.date_naive() < day(night)).map(|(_, delta)| delta).sum()
    })
}

proptest! {
    // Each of these cases is many: unless a number is asked for, some will do.
    #![proptest_config(ProptestConfig::with_cases(testkit::cases(100)))]

    #[test]
    fn a_reseller_is_billed_as_one_tenant_with_all_that_they_use(story in stories()) {
        let uses = story.uses();
        let mut all = Uses::default();
        for (item, of) in all.iter_mut().enumerate() {
            *of = uses.iter().flat_map(|uses| uses[item].clone()).collect();
            of.sort();
        }
        let lines = story.billed(&uses, false);
        prop_assert_eq!(sums(&lines), sums(&story.billed(&[all.clone()], false)));
        // In another order of the tenants, too.
        let reversed: Vec<_> = uses.iter().rev().cloned().collect();
        prop_assert_eq!(sums(&lines), sums(&story.billed(&reversed, false)));
        // One late run makes the lines of those that were on time.
        prop_assert_eq!(format!("{:?}", lines), format!("{:?}", story.billed(&uses, true)));
        // Each day is billed to each tenant as often as it holds units on it, and what is left of the commitment to nobody.
        for n in 0..DAYS {
            for (index, item) in [Item::Mailbox, Item::SharedMailbox].into_iter().enumerate() {
                let mut used = 0;
                for (tenant, uses) in uses.iter().enumerate() {
                    let held = levels(&uses[index], n).into_iter().max().unwrap();
                    prop_assert_eq!(billed_on(&lines, item, Some(id(tenant)), day(n)), held, "on day {}", n);
                    used += held;
                }
                let committed = story.committed[usize::from(day(n) >= story.agreement().terms.starts_on)];
                let left = if item == Item::Mailbox { (i64::from(committed) - used).max(0) } else { 0 };
                prop_assert_eq!(billed_on(&lines, item, None, day(n)), left, "on day {}", n);
            }
        }
    }

    /// By sums of halves of days, in which nothing changes.
    #[test]
    fn what_all_store_beyond_what_all_seats_may_is_charged_to_those_who_do(story in stories()) {
        let uses = story.uses();
        let lines = story.billed(&uses, false);
        let agreement = story.agreement();
        let cycle_of = |n| agreement.timeline(Item::Storage).cycle_at(day(n)).unwrap().unwrap().charged;
        let mut n = 0;
        while cycle_of(n).end() <= day(DAYS) {
            let cycle = cycle_of(n);
            let days = n..n + cycle.days() as u64;
            n = days.end;
            let (mut beyond, mut of_each) = (0_i128, vec![0_i128; uses.len()]);
            for n in days {
                let mut held = 0;
                for (of_each, [seats, _, bytes]) in of_each.iter_mut().zip(&uses) {
                    let seats = levels(seats, n).into_iter().max().unwrap();
                    let stored: i64 = levels(bytes, n).iter().sum();
                    *of_each += i128::from(stored) * 43_200 - i128::from(seats * story.included_bytes) * 86_400;
                    held += seats;
                }
                let committed = story.committed[usize::from(day(n) >= agreement.terms.starts_on)];
                let unused = (i64::from(committed) - held).max(0);
                beyond -= i128::from(unused * story.included_bytes) * 86_400;
            }
            beyond += of_each.iter().sum::<i128>();
            let gib = Share::new(beyond.max(0), (i128::from(cycle.days()) * 86_400) << 30);
            let cost = story.storage.amount_minor(gib, agreement.currency).unwrap();
            let of_cycle = || lines.iter().filter(|line| {
                line.rated.item == Item::Storage && line.rated.line.cycle.charged == cycle
            });
            let billed: i64 = of_cycle().map(|line| line.rated.line.charge.amount_minor).sum();
            prop_assert_eq!(billed, cost);
            // Each its part, to less than a cent.
            let weights: i128 = of_each.iter().map(|of_each| (*of_each).max(0)).sum();
            for (tenant, of_each) in of_each.iter().enumerate() {
                let part = Share::new(i128::from(cost) * (*of_each).max(0), weights.max(1));
                let lines = of_cycle().filter(|line| line.tenant_id == Some(id(tenant)));
                let billed: Vec<_> = lines.map(|line| line.rated.line.charge.amount_minor).collect();
                prop_assert!(billed.len() <= 1);
                let off = Share::from(i128::from(billed.iter().sum::<i64>())) - part;
                prop_assert!(Share::from(-1) < off && off < Share::from(1), "{billed:?} of {part}");
            }
        }
        prop_assert!(n > 0);
    }

    /// Under every policy a month of the same seats costs the price of all of them, once rounded.
    #[test]
    fn a_month_of_the_same_seats_is_the_price_of_their_sum(
        story in stories(),
        seats in prop::collection::vec(0_i64..30, 1..6),
        locked in any::<bool>(),
    ) {
        let removal = if locked { RemovalPolicy::LockedUntilTermEnd { grace_days: 7 } } else { RemovalPolicy::AtCycleEnd };
        let story = Story { removal, then: story.first.clone(), committed: [story.committed[0]; 2], ..story };
        let midnight = start().and_hms_opt(0, 0, 0).unwrap().and_utc();
        let of = |seats: &i64| [vec![(midnight, *seats)], Vec::new(), Vec::new()];
        let uses: Vec<Uses> = seats.iter().map(of).collect();
        let units = seats.iter().sum::<i64>().max(story.committed[0].into());
        let month = story.first.amount_minor(i128::from(units).into(), "EUR".parse().unwrap()).unwrap();
        let lines = story.billed(&uses, false);
        prop_assert!(sums(&lines).values().all(|sum| *sum == month), "{:?} and not {}", sums(&lines), month);
        prop_assert!(lines.iter().all(|line| line.rated.line.charge.quantity > 0));
    }
}

/// How many units of an item somebody was billed for a day.
fn billed_on(lines: &[PartyLine], item: Item, whose: Option<TenantId>, day: NaiveDate) -> i64 {
    let of_day = lines.iter().filter(|line| {
        (line.rated.item, line.tenant_id) == (item, whose) && line.rated.line.charge.period.contains(day)
    });
    of_day.map(|line| line.rated.line.charge.quantity).sum()
}
