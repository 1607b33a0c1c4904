//! Numbers for value-added tax that are looked up in a register which is not always there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use billing::invoice::Invoice;
use billing::profile::{Asked, CustomerProfile, ask_again, of_customer, put_customer};
use billing::rating::RemovalPolicy;
use billing::vat_id::{Registration, VatRegister, register_at};
use chrono::TimeDelta;
use tenancy::Ctx;
use testkit::World;
use testkit::vies::{CONSULTATION, FakeVies, Fault};
use tokio::sync::Notify;
use vies::{Number, Outcome};

use super::tax::{customer, taxing};
use super::{book, invoices, run, seat, subscribe, world_on};

const NUMBER: &str = "FR40303265045";

struct Scene {
    world: World,
    vies: FakeVies,
    register: Arc<dyn VatRegister>,
}

impl Scene {
    /// An issuer in Germany and a register that has its number, and its customer's in France.
    async fn new() -> Self {
        let world = world_on("2026-01-01").await;
        taxing(&world).await;
        let vies = FakeVies::start().await;
        vies.has("DE", "136695976");
        vies.has("FR", "40303265045");
        let register = register_at(vies.url().as_str()).unwrap();
        Self { world, vies, register }
    }

    async fn put(&self, country: &str, vat_id: &str) -> CustomerProfile {
        let new = customer(country, Some(vat_id));
        put_customer(&self.world.ctx, &*self.register, new, None).await.unwrap().profile
    }

    /// What the duty does after so many minutes more.
    async fn asked_after(&self, minutes: i64) -> Asked {
        self.world.test_db.clock().advance(TimeDelta::minutes(minutes));
        ask_again(&self.world.test_db.db(), &*self.register).await.unwrap()
    }
}

const NOTHING: Asked = Asked { answered: 0, unanswered: 0, failed: 0 };
const ANSWERED: Asked = Asked { answered: 1, ..NOTHING };
const UNANSWERED: Asked = Asked { unanswered: 1, ..NOTHING };

fn is(profile: &CustomerProfile) -> (Registration, Option<&str>, bool) {
    let answer = profile.vat_register.as_ref().unwrap();
    (answer.registration, answer.consultation.as_deref(), answer.checked_at.is_some())
}

async fn stored(ctx: &Ctx) -> CustomerProfile {
    of_customer(ctx).await.unwrap().profile
}

/// Whether it charges no tax, and by which proof.
fn evidence(invoice: &Invoice) -> (bool, Option<String>) {
    let answer = invoice.customer.profile.as_ref().and_then(|profile| profile.vat_register.clone());
    (invoice.tax.amount_minor == 0, answer.and_then(|answer| answer.consultation))
}

#[tokio::test]
async fn an_answer_is_kept_with_its_proof_on_profile_and_documents() {
    let scene = Scene::new().await;
    assert_eq!(is(&scene.put("FR", NUMBER).await), (Registration::Valid, Some(CONSULTATION), true));
    assert_eq!(scene.vies.heard()[0]["requesterNumber"], "136695976");
    let ctx = &scene.world.ctx;
    let book = book(&scene.world, RemovalPolicy::CreditToBalance).await;
    subscribe(ctx, &book, "month").await;
    seat(ctx, "ada").await;
    run(&scene.world, "2026-01-01").await;
    assert_eq!(evidence(&invoices(ctx).await[0]), (true, Some(CONSULTATION.to_owned())));
    assert_eq!(scene.asked_after(10_000).await, NOTHING, "what has an answer is not asked about");
    // What it said stands while it does not answer.
    scene.vies.fail(&[Fault::Broken]);
    let renamed =
        billing::profile::PutCustomer { legal_name: "Boulangerie".into(), ..customer("FR", Some(NUMBER)) };
    let put = put_customer(ctx, &*scene.register, renamed, None).await.unwrap().profile;
    assert_eq!(is(&put), (Registration::Valid, Some(CONSULTATION), true));
    assert_eq!(scene.asked_after(10_000).await, NOTHING);
}

#[tokio::test]
async fn a_register_that_does_not_answer_holds_nobody_up_and_is_asked_again() {
    let scene = Scene::new().await;
    scene.vies.fail(&[Fault::Slow]);
    let begun = Instant::now();
    assert_eq!(is(&scene.put("FR", NUMBER).await), (Registration::Unchecked, None, false));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let ctx = &scene.world.ctx;
    assert_eq!(scene.asked_after(4).await, NOTHING);
    scene.vies.fail(&[Fault::Error("MS_UNAVAILABLE"), Fault::Beside("MS_MAX_CONCURRENT_REQ"), Fault::Cut]);
    assert_eq!(scene.asked_after(1).await, UNANSWERED);
    assert_eq!(scene.asked_after(9).await, NOTHING, "each pause is twice as long");
    assert_eq!(scene.asked_after(1).await, UNANSWERED);
    assert_eq!(scene.asked_after(20).await, UNANSWERED);
    assert_eq!((scene.vies.heard().len(), is(&stored(ctx).await).0), (4, Registration::Unchecked));
    assert_eq!(scene.asked_after(40).await, ANSWERED);
    let profile = of_customer(ctx).await.unwrap();
    assert_eq!((is(&profile.profile), profile.version), ((Registration::Valid, Some(CONSULTATION), true), 2));
    assert_eq!(scene.asked_after(10_000).await, NOTHING);
}

#[tokio::test]
async fn a_number_that_turns_out_void_is_taxed_from_then_on() {
    let scene = Scene::new().await;
    let ctx = &scene.world.ctx;
    scene.vies.fail(&[Fault::Broken]);
    // Good by form and check digits, and nobody's.
    assert_eq!(is(&scene.put("FR", "FR83404833048").await).0, Registration::Unchecked);
    let book = book(&scene.world, RemovalPolicy::CreditToBalance).await;
    subscribe(ctx, &book, "month").await;
    seat(ctx, "ada").await;
    run(&scene.world, "2026-01-01").await;
    assert_eq!(scene.asked_after(5).await, ANSWERED);
    assert_eq!(is(&stored(ctx).await), (Registration::Void, Some(CONSULTATION), true));
    super::at(&scene.world, "2026-02-01T09:00");
    run(&scene.world, "2026-02-01").await;
    let documents = invoices(ctx).await;
    // The issuer voids the first, or bears its tax.
    assert_eq!(evidence(&documents[0]), (true, None));
    assert_eq!(evidence(&documents[1]), (false, Some(CONSULTATION.to_owned())));
    super::verify::assert_clean(&scene.world, 2).await;
}

/// A register that answers when it is let.
#[derive(Debug, Default)]
struct Held {
    is_asked: Notify,
    may_answer: Notify,
}

#[async_trait::async_trait]
impl VatRegister for Held {
    async fn look_up(&self, _: Number<'_>, _: Option<Number<'_>>) -> Outcome {
        self.is_asked.notify_one();
        self.may_answer.notified().await;
        Outcome::Answered { is_valid: true, consultation: None }
    }
}

#[tokio::test]
async fn an_answer_about_what_was_put_away_meanwhile_is_not_kept() {
    let scene = Scene::new().await;
    let ctx = &scene.world.ctx;
    scene.vies.fail(&[Fault::Broken]);
    scene.put("FR", NUMBER).await;
    scene.world.test_db.clock().advance(TimeDelta::minutes(5));
    let held = Arc::new(Held::default());
    let (db, register) = (scene.world.test_db.db(), held.clone());
    let asking = tokio::spawn(async move { ask_again(&db, &*register).await.unwrap() });
    held.is_asked.notified().await;
    assert_eq!(scene.asked_after(0).await, NOTHING, "one asks already");
    // Another number of which nothing is known: it does not get the first one's answer.
    scene.vies.fail(&[Fault::Broken]);
    put_customer(ctx, &*scene.register, customer("FR", Some("FR83404833048")), None).await.unwrap();
    held.may_answer.notify_one();
    assert_eq!(asking.await.unwrap(), NOTHING);
    assert_eq!(is(&stored(ctx).await).0, Registration::Unchecked);
}

#[tokio::test]
async fn what_no_register_knows_and_whom_nobody_bills_is_not_asked_about() {
    let scene = Scene::new().await;
    let ctx = &scene.world.ctx;
    assert_eq!(is(&scene.put("CH", "CHE-123.456.788").await).0, Registration::Unchecked);
    assert_eq!((scene.asked_after(10_000).await, scene.vies.heard().len()), (NOTHING, 0));
    scene.vies.fail(&[Fault::Broken]);
    scene.put("FR", NUMBER).await;
    tenancy::tenant::delete(ctx, None).await.unwrap();
    assert_eq!((scene.asked_after(10_000).await, scene.vies.heard().len()), (NOTHING, 1));
    tenancy::tenant::restore(ctx).await.unwrap();
    assert_eq!(scene.asked_after(1).await, ANSWERED);
}
