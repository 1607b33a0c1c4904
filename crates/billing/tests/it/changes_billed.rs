//! Changes in mid-cycle, billed by the day.

use billing::preview::{NewPreview, preview};
use billing::price_book::{NewPrice, publish};
use billing::rating::RemovalPolicy::{AtCycleEnd, CreditToBalance};
use chrono::NaiveDate;
use tenancy::user;
use testkit::World;

use super::courses::run_and_verify;
use super::one_off_item::add;
use super::verify::found;
use super::{all_shown, at, date, invoices, price, run, seat, shown, subscribe, world_on};

fn changes(billed: &str) -> NewPrice {
    NewPrice { changes_billed: Some(billed.into()), ..price("month", "31", CreditToBalance) }
}

/// Three seats of January: one from the first, two from the tenth, of whom one goes on the 20th. A run after each change, or one at the end.
async fn january(billed: &str, runs: bool) -> World {
    let world = world_on("2026-01-01").await;
    let book = publish(&world.operator, Some(world.reseller.id), vec![changes(billed)]).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    let run_on = async |day: &str| {
        if runs {
            run_and_verify(&world, day).await;
        }
    };
    run_on("2026-01-01").await;
    at(&world, "2026-01-10T09:00");
    let ben = seat(&world.ctx, "ben").await;
    run_on("2026-01-10").await;
    at(&world, "2026-01-10T15:00");
    seat(&world.ctx, "eve").await;
    run_on("2026-01-11").await;
    run_on("2026-01-15").await;
    at(&world, "2026-01-20T12:00");
    user::delete(&world.ctx, ben.id, None).await.unwrap();
    run_on("2026-01-21").await;
    run_and_verify(&world, "2026-02-01").await;
    world
}

async fn total(world: &World) -> i64 {
    invoices(&world.ctx).await.iter().map(|document| document.total.amount_minor).sum()
}

#[tokio::test]
async fn each_is_on_a_document_of_its_own_day_and_a_day_without_any_has_none() {
    let world = january("daily", true).await;
    let expected = [
        "invoice 2026-01-01 31.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 31.00 EUR",
        "invoice 2026-01-10 22.00 EUR; proration 2026-01-10..2026-02-01 x1 = 22 seat-days, 22.00 EUR",
        "invoice 2026-01-11 22.00 EUR; proration 2026-01-10..2026-02-01 x1 = 22 seat-days, 22.00 EUR",
        "credit_note 2026-01-20 -11.00 EUR; credit 2026-01-21..2026-02-01 x-1 = -11 seat-days, -11.00 EUR",
        "invoice 2026-02-01 62.00 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 62.00 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

/// The day of the next document, and what a look without a day has: up to which day, and which documents.
async fn foreseen(world: &World) -> (Option<NaiveDate>, Option<NaiveDate>, Vec<String>) {
    let next = billing::subscription::get(&world.ctx).await.unwrap().next_invoice_on;
    let ahead = preview(&world.ctx, NewPreview::default()).await.unwrap();
    (next, ahead.as_of, ahead.documents.iter().map(shown).collect())
}

#[tokio::test]
async fn the_next_document_is_on_the_next_day_that_has_something() {
    let world = world_on("2026-01-01").await;
    let book = publish(&world.operator, Some(world.reseller.id), vec![changes("daily")]).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T09:00");
    let february =
        "invoice 2026-02-01 31.00 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 31.00 EUR";
    let (next, as_of, documents) = foreseen(&world).await;
    assert_eq!((next, as_of), (Some(date("2026-02-01")), Some(date("2026-02-01"))));
    assert_eq!(documents, [february]);
    seat(&world.ctx, "ben").await;
    let tenth = "invoice 2026-01-10 22.00 EUR; proration 2026-01-10..2026-02-01 x1 = 22 seat-days, 22.00 EUR";
    let (next, as_of, documents) = foreseen(&world).await;
    assert_eq!((next, as_of), (Some(date("2026-01-10")), Some(date("2026-01-10"))));
    assert_eq!(documents, [tenth]);
    // As long as nobody has run.
    at(&world, "2026-01-12T09:00");
    assert_eq!(
        foreseen(&world).await,
        (Some(date("2026-01-10")), Some(date("2026-01-12")), vec![tenth.into()])
    );
    run_and_verify(&world, "2026-01-12").await;
    assert_eq!(all_shown(&world.ctx).await[1..], [tenth]);
    assert_eq!(foreseen(&world).await.0, Some(date("2026-02-01")));
    // After the day's run: the next day's bills it.
    at(&world, "2026-01-12T15:00");
    seat(&world.ctx, "eve").await;
    assert_eq!(foreseen(&world).await.0, Some(date("2026-01-13")));
    run_and_verify(&world, "2026-01-13").await;
    add(&world.ctx, Some("2026-01-20")).await;
    assert_eq!(foreseen(&world).await.0, Some(date("2026-01-20")));
    run_and_verify(&world, "2026-01-20").await;
    assert_eq!(foreseen(&world).await.0, Some(date("2026-02-01")));
}

#[tokio::test]
async fn a_pause_is_billed_on_its_first_day_and_on_that_after_it_which_is_told_before() {
    let world = world_on("2026-01-01").await;
    let pauses = NewPrice { suspension_policy: Some("pause".into()), ..changes("monthly") };
    let book = publish(&world.operator, Some(world.reseller.id), vec![pauses]).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    tenancy::tenant::suspend(&world.ctx, None, &[]).await.unwrap();
    let (next, as_of, documents) = foreseen(&world).await;
    assert_eq!((next, as_of), (Some(date("2026-01-11")), Some(date("2026-01-11"))));
    assert!(documents[0].starts_with("credit_note 2026-01-11 -21.00 EUR"), "{documents:?}");
    run_and_verify(&world, "2026-01-12").await;
    at(&world, "2026-01-20T12:00");
    tenancy::tenant::resume(&world.ctx, None, &[]).await.unwrap();
    let (next, _, documents) = foreseen(&world).await;
    assert_eq!(next, Some(date("2026-01-20")));
    assert!(documents[0].starts_with("invoice 2026-01-20 12.00 EUR"), "{documents:?}");
    run_and_verify(&world, "2026-01-21").await;
    assert_eq!(foreseen(&world).await.0, Some(date("2026-02-01")));
    // Nine days of 31.
    assert_eq!(total(&world).await, 2200);
}

#[tokio::test]
async fn however_late_a_run_is_and_however_changes_are_billed_they_cost_the_same() {
    let late = january("daily", false).await;
    let expected = [
        "invoice 2026-01-01 31.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 31.00 EUR",
        "invoice 2026-01-10 44.00 EUR; proration 2026-01-10..2026-02-01 x2 = 44 seat-days, 44.00 EUR",
        "credit_note 2026-01-20 -11.00 EUR; credit 2026-01-21..2026-02-01 x-1 = -11 seat-days, -11.00 EUR",
        "invoice 2026-02-01 62.00 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 62.00 EUR",
    ];
    assert_eq!(all_shown(&late.ctx).await, expected);
    let monthly = january("monthly", true).await;
    let documents = all_shown(&monthly.ctx).await;
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert_eq!((total(&late).await, total(&monthly).await), (12_600, 12_600));
}

#[tokio::test]
async fn a_price_that_bills_by_the_day_does_so_from_when_it_holds() {
    let world = world_on("2026-01-01").await;
    let monthly = publish(&world.operator, Some(world.reseller.id), vec![changes("monthly")]).await.unwrap();
    subscribe(&world.ctx, &monthly, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-20T09:00");
    let dearer = NewPrice { unit_price: Some("62".into()), ..changes("daily") };
    let daily = publish(&world.operator, Some(world.reseller.id), vec![dearer]).await.unwrap();
    subscribe(&world.ctx, &daily, "month").await;
    run_and_verify(&world, "2026-01-20").await;
    at(&world, "2026-01-25T09:00");
    seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-01-25").await;
    let expected = [
        "invoice 2026-01-01 31.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 31.00 EUR",
        "invoice 2026-01-20 12.00 EUR; credit 2026-01-20..2026-02-01 x-1 = -12 seat-days, -12.00 EUR; \
         proration 2026-01-20..2026-02-01 x1 = 12 seat-days, 24.00 EUR",
        "invoice 2026-01-25 14.00 EUR; proration 2026-01-25..2026-02-01 x1 = 7 seat-days, 14.00 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

#[tokio::test]
async fn nothing_is_due_from_an_end_or_a_pause_on() {
    let world = world_on("2026-01-01").await;
    let pauses = NewPrice { suspension_policy: Some("pause".into()), ..changes("daily") };
    let book = publish(&world.operator, Some(world.reseller.id), vec![pauses]).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-05T12:00");
    tenancy::tenant::suspend(&world.ctx, None, &[]).await.unwrap();
    run(&world, "2026-01-05").await;
    at(&world, "2026-01-11T12:00");
    tenancy::tenant::resume(&world.ctx, None, &[]).await.unwrap();
    run(&world, "2026-01-11").await;
    billing::subscription::cancel(&world.ctx, Some("2026-01-22"), None).await.unwrap();
    for day in ["2026-01-12", "2026-01-22", "2026-02-01", "2026-03-01"] {
        at(&world, &format!("{day}T12:00"));
        run(&world, day).await;
    }
    assert_eq!(found(&world).await, []);
    // Neither the five days from the sixth to the tenth, nor the ten from the 22nd on.
    assert_eq!(total(&world).await, 1600);
    let subscription = billing::subscription::get(&world.ctx).await.unwrap();
    assert_eq!(subscription.next_invoice_on, None);
}

#[tokio::test]
async fn of_a_deleted_tenant_nothing_changes_any_more() {
    let world = world_on("2026-01-01").await;
    let daily = NewPrice { changes_billed: Some("daily".into()), ..price("month", "31", AtCycleEnd) };
    let book = publish(&world.operator, Some(world.reseller.id), vec![daily]).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T06:00");
    run(&world, "2026-01-10").await;
    at(&world, "2026-01-10T12:00");
    seat(&world.ctx, "bob").await;
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    let next = async || billing::subscription::get(&world.ctx).await.unwrap().next_invoice_on;
    // What has changed on the day of the deletion itself.
    at(&world, "2026-01-11T12:00");
    run_and_verify(&world, "2026-01-11").await;
    assert_eq!(total(&world).await, 3100 + 2200);
    let next = next().await;
    assert!(next.is_none_or(|day| date("2026-02-01") <= day), "{next:?}");
    run_and_verify(&world, "2026-02-01").await;
    assert_eq!(total(&world).await, 3100 + 2200);
}

#[tokio::test]
async fn the_operator_bills_changes_by_the_month() {
    let world = world_on("2026-01-01").await;
    let refused = publish(&world.operator, None, vec![changes("daily")]).await.unwrap_err();
    assert_eq!(refused.field_errors()[0].pointer, "/prices/0/changes_billed");
    let hourly = publish(&world.operator, Some(world.reseller.id), vec![changes("hourly")]).await;
    assert_eq!(hourly.unwrap_err().field_errors()[0].pointer, "/prices/0/changes_billed");
}
