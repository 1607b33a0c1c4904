//! Mail for several tenants in one transaction: each in its own place, and within its own limits.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{MailboxId, TenantId};
use sqlx::Row as _;
use tenancy::quota::{Charge, Intake, Mailboxes, Wanted};
use tenancy::reseller::{self, CapsChange, ResellerChange};
use tenancy::tenant::{self, TenantChange};
use tenancy::user::User;
use tenancy::{Action, Ctx, IngestTx, OfTenants as _, event, mailbox};
use testkit::{World, world};

use crate::neighbour;

/// Users of two tenants of one reseller.
async fn two(world: &World) -> (User, User, Ctx) {
    let ada = world.user("ada", None).await;
    let other = neighbour(world).await;
    world::domain(&other, "other.example").await;
    let bob = world::user(&other, "bob@other.example", None).await;
    (ada, bob, other)
}

async fn lock<'a>(tx: &mut IngestTx, mailboxes: &[(TenantId, MailboxId)]) -> Intake<'a> {
    // What is taken in the end may be more or less.
    let some = Wanted { bytes: 70, messages: 2 };
    bring(tx, mailboxes.iter().map(|&place| (place, some)).collect()).await
}

/// Locks mailboxes, each for what it is to get if all of it is taken.
async fn bring<'a>(tx: &mut IngestTx, wanted: BTreeMap<(TenantId, MailboxId), Wanted>) -> Intake<'a> {
    let locked = Mailboxes::lock(tx, &wanted).await.unwrap();
    assert!(locked.ids().all(|place| wanted.contains_key(&place)));
    locked.with_pools(tx).await.unwrap()
}

async fn used(ctx: &Ctx, id: MailboxId) -> i64 {
    mailbox::get(ctx, id).await.unwrap().quota.used_bytes
}

fn is_taken(charge: Charge) -> bool {
    matches!(charge, Charge::Taken { .. })
}

#[tokio::test]
async fn it_reaches_the_mail_of_its_tenants_and_nothing_else() {
    let world = World::new().await;
    let (ada, bob, other) = two(&world).await;
    let rows = async |entered: &[&Ctx], table: &str| {
        let mut tx = IngestTx::begin(world.ctx.db(), entered.iter().copied()).await.unwrap();
        let count = format!("select count(*) from {table}");
        let row = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(tx.conn()).await.unwrap();
        row.get::<i64, _>(0)
    };
    assert_eq!(rows(&[&world.ctx], "mailboxes").await, 1);
    assert_eq!(rows(&[&world.ctx, &other], "mailboxes").await, 2);
    assert_eq!(rows(&[&world.ctx, &other], "tenants").await, 2);
    // What mail is not made of.
    for table in ["users", "domains", "addresses", "seat_changes"] {
        assert_eq!(rows(&[&world.ctx, &other], table).await, 0, "{table}");
    }
    // Nor a transaction of one tenant the other's.
    let mut tx = world.ctx.begin().await.unwrap();
    let row = sqlx::query("select count(*) from mailboxes").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
    drop(tx);

    // Also by its id.
    let mut tx = IngestTx::begin(world.ctx.db(), [&world.ctx]).await.unwrap();
    let foreign = (other.tenant_id(), bob.mailbox_id);
    let mut intake = lock(&mut tx, &[(world.tenant.id, ada.mailbox_id), foreign]).await;
    assert!(is_taken(intake.charge(&world.ctx, ada.mailbox_id, 10)));
    assert_eq!(intake.charge(&other, bob.mailbox_id, 10), Charge::Gone);
    let written =
        sqlx::query("update mailboxes set used_bytes = 1 where id = $1").bind(bob.mailbox_id.uuid());
    assert_eq!(written.execute(tx.conn()).await.unwrap().rows_affected(), 0);
    let inserted = sqlx::query(
        "insert into folders (tenant_id, mailbox_id, id, name, uid_validity, created_at) values ($1, $2, $2, 'x', 1, now())",
    );
    let inserted = inserted.bind(foreign.0.uuid()).bind(foreign.1.uuid()).execute(tx.conn()).await;
    let refused = inserted.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
}

#[tokio::test]
async fn that_nothing_is_to_be_shared_is_said_when_all_that_was_being_taken_in_is_there() {
    let world = World::new().await;
    let (ada, ..) = two(&world).await;
    // With a limit the pool is locked, without it the mailboxes are.
    for limit in [None, Some(1_000)] {
        let storage = TenantChange {
            storage_limit_bytes: Some(limit),
            storage_dedicated: Some(false),
            ..Default::default()
        };
        tenant::update(&world.ctx, None, storage).await.unwrap();
        let mut tx = IngestTx::begin(world.ctx.db(), [&world.ctx]).await.unwrap();
        let intake = lock(&mut tx, &[(world.tenant.id, ada.mailbox_id)]).await;
        let ctx = world.ctx.clone();
        let setting = tokio::spawn(async move {
            let change = TenantChange { storage_dedicated: Some(true), ..Default::default() };
            tenant::update(&ctx, None, change).await
        });
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert!(!setting.is_finished(), "{limit:?}");
        intake.write(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(setting.await.unwrap().unwrap().storage_dedicated);
    }
}

#[tokio::test]
async fn each_charge_is_decided_by_all_before_it() {
    let world = World::new().await;
    let (ada, bob, other) = two(&world).await;
    let bounds = tenancy::quota::Bounds { quota_bytes: Some(100), ..Default::default() };
    mailbox::set_quota(&world.ctx, ada.mailbox_id, None, bounds).await.unwrap();
    let limit = TenantChange { storage_limit_bytes: Some(Some(150)), ..Default::default() };
    tenant::update(&other, None, limit).await.unwrap();
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let caps = CapsChange { storage_bytes: Some(Some(220)), ..Default::default() };
    reseller::update(&reseller, None, ResellerChange { caps, ..Default::default() }).await.unwrap();

    let mut tx = IngestTx::begin(world.ctx.db(), [&world.ctx, &other]).await.unwrap();
    let places = [(world.tenant.id, ada.mailbox_id), (other.tenant_id(), bob.mailbox_id)];
    let mut intake = lock(&mut tx, &places).await;
    let (ada, bob) = (ada.mailbox_id, bob.mailbox_id);
    let first = intake.charge(&world.ctx, ada, 60);
    let Charge::Taken { modseq } = first else { panic!("{first:?}") };
    assert_eq!(intake.charge(&world.ctx, ada, 41), Charge::OverQuota, "the mailbox has 40 left");
    assert_eq!(intake.charge(&world.ctx, ada, 40), Charge::Taken { modseq: modseq + 1 });
    assert_eq!(intake.charge(&other, bob, 151), Charge::OverQuota, "its tenant has 150");
    assert_eq!(intake.charge(&other, bob, 121), Charge::OverQuota, "the reseller of both has 120 left");
    assert!(is_taken(intake.charge(&other, bob, 120)));
    assert_eq!(intake.charge(&other, bob, 1), Charge::OverQuota);
    assert!(is_taken(intake.charge(&other, bob, 0)), "nothing fits everywhere");
    intake.write(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((used(&world.ctx, ada).await, used(&other, bob).await), (100, 120));
    assert_eq!(tenancy::quota::drift(&world.test_db.db()).await.unwrap(), 0);

    // What it crossed is noted once, on the trail of the tenant that it is about.
    event::chain(&world.test_db.db()).await.unwrap();
    let warned = async |tenant_id| {
        let filter =
            event::Filter { kinds: [event::Kind::MailboxQuotaWarning].into(), tenant_id: Some(tenant_id) };
        let page = kernel::PageRequest::new(None, None);
        let page = event::list(&world.operator, Action::EventRead, &filter, page).await.unwrap();
        page.items.into_iter().map(|told| told.event.data["threshold"].to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(warned(world.tenant.id).await, ["\"quota\"", "\"warn\""].map(String::from).into());
    assert!(warned(other.tenant_id()).await.is_empty());
}

#[tokio::test]
async fn a_mailbox_counts_what_was_taken_of_what_was_brought() {
    let world = World::new().await;
    let ada = world.user("ada", None).await.mailbox_id;
    let bounds = tenancy::quota::Bounds { quota_bytes: Some(100), ..Default::default() };
    mailbox::set_quota(&world.ctx, ada, None, bounds).await.unwrap();
    let wanted = |bytes| BTreeMap::from([((world.tenant.id, ada), Wanted { bytes, messages: 3 })]);

    // All of it would fit, and one was there already.
    let mut tx = IngestTx::begin(world.ctx.db(), [&world.ctx]).await.unwrap();
    let mut intake = bring(&mut tx, wanted(60)).await;
    let first = intake.charge(&world.ctx, ada, 20);
    let Charge::Taken { modseq } = first else { panic!("{first:?}") };
    assert_eq!(intake.charge(&world.ctx, ada, 20), Charge::Taken { modseq: modseq + 1 });
    intake.write(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(used(&world.ctx, ada).await, 40);

    // Of three, two fit.
    let mut tx = IngestTx::begin(world.ctx.db(), [&world.ctx]).await.unwrap();
    let mut intake = bring(&mut tx, wanted(90)).await;
    assert_eq!(intake.charge(&world.ctx, ada, 30), Charge::Taken { modseq: modseq + 2 });
    assert_eq!(intake.charge(&world.ctx, ada, 31), Charge::OverQuota);
    assert_eq!(intake.charge(&world.ctx, ada, 29), Charge::Taken { modseq: modseq + 3 });
    intake.write(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(used(&world.ctx, ada).await, 99);

    let mut tx = world.ctx.begin().await.unwrap();
    assert_eq!(tenancy::quota::lock(&mut tx, ada).await.unwrap(), Some(modseq + 4));
    assert_eq!(tenancy::quota::drift(&world.test_db.db()).await.unwrap(), 0);
}
