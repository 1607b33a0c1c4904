//! The worker against a real Postgres.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clocks;
mod collecting;
mod comparing;
mod delivered;
mod leaving;
mod webhook;

use std::time::Duration;

use billing::payment_method::{self, PutPaymentMethod};
use billing::payment_provider::{self, PutPaymentProvider};
use billing::price_book::{self, NewPrice, PriceBook};
use billing::run::{self, NewRun, Run};
use billing::subscription::{self, PutSubscription};
use db::jobs;
use db::jobs::Depth;
use mailstore::MailStore;
use secrecy::SecretString;
use tenancy::Ctx;
use tenancy::auth::Auth;
use testkit::World;
use testkit::stripe::SECRET_KEY;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker::Worker;

const PATIENCE: Duration = Duration::from_secs(30);

struct Working {
    world: World,
    store: MailStore,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Working {
    async fn new(world: World) -> Self {
        Self::charging_at(world, "http://127.0.0.1:9").await
    }

    /// With a payment provider that is there.
    async fn charging_at(world: World, provider: &str) -> Self {
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let guard = ::webhook::Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let db = world.test_db.db();
        let store = MailStore::new(db.clone(), blobs, testkit::kek::encryption());
        let worker = Worker {
            submission: submission::Submission::new(db.clone(), store.clone(), "mx.example", None),
            db,
            store: store.clone(),
            compaction: mailstore::compact::Pace {
                bytes_per_second: 8 << 20,
                ..mailstore::compact::Pace::default()
            },
            backups_kept: chrono::TimeDelta::days(30),
            auth: Auth::new(world.test_db.db()).await.unwrap(),
            payments: billing::payment::provider_at(provider).unwrap(),
            vat_register: std::sync::Arc::new(billing::vat_id::NoRegister),
            dns: dns::Resolver::at(&[]),
            sender: ::webhook::Sender::new(guard, ::webhook::Limits::default()).unwrap(),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(worker::run(worker, shutdown.clone()));
        Self { world, store, shutdown, task }
    }

    /// Waits until the queue is as expected.
    async fn queue_is(&self, expected: Depth) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let depth = jobs::depth(&self.world.test_db.db()).await.unwrap();
            if depth == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{depth:?} and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) -> World {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.world
    }
}

/// A tenant with one seat that owes a month since the day that a world's clock begins on.
async fn in_debt() -> World {
    let world = World::new().await;
    let book = book(&world, "month", "4.99").await;
    subscribe(&world.ctx, &book, "month", None).await;
    world.user("ada", None).await;
    world
}

/// What a mailbox costs at the world's reseller.
async fn book(world: &World, interval: &str, unit_price: &str) -> PriceBook {
    let price = NewPrice {
        item: "mailbox".into(),
        interval: interval.into(),
        model: "flat".into(),
        unit_price: Some(unit_price.into()),
        currency: "EUR".into(),
        ..NewPrice::default()
    };
    price_book::publish(&world.operator, Some(world.reseller.id), vec![price]).await.unwrap()
}

async fn subscribe(ctx: &Ctx, book: &PriceBook, interval: &str, payment_schedule: Option<&str>) {
    let put = PutSubscription {
        price_book_id: book.id,
        interval: interval.into(),
        payment_schedule: payment_schedule.map(str::to_owned),
        term_months: None,
        seats_committed: None,
        anchor_date: None,
        trial_ends_on: None,
    };
    subscription::put(ctx, put, None).await.unwrap();
}

/// The reseller takes charges, and a tenant of its pays by itself.
async fn pays_by_itself(world: &World, ctx: &Ctx) {
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let provider = PutPaymentProvider {
        secret_key: SecretString::from(SECRET_KEY),
        webhook_secret: SecretString::from("whsec_of_the_test"),
        is_enabled: true,
    };
    payment_provider::put(&reseller, &provider, None).await.unwrap();
    let method = PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay: true };
    payment_method::put(ctx, method, None).await.unwrap();
}

async fn asked(world: &World) -> Run {
    run::create(&world.operator, NewRun { as_of: "2026-03-02".into(), tenant_id: None }).await.unwrap()
}

#[tokio::test]
async fn a_run_that_somebody_asked_for_is_executed_and_its_job_goes() {
    let world = in_debt().await;
    let before = asked(&world).await;
    // Leads the scheduled runs, so that none of them is there first.
    #[expect(clippy::disallowed_methods, reason = "runs are of all tenants")]
    let mut leading = db::SystemTx::begin(&world.test_db.db()).await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtext('billing_runs'))")
        .execute(leading.conn())
        .await
        .unwrap();
    let working = Working::new(world).await;
    working.queue_is(Depth { waiting: 0, failed: 0 }).await;
    let done = run::get(&working.world.operator, before.id).await.unwrap();
    assert_eq!((done.status.as_str(), done.summary.unwrap().invoices), ("succeeded", 1));
    // Queued while it works, not before.
    let again = asked(&working.world).await;
    working.queue_is(Depth { waiting: 0, failed: 0 }).await;
    assert_eq!(run::get(&working.world.operator, again.id).await.unwrap().summary.unwrap().invoices, 0);
    working.stop().await;
}

#[tokio::test]
async fn a_job_that_fails_stays_for_another_attempt_and_stops_no_other() {
    let world = in_debt().await;
    let (db, env) = (world.test_db.db(), world.test_db.db().env().clone());
    #[expect(clippy::disallowed_methods, reason = "the queue belongs to no tenant")]
    let mut tx = db::SystemTx::begin(&db).await.unwrap();
    jobs::enqueue(&mut tx, &env, "made_up", serde_json::json!({}), env.now()).await.unwrap();
    tx.commit().await.unwrap();
    let run = asked(&world).await;
    let working = Working::new(world).await;
    working.queue_is(Depth { waiting: 1, failed: 0 }).await;
    assert_eq!(run::get(&working.world.operator, run.id).await.unwrap().status, "succeeded");
    let world = working.stop().await;
    let left = jobs::claim(&db, chrono::TimeDelta::minutes(1)).await.unwrap();
    assert!(left.is_none(), "put back without a pause: {left:?}");
    world.test_db.clock().advance(chrono::TimeDelta::seconds(3));
    let left = jobs::claim(&db, chrono::TimeDelta::minutes(1)).await.unwrap().unwrap();
    assert_eq!((left.kind.as_str(), left.attempts), ("made_up", 2));
}

#[tokio::test]
async fn old_answers_are_forgotten() {
    let world = World::new().await;
    let claim = async |world: &World| tenancy::idempotency::claim(&world.operator, "key", &[1; 32]).await;
    claim(&world).await.unwrap();
    world.test_db.clock().advance(chrono::TimeDelta::hours(25));
    let pool =
        sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&world.test_db.url()).await.unwrap();
    let working = Working::new(world).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kept = kept_keys(&pool).await;
        if kept == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{kept} keys are kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pool.close().await;
    working.stop().await;
}

async fn kept_keys(pool: &sqlx::PgPool) -> i64 {
    // Of the two, the role that sees the table; for good, since the pool has no other user.
    sqlx::query("set role pillarbox_system").execute(pool).await.unwrap();
    sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(pool).await.unwrap()
}
