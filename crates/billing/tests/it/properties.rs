//! Invariants of what is stored, over random stories: I16 and I19 here, I17 in [`foreseen`], I7 in [`moved`], I3 and I15 in [`rough`] and, of what
//! the operator bills, in [`resellers`]; I2 is beside the payments. A failing case prints its seed.

mod foreseen;
mod moved;
mod player;
mod resellers;
pub(crate) mod rough;

use std::collections::BTreeMap;

use billing::payment::{self, NewTransfer, Payment, PaymentStatus};
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, cancel, put};
use chrono::TimeDelta;
use kernel::{InvoiceId, Money};
use proptest::prelude::*;
use tenancy::Ctx;
use testkit::World;
use testkit::stripe::Fault;

use super::ground::{check, check_shared_by};
use super::payment::{balance, currencies, euro, in_currency, nobody};
use super::payment_charge::Scene;
use super::verify::assert_tenant_clean;
use super::{at, book, invoices, run, seat, terms};

/// The tenant's final documents, each with all that belongs to it, as the database has it, hashed.
async fn hashes(ctx: &Ctx) -> BTreeMap<uuid::Uuid, String> {
    let mut tx = ctx.begin().await.unwrap();
    let all = "select i.id, md5(concat_ws('|', to_jsonb(i),
          (select jsonb_agg(to_jsonb(l) order by l.position) from invoice_lines l where l.invoice_id = i.id),
          (select jsonb_agg(to_jsonb(t) order by t.category, t.rate) from invoice_taxes t where t.invoice_id = i.id),
          (select jsonb_agg(to_jsonb(r) order by r.invoice_id) from credit_note_references r where r.credit_note_id = i.id),
          (select jsonb_agg(to_jsonb(p) order by p.code) from transfers p where p.reference = i.id)))
        from invoices i where i.status = 'final'";
    let rows: Vec<(uuid::Uuid, String)> = sqlx::query_as(all).fetch_all(tx.conn()).await.unwrap();
    rows.into_iter().collect()
}

/// What may happen to an account that has documents.
#[derive(Debug, Clone)]
enum Event {
    Join,
    Leave,
    Commit { seats: i64 },
    Change { yearly: bool },
    Cancel,
    Void { invoice: usize },
    Pay { amount: i64, invoice: Option<usize> },
    Refund { payment: usize, amount: i64 },
    Rename { name: String },
    Pass { days: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Join),
        2 => Just(Event::Leave),
        1 => (0_i64..6).prop_map(|seats| Event::Commit { seats }),
        1 => any::<bool>().prop_map(|yearly| Event::Change { yearly }),
        1 => Just(Event::Cancel),
        1 => (0_usize..4).prop_map(|invoice| Event::Void { invoice }),
        2 => (1_i64..9_000, prop::option::of(0_usize..4)).prop_map(|(amount, invoice)| Event::Pay { amount, invoice }),
        1 => (0_usize..4, 1_i64..4_000).prop_map(|(payment, amount)| Event::Refund { payment, amount }),
        1 => "[A-Z][a-z]{2,8}".prop_map(|name| Event::Rename { name }),
        4 => (1_u32..40).prop_map(|days| Event::Pass { days }),
    ]
}

/// I16: whatever happens afterwards, a document stays as it was made, and is still what its account was owed.
async fn stays_as_it_was(world: World, events: Vec<Event>) {
    at(&world, "2026-01-15T09:00");
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    put(&world.ctx, terms(&book, "month"), None).await.unwrap();
    seat(&world.ctx, "first").await;
    run(&world, "2026-01-15").await;
    let mut first = hashes(&world.ctx).await;
    assert_eq!(first.len(), 1);
    let (mut day, mut joined, mut left, mut payments) = (super::date("2026-01-15"), 1, 0, Vec::new());
    for event in events {
        match event {
            Event::Join => {
                joined += 1;
                seat(&world.ctx, &format!("user{joined}")).await;
            }
            Event::Leave if left < joined => {
                left += 1;
                super::verify::remove_first(&world.ctx).await;
            }
            Event::Leave => {}
            // What the present state refuses changes nothing, and so no document either.
            Event::Commit { seats } => {
                let new = PutSubscription { seats_committed: Some(seats), ..terms(&book, "month") };
                let _ = put(&world.ctx, new, None).await;
            }
            Event::Change { yearly } => {
                let _ = put(&world.ctx, terms(&book, if yearly { "year" } else { "month" }), None).await;
            }
            Event::Cancel => drop(cancel(&world.ctx, None, None).await),
            // Its row says what it said: that it counts as billed no more is written beside it.
            Event::Void { invoice } => {
                let bills = invoices(&world.ctx).await;
                let Some(one) = bills.get(invoice) else { continue };
                let _ = billing::invoice::void(&world.operator, one.id, "x").await;
            }
            Event::Pay { amount, invoice } => {
                let bills = invoices(&world.ctx).await;
                let bills: Vec<_> = bills.iter().filter(|one| one.total.amount_minor > 0).collect();
                let new = NewTransfer {
                    amount: euro(amount),
                    reference: String::new(),
                    received_on: "2026-01-15".into(),
                    invoice_id: invoice.and_then(|n| bills.get(n)).map(|one| one.id),
                };
                payments.push(payment::record(&world.ctx, new).await.unwrap().id);
            }
            Event::Refund { payment, amount } => {
                let Some(&id) = payments.get(payment) else { continue };
                let amount = Some(euro(amount));
                let _ = payment::refund(&world.operator, &nobody(), id, amount, "x".into()).await;
            }
            Event::Rename { name } => {
                let change = tenancy::tenant::TenantChange { name: Some(name), ..Default::default() };
                tenancy::tenant::update(&world.ctx, None, change).await.unwrap();
            }
            Event::Pass { days } => {
                day = day + chrono::Days::new(days.into());
                at(&world, &format!("{day}T12:00"));
                run(&world, &day.to_string()).await;
            }
        }
        let now = hashes(&world.ctx).await;
        for (id, hash) in &first {
            assert_eq!(now.get(id), Some(hash), "{} is another", InvoiceId::from_uuid(*id));
        }
        first = now;
    }
    assert_tenant_clean(&world, world.tenant.id).await;
    super::statement::assert_agrees(&world, super::date("2026-01-15"), day).await;
    assert_eq!(hashes(&world.ctx).await, first, "verifying changes nothing");
}

/// What may happen to a payment.
#[derive(Debug, Clone)]
enum Move {
    Pay { faults: Vec<Fault> },
    Transfer { amount: i64 },
    Wait { minutes: i64 },
    Settle { intent: usize, succeeds: bool },
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    use Fault::{
        ArrivesFirst, AuthenticationRequired, Broken, BrokenAfter, Cut, CutAfter, Declined, GarbledAfter,
        Half, Processing, RateLimited, RequiresAction,
    };
    let all = [
        ArrivesFirst,
        AuthenticationRequired,
        Broken,
        BrokenAfter,
        Cut,
        CutAfter,
        Declined,
        GarbledAfter,
        Half,
        Processing,
        RateLimited,
        RequiresAction,
    ];
    prop::collection::vec(prop::sample::select(all.to_vec()), 0..3)
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => faults().prop_map(|faults| Move::Pay { faults }),
        1 => (1_i64..1_000).prop_map(|amount| Move::Transfer { amount }),
        4 => (1_i64..3_000).prop_map(|minutes| Move::Wait { minutes }),
        2 => (1_usize..5, any::<bool>()).prop_map(|(intent, succeeds)| Move::Settle { intent, succeeds }),
    ]
}

/// I19: however often somebody pays, and whatever goes wrong, an amount that is due is charged once: all charges of an invoice
/// together never come to more than was due of it when they were made, and the provider has what the ledger has.
async fn is_charged_once(world: World, (code, moves): (&str, Vec<Move>)) {
    let scene = Scene::within(in_currency(world, code).await).await;
    let (mut transferred, mut patience) = (0, 0);
    let charges = async || {
        let payments = scene.payments().await;
        payments.into_iter().filter(|one| one.provider.as_str() == "stripe").collect::<Vec<_>>()
    };
    let charged = async || {
        let charges = charges().await;
        let succeeded = charges.iter().filter(|one| one.status == PaymentStatus::Succeeded);
        let is_open =
            |one: &&Payment| !matches!(one.status, PaymentStatus::Succeeded | PaymentStatus::Failed);
        let open = charges.iter().filter(is_open).count();
        (succeeded.map(|one| one.amount.amount_minor).sum::<i64>(), open)
    };
    for step in moves {
        match step {
            Move::Pay { faults } => {
                let (before, (succeeded, _)) = (charges().await, charged().await);
                scene.fake.fail(&faults);
                let _ = scene.pay().await;
                let is_new = |one: &&Payment| before.iter().all(|other| other.id != one.id);
                for new in charges().await.iter().filter(is_new) {
                    let due = (2500 - succeeded - transferred).max(0);
                    assert!(new.amount.amount_minor <= due, "{} of {due} is charged", new.amount);
                }
            }
            Move::Transfer { amount } => {
                let new = NewTransfer {
                    amount: Money::new(amount, code.parse().unwrap()),
                    reference: "INV-000001".into(),
                    received_on: scene.world.ctx.now().date_naive().to_string(),
                    invoice_id: None,
                };
                payment::record(&scene.world.ctx, new).await.unwrap();
                transferred += amount;
            }
            Move::Wait { minutes } => drop(scene.asked(TimeDelta::minutes(minutes)).await),
            Move::Settle { intent, succeeds } => {
                let id = format!("pi_{intent}");
                let is_open = |one: &serde_json::Value| one["id"] == id && one["status"] == "processing";
                if scene.fake.intents().iter().any(is_open) {
                    scene.fake.settle(&id, if succeeds { "succeeded" } else { "requires_payment_method" });
                }
            }
        }
        let (succeeded, open) = charged().await;
        assert!(succeeded <= 2500 && scene.fake.balance() <= 2500, "{succeeded}, {}", scene.fake.balance());
        assert!(open <= 1, "one charge of an invoice at a time");
    }
    // In the end all is found out.
    while charged().await.1 > 0 && patience < 40 {
        for intent in scene.fake.intents().iter().filter(|one| one["status"] == "processing") {
            scene.fake.settle(intent["id"].as_str().unwrap(), "succeeded");
        }
        // The provider keeps what it answered under a key, an error of its own too, for a day.
        scene.fake.forget_keys();
        scene.asked(TimeDelta::hours(25)).await;
        patience += 1;
    }
    let (succeeded, open) = charged().await;
    assert_eq!((open, succeeded), (0, scene.fake.balance()));
    assert!(succeeded <= 2500, "{succeeded}");
    assert_eq!(balance(&scene.world, billing::ledger::Account::Cash).await, succeeded + transferred);
    assert_tenant_clean(&scene.world, scene.world.tenant.id).await;
}

#[test]
fn i3_i15_however_accounts_are_billed_the_documents_are_those_of_clean_runs() {
    check("i3_i15", 4, &rough::stories(), async |world, story| {
        rough::is_that_of_clean_runs(world, story).await;
    });
}

#[test]
fn i3_i15_however_resellers_are_billed_the_documents_are_those_of_clean_runs() {
    check_shared_by(20, ("i3_i15_wholesale", 4), &resellers::stories(), async |world, story| {
        resellers::is_that_of_clean_runs(world, story).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_all_sorts_is_billed_as_one_by_one() {
    let told = rough::is_that_of_clean_runs(World::new().await, rough::of_all_sorts()).await;
    let all = format!("{told:#?}");
    for sort in ["credit_note", " draft ", " final ", "JPY", "KWD", "EUR", "S 19.0000 %"] {
        assert!(all.contains(sort), "{sort} is missing: {all}");
    }
    let parked = told.iter().filter(|account| account.last().unwrap().contains("Some(\""));
    assert_eq!(parked.count(), 1, "{all}");
}

#[test]
fn i7_however_a_tenant_moves_it_makes_no_difference_when_runs_happen() {
    check("i7_moved", 12, &moved::stories(), moved::makes_no_difference);
}

#[test]
fn i16_the_hash_of_a_final_document_never_changes() {
    check("i16", 6, &prop::collection::vec(event(), 1..14), stays_as_it_was);
}

#[test]
fn i17_a_preview_is_what_a_run_makes() {
    check("i17", 12, &foreseen::stories(), foreseen::comes_true);
}

#[test]
fn i19_an_amount_due_is_charged_at_most_once() {
    check("i19", 6, &(currencies(), prop::collection::vec(moves(), 1..12)), is_charged_once);
}
