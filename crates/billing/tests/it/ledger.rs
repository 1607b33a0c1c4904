//! The ledger: what is posted, once, and what an issuer's accounts come to at a day or a moment.

use std::path::Path;

use billing::invoice::DocumentKind;
use billing::ledger::{AsOf, Balance, trial_balance};
use billing::rating::RemovalPolicy;
use kernel::{ErrorKind, ResellerId, TenantId};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};
use tenancy::{Caller, Ctx, user};
use testkit::{TestDb, World, world};

use super::{admin_of, at, book, date, invoices, run, seat, subscribe, subscribed_tenant, world_on};

/// A tenant's transfers as text, in the order of their documents.
async fn transfers(ctx: &Ctx) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', code, debit_account || '/' || credit_account, amount_minor, currency, effective_on)
         from transfers order by reference, code",
    )
    .fetch_all(ctx.begin().await.unwrap().conn())
    .await
    .unwrap()
}

/// Accounts as text: debits, credits, balance. Asserts that debits are credits.
async fn balances(caller: &Caller, issuer: ResellerId, as_of: AsOf) -> Vec<String> {
    let rows = trial_balance(caller, issuer, as_of).await.unwrap();
    let sum = |side: fn(&Balance) -> i64| rows.iter().map(side).sum::<i64>();
    assert_eq!(sum(|row| row.debits.amount_minor), sum(|row| row.credits.amount_minor));
    assert_eq!(sum(|row| row.balance.amount_minor), 0);
    let shown = |row: &Balance| {
        let Balance { account, debits, credits, balance } = row;
        format!("{}: {debits} - {credits} = {balance}", account.as_str())
    };
    rows.iter().map(shown).collect()
}

/// Four from January on, of whom three leave on the eighth; billed in January and in February.
async fn leaving(world: &World) {
    let book = book(world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "year").await;
    for name in ["ada", "ben", "cy", "dee"] {
        seat(&world.ctx, name).await;
    }
    run(world, "2026-01-01").await;
    at(world, "2026-01-08T12:00");
    let users =
        user::list(&world.ctx, &Default::default(), kernel::PageRequest::new(None, None)).await.unwrap();
    for user in &users.items[1..] {
        user::delete(&world.ctx, user.id, None).await.unwrap();
    }
    at(world, "2026-02-01T12:00");
    run(world, "2026-02-01").await;
}

#[tokio::test]
async fn each_document_is_posted_once_and_balances_are_sums() {
    let world = world_on("2026-01-01").await;
    leaving(&world).await;
    // Four for eight days, one for the other 357: 389 of 1460 seat-days are kept, 480.00 × 389/1460 = 127.8904…
    let expected = [
        "invoice_net receivable/revenue 48000 EUR 2026-01-01",
        "credit_note_net revenue/receivable 35211 EUR 2026-02-01",
    ];
    assert_eq!(transfers(&world.ctx).await, expected);
    run(&world, "2026-02-01").await;
    assert_eq!(transfers(&world.ctx).await, expected, "a second run posts nothing");

    let issuer = world.reseller.id;
    let january =
        ["receivable: 480.00 EUR - 0.00 EUR = 480.00 EUR", "revenue: 0.00 EUR - 480.00 EUR = -480.00 EUR"];
    let february = [
        "receivable: 480.00 EUR - 352.11 EUR = 127.89 EUR",
        "revenue: 352.11 EUR - 480.00 EUR = -127.89 EUR",
    ];
    let of = async |as_of| balances(&world.operator, issuer, as_of).await;
    assert_eq!(of(AsOf::day(date("2025-12-31"))).await, [""; 0]);
    assert_eq!(of(AsOf::day(date("2026-01-01"))).await, january);
    assert_eq!(of(AsOf::day(date("2026-01-31"))).await, january);
    assert_eq!(of(AsOf::day(date("2026-02-01"))).await, february);
    let moment = |text: &str| AsOf::moment(text.parse().unwrap());
    assert_eq!(of(moment("2026-01-01T08:59:59Z")).await, [""; 0]);
    assert_eq!(of(moment("2026-02-01T11:59:59Z")).await, january);
    assert_eq!(of(moment("2026-02-01T12:00:00Z")).await, february);
    // Of both, the one that is sooner.
    let by = |day: &str, moment: &str| AsOf { day: Some(date(day)), moment: Some(moment.parse().unwrap()) };
    assert_eq!(of(by("2026-01-31", "2026-02-01T12:00:00Z")).await, january);
    assert_eq!(of(by("2026-02-01", "2026-02-01T11:59:59Z")).await, january);
    assert_eq!(of(by("2026-02-01", "2026-02-01T12:00:00Z")).await, february);
    assert_eq!(of(AsOf::default()).await, february);
}

#[tokio::test]
async fn receivable_is_what_all_documents_come_to() {
    let world = world_on("2026-01-01").await;
    leaving(&world).await;
    let documents = invoices(&world.ctx).await;
    assert_eq!(documents.iter().filter(|document| document.kind == DocumentKind::CreditNote).count(), 1);
    let owed: i64 = documents.iter().map(|document| document.total.amount_minor).sum();
    let rows =
        trial_balance(&world.operator, world.reseller.id, AsOf::day(date("2026-02-01"))).await.unwrap();
    assert_eq!(rows[0].balance.amount_minor, owed);
}

#[tokio::test]
async fn tenants_and_issuers_do_not_mix() {
    let world = world_on("2026-01-01").await;
    let other = world::reseller(&world.operator, "Other").await;
    let own_book = book(&world, RemovalPolicy::default()).await;
    let one = subscribed_tenant(&world, &own_book, "One", 1).await;
    let two = subscribed_tenant(&world, &own_book, "Two", 2).await;
    let prices = vec![super::price("month", "7", RemovalPolicy::default())];
    let others = billing::price_book::publish(&world.operator, Some(other.id), prices).await.unwrap();
    let tenant = world::tenant(&world.operator, &other, "Three").await;
    let three = world.operator.enter(tenant.id).await.unwrap();
    world::domain(&three, "three.example").await;
    subscribe(&three, &others, "month").await;
    seat(&three, "ada").await;
    run(&world, "2026-01-01").await;

    for (ctx, amount) in [(&one, 1250), (&two, 2500), (&three, 700)] {
        assert_eq!(transfers(ctx).await, [format!("invoice_net receivable/revenue {amount} EUR 2026-01-01")]);
    }
    let day = AsOf::day(date("2026-01-01"));
    let both = balances(&world.operator, world.reseller.id, day).await;
    assert_eq!(both[0], "receivable: 37.50 EUR - 0.00 EUR = 37.50 EUR");
    let admin = admin_of(&world, &other).await;
    assert_eq!(balances(&admin, other.id, day).await[0], "receivable: 7.00 EUR - 0.00 EUR = 7.00 EUR");
    let refused = trial_balance(&admin, world.reseller.id, day).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_was_posted_cannot_be_changed_or_posted_again() {
    let world = world_on("2026-01-01").await;
    leaving(&world).await;
    for statement in [
        "update transfers set amount_minor = 1",
        "delete from transfers",
        "update billed_boundaries set seat_changes_known = 0",
        "delete from billed_boundaries",
    ] {
        let refused =
            sqlx::query(statement).execute(world.ctx.begin().await.unwrap().conn()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
        let refused =
            sqlx::query(statement).execute(super::run::behind(&world).await.conn()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
    let again = "insert into transfers select * from transfers where code = 'invoice_net'";
    let refused = sqlx::query(again)
        .execute(world.ctx.begin().await.unwrap().conn())
        .await
        .map_err(db::Error::from)
        .unwrap_err();
    assert_eq!(refused.constraint(), Some("transfers_once"));
}

/// The last step before there was a ledger.
const EARLIER: i64 = 15;

/// An invoice and a credit note with tax, as the version of then left them.
const DOCUMENTS: &str = "
    begin;
    set local role pillarbox_system;
    insert into resellers (id, path, name, created_at) values
      ('01900000-0000-7000-8000-000000000001', '{01900000-0000-7000-8000-000000000001}', 'Hosting', now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Acme', 'DE', 'EUR', 'UTC', now());
    insert into invoices (tenant_id, id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on,
      net_minor, tax_minor, total_minor, finalized_at)
      select '01900000-0000-7000-8000-000000000002', id::uuid, kind, '01900000-0000-7000-8000-000000000001', 1, 'Hosting',
        'Acme', 'EUR', day::date, day::date + 14, net, tax, net + tax, day::timestamptz
      from (values ('01900000-0000-7000-8000-000000000003', 'invoice', '2026-01-01', 1000, 190),
        ('01900000-0000-7000-8000-000000000004', 'credit_note', '2026-02-01', -100, -19)) d (id, kind, day, net, tax);
    commit";

#[tokio::test]
async fn documents_of_an_earlier_version_are_posted_when_it_is_upgraded() {
    let test_db = TestDb::new().await;
    let mut conn = PgConnection::connect(&test_db.url()).await.unwrap();
    let empty = "drop schema public cascade; create schema public; grant usage on schema public to public";
    sqlx::raw_sql(empty).execute(&mut conn).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
    earlier.migrations.to_mut().retain(|migration| migration.version <= EARLIER);
    earlier.run(&mut conn).await.unwrap();
    sqlx::raw_sql(DOCUMENTS).execute(&mut conn).await.unwrap();

    test_db.db().migrate().await.unwrap();
    let operator = world::operator(&test_db);
    let tenant_id: TenantId = "ten_01900000000070008000000000000002".parse().unwrap();
    let expected = [
        "invoice_net receivable/revenue 1000 EUR 2026-01-01",
        "invoice_tax receivable/tax_payable 190 EUR 2026-01-01",
        "credit_note_net revenue/receivable 100 EUR 2026-02-01",
        "credit_note_tax tax_payable/receivable 19 EUR 2026-02-01",
    ];
    let ctx = operator.enter(tenant_id).await.unwrap();
    assert_eq!(transfers(&ctx).await, expected);
    let issuer = ctx.reseller_id();
    let moment = AsOf::moment("2026-01-01T00:00:00Z".parse().unwrap());
    let expected = [
        "receivable: 11.90 EUR - 0.00 EUR = 11.90 EUR",
        "revenue: 0.00 EUR - 10.00 EUR = -10.00 EUR",
        "tax_payable: 0.00 EUR - 1.90 EUR = -1.90 EUR",
    ];
    assert_eq!(balances(&operator, issuer, moment).await, expected);
}
