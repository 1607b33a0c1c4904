//! Tenants and their clocks.

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use kernel::PageRequest;
use secrecy::ExposeSecret as _;
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::policy::Capability;
use tenancy::standing::{self, Standing};
use tenancy::tenant::{self, NewTenant, TenantChange};
use tenancy::{Caller, Ctx, Error, Role, Scope, domain, event, storage_sample};
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
    let stands = tenant::set_test_clock(&ctx, later).await.unwrap();
    assert_eq!(stands, tenant::get(&ctx).await.unwrap());
    let ctx = world.operator.enter(ctx.tenant_id()).await.unwrap();
    assert_eq!(ctx.now(), later);
    let set = world.noted(event::Kind::TenantTestClockSet).await;
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

fn to(time_zone: &str) -> TenantChange {
    TenantChange { time_zone: Some(time_zone.into()), ..TenantChange::default() }
}

#[tokio::test]
async fn who_moves_to_another_zone_keeps_the_days_that_have_begun() {
    let world = World::new().await;
    world.test_db.clock().set("2026-03-02T11:30:00Z".parse().unwrap());
    let moves = async |time_zone: &str| {
        world.test_db.clock().advance(TimeDelta::seconds(1));
        let moved = tenant::update(&world.ctx, None, to(time_zone)).await.unwrap();
        assert_eq!(moved.time_zone.name(), time_zone);
        world.operator.enter(world.tenant.id).await.unwrap()
    };
    let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
    // Half past midnight there.
    assert_eq!(moves("Pacific/Auckland").await.today(), day(3));
    // There it is the second.
    let ctx = moves("America/Los_Angeles").await;
    assert_eq!((ctx.time_zone(), ctx.today()), (Tz::America__Los_Angeles, day(3)));
    // It has begun no day there.
    let ctx = moves("Europe/Berlin").await;
    let zones = [2, 3, 4].map(|n| ctx.calendar().zone_on(day(n)));
    assert_eq!(zones, [Tz::UTC, Tz::Pacific__Auckland, Tz::Europe__Berlin]);
    assert!(ctx.calendar().zones().eq(zones));
    let version = tenant::get(&ctx).await.unwrap().version;
    moves("Europe/Berlin").await;
    assert_eq!(tenant::get(&ctx).await.unwrap().version, version);
    let told = world.noted(event::Kind::TenantUpdated).await;
    let told: Vec<_> = told.iter().map(|one| one.event.data["time_zone"].clone()).collect();
    assert_eq!(told, ["Pacific/Auckland", "America/Los_Angeles", "Europe/Berlin"]);
    for no_zone in ["", "Mars/Base", "europe/berlin", "+02:00"] {
        let Err(Error::Invalid(mistakes)) = tenant::update(&ctx, None, to(no_zone)).await else {
            panic!("{no_zone:?} is taken")
        };
        assert_eq!(mistakes[0].pointer, "/time_zone");
    }
}

#[tokio::test]
async fn a_sandbox_moves_by_its_own_clock() {
    let world = World::new().await;
    let ctx = sandbox(&world).await;
    let later = ctx.now() + TimeDelta::days(10);
    tenant::set_test_clock(&ctx, later).await.unwrap();
    // By somebody who came before the clock was moved.
    tenant::update(&ctx, None, to("Pacific/Auckland")).await.unwrap();
    let ctx = world.operator.enter(ctx.tenant_id()).await.unwrap();
    let last = later.with_timezone(&Tz::Europe__Berlin).date_naive();
    let zones = [last, last.succ_opt().unwrap()].map(|day| ctx.calendar().zone_on(day));
    assert_eq!(zones, [Tz::Europe__Berlin, Tz::Pacific__Auckland]);
}

/// By whoever came before the clock was moved.
#[tokio::test]
async fn a_sandbox_stands_suspended_by_its_own_clock() {
    let world = World::new().await;
    let ctx = sandbox(&world).await;
    let day = |days| {
        let at = ctx.now() + TimeDelta::days(days);
        at.with_timezone(&Tz::Europe__Berlin).date_naive()
    };
    let moves = async |days| tenant::set_test_clock(&ctx, ctx.now() + TimeDelta::days(days)).await.unwrap();
    moves(10).await;
    tenant::suspend(&ctx, None, &[]).await.unwrap();
    moves(20).await;
    tenant::resume(&ctx, None, &[]).await.unwrap();
    moves(30).await;
    let mut tx = ctx.begin().await.unwrap();
    tenant::suspend_unpaid(&mut tx, &ctx, Capability::ALL, "inv").await.unwrap();
    tx.commit().await.unwrap();
    moves(40).await;
    let mut tx = ctx.begin().await.unwrap();
    let spared = tenant::hold_unpaid(&mut tx, true).await.unwrap().unwrap().spared;
    assert_eq!(spared.map(|(_, on)| on), Some(day(20)));
    tenant::resume_paid(&mut tx, &ctx, Capability::ALL).await.unwrap();
    let changes = standing::changes(&mut tx).await.unwrap();
    let changes: Vec<_> = changes.iter().map(|one| (one.day, one.standing)).collect();
    let stood = [
        (day(10), Standing::Suspended),
        (day(20), Standing::Active),
        (day(30), Standing::Suspended),
        (day(40), Standing::Active),
    ];
    assert_eq!(changes, stood);
}

#[tokio::test]
async fn bad_input_names_every_mistake() {
    let world = World::new().await;
    let new = NewTenant {
        country: "Germany".into(),
        time_zone: "Mars/Olympus".into(),
        seats_limit: Some(-1),
        external_id: Some("".into()),
        ..world::new_tenant(&world.reseller, "")
    };
    let Err(Error::Invalid(mistakes)) = tenant::create(&world.operator, new).await else {
        panic!("accepted")
    };
    let pointers = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect::<Vec<_>>();
    assert_eq!(pointers, ["/name", "/external_id", "/country", "/seats/limit", "/time_zone"]);
}

#[tokio::test]
async fn one_is_found_by_its_id_elsewhere_and_by_its_domain() {
    let world = World::new().await;
    let other = world::reseller(&world.operator, "Other").await;
    let mut ids = Vec::new();
    for (reseller, name, domain) in [
        (&world.reseller, "Bakery", "bäckerei.example"),
        (&world.reseller, "Brewery", "brewery.example"),
        (&other, "Bakery", "bakery.example"),
    ] {
        let external_id = Some(format!("c-{name}"));
        let new = NewTenant { external_id: external_id.clone(), ..world::new_tenant(reseller, name) };
        let tenant = tenant::create(&world.operator, new).await.unwrap();
        assert_eq!(tenant.external_id, external_id);
        let ctx = world.operator.enter(tenant.id).await.unwrap();
        world::domain(&ctx, domain).await;
        ids.push(tenant.id);
    }
    // It has it without that having been verified.
    let brewery = world.operator.enter(ids[1]).await.unwrap();
    domain::create(&brewery, "bakery.example").await.unwrap();
    let above = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let (_, secret) =
        api_key::create_for_reseller(&above, NewApiKey::full(Role::ResellerAdmin)).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let reseller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let found = async |caller: &Caller, external_id: Option<&str>, domain: Option<&str>| {
        let (external_id, domain) = (external_id.map(str::to_owned), domain.map(str::to_owned));
        let filter = tenant::Filter { external_id, domain, ..Default::default() };
        let page = tenant::list(caller, &filter, PageRequest::new(None, None)).await.unwrap();
        page.items.into_iter().map(|tenant| tenant.id).collect::<BTreeSet<_>>()
    };
    let all = &world.operator;
    assert_eq!(found(all, Some("c-Bakery"), None).await, [ids[0], ids[2]].into());
    assert_eq!(found(&reseller, Some("c-Bakery"), None).await, [ids[0]].into(), "others' stay theirs");
    assert_eq!(found(all, Some("c-bakery"), None).await, BTreeSet::new());
    assert_eq!(found(all, None, Some("xn--bckerei-5wa.EXAMPLE")).await, [ids[0]].into());
    assert_eq!(found(all, None, Some("bäckerei.example")).await, [ids[0]].into());
    assert_eq!(found(all, None, Some("bakery.example")).await, [ids[1], ids[2]].into());
    assert_eq!(found(&reseller, None, Some("bakery.example")).await, [ids[1]].into());
    assert_eq!(found(all, Some("c-Bakery"), Some("brewery.example")).await, BTreeSet::new());
    for no_domain in ["", "not a name", "nobodys.example"] {
        assert_eq!(found(all, None, Some(no_domain)).await, BTreeSet::new());
    }

    let change = |external_id: Option<&str>| TenantChange {
        external_id: Some(external_id.map(str::to_owned)),
        ..Default::default()
    };
    let changed = tenant::update(&brewery, None, change(Some("c-2"))).await.unwrap();
    assert_eq!(changed.external_id.as_deref(), Some("c-2"));
    assert_eq!(found(all, Some("c-2"), None).await, [ids[1]].into());
    let told = world.noted(event::Kind::TenantUpdated).await;
    assert_eq!(told.last().unwrap().event.data["external_id"], "c-2");
    let renamed = TenantChange { name: Some("Brauerei".into()), ..Default::default() };
    assert_eq!(tenant::update(&brewery, None, renamed).await.unwrap().external_id.as_deref(), Some("c-2"));
    assert_eq!(tenant::update(&brewery, None, change(None)).await.unwrap().external_id, None);
    assert!(matches!(tenant::update(&brewery, None, change(Some(""))).await, Err(Error::Invalid(_))));
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
        let page = tenant::list(&world.operator, &Default::default(), request).await.unwrap();
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
