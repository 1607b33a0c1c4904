//! Seats: never one over, at any level, and nothing half made when there is none.

use futures::future::join_all;
use tenancy::reseller::{CapsChange, ResellerChange};
use tenancy::tenant::TenantChange;
use tenancy::{Error, user};
use testkit::{World, world};

use crate::neighbour;

async fn limit_seats(world: &World, limit: Option<i32>) {
    let change = TenantChange { seats_limit: Some(limit), ..Default::default() };
    tenancy::tenant::update(&world.ctx, None, change).await.unwrap();
}

async fn users(world: &World) -> usize {
    let page = kernel::PageRequest::new(Some(200), None);
    user::list(&world.ctx, &Default::default(), page).await.unwrap().items.len()
}

#[tokio::test]
async fn a_full_pool_refuses_and_leaves_nothing() {
    let world = World::new().await;
    limit_seats(&world, Some(1)).await;
    world.user("ada", None).await;
    let refused = user::create(&world.ctx, world::new_user("bob@acme.example", None)).await;
    assert!(matches!(refused, Err(Error::Exhausted { level: "tenant", limit: 1, .. })), "{refused:?}");
    assert_eq!(users(&world).await, 1);
    // The address is free: had the user been half made, this would be address_taken.
    limit_seats(&world, Some(2)).await;
    world.user("bob", None).await;
}

#[tokio::test]
async fn many_race_for_the_last_seats_and_exactly_those_win() {
    let world = World::new().await;
    limit_seats(&world, Some(5)).await;
    let attempts = (0..24).map(|n| {
        let ctx = world.ctx.clone();
        async move {
            let mut new = world::new_user(&format!("user{n}@acme.example"), None);
            new.password = None;
            user::create(&ctx, new).await
        }
    });
    let outcomes = join_all(attempts).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter(|o| matches!(o, Err(Error::Exhausted { .. }))).count();
    assert_eq!((won, refused), (5, 19), "{outcomes:?}");
    assert_eq!(users(&world).await, 5);
    assert_eq!(tenancy::tenant::get(&world.ctx).await.unwrap().seats_used, 5);
}

#[tokio::test]
async fn a_reseller_s_cap_holds_over_all_its_tenants() {
    let world = World::new().await;
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let change = ResellerChange {
        caps: CapsChange { seats: Some(Some(2)), ..Default::default() },
        ..Default::default()
    };
    tenancy::reseller::update(&reseller, None, change).await.unwrap();
    let other = neighbour(&world).await;
    world::domain(&other, "other.example").await;
    world.user("ada", None).await;
    world::user(&other, "eve@other.example", None).await;
    let refused = user::create(&other, world::new_user("max@other.example", None)).await;
    assert!(matches!(refused, Err(Error::Exhausted { level: "reseller", limit: 2, .. })), "{refused:?}");
    assert_eq!(tenancy::reseller::get(&reseller).await.unwrap().used.seats, 2);
}

#[tokio::test]
async fn deleting_frees_the_seat_and_the_address_and_both_are_on_record() {
    let world = World::new().await;
    limit_seats(&world, Some(1)).await;
    let first = world.user("ada", None).await;
    user::delete(&world.ctx, first.id, None).await.unwrap();
    assert!(matches!(user::delete(&world.ctx, first.id, None).await, Err(Error::NotFound)));
    let second = world.user("ada", None).await;
    assert_ne!(first.mailbox_id, second.mailbox_id);
    let mut tx = world.ctx.begin().await.unwrap();
    let changes = tenancy::seats::changes(&mut tx, world.ctx.now()).await.unwrap();
    let log = changes.iter().map(|change| (change.user_id, change.delta)).collect::<Vec<_>>();
    assert_eq!(log, [(first.id, 1), (first.id, -1), (second.id, 1)]);
    let kept = user::get(&world.ctx, first.id).await.unwrap();
    assert_eq!((kept.status.as_str(), kept.address.as_str()), ("deleted", "ada@acme.example"));
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_turn_the_record_round() {
    let world = World::new().await;
    let user = world.user("ada", None).await;
    world.test_db.clock().advance(chrono::TimeDelta::seconds(-5));
    user::delete(&world.ctx, user.id, None).await.unwrap();
    world.test_db.clock().advance(chrono::TimeDelta::seconds(5));
    let mut tx = world.ctx.begin().await.unwrap();
    let changes = tenancy::seats::changes(&mut tx, world.ctx.now()).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.delta).collect::<Vec<_>>(), [1, -1]);
    assert_eq!(changes[0].at, changes[1].at);
}
