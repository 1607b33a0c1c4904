//! Runs: at once, cut off, over bad accounts, by whom; and what stays final.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use billing::invoice::{self, DocumentKind};
use billing::rating::RemovalPolicy;
use billing::run::{JOB, NewRun, RunSummary, create, get, list, work};
use chrono::TimeDelta;
use db::SystemTx;
use kernel::{ErrorKind, PageRequest};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenancy::{Ctx, Scope, event, user};
use testkit::{World, world};

use super::{admin_of, all_shown, at, book, date, invoices, run, seat, subscribed_tenant, world_on};

/// Tenants whose second cycle has changes to bill, on 1 March.
async fn busy_world(tenants: u32) -> (World, Vec<Ctx>) {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let mut all = Vec::new();
    for n in 0..tenants {
        all.push(subscribed_tenant(&world, &book, &format!("Tenant {n}"), n % 3).await);
    }
    at(&world, "2026-02-14T12:00");
    for ctx in &all {
        seat(ctx, "late").await;
        if let Some(user) =
            user::list(ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap().items.first()
        {
            user::delete(ctx, user.id, None).await.unwrap();
        }
    }
    at(&world, "2026-03-01T12:00");
    (world, all)
}

async fn documents(all: &[Ctx]) -> Vec<Vec<String>> {
    let mut documents = Vec::new();
    for ctx in all {
        documents.push(all_shown(ctx).await);
    }
    documents
}

/// I15: numbers are 1..n in each series.
async fn assert_gapless(all: &[Ctx]) {
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        let mut numbers = BTreeSet::new();
        let mut count = 0;
        for ctx in all {
            for invoice in invoices(ctx).await.iter().filter(|invoice| invoice.kind == kind) {
                numbers.insert(
                    invoice.number.as_ref().unwrap().split('-').nth(1).unwrap().parse::<u64>().unwrap(),
                );
                count += 1;
            }
        }
        assert_eq!(numbers, (1..=count).collect());
    }
}

/// I2: every document is posted, once.
async fn assert_verified(world: &World, all: &[Ctx]) {
    let mut count = 0;
    for ctx in all {
        count += invoices(ctx).await.len() as u64;
    }
    super::verify::assert_clean(world, count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_runs_make_the_documents_of_one() {
    let (clean, clean_tenants) = busy_world(9).await;
    run(&clean, "2026-03-01").await;
    let (world, tenants) = busy_world(9).await;
    let runs = (0..4).map(|_| {
        let db = world.test_db.db();
        tokio::spawn(async move { billing::run::run(&db, date("2026-03-01"), None).await.unwrap() })
    });
    let mut billed = 0;
    for run in runs.collect::<Vec<_>>() {
        let summary = run.await.unwrap();
        assert_eq!((summary.accounts_failed, summary.accounts_parked), (0, 0));
        billed += summary.accounts_billed;
    }
    assert_eq!(billed, 9);
    assert_eq!(documents(&tenants).await, documents(&clean_tenants).await);
    assert_gapless(&tenants).await;
    assert_verified(&world, &tenants).await;
}

#[tokio::test]
async fn a_run_cut_off_anywhere_is_finished_by_the_next() {
    let (clean, clean_tenants) = busy_world(9).await;
    run(&clean, "2026-03-01").await;
    let (world, tenants) = busy_world(9).await;
    // Dropped at whichever statement the time is up.
    let mut cut_off = 0;
    for micros in (500..40_000).step_by(1_300) {
        let db = world.test_db.db();
        let run = billing::run::run(&db, date("2026-03-01"), None);
        cut_off += u32::from(tokio::time::timeout(Duration::from_micros(micros), run).await.is_err());
    }
    assert!(cut_off > 1, "{cut_off} runs were cut off");
    run(&world, "2026-03-01").await;
    assert_eq!(documents(&tenants).await, documents(&clean_tenants).await);
    assert_gapless(&tenants).await;
    assert_verified(&world, &tenants).await;
}

#[expect(clippy::disallowed_methods, reason = "a test reaches behind the domain")]
pub(crate) async fn behind(world: &World) -> SystemTx {
    SystemTx::begin(&world.test_db.db()).await.unwrap()
}

/// As [`behind`], for one statement that stays.
pub(crate) async fn behind_and_commit(world: &World, statement: &'static str) {
    let mut tx = behind(world).await;
    sqlx::query(statement).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

/// More seats freed than taken.
async fn fail_rating(world: &World, bad: &Ctx) {
    let mut tx = behind(world).await;
    sqlx::query(
        "insert into seat_changes (tenant_id, at, delta, user_id)
         select tenant_id, at - interval '1 hour', -1, user_id from seat_changes where tenant_id = $1",
    )
    .bind(bad.tenant_id().uuid())
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

/// What events of a kind say on a trail.
pub(crate) async fn told_on(world: &World, trail: Scope, kind: event::Kind) -> Vec<(String, Value)> {
    let on_it = world.noted(kind).await.into_iter().filter(|one| one.event.trail == trail);
    on_it.map(|one| (one.event.subject, one.event.data)).collect()
}

#[tokio::test]
async fn a_bad_account_is_parked_and_stops_nobody() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let bad = subscribed_tenant(&world, &book, "Bad", 1).await;
    let good = subscribed_tenant(&world, &book, "Good", 1).await;
    fail_rating(&world, &bad).await;

    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_billed, summary.accounts_parked), (1, 1));
    assert_eq!((invoices(&good).await.len(), invoices(&bad).await.len()), (1, 0));
    let subscription = billing::subscription::get(&bad).await.unwrap();
    assert_eq!(subscription.parked_reason.as_deref(), Some("the event log frees more seats than were taken"));
    assert_eq!(run(&world, "2026-01-01").await.accounts_parked, 1, "it is still told");
    let told = told_on(&world, Scope::Tenant(bad.tenant_id()), event::Kind::SubscriptionParked).await;
    let reason = json!({"reason": "the event log frees more seats than were taken"});
    assert_eq!(told, [(subscription.id.to_string(), reason)], "once");

    // What is put again may be billed again: the next run tries.
    let put = super::subscribe(&bad, &book, "month").await;
    assert_eq!((&put.parked_reason, &billing::subscription::get(&bad).await.unwrap()), (&None, &put));
    assert_eq!(run(&world, "2026-01-01").await.accounts_parked, 1);
    assert!(billing::subscription::get(&bad).await.unwrap().parked_reason.is_some(), "it was tried");

    let mut tx = behind(&world).await;
    sqlx::query("delete from seat_changes where delta < 0").execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    let db = world.test_db.db();
    let summary = billing::run::run(&db, date("2026-01-01"), Some(bad.tenant_id())).await.unwrap();
    assert_eq!(summary.invoices, 1);
    assert_eq!(billing::subscription::get(&bad).await.unwrap().parked_reason, None);
}

/// Two tenants with something due, and a connection of the database's owner.
async fn two_and_an_owner() -> (World, Ctx, Ctx, PgConnection) {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let one = subscribed_tenant(&world, &book, "One", 1).await;
    let other = subscribed_tenant(&world, &book, "Other", 1).await;
    let owner = PgConnection::connect(&world.test_db.url()).await.unwrap();
    // Runs go by id.
    if one.tenant_id() < other.tenant_id() { (world, one, other, owner) } else { (world, other, one, owner) }
}

/// Makes the first `times` invoices of a tenant fail with a state.
async fn fail_invoices(owner: &mut PgConnection, tenant: &Ctx, sqlstate: &str, times: u32) {
    let tenant_id = tenant.tenant_id().uuid();
    let sql = format!(
        "create sequence faults;
         grant all on faults to public;
         create function fault() returns trigger language plpgsql as $$ begin
           if new.tenant_id = '{tenant_id}' and nextval('faults') <= {times} then
             raise exception 'made up' using errcode = '{sqlstate}';
           end if;
           return new;
         end $$;
         create trigger fault before insert on invoices for each row execute function fault();"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(owner).await.unwrap();
}

#[tokio::test]
async fn an_account_that_gives_way_is_tried_again_and_stops_nobody() {
    for (sqlstate, times, billed, failed) in [("40P01", 3, 2, 0), ("40001", 100, 1, 1)] {
        let (world, first, second, mut owner) = two_and_an_owner().await;
        fail_invoices(&mut owner, &first, sqlstate, times).await;
        let summary = run(&world, "2026-01-01").await;
        assert_eq!((summary.accounts_due, summary.accounts_billed), (2, billed));
        assert_eq!((summary.accounts_failed, summary.accounts_parked), (failed, 0));
        assert_eq!(invoices(&second).await.len(), 1);
    }
}

#[tokio::test]
async fn a_run_of_all_makes_the_documents_of_runs_of_each() {
    let (world, tenants) = busy_world(9).await;
    run(&world, "2026-03-01").await;
    let (apart, each) = busy_world(9).await;
    for ctx in &each {
        let db = apart.test_db.db();
        billing::run::run(&db, date("2026-03-01"), Some(ctx.tenant_id())).await.unwrap();
    }
    assert!(documents(&tenants).await.iter().any(|documents| documents.len() > 1));
    assert_eq!(documents(&tenants).await, documents(&each).await);
    assert_gapless(&tenants).await;
    assert_gapless(&each).await;
}

#[tokio::test]
async fn one_that_moves_while_a_run_waits_for_it_is_billed_by_its_new_reseller() {
    let (world, first, second, mut owner) = two_and_an_owner().await;
    let other = world::reseller(&world.operator, "South").await;
    // As a transfer does: it holds the subscription, and moves the tenant in the end.
    let mut moving = behind(&world).await;
    sqlx::query("select id from subscriptions where tenant_id = $1 for update")
        .bind(first.tenant_id().uuid())
        .execute(moving.conn())
        .await
        .unwrap();
    let db = world.test_db.db();
    let run = tokio::spawn(async move { billing::run::run(&db, date("2026-01-01"), None).await.unwrap() });
    somebody_waits(&mut owner).await;
    sqlx::query("update tenants set reseller_id = $2, reseller_path = array[$2] where id = $1")
        .bind(first.tenant_id().uuid())
        .bind(other.id.uuid())
        .execute(moving.conn())
        .await
        .unwrap();
    moving.commit().await.unwrap();
    assert_eq!(run.await.unwrap().invoices, 2);
    let issuers = [invoices(&first).await, invoices(&second).await].map(|made| made[0].issuer.clone());
    assert_eq!((issuers[0].id, issuers[0].name.as_str()), (other.id, "South"));
    assert_eq!(issuers[1].id, world.reseller.id);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_nobody_else_from_being_billed() {
    let (world, first, second, _) = two_and_an_owner().await;
    let mut tx = behind(&world).await;
    sqlx::query("insert into customer_profiles (tenant_id, profile, version) values ($1, '{}', 1)")
        .bind(first.tenant_id().uuid())
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_due, summary.accounts_billed, summary.accounts_parked), (2, 1, 1));
    assert_eq!((invoices(&first).await.len(), invoices(&second).await.len()), (0, 1));
    let reason = billing::subscription::get(&first).await.unwrap().parked_reason;
    assert_eq!(reason.as_deref(), Some("a stored billing profile cannot be read"));
    assert_eq!(run(&world, "2026-01-01").await.accounts_due, 1, "nothing is left but what is parked");
}

#[tokio::test]
async fn a_run_that_the_database_stops_tells_what_it_did() {
    // In one transaction, or after the first account's own.
    for (accounts, billed) in [(500, 0), (1, 1)] {
        let (world, first, second, mut owner) = two_and_an_owner().await;
        fail_invoices(&mut owner, &second, "57P01", 1).await;
        let asked = NewRun { as_of: "2026-01-01".into(), tenant_id: None };
        let asked = create(&world.operator, asked).await.unwrap();
        let db = world.test_db.db();
        let accounts = NonZeroU32::new(accounts).unwrap();
        let error = billing::run::execute_by(&db, asked.id, accounts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let failed = get(&world.operator, asked.id).await.unwrap();
        let expected =
            RunSummary { accounts_due: 2, accounts_billed: billed, invoices: billed, ..Default::default() };
        assert_eq!((failed.status.as_str(), failed.summary), ("failed", Some(expected)));
        assert_eq!((invoices(&first).await.len() as u64, invoices(&second).await.len()), (billed, 0));
        assert_eq!(billing::run::execute(&db, asked.id).await.unwrap().invoices, 2 - billed);
        assert_eq!(get(&world.operator, asked.id).await.unwrap().status, "succeeded");
        assert_eq!((invoices(&first).await.len(), invoices(&second).await.len()), (1, 1));
    }
}

#[tokio::test]
async fn an_account_whose_row_is_not_changed_is_not_billed() {
    let (world, first, second, mut owner) = two_and_an_owner().await;
    let sql = format!(
        "create function lost() returns trigger language plpgsql as 'begin return null; end';
         create trigger lost before update on subscriptions for each row when (old.tenant_id = '{}') execute function lost()",
        first.tenant_id().uuid()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_billed, summary.accounts_failed, summary.accounts_parked), (1, 1, 0));
    assert_eq!((invoices(&first).await.len(), invoices(&second).await.len()), (0, 1));
    // Nor is one parked that cannot be.
    fail_rating(&world, &first).await;
    assert_eq!(run(&world, "2026-01-01").await.accounts_failed, 1);
}

#[tokio::test]
async fn an_unreadable_profile_is_in_the_way_of_a_document_alone() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let idle = subscribed_tenant(&world, &book, "Idle", 0).await;
    behind_and_commit(
        &world,
        "insert into customer_profiles (tenant_id, profile, version) select tenant_id, '{}', 1 from subscriptions",
    )
    .await;
    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_billed, summary.accounts_parked, summary.invoices), (1, 0, 0));
    let subscription = billing::subscription::get(&idle).await.unwrap();
    assert_eq!((subscription.next_invoice_on, subscription.parked_reason), (Some(date("2026-02-01")), None));
    seat(&idle, "ada").await;
    at(&world, "2026-02-01T12:00");
    let summary = run(&world, "2026-02-01").await;
    assert_eq!((summary.accounts_billed, summary.accounts_parked, summary.invoices), (0, 1, 0));
}

/// Until a session waits for a row; one that skips what is locked only looks at the lock.
pub(super) async fn somebody_waits(owner: &mut PgConnection) {
    let sql = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    let waits = async {
        while !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *owner).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("nobody waits for the row");
}

#[tokio::test]
async fn a_run_waits_for_a_held_subscription_to_take_account_of_its_tenant() {
    let (world, first, second, mut owner) = two_and_an_owner().await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    for ctx in [&first, &second] {
        tenancy::tenant::delete(ctx, None).await.unwrap();
    }
    at(&world, "2026-01-11T10:00");
    let mut looking = first.begin().await.unwrap();
    sqlx::query("select id from subscriptions for share").execute(looking.conn()).await.unwrap();
    let db = world.test_db.db();
    let run = tokio::spawn(async move { billing::run::run(&db, date("2026-01-11"), None).await.unwrap() });
    somebody_waits(&mut owner).await;
    drop(looking);
    let summary = run.await.unwrap();
    assert_eq!((summary.accounts_due, summary.accounts_billed, summary.credit_notes), (2, 2, 2));
}

#[tokio::test]
async fn a_run_waits_for_a_subscription_that_is_being_changed() {
    for named in [true, false] {
        let (world, first, second, mut owner) = two_and_an_owner().await;
        let mut change = first.begin().await.unwrap();
        sqlx::query("select id from subscriptions for update").execute(change.conn()).await.unwrap();
        let (db, tenant_id) = (world.test_db.db(), named.then_some(first.tenant_id()));
        let run =
            tokio::spawn(async move { billing::run::run(&db, date("2026-01-01"), tenant_id).await.unwrap() });
        somebody_waits(&mut owner).await;
        assert_eq!(invoices(&second).await.len(), usize::from(!named), "the others come first");
        change.commit().await.unwrap();
        let summary = run.await.unwrap();
        let due = if named { 1 } else { 2 };
        assert_eq!(
            (summary.accounts_due, summary.accounts_billed, summary.accounts_elsewhere),
            (due, due, 0)
        );
        assert_eq!(invoices(&first).await.len(), 1);
    }
}

#[tokio::test]
async fn a_credit_note_names_what_it_corrects_and_all_sums_to_what_was_used() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let ctx = subscribed_tenant(&world, &book, "Leaving", 4).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-08T12:00");
    for user in user::list(&ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap().items {
        user::delete(&ctx, user.id, None).await.unwrap();
    }
    at(&world, "2026-06-01T12:00");
    assert_eq!(run(&world, "2026-06-01").await.credit_notes, 1);
    // Four for eight days: 50.00 × 8/31 = 12.9032…; 50.00 − 12.90 is credited.
    let expected = [
        "invoice 2026-01-01 50.00 EUR; recurring 2026-01-01..2026-02-01 x4 = 124 seat-days, 50.00 EUR",
        "credit_note 2026-02-01 -37.10 EUR; credit 2026-01-09..2026-02-01 x-4 = -92 seat-days, -37.10 EUR",
    ];
    assert_eq!(all_shown(&ctx).await, expected, "months without users make no documents");
    let documents = invoices(&ctx).await;
    assert_eq!(documents[1].corrects, [documents[0].id]);
}

#[tokio::test]
async fn final_documents_cannot_be_changed() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let ctx = subscribed_tenant(&world, &book, "Acme", 1).await;
    run(&world, "2026-01-01").await;
    for statement in [
        "update invoices set total_minor = 0, net_minor = 0",
        "delete from invoice_lines",
        "update invoice_lines set amount_minor = 0",
        "update billing_coverage set item = 'other'",
        "update prices set unit_price = 0",
        "delete from price_books",
    ] {
        let refused = sqlx::query(statement).execute(behind(&world).await.conn()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
        let refused = sqlx::query(statement).execute(ctx.begin().await.unwrap().conn()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
    // The same days a second time.
    let again = "insert into billing_coverage select tenant_id, item, kind, daterange(lower(days) + 3, upper(days) + 3), whole, time_zone,
                   starts_on + 3 from billing_coverage where kind = 'cycle'";
    let refused = sqlx::query(again)
        .execute(ctx.begin().await.unwrap().conn())
        .await
        .map_err(db::Error::from)
        .unwrap_err();
    assert_eq!(refused.constraint(), Some("billing_coverage_once"));
}

#[tokio::test]
async fn a_run_is_asked_for_and_done_by_a_job() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let own = subscribed_tenant(&world, &book, "Own", 2).await;
    let admin = admin_of(&world, &world.reseller).await;
    let other_reseller = world::reseller(&world.operator, "Other").await;
    let other = admin_of(&world, &other_reseller).await;

    let asked = NewRun { as_of: "2026-01-01".into(), tenant_id: None };
    let elsewhere = create(&other, asked.clone()).await.unwrap();
    let here = create(&admin, asked).await.unwrap();
    let trail = Scope::Reseller(world.reseller.id);
    let [(subject, data)] = &told_on(&world, trail, event::Kind::BillingRunRequested).await[..] else {
        panic!()
    };
    assert_eq!((subject, &data["as_of"]), (&here.id.to_string(), &json!("2026-01-01")));
    assert_eq!((here.status.as_str(), here.summary), ("queued", None));
    let db = world.test_db.db();
    while let Some(job) = db::jobs::claim(&db, TimeDelta::minutes(1)).await.unwrap() {
        assert_eq!(job.kind, JOB);
        work(&db, &job.payload).await.unwrap();
        db::jobs::complete(&db, job.id).await.unwrap();
    }
    assert_eq!(
        get(&other, elsewhere.id).await.unwrap().summary,
        Some(RunSummary::default()),
        "not its tenant"
    );
    let done = get(&admin, here.id).await.unwrap();
    assert_eq!((done.status.as_str(), done.summary.unwrap().invoices), ("succeeded", 1));
    assert_eq!(billing::run::execute(&db, here.id).await.unwrap(), done.summary.unwrap());
    assert_eq!(invoices(&own).await.len(), 1);

    assert_eq!(get(&other, here.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(list(&admin, PageRequest::new(None, None)).await.unwrap().items.len(), 1);
    assert_eq!(list(&world.operator, PageRequest::new(None, None)).await.unwrap().items.len(), 2);
    let invoice = invoices(&own).await[0].id;
    assert_eq!(invoice::get(&admin, invoice).await.unwrap().id, invoice);
    assert_eq!(invoice::get(&other, invoice).await.unwrap_err().kind(), ErrorKind::NotFound);

    let not_its_own = NewRun { as_of: "2026-01-01".into(), tenant_id: Some(own.tenant_id()) };
    assert_eq!(create(&other, not_its_own).await.unwrap_err().kind(), ErrorKind::NotFound);
    for bad in ["2026-02-30", "2026-01-02", "soon"] {
        let bad = NewRun { as_of: bad.into(), tenant_id: Some(own.tenant_id()) };
        assert_eq!(create(&admin, bad).await.unwrap_err().field_errors()[0].pointer, "/as_of");
    }
}
