//! Whatever its tenants are, a reseller is billed what one tenant with all their seats would be.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::{PriceBookId, PriceId, ResellerId, WholesaleAgreementId};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::agreement::AgreedTerms;
use super::*;
use crate::price_book::CycleLength;
use crate::rating::{PriceBasis, RemovalPolicy, SuspensionPolicy, Tariff, Tier, Tiers, steps_of_changes};
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

/// A reseller's seats: at most one change a day, so that the largest level of a day is the sum of the tenants'.
#[derive(Debug, Clone)]
struct Story {
    first: Tariff,
    /// What is agreed after a month.
    then: Tariff,
    committed: [i32; 2],
    removal: RemovalPolicy,
    /// Of each day that has one: which tenant, and how many seats it then holds.
    changes: BTreeMap<u64, (usize, i64)>,
    tenants: usize,
}

fn stories() -> impl Strategy<Value = Story> {
    let committed = prop::array::uniform2(prop_oneof![Just(0), 0..60]);
    (tariffs(), tariffs(), committed, 1_usize..5).prop_flat_map(|(first, then, committed, tenants)| {
        let changes = prop::collection::btree_map(0..DAYS, (0..tenants, 0_i64..25), 0..25);
        changes.prop_map(move |changes| Story {
            first: first.clone(),
            then: then.clone(),
            committed,
            removal: RemovalPolicy::CreditToBalance,
            changes,
            tenants,
        })
    })
}

impl Story {
    fn agreement(&self) -> Agreement {
        let terms = |starts_on, tariff: &Tariff, seats_committed| AgreedTerms {
            starts_on,
            price_book_id: PriceBookId::from_uuid(Uuid::nil()),
            price_book_version: 1,
            term_months: 1,
            seats_committed,
            price: SubscribedPrice {
                id: PriceId::from_uuid(Uuid::nil()),
                tariff: tariff.clone(),
                currency: "EUR".parse().unwrap(),
                basis: PriceBasis::Exclusive,
                removal: self.removal,
                suspension: SuspensionPolicy::Continue,
                included_bytes: None,
            },
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

    /// The changes of each tenant's seats.
    fn logs(&self) -> Vec<Vec<(DateTime<Utc>, i64)>> {
        let (mut logs, mut levels) = (vec![Vec::new(); self.tenants], vec![0; self.tenants]);
        for (n, (tenant, level)) in &self.changes {
            let at = day(*n).and_hms_opt(12, 0, 0).unwrap().and_utc();
            logs[*tenant].push((at, level - levels[*tenant]));
            levels[*tenant] = *level;
        }
        logs
    }

    /// Everything that is billed by the end: by cycle, what the lines come to; and the lines of each tenant.
    fn billed(&self, logs: &[Vec<(DateTime<Utc>, i64)>]) -> (BTreeMap<NaiveDate, i64>, Vec<PartyLine>) {
        let agreement = self.agreement();
        let whole: BTreeMap<TenantId, Log> = logs
            .iter()
            .zip(1_u128..)
            .map(|(log, n)| {
                let seats = steps_of_changes(log.iter().copied());
                (TenantId::from_uuid(Uuid::from_u128(n)), Log { seats, committed: Vec::new() })
            })
            .collect();
        let party =
            |(id, _): (&TenantId, &Log)| Party { tenant_id: *id, log: Log::default(), cycles: Vec::new() };
        let mut account = Account::new(&agreement, whole.iter().map(party).collect(), Vec::new());
        let (mut boundary, mut lines) = (start(), Vec::new());
        while boundary < day(DAYS + 40) {
            // What is known then.
            for (party, log) in account.parties.iter_mut().zip(whole.values()) {
                let known = |step: &&crate::rating::Step| step.at.date_naive() <= boundary;
                party.log.seats = log.seats.iter().take_while(known).copied().collect();
            }
            let counted = |_| vec![Counted { from: start(), until: None }];
            let (found, _) = account.bill(boundary, counted).unwrap();
            assert_eq!(account.bill(boundary, counted).unwrap().0, Vec::new(), "again");
            lines.extend(found);
            boundary = account.next_boundary(boundary).unwrap();
        }
        let mut sums = BTreeMap::new();
        for (_, line) in &lines {
            *sums.entry(line.cycle.charged.start()).or_default() += line.charge.amount_minor;
        }
        (sums, lines)
    }
}

proptest! {
    #[test]
    fn a_reseller_is_billed_as_one_tenant_with_all_seats(story in stories()) {
        let logs = story.logs();
        let mut all = logs.concat();
        all.sort();
        let (sums, lines) = story.billed(&logs);
        let (as_one, _) = story.billed(&[all]);
        let without_nothing = |sums: BTreeMap<NaiveDate, i64>| -> BTreeMap<NaiveDate, i64> {
            sums.into_iter().filter(|(_, sum)| *sum != 0).collect()
        };
        prop_assert_eq!(without_nothing(sums.clone()), without_nothing(as_one));
        // In another order of the tenants, too.
        let reversed: Vec<_> = logs.iter().rev().cloned().collect();
        let (turned, _) = story.billed(&reversed);
        prop_assert_eq!(without_nothing(sums), without_nothing(turned));
        // Each day is billed to each tenant as often as it holds seats on it, and what is left of the commitment to nobody.
        for n in 0..DAYS {
            let mut used = 0;
            for (log, id) in logs.iter().zip(1_u128..) {
                let billed = billed_on(&lines, Some(TenantId::from_uuid(Uuid::from_u128(id))), day(n));
                let at_night = |night: u64| -> i64 {
                    log.iter().filter(|(at, _)| at.date_naive() < day(night)).map(|(_, delta)| delta).sum()
                };
                let held = at_night(n).max(at_night(n + 1));
                prop_assert_eq!(billed, held, "on day {}", n);
                used += held;
            }
            let committed = story.committed[usize::from(day(n) >= story.agreement().terms.starts_on)];
            prop_assert_eq!(billed_on(&lines, None, day(n)), (i64::from(committed) - used).max(0), "on day {}", n);
        }
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
        let logs: Vec<_> = seats.iter().map(|seats| vec![(midnight, *seats)]).collect();
        let units = seats.iter().sum::<i64>().max(story.committed[0].into());
        let month = story.first.amount_minor(i128::from(units).into(), "EUR".parse().unwrap()).unwrap();
        let (sums, lines) = story.billed(&logs);
        prop_assert!(sums.values().all(|sum| *sum == month), "{:?} and not {}", sums, month);
        prop_assert!(lines.iter().all(|(_, line)| line.charge.quantity > 0));
    }
}

/// How many units somebody was billed for a day.
fn billed_on(lines: &[PartyLine], whose: Option<TenantId>, day: NaiveDate) -> i64 {
    let of_day = lines.iter().filter(|(of, line)| *of == whose && line.charge.period.contains(day));
    of_day.map(|(_, line)| line.charge.quantity).sum()
}
