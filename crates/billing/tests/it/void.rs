//! Voids: an invoice is taken back whole, and what it billed is billed anew.

use billing::invoice::{self, DocumentKind, Invoice};
use billing::profile::{NewAddress, PutCustomer, put_customer};
use billing::rating::RemovalPolicy;
use billing::vat_id::NoRegister;
use billing::verify::Difference;
use tenancy::Ctx;
use testkit::World;

use super::courses::run_and_verify;
use super::discount::{give, percent};
use super::draft::drafting;
use super::one_off_item::{add, list, with_setup};
use super::tax::{customer, is, taxing};
use super::verify::{assert_clean, found, owner, remove_first};
use super::{at, book, date, invoices, run, seat, shown, subscribe, with_one_seat, world_on};

async fn totals(ctx: &Ctx) -> Vec<(String, i64)> {
    let all = invoices(ctx).await;
    all.iter().map(|document| (document.status.clone(), document.total.amount_minor)).collect()
}

fn at_status(status: &str, total: i64) -> (String, i64) {
    (status.into(), total)
}

/// What is on a document but for its days.
fn amounts(of: &Invoice) -> Vec<(String, &'static str, i64, i64)> {
    let shown = |line: &billing::invoice::InvoiceLine| {
        (line.item.clone(), line.kind.as_str(), line.quantity, line.amount.amount_minor)
    };
    of.lines.iter().map(shown).collect()
}

/// A month of one seat at a tenth off, a setup and an item, on one document.
async fn with_all_that_is_billed() -> World {
    let world = world_on("2026-01-01").await;
    let book = with_setup(&world, "49.995").await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    add(&world.ctx, None).await;
    give(&world.ctx, percent("10", "2026-01-01", None)).await;
    world
}

#[tokio::test]
async fn what_comes_once_and_what_is_off_is_billed_anew_once() {
    let world = with_all_that_is_billed().await;
    run_and_verify(&world, "2026-01-01").await;
    let first = invoices(&world.ctx).await[0].clone();
    let expected = [
        ("mailbox".into(), "recurring", 1, 1250),
        ("mailbox".into(), "discount", 0, -125),
        ("setup".into(), "one_off", 1, 5000),
        ("one_off".into(), "one_off", 3, 27150),
    ];
    assert_eq!(amounts(&first), expected);
    at(&world, "2026-01-05T09:00");
    let note = invoice::void(&world.operator, first.id, "x").await.unwrap();
    let voided = invoices(&world.ctx).await[0].clone();
    assert_eq!([voided.paid.amount_minor, voided.due.amount_minor], [0, 0], "nothing was paid");
    assert_eq!((voided.credited, voided.status.as_str()), (voided.total, "void"));
    let opposite = expected.clone().map(|(item, kind, quantity, amount)| {
        (item, if kind == "recurring" { "credit" } else { kind }, -quantity, -amount)
    });
    assert_eq!(amounts(&note), opposite);
    assert_eq!(list(&world.ctx).await[0].invoice_id, None, "it waits again");
    assert_clean(&world, 2).await;
    run_and_verify(&world, "2026-01-05").await;
    let anew = invoices(&world.ctx).await[2].clone();
    assert_eq!(amounts(&anew), expected);
    assert_eq!(list(&world.ctx).await[0].invoice_id, Some(anew.id));
    // Another boundary has been billed when it is voided once more.
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-03T09:00");
    invoice::void(&world.operator, anew.id, "x").await.unwrap();
    assert_clean(&world, 5).await;
    run_and_verify(&world, "2026-02-03").await;
    let all = invoices(&world.ctx).await;
    // The month is over by then, and is charged as what was added to it.
    let mut later = expected.clone();
    later[0].1 = "proration";
    assert_eq!(amounts(&all[5]), later);
    assert_eq!(all[5].lines[0].description, first.lines[0].description);
    assert_eq!(list(&world.ctx).await[0].invoice_id, Some(all[5].id));
    let total: i64 = all.iter().map(|document| document.total.amount_minor).sum();
    assert_eq!(total, 1250 - 125 + 5000 + 27150 + 1250 - 125);
    run_and_verify(&world, "2026-03-01").await;
    assert_eq!(amounts(&invoices(&world.ctx).await[6]), expected[..2]);
}

#[tokio::test]
async fn an_item_of_a_voided_invoice_is_deleted_and_not_billed_anew() {
    let world = with_all_that_is_billed().await;
    run_and_verify(&world, "2026-01-01").await;
    let (first, item) = (invoices(&world.ctx).await[0].id, list(&world.ctx).await[0].id);
    at(&world, "2026-01-05T09:00");
    invoice::void(&world.operator, first, "it was never ordered").await.unwrap();
    billing::one_off_item::delete(&world.ctx, item).await.unwrap();
    assert_eq!(list(&world.ctx).await, []);
    assert_clean(&world, 2).await;
    run_and_verify(&world, "2026-01-05").await;
    assert_eq!(invoices(&world.ctx).await[2].total.amount_minor, 1250 - 125 + 5000);
    run_and_verify(&world, "2026-02-01").await;
}

#[tokio::test]
async fn an_item_that_made_its_own_boundary_is_billed_anew_or_deleted() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    run_and_verify(&world, "2026-01-01").await;
    billing::subscription::cancel(&world.ctx, Some("2026-01-10"), None).await.unwrap();
    run_and_verify(&world, "2026-01-15").await;
    let item = add(&world.ctx, Some("2026-01-20")).await;
    run_and_verify(&world, "2026-01-20").await;
    at(&world, "2026-01-21T09:00");
    invoice::void(&world.operator, invoices(&world.ctx).await[0].id, "x").await.unwrap();
    let next = || async { billing::subscription::get(&world.ctx).await.unwrap().next_invoice_on };
    assert_eq!(next().await, Some(date("2026-01-20")));
    run_and_verify(&world, "2026-01-21").await;
    let anew = invoices(&world.ctx).await[2].clone();
    assert_eq!(
        shown(&anew),
        "invoice 2026-01-21 271.50 EUR; one_off 2026-01-20..2026-01-21 x3 = 0 seat-days, 271.50 EUR"
    );
    invoice::void(&world.operator, anew.id, "x").await.unwrap();
    billing::one_off_item::delete(&world.ctx, item.id).await.unwrap();
    run_and_verify(&world, "2026-01-22").await;
    assert_eq!((next().await, invoices(&world.ctx).await.len()), (None, 4));
}

async fn called(ctx: &Ctx, name: &str) {
    let address = NewAddress {
        street: "Markt 1".into(),
        city: "Ulm".into(),
        country: "DE".into(),
        ..NewAddress::default()
    };
    let new = PutCustomer { legal_name: name.into(), address, ..PutCustomer::default() };
    put_customer(ctx, &NoRegister, new, None).await.unwrap();
}

/// Two seats by the month, of which what is removed is credited.
async fn two_seats() -> World {
    let (world, _) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    seat(&world.ctx, "bob").await;
    world
}

/// One of two goes on a day after the first run.
async fn two_of_whom_one_goes(day: &str) -> World {
    let world = two_seats().await;
    run(&world, "2026-01-01").await;
    at(&world, &format!("{day}T09:00"));
    remove_first(&world.ctx).await;
    world
}

#[tokio::test]
async fn a_voided_invoice_is_billed_anew_once() {
    let world = two_seats().await;
    called(&world.ctx, "Bakery Ltb").await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-05T09:00");
    called(&world.ctx, "Bakery Ltd").await;
    let wrong = invoices(&world.ctx).await[0].clone();
    let note = invoice::void(&world.operator, wrong.id, "misspelt").await.unwrap();
    assert_eq!((note.number.as_deref(), note.kind), (Some("CRN-000001"), DocumentKind::CreditNote));
    assert_eq!(
        (note.corrects, note.total.amount_minor, note.customer.name),
        (vec![wrong.id], -2500, wrong.customer.name)
    );
    assert_eq!(totals(&world.ctx).await, [at_status("void", 2500), at_status("final", -2500)]);
    assert_clean(&world, 2).await;
    let twice = invoice::void(&world.operator, wrong.id, "misspelt").await.unwrap_err();
    assert_eq!(twice.code(), "not_voidable");
    for (day, documents) in [("2026-01-05", 3), ("2026-01-06", 3), ("2026-02-01", 4)] {
        at(&world, &format!("{day}T10:00"));
        run(&world, day).await;
        run(&world, day).await;
        assert_clean(&world, documents).await;
    }
    let all = invoices(&world.ctx).await;
    let anew = &all[2];
    assert_eq!((anew.customer.name.as_str(), anew.number.as_deref()), ("Bakery Ltd", Some("INV-000002")));
    assert_eq!((anew.issued_on.to_string().as_str(), anew.lines.len()), ("2026-01-05", 1));
    assert_eq!((anew.lines[0].kind.as_str(), anew.lines[0].seat_days), ("recurring", 62));
    let open = [
        at_status("void", 2500),
        at_status("final", -2500),
        at_status("final", 2500),
        at_status("final", 2500),
    ];
    assert_eq!(totals(&world.ctx).await, open);
}

#[tokio::test]
async fn what_was_credited_before_is_taken_back_with_it() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    for name in ["ada", "bob", "eve"] {
        seat(&world.ctx, name).await;
    }
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-16T09:00");
    for _ in 0..3 {
        remove_first(&world.ctx).await;
    }
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let [invoice, note] = &invoices(&world.ctx).await[..] else { panic!("an invoice and its credit note") };
    let (charged, credited) = (invoice.total.amount_minor, note.total.amount_minor);
    assert!(note.corrects == [invoice.id] && credited < 0);
    let void = invoice::void(&world.operator, invoice.id, "by mistake").await.unwrap();
    assert_eq!(void.total.amount_minor, -(charged + credited));
    assert_clean(&world, 3).await;
    run(&world, "2026-02-01").await;
    assert_clean(&world, 4).await;
    let all = totals(&world.ctx).await;
    assert!(all.contains(&at_status("final", charged + credited)));
    assert_eq!(all.iter().map(|(_, total)| total).sum::<i64>(), charged + credited);
}

#[tokio::test]
async fn a_void_waits_for_the_later_ones_and_for_payments() {
    let world = two_of_whom_one_goes("2026-01-11").await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let [first, second] = &invoices(&world.ctx).await[..] else { panic!("two invoices") };
    assert_eq!(invoice::void(&world.operator, first.id, "x").await.unwrap_err().code(), "credited_since");
    assert_eq!(invoice::void(&world.operator, first.id, "").await.unwrap_err().code(), "invalid_request");
    invoice::void(&world.operator, second.id, "x").await.unwrap();
    invoice::void(&world.operator, first.id, "x").await.unwrap();
    assert_clean(&world, 4).await;
    // Billed anew it is a draft where the issuer looks at drafts first, and one document for both.
    drafting(&world, 2, 0).await;
    assert_eq!(run(&world, "2026-02-01").await.drafts, 1);
    assert_clean(&world, 5).await;
    at(&world, "2026-02-03T09:00");
    assert_eq!(run(&world, "2026-02-03").await.invoices, 1);
    assert_clean(&world, 5).await;
    let all = invoices(&world.ctx).await;
    let anew = all.iter().find(|document| document.due.amount_minor > 0).unwrap();
    assert_eq!(anew.total.amount_minor, 1250 + 1250 + 444);
    let new = billing::payment::NewTransfer {
        amount: kernel::Money::new(100, anew.currency),
        invoice_id: Some(anew.id),
        reference: "thanks".into(),
        received_on: "2026-02-03".into(),
    };
    billing::payment::record(&world.ctx, new).await.unwrap();
    assert_eq!(invoice::void(&world.operator, anew.id, "x").await.unwrap_err().code(), "paid");
    assert_clean(&world, 5).await;
}

#[tokio::test]
async fn what_a_later_one_credits_goes_first_though_it_charges_more() {
    let world = two_of_whom_one_goes("2026-01-06").await;
    at(&world, "2026-01-20T09:00");
    for name in ["eve", "mia", "zoe"] {
        seat(&world.ctx, name).await;
    }
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let [first, second] = &invoices(&world.ctx).await[..] else { panic!("two invoices") };
    // 13 days of a seat are credited, and 12 of two are charged.
    assert_eq!(invoice::void(&world.operator, first.id, "x").await.unwrap_err().code(), "credited_since");
    for one in [second, first] {
        invoice::void(&world.operator, one.id, "x").await.unwrap();
    }
    assert_clean(&world, 4).await;
    at(&world, "2026-02-01T10:00");
    assert_eq!(run(&world, "2026-02-01").await.accounts_parked, 0);
    assert_clean(&world, 5).await;
    let total: i64 = invoices(&world.ctx).await.iter().map(|document| document.total.amount_minor).sum();
    assert_eq!(total, first.total.amount_minor + second.total.amount_minor);
}

/// What is found after the owner's hand has done something to an account with a void in it.
async fn after(tampering: &str) -> Vec<Difference> {
    let (world, _) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let last = invoices(&world.ctx).await[1].id;
    invoice::void(&world.operator, last, "x").await.unwrap();
    let tampering = sqlx::AssertSqlSafe(tampering.to_owned());
    sqlx::raw_sql(tampering).execute(&owner(&world).await).await.unwrap();
    found(&world).await
}

#[tokio::test]
async fn what_counts_as_billed_no_more_must_have_been_taken_back() {
    let is_of_it = |differences: &[Difference]| {
        differences.iter().any(|difference| matches!(difference, Difference::NotTakenBack { .. }))
    };
    assert_eq!(after("select").await, []);
    // An invoice that would be billed again though it is owed still.
    let again =
        "insert into unbilled_documents (tenant_id, invoice_id, after_boundary, after_revision, unbilled_at)
         select tenant_id, id, '2026-02-01', 1, now() from invoices where issued_on = '2026-01-01'";
    assert!(is_of_it(&after(again).await));
    // A credit note that voids nothing any more, and one that takes back less.
    assert!(is_of_it(&after("delete from unbilled_documents").await));
    let less = "update invoice_lines set seat_days = seat_days + 1 where kind = 'credit'";
    assert!(is_of_it(&after(less).await));
}

#[tokio::test]
async fn the_tax_of_a_voided_invoice_is_taken_back_and_put_right() {
    let (world, _) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    taxing(&world).await;
    called(&world.ctx, "Boulangerie").await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-05T09:00");
    // It was in France all along, and a business.
    is(&world.ctx, customer("FR", Some("FR40303265045"))).await;
    let wrong = invoices(&world.ctx).await[0].clone();
    assert_eq!((wrong.total.amount_minor, wrong.tax.amount_minor), (1488, 238));
    let note = invoice::void(&world.operator, wrong.id, "reverse charge").await.unwrap();
    assert_eq!((note.total.amount_minor, note.tax.amount_minor), (-1488, -238));
    at(&world, "2026-01-05T10:00");
    run(&world, "2026-01-05").await;
    let all = invoices(&world.ctx).await;
    assert_eq!((all[2].total.amount_minor, all[2].taxes[0].group.category().code()), (1250, "AE"));
    // What is taken back of it later, is as it was charged.
    at(&world, "2026-01-21T09:00");
    remove_first(&world.ctx).await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let last = invoices(&world.ctx).await.pop().unwrap();
    assert_eq!((last.tax.amount_minor, last.taxes[0].group.category().code()), (0, "AE"));
    assert_clean(&world, 4).await;
}

/// A clock does not stand still while something is written.
#[tokio::test]
async fn what_is_made_final_is_posted_at_that_moment() {
    let world = two_seats().await;
    world.test_db.clock().tick(chrono::TimeDelta::seconds(2));
    run(&world, "2026-01-01").await;
    let first = invoices(&world.ctx).await[0].clone();
    invoice::void(&world.operator, first.id, "x").await.unwrap();
    run(&world, "2026-01-01").await;
    let payment = super::payment::paid(&world.ctx, 1000, "").await;
    let nobody = super::payment::nobody();
    billing::payment::refund(&world.operator, &nobody, payment.id, None, "x".into()).await.unwrap();
    assert_clean(&world, 3).await;
}
