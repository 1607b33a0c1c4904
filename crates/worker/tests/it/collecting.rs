//! Charging and dunning: two duties, of which neither waits for the other.

use std::time::Duration;

use billing::dunning::{self, Policy};
use billing::price_book;
use chrono::TimeDelta;
use kernel::PageRequest;
use tenancy::policy::Capability;
use tenancy::tenant;
use testkit::stripe::{FakeStripe, Fault};
use testkit::{World, world};
use tokio::time::Instant;

use crate::{Working, in_debt, pays_by_itself, subscribe};

/// A tenant that does not pay, and another that pays by itself by a provider that does not answer.
async fn scene() -> World {
    let world = in_debt().await;
    let page = PageRequest::new(None, None);
    let book = price_book::list(&world.operator, page).await.unwrap().items.remove(0);
    let payer = world::tenant(&world.operator, &world.reseller, "Payer").await;
    let payer = world.operator.enter(payer.id).await.unwrap();
    world::domain(&payer, "payer.example").await;
    subscribe(&payer, &book, "month", None).await;
    tenancy::user::create(&payer, world::new_user("ada@payer.example", None)).await.unwrap();
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    pays_by_itself(&world, &payer).await;
    let policy = Policy {
        suspend_after_days: Some(1),
        suspend_capabilities: vec![Capability::Send],
        ..Policy::default()
    };
    dunning::put(&reseller, &policy, None).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(85));
    let today = world.test_db.db().env().now().date_naive();
    billing::run::run(&world.test_db.db(), today, None).await.unwrap();
    // What is billed late leaves time to pay.
    world.test_db.clock().advance(TimeDelta::days(20));
    world
}

#[tokio::test]
async fn a_provider_that_takes_its_time_keeps_nobody_from_being_dunned() {
    let world = scene().await;
    let fake = FakeStripe::start().await;
    // Each is waited for longer than this test waits.
    fake.fail(&[Fault::SilentAfter; 3]);
    let working = Working::charging_at(world, fake.url().as_str()).await;
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let taken = tenant::get(&working.world.ctx).await.unwrap().unpaid_capabilities;
        if taken == [Capability::Send] && fake.heard().len() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{taken:?} after {} charges", fake.heard().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    working.stop().await;
}
