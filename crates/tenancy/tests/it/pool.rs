//! Pools of bytes above the mailboxes: never over, and never a byte missed or counted twice.

use futures::future::join_all;
use kernel::{MailboxId, ResellerId};
use tenancy::quota::{self, Charge, Pools};
use tenancy::reseller::{self, CapsChange, ResellerChange};
use tenancy::tenant::{self, Tenant, TenantChange};
use tenancy::{Action, Ctx, Error, Scope, event, mailbox, user};
use testkit::{World, world};

use crate::neighbour;

async fn limit_tenant(ctx: &Ctx, limit: Option<i64>) {
    let change = TenantChange { storage_limit_bytes: Some(limit), ..Default::default() };
    tenant::update(ctx, None, change).await.unwrap();
}

async fn limit_reseller(world: &World, limit: Option<i64>) {
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let caps = CapsChange { storage_bytes: Some(limit), ..Default::default() };
    reseller::update(&ctx, None, ResellerChange { caps, ..Default::default() }).await.unwrap();
}

/// What the reseller's pool says is used; `None` without a cap.
async fn pooled(world: &World) -> Option<i64> {
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    reseller::get(&ctx).await.unwrap().used.storage_bytes
}

/// Charges a mailbox and the pools above it in one transaction; whether there was room.
async fn put(ctx: &Ctx, mailbox: MailboxId, bytes: u64) -> bool {
    let mut tx = ctx.begin().await.unwrap();
    if !matches!(quota::charge(&mut tx, ctx, mailbox, bytes).await.unwrap(), Charge::Taken { .. }) {
        return false;
    }
    if let Pools::Full = quota::charge_pools(&mut tx, bytes).await.unwrap() {
        return false;
    }
    tx.commit().await.unwrap();
    true
}

async fn drop_bytes(ctx: &Ctx, mailbox: MailboxId, bytes: u64) {
    let mut tx = ctx.begin().await.unwrap();
    quota::discard(&mut tx, ctx, mailbox, bytes).await.unwrap();
    tx.commit().await.unwrap();
}

async fn drift(world: &World) -> u64 {
    quota::drift(&world.test_db.db()).await.unwrap()
}

async fn used(ctx: &Ctx) -> i64 {
    tenant::get(ctx).await.unwrap().used_bytes
}

#[tokio::test]
async fn of_many_writers_at_one_slot_of_the_tenant_s_pool_exactly_one_wins() {
    let world = World::new().await;
    let mailboxes = [world.user("ada", None).await.mailbox_id, world.user("bob", None).await.mailbox_id];
    limit_tenant(&world.ctx, Some(100)).await;
    let writers = (0..64).map(|n| put(&world.ctx, mailboxes[n % 2], 60));
    let won = join_all(writers).await.into_iter().filter(|&won| won).count();
    assert_eq!((won, used(&world.ctx).await, drift(&world).await), (1, 60, 0));
    let (_, effective) = mailbox::quota(&world.ctx, mailboxes[0]).await.unwrap();
    assert_eq!(effective.inherited_from, Some("tenant"));
}

#[tokio::test]
async fn of_many_writers_at_one_slot_of_the_reseller_s_pool_exactly_one_wins() {
    let world = World::new().await;
    let ada = world.user("ada", None).await.mailbox_id;
    let other = neighbour(&world).await;
    world::domain(&other, "other.example").await;
    let eve = world::user(&other, "eve@other.example", None).await.mailbox_id;
    limit_reseller(&world, Some(100)).await;
    let writers = (0..64).map(|n| {
        let (ctx, mailbox) = if n % 2 == 0 { (&world.ctx, ada) } else { (&other, eve) };
        put(ctx, mailbox, 60)
    });
    let won = join_all(writers).await.into_iter().filter(|&won| won).count();
    assert_eq!((won, pooled(&world).await, drift(&world).await), (1, Some(60), 0));
    assert_eq!(used(&world.ctx).await + used(&other).await, 60);
    let (_, effective) = mailbox::quota(&other, eve).await.unwrap();
    assert_eq!(effective.inherited_from, Some("reseller"));
}

#[tokio::test]
async fn a_limit_that_comes_while_mail_flows_misses_no_byte() {
    let world = World::new().await;
    let mailbox = world.user("ada", None).await.mailbox_id;
    for round in 0..4 {
        let writers = (0..24).map(|_| put(&world.ctx, mailbox, 7));
        let limits = async {
            limit_tenant(&world.ctx, Some(1_000_000)).await;
            limit_reseller(&world, Some(1_000_000)).await;
        };
        let (won, ()) = futures::join!(join_all(writers), limits);
        assert!(won.into_iter().all(|won| won));
        let expected = (round + 1) * 24 * 7;
        assert_eq!((pooled(&world).await, drift(&world).await), (Some(expected), 0));
        // The tenant's own counter is not shown; what it leaves free is.
        let (_, effective) = mailbox::quota(&world.ctx, mailbox).await.unwrap();
        assert_eq!(effective.limit_bytes, Some(1_000_000));
        limit_tenant(&world.ctx, None).await;
        limit_reseller(&world, None).await;
    }
}

#[tokio::test]
async fn bytes_leave_the_pool_with_their_message_and_with_their_user_and_come_back() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    limit_tenant(&world.ctx, Some(100)).await;
    limit_reseller(&world, Some(100)).await;
    assert!(put(&world.ctx, ada.mailbox_id, 80).await);
    drop_bytes(&world.ctx, ada.mailbox_id, 20).await;
    assert_eq!(pooled(&world).await, Some(60));
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    assert_eq!(pooled(&world).await, Some(0));
    let bob = world.user("bob", None).await;
    assert!(put(&world.ctx, bob.mailbox_id, 50).await);
    let refused = user::restore(&world.ctx, ada.id, None).await;
    assert!(matches!(refused, Err(Error::OverQuota)), "{refused:?}");
    drop_bytes(&world.ctx, bob.mailbox_id, 10).await;
    user::restore(&world.ctx, ada.id, None).await.unwrap();
    assert_eq!((pooled(&world).await, used(&world.ctx).await, drift(&world).await), (Some(100), 100, 0));
}

#[tokio::test]
async fn who_brings_no_bytes_is_not_refused_by_a_pool_that_is_over() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    limit_tenant(&world.ctx, Some(100)).await;
    assert!(put(&world.ctx, ada.mailbox_id, 100).await);
    user::delete(&world.ctx, bob.id, None).await.unwrap();
    limit_tenant(&world.ctx, Some(50)).await;
    user::restore(&world.ctx, bob.id, None).await.unwrap();
    assert!(!put(&world.ctx, bob.mailbox_id, 1).await);
    let wanted = [(&world.ctx, bob.mailbox_id, 1)];
    let full = quota::Room { fits: false, storage_dedicated: false };
    assert_eq!(quota::have_room(world.ctx.db(), &wanted).await.unwrap(), [Some(full)]);
}

async fn transfer(world: &World, to: ResellerId) -> Result<Tenant, Error> {
    tenant::leave(&world.ctx).await?.move_to(None, to, Vec::new()).await
}

/// Whichever comes first, the pool has the tenant's bytes afterwards.
#[tokio::test]
async fn a_limit_that_comes_while_a_tenant_moves_misses_no_byte() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    assert!(put(&world.ctx, ada.mailbox_id, 100).await);
    let resellers = [world.reseller.clone(), world::reseller(&world.operator, "South").await];
    for round in 0..20 {
        let to = &resellers[(round + 1) % 2];
        let destination = world.operator.enter_reseller(to.id).await.unwrap();
        let set = |limit| {
            let caps = CapsChange { storage_bytes: Some(limit), ..Default::default() };
            reseller::update(&destination, None, ResellerChange { caps, ..Default::default() })
        };
        let (moved, limited) = futures::join!(transfer(&world, to.id), set(Some(1_000)));
        assert_eq!(moved.unwrap().reseller_id, to.id);
        limited.unwrap();
        let used = reseller::get(&destination).await.unwrap().used.storage_bytes;
        assert_eq!((used, drift(&world).await), (Some(100), 0), "round {round}");
        set(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_that_forbids_it_gets_no_quotas_beyond_its_pool() {
    let world = World::new().await;
    let ada = world.user("ada", Some(60)).await;
    let change = TenantChange {
        storage_limit_bytes: Some(Some(100)),
        allow_overallocation: Some(false),
        ..Default::default()
    };
    tenant::update(&world.ctx, None, change).await.unwrap();
    let code = |refused: Error| refused.code();
    let more = user::create(&world.ctx, world::new_user("bob@acme.example", Some(41))).await.unwrap_err();
    assert_eq!(code(more), "pool_overallocated");
    let unlimited = user::create(&world.ctx, world::new_user("bob@acme.example", None)).await.unwrap_err();
    assert_eq!(code(unlimited), "pool_overallocated");
    world.user("bob", Some(40)).await;
    let bounds = quota::Bounds { quota_bytes: Some(61), ..Default::default() };
    let grown = mailbox::set_quota(&world.ctx, ada.mailbox_id, None, bounds).await.unwrap_err();
    assert_eq!(code(grown), "pool_overallocated");
    let change = TenantChange { storage_limit_bytes: Some(Some(99)), ..Default::default() };
    assert_eq!(code(tenant::update(&world.ctx, None, change).await.unwrap_err()), "pool_overallocated");
}

#[tokio::test]
async fn a_tenant_takes_what_it_counts_for_to_another_reseller_or_stays() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    limit_reseller(&world, Some(1_000)).await;
    assert!(put(&world.ctx, ada.mailbox_id, 100).await);
    let to = world::reseller(&world.operator, "South").await;
    let south = world.operator.enter_reseller(to.id).await.unwrap();
    let caps = |caps| ResellerChange { caps, ..Default::default() };
    let tight = CapsChange { storage_bytes: Some(Some(99)), ..Default::default() };
    reseller::update(&south, None, caps(tight)).await.unwrap();
    let refused = transfer(&world, to.id).await;
    assert!(matches!(refused, Err(Error::OverQuota)), "{refused:?}");
    let full = CapsChange { storage_bytes: Some(Some(100)), seats: Some(Some(0)), ..Default::default() };
    reseller::update(&south, None, caps(full)).await.unwrap();
    let refused = transfer(&world, to.id).await;
    assert!(matches!(refused, Err(Error::Exhausted { level: "reseller", limit: 0, .. })), "{refused:?}");
    assert_eq!(pooled(&world).await, Some(100));

    let wide = CapsChange { seats: Some(Some(1)), ..Default::default() };
    reseller::update(&south, None, caps(wide)).await.unwrap();
    let moved = transfer(&world, to.id).await.unwrap();
    assert_eq!((moved.id, moved.reseller_id), (world.tenant.id, to.id));
    let here = reseller::get(&south).await.unwrap().used;
    assert_eq!((here.tenants, here.domains, here.seats, here.storage_bytes), (1, 1, 1, Some(100)));
    let left = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let left = reseller::get(&left).await.unwrap().used;
    assert_eq!((left.tenants, left.domains, left.seats, left.storage_bytes), (0, 0, 0, Some(0)));
    assert_eq!(drift(&world).await, 0);
    event::chain(&world.test_db.db()).await.unwrap();
    let filter = event::Filter { kinds: [event::Kind::TenantTransferred].into(), ..Default::default() };
    let page = kernel::PageRequest::new(None, None);
    let events = event::list(&world.operator, Action::EventRead, &filter, page).await.unwrap().items;
    let trails: Vec<_> = events.iter().map(|chained| chained.event.trail).collect();
    let expected = [Scope::Reseller(world.reseller.id), Scope::Reseller(to.id), Scope::Tenant(moved.id)];
    assert_eq!(trails, expected);
    assert!(!put(&world.ctx, ada.mailbox_id, 1).await, "the pool there is full");
    assert_eq!(transfer(&world, to.id).await.unwrap_err().code(), "same_reseller");
}

#[tokio::test]
async fn caps_on_tenants_and_domains_hold_at_every_level_above() {
    let world = World::new().await;
    let top = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let below = world::reseller_below(&world.operator, &world.reseller, "Below").await;
    let caps = CapsChange { tenants: Some(Some(2)), domains: Some(Some(2)), ..Default::default() };
    reseller::update(&top, None, ResellerChange { caps, ..Default::default() }).await.unwrap();
    let second = world::tenant(&world.operator, &below, "Second").await;
    let third = world::new_tenant(&below, "Third");
    assert_eq!(tenant::create(&world.operator, third).await.unwrap_err().code(), "tenants_exhausted");
    let second = world.operator.enter(second.id).await.unwrap();
    let domain = world::domain(&second, "second.example").await;
    let refused = tenancy::domain::create(&second, "third.example").await.unwrap_err();
    assert_eq!(refused.code(), "domains_exhausted");
    tenancy::domain::delete(&second, domain.id, None).await.unwrap();
    tenancy::domain::create(&second, "third.example").await.unwrap();
}
