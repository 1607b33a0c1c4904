//! A tenant that goes for good: it is billed to the end before it is destroyed.

use std::time::Duration;

use billing::invoice;
use billing::price_book::{self, NewPrice};
use billing::run;
use billing::subscription::{self, PutSubscription};
use chrono::TimeDelta;
use kernel::PageRequest;
use tenancy::{purge, tenant};
use testkit::World;
use tokio::time::Instant;

use crate::{PATIENCE, Working};

/// A tenant with one seat that pays a year's price by the month, of which the first was billed, is deleted.
async fn deleted() -> World {
    let world = World::new().await;
    let price = NewPrice {
        item: "mailbox".into(),
        interval: "year".into(),
        model: "flat".into(),
        unit_price: Some("120".into()),
        currency: "EUR".into(),
        ..NewPrice::default()
    };
    let book = price_book::publish(&world.operator, Some(world.reseller.id), vec![price]).await.unwrap();
    let put = PutSubscription {
        price_book_id: book.id,
        interval: "year".into(),
        payment_schedule: Some("monthly".into()),
        term_months: None,
        seats_committed: None,
        anchor_date: None,
        trial_ends_on: None,
    };
    subscription::put(&world.ctx, put, None).await.unwrap();
    world.user("ada", None).await;
    let db = world.test_db.db();
    run::run(&db, db.env().now().date_naive(), None).await.unwrap();
    tenant::delete(&world.ctx, None).await.unwrap();
    world
}

#[tokio::test]
async fn what_is_held_of_a_tenant_is_billed_before_it_is_destroyed() {
    let world = deleted().await;
    // Nobody was there on the day on which it would have been billed.
    world.test_db.clock().advance(TimeDelta::days(40));
    let working = Working::new(world).await;
    let ctx = working.world.operator.enter_deleted_too(working.world.tenant.id).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while purge::record(&ctx).await.is_err() {
        assert!(Instant::now() < deadline, "it is not destroyed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let page = PageRequest::new(Some(50), None);
    let invoices = invoice::list(&ctx, Default::default(), page).await.unwrap().items;
    let totals: Vec<i64> = invoices.iter().map(|invoice| invoice.total.amount_minor).collect();
    assert_eq!(totals, [1000; 12]);
    working.stop().await;
}
