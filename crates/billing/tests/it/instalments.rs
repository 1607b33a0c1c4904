//! Prices of a year that are paid by the month.

use billing::discount;
use billing::price_book::{NewPrice, PriceBook, publish};
use billing::rating::{PaymentSchedule, RemovalPolicy};
use billing::subscription::{PutSubscription, cancel, get, put};
use tenancy::{storage_sample, tenant, user};
use testkit::World;

use super::courses::run_and_verify;
use super::discount::{give, percent};
use super::draft::drafting;
use super::items::{GIB, storage, stores_in};
use super::verify::assert_clean;
use super::{all_shown, at, date, invoices, price, run, seat, subscribe, terms, world_on};

/// 100.00 a year.
async fn book(world: &World, policy: RemovalPolicy) -> PriceBook {
    let prices = vec![price("year", "100.00", policy), price("month", "10.00", policy)];
    publish(&world.operator, Some(world.reseller.id), prices).await.unwrap()
}

fn by_the_month(book: &PriceBook) -> PutSubscription {
    PutSubscription { payment_schedule: Some("monthly".into()), ..terms(book, "year") }
}

#[tokio::test]
async fn a_year_is_paid_in_twelve_parts_that_add_up_to_its_price() {
    let world = world_on("2026-01-31").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let subscription = put(&world.ctx, by_the_month(&book), None).await.unwrap();
    assert_eq!(
        (subscription.terms.term_months, subscription.terms.payment_schedule),
        (12, PaymentSchedule::Monthly)
    );
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-31").await;
    run_and_verify(&world, "2027-01-31").await;
    let documents = invoices(&world.ctx).await;
    let amounts: Vec<i64> = documents.iter().map(|document| document.lines[0].amount.amount_minor).collect();
    assert_eq!(amounts, [833, 834, 833, 833, 834, 833, 833, 834, 833, 833, 834, 833, 833]);
    assert_eq!(amounts[..12].iter().sum::<i64>(), 10_000);
    let says = |nth: usize| documents[nth].lines[0].description.as_str();
    assert_eq!(says(0), "mailboxes, per year, instalment 1 of 12, 2026-01-31 to 2026-02-27");
    assert_eq!(says(11), "mailboxes, per year, instalment 12 of 12, 2026-12-31 to 2027-01-30");
    assert_eq!(says(12), "mailboxes, per year, instalment 1 of 12, 2027-01-31 to 2027-02-27");
}

#[tokio::test]
async fn what_is_taken_in_mid_year_is_paid_by_the_month_and_kept_for_the_year() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-06-16T09:00");
    let bob = seat(&world.ctx, "bob").await;
    run_and_verify(&world, "2026-07-01").await;
    // Half of June's part, and from then on the parts of two.
    let july = all_shown(&world.ctx).await.pop().unwrap();
    assert_eq!(
        july,
        "invoice 2026-07-01 20.84 EUR; recurring 2026-07-01..2026-08-01 x2 = 62 seat-days, 16.67 EUR; \
         proration 2026-06-16..2026-07-01 x1 = 15 seat-days, 4.17 EUR"
    );
    at(&world, "2026-08-10T09:00");
    user::delete(&world.ctx, bob.id, None).await.unwrap();
    run_and_verify(&world, "2027-01-01").await;
    let shown = all_shown(&world.ctx).await;
    assert!(
        shown[11].starts_with("invoice 2026-12-01 16.67 EUR; recurring 2026-12-01..2027-01-01 x2"),
        "{shown:#?}"
    );
    assert!(
        shown[12].starts_with("invoice 2027-01-01 8.33 EUR; recurring 2027-01-01..2027-02-01 x1"),
        "{shown:#?}"
    );
}

#[tokio::test]
async fn a_seat_that_goes_is_credited_with_its_days_of_the_month() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    let bob = seat(&world.ctx, "bob").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-31T09:00");
    user::delete(&world.ctx, bob.id, None).await.unwrap();
    run_and_verify(&world, "2026-02-01").await;
    // Nothing is left to give back of January, and February is the second part of one.
    assert_eq!(
        all_shown(&world.ctx).await,
        [
            "invoice 2026-01-01 16.67 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 16.67 EUR",
            "invoice 2026-02-01 8.34 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 8.34 EUR",
        ]
    );
}

#[tokio::test]
async fn another_schedule_waits_for_the_end_of_the_term_and_so_does_an_end() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-03-01").await;
    // Who does not say keeps it.
    let kept = subscribe(&world.ctx, &book, "year").await;
    assert_eq!(
        (kept.terms.starts_on, kept.terms.payment_schedule),
        (date("2026-01-01"), PaymentSchedule::Monthly)
    );
    let at_once = PutSubscription { payment_schedule: Some("at_once".into()), ..terms(&book, "year") };
    let at_once = put(&world.ctx, at_once, None).await.unwrap();
    assert_eq!(at_once.terms.starts_on, date("2027-01-01"));
    run_and_verify(&world, "2027-02-01").await;
    let shown = all_shown(&world.ctx).await;
    assert_eq!(shown.len(), 13);
    let whole =
        "invoice 2027-01-01 100.00 EUR; recurring 2027-01-01..2028-01-01 x1 = 365 seat-days, 100.00 EUR";
    assert_eq!(shown[12], whole);
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    run_and_verify(&world, "2028-02-01").await;
    let shown = all_shown(&world.ctx).await;
    assert!(
        shown[13].starts_with("invoice 2028-01-01 8.33 EUR; recurring 2028-01-01..2028-02-01 x1"),
        "{shown:#?}"
    );
    // Who leaves in spring has agreed for the year, and goes on paying its parts.
    cancel(&world.ctx, Some("2028-04-10"), None).await.unwrap();
    run_and_verify(&world, "2029-06-01").await;
    let shown = all_shown(&world.ctx).await;
    assert_eq!(shown.len(), 25);
    assert!(
        shown[24].starts_with("invoice 2028-12-01 8.33 EUR; recurring 2028-12-01..2029-01-01 x1"),
        "{shown:#?}"
    );
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, None);
}

#[tokio::test]
async fn by_the_month_becomes_a_year_by_the_month_at_once_and_not_back() {
    let world = world_on("2026-01-31").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-31").await;
    at(&world, "2026-02-14T12:00");
    let yearly = put(&world.ctx, by_the_month(&book), None).await.unwrap();
    assert_eq!((yearly.terms.starts_on, yearly.terms.anchor_date), (date("2026-02-14"), date("2026-02-14")));
    run_and_verify(&world, "2026-02-14").await;
    assert_eq!(
        all_shown(&world.ctx).await[1],
        "invoice 2026-02-14 3.33 EUR; recurring 2026-02-14..2026-03-14 x1 = 28 seat-days, 8.33 EUR; \
         credit 2026-02-14..2026-02-28 x-1 = -14 seat-days, -5.00 EUR"
    );
    let monthly = subscribe(&world.ctx, &book, "month").await;
    assert_eq!(monthly.terms.starts_on, date("2027-02-14"));
}

#[tokio::test]
async fn what_is_stored_is_settled_each_month_and_a_discount_ends_with_the_month() {
    let world = world_on("2026-01-01").await;
    let storage = NewPrice { interval: "year".into(), unit_price: Some("1.20".into()), ..storage(0) };
    let prices = vec![price("year", "100.00", RemovalPolicy::default()), storage];
    let book = publish(&world.operator, Some(world.reseller.id), prices).await.unwrap();
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    let off = give(&world.ctx, percent("50", "2026-01-01", None)).await;
    stores_in(&world.ctx, 10 * GIB).await;
    storage_sample::record(&world.test_db.db()).await.unwrap();
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-15T12:00");
    discount::end(&world.ctx, off.id).await.unwrap();
    let ended = discount::list(&world.ctx).await.unwrap().items.pop().unwrap();
    assert_eq!(ended.ends_on, Some(date("2026-02-01")));
    run_and_verify(&world, "2026-03-01").await;
    let documents = invoices(&world.ctx).await;
    let of = |nth: usize| -> Vec<(&str, &str, i64)> {
        let lines = documents[nth].lines.iter();
        lines.map(|line| (line.item.as_str(), line.kind.as_str(), line.amount.amount_minor)).collect()
    };
    assert_eq!(of(0), [("mailbox", "recurring", 833), ("mailbox", "discount", -416)]);
    // Nearly ten GiB of January, from nine o'clock on its first day, by half.
    let [seat, usage, off] = of(1)[..] else { panic!("{:?}", of(1)) };
    assert_eq!((seat, usage.0, off.0), (("mailbox", "recurring", 834), "storage", "storage"));
    assert!((99..=100).contains(&usage.2) && (-50..=-49).contains(&off.2), "{usage:?} {off:?}");
    assert_eq!(of(2), [("mailbox", "recurring", 833), ("storage", "usage", 100)]);
}

/// Nobody bills a tenant that is destroyed, a day after it can be restored for the last time.
#[tokio::test]
async fn what_is_held_of_a_deleted_tenant_is_billed_once_it_cannot_be_restored() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    tenant::delete(&world.ctx, None).await.unwrap();
    // For another two hours it can be, and is left alone for one more.
    run_and_verify(&world, "2026-03-12").await;
    assert_eq!(invoices(&world.ctx).await.len(), 3);
    at(&world, "2026-03-12T12:59");
    run(&world, "2026-03-12").await;
    assert_eq!(invoices(&world.ctx).await.len(), 3);
    run_and_verify(&world, "2026-03-13").await;
    let documents = invoices(&world.ctx).await;
    let amounts: Vec<i64> = documents.iter().map(|document| document.lines[0].amount.amount_minor).collect();
    assert_eq!(amounts, [833, 834, 833, 833, 834, 833, 833, 834, 833, 833, 834, 833]);
    let issued_on = |nth: usize| (documents[nth].issued_on, documents[nth].due_on);
    assert_eq!(issued_on(2).0, date("2026-03-01"));
    // At once: what it could be charged by is destroyed a day later.
    assert!((3..12).all(|nth| issued_on(nth) == (date("2026-03-13"), date("2026-03-13"))));
    let last = documents[11].lines[0].description.as_str();
    assert_eq!(last, "mailboxes, per year, instalment 12 of 12, 2026-12-01 to 2026-12-31");
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, None);
}

#[tokio::test]
async fn so_is_what_a_lock_holds_up_to_the_end_of_the_term() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::LockedUntilTermEnd { grace_days: 7 }).await;
    let locked = PutSubscription { term_months: Some(12), ..terms(&book, "month") };
    put(&world.ctx, locked, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    tenant::delete(&world.ctx, None).await.unwrap();
    // A run for a day before bills what was due by then.
    at(&world, "2026-03-13T09:00");
    run(&world, "2026-03-12").await;
    assert_eq!(invoices(&world.ctx).await.len(), 3);
    run_and_verify(&world, "2026-03-13").await;
    let documents = invoices(&world.ctx).await;
    assert_eq!(documents.len(), 12);
    assert!(documents.iter().all(|document| document.total.amount_minor == 1000));
}

#[tokio::test]
async fn what_a_tenant_leaves_as_drafts_becomes_final_with_it() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    drafting(&world, 20, 0).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-02-10T12:00");
    run(&world, "2026-02-10").await;
    tenant::delete(&world.ctx, None).await.unwrap();
    at(&world, "2026-03-05T10:00");
    run(&world, "2026-03-05").await;
    let march = invoices(&world.ctx).await.pop().unwrap();
    assert_eq!((march.status.as_str(), march.issued_on), ("draft", date("2026-03-25")));
    at(&world, "2026-03-13T10:00");
    run(&world, "2026-03-13").await;
    let documents = invoices(&world.ctx).await;
    assert_eq!(documents.len(), 12);
    assert!(documents.iter().all(|document| document.status == "final"));
    let day = date("2026-03-13");
    assert!(documents[2..].iter().all(|document| (document.issued_on, document.due_on) == (day, day)));
    assert_clean(&world, 12).await;
}

#[tokio::test]
async fn nothing_stays_a_draft_of_a_tenant_that_was_left_while_nobody_billed() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-02-01").await;
    drafting(&world, 20, 0).await;
    at(&world, "2026-02-10T12:00");
    tenant::delete(&world.ctx, None).await.unwrap();
    // A boundary has come, and nine have not.
    at(&world, "2026-03-20T10:00");
    let day = date("2026-03-20");
    let previewed = super::preview::previewed(&world.ctx, "2026-03-20").await;
    let summary = run(&world, "2026-03-20").await;
    assert_eq!((summary.accounts_due, summary.accounts_billed), (1, 1));
    assert_eq!((summary.invoices, summary.drafts), (10, 0));
    assert_eq!(all_shown(&world.ctx).await[2..], previewed);
    let documents = invoices(&world.ctx).await;
    assert!(documents.iter().all(|document| document.status == "final" && document.due_on <= day));
    assert_eq!((documents.len(), documents[2].issued_on), (12, date("2026-03-01")));
    assert!(documents[3..].iter().all(|document| document.issued_on == day));
    assert_clean(&world, 12).await;
}

#[tokio::test]
async fn a_run_for_a_day_that_is_past_leaves_drafts_as_they_are() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::AtCycleEnd).await;
    drafting(&world, 20, 0).await;
    put(&world.ctx, by_the_month(&book), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    at(&world, "2026-02-10T12:00");
    tenant::delete(&world.ctx, None).await.unwrap();
    at(&world, "2026-03-10T10:00");
    run(&world, "2026-03-10").await;
    at(&world, "2026-03-13T10:00");
    let summary = run(&world, "2026-03-12").await;
    assert_eq!((summary.invoices, summary.accounts_due), (0, 0));
    assert!(invoices(&world.ctx).await.iter().all(|document| document.status == "draft"));
    // Whoever settles makes them final, and bills the rest.
    let summary = billing::run::settle(&world.test_db.db()).await.unwrap();
    assert_eq!((summary.invoices, summary.drafts), (12, 0));
    assert_clean(&world, 12).await;
}
