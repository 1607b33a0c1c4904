//! Charging by itself: on the due day, again after a refusal, and never twice, however many are at it.

use std::time::Duration;

use billing::payment::{self, Autopaid, NewTransfer, PaymentStatus, autopay};
use billing::payment_method::{self, PutPaymentMethod};
use billing::payment_provider;
use chrono::TimeDelta;
use kernel::Money;
use serde_json::json;
use tenancy::event::Kind;
use testkit::World;
use testkit::stripe::Fault;

use super::draft::drafting;
use super::payment::{assert_clean, in_currency, paid, states};
use super::payment_charge::{Scene, told};
use super::payment_provider::settings;
use super::{at, invoices, run};

/// Three invoices of 25.00, due on the 15th of January, February and March, on 1 March, to be charged by themselves.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    put(&scene, true).await;
    scene
}

async fn put(scene: &Scene, is_autopay: bool) {
    let method = PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay };
    payment_method::put(&scene.world.ctx, method, None).await.unwrap();
}

async fn charge(scene: &Scene) -> Autopaid {
    autopay(&scene.world.test_db.db(), &scene.client).await.unwrap()
}

/// How many were charged on a day.
async fn charge_on(scene: &Scene, day: &str) -> u64 {
    at(&scene.world, &format!("{day}T12:00"));
    let done = charge(scene).await;
    assert_eq!(done.failed, 0);
    done.charged
}

#[tokio::test]
async fn each_invoice_is_charged_on_its_due_day() {
    let scene = scene().await;
    assert_eq!(charge_on(&scene, "2026-03-02").await, 2);
    assert_eq!(charge_on(&scene, "2026-03-14").await, 0);
    assert_eq!(states(&scene.world.ctx).await, ["paid 2500/0", "paid 2500/0", "final 0/2500"]);
    assert_eq!(charge_on(&scene, "2026-03-15").await, 1);
    assert_eq!(charge_on(&scene, "2026-03-16").await, 0);
    assert_eq!(scene.fake.balance(), 7500);
    assert_eq!(states(&scene.world.ctx).await, ["paid 2500/0"; 3]);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn what_is_declined_is_tried_again_after_three_five_and_seven_days_and_then_left() {
    let scene = scene().await;
    paid(&scene.world.ctx, 2500, "INV-000001").await;
    scene.fake.fail(&[Fault::Declined; 8]);
    let mut tried = Vec::new();
    for day in 2..30 {
        if day < 15 {
            assert_eq!(scene.payments().await.len(), 1 + tried.len());
        }
        let charged = charge_on(&scene, &format!("2026-03-{day:02}")).await;
        // The invoice of February; that of March has its own days from the 15th on.
        tried.extend((0..charged).map(|_| day));
    }
    assert_eq!(tried, [2, 5, 10, 15, 17, 18, 23]);
    let mut charges = scene.payments().await;
    charges.retain(|one| one.provider == "stripe");
    assert!(charges.iter().all(|one| one.status == PaymentStatus::Failed));
    // March's fourth and last.
    assert_eq!(charge_on(&scene, "2026-03-30").await, 1);
    assert_eq!(charge_on(&scene, "2026-06-30").await, 0);
    assert_eq!(scene.fake.intents().len(), 8);
    assert_eq!(states(&scene.world.ctx).await[1..], ["final 0/2500"; 2]);
}

#[tokio::test]
async fn a_second_attempt_that_succeeds_is_the_last() {
    let scene = scene().await;
    paid(&scene.world.ctx, 2500, "INV-000001").await;
    scene.fake.fail(&[Fault::Declined]);
    assert_eq!(charge_on(&scene, "2026-03-02").await, 1);
    assert_eq!(charge_on(&scene, "2026-03-05").await, 1);
    assert_eq!(charge_on(&scene, "2026-03-10").await, 0);
    assert_eq!(states(&scene.world.ctx).await[1], "paid 2500/0");
    assert_eq!(scene.fake.balance(), 2500);
    assert_clean(&scene.world).await;
}

/// In a currency of three decimals, of which the provider takes the last as 0 only; 0.001 of the first invoice is paid.
async fn in_dinars() -> Scene {
    let scene = Scene::within(in_currency(World::new().await, "KWD").await).await;
    put(&scene, true).await;
    pays(&scene, 1).await;
    scene
}

/// Pays so many thousandths of the first invoice.
async fn pays(scene: &Scene, amount_minor: i64) {
    let transfer = NewTransfer {
        amount: Money::new(amount_minor, "KWD".parse().unwrap()),
        reference: String::new(),
        received_on: "2026-03-01".into(),
        invoice_id: Some(scene.documents[0]),
    };
    payment::record(&scene.world.ctx, transfer).await.unwrap();
}

#[tokio::test]
async fn what_the_provider_never_takes_is_tried_once_and_costs_no_attempt() {
    let scene = in_dinars().await;
    assert_eq!(charge_on(&scene, "2026-03-02").await, 2);
    let not_chargeable = async || {
        let failures: Vec<_> = scene.payments().await.into_iter().filter_map(|one| one.failure).collect();
        failures.iter().filter(|(code, _)| code == "amount_not_chargeable").count()
    };
    assert_eq!(not_chargeable().await, 1);
    assert_eq!(states(&scene.world.ctx).await, ["final 1/2499", "paid 2500/0", "final 0/2500"]);
    // What is due is another amount each day, and is tried on it.
    for day in 3..8 {
        assert_eq!(charge_on(&scene, &format!("2026-03-{day:02}")).await, 0);
        pays(&scene, 1).await;
        assert_eq!(charge(&scene).await, Autopaid { charged: 1, failed: 0 });
    }
    assert_eq!(not_chargeable().await, 6);
    pays(&scene, 4).await;
    scene.fake.fail(&[Fault::Declined]);
    assert_eq!(charge(&scene).await, Autopaid { charged: 1, failed: 0 });
    // That was the first of its attempts.
    assert_eq!(charge_on(&scene, "2026-03-09").await, 0);
    assert_eq!(charge_on(&scene, "2026-03-10").await, 1);
    assert_eq!(states(&scene.world.ctx).await, ["paid 2500/0", "paid 2500/0", "final 0/2500"]);
    assert_clean(&scene.world).await;
}

/// The provider is not asked.
#[tokio::test]
async fn what_the_provider_never_takes_says_nothing_of_the_key() {
    let scene = in_dinars().await;
    scene.fake.revoke();
    for day in ["2026-03-02", "2026-03-03"] {
        assert_eq!(charge_on(&scene, day).await, 2);
        pays(&scene, 1).await;
    }
    let told = told(&scene.world, Kind::PaymentProviderRefused).await;
    assert_eq!(told, [json!({"failure_code": "invalid_api_key"})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_and_people_at_once_charge_each_amount_once() {
    let scene = scene().await;
    // Whoever is slower finds one under way, one that has failed, or one that has arrived.
    for (day, faults) in [("2026-03-02", &[][..]), ("2026-03-15", &[Fault::Declined])] {
        scene.fake.fail(faults);
        at(&scene.world, &format!("{day}T12:00"));
        let workers = (0..8).map(|_| {
            let (db, client) = (scene.world.test_db.db(), scene.client.clone());
            tokio::spawn(async move { autopay(&db, &client).await.unwrap() })
        });
        let workers: Vec<_> = workers.collect();
        let people = (0..4).map(|_| {
            let (operator, client, id) =
                (scene.world.operator.clone(), scene.client.clone(), scene.documents[0]);
            tokio::spawn(async move {
                if let Err(error) = payment::pay(&operator, &client, id).await {
                    assert!(["payment_under_way", "nothing_due"].contains(&error.code()), "{error:?}");
                }
            })
        });
        for person in people.collect::<Vec<_>>() {
            person.await.unwrap();
        }
        for worker in workers {
            assert_eq!(worker.await.unwrap().failed, 0);
        }
    }
    // March's first attempt was declined once, by whichever worker it was.
    let expected = ["paid 2500/0", "paid 2500/0", "final 0/2500"];
    assert_eq!(states(&scene.world.ctx).await, expected);
    assert_eq!((scene.fake.intents().len(), scene.fake.balance()), (3, 5000));
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn what_is_not_known_is_found_out_and_not_charged_again() {
    let scene = scene().await;
    paid(&scene.world.ctx, 2500, "INV-000001").await;
    scene.fake.fail(&[Fault::SilentAfter]);
    assert_eq!(charge_on(&scene, "2026-03-02").await, 1);
    // It is not known that it failed: nobody tries again, however long it takes.
    assert_eq!(charge_on(&scene, "2026-03-10").await, 0);
    assert_eq!(scene.reconciled(TimeDelta::minutes(5)).await, 1);
    assert_eq!(charge(&scene).await, Autopaid::default());
    assert_eq!(states(&scene.world.ctx).await[1], "paid 2500/0");
    assert_eq!((scene.fake.intents().len(), scene.fake.balance()), (1, 2500));
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn one_who_is_killed_anywhere_charges_each_amount_once() {
    let scene = scene().await;
    at(&scene.world, "2026-03-02T12:00");
    let mut cut_off = 0;
    for micros in (200..60_000).step_by(1_500) {
        cut_off +=
            u32::from(tokio::time::timeout(Duration::from_micros(micros), charge(&scene)).await.is_err());
    }
    assert!(cut_off > 1, "{cut_off} were cut off");
    while scene.reconciled(TimeDelta::minutes(5)).await > 0 {}
    charge(&scene).await;
    assert_eq!(states(&scene.world.ctx).await, ["paid 2500/0", "paid 2500/0", "final 0/2500"]);
    assert_eq!(scene.fake.balance(), 5000);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn nobody_is_charged_who_has_not_said_so_or_has_been_paid_back() {
    let scene = scene().await;
    put(&scene, false).await;
    assert_eq!(charge_on(&scene, "2026-03-02").await, 0);
    let one = scene.pay().await.unwrap();
    at(&scene.world, "2026-03-02T13:00");
    payment::refund(&scene.world.operator, &scene.client, one.id, None, "goodwill".into()).await.unwrap();
    put(&scene, true).await;
    paid(&scene.world.ctx, 2500, "INV-000002").await;
    assert_eq!(states(&scene.world.ctx).await, ["final 0/2500", "paid 2500/0", "final 0/2500"]);
    assert_eq!(charge_on(&scene, "2026-03-14").await, 0);
    assert_eq!(scene.fake.balance(), 0);
    assert_eq!(invoices(&scene.world.ctx).await.len(), 3);
}

#[tokio::test]
async fn an_issuer_without_a_provider_is_passed_over_and_costs_no_attempt() {
    let scene = scene().await;
    super::run::behind_and_commit(&scene.world, "update payment_providers set is_enabled = false").await;
    assert_eq!(charge_on(&scene, "2026-03-02").await, 0);
    super::run::behind_and_commit(&scene.world, "update payment_providers set is_enabled = true").await;
    assert_eq!(charge(&scene).await, Autopaid { charged: 2, failed: 0 });
}

/// The reseller's mistake, and not the customer's.
#[tokio::test]
async fn a_key_that_is_refused_costs_no_attempt_is_told_once_and_is_tried_again() {
    let scene = scene().await;
    paid(&scene.world.ctx, 2500, "INV-000001").await;
    let reseller = scene.world.operator.enter_reseller(scene.world.reseller.id).await.unwrap();
    let refused = async || payment_provider::get(&reseller).await.unwrap().refused_at.is_some();
    scene.fake.revoke();
    // Once a day, with one of what is due.
    for day in 2..9 {
        assert_eq!(charge_on(&scene, &format!("2026-03-{day:02}")).await, 1, "{day}");
        assert_eq!(charge(&scene).await, Autopaid::default());
        assert!(refused().await);
    }
    let tries = scene.payments().await;
    let codes: Vec<_> = tries.iter().filter_map(|one| Some(one.failure.as_ref()?.0.as_str())).collect();
    assert_eq!(codes, ["invalid_api_key"; 7]);
    let told = told(&scene.world, Kind::PaymentProviderRefused).await;
    assert_eq!(told, [json!({"failure_code": "invalid_api_key"})]);
    // Somebody sees to it, by the same key or another: at once, with all its attempts.
    scene.fake.restore();
    at(&scene.world, "2026-03-08T13:00");
    assert_eq!(charge(&scene).await, Autopaid::default());
    payment_provider::put(&reseller, &settings(), None).await.unwrap();
    assert!(!refused().await);
    scene.fake.fail(&[Fault::Declined; 7]);
    let mut tried = Vec::new();
    for day in 9..31 {
        let charged = charge_on(&scene, &format!("2026-03-{day:02}")).await;
        tried.extend((0..charged).map(|_| day));
    }
    // February's four, and March's, whose fourth arrives.
    assert_eq!(tried, [9, 12, 15, 17, 18, 23, 24, 30]);
    assert_eq!(states(&scene.world.ctx).await[1..], ["final 0/2500", "paid 2500/0"]);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn a_key_that_is_taken_again_is_no_longer_noted_as_refused() {
    let scene = scene().await;
    let reseller = scene.world.operator.enter_reseller(scene.world.reseller.id).await.unwrap();
    scene.fake.revoke();
    assert_eq!(charge_on(&scene, "2026-03-02").await, 1);
    scene.fake.restore();
    at(&scene.world, "2026-03-02T13:00");
    // Somebody who asks is not kept from it, and then the rest is charged by itself.
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Succeeded);
    assert_eq!(payment_provider::get(&reseller).await.unwrap().refused_at, None);
    assert_eq!(charge(&scene).await, Autopaid { charged: 1, failed: 0 });
    assert_eq!(scene.fake.balance(), 5000);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn a_draft_is_never_charged() {
    let scene = scene().await;
    assert_eq!(charge_on(&scene, "2026-03-15").await, 3);
    drafting(&scene.world, 20, 0).await;
    at(&scene.world, "2026-04-01T09:00");
    assert_eq!(run(&scene.world, "2026-04-01").await.drafts, 1);
    for day in ["2026-04-01", "2026-04-15", "2026-04-16", "2026-04-20"] {
        assert_eq!(charge_on(&scene, day).await, 0, "{day}");
    }
    let draft = invoices(&scene.world.ctx).await[3].id;
    let refused = payment::pay(&scene.world.operator, &scene.client, draft).await.unwrap_err();
    assert_eq!(refused.code(), "nothing_due");
    assert_eq!(scene.fake.balance(), 7500);
    at(&scene.world, "2026-04-21T09:00");
    assert_eq!(run(&scene.world, "2026-04-21").await.invoices, 1);
    let due_on = invoices(&scene.world.ctx).await[3].due_on;
    assert_eq!(charge_on(&scene, &due_on.pred_opt().unwrap().to_string()).await, 0);
    assert_eq!(charge_on(&scene, &due_on.to_string()).await, 1);
    assert_clean(&scene.world).await;
}

/// What is still to become final may take something back.
#[tokio::test]
async fn a_tenant_that_cannot_be_restored_is_charged_once_it_is_billed_to_the_end() {
    let scene = scene().await;
    paid(&scene.world.ctx, 2500, "INV-000001").await;
    drafting(&scene.world, 28, 0).await;
    at(&scene.world, "2026-03-01T12:00");
    tenancy::tenant::delete(&scene.world.ctx, None).await.unwrap();
    at(&scene.world, "2026-03-02T12:00");
    run(&scene.world, "2026-03-02").await;
    let drafts = invoices(&scene.world.ctx).await.iter().filter(|one| one.status == "draft").count();
    assert_eq!(drafts, 1);
    scene.fake.fail(&[Fault::Declined]);
    // As any, while it can be restored.
    assert_eq!(charge_on(&scene, "2026-03-02").await, 1);
    at(&scene.world, "2026-03-31T12:30");
    assert_eq!(charge(&scene).await, Autopaid::default());
    // Not for ever: before it is destroyed all the same.
    at(&scene.world, "2026-04-08T12:30");
    assert_eq!(charge(&scene).await.charged, 2);
    billing::run::settle(&scene.world.test_db.db()).await.unwrap();
    assert!(invoices(&scene.world.ctx).await.iter().all(|one| one.status != "draft"));
    assert_clean(&scene.world).await;
}

/// It owes what it owed, until it is destroyed and its payment method with it.
#[tokio::test]
async fn a_deleted_tenant_s_invoices_are_charged_as_any() {
    let scene = scene().await;
    tenancy::tenant::delete(&scene.world.ctx, None).await.unwrap();
    // By somebody above it, or by itself.
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Succeeded);
    assert_eq!(charge_on(&scene, "2026-03-02").await, 1);
    assert_eq!(charge_on(&scene, "2026-03-15").await, 1);
    assert_eq!(charge_on(&scene, "2026-03-16").await, 0);
    assert_eq!(scene.fake.balance(), 7500);
    assert_eq!(states(&scene.world.ctx).await, ["paid 2500/0"; 3]);
    assert_clean(&scene.world).await;
}
