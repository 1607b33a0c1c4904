//! The run that nobody asks for.

use billing::rating::RemovalPolicy;
use billing::run::{RunSummary, scheduled};
use testkit::world;

use super::run::{behind, behind_and_commit};
use super::{at, book, invoices, seat, subscribe, subscribed_tenant, world_on};

#[tokio::test]
async fn everybody_is_billed_once_their_own_day_has_come_and_a_test_clock_however_far_ahead() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let berlin = subscribed_tenant(&world, &book, "Berlin", 1).await;
    let mut others = Vec::new();
    for (name, time_zone, test_clock) in
        [("Auckland", "Pacific/Auckland", false), ("Sandbox", "America/Los_Angeles", true)]
    {
        let new = tenancy::tenant::NewTenant {
            time_zone: time_zone.into(),
            test_clock,
            ..world::new_tenant(&world.reseller, name)
        };
        let tenant = tenancy::tenant::create(&world.operator, new).await.unwrap();
        let ctx = super::ctx_of(&world, tenant.id).await;
        world::domain(&ctx, &super::domain(&ctx)).await;
        subscribe(&ctx, &book, "month").await;
        seat(&ctx, "ada").await;
        others.push(ctx);
    }
    let [auckland, sandbox] = others.as_slice() else { panic!("two tenants") };
    let db = world.test_db.db();
    let first = scheduled(&db).await.unwrap().unwrap();
    assert_eq!((first.accounts_due, first.accounts_billed, first.invoices), (3, 3, 3));

    // It is February in Auckland, where it is eleven hours before that in London.
    at(&world, "2026-01-31T13:00");
    let counts = async || {
        let mut counts = Vec::new();
        for ctx in [&berlin, auckland, sandbox] {
            counts.push(invoices(ctx).await.len());
        }
        counts
    };
    assert_eq!(scheduled(&db).await.unwrap().unwrap().invoices, 1);
    assert_eq!(counts().await, [1, 2, 1]);
    tenancy::tenant::set_test_clock(sandbox, "2027-01-01T07:59:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(scheduled(&db).await.unwrap().unwrap().invoices, 11);
    assert_eq!(counts().await, [1, 2, 12]);
    let none = scheduled(&db).await.unwrap().unwrap();
    assert_eq!(RunSummary { accounts_not_yet: 0, ..none }, RunSummary::default());
    super::verify::assert_clean(&world, 15).await;
}

#[tokio::test]
async fn a_draft_becomes_final_by_its_tenants_own_clock() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    super::draft::drafting(&world, 3, 0).await;
    let new =
        tenancy::tenant::NewTenant { test_clock: true, ..world::new_tenant(&world.reseller, "Sandbox") };
    let sandbox = tenancy::tenant::create(&world.operator, new).await.unwrap();
    let sandbox = super::ctx_of(&world, sandbox.id).await;
    subscribe(&sandbox, &book, "month").await;
    world::domain(&sandbox, &super::domain(&sandbox)).await;
    seat(&sandbox, "ada").await;
    let berlin = subscribed_tenant(&world, &book, "Berlin", 1).await;
    let db = world.test_db.db();
    for (clock, drafts, invoices) in
        [("2026-01-01T12:00:00Z", 2, 0), ("2026-01-03T12:00:00Z", 0, 0), ("2026-01-04T12:00:00Z", 0, 1)]
    {
        tenancy::tenant::set_test_clock(&sandbox, clock.parse().unwrap()).await.unwrap();
        let summary = scheduled(&db).await.unwrap().unwrap();
        assert_eq!(
            (summary.drafts, summary.invoices, summary.accounts_failed),
            (drafts, invoices, 0),
            "{clock}"
        );
    }
    assert_eq!(invoices(&berlin).await[0].status, "draft");
    super::verify::assert_clean(&world, 2).await;
}

#[tokio::test]
async fn one_leads_and_who_is_gone_leads_no_more() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let tenant = subscribed_tenant(&world, &book, "Berlin", 1).await;
    let db = world.test_db.db();
    let mut leader = behind(&world).await;
    let lock = "select pg_advisory_xact_lock(hashtext('billing_runs'))";
    sqlx::query(lock).execute(leader.conn()).await.unwrap();
    assert_eq!(scheduled(&db).await.unwrap(), None);
    assert_eq!(invoices(&tenant).await.len(), 0);
    leader.commit().await.unwrap();
    assert_eq!(scheduled(&db).await.unwrap().unwrap().invoices, 1);
    // Nothing is kept of the lock once a run has ended.
    behind_and_commit(&world, lock).await;
    assert!(scheduled(&db).await.unwrap().is_some());
}
