//! The client against a provider on loopback that plays failures.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use chrono::DateTime;
use kernel::Money;
use secrecy::SecretString;
use stripe::{
    Account, AmountError, Charge, Client, Intent, IntentStatus, Limits, Outcome, RefundOutcome, RefundStatus,
    SetupError,
};
use testkit::stripe::{FakeStripe, Fault, SECRET_KEY};

fn money(minor: i64, code: &str) -> Money {
    Money::new(minor, code.parse().unwrap())
}

fn account(key: &str) -> Account {
    Account { secret_key: SecretString::from(key) }
}

fn charge(amount: Money) -> Charge {
    Charge {
        amount,
        customer: "cus_1".into(),
        payment_method: "pm_1".into(),
        payment: "pay_1".into(),
        description: "INV-000001 & more".into(),
    }
}

struct Scene {
    provider: FakeStripe,
    client: Client,
    account: Account,
}

impl Scene {
    async fn new() -> Self {
        let provider = FakeStripe::start().await;
        let limits = Limits { total: Duration::from_secs(2), ..Limits::default() };
        let client = Client::new(&provider.url(), limits).unwrap();
        Self { provider, client, account: account(SECRET_KEY) }
    }

    async fn charge(&self, key: &str) -> Outcome {
        self.client.charge(&self.account, key, &charge(money(1250, "EUR"))).await.unwrap()
    }
}

fn status(outcome: &Outcome) -> Option<IntentStatus> {
    match outcome {
        Outcome::Found(intent) => Some(intent.status),
        _ => None,
    }
}

#[tokio::test]
async fn a_charge_is_asked_as_the_api_wants_it() {
    let scene = Scene::new().await;
    let found = scene.charge("key-1").await;
    let expected = Intent {
        id: "pi_1".into(),
        status: IntentStatus::Succeeded,
        amount: money(1250, "EUR"),
        payment: Some("pay_1".into()),
        failure: None,
    };
    assert_eq!(found, Outcome::Found(expected));
    let heard = &scene.provider.heard()[0];
    assert_eq!((heard.method.as_str(), heard.target.as_str()), ("POST", "/v1/payment_intents"));
    for (name, value) in [
        ("authorization", "Bearer sk_test_good"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("idempotency-key", "key-1"),
        ("stripe-version", "2024-06-20"),
    ] {
        assert_eq!(heard.headers[name], value);
    }
    let form: Vec<_> = heard.form.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "amount=1250",
        "confirm=true",
        "currency=eur",
        "customer=cus_1",
        "description=INV-000001 & more",
        "metadata[payment]=pay_1",
        "off_session=true",
        "payment_method=pm_1",
    ];
    assert_eq!(form, expected);
}

#[tokio::test]
async fn an_amount_that_cannot_be_charged_is_not_asked_for() {
    let scene = Scene::new().await;
    let refused = scene.client.charge(&scene.account, "key", &charge(money(1234, "KWD"))).await;
    assert_eq!(refused, Err(AmountError::Step(10)));
    assert!(scene.provider.heard().is_empty());
    let of_the_api = scene.client.charge(&scene.account, "key", &charge(money(5, "ISK"))).await.unwrap();
    let Outcome::Found(intent) = of_the_api else { panic!("{of_the_api:?}") };
    assert_eq!(intent.amount, money(5, "ISK"));
    assert_eq!(scene.provider.heard()[0].form["amount"], "500");
}

#[tokio::test]
async fn the_same_key_charges_once() {
    let scene = Scene::new().await;
    let first = scene.charge("key").await;
    assert_eq!(scene.charge("key").await, first);
    assert_eq!(scene.provider.balance(), 1250);
    scene.charge("another").await;
    assert_eq!(scene.provider.balance(), 2500);
}

#[tokio::test]
async fn what_may_have_been_charged_is_unknown_and_can_be_found() {
    for fault in [Fault::SilentAfter, Fault::CutAfter, Fault::GarbledAfter, Fault::BrokenAfter] {
        let scene = Scene::new().await;
        scene.provider.fail(&[fault]);
        let outcome = scene.charge("key").await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{fault:?}: {outcome:?}");
        assert_eq!(scene.provider.balance(), 1250, "{fault:?}");
        let found =
            scene.client.find(&scene.account, &charge(money(1250, "EUR")), DateTime::UNIX_EPOCH).await;
        assert_eq!(found.unwrap().as_ref().and_then(status), Some(IntentStatus::Succeeded), "{fault:?}");
        assert_eq!(
            status(&scene.client.retrieve(&scene.account, "pi_1").await),
            Some(IntentStatus::Succeeded)
        );
        let again = scene.charge("key").await;
        if fault == Fault::BrokenAfter {
            // The provider answers the same again, its own error too: only looking helps.
            assert!(matches!(again, Outcome::Unknown(_)), "{again:?}");
        } else {
            assert_eq!(status(&again), Some(IntentStatus::Succeeded), "{fault:?}");
        }
        assert_eq!(scene.provider.balance(), 1250, "{fault:?}");
    }
}

#[tokio::test]
async fn what_was_not_charged_is_unknown_until_it_is_looked_for() {
    for fault in [Fault::Broken, Fault::Cut] {
        let scene = Scene::new().await;
        scene.provider.fail(&[fault]);
        assert!(matches!(scene.charge("key").await, Outcome::Unknown(_)), "{fault:?}");
        let since = DateTime::UNIX_EPOCH;
        assert_eq!(scene.client.find(&scene.account, &charge(money(1250, "EUR")), since).await, Ok(None));
        assert_eq!(scene.provider.balance(), 0);
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let scene = Scene::new().await;
    scene.provider.fail(&[Fault::Declined, Fault::AuthenticationRequired, Fault::RateLimited]);
    let declined = scene.charge("1").await;
    assert!(
        matches!(&declined, Outcome::Declined { intent: Some(id), code, message }
            if id == "pi_1" && code == "card_declined" && message == "the test says card_declined"),
        "{declined:?}"
    );
    let wants = scene.charge("2").await;
    assert!(matches!(&wants, Outcome::Declined { code, .. } if code == "authentication_required"));
    assert_eq!(scene.charge("3").await, Outcome::Busy);
    assert_eq!(status(&scene.charge("3").await), Some(IntentStatus::Succeeded), "nothing was kept of it");
    let stranger = account("sk_test_bad");
    let refused = scene.client.charge(&stranger, "4", &charge(money(1, "EUR"))).await.unwrap();
    assert!(matches!(&refused, Outcome::KeyRefused { code, .. } if code == "invalid_api_key"), "{refused:?}");
    let missing = scene.client.retrieve(&scene.account, "pi_9/../x").await;
    assert!(matches!(&missing, Outcome::Refused { .. }), "{missing:?}");
    assert!(scene.provider.heard().last().unwrap().target.ends_with("/pi_9%2F..%2Fx"));
    assert_eq!(scene.provider.balance(), 1250);
}

#[tokio::test]
async fn a_provider_that_is_not_there_was_asked_nothing() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}").parse().unwrap();
    let client = Client::new(&base, Limits::default()).unwrap();
    let outcome = client.charge(&account(SECRET_KEY), "key", &charge(money(1, "EUR"))).await;
    assert_eq!(outcome, Ok(Outcome::Busy));
}

#[tokio::test]
async fn a_payment_on_its_way_is_followed_and_one_that_waits_can_be_given_up() {
    let scene = Scene::new().await;
    scene.provider.fail(&[Fault::Processing, Fault::RequiresAction]);
    assert_eq!(status(&scene.charge("1").await), Some(IntentStatus::Processing));
    scene.provider.settle("pi_1", "succeeded");
    assert_eq!(status(&scene.client.retrieve(&scene.account, "pi_1").await), Some(IntentStatus::Succeeded));
    assert_eq!(status(&scene.charge("2").await), Some(IntentStatus::RequiresAction));
    let given_up = scene.client.cancel(&scene.account, "pi_2", "3").await;
    assert!(matches!(&given_up, Outcome::Declined { code, .. } if code == "canceled"), "{given_up:?}");
    let too_late = scene.client.cancel(&scene.account, "pi_1", "4").await;
    assert!(matches!(too_late, Outcome::Refused { .. }));
}

#[tokio::test]
async fn a_refund_is_made_once() {
    let scene = Scene::new().await;
    scene.charge("charge").await;
    let refund = async |key: &str, fault: Option<Fault>| {
        scene.provider.fail(fault.as_slice());
        scene.client.refund(&scene.account, key, "pi_1", money(250, "EUR"), "ref_1").await.unwrap()
    };
    assert!(matches!(refund("key", Some(Fault::CutAfter)).await, RefundOutcome::Unknown(_)));
    let RefundOutcome::Found(found) = refund("key", None).await else { panic!() };
    assert_eq!((found.status, found.amount), (RefundStatus::Succeeded, money(250, "EUR")));
    assert_eq!(found.refund.as_deref(), Some("ref_1"));
    assert_eq!(scene.provider.balance(), 1000);
    let read = scene.client.retrieve_refund(&scene.account, &found.id).await;
    assert_eq!(read, RefundOutcome::Found(found));
    let missing =
        scene.client.refund(&scene.account, "other", "pi_9", money(250, "EUR"), "ref_2").await.unwrap();
    assert!(matches!(missing, RefundOutcome::Refused { .. }));
}

#[tokio::test]
async fn what_is_there_and_cannot_be_read_is_not_absent() {
    let scene = Scene::new().await;
    scene.charge("charge").await;
    let asked = charge(money(1250, "EUR"));
    let back = scene.client.refund(&scene.account, "back", "pi_1", money(250, "EUR"), "ref_1").await;
    assert!(matches!(back, Ok(RefundOutcome::Found(_))));
    scene.provider.settle("pi_1", "a_new_status");
    scene.provider.settle_refund("re_1", "a_new_status");
    let since = DateTime::UNIX_EPOCH;
    let found = scene.client.find(&scene.account, &asked, since).await;
    assert!(matches!(found, Err(Outcome::Unknown(_))), "{found:?}");
    let found = scene.client.find_refund(&scene.account, "pi_1", "ref_1").await;
    assert!(matches!(found, Err(RefundOutcome::Unknown(_))), "{found:?}");
    // Others' need not be read.
    let other = Charge { payment: "pay_2".into(), ..asked };
    assert_eq!(scene.client.find(&scene.account, &other, since).await, Ok(None));
    assert_eq!(scene.client.find_refund(&scene.account, "pi_1", "ref_2").await, Ok(None));
}

#[test]
fn only_tls_and_the_machine_itself_are_providers() {
    for (url, is_good) in [
        ("https://api.stripe.com", true),
        ("https://pay.example/compatible/", true),
        ("http://127.0.0.1:12111", true),
        ("http://api.stripe.com", false),
        ("http://10.0.0.1", false),
        ("https://api.stripe.com?x=y", false),
        ("ftp://api.stripe.com", false),
    ] {
        let made = Client::new(&url.parse().unwrap(), Limits::default());
        assert_eq!(!matches!(made, Err(SetupError::Url)), is_good, "{url}");
    }
}
