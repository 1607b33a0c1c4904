//! Charges: one for what is due, whatever goes wrong, and found out afterwards.

use std::time::Duration;

use billing::ledger::Account;
use billing::payment::{self, Payment, PaymentStatus, Reconciled, RefundStatus, reconcile};
use billing::payment_method::{self, PutPaymentMethod};
use billing::payment_provider::{self, PutPaymentProvider};
use chrono::TimeDelta;
use kernel::{ErrorKind, InvoiceId, PageRequest};
use secrecy::SecretString;
use serde_json::{Value, json};
use stripe::Client;
use tenancy::event::Kind;
use testkit::stripe::{FakeStripe, Fault};
use testkit::{World, world};

use super::payment::{assert_clean, balance, euro, paid, states, three_invoices_of};
use super::payment_provider::{client, settings};
use super::{admin_of, invoices};

/// Three invoices of 25.00 EUR, and a provider to pay them by.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) fake: FakeStripe,
    pub(super) client: Client,
    pub(super) documents: Vec<InvoiceId>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::within(World::new().await).await
    }

    pub(super) async fn within(world: World) -> Self {
        three_invoices_of(&world).await;
        let fake = FakeStripe::start().await;
        let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
        payment_provider::put(&reseller, &settings(), None).await.unwrap();
        let method = PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay: false };
        payment_method::put(&world.ctx, method, None).await.unwrap();
        let documents = invoices(&world.ctx).await.iter().map(|one| one.id).collect();
        Self { client: client(&fake), world, fake, documents }
    }

    pub(super) async fn pay(&self) -> Result<Payment, billing::Error> {
        payment::pay(&self.world.operator, &self.client, self.documents[0]).await
    }

    /// Lets time pass, and asks about all that is open.
    pub(super) async fn reconciled(&self, after: TimeDelta) -> u64 {
        let done = self.asked(after).await;
        assert_eq!(done.failed, 0);
        done.asked
    }

    /// As [`Scene::reconciled`], though it may not be found out.
    pub(super) async fn asked(&self, after: TimeDelta) -> Reconciled {
        let clock = self.world.test_db.clock();
        clock.set(self.world.test_db.db().env().now() + after);
        reconcile(&self.world.test_db.db(), &self.client).await.unwrap()
    }

    /// How each attempt ended.
    async fn attempts(&self) -> Vec<Option<String>> {
        let mut tx = self.world.ctx.begin().await.unwrap();
        let all = "select outcome from payment_attempts order by payment_id, ordinal";
        sqlx::query_scalar(all).fetch_all(tx.conn()).await.unwrap()
    }

    pub(super) async fn payments(&self) -> Vec<Payment> {
        payment::list(&self.world.ctx, Default::default(), PageRequest::new(None, None)).await.unwrap().items
    }

    async fn statuses(&self) -> Vec<PaymentStatus> {
        self.payments().await.iter().map(|one| one.status).collect()
    }

    /// The first invoice was paid once: by the provider, by the ledger and by the documents.
    pub(super) async fn assert_paid_once(&self) {
        assert_eq!(self.fake.balance(), 2500);
        assert_eq!(balance(&self.world, Account::Cash).await, 2500);
        assert_eq!(states(&self.world.ctx).await, ["paid 2500/0", "final 0/2500", "final 0/2500"]);
        assert_clean(&self.world).await;
    }
}

const SOON: TimeDelta = TimeDelta::minutes(5);

#[tokio::test]
async fn what_is_due_is_charged_and_posted() {
    let scene = Scene::new().await;
    paid(&scene.world.ctx, 500, "INV-000001").await;
    let one = scene.pay().await.unwrap();
    assert_eq!(
        (one.status, one.amount, one.provider.as_str()),
        (PaymentStatus::Succeeded, euro(2000), "stripe")
    );
    let heard = &scene.fake.heard()[0];
    assert_eq!(heard.form["metadata[payment]"], one.id.to_string());
    assert_eq!((heard.form["amount"].as_str(), heard.form["customer"].as_str()), ("2000", "cus_1"));
    assert_eq!(scene.pay().await.unwrap_err().code(), "nothing_due");
    assert_eq!(scene.fake.balance(), 2000);
    assert_eq!(states(&scene.world.ctx).await[0], "paid 2500/0");
    assert_clean(&scene.world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_pay_at_once_charge_once() {
    let scene = Scene::new().await;
    let tries = (0..12).map(|_| {
        let (operator, client, id) = (scene.world.operator.clone(), scene.client.clone(), scene.documents[0]);
        tokio::spawn(async move { payment::pay(&operator, &client, id).await })
    });
    let mut made = 0;
    for one in tries.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(payment) => {
                assert_eq!(payment.status, PaymentStatus::Succeeded);
                made += 1;
            }
            Err(error) => assert!(["payment_under_way", "nothing_due"].contains(&error.code()), "{error:?}"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(scene.fake.intents().len(), 1);
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn what_is_not_known_is_found_out_and_never_charged_again() {
    for fault in [Fault::SilentAfter, Fault::CutAfter, Fault::GarbledAfter, Fault::BrokenAfter] {
        let scene = Scene::new().await;
        scene.fake.fail(&[fault]);
        assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown, "{fault:?}");
        assert_eq!(scene.pay().await.unwrap_err().code(), "payment_under_way");
        // Not at once: whoever asked may still be at it.
        assert_eq!(scene.reconciled(TimeDelta::seconds(1)).await, 0);
        assert_eq!(scene.reconciled(SOON).await, 1);
        assert_eq!(scene.statuses().await, [PaymentStatus::Succeeded], "{fault:?}");
        assert_eq!(scene.fake.intents().len(), 1, "{fault:?}");
        assert_eq!(scene.reconciled(SOON).await, 0);
        scene.assert_paid_once().await;
    }
}

#[tokio::test]
async fn what_never_arrived_is_asked_for_again_under_its_key_and_then_given_up() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Cut]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown);
    assert_eq!(scene.reconciled(SOON).await, 1);
    scene.assert_paid_once().await;
    let keys: Vec<_> =
        scene.fake.heard().iter().filter_map(|one| one.headers.get("idempotency-key").cloned()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);

    // An error of the provider's own is answered again under the key, for ever.
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Broken]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown);
    assert_eq!(scene.reconciled(SOON).await, 1);
    assert_eq!(scene.statuses().await, [PaymentStatus::Unknown]);
    scene.fake.forget_keys();
    // A day later the key is no longer the same request: it is not used.
    assert_eq!(scene.reconciled(TimeDelta::hours(24)).await, 1);
    assert_eq!(scene.statuses().await, [PaymentStatus::Failed]);
    assert_eq!(scene.payments().await[0].failure.as_ref().unwrap().0, "never_arrived");
    assert_eq!(scene.fake.balance(), 0);
    // And it can be paid anew.
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Succeeded);
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn one_who_is_killed_anywhere_while_paying_charges_once() {
    let scene = Scene::new().await;
    let mut cut_off = 0;
    for micros in (200..60_000).step_by(1_500) {
        cut_off += u32::from(tokio::time::timeout(Duration::from_micros(micros), scene.pay()).await.is_err());
    }
    assert!(cut_off > 1, "{cut_off} were cut off");
    while scene.reconciled(SOON).await > 0 {}
    let _ = scene.pay().await;
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn a_refusal_is_told_and_can_be_tried_again() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Declined, Fault::AuthenticationRequired, Fault::RateLimited]);
    let declined = scene.pay().await.unwrap();
    assert_eq!(declined.status, PaymentStatus::Failed);
    assert_eq!(declined.failure.unwrap().0, "card_declined");
    // Lists are ordered by the millisecond.
    assert_eq!(scene.reconciled(TimeDelta::seconds(1)).await, 0);
    let wants = scene.pay().await.unwrap();
    assert_eq!(wants.failure.unwrap().0, "authentication_required");
    assert_eq!(scene.reconciled(TimeDelta::seconds(1)).await, 0);
    // The provider was busy: the payment waits, and is asked for again.
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Pending);
    assert_eq!(scene.reconciled(SOON).await, 1);
    let expected = [PaymentStatus::Failed, PaymentStatus::Failed, PaymentStatus::Succeeded];
    assert_eq!(scene.statuses().await, expected);
    assert_eq!(scene.fake.balance(), 2500);
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn money_on_its_way_is_followed_and_what_waits_for_its_customer_is_given_up() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Processing]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Processing);
    assert_eq!(scene.pay().await.unwrap_err().code(), "payment_under_way");
    assert_eq!(states(&scene.world.ctx).await[0], "final 0/2500");
    assert_eq!(scene.reconciled(SOON).await, 1);
    assert_eq!(scene.statuses().await, [PaymentStatus::Processing]);
    scene.fake.settle("pi_1", "succeeded");
    assert_eq!(scene.reconciled(TimeDelta::days(3)).await, 1);
    scene.assert_paid_once().await;

    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::RequiresAction]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::RequiresAction);
    assert_eq!(scene.reconciled(SOON).await, 1);
    assert_eq!(scene.statuses().await, [PaymentStatus::RequiresAction]);
    assert_eq!(scene.reconciled(TimeDelta::hours(25)).await, 1);
    assert_eq!(scene.statuses().await, [PaymentStatus::Failed]);
    assert_eq!(scene.fake.intents()[0]["status"], "canceled");
}

#[tokio::test]
async fn what_arrives_just_before_it_is_given_up_has_arrived() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::RequiresAction, Fault::ArrivesFirst]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::RequiresAction);
    assert_eq!(scene.reconciled(TimeDelta::hours(25)).await, 1);
    // It was too late to cancel, which is no failure: it is looked at again.
    assert_eq!(scene.statuses().await, [PaymentStatus::RequiresAction]);
    assert_eq!(scene.pay().await.unwrap_err().code(), "payment_under_way");
    assert_eq!(scene.reconciled(TimeDelta::hours(6)).await, 1);
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn a_request_that_is_refused_when_it_is_made_again_ends_nothing() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Cut, Fault::Refused]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown);
    assert_eq!(scene.asked(SOON).await, Reconciled { asked: 1, failed: 1 });
    assert_eq!(scene.statuses().await, [PaymentStatus::Unknown]);
    assert_eq!(scene.reconciled(TimeDelta::minutes(20)).await, 1);
    scene.assert_paid_once().await;

    let one = scene.payments().await[0].id;
    scene.fake.fail(&[Fault::Cut, Fault::Refused]);
    let back = payment::refund(&scene.world.operator, &scene.client, one, None, "x".into());
    assert_eq!(back.await.unwrap().status, RefundStatus::Unknown);
    assert_eq!(scene.asked(SOON).await, Reconciled { asked: 1, failed: 1 });
    assert_eq!(scene.fake.balance(), 2500);
    assert_eq!(scene.reconciled(TimeDelta::minutes(20)).await, 1);
    assert_eq!(scene.fake.balance(), 0);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn a_key_that_was_revoked_is_a_failure_and_ends_nothing() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::CutAfter]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown);
    scene.fake.revoke();
    assert_eq!(scene.asked(SOON).await, Reconciled { asked: 1, failed: 1 });
    assert_eq!(scene.statuses().await, [PaymentStatus::Unknown]);
    let ends = scene.attempts().await;
    assert_eq!(ends, ["unknown", "busy"].map(|end| Some(end.to_owned())));
}

#[tokio::test]
async fn an_issuer_that_has_no_provider_any_more_is_a_failure() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::CutAfter]);
    scene.pay().await.unwrap();
    super::run::behind_and_commit(&scene.world, "delete from payment_providers").await;
    assert_eq!(scene.asked(SOON).await, Reconciled { asked: 1, failed: 1 });
    assert_eq!(scene.attempts().await.last().unwrap().as_deref(), Some("busy"));
}

#[tokio::test]
async fn what_arrives_in_part_is_paid_in_part() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Half]);
    let half = scene.pay().await.unwrap();
    assert_eq!((half.status, half.amount), (PaymentStatus::Succeeded, euro(1250)));
    assert_eq!(states(&scene.world.ctx).await[0], "final 1250/1250");
    assert_eq!(scene.pay().await.unwrap().amount, euro(1250));
    scene.assert_paid_once().await;
}

#[tokio::test]
async fn without_a_means_or_a_provider_nothing_is_written() {
    let scene = Scene::new().await;
    let reseller = scene.world.operator.enter_reseller(scene.world.reseller.id).await.unwrap();
    let off = PutPaymentProvider { is_enabled: false, ..settings() };
    payment_provider::put(&reseller, &off, None).await.unwrap();
    assert_eq!(scene.pay().await.unwrap_err().code(), "no_payment_provider");
    payment_provider::put(&reseller, &settings(), None).await.unwrap();
    payment_method::delete(&scene.world.ctx, None).await.unwrap();
    assert_eq!(scene.pay().await.unwrap_err().code(), "no_payment_method");
    assert_eq!(scene.payments().await, []);
    assert!(scene.fake.heard().is_empty());
}

#[tokio::test]
async fn a_provider_is_kept_while_payments_are_under_way() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Processing]);
    scene.pay().await.unwrap();
    let reseller = scene.world.operator.enter_reseller(scene.world.reseller.id).await.unwrap();
    let refused = payment_provider::delete(&reseller, None).await.unwrap_err();
    assert_eq!(refused.code(), "payments_under_way");
    scene.fake.settle("pi_1", "succeeded");
    scene.reconciled(SOON).await;
    payment_provider::delete(&reseller, None).await.unwrap();
}

#[tokio::test]
async fn a_provider_s_key_is_kept_while_payments_or_refunds_are_under_way() {
    let scene = Scene::new().await;
    let reseller = scene.world.operator.enter_reseller(scene.world.reseller.id).await.unwrap();
    let other_key = || PutPaymentProvider { secret_key: SecretString::from("sk_test_other"), ..settings() };
    scene.fake.fail(&[Fault::Processing]);
    let one = scene.pay().await.unwrap();
    let refused = payment_provider::put(&reseller, &other_key(), None).await.unwrap_err();
    assert_eq!(refused.code(), "payments_under_way");
    // The rest may change.
    let off = PutPaymentProvider {
        webhook_secret: SecretString::from("whsec_other"),
        is_enabled: false,
        ..settings()
    };
    payment_provider::put(&reseller, &off, None).await.unwrap();
    scene.fake.settle("pi_1", "succeeded");
    assert_eq!(scene.reconciled(SOON).await, 1);
    scene.fake.fail(&[Fault::Processing]);
    let back = payment::refund(&scene.world.operator, &scene.client, one.id, None, "x".into());
    assert_eq!(back.await.unwrap().status, RefundStatus::Pending);
    for refused in [
        payment_provider::put(&reseller, &other_key(), None).await.unwrap_err(),
        payment_provider::delete(&reseller, None).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), "payments_under_way");
    }
    scene.fake.settle_refund("re_1", "succeeded");
    assert_eq!(scene.reconciled(SOON).await, 1);
    payment_provider::put(&reseller, &other_key(), None).await.unwrap();
    payment_provider::delete(&reseller, None).await.unwrap();
    let told = told(&scene.world, Kind::PaymentProviderChanged).await;
    let shown: Vec<_> = told.iter().map(|one| one["enabled"].to_string()).collect();
    assert_eq!(shown, ["true", "false", "true", "null"]);
    assert_eq!(told[3], json!({"has_payment_provider": false}));
}

/// What events of a kind say, the oldest first.
pub(super) async fn told(world: &World, kind: Kind) -> Vec<Value> {
    world.noted(kind).await.into_iter().map(|one| one.event.data).collect()
}

#[tokio::test]
async fn a_tenant_s_new_reseller_does_not_pay_back_by_the_former_one_s_provider() {
    let scene = Scene::new().await;
    let one = scene.pay().await.unwrap();
    let other = world::reseller(&scene.world.operator, "Other").await;
    billing::transfer::transfer(&scene.world.ctx, None, other.id).await.unwrap();
    for (reseller, code) in [(&other, "issued_by_another"), (&scene.world.reseller, "tenant_transferred")] {
        let caller = admin_of(&scene.world, reseller).await;
        let refused = payment::refund(&caller, &scene.client, one.id, None, "x".into()).await.unwrap_err();
        assert_eq!(refused.code(), code);
        assert_eq!(payment::get(&caller, one.id).await.unwrap(), one);
    }
    assert_eq!(scene.fake.balance(), 2500);
    payment::refund(&scene.world.operator, &scene.client, one.id, None, "x".into()).await.unwrap();
    assert_eq!(scene.fake.balance(), 0);
}

#[tokio::test]
async fn a_payment_method_is_for_the_invoices_of_its_issuer() {
    let scene = Scene::new().await;
    let tenant = scene.world.tenant.id;
    payment_method::delete(&scene.world.ctx, None).await.unwrap();
    let other = world::reseller(&scene.world.operator, "Other").await;
    billing::transfer::transfer(&scene.world.ctx, None, other.id).await.unwrap();
    let moved = scene.world.operator.enter(tenant).await.unwrap();
    let method = PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay: false };
    payment_method::put(&moved, method, None).await.unwrap();
    // The invoice is the former reseller's, whose provider knows another by that name.
    assert_eq!(scene.pay().await.unwrap_err().code(), "no_payment_method");
    billing::transfer::transfer(&moved, None, scene.world.reseller.id).await.unwrap();
    assert_eq!(payment_method::get(&scene.world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(scene.fake.heard().is_empty());
}

#[tokio::test]
async fn what_takes_days_is_asked_about_more_and_more_seldom() {
    let scene = Scene::new().await;
    scene.fake.fail(&[Fault::Processing]);
    scene.pay().await.unwrap();
    // Minutes that pass, and whether it is asked about then.
    let steps = [(2, 0), (1, 1), (2, 0), (1, 1), (60, 1), (14, 0), (1, 1), (1_440, 1), (359, 0), (1, 1)];
    for (n, (minutes, asked)) in steps.into_iter().enumerate() {
        assert_eq!(scene.reconciled(TimeDelta::minutes(minutes)).await, asked, "step {n}");
    }
}

#[tokio::test]
async fn who_pays_holds_one_connection_at_a_time() {
    let scene = Scene::new().await;
    let mut held = Vec::new();
    // All but one.
    for _ in 1..db::Db::MAX_TRANSACTIONS {
        held.push(scene.world.ctx.begin().await.unwrap());
    }
    let one = scene.pay().await.unwrap();
    let back = payment::refund(&scene.world.operator, &scene.client, one.id, None, "x".into());
    assert_eq!(back.await.unwrap().status, RefundStatus::Succeeded);
    paid(&scene.world.ctx, 1, "").await;
}

#[tokio::test]
async fn a_charge_is_paid_back_by_its_provider_once() {
    let scene = Scene::new().await;
    let one = scene.pay().await.unwrap();
    let back = async |minor| {
        let amount = Some(euro(minor));
        payment::refund(&scene.world.operator, &scene.client, one.id, amount, "asked".into()).await
    };
    assert_eq!(back(500).await.unwrap().status, RefundStatus::Succeeded);
    assert_eq!(scene.fake.balance(), 2000);
    // Of one instant, ids are in no order, by which lists go.
    scene.world.test_db.clock().advance(TimeDelta::seconds(1));
    scene.fake.fail(&[Fault::CutAfter]);
    let second = back(700).await.unwrap();
    assert_eq!(second.status, RefundStatus::Unknown);
    let shown = payment::get(&scene.world.operator, one.id).await.unwrap();
    assert_eq!((shown.refunds.len(), shown.refunded), (2, euro(1200)));
    assert_eq!(shown.refunds[1], second);
    assert_eq!(scene.payments().await, [shown]);
    // What is on its way back is not there to be paid back again, and is not due yet.
    assert_eq!(back(1301).await.unwrap_err().code(), "refund_exceeds_payment");
    assert_eq!(states(&scene.world.ctx).await[0], "final 2000/500");
    assert_eq!(scene.reconciled(SOON).await, 1);
    assert_eq!(scene.fake.refunds().len(), 2);
    scene.fake.fail(&[Fault::Cut]);
    assert_eq!(back(300).await.unwrap().status, RefundStatus::Unknown);
    assert_eq!(scene.reconciled(SOON).await, 1);
    assert_eq!(scene.fake.balance(), 1000);
    assert_eq!(states(&scene.world.ctx).await[0], "final 1000/1500");
    assert_eq!(balance(&scene.world, Account::Cash).await, 1000);
    assert_clean(&scene.world).await;
}
