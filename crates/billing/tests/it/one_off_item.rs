//! Charges that come once: items that are added, and setups.

use billing::one_off_item::{self, NewOneOffItem, OneOffItem};
use billing::price_book::{NewPrice, PriceBook, publish};
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, cancel, get, put};
use billing::verify::Difference;
use kernel::{ErrorKind, Money, PageRequest};
use tenancy::event::Kind;
use tenancy::{Ctx, Scope};
use testkit::World;

use super::courses::run_and_verify;
use super::run::told_on;
use super::tax::{customer, is, taxing};
use super::verify::{found, owner};
use super::{all_shown, at, book, date, invoices, price, run, seat, subscribe, terms, world_on};

fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, "EUR".parse().unwrap())
}

fn work(bill_on: Option<&str>) -> NewOneOffItem {
    NewOneOffItem {
        description: "Moving mail, an hour".into(),
        quantity: 3,
        unit_amount: eur(9_050),
        bill_on: bill_on.map(Into::into),
    }
}

pub(super) async fn add(ctx: &Ctx, bill_on: Option<&str>) -> OneOffItem {
    one_off_item::create(ctx, work(bill_on)).await.unwrap()
}

pub(super) async fn list(ctx: &Ctx) -> Vec<OneOffItem> {
    one_off_item::list(ctx, PageRequest::new(None, None)).await.unwrap().items
}

#[tokio::test]
async fn an_item_is_on_the_next_document_and_on_no_other() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    is(&world.ctx, customer("DE", None)).await;
    let book = book(&world, RemovalPolicy::default()).await;
    subscribe(&world.ctx, &book, "year").await;
    run_and_verify(&world, "2026-01-01").await;
    // Its day was billed, so it is on the next: an annual tenant, and nobody has a seat.
    let item = add(&world.ctx, Some("2025-12-24")).await;
    assert_eq!((item.bill_on, item.invoice_id), (date("2026-01-02"), None));
    // Lists are in the order of milliseconds.
    at(&world, "2026-01-01T10:01");
    let later = add(&world.ctx, Some("2026-02-02")).await;
    at(&world, "2026-01-01T10:02");
    let never = add(&world.ctx, None).await;
    one_off_item::delete(&world.ctx, never.id).await.unwrap();
    assert_eq!(list(&world.ctx).await, [item.clone(), later.clone()]);
    run_and_verify(&world, "2026-02-01").await;
    let first = "invoice 2026-02-01 323.09 EUR; one_off 2026-02-01..2026-02-02 x3 = 0 seat-days, 271.50 EUR";
    assert_eq!(all_shown(&world.ctx).await, [first]);
    let documents = invoices(&world.ctx).await;
    let line = &documents[0].lines[0];
    assert_eq!((line.description.as_str(), line.item.as_str()), ("Moving mail, an hour", "one_off"));
    assert_eq!((line.price_id, line.unit_price.unwrap().to_string().as_str()), (None, "90.50000000"));
    assert_eq!(documents[0].tax, eur(5_159), "taxed as the rest");

    let billed = OneOffItem { invoice_id: Some(documents[0].id), ..item };
    assert_eq!(list(&world.ctx).await, [billed.clone(), later.clone()]);
    let error = one_off_item::delete(&world.ctx, billed.id).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "one_off_item_billed"));
    assert_eq!(one_off_item::delete(&world.ctx, never.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    run_and_verify(&world, "2026-04-01").await;
    let shown = all_shown(&world.ctx).await;
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert!(shown[1].starts_with("invoice 2026-03-01 323.09 EUR; one_off"), "{shown:#?}");
}

#[tokio::test]
async fn it_stands_beside_seats_and_credits_and_late_runs_make_no_difference() {
    let (daily, late) = (world_on("2026-01-01").await, world_on("2026-01-01").await);
    for world in [&daily, &late] {
        let book = book(world, RemovalPolicy::CreditToBalance).await;
        subscribe(&world.ctx, &book, "month").await;
        let ada = seat(&world.ctx, "ada").await;
        let is_daily = std::ptr::eq(world, &daily);
        if is_daily {
            run(world, "2026-01-01").await;
        }
        at(world, "2026-02-10T12:00");
        if is_daily {
            run(world, "2026-02-01").await;
        }
        add(&world.ctx, None).await;
        at(world, "2026-02-10T12:01");
        let free = NewOneOffItem { unit_amount: eur(0), ..work(None) };
        one_off_item::create(&world.ctx, free).await.unwrap();
        tenancy::user::delete(&world.ctx, ada.id, None).await.unwrap();
        run_and_verify(world, "2026-03-01").await;
    }
    let shown = all_shown(&daily.ctx).await;
    // 12.50 × 18/28 = 8.0357….
    let third = "invoice 2026-03-01 263.46 EUR; credit 2026-02-11..2026-03-01 x-1 = -18 seat-days, -8.04 EUR; \
                 one_off 2026-03-01..2026-03-02 x3 = 0 seat-days, 271.50 EUR; \
                 one_off 2026-03-01..2026-03-02 x3 = 0 seat-days, 0.00 EUR";
    assert_eq!(shown[2], third);
    assert_eq!(all_shown(&late.ctx).await, shown);
}

#[tokio::test]
async fn where_nothing_else_is_left_an_item_makes_its_own_document() {
    let world = world_on("2026-01-01").await;
    let error = one_off_item::create(&world.ctx, work(None)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "no_subscription"));
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    run_and_verify(&world, "2026-01-01").await;
    cancel(&world.ctx, Some("2026-01-10"), None).await.unwrap();
    run_and_verify(&world, "2026-01-15").await;
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, None);
    let first = add(&world.ctx, Some("2026-01-20")).await;
    let second = add(&world.ctx, None).await;
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, Some(date("2026-01-15")));
    one_off_item::delete(&world.ctx, second.id).await.unwrap();
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, Some(first.bill_on));
    run_and_verify(&world, "2026-01-31").await;
    let own = "invoice 2026-01-20 271.50 EUR; one_off 2026-01-20..2026-01-21 x3 = 0 seat-days, 271.50 EUR";
    assert_eq!(all_shown(&world.ctx).await, [own]);
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, None);
}

#[tokio::test]
async fn bad_items_are_refused() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    subscribe(&world.ctx, &book, "month").await;
    let long = "x".repeat(201);
    for (wrong, pointer) in [
        (NewOneOffItem { description: String::new(), ..work(None) }, "/description"),
        (NewOneOffItem { description: long, ..work(None) }, "/description"),
        (NewOneOffItem { quantity: 0, ..work(None) }, "/quantity"),
        (NewOneOffItem { quantity: 1_000_001, ..work(None) }, "/quantity"),
        (NewOneOffItem { unit_amount: eur(-1), ..work(None) }, "/unit_amount/amount_minor"),
        (NewOneOffItem { unit_amount: eur(i64::MAX), ..work(None) }, "/unit_amount/amount_minor"),
        (
            NewOneOffItem { quantity: 10_001, unit_amount: eur(100_000_000_000), ..work(None) },
            "/unit_amount/amount_minor",
        ),
        (
            NewOneOffItem { quantity: 1_000_000, unit_amount: eur(1_000_000_001), ..work(None) },
            "/unit_amount/amount_minor",
        ),
        (
            NewOneOffItem { unit_amount: Money::new(1, "USD".parse().unwrap()), ..work(None) },
            "/unit_amount/currency",
        ),
        (work(Some("2026-02-30")), "/bill_on"),
    ] {
        let error = one_off_item::create(&world.ctx, wrong).await.unwrap_err();
        assert_eq!(error.field_errors()[0].pointer, pointer);
    }
    // The largest can be billed, with others, and paid.
    let most = NewOneOffItem { quantity: 1_000_000, unit_amount: eur(1_000_000_000), ..work(None) };
    one_off_item::create(&world.ctx, most).await.unwrap();
    add(&world.ctx, None).await;
    run_and_verify(&world, "2026-01-01").await;
    assert_eq!(invoices(&world.ctx).await[0].net, eur(1_000_000_000_027_150));
    for minor in [1_000_000_000_000_000, 27_150] {
        super::payment::paid(&world.ctx, minor, "INV-000001").await;
    }
    assert_eq!(invoices(&world.ctx).await[0].status, "paid");
}

#[tokio::test]
async fn what_was_changed_of_an_item_or_its_line_is_found() {
    for tampering in [
        "update one_off_items set unit_minor = unit_minor + 1",
        "update one_off_items set bill_on = '2026-02-02'",
        "update invoice_lines set quantity = 2",
        "alter table invoice_lines drop constraint invoice_lines_one_off_item; delete from one_off_items",
    ] {
        let world = world_on("2026-02-01").await;
        let book = book(&world, RemovalPolicy::default()).await;
        subscribe(&world.ctx, &book, "month").await;
        add(&world.ctx, None).await;
        run_and_verify(&world, "2026-02-01").await;
        let owner = owner(&world).await;
        sqlx::raw_sql(tampering).execute(&owner).await.unwrap();
        let found = found(&world).await;
        assert!(matches!(found[..], [Difference::Line { position: 1, .. }]), "{tampering}: {found:?}");
    }
}

pub(super) async fn with_setup(world: &World, setup_price: &str) -> PriceBook {
    let setup = |interval, unit_price| NewPrice {
        setup_price: Some(setup_price.into()),
        ..price(interval, unit_price, RemovalPolicy::CreditToBalance)
    };
    let prices = vec![setup("month", "12.50"), setup("year", "120")];
    publish(&world.operator, Some(world.reseller.id), prices).await.unwrap()
}

/// The days and amounts of the setups, and by which price.
async fn setups(ctx: &Ctx) -> Vec<String> {
    let documents = invoices(ctx).await;
    let of = |document: &billing::invoice::Invoice| {
        let lines = document.lines.iter().filter(|line| line.item == "setup");
        let shown = |line: &billing::invoice::InvoiceLine| {
            assert!(line.price_id.is_some() && line.kind.as_str() == "one_off");
            format!("{} x{} {}", document.issued_on, line.quantity, line.amount)
        };
        lines.map(shown).collect::<Vec<_>>()
    };
    documents.iter().flat_map(of).collect()
}

#[tokio::test]
async fn a_setup_is_charged_once_for_each_start() {
    let world = world_on("2026-01-10").await;
    let book = with_setup(&world, "49.995").await;
    let tried = PutSubscription { trial_ends_on: Some("2026-01-20".into()), ..terms(&book, "month") };
    put(&world.ctx, tried, None).await.unwrap();
    run_and_verify(&world, "2026-01-19").await;
    assert_eq!(setups(&world.ctx).await, [""; 0], "not in the trial");
    // On the first document, though nobody has a seat.
    run_and_verify(&world, "2026-01-20").await;
    assert_eq!(setups(&world.ctx).await, ["2026-01-20 x1 50.00 EUR"]);
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-02-20").await;
    // Neither another plan nor another interval is a start, and no cancellation that is taken back.
    let dearer = with_setup(&world, "99").await;
    subscribe(&world.ctx, &dearer, "month").await;
    run_and_verify(&world, "2026-03-20").await;
    subscribe(&world.ctx, &dearer, "year").await;
    run_and_verify(&world, "2026-03-21").await;
    cancel(&world.ctx, Some("2026-04-01"), None).await.unwrap();
    subscribe(&world.ctx, &dearer, "year").await;
    run_and_verify(&world, "2026-04-21").await;
    assert_eq!(setups(&world.ctx).await, ["2026-01-20 x1 50.00 EUR"]);
    // Nor a deletion of the tenant that is undone: it is the same subscription.
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    run_and_verify(&world, "2026-04-25").await;
    let gone = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    tenancy::tenant::restore(&gone).await.unwrap();
    run_and_verify(&world, "2026-05-21").await;
    assert_eq!(setups(&world.ctx).await, ["2026-01-20 x1 50.00 EUR"]);
    // After days that nobody pays for it begins anew.
    cancel(&world.ctx, Some("2026-06-01"), None).await.unwrap();
    run_and_verify(&world, "2026-06-10").await;
    subscribe(&world.ctx, &dearer, "month").await;
    run_and_verify(&world, "2026-06-11").await;
    assert_eq!(setups(&world.ctx).await, ["2026-01-20 x1 50.00 EUR", "2026-06-10 x1 99.00 EUR"]);
}

#[tokio::test]
async fn one_that_ends_and_begins_anew_without_a_gap_is_no_start() {
    let world = world_on("2026-01-01").await;
    let book = with_setup(&world, "10").await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    cancel(&world.ctx, Some("2026-02-01"), None).await.unwrap();
    at(&world, "2026-02-01T08:00");
    subscribe(&world.ctx, &book, "month").await;
    run_and_verify(&world, "2026-02-01").await;
    assert_eq!(setups(&world.ctx).await, ["2026-01-01 x1 10.00 EUR"]);
}

#[tokio::test]
async fn a_setup_waits_for_a_day_that_is_charged() {
    let world = world_on("2026-01-01").await;
    let pausing = NewPrice {
        setup_price: Some("50".into()),
        suspension_policy: Some("pause".into()),
        ..price("month", "12.50", RemovalPolicy::CreditToBalance)
    };
    let book = publish(&world.operator, Some(world.reseller.id), vec![pausing]).await.unwrap();
    let trial = PutSubscription { trial_ends_on: Some("2026-01-20".into()), ..terms(&book, "month") };
    put(&world.ctx, trial, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    at(&world, "2026-01-10T10:00");
    tenancy::tenant::suspend(&world.ctx, None, &[]).await.unwrap();
    run_and_verify(&world, "2026-03-01").await;
    assert_eq!(all_shown(&world.ctx).await, [""; 0], "nothing is charged before a day is");
    at(&world, "2026-03-05T10:00");
    tenancy::tenant::resume(&world.ctx, None, &[]).await.unwrap();
    run_and_verify(&world, "2026-04-25").await;
    let setups = setups(&world.ctx).await;
    assert_eq!(setups.len(), 1, "{setups:?}");
    assert!(setups[0].ends_with("x1 50.00 EUR"), "{setups:?}");
}

#[tokio::test]
async fn a_setup_of_the_operator_or_a_bad_one_is_refused() {
    let world = world_on("2026-01-01").await;
    let priced = |setup: &str| NewPrice {
        setup_price: Some(setup.into()),
        ..price("month", "12.50", RemovalPolicy::default())
    };
    for (issuer, setup) in [(None, "10"), (Some(world.reseller.id), "-1"), (Some(world.reseller.id), "ten")] {
        let error = publish(&world.operator, issuer, vec![priced(setup)]).await.unwrap_err();
        assert_eq!(error.field_errors()[0].pointer, "/prices/0/setup_price");
    }
}

#[tokio::test]
async fn what_is_for_a_day_to_come_is_not_billed_with_what_a_deleted_tenant_leaves() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::LockedUntilTermEnd { grace_days: 7 }).await;
    let locked = PutSubscription { term_months: Some(12), ..terms(&book, "month") };
    put(&world.ctx, locked, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-03-01").await;
    at(&world, "2026-03-02T12:00");
    let past = add(&world.ctx, Some("2026-03-20")).await;
    at(&world, "2026-03-02T12:01");
    let to_come = add(&world.ctx, Some("2026-06-20")).await;
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    run_and_verify(&world, "2026-04-02").await;
    let kept: Vec<_> = list(&world.ctx).await.iter().map(|item| item.id).collect();
    assert_eq!(kept, [past.id]);
    let documents = invoices(&world.ctx).await;
    let lines = documents.iter().flat_map(|document| &document.lines);
    assert_eq!((documents.len(), lines.filter(|line| line.item == "one_off").count()), (12, 1));
    let told = told_on(&world, Scope::Tenant(world.tenant.id), Kind::OneOffItemDeleted).await;
    let [(subject, data)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((subject, &data["reason"]), (&to_come.id.to_string(), &"tenant_deleted".into()));
}
