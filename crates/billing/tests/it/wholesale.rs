//! The operator bills resellers for all their tenants' seats.

mod closing;
pub(super) mod items;
mod payment;
pub(super) mod preview;
pub(super) mod tax;
mod tiers;
mod verify;
mod void;

use billing::export::Window;
use billing::price_book::{get, list as list_books};
use billing::rating::RemovalPolicy::{self, AtCycleEnd, CreditToBalance};
use billing::table::Format;
use billing::wholesale::agreement::{self, Agreement, PutAgreement};
use billing::wholesale::invoice::{self, WholesaleInvoice};
use billing::wholesale::margin;
use billing::wholesale::reconciliation;
use billing::{Error, OPERATOR, ledger};
use chrono::TimeDelta;
use kernel::ErrorKind;
use tenancy::mailbox::Kind;
use tenancy::{Scope, event, tenant};

use super::items::make;
use super::run::{behind_and_commit, told_on};
use super::*;

pub(super) async fn wholesale_book(world: &World, unit_price: &str, policy: RemovalPolicy) -> PriceBook {
    publish(&world.operator, None, vec![price("month", unit_price, policy)]).await.unwrap()
}

pub(super) fn agreed(book: &PriceBook, seats_committed: i64) -> PutAgreement {
    PutAgreement {
        operator_name: "Pillar Ltd".into(),
        price_book_id: book.id,
        interval: "month".into(),
        term_months: None,
        seats_committed: Some(seats_committed),
        time_zone: None,
        starts_on: None,
        anchor_date: None,
    }
}

pub(super) async fn agree(world: &World, reseller: &Reseller, new: PutAgreement) -> Agreement {
    let ctx = world.operator.enter_reseller(reseller.id).await.unwrap();
    agreement::put(&ctx, new, None).await.unwrap()
}

/// An agreement of one tenant's seat, whose first cycle the database refuses: some of its days are another's.
async fn refused_by_the_database() -> World {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    tenant_of(&world, &world.reseller, "One", 1).await;
    behind_and_commit(
        &world,
        "insert into wholesale_coverage (reseller_id, item, kind, days, whole, time_zone)
         select reseller_id, 'mailbox', 'cycle', '[2026-01-20,2026-02-10)', '[2026-01-20,2026-02-20)', 'UTC'
         from wholesale_agreements",
    )
    .await;
    world
}

/// Somebody else has billed what a run is refused, unless the same is refused again.
#[tokio::test]
async fn an_agreement_that_the_database_goes_on_refusing_is_parked() {
    let world = refused_by_the_database().await;
    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_parked, summary.wholesale_invoices), (1, 0));
    let [(_, told)] = &told_on(&world, Scope::Operator, event::Kind::WholesaleAgreementParked).await[..]
    else {
        panic!()
    };
    assert!(told["reason"].as_str().unwrap().contains("record of what was billed"), "{told}");
}

/// A reseller below the world's.
pub(super) async fn below(world: &World) -> Reseller {
    world::reseller_below(&world.operator, &world.reseller, "Below").await
}

pub(super) async fn tenant_of(world: &World, reseller: &Reseller, name: &str, users: u32) -> Ctx {
    // Tenants are billed in the order of their ids, which those of one instant have at random.
    world.test_db.clock().advance(TimeDelta::seconds(1));
    let tenant = world::tenant(&world.operator, reseller, name).await;
    let ctx = world.operator.enter(tenant.id).await.unwrap();
    world::domain(&ctx, &domain(&ctx)).await;
    for n in 0..users {
        seat(&ctx, &format!("user{n}")).await;
    }
    ctx
}

pub(super) async fn documents(world: &World, reseller: &Reseller) -> Vec<WholesaleInvoice> {
    let ctx = world.operator.enter_reseller(reseller.id).await.unwrap();
    invoice::list(&ctx, Default::default(), PageRequest::new(Some(200), None)).await.unwrap().items
}

fn during(from: &str, until: &str) -> Window {
    Window::new(date(from), date(until)).unwrap()
}

/// Sorted, as one looks for them.
fn lines(document: &WholesaleInvoice) -> Vec<String> {
    let line = |line: &invoice::WholesaleLine| {
        let (start, end) = (line.period.start(), line.period.end());
        let whose = line.tenant.as_ref().map_or("nobody", |tenant| &tenant.name);
        format!("{whose} {} {start}..{end} x{}, {}", line.kind.as_str(), line.quantity, line.amount)
    };
    let sum: i64 = document.lines.iter().map(|line| line.amount.amount_minor).sum();
    assert_eq!((sum, document.net), (document.total.amount_minor, document.total));
    sorted(document.lines.iter().map(line))
}

fn sorted(lines: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().map(Into::into).collect();
    lines.sort();
    lines
}

pub(super) async fn all_lines(world: &World, reseller: &Reseller) -> Vec<(String, Vec<String>)> {
    let of = |document: &WholesaleInvoice| {
        (format!("{} {}", document.kind.as_str(), document.issued_on), lines(document))
    };
    documents(world, reseller).await.iter().map(of).collect()
}

#[tokio::test]
async fn a_tenant_that_moves_is_the_former_reseller_s_to_the_end_of_the_day() {
    let world = world_on("2026-01-01").await;
    let south = world::reseller(&world.operator, "South").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    assert_eq!((book.reseller_id, book.version), (None, 1));
    for reseller in [&world.reseller, &south] {
        agree(&world, reseller, agreed(&book, 0)).await;
    }
    let stays = tenant_of(&world, &world.reseller, "Stays", 2).await;
    let moves = tenant_of(&world, &world.reseller, "Moves", 3).await;
    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_due, summary.accounts_billed, summary.wholesale_invoices), (2, 2, 1));
    at(&world, "2026-01-11T12:00");
    seat(&stays, "more").await;
    at(&world, "2026-01-16T12:00");
    billing::transfer::transfer(&moves, None, south.id).await.unwrap();
    at(&world, "2026-02-01T12:00");
    let summary = run(&world, "2026-02-01").await;
    assert_eq!((summary.wholesale_invoices, summary.wholesale_credit_notes, summary.invoices), (2, 0, 0));
    let of = |day: &str, lines: &[&str]| (format!("invoice {day}"), sorted(lines.iter().copied()));
    let north = all_lines(&world, &world.reseller).await;
    let expected: [(String, Vec<String>); 2] = [
        of(
            "2026-01-01",
            &[
                "Stays recurring 2026-01-01..2026-02-01 x2, 8.00 EUR",
                "Moves recurring 2026-01-01..2026-02-01 x3, 12.00 EUR",
            ],
        ),
        of(
            "2026-02-01",
            &[
                "Stays recurring 2026-02-01..2026-03-01 x3, 12.00 EUR",
                "Stays proration 2026-01-11..2026-02-01 x1, 2.71 EUR",
                "Moves credit 2026-01-17..2026-02-01 x-3, -5.81 EUR",
            ],
        ),
    ];
    assert_eq!(north, expected);
    // What one is credited, the other is charged: each day is somebody's once.
    let expected: [(String, Vec<String>); 1] = [of(
        "2026-02-01",
        &[
            "Moves recurring 2026-02-01..2026-03-01 x3, 12.00 EUR",
            "Moves proration 2026-01-17..2026-02-01 x3, 5.81 EUR",
        ],
    )];
    assert_eq!(all_lines(&world, &south).await, expected);
    // One series over all resellers.
    let mut numbers: Vec<String> = Vec::new();
    for reseller in [&world.reseller, &south] {
        numbers.extend(documents(&world, reseller).await.into_iter().map(|document| document.number));
    }
    numbers.sort();
    assert_eq!(numbers, ["INV-000001", "INV-000002", "INV-000003"]);
}

#[tokio::test]
async fn a_deleted_tenant_counts_no_more_and_its_lines_stay() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", AtCycleEnd).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 1).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    tenant::delete(&goes, None).await.unwrap();
    at(&world, "2026-01-20T12:00");
    let deleted = world.operator.enter_deleted_too(goes.tenant_id()).await.unwrap();
    tenant::restore(&deleted).await.unwrap();
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let found = all_lines(&world, &world.reseller).await;
    // The seat is not held over the days: the tenant was nobody's on them.
    let expected = [
        "Goes credit 2026-01-11..2026-01-21 x-1, -10.00 EUR",
        "Goes recurring 2026-02-01..2026-03-01 x1, 31.00 EUR",
    ];
    assert_eq!(found[1].1, expected);
    tenant::delete(&goes, None).await.unwrap();
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let documents = documents(&world, &world.reseller).await;
    assert_eq!(lines(&documents[2]), ["Goes credit 2026-02-02..2026-03-01 x-1, -29.89 EUR"]);
    assert_eq!((documents[2].kind.as_str(), documents[2].corrects.len()), ("credit_note", 2));
}

#[tokio::test]
async fn what_is_committed_and_not_used_is_a_line_without_a_tenant() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "3.10", AtCycleEnd).await;
    agree(&world, &world.reseller, agreed(&book, 5)).await;
    let one = tenant_of(&world, &world.reseller, "One", 2).await;
    tenant_of(&world, &world.reseller, "Two", 1).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-11T12:00");
    for n in 0..4 {
        seat(&one, &format!("more{n}")).await;
    }
    // From the next cycle on.
    let changed = agree(&world, &world.reseller, agreed(&book, 9)).await;
    assert_eq!(changed.terms.starts_on, date("2026-02-01"));
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let found = all_lines(&world, &world.reseller).await;
    let first = [
        "One recurring 2026-01-01..2026-02-01 x2, 6.20 EUR",
        "Two recurring 2026-01-01..2026-02-01 x1, 3.10 EUR",
        "nobody recurring 2026-01-01..2026-02-01 x2, 6.20 EUR",
    ];
    assert_eq!(found[0].1, sorted(first));
    let second = [
        "One recurring 2026-02-01..2026-03-01 x6, 18.60 EUR",
        "One proration 2026-01-11..2026-02-01 x4, 8.40 EUR",
        "Two recurring 2026-02-01..2026-03-01 x1, 3.10 EUR",
        "nobody recurring 2026-02-01..2026-03-01 x2, 6.20 EUR",
        "nobody credit 2026-01-11..2026-02-01 x-2, -4.20 EUR",
    ];
    assert_eq!(found[1].1, sorted(second));
}

#[tokio::test]
async fn tenants_below_count_for_the_nearest_reseller_with_an_agreement() {
    let world = world_on("2026-01-01").await;
    let below = below(&world).await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    tenant_of(&world, &below, "Deep", 1).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-21T12:00");
    agree(&world, &below, agreed(&book, 0)).await;
    run(&world, "2026-01-21").await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let (above, own) = (all_lines(&world, &world.reseller).await, all_lines(&world, &below).await);
    assert_eq!(above[0].1, ["Deep recurring 2026-01-01..2026-02-01 x1, 31.00 EUR"]);
    assert_eq!(
        above[1],
        ("credit_note 2026-02-01".into(), vec!["Deep credit 2026-01-21..2026-02-01 x-1, -11.00 EUR".into()])
    );
    assert_eq!(own.len(), 1);
    assert_eq!(
        own[0],
        ("invoice 2026-01-21".into(), vec!["Deep recurring 2026-01-21..2026-02-21 x1, 31.00 EUR".into()])
    );
    // The reseller above is no party to it.
    let parent = admin_of(&world, &world.reseller).await.enter_reseller(below.id).await.unwrap();
    assert_eq!(agreement::get(&parent).await.unwrap_err().kind(), ErrorKind::NotFound);
    let page = PageRequest::new(None, None);
    assert_eq!(
        invoice::list(&parent, Default::default(), page).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// Two months of a reseller with two tenants, billed on each of the days.
async fn story(prices: Vec<NewPrice>, days: &[&str]) -> Vec<(String, Vec<String>)> {
    let world = world_on("2026-01-01").await;
    let south = world::reseller(&world.operator, "South").await;
    let book = publish(&world.operator, None, prices).await.unwrap();
    for reseller in [&world.reseller, &south] {
        let new = PutAgreement {
            time_zone: Some("America/New_York".into()),
            starts_on: Some("2026-01-01".into()),
            ..agreed(&book, 4)
        };
        agree(&world, reseller, new).await;
    }
    let one = tenant_of(&world, &world.reseller, "One", 2).await;
    let two = tenant_of(&world, &south, "Two", 1).await;
    let mut extra = None;
    for day in date("2026-01-01").iter_days().take_while(|day| *day <= date("2026-03-03")) {
        let day = day.to_string();
        at(&world, &format!("{day}T15:00"));
        match day.as_str() {
            "2026-01-10" => extra = Some(seat(&one, "extra").await),
            "2026-01-12" => items::stores(&world, &two, "2026-01-12T15:00", 93 << 30).await,
            "2026-01-15" => drop(make(&two, Kind::Shared, "shared").await.unwrap()),
            "2026-01-20" => drop(billing::transfer::transfer(&two, None, world.reseller.id).await.unwrap()),
            "2026-02-01" => drop(seat(&two, "first").await),
            "2026-02-07" => items::stores(&world, &one, "2026-02-07T15:00", 31 << 30).await,
            "2026-02-14" => user::delete(&one, extra.take().unwrap().id, None).await.unwrap(),
            "2026-02-20" => drop(billing::transfer::transfer(&one, None, south.id).await.unwrap()),
            "2026-02-25" => tenant::delete(&two, None).await.unwrap(),
            _ => {}
        }
        if days.is_empty() || days.contains(&day.as_str()) {
            run(&world, &day).await;
            run(&world, &day).await;
        }
    }
    verified(&world).await;
    let mut all = all_lines(&world, &world.reseller).await;
    all.extend(all_lines(&world, &south).await);
    all
}

async fn verified(world: &World) -> billing::verify::Verified {
    let mut found = Vec::new();
    let verified = billing::verify::verify(&world.operator, None, |finding| found.push(finding.to_string()))
        .await
        .unwrap();
    assert_eq!(found, [""; 0]);
    verified
}

#[tokio::test]
async fn it_does_not_matter_when_runs_happen() {
    let flat = price("month", "3.33", CreditToBalance);
    for prices in
        [vec![flat.clone()], vec![tiers::graduated()], vec![flat, items::shared(), items::storage(1 << 30)]]
    {
        let daily = story(prices.clone(), &[]).await;
        assert!(daily.len() >= 5, "{daily:?}");
        let has_usage = daily.iter().flat_map(|(_, lines)| lines).any(|line| line.contains(" usage "));
        assert_eq!(has_usage, prices.len() == 3);
        assert_eq!(story(prices, &["2026-03-03"]).await, daily);
    }
}

#[tokio::test]
async fn many_workers_bill_as_one() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let mut resellers = Vec::new();
    for n in 0..4 {
        let reseller = world::reseller(&world.operator, &format!("Reseller {n}")).await;
        agree(&world, &reseller, agreed(&book, 3)).await;
        tenant_of(&world, &reseller, "Tenant", 1).await;
        resellers.push(reseller);
    }
    at(&world, "2026-03-01T12:00");
    let db = world.test_db.db();
    let runs = (0..6).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { billing::run::run(&db, date("2026-03-01"), None).await.unwrap() })
    });
    let mut made = 0;
    for run in runs.collect::<Vec<_>>() {
        let summary = run.await.unwrap();
        assert_eq!((summary.accounts_failed, summary.accounts_parked), (0, 0));
        made += summary.wholesale_invoices;
    }
    assert_eq!(made, 12);
    assert_eq!(run(&world, "2026-03-01").await, RunSummary::default());
    for reseller in &resellers {
        assert_eq!(documents(&world, reseller).await.len(), 3);
    }
    assert_eq!(verified(&world).await.differences, 0);
}

#[tokio::test]
async fn the_reseller_alone_sees_its_margins_by_tenant() {
    let world = world_on("2026-01-01").await;
    let retail = book(&world, CreditToBalance).await;
    let wholesale = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&wholesale, 3)).await;
    subscribed_tenant(&world, &retail, "Sold", 1).await;
    tenant_of(&world, &world.reseller, "Free", 1).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    let shown = async |from: &str, to: &str| {
        let margins = margin::list(&own, during(from, to)).await.unwrap();
        let row = |row: &margin::Margin| {
            let whose = row.tenant_name.as_deref().unwrap_or("nobody");
            format!("{whose} {}: {} - {} = {}", row.item, row.retail, row.wholesale, row.margin)
        };
        sorted(margins.iter().map(row))
    };
    let expected = [
        "Free mailbox: 0.00 EUR - 4.00 EUR = -4.00 EUR",
        "Sold mailbox: 12.50 EUR - 4.00 EUR = 8.50 EUR",
        "nobody mailbox: 0.00 EUR - 4.00 EUR = -4.00 EUR",
    ];
    assert_eq!(shown("2026-01-01", "2026-02-01").await, expected, "up to the day, and without it");
    assert_eq!(shown("2026-01-01", "2026-02-02").await[1], "Sold mailbox: 25.00 EUR - 8.00 EUR = 17.00 EUR");
    assert_eq!(shown("2026-01-02", "2026-02-01").await, [""; 0]);
    let operator = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let error = margin::list(&operator, during("2026-01-01", "2026-02-01")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    // The operator's documents are in no ledger of the reseller's, and the other way round.
    let as_of = ledger::AsOf::day(date("2026-02-01"));
    let receivable = async |issuer| {
        let balances = ledger::trial_balance(&world.operator, issuer, as_of).await.unwrap();
        balances.iter().map(|one| one.balance.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(receivable(OPERATOR).await, ["24.00 EUR", "-24.00 EUR"]);
    assert_eq!(receivable(world.reseller.id).await, ["25.00 EUR", "-25.00 EUR"]);
    let hidden = ledger::trial_balance(own.caller(), OPERATOR, as_of).await;
    assert!(matches!(hidden, Err(Error::NotFound)));
}

#[tokio::test]
async fn the_reconciliation_file_sums_up_to_the_cent() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "3.33333333", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 7)).await;
    let names = ["Plain", "Comma, \"quoted\"", "Bäckerei\u{2028}Süd"];
    let mut tenants = Vec::new();
    for (name, users) in names.iter().zip(1..) {
        tenants.push(tenant_of(&world, &world.reseller, name, users).await);
    }
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-08T12:00");
    seat(&tenants[0], "more").await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    for document in documents(&world, &world.reseller).await {
        let file = reconciliation::file(&own, document.id, Format::Csv).await.unwrap();
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let header = reader.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|column| column == name).unwrap();
        let number = |record: &csv::StringRecord, name: &str| record[column(name)].parse::<i64>().unwrap();
        let (mut sum, mut seen) = (0, 0);
        for (record, line) in reader.records().map(Result::unwrap).zip(&document.lines) {
            assert_eq!(number(&record, "quantity") * number(&record, "days"), number(&record, "seat_days"));
            assert_eq!(number(&record, "seat_days"), line.seat_days);
            let name = line.tenant.as_ref().map_or("", |tenant| &tenant.name);
            assert_eq!(&record[column("tenant_name")], name);
            sum += number(&record, "amount_minor");
            seen += 1;
        }
        assert_eq!((sum, seen), (document.net.amount_minor, document.lines.len()));
        let file = reconciliation::file(&own, document.id, Format::JsonLines).await.unwrap();
        let file = String::from_utf8(file).unwrap();
        let objects: Vec<serde_json::Value> =
            file.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
        let sum: i64 = objects.iter().map(|row| row["amount_minor"].as_i64().unwrap()).sum();
        assert_eq!(sum, document.net.amount_minor);
    }
}

#[tokio::test]
async fn an_agreement_is_the_operator_s_to_make_and_the_reseller_s_to_see() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", AtCycleEnd).await;
    let dearer = wholesale_book(&world, "5", AtCycleEnd).await;
    assert_eq!(dearer.version, 2);
    let operator = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(agreement::get(&own).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(agreement::put(&own, agreed(&book, 0), None).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(get(own.caller(), book.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    let first = agreement::put(&operator, agreed(&book, 0), None).await.unwrap();
    assert_eq!(agreement::get(&own).await.unwrap(), first);
    // It sees the prices that it buys by, and no others of the operator's.
    assert_eq!(get(own.caller(), book.id).await.unwrap().id, book.id);
    assert_eq!(get(own.caller(), dearer.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    let seen = list_books(own.caller(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(seen.iter().map(|book| book.id).collect::<Vec<_>>(), [book.id]);
    for far in ["2023-12-31", "2028-01-02", "2000-01-01"] {
        let far = PutAgreement { starts_on: Some(far.into()), ..agreed(&book, 0) };
        let refused = agreement::put(&operator, far, None).await.unwrap_err();
        let [error] = refused.field_errors() else { panic!("{refused:?}") };
        let detail = "must be 2024-01-01 to 2028-01-01: two years from the present day at most";
        assert_eq!((error.pointer.as_str(), error.detail.as_str()), ("/starts_on", detail));
    }
    // Nothing was billed: all of it may change, from the first day on.
    let day = Some("2026-01-05".to_owned());
    let later = PutAgreement { starts_on: day.clone(), anchor_date: day, ..agreed(&dearer, 1) };
    let later = agreement::put(&operator, later, Some(1)).await.unwrap();
    assert_eq!((later.version, later.next_invoice_on), (2, date("2026-01-05")));
    assert_eq!(agreement::put(&operator, agreed(&dearer, 1), Some(2)).await.unwrap(), later);
    assert!(agreement::put(&operator, agreed(&book, 1), Some(1)).await.is_err());
    at(&world, "2026-01-05T12:00");
    run(&world, "2026-01-05").await;
    assert_eq!(
        all_lines(&world, &world.reseller).await[0].1,
        ["nobody recurring 2026-01-05..2026-02-05 x1, 5.00 EUR"]
    );
    // Something was: from the next cycle on.
    let changed = agreement::put(&operator, agreed(&book, 2), None).await.unwrap();
    assert_eq!(changed.terms.starts_on, date("2026-02-05"));
    let moved = PutAgreement { anchor_date: Some("2026-01-01".into()), ..agreed(&book, 2) };
    let error = agreement::put(&operator, moved, None).await.unwrap_err();
    assert_eq!(error.code(), "agreement_terms_fixed");
    at(&world, "2026-02-05T12:00");
    run(&world, "2026-02-05").await;
    assert_eq!(
        all_lines(&world, &world.reseller).await[1].1,
        ["nobody recurring 2026-02-05..2026-03-05 x2, 8.00 EUR"]
    );
    let retail = super::book(&world, AtCycleEnd).await;
    let refused = agreement::put(&operator, agreed(&retail, 0), None).await.unwrap_err();
    assert_eq!(refused.field_errors()[0].pointer, "/price_book_id");
    // Found by its id alone by the two parties, and by nobody else.
    let document = &documents(&world, &world.reseller).await[0];
    assert_eq!(invoice::find(own.caller(), document.id).await.unwrap().number, document.number);
    let south = world::reseller(&world.operator, "South").await;
    let stranger = admin_of(&world, &south).await;
    assert_eq!(invoice::find(&stranger, document.id).await.unwrap_err().kind(), ErrorKind::NotFound);
}
