//! Payments that somebody records: what they are meant for, what is due then, and what is paid back.

use billing::ledger::{Account, AsOf, trial_balance};
use billing::payment::{self, NewTransfer, Payment};
use billing::rating::RemovalPolicy;
use kernel::{ErrorKind, Money, PageRequest, PaymentId};
use proptest::prelude::*;
use tenancy::{Ctx, Role};
use testkit::{World, world};

use super::{admin_of, at, book, date, invoices, run, seat, subscribe, subscribed_tenant, world_on};

/// A provider that is never asked.
pub(super) fn nobody() -> stripe::Client {
    stripe::Client::new(&"http://127.0.0.1:9".parse().unwrap(), stripe::Limits::default()).unwrap()
}

pub(super) fn euro(amount_minor: i64) -> Money {
    Money::new(amount_minor, "EUR".parse().unwrap())
}

fn transfer(amount_minor: i64, reference: &str, day: &str) -> NewTransfer {
    NewTransfer {
        amount: euro(amount_minor),
        reference: reference.into(),
        received_on: day.into(),
        invoice_id: None,
    }
}

pub(super) async fn paid(ctx: &Ctx, amount_minor: i64, reference: &str) -> Payment {
    let today = ctx.now().date_naive().to_string();
    payment::record(ctx, transfer(amount_minor, reference, &today)).await.unwrap()
}

/// Of so many who pay back an amount at once, one does.
pub(super) async fn pay_back_at_once(world: &World, id: PaymentId, amount_minor: i64, tries: usize) {
    let tries = (0..tries).map(|_| {
        let operator = world.operator.clone();
        tokio::spawn(async move {
            payment::refund(&operator, &nobody(), id, Some(euro(amount_minor)), "x".into()).await
        })
    });
    let mut made = 0;
    for refund in tries.collect::<Vec<_>>() {
        match refund.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code(), "refund_exceeds_payment"),
        }
    }
    assert_eq!(made, 1);
}

/// The world with a tenant of some currency in the place of its own.
pub(super) async fn in_currency(world: World, code: &str) -> World {
    let new = tenancy::tenant::NewTenant {
        currency: code.parse().unwrap(),
        ..world::new_tenant(&world.reseller, "Elsewhere")
    };
    let tenant = tenancy::tenant::create(&world.operator, new).await.unwrap();
    let ctx = world.operator.enter(tenant.id).await.unwrap();
    world::domain(&ctx, &super::domain(&ctx)).await;
    World { tenant, ctx, ..world }
}

/// Currencies of 0, 2 and 3 decimals.
pub(super) fn currencies() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["JPY", "EUR", "KWD"])
}

/// Two seats at 12.50, billed for three months: three invoices of 25.00.
pub(super) async fn three_invoices() -> World {
    let world = World::new().await;
    three_invoices_of(&world).await;
    world
}

/// As [`three_invoices`], in a world that is there.
pub(super) async fn three_invoices_of(world: &World) {
    at(world, "2026-01-01T09:00");
    let book = book(world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    for name in ["ada", "ben"] {
        seat(&world.ctx, name).await;
    }
    at(world, "2026-03-01T12:00");
    run(world, "2026-03-01").await;
}

/// Status, paid and due of each document.
pub(super) async fn states(ctx: &Ctx) -> Vec<String> {
    let shown = |status: &str, paid: Money, due: Money| {
        format!("{status} {}/{}", paid.amount_minor, due.amount_minor)
    };
    invoices(ctx).await.iter().map(|one| shown(&one.status, one.paid, one.due)).collect()
}

pub(super) async fn balance(world: &World, account: Account) -> i64 {
    let rows =
        trial_balance(&world.operator, world.reseller.id, AsOf::day(date("2100-01-01"))).await.unwrap();
    rows.iter().find(|row| row.account == account).map_or(0, |row| row.balance.amount_minor)
}

pub(super) async fn assert_clean(world: &World) {
    let documents = invoices(&world.ctx).await.len() as u64;
    super::verify::assert_clean(world, documents).await;
}

#[tokio::test]
async fn a_transfer_settles_what_it_names_then_what_it_matches_then_the_oldest() {
    let world = three_invoices().await;
    assert_eq!(states(&world.ctx).await, ["final 0/2500"; 3]);
    let documents = invoices(&world.ctx).await;
    let named = paid(&world.ctx, 2500, "thank you, inv-000002").await;
    assert_eq!(named.invoice_id, Some(documents[1].id));
    assert_eq!(states(&world.ctx).await, ["final 0/2500", "paid 2500/0", "final 0/2500"]);
    at(&world, "2026-03-01T12:01");
    let by_amount = paid(&world.ctx, 2500, "no number").await;
    assert_eq!(by_amount.invoice_id, Some(documents[0].id));
    at(&world, "2026-03-01T12:02");
    let part = paid(&world.ctx, 1000, "something").await;
    assert_eq!(part.invoice_id, None);
    assert_eq!(states(&world.ctx).await, ["paid 2500/0", "paid 2500/0", "final 1000/1500"]);
    assert_eq!(
        (balance(&world, Account::Receivable).await, balance(&world, Account::Cash).await),
        (1500, 6000)
    );
    let listed =
        payment::list(&world.ctx, Default::default(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(listed, [named.clone(), by_amount, part]);
    assert_eq!(payment::get(&world.operator, named.id).await.unwrap(), named);
    assert_clean(&world).await;
}

#[tokio::test]
async fn what_is_paid_too_much_settles_the_next_invoice() {
    let world = three_invoices().await;
    let documents = invoices(&world.ctx).await;
    let too_much = NewTransfer { invoice_id: Some(documents[2].id), ..transfer(9000, "", "2026-03-01") };
    payment::record(&world.ctx, too_much).await.unwrap();
    assert_eq!(states(&world.ctx).await, ["paid 2500/0"; 3]);
    assert_eq!(balance(&world, Account::Receivable).await, -1500);
    at(&world, "2026-04-01T12:00");
    run(&world, "2026-04-01").await;
    assert_eq!(states(&world.ctx).await[3], "final 1500/1000");
    assert_clean(&world).await;
}

#[tokio::test]
async fn a_credit_note_is_money_for_what_is_unpaid() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "year").await;
    let ben = seat(&world.ctx, "ben").await;
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    paid(&world.ctx, 24000, "INV-000001").await;
    at(&world, "2026-01-01T12:00");
    tenancy::user::delete(&world.ctx, ben.id, None).await.unwrap();
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    // 364 of 365 days of one seat's 120.00 are credited, on an invoice that is paid: the customer's credit.
    assert_eq!(states(&world.ctx).await, ["paid 12033/0", "final 0/0"]);
    let credited: Vec<_> = invoices(&world.ctx).await.iter().map(|one| one.credited).collect();
    assert_eq!(credited, [euro(11967), euro(0)]);
    // The money is there for the next, and is then paid of that.
    seat(&world.ctx, "cem").await;
    run(&world, "2026-02-01").await;
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let all = invoices(&world.ctx).await;
    assert!(all.len() == 3 && all[2].kind == billing::invoice::DocumentKind::Invoice, "{all:?}");
    for one in all.iter().filter(|one| one.total.amount_minor > 0) {
        let parts = [one.paid, one.credited, one.due].map(|part| part.amount_minor);
        assert_eq!(parts.iter().sum::<i64>(), one.total.amount_minor, "{one:?}");
    }
    let paid: i64 = all.iter().map(|one| one.paid.amount_minor).sum();
    let left = -balance(&world, Account::Receivable).await;
    assert_eq!((paid + left, all[2].paid), (24000, all[2].total), "all of the money is somewhere");
    assert_clean(&world).await;
}

#[tokio::test]
async fn what_is_paid_back_is_due_again() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "INV-000001").await;
    let of = async |amount: Option<i64>| {
        payment::refund(&world.operator, &nobody(), one.id, amount.map(euro), "a mistake".into()).await
    };
    assert_eq!(of(Some(500)).await.unwrap().amount, euro(500));
    assert_eq!(states(&world.ctx).await[0], "final 2000/500");
    assert_eq!(of(Some(2001)).await.unwrap_err().code(), "refund_exceeds_payment");
    assert_eq!(of(Some(0)).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(of(None).await.unwrap().amount, euro(2000));
    assert_eq!(of(None).await.unwrap_err().code(), "refund_exceeds_payment");
    assert_eq!(payment::get(&world.operator, one.id).await.unwrap().refunded, euro(2500));
    assert_eq!(states(&world.ctx).await[0], "final 0/2500");
    assert_eq!((balance(&world, Account::Receivable).await, balance(&world, Account::Cash).await), (7500, 0));
    assert_clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_paid_back_at_once_is_paid_back_once() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "INV-000001").await;
    pay_back_at_once(&world, one.id, 2000, 8).await;
    assert_clean(&world).await;
}

#[tokio::test]
async fn bad_input_is_pointed_at_and_records_nothing() {
    let world = three_invoices().await;
    let other = subscribed_tenant(&world, &book(&world, RemovalPolicy::default()).await, "Other", 1).await;
    run(&world, "2026-03-01").await;
    let theirs = invoices(&other).await[0].id;
    let good = transfer(1, "", "2026-03-01");
    for (wrong, pointer) in [
        (NewTransfer { amount: euro(0), ..good.clone() }, "/amount/amount_minor"),
        (NewTransfer { amount: euro(-1), ..good.clone() }, "/amount/amount_minor"),
        (NewTransfer { amount: Money::new(1, "USD".parse().unwrap()), ..good.clone() }, "/amount/currency"),
        (NewTransfer { reference: "a\nb".into(), ..good.clone() }, "/reference"),
        (NewTransfer { reference: "x".repeat(501), ..good.clone() }, "/reference"),
        (NewTransfer { received_on: "2026-02-30".into(), ..good.clone() }, "/received_on"),
        (NewTransfer { received_on: "2026-03-02".into(), ..good.clone() }, "/received_on"),
        (NewTransfer { invoice_id: Some(theirs), ..good.clone() }, "/invoice_id"),
    ] {
        let refused = payment::record(&world.ctx, wrong.clone()).await.unwrap_err();
        let pointers: Vec<_> = refused.field_errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{wrong:?}");
    }
    assert_eq!(
        payment::list(&world.ctx, Default::default(), PageRequest::new(None, None)).await.unwrap().items,
        []
    );
}

#[tokio::test]
async fn a_payment_is_seen_and_paid_back_by_those_above_only() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "").await;
    let other = world::reseller(&world.operator, "Other").await;
    let stranger = admin_of(&world, &other).await;
    let own = admin_of(&world, &world.reseller).await;
    assert_eq!(payment::get(&own, one.id).await.unwrap(), one);
    for refused in [
        payment::get(&stranger, one.id).await.unwrap_err(),
        payment::refund(&stranger, &nobody(), one.id, None, "x".into()).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
    let new = tenancy::api_key::NewApiKey::full(Role::TenantBilling);
    let (_, secret) = tenancy::api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    let billing = auth.bearer(&secret, world.origin()).await.unwrap();
    assert_eq!(payment::get(&billing, one.id).await.unwrap(), one);
    let refused = payment::refund(&billing, &nobody(), one.id, None, "x".into()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let inside = billing.enter(world.tenant.id).await.unwrap();
    let refused = payment::record(&inside, transfer(1, "", "2026-03-01")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_tenant_s_new_reseller_leaves_the_former_one_s_invoices_alone() {
    let world = three_invoices().await;
    let documents = invoices(&world.ctx).await;
    let other = world::reseller(&world.operator, "Other").await;
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    let inside = admin_of(&world, &other).await.enter(world.tenant.id).await.unwrap();
    let named = NewTransfer { invoice_id: Some(documents[1].id), ..transfer(2500, "", "2026-03-01") };
    let refused = payment::record(&inside, named.clone()).await.unwrap_err();
    assert_eq!(refused.code(), "issued_by_another");
    let theirs = paid(&inside, 2500, "INV-000002").await;
    assert_eq!((theirs.invoice_id, theirs.issuer_id), (None, other.id));
    assert_eq!(states(&world.ctx).await, ["final 0/2500"; 3]);
    // Who sees the former reseller may say that it was paid.
    let above = world.operator.enter(world.tenant.id).await.unwrap();
    let one = payment::record(&above, named).await.unwrap();
    assert_eq!((one.invoice_id, one.issuer_id), (Some(documents[1].id), world.reseller.id));
    assert_eq!(paid(&above, 2500, "INV-000003").await.invoice_id, Some(documents[2].id));
    assert_eq!(states(&world.ctx).await, ["final 0/2500", "paid 2500/0", "paid 2500/0"]);
}

#[tokio::test]
async fn a_deleted_tenant_s_payments_are_there_for_those_above_it() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "INV-000001").await;
    let own = admin_of(&world, &world.reseller).await;
    let new = tenancy::api_key::NewApiKey::full(Role::TenantBilling);
    let (_, secret) = tenancy::api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    let inside = auth.bearer(&secret, world.origin()).await.unwrap();
    assert_eq!(payment::get(&inside, one.id).await.unwrap(), one);
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    assert_eq!(payment::get(&inside, one.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(payment::get(&own, one.id).await.unwrap(), one);
    payment::refund(&own, &nobody(), one.id, None, "it has left".into()).await.unwrap();
    let entered = own.enter_deleted_too(world.tenant.id).await.unwrap();
    assert_eq!(paid(&entered, 2500, "INV-000002").await.amount, euro(2500));
    assert_eq!(
        payment::list(&entered, Default::default(), PageRequest::new(None, None)).await.unwrap().items.len(),
        2
    );
}

#[tokio::test]
async fn a_refund_says_why() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "").await;
    for reason in ["", " \u{a0} ", "two\nlines", "x".repeat(501).as_str()] {
        let refused =
            payment::refund(&world.operator, &nobody(), one.id, None, reason.into()).await.unwrap_err();
        assert_eq!(refused.field_errors()[0].pointer, "/reason", "{reason:?}");
    }
    assert_eq!(payment::get(&world.operator, one.id).await.unwrap(), one);
}

#[tokio::test]
async fn what_was_paid_cannot_be_changed() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "").await;
    payment::refund(&world.operator, &nobody(), one.id, Some(euro(1)), "x".into()).await.unwrap();
    for statement in [
        "update payments set amount_minor = 1",
        "update payments set invoice_id = null",
        "delete from payments",
        "update refunds set amount_minor = 1",
        "delete from refunds",
    ] {
        let refused = sqlx::query(statement).execute(world.ctx.begin().await.unwrap().conn()).await;
        assert!(refused.unwrap_err().to_string().contains("permission denied"), "{statement}");
        let refused = sqlx::query(statement).execute(super::run::behind(&world).await.conn()).await;
        assert!(refused.unwrap_err().to_string().contains("permission denied"), "{statement}");
    }
}

#[tokio::test]
async fn what_has_arrived_is_final() {
    let world = three_invoices().await;
    let one = paid(&world.ctx, 2500, "").await;
    payment::refund(&world.operator, &nobody(), one.id, Some(euro(1)), "x".into()).await.unwrap();
    for statement in ["update payments set received_minor = 1", "update refunds set status = 'failed'"] {
        let refused = sqlx::query(statement).execute(world.ctx.begin().await.unwrap().conn()).await;
        assert!(refused.unwrap_err().to_string().contains("is final"), "{statement}");
    }
}

/// Something that moves money.
#[derive(Debug, Clone)]
enum Step {
    Pay { amount: i64, invoice: Option<usize> },
    Refund { payment: usize, amount: i64 },
    Leave,
    Join,
    NextMonth,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_i64..6_000, prop::option::of(0_usize..6)).prop_map(|(amount, invoice)| Step::Pay { amount, invoice }),
        2 => (0_usize..6, 1_i64..4_000).prop_map(|(payment, amount)| Step::Refund { payment, amount }),
        1 => Just(Step::Leave),
        1 => Just(Step::Join),
        3 => Just(Step::NextMonth),
    ]
}

/// I2: receivable = invoices − credit notes − payments + refunds, and what is due less the credit is just that.
async fn keeps_its_balance(world: World, (code, steps): (&str, Vec<Step>)) {
    let world = in_currency(world, code).await;
    let money = |amount_minor| Money::new(amount_minor, code.parse().unwrap());
    three_invoices_of(&world).await;
    let started = 2;
    let (mut month, mut joined, mut left) = (3, 0, 0);
    let (mut payments, mut received, mut back) = (Vec::new(), 0, 0);
    for step in steps {
        match step {
            Step::Pay { amount, invoice } => {
                let all = invoices(&world.ctx).await;
                let bills: Vec<_> = all.iter().filter(|one| one.total.amount_minor > 0).collect();
                let invoice_id = invoice.and_then(|n| bills.get(n)).map(|one| one.id);
                let amount_of = money(amount);
                let new = NewTransfer { invoice_id, amount: amount_of, ..transfer(1, "", "2026-01-01") };
                payments.push(payment::record(&world.ctx, new).await.unwrap().id);
                received += amount;
            }
            Step::Refund { payment, amount } => {
                let Some(&id) = payments.get(payment) else { continue };
                if payment::refund(&world.operator, &nobody(), id, Some(money(amount)), "x".into())
                    .await
                    .is_ok()
                {
                    back += amount;
                }
            }
            Step::Leave if left < started + joined => {
                left += 1;
                super::verify::remove_first(&world.ctx).await;
            }
            Step::Leave => {}
            Step::Join => {
                joined += 1;
                seat(&world.ctx, &format!("more{joined}")).await;
            }
            Step::NextMonth if month < 12 => {
                month += 1;
                at(&world, &format!("2026-{month:02}-01T12:00"));
                run(&world, &format!("2026-{month:02}-01")).await;
            }
            Step::NextMonth => {}
        }
        let documents = invoices(&world.ctx).await;
        assert!(documents.iter().all(|one| one.currency.code() == code));
        let billed: i64 = documents.iter().map(|one| one.total.amount_minor).sum();
        let due: i64 = documents.iter().map(|one| one.due.amount_minor).sum();
        let receivable = balance(&world, Account::Receivable).await;
        assert_eq!(receivable, billed - received + back);
        assert_eq!(balance(&world, Account::Cash).await, received - back);
        assert_eq!(due, receivable.max(due), "something is due only while nothing is left over");
        assert!(due == 0 || due == receivable, "due {due}, receivable {receivable}");
    }
    super::verify::assert_tenant_clean(&world, world.tenant.id).await;
}

#[test]
fn i2_the_receivable_is_what_was_billed_less_what_was_paid() {
    let stories = (currencies(), prop::collection::vec(step(), 1..14));
    super::ground::check("i2", 6, &stories, keeps_its_balance);
}
