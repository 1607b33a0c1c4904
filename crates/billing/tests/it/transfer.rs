//! A tenant that goes to another reseller: what stays behind, what goes along, and who charges what.

use billing::discount::{self, Discount};
use billing::invoice::{self, Invoice};
use billing::one_off_item;
use billing::payment::{self, Autopaid, autopay};
use billing::payment_method::{self, PutPaymentMethod};
use billing::payment_provider;
use billing::profile::{NewAddress, PutIssuer, put_issuer};
use billing::rating::RemovalPolicy;
use kernel::ErrorKind;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::event::Kind;
use tenancy::reseller::Reseller;
use tenancy::{Action, Ctx, Role, Scope, user};
use testkit::{World, world};

use super::courses::run_and_verify;
use super::discount::{give, percent};
use super::draft::drafting;
use super::items::{GIB, selling, storage, stores};
use super::one_off_item::{add, list};
use super::payment::{assert_clean, nobody, paid, states};
use super::payment_charge::Scene;
use super::payment_provider::settings;
use super::run::{somebody_waits, told_on};
use super::tax::{customer, is, taxing};
use super::{
    admin_of, all_shown, at, book, ctx_of, date, invoices, run, seat, subscribe, with_one_seat, world_on,
};

/// Moves the world's tenant to another reseller, which is made, and enters it there.
async fn moved(world: &World) -> (Reseller, Ctx) {
    let other = world::reseller(&world.operator, "Other").await;
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    (other, ctx_of(world, world.tenant.id).await)
}

async fn discounts(ctx: &Ctx) -> Vec<Discount> {
    discount::list(ctx).await.unwrap().items
}

/// With ada's seat from 1 January on.
async fn subscribed() -> World {
    with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await.0
}

#[tokio::test]
async fn what_the_former_reseller_was_to_charge_and_takes_off_stays_behind() {
    let world = subscribed().await;
    let billed = add(&world.ctx, None).await;
    let open = give(&world.ctx, percent("10", "2026-01-01", None)).await;
    let over = give(&world.ctx, percent("5", "2026-01-01", Some("2026-01-20"))).await;
    let later = give(&world.ctx, percent("20", "2026-06-01", None)).await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    let waits = add(&world.ctx, None).await;
    at(&world, "2026-01-10T12:01");
    let waits_long = add(&world.ctx, Some("2026-05-01")).await;
    at(&world, "2026-01-15T12:00");
    let (other, ctx) = moved(&world).await;

    let kept: Vec<_> = list(&ctx).await.iter().map(|item| item.id).collect();
    assert_eq!(kept, [billed.id]);
    // What was billed in advance stays as it was billed.
    let ends: Vec<_> = discounts(&ctx).await.iter().map(|one| (one.id, one.ends_on)).collect();
    assert_eq!(ends, [(open.id, Some(date("2026-02-01"))), (over.id, over.ends_on)]);
    for trail in [Scope::Reseller(world.reseller.id), Scope::Tenant(world.tenant.id)] {
        let items = told_on(&world, trail, Kind::OneOffItemDeleted).await;
        let subjects: Vec<_> = items.iter().map(|(subject, _)| subject.clone()).collect();
        assert_eq!(subjects, [waits.id.to_string(), waits_long.id.to_string()], "{trail:?}");
        let expected = json!({"description": "Moving mail, an hour", "quantity": 3, "bill_on": "2026-05-01",
            "unit_amount": {"amount_minor": 9050, "currency": "EUR"}, "reason": "transferred"});
        assert_eq!(items[1].1, expected);
        let ended = told_on(&world, trail, Kind::DiscountEnded).await;
        let subjects: Vec<_> = ended.iter().map(|(subject, _)| subject.clone()).collect();
        assert_eq!(subjects, [open.id.to_string(), later.id.to_string()], "{trail:?}");
    }
    assert_eq!(told_on(&world, Scope::Reseller(other.id), Kind::OneOffItemDeleted).await, []);

    run_and_verify(&world, "2026-02-01").await;
    run_and_verify(&world, "2026-05-01").await;
    run_and_verify(&world, "2026-06-01").await;
    let shown = all_shown(&ctx).await;
    assert_eq!(shown.len(), 6);
    assert_eq!(
        shown[1],
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR"
    );
    assert!(shown[1..].iter().all(|one| one.contains(" 12.50 EUR; recurring ")), "{shown:?}");
    // The new one's own go on.
    add(&ctx, None).await;
    run_and_verify(&world, "2026-07-01").await;
    assert!(all_shown(&ctx).await[6].contains("one_off 2026-07-01"));
}

/// What documents name that count as billed no more.
#[tokio::test]
async fn what_was_voided_is_not_charged_by_another() {
    let world = subscribed().await;
    let item = add(&world.ctx, None).await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-15T12:00");
    billing::invoice::void(&world.operator, invoices(&world.ctx).await[0].id, "x").await.unwrap();
    assert_eq!(list(&world.ctx).await, [one_off_item::OneOffItem { invoice_id: None, ..item }]);
    let (_, ctx) = moved(&world).await;
    assert_eq!(list(&ctx).await, []);
    run_and_verify(&world, "2026-01-16").await;
    run_and_verify(&world, "2026-02-01").await;
    let shown = all_shown(&ctx).await;
    assert!(shown.len() == 4 && shown[2..].iter().all(|one| !one.contains("one_off")), "{shown:?}");
}

#[tokio::test]
async fn what_was_promised_for_days_that_nobody_has_billed_is_kept_up_to_the_move() {
    let world = subscribed().await;
    give(&world.ctx, percent("10", "2026-01-01", None)).await;
    at(&world, "2026-01-15T12:00");
    let (_, ctx) = moved(&world).await;
    run_and_verify(&world, "2026-02-01").await;
    let shown = all_shown(&ctx).await;
    // 15 of 31 days at 12.50 are 6.05, and less 10 % 5.44.
    assert!(shown[0].contains("; discount 2026-01-01..2026-01-16 x0 = 0 seat-days, -0.61 EUR"), "{shown:?}");
    assert!(!shown[1].contains("discount"), "{shown:?}");
}

#[tokio::test]
async fn a_move_that_fails_leaves_everything_where_it_was() {
    let world = subscribed().await;
    let item = add(&world.ctx, None).await;
    let open = give(&world.ctx, percent("10", "2026-01-01", None)).await;
    let refused = billing::transfer::transfer(&world.ctx, None, world.reseller.id).await.unwrap_err();
    assert_eq!(refused.code(), "same_reseller");
    let other = world::reseller(&world.operator, "Other").await;
    let refused = billing::transfer::transfer(&world.ctx, Some(99), other.id).await.unwrap_err();
    assert_eq!(refused.code(), "version_mismatch");
    assert_eq!((list(&world.ctx).await, discounts(&world.ctx).await), (vec![item], vec![open]));
    assert_eq!(told_on(&world, Scope::Tenant(world.tenant.id), Kind::OneOffItemDeleted).await, []);
}

/// An issuer that charges no tax.
fn untaxed() -> PutIssuer {
    let address = NewAddress {
        street: "Kai 9".into(),
        city: "Hamburg".into(),
        country: "DE".into(),
        ..NewAddress::default()
    };
    PutIssuer { legal_name: "South".into(), address, ..PutIssuer::default() }
}

/// Who issued each document, its number, what it comes to and what it corrects.
async fn issued(ctx: &Ctx) -> Vec<(String, String, i64, Vec<String>)> {
    let all = invoices(ctx).await;
    let number = |id| all.iter().find(|one| one.id == id).and_then(|one| one.number.clone()).unwrap();
    let of = |one: &Invoice| {
        let corrects = one.corrects.iter().map(|id| number(*id)).collect();
        (one.issuer.name.clone(), one.number.clone().unwrap(), one.total.amount_minor, corrects)
    };
    all.iter().map(of).collect()
}

#[tokio::test]
async fn what_the_former_reseller_charged_it_takes_back_itself() {
    let world = subscribed().await;
    let ben = seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-11T12:00");
    let (other, ctx) = moved(&world).await;
    user::delete(&ctx, ben.id, None).await.unwrap();
    run_and_verify(&world, "2026-02-01").await;
    let (mine, its) = (world.reseller.name.clone(), other.name.clone());
    let none = Vec::new;
    // 20 of 31 days at 12.50.
    let expected = [
        (mine.clone(), "INV-000001".to_owned(), 2500, none()),
        (mine.clone(), "CRN-000001".to_owned(), -806, vec!["INV-000001".to_owned()]),
        (its.clone(), "INV-000001".to_owned(), 1250, none()),
    ];
    let mut documents = issued(&ctx).await;
    documents[1..].sort_by_key(|one| one.2);
    assert_eq!(documents, expected);
    // It is what the tenant owes each that changes.
    let due: Vec<_> = invoices(&ctx).await.iter().map(|one| (one.issuer.id, one.due.amount_minor)).collect();
    assert!(due.contains(&(world.reseller.id, 1694)) && due.contains(&(other.id, 1250)), "{due:?}");
}

/// By units, where both have charged some of the same days, and with what was off them.
#[tokio::test]
async fn what_both_have_charged_each_takes_back_in_its_part() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "year").await;
    seat(&world.ctx, "ada").await;
    give(&world.ctx, percent("10", "2026-01-01", None)).await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-15T12:00");
    let (other, ctx) = moved(&world).await;
    at(&world, "2026-02-10T12:00");
    seat(&ctx, "ben").await;
    seat(&ctx, "cyd").await;
    run_and_verify(&world, "2026-03-01").await;
    at(&world, "2026-06-14T12:00");
    tenancy::tenant::delete(&ctx, None).await.unwrap();
    run_and_verify(&world, "2026-07-01").await;
    // 108.00, and twice 325 of 365 days of it; three times 200 of 365 days are 177.53, and a cent of rounding.
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let mut documents: Vec<_> =
        issued(&ctx).await.into_iter().map(|(issuer, _, total, _)| (issuer, total)).collect();
    documents.sort_by_key(|(_, total)| *total);
    let (mine, its) = (world.reseller.name.clone(), other.name.clone());
    let expected = [(its.clone(), -11_836), (mine.clone(), -5_918), (mine, 10_800), (its, 19_233)];
    assert_eq!(documents, expected);
    let shown = all_shown(&ctx).await;
    let of_both =
        ["x-2 = -400 seat-days, -131.51 EUR; discount", "x-1 = -200 seat-days, -65.75 EUR; discount"];
    assert!(of_both.iter().all(|part| shown.iter().any(|one| one.contains(part))), "{shown:#?}");
}

/// No run had opened the cycle: what was used of it is billed once, and by the new one, of the former one's days too.
#[tokio::test]
async fn what_nobody_had_billed_yet_the_new_reseller_bills_once() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(0)]).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    at(&world, "2026-01-20T12:00");
    let (other, ctx) = moved(&world).await;
    run_and_verify(&world, "2026-02-01").await;
    run_and_verify(&world, "2026-03-01").await;
    let expected = [
        "invoice 2026-01-01 10.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 10.00 EUR",
        // 31 GiB for 21 of 31 days.
        "invoice 2026-02-01 12.10 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 10.00 EUR; \
         usage 2026-01-01..2026-02-01 x21 = 0 seat-days, 2.10 EUR",
        "invoice 2026-03-01 13.10 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 10.00 EUR; \
         usage 2026-02-01..2026-03-01 x31 = 0 seat-days, 3.10 EUR",
    ];
    assert_eq!(all_shown(&ctx).await, expected);
    assert!(invoices(&ctx).await.iter().all(|one| one.issuer.id == other.id));
}

/// The new one's part lies in a draft, which is discarded and made anew; the former one's is final all the while.
#[tokio::test]
async fn a_part_of_a_credit_can_be_a_draft_and_is_made_anew() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "year").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-15T12:00");
    let (other, ctx) = moved(&world).await;
    seat(&ctx, "ben").await;
    run_and_verify(&world, "2026-02-01").await;
    let profile = PutIssuer { draft_days: 5, days_to_pay: Some(14), ..untaxed() };
    put_issuer(&world.operator, other.id, profile, Some(0)).await.unwrap();
    at(&world, "2026-06-14T12:00");
    tenancy::tenant::delete(&ctx, None).await.unwrap();
    run_and_verify(&world, "2026-07-01").await;
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let states = async || {
        let all = invoices(&ctx).await;
        let state = |one: &Invoice| (one.issuer.id, one.status.clone(), one.total.amount_minor);
        let mut states: Vec<_> = all.iter().map(state).filter(|(.., total)| *total < 0).collect();
        states.sort_unstable();
        states
    };
    // 200 of 365 days of 120.00 each: 131.51 together, of which the new one's is rounded first.
    let mut both = [(world.reseller.id, "final".to_owned(), -6575), (other.id, "draft".to_owned(), -6576)];
    both.sort_unstable();
    assert_eq!(states().await, both);
    let draft = invoices(&ctx).await.into_iter().find(|one| one.status == "draft").unwrap();
    billing::invoice::discard(&world.operator, draft.id).await.unwrap();
    assert_eq!(states().await.len(), 1);
    run(&world, "2026-07-02").await;
    assert_eq!(states().await, both);
    super::verify::assert_clean(&world, 5).await;
}

/// The former one's rates and profile, as they were on its documents: it need not be able to tax a charge today.
#[tokio::test]
async fn what_the_former_reseller_takes_back_is_taxed_as_it_charged() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    taxing(&world).await;
    is(&world.ctx, customer("FR", Some("FR40303265045"))).await;
    subscribe(&world.ctx, &book, "month").await;
    let ada = seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    is(&world.ctx, customer("DE", None)).await;
    seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    let (_, ctx) = moved(&world).await;
    // A charge of the former one's to Italy could not be taxed.
    is(&ctx, customer("IT", None)).await;
    user::delete(&ctx, ada.id, None).await.unwrap();
    run_and_verify(&world, "2026-03-01").await;
    let notes: Vec<_> = invoices(&ctx).await.into_iter().filter(|one| one.total.amount_minor < 0).collect();
    let [note] = &notes[..] else { panic!("{:#?}", all_shown(&ctx).await) };
    assert_eq!(note.issuer.id, world.reseller.id);
    // 18 of 28 days of 12.50, at 19 %.
    assert_eq!((note.net.amount_minor, note.tax.amount_minor), (-804, -153));
    let tax = &note.taxes[0];
    assert_eq!((tax.group.category().code(), tax.reason.as_deref()), ("S", None));
}

/// An issuer keeps what it issued, and is shown nothing else of the tenant.
#[tokio::test]
async fn what_the_former_reseller_issued_it_reads_still() {
    let world = subscribed().await;
    run_and_verify(&world, "2026-01-01").await;
    let money = paid(&world.ctx, 500, "INV-000001").await;
    at(&world, "2026-01-15T12:00");
    let (other, ctx) = moved(&world).await;
    run_and_verify(&world, "2026-02-01").await;
    let theirs = paid(&ctx, 100, "").await;
    let [of_former, of_present] = &invoices(&ctx).await[..] else { panic!("two documents") };
    assert_eq!((of_former.issuer.id, of_present.issuer.id), (world.reseller.id, other.id));
    let (former, present) = (admin_of(&world, &world.reseller).await, admin_of(&world, &other).await);
    let read = invoice::get(&former, of_former.id).await.unwrap();
    assert_eq!((read.number.as_deref(), read.due.amount_minor), (Some("INV-000001"), 750));
    assert_eq!(payment::get(&former, money.id).await.unwrap(), money);
    // Nothing of the other's, nor the tenant.
    for refused in [
        invoice::get(&former, of_present.id).await.unwrap_err(),
        payment::get(&former, theirs.id).await.unwrap_err(),
        invoice::void(&former, of_present.id, "x").await.unwrap_err(),
        payment::refund(&former, &nobody(), theirs.id, None, "x".into()).await.unwrap_err(),
        payment::pay(&former, &nobody(), of_present.id).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
    assert!(former.enter_deleted_too(world.tenant.id).await.is_err());
    // Of its own nothing is done by it alone, and by the present reseller alone as little.
    for refused in [
        invoice::void(&former, of_former.id, "x").await.unwrap_err(),
        invoice::discard(&former, of_former.id).await.unwrap_err(),
        payment::refund(&former, &nobody(), money.id, None, "x".into()).await.unwrap_err(),
        payment::pay(&former, &nobody(), of_former.id).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), "tenant_transferred");
    }
    let refused = payment::refund(&present, &nobody(), money.id, None, "x".into()).await.unwrap_err();
    assert_eq!(refused.code(), "issued_by_another");
    // Whoever sees neither learns nothing, and a key that may not read documents is refused.
    let stranger = admin_of(&world, &world::reseller(&world.operator, "Third").await).await;
    assert_eq!(invoice::get(&stranger, of_former.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(payment::get(&stranger, money.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    let narrow = NewApiKey { actions: [Action::PaymentRead].into(), ..NewApiKey::full(Role::ResellerAdmin) };
    let entered = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let (_, secret) = api_key::create_for_reseller(&entered, narrow).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let narrow = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    assert_eq!(invoice::get(&narrow, of_former.id).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(payment::get(&narrow, money.id).await.unwrap(), money);
    // The tenant keeps seeing all of its own.
    let own = NewApiKey::full(Role::TenantBilling);
    let (_, secret) = api_key::create_for_tenant(&ctx, own).await.unwrap();
    let own = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    for document in [of_former, of_present] {
        assert_eq!(invoice::get(&own, document.id).await.unwrap().number, document.number);
    }
    assert_eq!(payment::get(&own, money.id).await.unwrap(), money);
}

#[tokio::test]
async fn each_issuer_s_invoices_are_charged_by_what_it_was_told_alone() {
    let scene = Scene::new().await;
    let method = |customer: &str| PutPaymentMethod {
        customer: customer.into(),
        method: "pm_1".into(),
        is_autopay: true,
    };
    payment_method::put(&scene.world.ctx, method("cus_1"), None).await.unwrap();
    let (other, ctx) = moved(&scene.world).await;
    let reseller = scene.world.operator.enter_reseller(other.id).await.unwrap();
    payment_provider::put(&reseller, &settings(), None).await.unwrap();
    let charge_on = async |day: &str| {
        at(&scene.world, &format!("{day}T12:00"));
        autopay(&scene.world.test_db.db(), &scene.client).await.unwrap()
    };
    // What is owed to the former one is owed, and charged by what that was told.
    assert_eq!(charge_on("2026-03-02").await, Autopaid { charged: 2, failed: 0 });
    assert_eq!(charge_on("2026-03-15").await, Autopaid { charged: 1, failed: 0 });
    at(&scene.world, "2026-04-01T09:00");
    run(&scene.world, "2026-04-01").await;
    assert_eq!(invoices(&ctx).await[3].issuer.id, other.id);
    // Nobody has told the new one by what it is paid.
    assert_eq!(charge_on("2026-04-15").await, Autopaid::default());
    assert_eq!(states(&ctx).await[3], "final 0/2500");
    payment_method::put(&ctx, method("cus_2"), None).await.unwrap();
    assert_eq!(charge_on("2026-04-16").await, Autopaid { charged: 1, failed: 0 });
    let customers: Vec<_> = scene.fake.intents().iter().map(|one| one["customer"].clone()).collect();
    assert_eq!(customers, ["cus_1", "cus_1", "cus_1", "cus_2"]);
    assert_eq!(states(&ctx).await, ["paid 2500/0"; 4]);
    assert_clean(&scene.world).await;
}

/// The result of what somebody does who has to wait for the tenant's row, which a move holds, and must hold nothing that the move locks next.
async fn beside_a_move<T: Send + 'static>(
    world: &World,
    owner: &mut PgConnection,
    waiting: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut moving = world.ctx.begin().await.unwrap();
    sqlx::query("select id from tenants for update").execute(moving.conn()).await.unwrap();
    let waiting = tokio::spawn(waiting);
    somebody_waits(owner).await;
    let next = "select id from subscriptions for update nowait";
    sqlx::query(next).execute(moving.conn()).await.expect("the move would wait for who waits for it");
    moving.commit().await.unwrap();
    waiting.await.unwrap()
}

#[tokio::test]
async fn a_run_and_a_move_never_wait_for_each_other_crosswise() {
    let world = subscribed().await;
    let mut owner = PgConnection::connect(&world.test_db.url()).await.unwrap();
    let run_on = |day: &str| {
        at(&world, &format!("{day}T10:00"));
        let (db, day) = (world.test_db.db(), date(day));
        async move { billing::run::run(&db, day, None).await.unwrap() }
    };
    // An account,
    let summary = beside_a_move(&world, &mut owner, run_on("2026-01-01")).await;
    assert_eq!((summary.accounts_billed, summary.invoices), (1, 1));
    // a draft whose day has come,
    drafting(&world, 20, 0).await;
    at(&world, "2026-02-01T10:00");
    assert_eq!(run(&world, "2026-02-01").await.drafts, 1);
    let summary = beside_a_move(&world, &mut owner, run_on("2026-02-25")).await;
    assert_eq!((summary.accounts_billed, summary.invoices), (0, 1));
    // and what has become of the tenant.
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    let summary = beside_a_move(&world, &mut owner, run_on("2026-02-26")).await;
    assert_eq!((summary.accounts_billed, summary.drafts), (1, 1));
}
