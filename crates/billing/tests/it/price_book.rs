//! Price books: published once, seen by their issuer alone.

use billing::price_book::{CycleLength, NewPrice, NewTier, Price, get, list, publish};
use billing::rating::RemovalPolicy;
use kernel::{ErrorKind, PageRequest};
use serde_json::json;
use tenancy::{Scope, event};
use testkit::{World, world};

use super::run::told_on;
use super::{admin_of, book, price};

#[tokio::test]
async fn versions_count_up_and_keep_their_prices() {
    let world = World::new().await;
    let admin = admin_of(&world, &world.reseller).await;
    let first = book(&world, RemovalPolicy::AtCycleEnd).await;
    world.test_db.clock().advance(chrono::TimeDelta::seconds(1));
    let second =
        publish(&admin, None, vec![price("month", "0.14", RemovalPolicy::CreditToBalance)]).await.unwrap();
    assert_eq!((first.version, second.version), (1, 2));
    let read = get(&admin, second.id).await.unwrap();
    assert_eq!(read.prices[0].tariff.unit_price().unwrap().to_string(), "0.14000000");
    assert_eq!(read.prices[0].removal_policy, RemovalPolicy::CreditToBalance);
    let all = list(&admin, PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(
        all.iter().map(|book| (book.version, book.prices.len())).collect::<Vec<_>>(),
        [(1, 2), (2, 1)]
    );
}

#[tokio::test]
async fn tiers_and_days_of_grace_are_read_as_they_were_given() {
    let world = World::new().await;
    let tiers = [(Some(5), "7"), (Some(10), "6.50"), (None, "6")]
        .map(|(up_to, price)| NewTier { up_to, unit_price: price.into() });
    let tiered = |interval: &str, model: &str, grace_days| NewPrice {
        model: model.into(),
        unit_price: None,
        tiers: tiers.to_vec(),
        grace_days,
        ..price(interval, "", RemovalPolicy::LockedUntilTermEnd { grace_days: 7 })
    };
    let given = vec![tiered("month", "graduated", None), tiered("year", "volume", Some(30))];
    let published = publish(&world.operator, Some(world.reseller.id), given).await.unwrap();
    let told = told_on(&world, Scope::Reseller(world.reseller.id), event::Kind::PriceBookPublished).await;
    assert_eq!(told, [(published.id.to_string(), json!({"version": 1, "currency": "EUR"}))]);
    let read = get(&world.operator, published.id).await.unwrap();
    for (price, published) in read.prices.iter().zip(&published.prices) {
        assert_eq!((&price.tariff, price.removal_policy), (&published.tariff, published.removal_policy));
    }
    assert_eq!(read.prices[0].tariff.tiers().len(), 3);
    assert_eq!(
        read.prices.iter().map(|p| p.removal_policy.grace_days()).collect::<Vec<_>>(),
        [Some(7), Some(30)]
    );
}

#[tokio::test]
async fn prices_stay_in_the_order_given() {
    let world = World::new().await;
    // Ids of one millisecond are in any order, so once may be luck.
    for _ in 0..8 {
        let given = ["year", "month"].map(|interval| price(interval, "1", RemovalPolicy::AtCycleEnd));
        let published = publish(&world.operator, Some(world.reseller.id), given.to_vec()).await.unwrap();
        let read = get(&world.operator, published.id).await.unwrap();
        let order = |prices: &[Price]| prices.iter().map(|p| (p.interval, p.id)).collect::<Vec<_>>();
        assert_eq!(order(&read.prices), order(&published.prices));
        assert_eq!(read.prices[0].interval, CycleLength::Year);
    }
}

#[tokio::test]
async fn another_reseller_sees_none_of_it() {
    let world = World::new().await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    let other = world::reseller(&world.operator, "Other").await;
    let admin = admin_of(&world, &other).await;
    assert_eq!(get(&admin, book.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(list(&admin, PageRequest::new(None, None)).await.unwrap().items.is_empty());
    let prices = vec![price("month", "1", RemovalPolicy::AtCycleEnd)];
    let refused = publish(&admin, Some(world.reseller.id), prices).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_operator_s_charge_suspended_days_as_any_others() {
    let world = World::new().await;
    let priced = |item: &str, policy: &str| NewPrice {
        item: item.into(),
        suspension_policy: Some(policy.into()),
        ..price("month", "4", RemovalPolicy::AtCycleEnd)
    };
    let given = |policy: &str| vec![priced("mailbox", "continue"), priced("archive", policy)];
    let refused = publish(&world.operator, None, given("pause")).await.unwrap_err();
    assert_eq!(refused.field_errors()[0].pointer, "/prices/1/suspension_policy");
    publish(&world.operator, None, given("continue")).await.unwrap();
    publish(&world.operator, Some(world.reseller.id), given("pause")).await.unwrap();
}
