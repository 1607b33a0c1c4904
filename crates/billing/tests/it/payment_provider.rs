//! The contract of a provider, and every provider that takes charges against it. And whose provider it is.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use billing::payment::Provider;
use billing::payment_provider::{self, PutPaymentProvider};
use billing::{payment_method, payment_method::PutPaymentMethod};
use chrono::{DateTime, Utc};
use kernel::{ErrorKind, Money};
use secrecy::{ExposeSecret as _, SecretString};
use stripe::{
    Account, Charge, Client, Intent, IntentStatus, Limits, Outcome, Refund, RefundOutcome, RefundStatus,
};
use tenancy::Role;
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use testkit::stripe::{FakeStripe, Fault, SECRET_KEY};
use testkit::{World, world};

use super::admin_of;
use super::payment::euro;

/// A provider in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    fault: Option<Fault>,
    intents: BTreeMap<String, Intent>,
    refunds: BTreeMap<String, (String, Refund)>,
}

#[async_trait]
impl Provider for Memory {
    async fn charge(&self, _: &Account, key: &str, charge: &Charge) -> Outcome {
        let mut kept = self.0.lock().unwrap();
        let fault = kept.fault.take();
        if fault == Some(Fault::RateLimited) {
            return Outcome::Busy;
        }
        if fault == Some(Fault::Declined) {
            return Outcome::Declined { intent: None, code: "card_declined".into(), message: "no".into() };
        }
        let next = format!("pi_{}", kept.intents.len() + 1);
        let intent = kept.intents.entry(key.to_owned()).or_insert(Intent {
            id: next,
            status: IntentStatus::Succeeded,
            amount: charge.amount,
            payment: Some(charge.payment.clone()),
            failure: None,
        });
        if fault == Some(Fault::CutAfter) { Outcome::Unknown("cut") } else { Outcome::Found(intent.clone()) }
    }

    async fn look(
        &self,
        _: &Account,
        charge: &Charge,
        reference: Option<&str>,
        _: DateTime<Utc>,
    ) -> Result<Option<Outcome>, Outcome> {
        let kept = self.0.lock().unwrap();
        let is_it = |intent: &&Intent| match reference {
            Some(reference) => intent.id == reference,
            None => intent.payment.as_ref() == Some(&charge.payment),
        };
        Ok(kept.intents.values().find(is_it).cloned().map(Outcome::Found))
    }

    async fn cancel(&self, _: &Account, _: &str, _: &str) -> Outcome {
        Outcome::Refused { code: "payment_intent_unexpected_state".into(), message: "too late".into() }
    }

    async fn refund(
        &self,
        _: &Account,
        key: &str,
        reference: &str,
        amount: Money,
        refund: &str,
    ) -> RefundOutcome {
        let mut kept = self.0.lock().unwrap();
        let fault = kept.fault.take();
        let id = format!("re_{}", kept.refunds.len() + 1);
        let status = RefundStatus::Succeeded;
        let made = Refund { id, status, amount, refund: Some(refund.into()), intent: Some(reference.into()) };
        let (_, made) = kept.refunds.entry(key.to_owned()).or_insert((reference.to_owned(), made));
        if fault == Some(Fault::CutAfter) {
            RefundOutcome::Unknown("cut")
        } else {
            RefundOutcome::Found(made.clone())
        }
    }

    async fn look_refund(
        &self,
        _: &Account,
        payment: &str,
        _: Option<&str>,
        refund: &str,
    ) -> Result<Option<RefundOutcome>, RefundOutcome> {
        let kept = self.0.lock().unwrap();
        let mut all = kept.refunds.values();
        let found = all.find(|(of, one)| of == payment && one.refund.as_deref() == Some(refund));
        Ok(found.map(|(_, one)| RefundOutcome::Found(one.clone())))
    }
}

fn account() -> Account {
    Account { secret_key: SecretString::from(SECRET_KEY) }
}

fn charge(payment: &str) -> Charge {
    Charge {
        amount: euro(1250),
        customer: "cus_1".into(),
        payment_method: "pm_1".into(),
        payment: payment.into(),
        description: "INV-000001".into(),
    }
}

fn intent(outcome: Outcome) -> Intent {
    match outcome {
        Outcome::Found(intent) => intent,
        other => panic!("{other:?}"),
    }
}

/// What every provider has to keep; `fail` says what goes wrong with the next request.
async fn keeps_the_contract(provider: &dyn Provider, fail: impl Fn(Fault)) {
    let (account, since) = (account(), DateTime::UNIX_EPOCH);
    let first = intent(provider.charge(&account, "one", &charge("pay_1")).await);
    assert_eq!((first.status, first.amount), (IntentStatus::Succeeded, euro(1250)));
    // The same request is the same charge, and another key another.
    assert_eq!(intent(provider.charge(&account, "one", &charge("pay_1")).await), first);
    let second = intent(provider.charge(&account, "two", &charge("pay_2")).await);
    assert_ne!(second.id, first.id);
    for (payment, reference) in [("pay_1", None), ("pay_1", Some(first.id.as_str()))] {
        let found = provider.look(&account, &charge(payment), reference, since).await.unwrap().unwrap();
        assert_eq!(intent(found), first);
    }
    assert_eq!(provider.look(&account, &charge("pay_9"), None, since).await, Ok(None));
    // What may have been charged is unknown, and is found.
    fail(Fault::CutAfter);
    let cut = provider.charge(&account, "three", &charge("pay_3")).await;
    assert!(matches!(cut, Outcome::Unknown(_)), "{cut:?}");
    let found = intent(provider.look(&account, &charge("pay_3"), None, since).await.unwrap().unwrap());
    assert_eq!(intent(provider.charge(&account, "three", &charge("pay_3")).await), found);
    // What was not charged is said to be so.
    fail(Fault::RateLimited);
    assert_eq!(provider.charge(&account, "four", &charge("pay_4")).await, Outcome::Busy);
    assert_eq!(provider.look(&account, &charge("pay_4"), None, since).await, Ok(None));
    fail(Fault::Declined);
    let declined = provider.charge(&account, "five", &charge("pay_5")).await;
    assert!(matches!(&declined, Outcome::Declined { code, .. } if code == "card_declined"), "{declined:?}");
    // What was paid cannot be given up.
    let too_late = provider.cancel(&account, "six", &first.id).await;
    assert!(matches!(too_late, Outcome::Refused { .. }), "{too_late:?}");
    // Refunds, likewise.
    let back = async |key, refund| provider.refund(&account, key, &first.id, euro(250), refund).await;
    let RefundOutcome::Found(one) = back("r1", "ref_1").await else { panic!() };
    assert_eq!((one.status, one.amount), (RefundStatus::Succeeded, euro(250)));
    assert_eq!(back("r1", "ref_1").await, RefundOutcome::Found(one.clone()));
    fail(Fault::CutAfter);
    assert!(matches!(back("r2", "ref_2").await, RefundOutcome::Unknown(_)));
    let found = provider.look_refund(&account, &first.id, None, "ref_2").await.unwrap().unwrap();
    assert_eq!(back("r2", "ref_2").await, found);
    let known = provider.look_refund(&account, &first.id, Some(&one.id), "ref_1").await;
    assert_eq!(known, Ok(Some(RefundOutcome::Found(one))));
    assert_eq!(provider.look_refund(&account, &first.id, None, "ref_9").await, Ok(None));
}

#[tokio::test]
async fn a_provider_in_memory_keeps_the_contract() {
    let memory = Memory::default();
    keeps_the_contract(&memory, |fault| memory.0.lock().unwrap().fault = Some(fault)).await;
}

pub(super) fn client(fake: &FakeStripe) -> Client {
    let limits = Limits { total: Duration::from_secs(2), ..Limits::default() };
    Client::new(&fake.url(), limits).unwrap()
}

#[tokio::test]
async fn the_stripe_client_keeps_the_contract() {
    let fake = FakeStripe::start().await;
    keeps_the_contract(&client(&fake), |fault| fake.fail(&[fault])).await;
}

pub(super) const WEBHOOK_SECRET: &str = "whsec_of_the_test";

pub(super) fn settings() -> PutPaymentProvider {
    PutPaymentProvider {
        secret_key: SecretString::from(SECRET_KEY),
        webhook_secret: SecretString::from(WEBHOOK_SECRET),
        is_enabled: true,
    }
}

#[tokio::test]
async fn a_provider_is_its_reseller_s_and_its_secrets_are_nobody_s_to_see() {
    let world = World::new().await;
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(payment_provider::get(&own).await.unwrap_err().kind(), ErrorKind::NotFound);
    let put = payment_provider::put(&own, &settings(), None).await.unwrap();
    assert_eq!((put.provider.as_str(), put.is_enabled, put.version), ("stripe", true, 1));
    let got = payment_provider::get(&own).await.unwrap();
    assert_eq!(got, put);
    assert!(!format!("{got:?} {:?}", settings()).contains(SECRET_KEY));
    let off = PutPaymentProvider { is_enabled: false, ..settings() };
    assert_eq!(payment_provider::put(&own, &off, Some(7)).await.unwrap_err().code(), "version_mismatch");
    assert_eq!(payment_provider::put(&own, &off, Some(1)).await.unwrap().version, 2);
    for bad in ["", "with space", "é", &"x".repeat(256)] {
        let bad = PutPaymentProvider { secret_key: SecretString::from(bad), ..settings() };
        assert_eq!(payment_provider::put(&own, &bad, None).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    // No tenant's transaction reads it.
    let mut tx = world.ctx.begin().await.unwrap();
    let seen = sqlx::query("select 1 from payment_providers").execute(tx.conn());
    assert!(seen.await.unwrap_err().to_string().contains("permission denied"));
    let other = world::reseller(&world.operator, "Other").await;
    let stranger = admin_of(&world, &other).await;
    assert_eq!(stranger.enter_reseller(world.reseller.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    payment_provider::delete(&own, None).await.unwrap();
    assert_eq!(payment_provider::get(&own).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_payment_method_is_put_whole_and_is_the_provider_s_ids() {
    let world = World::new().await;
    assert_eq!(payment_method::get(&world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
    let new = PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay: false };
    let put = payment_method::put(&world.ctx, new.clone(), None).await.unwrap();
    assert_eq!(payment_method::get(&world.ctx).await.unwrap(), put);
    let stale = payment_method::put(&world.ctx, new.clone(), Some(9)).await.unwrap_err();
    assert_eq!(stale.code(), "version_mismatch");
    for bad in ["", "cus/1", "a b", "ü"] {
        let bad = PutPaymentMethod { customer: bad.into(), ..new.clone() };
        assert_eq!(payment_method::put(&world.ctx, bad, None).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    payment_method::delete(&world.ctx, Some(1)).await.unwrap();
    assert_eq!(payment_method::get(&world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_payment_method_is_the_reseller_s_side_s_to_say_and_a_customer_one_tenant_s() {
    let world = World::new().await;
    let new = || PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay: false };
    payment_method::put(&world.ctx, new(), None).await.unwrap();
    // A tenant would have another's card charged by naming their customer.
    for role in [Role::TenantAdmin, Role::TenantBilling] {
        let (_, secret) = api_key::create_for_tenant(&world.ctx, NewApiKey::full(role)).await.unwrap();
        let auth = Auth::new(world.test_db.db()).await.unwrap();
        let own = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
        let own = own.enter(world.tenant.id).await.unwrap();
        assert_eq!(payment_method::get(&own).await.unwrap().customer, "cus_1");
        for refused in [
            payment_method::put(&own, new(), None).await.unwrap_err(),
            payment_method::delete(&own, None).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
        }
    }
    let second = world::tenant(&world.operator, &world.reseller, "Second").await;
    let second = world.operator.enter(second.id).await.unwrap();
    let refused = payment_method::put(&second, new(), None).await.unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("customer_taken", ErrorKind::Conflict));
    // Another reseller's provider has customers of its own.
    let other = world::reseller(&world.operator, "Other").await;
    let third = world::tenant(&world.operator, &other, "Third").await;
    let third = world.operator.enter(third.id).await.unwrap();
    payment_method::put(&third, new(), None).await.unwrap();
}
