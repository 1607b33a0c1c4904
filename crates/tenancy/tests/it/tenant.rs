//! Tenants and their clocks.

use chrono::TimeDelta;
use kernel::PageRequest;
use tenancy::tenant::{self, NewTenant};
use tenancy::{Action, Ctx, Error, Scope, event, storage_sample};
use testkit::{World, world};

async fn sandbox(world: &World) -> Ctx {
    let new = NewTenant {
        time_zone: "Europe/Berlin".into(),
        seats_limit: Some(5),
        test_clock: true,
        ..world::new_tenant(&world.reseller, "Sandbox")
    };
    let tenant = tenant::create(&world.operator, new).await.unwrap();
    world.operator.enter(tenant.id).await.unwrap()
}

#[tokio::test]
async fn a_test_clock_moves_forward_only_and_times_what_happens() {
    let world = World::new().await;
    let ctx = sandbox(&world).await;
    let start = ctx.now();
    let later = start + TimeDelta::days(10);
    tenant::set_test_clock(&ctx, later).await.unwrap();
    let ctx = world.operator.enter(ctx.tenant_id()).await.unwrap();
    assert_eq!(ctx.now(), later);
    event::chain(&world.test_db.db()).await.unwrap();
    let filter = event::Filter { kinds: [event::Kind::TenantTestClockSet].into(), ..Default::default() };
    let page = PageRequest::new(None, None);
    let set = event::list(&world.operator, Action::AuditRead, &filter, page).await.unwrap().items;
    assert_eq!(set.len(), 1);
    assert_eq!((set[0].event.trail, set[0].event.at), (Scope::Tenant(ctx.tenant_id()), start));
    assert_eq!(set[0].event.data, serde_json::json!({"test_clock": later, "previous_test_clock": start}));
    assert!(matches!(tenant::set_test_clock(&ctx, start).await, Err(Error::Invalid(_))));
    world::domain(&ctx, "sandbox.example").await;
    let user = world::user(&ctx, "ada@sandbox.example", None).await;
    assert_eq!(user.created_at, later);
    let real = tenant::set_test_clock(&world.ctx, later).await;
    assert!(matches!(real, Err(Error::Conflict { code: "no_test_clock", .. })), "{real:?}");
}

#[tokio::test]
async fn what_is_stored_while_a_test_clock_stands_counts_from_that_instant() {
    let world = World::new().await;
    let ctx = sandbox(&world).await;
    world::domain(&ctx, "sandbox.example").await;
    world::user(&ctx, "ada@sandbox.example", None).await;
    let store = async |used_bytes: i64| {
        let mut tx = ctx.begin().await.unwrap();
        let all = sqlx::query("update mailboxes set used_bytes = $1").bind(used_bytes);
        assert_eq!(all.execute(tx.conn()).await.unwrap().rows_affected(), 1);
        tx.commit().await.unwrap();
    };
    store(100).await;
    storage_sample::record(&world.test_db.db()).await.unwrap();
    store(200).await;
    let start = ctx.now();
    for days in [10, 20] {
        tenant::set_test_clock(&ctx, start + TimeDelta::days(days)).await.unwrap();
    }
    storage_sample::record(&world.test_db.db()).await.unwrap();
    let mut tx = ctx.begin().await.unwrap();
    let samples = storage_sample::of(&mut tx).await.unwrap();
    let samples: Vec<_> = samples.iter().map(|sample| (sample.at, sample.used_bytes)).collect();
    assert_eq!(samples, [(start, 100), (start, 200)]);
}

#[tokio::test]
async fn bad_input_names_every_mistake() {
    let world = World::new().await;
    let new = NewTenant {
        country: "Germany".into(),
        time_zone: "Mars/Olympus".into(),
        seats_limit: Some(-1),
        ..world::new_tenant(&world.reseller, "")
    };
    let Err(Error::Invalid(mistakes)) = tenant::create(&world.operator, new).await else {
        panic!("accepted")
    };
    let pointers = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect::<Vec<_>>();
    assert_eq!(pointers, ["/name", "/country", "/seats/limit", "/time_zone"]);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let world = World::new().await;
    for n in 0..4 {
        world::tenant(&world.operator, &world.reseller, &format!("T{n}")).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let request = PageRequest::new(Some(2), cursor);
        let page = tenant::list(&world.operator, Default::default(), request).await.unwrap();
        seen.extend(page.items.into_iter().map(|tenant| tenant.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (5, &sorted));
}
