//! Voids of wholesale invoices: one is taken back whole, and what it billed is billed anew.

use std::collections::BTreeMap;

use billing::invoice::{DocumentKind, Filter, Found, Status, void_either};
use billing::payment::{NewTransfer, Payment, refund};
use billing::verify::Difference;
use billing::wholesale::{closing, payment};
use kernel::InvoiceId;
use serde_json::json;

use super::preview::{came_true, foreseen};
use super::*;
use crate::payment::{euro, nobody};

/// Lists are in the order of ids, which those of one instant have at random.
async fn void(world: &World, id: InvoiceId) -> Result<WholesaleInvoice, Error> {
    world.test_db.clock().advance(TimeDelta::seconds(1));
    match void_either(&world.operator, id, "a mistake").await? {
        Found::Wholesale(note) => Ok(*note),
        Found::Retail(note) => panic!("{note:?}"),
    }
}

async fn refused(world: &World, id: InvoiceId) -> &'static str {
    void(world, id).await.unwrap_err().code()
}

/// A run on a time's day; what was foreseen of it came true, and nothing is found afterwards.
async fn run_at(world: &World, time: &str) -> RunSummary {
    at(world, time);
    let ahead = foreseen(world, &world.reseller, &time[..10]).await;
    let summary = run(world, &time[..10]).await;
    came_true(world, ahead).await;
    verified(world).await;
    summary
}

/// Status, paid and due of each document.
async fn states(world: &World) -> Vec<String> {
    let shown =
        |one: &WholesaleInvoice| format!("{} {}/{}", one.status, one.paid.amount_minor, one.due.amount_minor);
    documents(world, &world.reseller).await.iter().map(shown).collect()
}

async fn total(world: &World) -> i64 {
    documents(world, &world.reseller).await.iter().map(|document| document.total.amount_minor).sum()
}

#[tokio::test]
async fn a_voided_one_is_billed_anew_once_by_what_is_true_now() {
    let world = world_on("2026-01-01").await;
    tax::taxing(&world).await;
    tax::is(&world, &world.reseller, crate::tax::customer("DE", None)).await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 5)).await;
    let one = tenant_of(&world, &world.reseller, "One", 2).await;
    tenant_of(&world, &world.reseller, "Two", 1).await;
    run_at(&world, "2026-01-01T10:00").await;
    // On the day that was billed, and after the run.
    at(&world, "2026-01-01T15:00");
    seat(&one, "late").await;
    at(&world, "2026-01-05T09:00");
    // It was in France all along, and a business.
    tax::is(&world, &world.reseller, crate::tax::customer("FR", Some("FR40303265045"))).await;
    let wrong = documents(&world, &world.reseller).await[0].clone();
    assert_eq!((wrong.net.amount_minor, wrong.total.amount_minor), (2000, 2380));
    let note = void(&world, wrong.id).await.unwrap();
    assert_eq!((note.number.as_str(), note.kind), ("CRN-000001", DocumentKind::CreditNote));
    assert_eq!((note.reason.as_deref(), note.corrects.clone()), (Some("a mistake"), vec![wrong.id]));
    assert_eq!((note.issued_on, note.net.amount_minor), (date("2026-01-05"), -2000));
    assert_eq!((note.tax.amount_minor, note.total.amount_minor), (-380, -2380));
    assert_eq!(note.customer.profile, wrong.customer.profile);
    let of = |document: &WholesaleInvoice, sign: i64| {
        let line = |line: &invoice::WholesaleLine| {
            let counts = [line.quantity, line.seat_days, line.amount.amount_minor].map(|count| sign * count);
            (line.tenant.clone(), line.description.clone(), line.period, counts)
        };
        document.lines.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(of(&note, -1), of(&wrong, 1));
    assert!(note.lines.iter().all(|line| line.kind.as_str() == "credit"));
    assert_eq!(states(&world).await, ["void 0/0", "final 0/0"]);
    assert_eq!(refused(&world, wrong.id).await, "not_voidable");
    assert_eq!(refused(&world, note.id).await, "not_voidable");
    verified(&world).await;
    let trail = Scope::Reseller(world.reseller.id);
    // Those above read it, too, and are told neither how much nor why.
    let told = told_on(&world, trail, event::Kind::WholesaleInvoiceVoided).await;
    assert_eq!(told, [(wrong.id.to_string(), json!({"credit_note_id": note.id}))]);

    assert_eq!(run_at(&world, "2026-01-05T10:00").await.wholesale_invoices, 1);
    assert_eq!(run_at(&world, "2026-01-05T11:00").await, RunSummary::default());
    let anew = documents(&world, &world.reseller).await[2].clone();
    assert_eq!((anew.number.as_str(), anew.reason.clone()), ("INV-000002", None));
    assert_eq!((anew.issued_on, anew.due_on), (date("2026-01-05"), date("2026-02-04")));
    assert_eq!((anew.total.amount_minor, anew.taxes[0].group.category().code()), (2000, "AE"));
    let kinds = |document: &WholesaleInvoice| {
        let line = |line: &invoice::WholesaleLine| format!("{} x{}", line.kind.as_str(), line.quantity);
        document.lines.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&anew), ["recurring x3", "recurring x1", "recurring x1"]);
    // The seat was on it: there is nothing to add to January.
    run_at(&world, "2026-02-01T10:00").await;
    assert_eq!(kinds(&documents(&world, &world.reseller).await[3]), kinds(&anew));
    assert_eq!(states(&world).await, ["void 0/0", "final 0/0", "final 0/2000", "final 0/2000"]);

    // What the reseller reconciles, and what its tenants cost it: once.
    assert_eq!(tiers::reconciled(&world, &world.reseller).await, [2000, -2000, 2000, 2000]);
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    let margins = margin::list(&own, during("2026-01-01", "2026-02-01")).await.unwrap();
    assert_eq!(margins.iter().map(|row| row.wholesale.amount_minor).sum::<i64>(), 2000);
    let balances = ledger::trial_balance(&world.operator, OPERATOR, ledger::AsOf::day(date("2026-02-01")));
    let balances = balances.await.unwrap();
    let receivable = balances.iter().find(|row| row.account == ledger::Account::Receivable).unwrap();
    assert_eq!((receivable.balance.amount_minor, total(&world).await), (4000, 4000));
}

#[tokio::test]
async fn documents_are_narrowed_by_how_they_stand_and_when_they_were_issued() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    tenant_of(&world, &world.reseller, "One", 3).await;
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let all = documents(&world, &world.reseller).await;
    let transfer = NewTransfer {
        amount: euro(1200),
        reference: "INV-000002".into(),
        received_on: "2026-03-01".into(),
        invoice_id: None,
    };
    payment::record(&ctx, transfer).await.unwrap();
    void(&world, all[2].id).await.unwrap();
    let all = documents(&world, &world.reseller).await;
    let statuses: Vec<_> = all.iter().map(|one| one.status.as_str()).collect();
    assert_eq!(statuses, ["final", "paid", "void", "final"]);
    let of = async |filter: Filter, limit: u16| {
        let mut page = invoice::list(&ctx, filter, PageRequest::new(Some(limit), None)).await.unwrap();
        let mut ids: Vec<_> = page.items.iter().map(|one| one.id).collect();
        while page.next.is_some() {
            page = invoice::list(&ctx, filter, PageRequest::new(Some(limit), page.next)).await.unwrap();
            ids.extend(page.items.iter().map(|one| one.id));
        }
        ids
    };
    for &status in Status::ALL {
        let such = all.iter().filter(|one| one.status == status.as_str());
        let expected: Vec<_> = such.map(|one| one.id).collect();
        let filter = Filter { status: Some(status), ..Filter::default() };
        assert_eq!(of(filter, 200).await, expected, "{status}");
        assert_eq!(of(filter, 1).await, expected, "{status}");
    }
    let notes = Filter { kind: Some(DocumentKind::CreditNote), ..Filter::default() };
    assert_eq!(of(notes, 200).await, [all[3].id]);
    let issued = |from: &str, until: &str| Filter {
        from: Some(date(from)),
        until: Some(date(until)),
        ..Filter::default()
    };
    assert_eq!(of(issued("2026-01-02", "2026-03-01"), 200).await, [all[1].id]);
    // The credit note is of the day of the void.
    assert_eq!(of(issued("2026-03-01", "2026-03-02"), 200).await, [all[2].id, all[3].id]);
}

#[tokio::test]
async fn what_a_later_one_credits_to_a_tenant_goes_first_though_another_was_charged_more() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let one = tenant_of(&world, &world.reseller, "One", 2).await;
    let two = tenant_of(&world, &world.reseller, "Two", 5).await;
    run_at(&world, "2026-01-01T10:00").await;
    at(&world, "2026-01-11T12:00");
    crate::verify::remove_first(&one).await;
    for n in 0..3 {
        seat(&two, &format!("more{n}")).await;
    }
    run_at(&world, "2026-02-01T10:00").await;
    let [first, second] = &documents(&world, &world.reseller).await[..] else { panic!("two invoices") };
    // 63.00 were charged of January since, and 20.00 credited.
    assert_eq!((first.net.amount_minor, second.net.amount_minor), (21_700, 32_200));
    assert_eq!(refused(&world, first.id).await, "credited_since");
    for one in [second, first] {
        void(&world, one.id).await.unwrap();
        verified(&world).await;
    }
    assert_eq!(total(&world).await, 0);
    // One document for both.
    assert_eq!(run_at(&world, "2026-02-01T11:00").await.wholesale_invoices, 1);
    let expected = [
        "One proration 2026-01-01..2026-01-12 x2, 22.00 EUR",
        "One proration 2026-01-12..2026-02-01 x1, 20.00 EUR",
        "One recurring 2026-02-01..2026-03-01 x1, 31.00 EUR",
        "Two proration 2026-01-01..2026-01-11 x5, 50.00 EUR",
        "Two proration 2026-01-11..2026-02-01 x8, 168.00 EUR",
        "Two recurring 2026-02-01..2026-03-01 x8, 248.00 EUR",
    ];
    let all = all_lines(&world, &world.reseller).await;
    assert_eq!((all.len(), all[4].0.as_str()), (5, "invoice 2026-02-01"));
    assert_eq!(all[4].1, expected);
    // Nothing was added to the month that is over: it is charged again, as it came to be.
    assert_eq!(
        said(&world, 4, "Two").await,
        [
            "mailboxes, per month, 2026-01-01 to 2026-01-10",
            "mailboxes, per month, 2026-01-11 to 2026-01-31",
            "mailboxes, per month, 2026-02-01 to 2026-02-28",
        ]
    );
    assert_eq!(run_at(&world, "2026-02-02T11:00").await, RunSummary::default());
}

/// What the lines of a document say of a tenant, or of nobody.
async fn said(world: &World, document: usize, name: &str) -> Vec<String> {
    let whose = |line: &invoice::WholesaleLine| {
        line.tenant.as_ref().map_or_else(|| "nobody".to_owned(), |tenant| tenant.name.clone())
    };
    let lines = documents(world, &world.reseller).await.remove(document).lines;
    sorted(lines.into_iter().filter(|line| whose(line) == name).map(|line| line.description))
}

#[tokio::test]
async fn what_is_committed_to_says_what_is_true_of_it() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 5)).await;
    let one = tenant_of(&world, &world.reseller, "One", 2).await;
    run_at(&world, "2026-01-01T10:00").await;
    at(&world, "2026-01-11T12:00");
    crate::verify::remove_first(&one).await;
    run_at(&world, "2026-02-01T10:00").await;
    // One that is used less is not used from then on, though it was.
    assert_eq!(
        said(&world, 1, "nobody").await,
        [
            "mailboxes committed and not used, 2026-01-12 to 2026-01-31",
            "mailboxes committed and not used, per month, 2026-02-01 to 2026-02-28",
        ]
    );
    assert_eq!(said(&world, 1, "One").await[1], "mailboxes, per month, 2026-02-01 to 2026-02-28");
    let bills = documents(&world, &world.reseller).await;
    for bill in [&bills[1], &bills[0]] {
        void(&world, bill.id).await.unwrap();
    }
    run_at(&world, "2026-02-01T11:00").await;
    assert_eq!(
        said(&world, 4, "nobody").await,
        [
            "mailboxes committed and not used, per month, 2026-01-01 to 2026-01-11",
            "mailboxes committed and not used, per month, 2026-01-12 to 2026-01-31",
            "mailboxes committed and not used, per month, 2026-02-01 to 2026-02-28",
        ]
    );
    at(&world, "2026-02-10T12:00");
    seat(&one, "late").await;
    run_at(&world, "2026-03-01T10:00").await;
    assert_eq!(
        said(&world, 5, "nobody").await[1],
        "mailboxes committed and used after all, 2026-02-10 to 2026-02-28"
    );
    assert_eq!(said(&world, 5, "One").await[0], "mailboxes added, 2026-02-10 to 2026-02-28");
}

/// What each tenant has come to, in the order of their names.
async fn by_tenant(world: &World) -> Vec<(String, i64)> {
    let mut sums = BTreeMap::<String, i64>::new();
    for line in documents(world, &world.reseller).await.into_iter().flat_map(|document| document.lines) {
        let name = line.tenant.map_or_else(|| "nobody".to_owned(), |tenant| tenant.name);
        *sums.entry(name).or_default() += line.amount.amount_minor;
    }
    sums.into_iter().collect()
}

#[tokio::test]
async fn under_tiers_later_ones_go_first_and_no_tenant_pays_for_another() {
    let world = world_on("2026-01-01").await;
    let book = tiers::tiered_book(&world, "volume", [(Some(10), "10"), (None, "8")]).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    tenant_of(&world, &world.reseller, "One", 11).await;
    let two = tenant_of(&world, &world.reseller, "Two", 0).await;
    run_at(&world, "2026-01-01T10:00").await;
    at(&world, "2026-01-11T12:00");
    seat(&two, "late").await;
    run_at(&world, "2026-02-01T10:00").await;
    let [first, second] = &documents(&world, &world.reseller).await[..] else { panic!("two invoices") };
    // Two's 21 days are 5.42 as long as One's eleven are billed, which set the tier.
    assert_eq!((first.net.amount_minor, second.net.amount_minor), (8800, 542 + 8800 + 800));
    let charged = [("One".to_owned(), 2 * 8800), ("Two".to_owned(), 542 + 800)];
    assert_eq!(by_tenant(&world).await, charged);
    assert_eq!(refused(&world, first.id).await, "credited_since");
    assert_eq!(documents(&world, &world.reseller).await.len(), 2);
    // The newest alone.
    void(&world, second.id).await.unwrap();
    assert_eq!(run_at(&world, "2026-02-01T11:00").await.wholesale_invoices, 1);
    assert_eq!(by_tenant(&world).await, charged);
    assert_eq!(refused(&world, first.id).await, "credited_since");
    // And all of them.
    let anew = documents(&world, &world.reseller).await[3].id;
    for id in [anew, first.id] {
        void(&world, id).await.unwrap();
        verified(&world).await;
    }
    assert_eq!(total(&world).await, 0);
    assert_eq!(run_at(&world, "2026-02-01T12:00").await.wholesale_invoices, 1);
    assert_eq!(by_tenant(&world).await, charged);
}

#[tokio::test]
async fn what_is_wrong_with_another_cycle_holds_no_void_up() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    run_at(&world, "2026-01-01T10:00").await;
    run_at(&world, "2026-02-01T10:00").await;
    let owner = crate::verify::owner(&world).await;
    let credited = "alter table wholesale_invoice_lines no force row level security;
         update wholesale_invoice_lines set quantity = -1 where lower(cycle) = '2026-01-01'";
    sqlx::raw_sql(credited).execute(&owner).await.unwrap();
    let bills = documents(&world, &world.reseller).await;
    assert_eq!((bills[0].lines[0].quantity, bills[1].lines[0].quantity), (-1, 3));
    void(&world, bills[1].id).await.unwrap();
}

#[tokio::test]
async fn what_was_credited_before_is_taken_back_with_it() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 2).await;
    run_at(&world, "2026-01-01T10:00").await;
    at(&world, "2026-01-10T12:00");
    tenant::delete(&goes, None).await.unwrap();
    run_at(&world, "2026-02-01T10:00").await;
    let [charged, credited] = &documents(&world, &world.reseller).await[..] else { panic!("two documents") };
    assert_eq!((charged.total.amount_minor, credited.total.amount_minor), (6200, -4200));
    let note = void(&world, charged.id).await.unwrap();
    assert_eq!((note.total.amount_minor, note.corrects), (-2000, vec![charged.id]));
    verified(&world).await;
    assert_eq!(run_at(&world, "2026-02-01T11:00").await.wholesale_invoices, 1);
    assert_eq!(total(&world).await, 2000);
    assert_eq!(
        all_lines(&world, &world.reseller).await[3].1,
        ["Goes proration 2026-01-01..2026-01-11 x2, 20.00 EUR"]
    );
}

#[tokio::test]
async fn one_that_shares_a_credit_note_is_not_voided() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", AtCycleEnd).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 1).await;
    run_at(&world, "2026-01-01T10:00").await;
    at(&world, "2026-01-10T12:00");
    tenant::delete(&goes, None).await.unwrap();
    at(&world, "2026-01-20T12:00");
    tenant::restore(&world.operator.enter_deleted_too(goes.tenant_id()).await.unwrap()).await.unwrap();
    run_at(&world, "2026-02-01T12:00").await;
    at(&world, "2026-02-01T13:00");
    tenant::delete(&goes, None).await.unwrap();
    run_at(&world, "2026-03-01T12:00").await;
    let all = documents(&world, &world.reseller).await;
    let [first, second, note] = &all[..] else { panic!("three documents") };
    assert_eq!(note.corrects.len(), 2);
    for one in [first, second, note] {
        assert_eq!(refused(&world, one.id).await, "not_voidable");
    }
    verified(&world).await;
}

#[tokio::test]
async fn the_usage_of_a_voided_one_is_billed_again_however_old_it_is() {
    let world = world_on("2026-01-01").await;
    let book = items::book_of_all(&world).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let one = tenant_of(&world, &world.reseller, "One", 1).await;
    run_at(&world, "2026-01-01T10:00").await;
    items::stores(&world, &one, "2026-01-01T12:00", 41 << 30).await;
    run_at(&world, "2026-02-01T10:00").await;
    run_at(&world, "2026-03-01T10:00").await;
    at(&world, "2026-03-10T09:00");
    let of_january = documents(&world, &world.reseller).await[1].clone();
    void(&world, of_january.id).await.unwrap();
    assert_eq!(run_at(&world, "2026-03-10T10:00").await.wholesale_invoices, 1);
    let anew = documents(&world, &world.reseller).await[4].clone();
    let shown = |document: &WholesaleInvoice| {
        let line = |line: &invoice::WholesaleLine| {
            let (start, amount) = (line.period.start(), line.amount);
            format!("{} {start} x{} {amount}", line.item, line.quantity)
        };
        sorted(document.lines.iter().map(line))
    };
    assert_eq!(shown(&anew), shown(&of_january));
    assert!(shown(&anew)[1].starts_with("storage 2026-01-01 x30 3.03"), "{:?}", shown(&anew));
    let kinds = sorted(anew.lines.iter().map(|line| line.kind.as_str()));
    // February is over by then, and is charged as what was added to it.
    assert_eq!(kinds, ["proration", "usage"]);
    run_at(&world, "2026-04-01T10:00").await;
    assert_eq!(documents(&world, &world.reseller).await[5].lines.len(), 2);
}

async fn pays(world: &World, amount_minor: i64, invoice_id: Option<InvoiceId>) -> Payment {
    world.test_db.clock().advance(TimeDelta::seconds(1));
    let received_on = world.operator.db().env().now().date_naive().to_string();
    let new = NewTransfer { amount: euro(amount_minor), reference: String::new(), received_on, invoice_id };
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    payment::record(&ctx, new).await.unwrap()
}

#[tokio::test]
async fn what_is_paid_of_it_is_paid_back_first() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    run_at(&world, "2026-01-01T10:00").await;
    run_at(&world, "2026-02-01T10:00").await;
    let bills = documents(&world, &world.reseller).await;
    let (first, second) = (bills[0].id, bills[1].id);
    let part = pays(&world, 500, Some(first)).await;
    assert_eq!(refused(&world, first).await, "paid");
    // The other one is not paid: what was meant for the first is no more than that.
    void(&world, second).await.unwrap();
    assert_eq!(states(&world).await, ["final 500/700", "void 0/0", "final 0/0"]);
    let back = async |payment: &Payment| {
        refund(&world.operator, &nobody(), payment.id, None, "x".into()).await.unwrap();
        verified(&world).await;
    };
    back(&part).await;
    void(&world, first).await.unwrap();
    verified(&world).await;
    assert_eq!(total(&world).await, 0);
    assert_eq!(run_at(&world, "2026-02-02T10:00").await.wholesale_invoices, 1);
    assert_eq!(states(&world).await[4], "final 0/2400");
    // Whole, and by what named none.
    let all = pays(&world, 2400, None).await;
    let anew = documents(&world, &world.reseller).await[4].id;
    assert_eq!((all.invoice_id, states(&world).await[4].as_str()), (Some(anew), "paid 2400/0"));
    assert_eq!(refused(&world, anew).await, "paid");
    back(&all).await;
    // What names a voided one is the reseller's credit, and settles what is billed anew.
    void(&world, anew).await.unwrap();
    pays(&world, 1000, Some(anew)).await;
    verified(&world).await;
    run_at(&world, "2026-02-03T10:00").await;
    assert_eq!(states(&world).await[6], "final 1000/1400");
    let last = documents(&world, &world.reseller).await[6].id;
    assert_eq!(refused(&world, last).await, "paid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_voids_at_once_voids_once_and_who_bills_at_once_bills_anew_once() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    run_at(&world, "2026-01-01T10:00").await;
    let id = documents(&world, &world.reseller).await[0].id;
    let tries = (0..6).map(|_| {
        let operator = world.operator.clone();
        tokio::spawn(async move { void_either(&operator, id, "x").await.map(drop) })
    });
    let mut made = 0;
    for void in tries.collect::<Vec<_>>() {
        match void.await.unwrap() {
            Ok(()) => made += 1,
            Err(error) => assert_eq!(error.code(), "not_voidable"),
        }
    }
    assert_eq!(made, 1);
    verified(&world).await;
    at(&world, "2026-01-02T10:00");
    let db = world.test_db.db();
    let runs = (0..6).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { billing::run::run(&db, date("2026-01-02"), None).await.unwrap() })
    });
    let mut made = 0;
    for run in runs.collect::<Vec<_>>() {
        let summary = run.await.unwrap();
        assert_eq!((summary.accounts_failed, summary.accounts_parked), (0, 0));
        made += summary.wholesale_invoices;
    }
    assert_eq!((made, total(&world).await), (1, 1200));
    verified(&world).await;
}

#[tokio::test]
async fn the_operator_voids_for_a_reason_and_nobody_else() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let child = below(&world).await;
    agree(&world, &child, agreed(&book, 3)).await;
    run(&world, "2026-01-01").await;
    let id = documents(&world, &child).await[0].id;
    let south = world::reseller(&world.operator, "South").await;
    // The one above has a child's account in scope, and is no party to it.
    for (reseller, expected) in [
        (&child, ErrorKind::Forbidden),
        (&world.reseller, ErrorKind::NotFound),
        (&south, ErrorKind::NotFound),
    ] {
        let admin = admin_of(&world, reseller).await;
        assert_eq!(void_either(&admin, id, "x").await.unwrap_err().kind(), expected);
    }
    let never = InvoiceId::from_uuid(uuid::Uuid::nil());
    assert_eq!(refused(&world, never).await, "not_found");
    for reason in [String::new(), "x".repeat(201)] {
        let error = void_either(&world.operator, id, &reason).await.unwrap_err();
        assert_eq!(error.field_errors()[0].pointer, "/reason");
    }
    assert_eq!(documents(&world, &child).await.len(), 1);
}

#[tokio::test]
async fn a_reseller_goes_when_what_was_voided_is_billed_anew_and_then_nothing_is_voided() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let goes = below(&world).await;
    agree(&world, &goes, agreed(&book, 3)).await;
    run(&world, "2026-01-01").await;
    void(&world, documents(&world, &goes).await[0].id).await.unwrap();
    let ctx = world.operator.enter_reseller(goes.id).await.unwrap();
    assert_eq!(closing::delete(&ctx, None).await.unwrap_err().code(), "reseller_not_billed");
    at(&world, "2026-01-02T12:00");
    run(&world, "2026-01-02").await;
    closing::delete(&ctx, None).await.unwrap();
    let gone = world.operator.enter_reseller_deleted_too(goes.id).await.unwrap();
    let all = invoice::list(&gone, Default::default(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(refused(&world, all[2].id).await, "not_voidable");
    verified(&world).await;
}

/// One that is parked is tried again, since what it is billed is another.
#[tokio::test]
async fn a_void_has_a_parked_agreement_tried_again() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    run_at(&world, "2026-01-01T10:00").await;
    tax::taxing(&world).await;
    assert_eq!(run_at(&world, "2026-02-01T10:00").await.accounts_parked, 1);
    void(&world, documents(&world, &world.reseller).await[0].id).await.unwrap();
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let agreed = agreement::get(&ctx).await.unwrap();
    assert_eq!((agreed.next_invoice_on, agreed.parked_reason), (date("2026-01-01"), None));
    // It is billed when somebody says where it is.
    assert_eq!(run_at(&world, "2026-02-01T11:00").await.accounts_parked, 1);
    tax::is(&world, &world.reseller, crate::tax::customer("DE", None)).await;
    assert_eq!(run_at(&world, "2026-02-01T12:00").await.wholesale_invoices, 2);
    assert_eq!(states(&world).await, ["void 0/0", "final 0/0", "final 0/1428", "final 0/1428"]);
}

/// What is found after the owner's hand has done something to an agreement with a void in it.
async fn after(tampering: &str) -> Vec<Difference> {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    run_at(&world, "2026-01-01T10:00").await;
    run_at(&world, "2026-02-01T10:00").await;
    void(&world, documents(&world, &world.reseller).await[1].id).await.unwrap();
    verified(&world).await;
    let owner = crate::verify::owner(&world).await;
    for table in ["agreements", "invoices", "invoice_lines", "unbilled_documents"] {
        let statement = format!("alter table wholesale_{table} no force row level security");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&owner).await.unwrap();
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(tampering.to_owned())).execute(&owner).await.unwrap();
    crate::verify::found(&world).await
}

#[tokio::test]
async fn what_counts_as_billed_no_more_must_have_been_taken_back() {
    let is_of_it = |differences: &[Difference]| {
        differences.iter().any(|difference| matches!(difference, Difference::NotTakenBack { .. }))
    };
    assert_eq!(after("select").await, []);
    // An invoice that would be billed again though it is owed still.
    let again = "insert into wholesale_unbilled_documents (reseller_id, invoice_id, after_boundary, after_revision, unbilled_at)
         select reseller_id, id, '2026-02-01', 1, now() from wholesale_invoices where issued_on = '2026-01-01'";
    assert!(is_of_it(&after(again).await));
    // A credit note that voids nothing any more, and one that takes back less.
    assert!(is_of_it(&after("delete from wholesale_unbilled_documents").await));
    let less = "update wholesale_invoice_lines set seat_days = seat_days + 1 where kind = 'credit'";
    assert!(is_of_it(&after(less).await));
    // And what was voided is billed again by the next run.
    let skipped = after("update wholesale_agreements set next_invoice_on = '2026-03-01'").await;
    let expected =
        Difference::Boundary { computed: Some(date("2026-02-01")), stored: Some(date("2026-03-01")) };
    assert_eq!(skipped, [expected]);
}
