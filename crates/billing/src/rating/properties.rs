//! The invariants of the design, over random calendars, zones, currencies, prices and events in any order. A failing
//! case prints its seed; `PROPTEST_CASES` says how many there are, and `make nightly` runs 10,000 of each. Which test holds
//! which invariant is listed in docs/decisions/invariants.md.

mod parts;
mod removal;
mod seats;
mod storage;
mod story;
mod tax;
mod timeline;

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use kernel::Currency;
use proptest::prelude::*;

use super::{Tariff, Tier, Tiers, UnitPrice};

/// Of both sides of the date line, of half an hour, and such that turn their clocks at midnight, on and back.
const ZONES: [Tz; 9] = [
    Tz::UTC,
    Tz::America__Los_Angeles,
    Tz::Europe__Berlin,
    Tz::Pacific__Apia,
    Tz::Pacific__Kiritimati,
    Tz::Pacific__Kwajalein,
    Tz::Australia__Lord_Howe,
    Tz::America__Havana,
    Tz::Asia__Beirut,
];

fn days_of_years() -> impl Strategy<Value = NaiveDate> {
    (0_u64..2200).prop_map(|n| NaiveDate::from_ymd_opt(2019, 1, 1).unwrap() + Days::new(n))
}

fn currencies() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["JPY", "EUR", "KWD"]).prop_map(|code| code.parse().unwrap())
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
