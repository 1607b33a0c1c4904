//! A tenant that goes for good: it is billed and charged to the end before it is destroyed.

use std::time::Duration;

use billing::invoice;
use billing::run;
use chrono::TimeDelta;
use db::Db;
use kernel::{PageRequest, TenantId};
use mailstore::MailStore;
use mailstore::purge::{Purged, Rounds, Terms};
use sqlx::Connection;
use tenancy::auth::Auth;
use tenancy::tenant::NewTenant;
use tenancy::{Ctx, purge, tenant};
use testkit::stripe::FakeStripe;
use testkit::{World, world};
use tokio::time::Instant;

use crate::{PATIENCE, Working, book, pays_by_itself, subscribe};

/// What destroys, and bills nothing.
struct Destroying {
    db: Db,
    store: MailStore,
    auth: Auth,
}

impl Destroying {
    async fn of(world: &World) -> Self {
        let db = world.test_db.db();
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let store = MailStore::new(db.clone(), blobs, testkit::kek::encryption());
        let auth = Auth::new(db.clone()).await.unwrap();
        Self { db, store, auth }
    }

    /// Those of these that may go.
    async fn these(&self, due: &[TenantId]) -> Purged {
        mailstore::purge::run(&self.store, &self.db, &self.auth, Terms::default(), due).await.unwrap()
    }

    /// Whoever is due and may go.
    async fn all(&self) -> Purged {
        self.these(&mailstore::purge::due_tenants(&self.db).await.unwrap()).await
    }
}

/// Changes subscriptions behind everybody's back.
async fn behind(db: &Db, statement: &'static str) {
    #[expect(clippy::disallowed_methods, reason = "no service leaves one so")]
    let mut tx = db::SystemTx::begin(db).await.unwrap();
    sqlx::query(statement).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A tenant with a test clock [goes](go), as those above it see it.
async fn deleted_sandbox(world: &World) -> Ctx {
    let new = NewTenant { test_clock: true, ..world::new_tenant(&world.reseller, "Sandbox") };
    let sandbox = tenant::create(&world.operator, new).await.unwrap();
    let ctx = world.operator.enter(sandbox.id).await.unwrap();
    world::domain(&ctx, "sandbox.example").await;
    go(world, &ctx, "ada@sandbox.example").await;
    world.operator.enter_deleted_too(sandbox.id).await.unwrap()
}

/// The world's tenant, with one seat, [goes](go).
async fn deleted() -> World {
    let world = World::new().await;
    go(&world, &world.ctx, "ada@acme.example").await;
    world
}

/// A tenant with a seat pays a year's price by the month, of which the first was billed, and is deleted.
async fn go(world: &World, ctx: &Ctx, address: &str) {
    let book = book(world, "year", "120").await;
    subscribe(ctx, &book, "year", Some("monthly")).await;
    world::user(ctx, address, None).await;
    pays_by_itself(world, ctx).await;
    run::run(&world.test_db.db(), ctx.today(), None).await.unwrap();
    tenant::delete(ctx, None).await.unwrap();
}

#[tokio::test]
async fn what_is_held_of_a_tenant_is_billed_and_charged_before_it_is_destroyed() {
    let world = deleted().await;
    let fake = FakeStripe::start().await;
    // Nobody was there on the day on which it would have been billed.
    world.test_db.clock().advance(TimeDelta::days(35));
    let working = Working::charging_at(world, fake.url().as_str()).await;
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
    // The last may be under way.
    while fake.balance() < 12_000 {
        assert!(Instant::now() < deadline, "{} was charged", fake.balance());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    working.stop().await;
}

/// Nobody was there on any of the days on which somebody could have seen to it.
#[tokio::test]
async fn an_account_that_the_first_round_parks_after_a_standstill_keeps_it_for_a_day() {
    let world = deleted().await;
    let db = world.test_db.db();
    let destroying = Destroying::of(&world).await;
    // More seats are freed than were taken.
    let freed = "insert into seat_changes (tenant_id, at, delta, user_id)
                 select tenant_id, at - interval '1 hour', -1, user_id from seat_changes where delta = 1";
    behind(&db, freed).await;
    world.test_db.clock().advance(TimeDelta::days(39));
    run::settle(&db).await.unwrap();
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    assert!(billing::subscription::get(&ctx).await.unwrap().parked_reason.is_some());
    // Whoever sees to it now is not overtaken by a round that began before.
    let mut rounds = Rounds::default();
    for _ in 0..2 {
        let due = mailstore::purge::due_tenants(&db).await.unwrap();
        assert_eq!(rounds.pick(&db, due).await.unwrap(), []);
    }
    world.test_db.clock().advance(TimeDelta::hours(23));
    // Tried in vain, it is parked for the same as before, since then.
    run::run(&db, ctx.today(), Some(world.tenant.id)).await.unwrap();
    assert_eq!(destroying.all().await, Purged::default());
    world.test_db.clock().advance(TimeDelta::hours(2));
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
}

#[tokio::test]
async fn what_the_first_round_after_a_standstill_cannot_bill_is_not_destroyed_by_it() {
    let world = deleted().await;
    let db = world.test_db.db();
    let mut owner = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql(
        "create function fault() returns trigger language plpgsql as $$ begin raise exception 'made up'; end $$;
         create trigger fault before insert on invoices for each row execute function fault()",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    // Rounds go by id.
    world.test_db.clock().advance(TimeDelta::hours(1));
    let other = world::tenant(&world.operator, &world.reseller, "Other").await;
    assert!(world.tenant.id < other.id);
    tenant::delete(&world.operator.enter(other.id).await.unwrap(), None).await.unwrap();
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let last = world.operator.enter_deleted_too(other.id).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(39));
    let working = Working::new(world).await;
    let deadline = Instant::now() + PATIENCE;
    while purge::record(&last).await.is_err() {
        assert!(Instant::now() < deadline, "the other is not destroyed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(purge::record(&ctx).await.is_err());
    let world = working.stop().await;

    // The first that another server looks, and the next.
    let destroying = Destroying::of(&world).await;
    let mut rounds = Rounds::default();
    for tenants in [0, 1] {
        run::settle(&db).await.unwrap();
        let due = mailstore::purge::due_tenants(&db).await.unwrap();
        let due = rounds.pick(&db, due).await.unwrap();
        assert_eq!(destroying.these(&due).await, Purged { mailboxes: 0, tenants, failed: 0 });
    }
    assert!(purge::record(&ctx).await.is_ok());
    owner.close().await.unwrap();
}

#[tokio::test]
async fn what_is_not_billed_to_the_end_is_not_destroyed_for_a_week_and_keeps_no_other() {
    let world = deleted().await;
    let other = world::tenant(&world.operator, &world.reseller, "Other").await;
    tenant::delete(&world.operator.enter(other.id).await.unwrap(), None).await.unwrap();
    let destroying = Destroying::of(&world).await;
    world.test_db.clock().advance(TimeDelta::days(32));
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    assert!(purge::record(&ctx).await.is_err());
    // Somebody sees to it all the same, or it is lost.
    world.test_db.clock().advance(TimeDelta::hours(5 * 24 + 12));
    assert_eq!(destroying.all().await, Purged::default());
    world.test_db.clock().advance(TimeDelta::days(1));
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    purge::record(&ctx).await.unwrap();
}

#[tokio::test]
async fn what_is_billed_to_the_end_is_destroyed() {
    let world = deleted().await;
    let db = world.test_db.db();
    let destroying = Destroying::of(&world).await;
    world.test_db.clock().advance(TimeDelta::days(32));
    run::settle(&db).await.unwrap();
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
}

/// However far it goes at once, and whatever a round has looked for before.
#[tokio::test]
async fn by_its_test_clock_a_tenant_is_billed_to_the_end_and_only_then_destroyed() {
    let world = World::new().await;
    let ctx = deleted_sandbox(&world).await;
    let db = world.test_db.db();
    let destroying = Destroying::of(&world).await;

    // What real time it is matters to none of it.
    world.test_db.clock().advance(TimeDelta::days(60));
    run::settle(&db).await.unwrap();
    assert_eq!(destroying.all().await, Purged::default());
    let page = PageRequest::new(Some(50), None);
    assert_eq!(invoice::list(&ctx, Default::default(), page).await.unwrap().items.len(), 1);

    let last = ctx.now() + purge::AT_THE_LATEST;
    let due = mailstore::purge::due_tenants(&db).await.unwrap();
    tenant::set_test_clock(&ctx, last).await.unwrap();
    assert_eq!(destroying.all().await, Purged::default(), "it is not billed to the end");
    run::settle(&db).await.unwrap();
    let invoices = invoice::list(&ctx, Default::default(), page).await.unwrap().items;
    assert_eq!(invoices.len(), 12);
    assert_eq!(destroying.these(&due).await, Purged::default(), "it was not due when the round began");
    // But for the one of which the day has come.
    assert!(invoices[2..].iter().all(|invoice| invoice.issued_on == last.date_naive()), "{invoices:?}");
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    purge::record(&ctx).await.unwrap();
}

#[tokio::test]
async fn an_account_that_was_parked_just_now_keeps_it_for_a_real_day() {
    let world = World::new().await;
    let ctx = deleted_sandbox(&world).await;
    let db = world.test_db.db();
    let destroying = Destroying::of(&world).await;
    tenant::set_test_clock(&ctx, ctx.now() + TimeDelta::days(35)).await.unwrap();
    // A world's clock begins on that day.
    let park = "update subscriptions set parked_at = '2026-03-02 09:00Z', parked_reason = 'whatever'";
    behind(&db, park).await;
    world.test_db.clock().advance(TimeDelta::hours(23));
    assert_eq!(destroying.all().await, Purged::default());
    world.test_db.clock().advance(TimeDelta::hours(2));
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
}

/// The clock goes no further than to where one by real time would be destroyed.
#[tokio::test]
async fn an_account_that_goes_on_failing_keeps_it_for_a_real_week_at_the_end_of_its_clock() {
    let world = World::new().await;
    let ctx = deleted_sandbox(&world).await;
    let destroying = Destroying::of(&world).await;
    world.test_db.clock().advance(TimeDelta::days(60));
    let end = ctx.now() + purge::AT_THE_LATEST;
    tenant::set_test_clock(&ctx, end).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(7));
    // Where it stands already: that is no move.
    tenant::set_test_clock(&ctx, end).await.unwrap();
    assert_eq!(destroying.all().await, Purged::default());
    world.test_db.clock().advance(TimeDelta::seconds(1));
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
}

#[tokio::test]
async fn what_billing_has_not_heard_of_keeps_it() {
    let world = deleted().await;
    let db = world.test_db.db();
    let destroying = Destroying::of(&world).await;
    world.test_db.clock().advance(TimeDelta::days(32));
    behind(&db, "update subscriptions set next_invoice_on = null").await;
    assert_eq!(destroying.all().await, Purged::default());
    run::settle(&db).await.unwrap();
    assert_eq!(destroying.all().await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
}
