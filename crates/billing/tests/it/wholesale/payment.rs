//! What a reseller pays the operator: what it is meant for, what is due then, what is paid back, and who sees it.

use billing::ledger::{Account, AsOf, trial_balance};
use billing::payment::{self as retail, NewTransfer, Payment};
use billing::statement::{self, Statement};
use billing::wholesale::payment;
use kernel::{Currency, PaymentId, ResellerId};
use secrecy::ExposeSecret as _;
use tenancy::auth::Auth;
use tenancy::{Action, ResellerCtx, Role, api_key};

use super::*;
use crate::payment::{euro, nobody, pay_back_at_once};

/// Three seats at 4.00, billed for three months: three invoices of 12.00.
async fn three_invoices() -> World {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    tenant_of(&world, &world.reseller, "One", 3).await;
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    world
}

async fn operator_at(world: &World) -> ResellerCtx {
    world.operator.enter_reseller(world.reseller.id).await.unwrap()
}

fn transfer(world: &World, amount_minor: i64, reference: &str) -> NewTransfer {
    NewTransfer {
        amount: euro(amount_minor),
        reference: reference.into(),
        received_on: world.operator.db().env().now().date_naive().to_string(),
        invoice_id: None,
    }
}

/// Payments are in the order of their ids, which those of one instant have at random.
async fn paid(world: &World, amount_minor: i64, reference: &str) -> Payment {
    world.test_db.clock().advance(TimeDelta::seconds(1));
    payment::record(&operator_at(world).await, transfer(world, amount_minor, reference)).await.unwrap()
}

#[tokio::test]
async fn what_was_paid_holds_the_currency_of_an_agreement() {
    let world = world_on("2026-01-01").await;
    let euros = wholesale_book(&world, "4", CreditToBalance).await;
    let price = NewPrice { currency: "USD".into(), ..price("month", "4", CreditToBalance) };
    let dollars = billing::price_book::publish(&world.operator, None, vec![price]).await.unwrap();
    let ctx = operator_at(&world).await;
    let put = async |book: &PriceBook| billing::wholesale::agreement::put(&ctx, agreed(book, 0), None).await;
    put(&dollars).await.unwrap();
    put(&euros).await.unwrap();
    paid(&world, 1200, "").await;
    assert_eq!(put(&dollars).await.unwrap_err().code(), "agreement_terms_fixed");
    // Nothing was billed: all else may change.
    let earlier = PutAgreement { starts_on: Some("2025-12-01".into()), ..agreed(&euros, 3) };
    let changed = billing::wholesale::agreement::put(&ctx, earlier, None).await.unwrap();
    assert_eq!((changed.starts_on, changed.currency), (date("2025-12-01"), "EUR".parse().unwrap()));
}

/// Status, paid and due of each document.
async fn states(world: &World) -> Vec<String> {
    let shown =
        |one: &WholesaleInvoice| format!("{} {}/{}", one.status, one.paid.amount_minor, one.due.amount_minor);
    documents(world, &world.reseller).await.iter().map(shown).collect()
}

/// The operator's receivable and cash.
async fn balances(world: &World) -> (i64, i64) {
    let rows = trial_balance(&world.operator, OPERATOR, AsOf::day(date("2100-01-01"))).await.unwrap();
    let of = |account: Account| {
        rows.iter().find(|row| row.account == account).map_or(0, |row| row.balance.amount_minor)
    };
    (of(Account::Receivable), of(Account::Cash))
}

#[tokio::test]
async fn a_transfer_settles_what_it_names_then_what_it_matches_then_the_oldest() {
    let world = three_invoices().await;
    assert_eq!(states(&world).await, ["final 0/1200"; 3]);
    let bills = documents(&world, &world.reseller).await;
    let named = paid(&world, 1200, "thank you, inv-000002").await;
    assert_eq!((named.issuer_id, named.invoice_id), (OPERATOR, Some(bills[1].id)));
    assert_eq!(states(&world).await, ["final 0/1200", "paid 1200/0", "final 0/1200"]);
    let part = paid(&world, 500, "something").await;
    assert_eq!(part.invoice_id, None);
    assert_eq!(states(&world).await, ["final 500/700", "paid 1200/0", "final 0/1200"], "the oldest of two");
    let by_amount = paid(&world, 1200, "no number").await;
    assert_eq!(by_amount.invoice_id, Some(bills[2].id));
    assert_eq!(states(&world).await, ["final 500/700", "paid 1200/0", "paid 1200/0"]);
    assert_eq!(balances(&world).await, (700, 2900));
    verified(&world).await;
    // What is too much is the reseller's credit, and settles the next.
    world.test_db.clock().advance(TimeDelta::seconds(1));
    let too_much = NewTransfer { invoice_id: Some(bills[0].id), ..transfer(&world, 1000, "") };
    let too_much = payment::record(&operator_at(&world).await, too_much).await.unwrap();
    assert_eq!((states(&world).await, balances(&world).await), (vec!["paid 1200/0".into(); 3], (-300, 3900)));
    at(&world, "2026-04-01T12:00");
    run(&world, "2026-04-01").await;
    assert_eq!(states(&world).await[3], "final 300/900");
    let ctx = operator_at(&world).await;
    let listed = payment::list(&ctx, Default::default(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(listed, [named.clone(), part, by_amount, too_much]);
    assert_eq!(retail::get(&world.operator, named.id).await.unwrap(), named);
    // None of it is in the reseller's own ledger, which is of what it issued.
    let own = trial_balance(&world.operator, world.reseller.id, AsOf::day(date("2100-01-01"))).await.unwrap();
    assert_eq!(own, []);
    verified(&world).await;
}

#[tokio::test]
async fn a_credit_note_is_money_for_what_is_unpaid() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 1).await;
    run(&world, "2026-01-01").await;
    paid(&world, 3100, "INV-000001").await;
    at(&world, "2026-01-10T12:00");
    tenant::delete(&goes, None).await.unwrap();
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    // 21 of 31 days are credited, on an invoice that is paid: the reseller's credit.
    assert_eq!(states(&world).await, ["paid 1000/0", "final 0/0"]);
    assert_eq!(documents(&world, &world.reseller).await[0].credited, euro(2100));
    assert_eq!(balances(&world).await, (-2100, 3100));
    verified(&world).await;
}

#[tokio::test]
async fn what_was_recorded_by_mistake_is_paid_back_and_due_again() {
    let world = three_invoices().await;
    let one = paid(&world, 1200, "INV-000001").await;
    let of = async |amount: Option<i64>| {
        let amount = amount.map(euro);
        retail::refund(&world.operator, &nobody(), one.id, amount, "another reseller's".into()).await
    };
    assert_eq!(of(Some(200)).await.unwrap().amount, euro(200));
    assert_eq!(states(&world).await[0], "final 1000/200");
    assert_eq!(of(Some(1001)).await.unwrap_err().code(), "refund_exceeds_payment");
    assert_eq!(of(Some(0)).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(of(None).await.unwrap().amount, euro(1000));
    assert_eq!(of(None).await.unwrap_err().code(), "refund_exceeds_payment");
    let found = retail::get(&world.operator, one.id).await.unwrap();
    assert_eq!((found.refunded, found.refunds.len()), (euro(1200), 2));
    assert_eq!((states(&world).await, balances(&world).await), (vec!["final 0/1200".into(); 3], (3600, 0)));
    verified(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_paid_back_at_once_is_paid_back_once() {
    let world = three_invoices().await;
    let one = paid(&world, 1200, "INV-000001").await;
    pay_back_at_once(&world, one.id, 700, 6).await;
    verified(&world).await;
}

#[tokio::test]
async fn bad_input_is_pointed_at_and_records_nothing() {
    let world = three_invoices().await;
    let south = world::reseller(&world.operator, "South").await;
    let ctx = operator_at(&world).await;
    let good = || transfer(&world, 1200, "");
    let dollars: Currency = "USD".parse().unwrap();
    let nowhere = kernel::InvoiceId::from_uuid(uuid::Uuid::nil());
    for (new, pointer) in [
        (NewTransfer { amount: euro(0), ..good() }, "/amount/amount_minor"),
        (NewTransfer { amount: kernel::Money::new(1200, dollars), ..good() }, "/amount/currency"),
        (NewTransfer { reference: "x".repeat(501), ..good() }, "/reference"),
        (NewTransfer { received_on: "2026-02-30".into(), ..good() }, "/received_on"),
        (NewTransfer { received_on: "2026-03-02".into(), ..good() }, "/received_on"),
        (NewTransfer { invoice_id: Some(nowhere), ..good() }, "/invoice_id"),
    ] {
        let Error::Invalid(errors) = payment::record(&ctx, new).await.unwrap_err() else {
            panic!("{pointer}")
        };
        assert_eq!(errors[0].pointer, pointer);
    }
    // Who has agreed to nothing owes nothing.
    let stranger = world.operator.enter_reseller(south.id).await.unwrap();
    assert_eq!(payment::record(&stranger, good()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(balances(&world).await, (3600, 0));
}

#[tokio::test]
async fn the_operator_records_the_reseller_sees_and_nobody_else_knows() {
    let world = three_invoices().await;
    let one = paid(&world, 1200, "INV-000001").await;
    let (mine, page) = (admin_of(&world, &world.reseller).await, || PageRequest::new(None, None));
    let own = mine.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(
        payment::list(&own, Default::default(), page()).await.unwrap().items,
        std::slice::from_ref(&one)
    );
    assert_eq!(retail::get(&mine, one.id).await.unwrap(), one);
    let forbidden = payment::record(&own, transfer(&world, 1, "")).await.unwrap_err();
    assert_eq!(forbidden.kind(), ErrorKind::Forbidden);
    let back = async |caller: &tenancy::Caller, id: PaymentId| {
        retail::refund(caller, &nobody(), id, None, "x".into()).await.unwrap_err().kind()
    };
    assert_eq!(back(&mine, one.id).await, ErrorKind::Forbidden);
    let child = below(&world).await;
    let south = world::reseller(&world.operator, "South").await;
    for other in [&child, &south] {
        let other = admin_of(&world, other).await;
        assert_eq!(retail::get(&other, one.id).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(back(&other, one.id).await, ErrorKind::NotFound);
    }
    // The one above has a child's account in scope, and is no party to it all the same.
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &child, agreed(&book, 1)).await;
    let at_child = world.operator.enter_reseller(child.id).await.unwrap();
    let of_child = payment::record(&at_child, transfer(&world, 400, "")).await.unwrap();
    let above = mine.enter_reseller(child.id).await.unwrap();
    assert_eq!(
        payment::list(&above, Default::default(), page()).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(retail::get(&mine, of_child.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(back(&mine, of_child.id).await, ErrorKind::NotFound);
    let new = api_key::NewApiKey::full(Role::TenantAdmin);
    let (_, secret) = api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let tenant = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    assert_eq!(retail::get(&tenant, one.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(back(&tenant, one.id).await, ErrorKind::NotFound);
    assert_eq!(of(&own, "2026-03-01", "2026-04-01").await.customer.id, world.reseller.id);
    let days = Window::new(date("2026-03-01"), date("2026-04-01")).unwrap();
    assert_eq!(statement::of_reseller(&above, days).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Those above read a reseller's trail, which tells that it paid and not how much.
    retail::refund(&world.operator, &nobody(), one.id, Some(euro(1)), "x".into()).await.unwrap();
    tenancy::event::chain(&world.test_db.db()).await.unwrap();
    let (filter, page) = (Default::default(), PageRequest::new(Some(200), None));
    let all = tenancy::event::list(&mine, Action::EventRead, &filter, page).await.unwrap().items;
    let told: Vec<_> = all
        .into_iter()
        .map(|one| one.event)
        .filter(|one| one.kind.starts_with("wholesale_payment"))
        .collect();
    let kinds: Vec<_> = told.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["wholesale_payment.succeeded", "wholesale_payment.succeeded", "wholesale_payment.refunded"]
    );
    assert!(told.iter().all(|one| !one.data.to_string().contains("amount")), "{told:?}");
}

async fn of(ctx: &ResellerCtx, from: &str, until: &str) -> Statement<ResellerId> {
    statement::of_reseller(ctx, Window::new(date(from), date(until)).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_statement_tells_what_moved_the_reseller_s_account_and_what_is_open() {
    let world = three_invoices().await;
    let one = paid(&world, 1200, "INV-000002").await;
    at(&world, "2026-03-02T12:00");
    retail::refund(&world.operator, &nobody(), one.id, Some(euro(500)), "overpaid".into()).await.unwrap();
    let ctx = operator_at(&world).await;
    let found = of(&ctx, "2026-03-01", "2026-04-01").await;
    assert_eq!((found.issuer.id, found.issuer.name.as_str()), (OPERATOR, "Pillar Ltd"));
    assert_eq!(found.customer.name, world.reseller.name);
    let expected = "2400; 2026-03-01 invoice INV-000003 1200 = 3600; 2026-03-01 payment INV-000002 -1200 = 2400; \
                    2026-03-02 refund overpaid 500 = 2900; 2900";
    // Due on 15 January, 15 February and 15 March, on the last of March.
    assert_eq!(crate::statement::shown(&found), (expected.to_owned(), [0, 1200, 500, 1200, 0, 0]));
    let found = of(&ctx, "2026-01-01", "2026-03-01").await;
    let expected =
        "0; 2026-01-01 invoice INV-000001 1200 = 1200; 2026-02-01 invoice INV-000002 1200 = 2400; 2400";
    assert_eq!(crate::statement::shown(&found), (expected.to_owned(), [0, 1200, 1200, 0, 0, 0]));
    for day in date("2025-12-31").iter_days().take(100) {
        let rows = trial_balance(&world.operator, OPERATOR, AsOf::day(day)).await.unwrap();
        let receivable = rows.iter().find(|row| row.account == Account::Receivable);
        let receivable = receivable.map_or(0, |row| row.balance.amount_minor);
        let closing = of(&ctx, "2025-12-31", &day.succ_opt().unwrap().to_string()).await.accounts[0].closing;
        assert_eq!(closing.amount_minor, receivable, "{day}");
    }
    let south = world::reseller(&world.operator, "South").await;
    let nothing = world.operator.enter_reseller(south.id).await.unwrap();
    let days = Window::new(date("2026-03-01"), date("2026-04-01")).unwrap();
    assert_eq!(statement::of_reseller(&nothing, days).await.unwrap_err().kind(), ErrorKind::NotFound);
}
