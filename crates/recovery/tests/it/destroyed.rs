//! A database that was lost while a tenant was being destroyed.

use std::time::Duration;

use blob::{BlobKey, KeyPrefix};
use bytes::Bytes;
use kernel::{MailboxId, MessageId};
use mailstore::ingest::{Incoming, Outcome, Target, ingest};
use mailstore::message::{self, Flags};
use mailstore::purge::{self, Purged};
use mailstore::{MailStore, check, sweep};
use recovery::{Journal, ship};
use sqlx::Connection as _;
use tenancy::auth::Auth;
use tenancy::{Ctx, tenant, user};
use testkit::{TestDb, world};

use crate::support::Bench;

pub(crate) const MAIL: &[u8] = b"Subject: hello\r\n\r\nHello\r\n";

/// A second tenant, and a mailbox in it.
pub(crate) async fn neighbour(bench: &Bench) -> (Ctx, MailboxId) {
    let made = world::tenant(&bench.world.operator, &bench.world.reseller, "Neighbour").await;
    let ctx = bench.world.operator.enter(made.id).await.unwrap();
    world::domain(&ctx, "neighbour.example").await;
    let new = user::NewUser { password: None, ..world::new_user("bob@neighbour.example", None) };
    let mailbox_id = user::create(&ctx, new).await.unwrap().mailbox_id;
    (ctx, mailbox_id)
}

pub(crate) async fn deliver(bench: &Bench, ctx: &Ctx, mailbox_id: MailboxId) -> MessageId {
    let target = Target { ctx: ctx.clone(), mailbox_id, folder: None.into(), room_bytes: None };
    let incoming = Incoming {
        bytes: Bytes::from_static(MAIL),
        internal_date: ctx.env().now(),
        flags: Flags::default(),
        import_key: None,
    };
    match ingest(&bench.store, vec![target], incoming).await.remove(0).unwrap() {
        Outcome::Stored(id) => id,
        Outcome::AlreadyImported => panic!("it is no import"),
    }
}

async fn packs(bench: &Bench) -> Vec<BlobKey> {
    let mut objects = bench.objects(KeyPrefix::All).await;
    objects.retain(|key| matches!(key, BlobKey::Pack { .. }));
    objects
}

async fn run(test_db: &TestDb, statement: &'static str) {
    let mut connection = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

async fn is_begun(test_db: &TestDb) -> bool {
    let mut connection = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let begun = "select exists (select from tenants where destroying is not null)";
    sqlx::query_scalar(begun).fetch_one(&mut connection).await.unwrap()
}

async fn destroy(store: &MailStore, test_db: &TestDb) -> Purged {
    let db = test_db.db();
    let auth = Auth::new(db.clone()).await.unwrap();
    let due = purge::due_tenants(&db).await.unwrap();
    purge::run(store, &db, &auth, purge::Terms::default(), &due).await.unwrap()
}

/// The same, while the journal gets into the bucket.
async fn destroy_shipping(store: &MailStore, test_db: &TestDb, journal: &Journal) -> Purged {
    let shipping = async {
        loop {
            ship::ship(journal).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        purged = destroy(store, test_db) => purged,
        () = shipping => panic!("it goes on and on"),
    }
}

/// Deletes a tenant, as if so long ago that nobody can restore it any more.
async fn deleted_long_ago(bench: &Bench, ctx: &Ctx) {
    tenant::delete(ctx, None).await.unwrap();
    let long_ago = "update tenants set deleted_at = deleted_at - interval '32 days' where status = 'deleted'";
    run(&bench.world.test_db, long_ago).await;
    bench.ship().await;
}

#[tokio::test]
async fn a_tenant_is_left_to_a_later_round_where_the_journal_does_not_get_into_the_bucket() {
    let bench = Bench::new().await;
    let (gone, bob) = neighbour(&bench).await;
    deliver(&bench, &gone, bob).await;
    deleted_long_ago(&bench, &gone).await;
    let objects = bench.objects(KeyPrefix::Tenant(gone.tenant_id())).await;
    let db = bench.world.test_db.db();
    let auth = Auth::new(db.clone()).await.unwrap();
    let due = purge::due_tenants(&db).await.unwrap();
    let terms = purge::Terms { patience: Duration::from_millis(300), ..purge::Terms::default() };
    for _ in 0..2 {
        let purged = purge::run(&bench.store, &db, &auth, terms, &due).await.unwrap();
        assert_eq!(purged, Purged { mailboxes: 0, tenants: 0, failed: 1 });
        assert_eq!(bench.objects(KeyPrefix::Tenant(gone.tenant_id())).await, objects);
    }
    assert_eq!(bench.copied().await.recovered.destroyed, [].into(), "it could be read yet");
    let purged = destroy_shipping(&bench.store, &bench.world.test_db, &bench.journal).await;
    assert_eq!(purged, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    assert_eq!(bench.objects(KeyPrefix::Tenant(gone.tenant_id())).await, []);
}

#[tokio::test]
async fn what_only_a_destroyed_tenant_had_in_shared_packs_goes_after_a_recovery() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let kept = bench.deliver(ada, None, MAIL).await;
    let of_ada = packs(&bench).await;
    let (gone, bob) = neighbour(&bench).await;
    deliver(&bench, &gone, bob).await;
    let all = packs(&bench).await;
    assert!(
        all.len() == 2 && all.iter().all(|key| matches!(key, BlobKey::Pack { owner: None, .. })),
        "{all:?}"
    );
    deleted_long_ago(&bench, &gone).await;
    // The bucket learns that it goes, and no more.
    let shipping = async {
        while !is_begun(&bench.world.test_db).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bench.ship().await;
    };
    let (purged, ()) = tokio::join!(destroy(&bench.store, &bench.world.test_db), shipping);
    assert_eq!(purged, Purged { mailboxes: 0, tenants: 1, failed: 0 });

    let again = bench.recovered().await;
    assert_eq!(again.recovered.destroyed, [gone.tenant_id()].into());
    assert_eq!((&again.recovered.broken, &again.recovered.found.left), (&vec![], &vec![]));
    let db = again.test_db.db();
    let journal = Journal::new(&db, &again.store);
    assert_eq!(destroy_shipping(&again.store, &again.test_db, &journal).await, purged);
    assert_eq!(sweep::run(&again.store, &db).await.packs, 0, "somebody may be reading there");
    run(
        &again.test_db,
        "update packs set drained_at = drained_at - interval '2 hours' where state = 'draining'",
    )
    .await;
    assert_eq!(sweep::run(&again.store, &db).await.packs, 1);
    assert_eq!(packs(&bench).await, of_ada);
    assert_eq!(message::raw(&again.store, &again.ctx, ada, kept, None).await.unwrap().bytes, MAIL);
    assert_eq!(check::drift(&db).await.unwrap(), check::Drift::default());
}

/// What lies there may be in rows that somebody deleted by mistake, and who verifies is told.
#[tokio::test]
async fn a_pack_that_says_that_a_tenant_has_something_in_it_stays_also_without_rows() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.deliver(ada, None, MAIL).await;
    let all = packs(&bench).await;
    run(&bench.world.test_db, "delete from messages; delete from blobs; delete from pack_shares").await;
    bench.ship().await;
    let again = bench.recovered().await;
    run(
        &again.test_db,
        "update packs set drained_at = drained_at - interval '2 hours' where state = 'draining'",
    )
    .await;
    assert_eq!(sweep::run(&again.store, &again.test_db.db()).await.packs, 0);
    assert_eq!(packs(&bench).await, all);
}
