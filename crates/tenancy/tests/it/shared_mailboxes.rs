//! Mailboxes that are nobody's own, below a reseller: never one over its cap, wherever they come from.

use chrono::TimeDelta;
use futures::future::join_all;
use tenancy::caps::Counted;
use tenancy::mailbox::{self, Kind, NewMailbox};
use tenancy::reseller::{self, CapsChange, Reseller, ResellerChange};
use tenancy::tenant::{self, Tenant};
use tenancy::user::{self, Fate, Leaving};
use tenancy::{Error, purge, quota};
use testkit::{World, world};

use crate::address::shared;
use crate::neighbour;

/// As [`shared`], of a tenant that has another domain.
fn elsewhere(local: &str) -> NewMailbox {
    NewMailbox { address: format!("{local}@other.example"), ..shared(local) }
}

async fn cap(world: &World, of: &Reseller, cap: Option<i32>) {
    let ctx = world.operator.enter_reseller(of.id).await.unwrap();
    let caps = CapsChange { shared_mailboxes: Some(cap), ..Default::default() };
    reseller::update(&ctx, None, ResellerChange { caps, ..Default::default() }).await.unwrap();
}

/// What a reseller counts.
async fn used(world: &World, of: &Reseller) -> i32 {
    let ctx = world.operator.enter_reseller(of.id).await.unwrap();
    reseller::get(&ctx).await.unwrap().used.shared_mailboxes
}

async fn drift(world: &World) -> u64 {
    quota::drift(&world.test_db.db()).await.unwrap()
}

/// Whether a reseller has as many as it may.
fn is_full<T>(outcome: &Result<T, Error>) -> bool {
    matches!(
        outcome,
        Err(Error::Exhausted { counted: Counted::SharedMailboxes, level: "reseller", left: 0, .. })
    )
}

fn leaving(mailbox: Fate) -> Leaving {
    Leaving { mailbox, release_seat: true, hold: None }
}

#[tokio::test]
async fn of_many_writers_at_one_place_below_a_reseller_exactly_one_gets_it() {
    let world = World::new().await;
    let below = world::reseller_below(&world.operator, &world.reseller, "Below").await;
    let other = world::tenant(&world.operator, &below, "Other").await;
    let other = world.operator.enter(other.id).await.unwrap();
    world::domain(&other, "other.example").await;
    let gone = mailbox::create(&world.ctx, shared("gone")).await.unwrap();
    mailbox::delete(&world.ctx, gone.id, None).await.unwrap();
    let ada = world::user(&other, "ada@other.example", None).await;
    mailbox::create(&other, elsewhere("first")).await.unwrap();
    cap(&world, &world.reseller, Some(2)).await;
    let (here, there) = (&world.ctx, &other);
    let makers = join_all((0..62).map(|n| async move {
        let local = format!("last{n}");
        let (ctx, new) = if n % 2 == 0 { (here, shared(&local)) } else { (there, elsewhere(&local)) };
        mailbox::create(ctx, new).await.map(drop)
    }));
    let restorer = async { mailbox::restore(here, gone.id, None).await.map(drop) };
    let leaver = async { user::offboard(there, ada.id, None, leaving(Fate::Shared)).await.map(drop) };
    let (mut outcomes, restored, left) = futures::join!(makers, restorer, leaver);
    outcomes.extend([restored, left]);
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter(|outcome| is_full(outcome)).count();
    assert_eq!((won, refused), (1, 63), "{outcomes:?}");
    let here = tenant::get(here).await.unwrap().shared_mailboxes_used;
    let there = tenant::get(there).await.unwrap().shared_mailboxes_used;
    assert_eq!((here + there, used(&world, &world.reseller).await, drift(&world).await), (2, 2, 0));
    assert_eq!(used(&world, &below).await, there);
}

#[tokio::test]
async fn a_cap_below_what_is_used_loses_nothing_and_stops_more_however_it_would_come_to_be() {
    let world = World::new().await;
    let (ada, ben) = (world.user("ada", None).await, world.user("ben", None).await);
    let info = mailbox::create(&world.ctx, shared("info")).await.unwrap();
    mailbox::create(&world.ctx, NewMailbox { kind: Kind::Room, ..shared("attic") }).await.unwrap();
    cap(&world, &world.reseller, Some(1)).await;
    assert_eq!(used(&world, &world.reseller).await, 2);
    mailbox::delete(&world.ctx, info.id, None).await.unwrap();
    let full = mailbox::create(&world.ctx, NewMailbox { kind: Kind::Equipment, ..shared("van") }).await;
    assert!(is_full(&full), "{full:?}");
    let full = full.unwrap_err();
    let said = (full.code(), full.to_string());
    assert_eq!(
        said,
        ("shared_mailboxes_exhausted", "all 1 shared mailboxes of the reseller are taken".into())
    );
    let full = mailbox::restore(&world.ctx, info.id, None).await;
    assert!(is_full(&full), "{full:?}");
    let full = user::offboard(&world.ctx, ada.id, None, leaving(Fate::Shared)).await;
    assert!(is_full(&full), "{full:?}");
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap(), ada);
    user::offboard(&world.ctx, ben.id, None, leaving(Fate::Archive)).await.unwrap();
    assert_eq!((used(&world, &world.reseller).await, drift(&world).await), (1, 0));
    cap(&world, &world.reseller, Some(2)).await;
    mailbox::restore(&world.ctx, info.id, None).await.unwrap();
    cap(&world, &world.reseller, None).await;
    user::offboard(&world.ctx, ada.id, None, leaving(Fate::Shared)).await.unwrap();
    assert_eq!((used(&world, &world.reseller).await, drift(&world).await), (3, 0));
}

async fn transfer(world: &World, to: &Reseller) -> Result<Tenant, Error> {
    tenant::leave(&world.ctx).await?.move_to(None, to.id, Vec::new()).await
}

#[tokio::test]
async fn a_tenant_takes_them_to_another_reseller_or_stays() {
    let world = World::new().await;
    for local in ["info", "desk"] {
        mailbox::create(&world.ctx, shared(local)).await.unwrap();
    }
    let gone = mailbox::create(&world.ctx, shared("gone")).await.unwrap();
    mailbox::delete(&world.ctx, gone.id, None).await.unwrap();
    let south = world::reseller(&world.operator, "South").await;
    cap(&world, &south, Some(1)).await;
    let refused = transfer(&world, &south).await;
    assert!(
        matches!(
            refused,
            Err(Error::Exhausted {
                counted: Counted::SharedMailboxes,
                level: "reseller",
                limit: 1,
                left: 1,
                is_hidden: false
            })
        ),
        "{refused:?}"
    );
    let counted = async || (used(&world, &world.reseller).await, used(&world, &south).await);
    assert_eq!(counted().await, (2, 0));
    cap(&world, &south, Some(2)).await;
    assert_eq!(transfer(&world, &south).await.unwrap().reseller_id, south.id);
    assert_eq!((counted().await, drift(&world).await), ((0, 2), 0));
    let full = mailbox::restore(&world.ctx, gone.id, None).await;
    assert!(is_full(&full), "{full:?}");
}

#[tokio::test]
async fn those_of_a_deleted_tenant_are_not_counted_and_come_back_with_it_where_there_is_room() {
    let world = World::new().await;
    mailbox::create(&world.ctx, shared("info")).await.unwrap();
    tenant::delete(&world.ctx, None).await.unwrap();
    assert_eq!((used(&world, &world.reseller).await, drift(&world).await), (0, 0));
    cap(&world, &world.reseller, Some(1)).await;
    let other = neighbour(&world).await;
    world::domain(&other, "other.example").await;
    let first = mailbox::create(&other, elsewhere("first")).await.unwrap();
    let deleted = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let full = tenant::restore(&deleted).await;
    assert!(is_full(&full), "{full:?}");
    mailbox::delete(&other, first.id, None).await.unwrap();
    assert_eq!(tenant::restore(&deleted).await.unwrap().shared_mailboxes_used, 1);
    assert_eq!((used(&world, &world.reseller).await, drift(&world).await), (1, 0));

    tenant::delete(&world.ctx, None).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(32));
    let db = world.test_db.db();
    let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
    let destroyed = purge::Destroyed::default();
    assert!(purge::tenant(&db, &auth, world.tenant.id, destroyed, TimeDelta::days(35)).await.unwrap());
    assert_eq!(tenant::get(&deleted).await.unwrap().shared_mailboxes_used, 0);
    assert_eq!((used(&world, &world.reseller).await, drift(&world).await), (0, 0));
}
