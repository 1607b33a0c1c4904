//! Events of a provider's: forged, old, twice, out of order, and of others' payments.

use billing::ledger::Account;
use billing::payment::{self, PaymentStatus, RefundStatus};
use billing::payment_provider;
use chrono::{DateTime, Utc};
use kernel::{ErrorKind, ResellerId};
use secrecy::SecretString;
use serde_json::{Value, json};
use tenancy::event::Kind;
use testkit::stripe::Fault;
use testkit::world;

use super::payment::{balance, euro};
use super::payment_charge::{Scene, told};
use super::payment_provider::{WEBHOOK_SECRET, settings};

pub(super) fn event(id: &str, kind: &str, object: &Value) -> String {
    json!({"id": id, "object": "event", "type": kind, "data": {"object": object}}).to_string()
}

impl Scene {
    fn now(&self) -> DateTime<Utc> {
        self.world.test_db.db().env().now()
    }

    pub(super) async fn tell(&self, body: &str) -> Result<(), billing::Error> {
        let signature = stripe::sign(&SecretString::from(WEBHOOK_SECRET), self.now(), body.as_bytes());
        self.hear(self.world.reseller.id, &signature, body).await
    }

    async fn hear(&self, reseller: ResellerId, signature: &str, body: &str) -> Result<(), billing::Error> {
        payment::receive(&self.world.test_db.db(), reseller, signature, body.as_bytes()).await
    }

    /// The provider's first payment as an event would show it, in a state.
    fn intent(&self, status: &str) -> Value {
        let mut intent = self.fake.intents()[0].clone();
        let received = if status == "succeeded" { intent["amount"].clone() } else { json!(0) };
        (intent["status"], intent["amount_received"]) = (json!(status), received);
        intent
    }

    async fn status(&self) -> PaymentStatus {
        self.payments().await[0].status
    }
}

#[tokio::test]
async fn an_event_settles_once_whatever_the_order_and_however_often() {
    let kinds = [
        ("evt_1", "payment_intent.processing", "processing"),
        ("evt_2", "payment_intent.payment_failed", "requires_payment_method"),
        ("evt_3", "payment_intent.succeeded", "succeeded"),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 2, 0]] {
        let scene = Scene::new().await;
        scene.fake.fail(&[Fault::CutAfter]);
        assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown);
        for at in order {
            let (id, kind, status) = kinds[at];
            for _ in 0..2 {
                scene.tell(&event(id, kind, &scene.intent(status))).await.unwrap();
            }
            // The same news by another event.
            scene.tell(&event(&format!("{id}b"), kind, &scene.intent(status))).await.unwrap();
        }
        assert_eq!(scene.status().await, PaymentStatus::Succeeded, "{order:?}");
        scene.assert_paid_once().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_that_comes_many_times_at_once_and_while_it_is_found_out_settles_once() {
    let scene = std::sync::Arc::new(Scene::new().await);
    scene.fake.fail(&[Fault::CutAfter]);
    scene.pay().await.unwrap();
    let body = event("evt_1", "payment_intent.succeeded", &scene.intent("succeeded"));
    let mut told = Vec::new();
    for n in 0..12 {
        let (scene, body) = (scene.clone(), body.clone());
        told.push(tokio::spawn(async move {
            if n % 4 == 0 {
                scene.reconciled(chrono::TimeDelta::minutes(1)).await;
            } else {
                scene.tell(&body).await.unwrap();
            }
        }));
    }
    for one in told {
        one.await.unwrap();
    }
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn what_is_forged_or_old_is_not_read() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Processing]);
    scene.pay().await.unwrap();
    let body = event("evt_1", "payment_intent.succeeded", &scene.intent("succeeded"));
    let secret = |text: &str| SecretString::from(text);
    let now = scene.now();
    let good = stripe::sign(&secret(WEBHOOK_SECRET), now, body.as_bytes());
    let other = world::reseller(&scene.world.operator, "Other").await;
    let minutes = chrono::TimeDelta::minutes;
    let reseller = scene.world.reseller.id;
    for (whose, signature, told) in [
        (reseller, String::new(), body.clone()),
        (reseller, stripe::sign(&secret("whsec_guessed"), now, body.as_bytes()), body.clone()),
        (reseller, stripe::sign(&secret(WEBHOOK_SECRET), now - minutes(6), body.as_bytes()), body.clone()),
        (reseller, stripe::sign(&secret(WEBHOOK_SECRET), now + minutes(6), body.as_bytes()), body.clone()),
        (reseller, good.clone(), body.replace("2500", "2501")),
        (other.id, good.clone(), body.clone()),
        (other.id, stripe::sign(&secret(""), now, body.as_bytes()), body.clone()),
        (ResellerId::from_uuid(uuid::Uuid::nil()), good.clone(), body.clone()),
    ] {
        let refused = scene.hear(whose, &signature, &told).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(scene.status().await, PaymentStatus::Processing);
    let garbage = scene.tell("{}").await.unwrap_err();
    assert_eq!(garbage.kind(), ErrorKind::Invalid);
    scene.hear(reseller, &good, &body).await.unwrap();
    scene.fake.settle("pi_1", "succeeded");
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn a_reseller_s_provider_says_nothing_of_another_s_payments() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Processing]);
    scene.pay().await.unwrap();
    let other = world::reseller(&scene.world.operator, "Other").await;
    let entered = scene.world.operator.enter_reseller(other.id).await.unwrap();
    payment_provider::put(&entered, &settings(), None).await.unwrap();
    let body = event("evt_1", "payment_intent.succeeded", &scene.intent("succeeded"));
    let signature = stripe::sign(&SecretString::from(WEBHOOK_SECRET), scene.now(), body.as_bytes());
    scene.hear(other.id, &signature, &body).await.unwrap();
    assert_eq!(scene.status().await, PaymentStatus::Processing);
    // What concerns nobody here is taken and passed over.
    scene.tell(&event("evt_2", "customer.created", &json!({}))).await.unwrap();
    let mut strange = scene.intent("succeeded");
    strange["metadata"] = json!({});
    scene.tell(&event("evt_3", "payment_intent.succeeded", &strange)).await.unwrap();
    strange["metadata"] = json!({"payment": "of somebody else's program"});
    scene.tell(&event("evt_4", "payment_intent.succeeded", &strange)).await.unwrap();
    strange["metadata"] = json!({});
    strange["status"] = json!("a_status_that_is_new");
    scene.tell(&event("evt_5", "payment_intent.succeeded", &strange)).await.unwrap();
    assert_eq!(scene.status().await, PaymentStatus::Processing);
}

#[tokio::test]
async fn an_event_pays_back_once() {
    let scene = Scene::new().await;
    let one = scene.pay().await.unwrap();
    scene.fake.fail(&[Fault::Processing]);
    let back = payment::refund(&scene.world.operator, &scene.client, one.id, Some(euro(500)), "x".into());
    assert_eq!(back.await.unwrap().status, RefundStatus::Pending);
    assert_eq!(balance(&scene.world, Account::Cash).await, 2500);
    let mut refund = scene.fake.refunds()[0].clone();
    refund["status"] = json!("succeeded");
    for id in ["evt_1", "evt_1", "evt_2"] {
        scene.tell(&event(id, "refund.updated", &refund)).await.unwrap();
    }
    let charge = json!({"id": "ch_1", "refunds": {"data": [refund]}});
    scene.tell(&event("evt_3", "charge.refunded", &charge)).await.unwrap();
    assert_eq!(balance(&scene.world, Account::Cash).await, 2000);
    super::payment::assert_clean(&scene.world).await;
}

#[tokio::test]
async fn a_refund_that_failed_at_the_provider_stays_so() {
    let scene = Scene::new().await;
    let one = scene.pay().await.unwrap();
    scene.fake.fail(&[Fault::Processing]);
    let back = payment::refund(&scene.world.operator, &scene.client, one.id, Some(euro(500)), "x".into());
    let back = back.await.unwrap();
    let mut refund = scene.fake.refunds()[0].clone();
    refund["status"] = json!("failed");
    for id in ["evt_1", "evt_2"] {
        scene.tell(&event(id, "refund.failed", &refund)).await.unwrap();
    }
    let shown = &scene.payments().await[0];
    assert_eq!((shown.refunded, shown.refunds[0].status), (euro(0), RefundStatus::Failed));
    let failures = told(&scene.world, Kind::PaymentRefundFailed).await;
    assert_eq!(failures, [json!({"refund_id": back.id, "amount": euro(500)})]);
    // Of before it failed, and late.
    refund["status"] = json!("succeeded");
    scene.tell(&event("evt_3", "refund.updated", &refund)).await.unwrap();
    let shown = &scene.payments().await[0];
    assert_eq!((shown.refunded, shown.refunds[0].status), (euro(0), RefundStatus::Failed));
    assert_eq!(balance(&scene.world, Account::Cash).await, 2500);
    assert_eq!(told(&scene.world, Kind::PaymentRefunded).await, [json!(null); 0]);
    super::payment::assert_clean(&scene.world).await;
}
