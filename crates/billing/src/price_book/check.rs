//! Prices as a caller gives them, checked together: every mistake is pointed at.

use std::collections::BTreeSet;

use kernel::{Checks, Currency, Env, PriceId};

use super::{ChangesBilled, CycleLength, Item, NewPrice, Price, tariff};
use crate::Error;
use crate::rating::{RemovalPolicy, SuspensionPolicy};

/// The longest grace that a lock may have.
const MAX_GRACE_DAYS: u32 = 365;
/// The most that a seat may store for nothing: a PiB.
const MAX_INCLUDED_BYTES: i64 = 1 << 50;

pub(super) fn all(env: &Env, prices: &[NewPrice]) -> Result<Vec<Price>, Error> {
    let mut checks = Checks::default();
    checks.require((1..=100).contains(&prices.len()), "/prices", "must have 1 to 100 prices");
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for (index, new) in prices.iter().enumerate() {
        let at = |field: &str| format!("/prices/{index}/{field}");
        let mixed = prices.first().is_some_and(|first| first.currency != new.currency);
        checks.require(!mixed, &at("currency"), "must be the same in all prices of a book");
        if let Some(price) = one(&mut checks, env, new, &at) {
            let twice = "the book has another price for this item and interval";
            checks.require(seen.insert((price.item, price.interval)), &at("interval"), twice);
            checked.push(price);
        }
    }
    // Nobody could subscribe by it.
    let is_alone = |new: &NewPrice| {
        let is_beside = new.item.parse().is_ok_and(|item: Item| item != Item::Mailbox);
        let is_seat =
            |other: &NewPrice| other.item == Item::Mailbox.as_str() && other.interval == new.interval;
        is_beside && new.interval.parse::<CycleLength>().is_ok() && !prices.iter().any(is_seat)
    };
    for (index, _) in prices.iter().enumerate().filter(|(_, new)| is_alone(new)) {
        let pointer = format!("/prices/{index}/interval");
        checks.require(false, &pointer, "the book has no price for a mailbox for this interval");
    }
    checks.done().map_err(Error::Invalid)?;
    // They are read in the order of their ids: those made in one millisecond shall be in the order given, too.
    let mut ids: Vec<PriceId> = checked.iter().map(|price| price.id).collect();
    ids.sort_unstable();
    for (price, id) in checked.iter_mut().zip(ids) {
        price.id = id;
    }
    Ok(checked)
}

fn one(checks: &mut Checks, env: &Env, new: &NewPrice, at: &dyn Fn(&str) -> String) -> Option<Price> {
    let item = new.item.parse::<Item>().ok();
    let item = checks.value(item, &at("item"), "must be mailbox, shared_mailbox, archive or storage");
    let interval = new.interval.parse::<CycleLength>().ok();
    let interval = checks.value(interval, &at("interval"), "must be month or year");
    let tariff = tariff::check(checks, new, at);
    let currency = new.currency.parse::<Currency>().ok();
    let currency = checks.value(currency, &at("currency"), "must be an ISO 4217 code that has minor units");
    let removal_policy = removal_policy(checks, new, at);
    let suspension = new.suspension_policy.as_deref();
    let suspension = suspension.map_or(Some(SuspensionPolicy::default()), |name| name.parse().ok());
    let suspension_policy = checks.value(suspension, &at("suspension_policy"), "must be continue or pause");
    let changes_billed = new.changes_billed.as_deref();
    let changes_billed = changes_billed.map_or(Some(ChangesBilled::default()), |name| name.parse().ok());
    let changes_billed = checks.value(changes_billed, &at("changes_billed"), "must be monthly or daily");
    let setup_price = new.setup_price.as_deref();
    let setup_price = setup_price.and_then(|text| tariff::unit_price(checks, text, &at("setup_price")));
    let item = item?;
    for (field, is_given) in
        [("setup_price", new.setup_price.is_some()), ("changes_billed", new.changes_billed.is_some())]
    {
        checks.require(item == Item::Mailbox || !is_given, &at(field), "is for a mailbox only");
    }
    let is_storage = item == Item::Storage;
    if is_storage {
        let no_bytes = "is for what is counted: what is stored no more is charged no more";
        checks.require(new.removal_policy.is_none(), &at("removal_policy"), no_bytes);
        let as_seats = "is for what is counted: storage is paused where its mailboxes are";
        checks.require(new.suspension_policy.is_none(), &at("suspension_policy"), as_seats);
        let needed = "is needed for storage: 0 if nothing is included";
        checks.require(new.included_bytes.is_some(), &at("included_bytes"), needed);
    } else {
        checks.require(new.included_bytes.is_none(), &at("included_bytes"), "is for storage only");
    }
    let in_range = new.included_bytes.is_none_or(|bytes| (0..=MAX_INCLUDED_BYTES).contains(&bytes));
    let range = format_args!("must be 0 to {MAX_INCLUDED_BYTES}");
    checks.require(in_range, &at("included_bytes"), range);
    Some(Price {
        id: env.new_id(),
        item,
        interval: interval?,
        tariff: tariff?,
        currency: currency?,
        removal_policy: if is_storage { RemovalPolicy::CreditToBalance } else { removal_policy? },
        suspension_policy: suspension_policy?,
        setup_price,
        changes_billed: changes_billed?,
        included_bytes: new.included_bytes,
    })
}

fn removal_policy(checks: &mut Checks, new: &NewPrice, at: &dyn Fn(&str) -> String) -> Option<RemovalPolicy> {
    let policy =
        new.removal_policy.as_deref().map_or(Some(RemovalPolicy::default()), RemovalPolicy::from_name);
    let names = "must be at_cycle_end, credit_to_balance or locked_until_term_end";
    let policy = checks.value(policy, &at("removal_policy"), names);
    let is_some = format_args!("must be at most {MAX_GRACE_DAYS}");
    checks.require(new.grace_days.is_none_or(|days| days <= MAX_GRACE_DAYS), &at("grace_days"), is_some);
    let is_locked = policy.is_none_or(|policy| policy.grace_days().is_some());
    checks.require(
        is_locked || new.grace_days.is_none(),
        &at("grace_days"),
        "is for locked_until_term_end only",
    );
    match (policy?, new.grace_days) {
        (RemovalPolicy::LockedUntilTermEnd { .. }, Some(grace_days)) => {
            Some(RemovalPolicy::LockedUntilTermEnd { grace_days })
        }
        (policy, _) => Some(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::NewTier;
    use super::*;
    use crate::rating::Tariff;

    fn price() -> NewPrice {
        NewPrice {
            item: "mailbox".into(),
            interval: "month".into(),
            model: "flat".into(),
            unit_price: Some("4.50".into()),
            currency: "EUR".into(),
            ..NewPrice::default()
        }
    }

    fn mistakes(prices: &[NewPrice]) -> Vec<String> {
        match all(&Env::system(), prices) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        let yearly = NewPrice { interval: "year".into(), ..price() };
        assert_eq!(all(&Env::system(), &[price(), yearly.clone()]).unwrap().len(), 2);
        assert_eq!(mistakes(&[]), ["/prices"]);
        assert_eq!(mistakes(&[price(), price()]), ["/prices/1/interval"]);
        assert_eq!(
            mistakes(&[price(), NewPrice { currency: "USD".into(), ..yearly.clone() }]),
            ["/prices/1/currency"]
        );
        assert_eq!(
            mistakes(&[NewPrice { unit_price: Some("-1".into()), currency: "eur".into(), ..price() }]),
            ["/prices/0/unit_price", "/prices/0/currency"]
        );
        let all_wrong = NewPrice {
            item: "coffee".into(),
            interval: "week".into(),
            model: "fixed".into(),
            removal_policy: Some("never".into()),
            suspension_policy: Some("stop".into()),
            changes_billed: Some("hourly".into()),
            grace_days: Some(366),
            ..price()
        };
        let fields = [
            "item",
            "interval",
            "model",
            "removal_policy",
            "grace_days",
            "suspension_policy",
            "changes_billed",
        ];
        assert_eq!(mistakes(&[all_wrong]), fields.map(|field| format!("/prices/0/{field}")));
    }

    #[test]
    fn storage_says_what_is_included_and_has_no_policies() {
        let storage = NewPrice { item: "storage".into(), included_bytes: Some(0), ..price() };
        let checked = all(&Env::system(), &[price(), storage.clone()]).unwrap();
        assert_eq!(checked[1].included_bytes, Some(0));
        for (wrong, pointer) in [
            (NewPrice { included_bytes: None, ..storage.clone() }, "included_bytes"),
            (NewPrice { included_bytes: Some(-1), ..storage.clone() }, "included_bytes"),
            (NewPrice { removal_policy: Some("at_cycle_end".into()), ..storage.clone() }, "removal_policy"),
            (NewPrice { suspension_policy: Some("pause".into()), ..storage.clone() }, "suspension_policy"),
            (NewPrice { setup_price: Some("1".into()), ..storage.clone() }, "setup_price"),
            (NewPrice { changes_billed: Some("daily".into()), ..storage.clone() }, "changes_billed"),
            (NewPrice { item: "archive".into(), ..storage.clone() }, "included_bytes"),
            (NewPrice { interval: "year".into(), ..storage }, "interval"),
        ] {
            assert_eq!(mistakes(&[price(), wrong]), [format!("/prices/1/{pointer}")]);
        }
    }

    #[test]
    fn only_a_lock_has_days_of_grace() {
        let locked = NewPrice { removal_policy: Some("locked_until_term_end".into()), ..price() };
        let of = |new: &NewPrice| all(&Env::system(), std::slice::from_ref(new)).unwrap()[0].removal_policy;
        assert_eq!(of(&locked).grace_days(), Some(7));
        assert_eq!(of(&NewPrice { grace_days: Some(0), ..locked }).grace_days(), Some(0));
        assert_eq!(mistakes(&[NewPrice { grace_days: Some(7), ..price() }]), ["/prices/0/grace_days"]);
    }

    #[test]
    fn a_price_is_flat_or_has_tiers() {
        let tier = |up_to, price: &str| NewTier { up_to, unit_price: price.into() };
        let tiers = vec![tier(Some(10), "5"), tier(None, "4")];
        let tiered =
            NewPrice { model: "graduated".into(), unit_price: None, tiers: tiers.clone(), ..price() };
        assert!(matches!(
            all(&Env::system(), std::slice::from_ref(&tiered)).unwrap()[0].tariff,
            Tariff::Graduated(_)
        ));
        let volume = NewPrice { model: "volume".into(), ..tiered.clone() };
        assert!(matches!(all(&Env::system(), &[volume]).unwrap()[0].tariff, Tariff::Volume(_)));
        for (wrong, pointer) in [
            (NewPrice { tiers, ..price() }, "tiers"),
            (NewPrice { unit_price: None, ..price() }, "unit_price"),
            (NewPrice { unit_price: Some("4".into()), ..tiered.clone() }, "unit_price"),
            (NewPrice { tiers: Vec::new(), ..tiered.clone() }, "tiers"),
            (NewPrice { tiers: vec![tier(Some(10), "5")], ..tiered.clone() }, "tiers"),
            (NewPrice { tiers: vec![tier(None, "5,0")], ..tiered }, "tiers/0/unit_price"),
        ] {
            assert_eq!(mistakes(&[wrong]), [format!("/prices/0/{pointer}")]);
        }
    }
}
