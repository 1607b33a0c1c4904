//! What was deleted too long ago goes, with all that leads to it, and nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use blob::{BlobKey, BlobStore as _, KeyPrefix};
use chrono::TimeDelta;
use db::SystemTx;
use kernel::{MailboxId, PageRequest};
use mailstore::compact::{self, Compacted, Pace};
use mailstore::folder::{self, NewFolder};
use mailstore::ingest::{Target, Within, ingest};
use mailstore::purge::{self, Purged};
use mailstore::{MailStore, change, message};
use pack::{Ending, Tail, WrappedKey};
use sqlx::Connection as _;
use tenancy::auth::Auth;
use tenancy::domain::{self, DomainChange};
use tenancy::event::Kind;
use tenancy::group::{self, Member, NewGroup};
use tenancy::mailbox::{self, NewMailbox};
use tenancy::quota::drift;
use tenancy::{Error, tenant, user};
use testkit::faults::{Fault, Faults, Rule};
use testkit::s3::S3Server;

use crate::fault::bucket;
use crate::support::{Bench, HELLO, id, noise};

async fn run(bench: &Bench) -> Purged {
    let db = bench.world.test_db.db();
    let auth = Auth::new(db.clone()).await.unwrap();
    purge::run(&bench.store, &db, &auth, purge::Terms::default(), &purge::due_tenants(&db).await.unwrap())
        .await
        .unwrap()
}

/// A mailbox gets a folder in a folder, and a log that does not go back to its beginning.
async fn filed_long_ago(bench: &Bench, mailbox: MailboxId) {
    let mut parent_id = None;
    for name in ["A", "B"] {
        let new = NewFolder { parent_id, name: name.to_owned(), role: None, is_subscribed: true };
        parent_id = Some(folder::create(&bench.store, bench.ctx(), mailbox, new).await.unwrap().id);
    }
    bench.world.test_db.clock().advance(change::KEPT + TimeDelta::seconds(1));
    assert!(change::expire(&bench.world.test_db.db()).await.unwrap() > 0);
}

#[tokio::test]
async fn a_deleted_user_is_destroyed_when_they_cannot_be_restored_any_more() {
    let bench = Bench::new().await;
    let world = &bench.world;
    let ada = world.user("ada", None).await;
    let bob = bench.mailbox("bob", None).await;
    let results = bench.ingest(&[ada.mailbox_id, bob], HELLO).await;
    let kept = id(&results[1]);
    filed_long_ago(&bench, ada.mailbox_id).await;
    let gone = bench.stored(ada.mailbox_id, b"Subject: ada's alone\r\n\r\n").await;
    message::discard(&bench.store, bench.ctx(), ada.mailbox_id, gone).await.unwrap();
    // All that leads to them.
    let members = vec![Member::Mailbox(ada.mailbox_id), Member::Mailbox(bob)];
    let list = NewGroup { display_name: "All".into(), members, ..NewGroup::default() };
    let list = group::create(bench.ctx(), list).await.unwrap();
    let acme = domain::list(bench.ctx(), &Default::default(), PageRequest::new(None, None))
        .await
        .unwrap()
        .items
        .remove(0);
    let catch_all =
        DomainChange { catch_all_mailbox_id: Some(Some(ada.mailbox_id)), ..DomainChange::default() };
    domain::update(bench.ctx(), acme.id, None, catch_all).await.unwrap();
    user::delete(bench.ctx(), ada.id, None).await.unwrap();

    world.test_db.clock().advance(TimeDelta::days(31));
    assert_eq!(
        run(&bench).await,
        Purged::default(),
        "not before a day has passed since it could be restored"
    );
    world.test_db.clock().advance(TimeDelta::seconds(1));
    assert_eq!(run(&bench).await, Purged { mailboxes: 1, tenants: 0, failed: 0 });
    assert_eq!(run(&bench).await, Purged::default());
    assert!(matches!(user::get(bench.ctx(), ada.id).await, Err(Error::NotFound)));
    assert_eq!(group::get(bench.ctx(), list.id).await.unwrap().member_count, 1);
    bench.sweep_out().await;
    assert_eq!(bench.blobs.packs().await.len(), 1, "the body that bob has, too, stays");
    assert_eq!(message::raw(&bench.store, bench.ctx(), bob, kept, None).await.unwrap().bytes, HELLO);
    let purged = bench.world.noted(Kind::UserPurged).await;
    assert_eq!(purged[0].event.subject, ada.id.to_string());
    assert_eq!(drift(&world.test_db.db()).await.unwrap(), 0);
    bench.assert_exact().await;
    // The address is another's to have, and the domain can go once nobody has one in it.
    world.user("ada", None).await;
}

#[tokio::test]
async fn a_deleted_shared_mailbox_is_destroyed_and_one_that_came_back_is_not() {
    let bench = Bench::new().await;
    let shared = |local: &str| NewMailbox {
        kind: mailbox::Kind::Shared,
        display_name: local.into(),
        address: format!("{local}@acme.example"),
        aliases: Vec::new(),
        quota_bytes: None,
    };
    let info = mailbox::create(bench.ctx(), shared("info")).await.unwrap();
    let back = mailbox::create(bench.ctx(), shared("back")).await.unwrap();
    bench.ingest(&[info.id, back.id], HELLO).await;
    for id in [info.id, back.id] {
        mailbox::delete(bench.ctx(), id, None).await.unwrap();
    }
    bench.world.test_db.clock().advance(TimeDelta::days(20));
    mailbox::restore(bench.ctx(), back.id, None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(20));
    assert_eq!(run(&bench).await, Purged { mailboxes: 1, tenants: 0, failed: 0 });
    assert!(mailbox::get(bench.ctx(), back.id).await.is_ok());
    let purged = bench.world.noted(Kind::MailboxPurged).await;
    assert_eq!(purged[0].event.subject, info.id.to_string());
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_mailbox_whose_destruction_is_interrupted_counts_what_is_left_of_it() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    bench.stored(ada.mailbox_id, HELLO).await;
    let discarded = bench.stored(ada.mailbox_id, b"Subject: discarded\r\n\r\n").await;
    message::discard(&bench.store, bench.ctx(), ada.mailbox_id, discarded).await.unwrap();
    user::delete(bench.ctx(), ada.id, None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(40));
    // Messages go in transactions of their own, before the folders that they were in.
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
         create trigger refused before delete on folders for each row execute function refuse()",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    assert_eq!(run(&bench).await, Purged { mailboxes: 0, tenants: 0, failed: 1 });
    bench.assert_exact().await;
    sqlx::raw_sql("drop trigger refused on folders").execute(&mut owner).await.unwrap();
    assert_eq!(run(&bench).await, Purged { mailboxes: 1, tenants: 0, failed: 0 });
    bench.assert_exact().await;
    owner.close().await.unwrap();
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test spoils counters that no lawful transaction would")]
async fn a_counter_that_is_off_keeps_no_mailbox_from_being_destroyed() {
    let bench = Bench::new().await;
    let db = bench.world.test_db.db();
    for (at, spoil) in [
        "update mailboxes set used_bytes = used_bytes - 1 where used_bytes > 0",
        "update mailboxes set recoverable_bytes = recoverable_bytes - 1 where recoverable_bytes > 0",
        "update folders set message_count = message_count - 1 where message_count > 0",
        "update folders set unseen_count = 0 where unseen_count > 0",
        "update folders set unseen_count = message_count where message_count > 0",
        "update folders set size_bytes = size_bytes - 1 where size_bytes > 0",
    ]
    .into_iter()
    .enumerate()
    {
        let ada = bench.user(&format!("ada{at}"), None).await;
        bench.stored(ada.mailbox_id, HELLO).await;
        let seen = bench.stored(ada.mailbox_id, b"Subject: seen\r\n\r\n").await;
        let flags = message::Flags { flags: [message::Flag::Seen].into(), ..message::Flags::default() };
        let flags = message::FlagChange::replacing(flags);
        message::flag(&bench.store, bench.ctx(), ada.mailbox_id, &[seen], &flags).await.unwrap();
        let discarded = bench.stored(ada.mailbox_id, b"Subject: discarded\r\n\r\n").await;
        message::discard(&bench.store, bench.ctx(), ada.mailbox_id, discarded).await.unwrap();
        user::delete(bench.ctx(), ada.id, None).await.unwrap();
        bench.world.test_db.clock().advance(TimeDelta::days(40));
        let mut tx = SystemTx::begin(&db).await.unwrap();
        let spoilt = sqlx::query(spoil).execute(tx.conn()).await.unwrap();
        assert_eq!(spoilt.rows_affected(), 1, "{spoil}");
        tx.commit().await.unwrap();
        assert_eq!(run(&bench).await, Purged { mailboxes: 1, tenants: 0, failed: 0 }, "{spoil}");
        let mut tx = SystemTx::begin(&db).await.unwrap();
        let left = sqlx::query_scalar("select count(*) from messages").fetch_one(tx.conn()).await;
        let left: i64 = left.unwrap();
        assert_eq!(left, 0, "{spoil}");
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn however_many_cannot_be_destroyed_the_next_is_tried() {
    let bench = Bench::new().await;
    let operator = &bench.world.operator;
    // More than are looked up at a time.
    for at in 0..101 {
        let new = testkit::world::new_tenant(&bench.world.reseller, &format!("Tenant {at}"));
        let made = tenant::create(operator, new).await.unwrap();
        tenant::delete(&operator.enter(made.id).await.unwrap(), None).await.unwrap();
    }
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    bench.blobs.keeping.store(true, Ordering::SeqCst);
    assert_eq!(run(&bench).await, Purged { mailboxes: 0, tenants: 0, failed: 101 });
}

#[tokio::test]
async fn a_deleted_tenant_is_destroyed_and_leaves_a_record() {
    let bench = Bench::new().await;
    let world = &bench.world;
    let ada = bench.mailbox("ada", None).await;
    bench.ingest(&[ada], HELLO).await;
    filed_long_ago(&bench, ada).await;
    let deleted = bench.stored(ada, b"Subject: deleted\r\n\r\n").await;
    message::discard(&bench.store, bench.ctx(), ada, deleted).await.unwrap();
    let list =
        NewGroup { display_name: "All".into(), members: vec![Member::Mailbox(ada)], ..NewGroup::default() };
    group::create(bench.ctx(), list).await.unwrap();
    let large = noise(2 << 20);
    bench.stored(ada, &large).await;
    // One message for both tenants: once their keys are made, it is one pack.
    let (other, bob) = bench.neighbour().await;
    let target = || Target { ctx: other.clone(), mailbox_id: bob, folder: Within::Inbox, room_bytes: None };
    bench.store.keys().sealing(&other).await.unwrap();
    let both = vec![target(), bench.target(ada)];
    let kept = ingest(&bench.store, both, bench.incoming(b"Subject: both\r\n\r\n")).await;
    let packs = bench.blobs.packs().await;
    assert_eq!(packs.len(), 4);

    tenant::delete(bench.ctx(), None).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(32));
    // A store that does not delete is not the end of it.
    bench.blobs.keeping.store(true, Ordering::SeqCst);
    assert_eq!(run(&bench).await, Purged { mailboxes: 0, tenants: 0, failed: 1 });
    bench.blobs.keeping.store(false, Ordering::SeqCst);
    assert_eq!(run(&bench).await, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    assert_eq!(run(&bench).await, Purged::default());
    // All that is left is the neighbour's key, what the sweeper takes, and the pack that both have something in: no key opens this tenant's part.
    bench.sweep_out().await;
    let [left, BlobKey::WrappedKey { tenant, .. }] = &bench.blobs.keys().await[..] else {
        panic!("{:?}", bench.blobs.keys().await)
    };
    assert!(packs.contains(left) && *tenant == other.tenant_id());
    let object = bench.blobs.get(left).await.unwrap();
    let Ending::Whole(tail) = Tail::parse(object.len() as u64, &object).unwrap() else {
        panic!("it is all there")
    };
    let sections: BTreeSet<_> = tail.sections().map(|(tenant, _)| tenant).collect();
    assert_eq!(sections, [world.tenant.id, other.tenant_id()].into());
    let fresh = MailStore::new(world.test_db.db(), bench.blobs.clone(), testkit::kek::encryption());
    assert_eq!(tail.entries(&fresh.keys().sealing(&other).await.unwrap()).unwrap().len(), 1);
    let read = message::raw(&fresh, &other, bob, id(&kept[0]), None).await.unwrap();
    assert_eq!(read.bytes, &b"Subject: both\r\n\r\n"[..]);

    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let gone = tenant::get(&ctx).await.unwrap();
    assert_eq!((gone.status.as_str(), gone.seats_used, gone.domains_used), ("purged", 0, 0));
    assert_eq!(tenant::restore(&ctx).await.unwrap_err().code(), "restore_expired");
    let record = tenancy::purge::record(&ctx).await.unwrap();
    let told = bench.world.noted(Kind::TenantPurged).await;
    let destroyed = &told[0].event.data["destroyed"];
    let expected = serde_json::json!({"messages": 4, "objects": 4, "bytes": destroyed["bytes"], "users": 1, "mailboxes": 1,
        "groups": 1, "domains": 1});
    assert_eq!(*destroyed, expected);
    assert_eq!(told[0].event.data["record"], record.jws);
    assert_eq!(drift(&world.test_db.db()).await.unwrap(), 0);
    assert!(matches!(tenancy::purge::record(&other).await, Err(Error::NotFound)));
    // Nothing of it is left but what is to be kept.
    let mut connection = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.columns where table_schema = 'public' and column_name = 'tenant_id'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        let count = format!("select count(*) from {table} where tenant_id = $1");
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count)).bind(world.tenant.id.uuid());
        let rows = count.fetch_one(&mut connection).await.unwrap();
        let kept = [
            "events",
            "destruction_records",
            "seat_changes",
            "mailbox_changes",
            "tenant_standings",
            "tenant_placements",
            "storage_samples",
            // On its way into the bucket: what has no key any more is dropped there.
            "journal",
        ]
        .contains(&table.as_str());
        assert!(kept || rows == 0, "{table} has {rows} rows of a tenant that was destroyed");
    }
}

#[tokio::test]
async fn what_moves_while_its_tenant_is_destroyed_goes_too() {
    let bench = Bench::new().await;
    let (db, ada) = (bench.world.test_db.db(), bench.mailbox("ada", None).await);
    bench.stored(ada, HELLO).await;
    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    // It has the key, and is about to read.
    let reading = bench.blobs.hold_look(0);
    let store = bench.store.clone();
    let compaction = tokio::spawn(async move {
        let pace = Pace::default();
        compact::run(&store, &db, pace).await.unwrap()
    });
    bench.blobs.wait_until_looking().await;
    let listing = bench.blobs.hold_look(0);
    let moving = async {
        bench.blobs.wait_until_looking().await;
        reading.add_permits(1);
        let moved = compaction.await.unwrap();
        listing.add_permits(1);
        moved
    };
    let (purged, moved) = tokio::join!(run(&bench), moving);
    assert_eq!(moved, Compacted { bodies: 1, packs: 1, ..Compacted::default() });
    assert_eq!(purged, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    bench.sweep_out().await;
    assert_eq!(bench.blobs.keys().await, []);
}

#[tokio::test]
async fn a_tenant_that_is_being_destroyed_is_not_compacted() {
    let bench = Bench::new().await;
    let (db, ada) = (bench.world.test_db.db(), bench.mailbox("ada", None).await);
    let stored = bench.stored(ada, HELLO).await;
    // A process that has the key in memory for a while.
    let other = MailStore::new(db.clone(), bench.blobs.clone(), testkit::kek::encryption());
    other.keys().sealing(bench.ctx()).await.unwrap();
    message::raw(&other, bench.ctx(), ada, stored, None).await.unwrap();
    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    bench.blobs.keeping.store(true, Ordering::SeqCst);
    assert_eq!(run(&bench).await, Purged { mailboxes: 0, tenants: 0, failed: 1 });
    let pace = Pace::default();
    let compacted = compact::run(&other, &db, pace).await.unwrap();
    assert_eq!(compacted, Compacted::default());
}

#[tokio::test]
async fn in_a_bucket_that_keeps_versions_none_is_left_of_a_destroyed_tenants_keys() {
    let bench = Bench::new().await;
    let (server, limit) = (S3Server::versioned().await, Duration::from_secs(10));
    let front = Faults::before(server.address()).await;
    let (blobs, direct) = (bucket(&front.url("x"), limit).await, bucket(&server.url("x"), limit).await);
    let store = MailStore::new(bench.world.test_db.db(), blobs, testkit::kek::encryption());
    let ada = bench.mailbox("ada", None).await;
    id(&ingest(&store, vec![bench.target(ada)], bench.incoming(HELLO)).await[0]);
    store.keys().rotate(bench.ctx()).await.unwrap();
    let tenant_id = bench.ctx().tenant_id();
    let keys = KeyPrefix::WrappedKeys(tenant_id);
    let versions = || server.versions(&format!("x/{keys}"));

    // A plain delete, as of a purge that knows no versions: no listing shows the key any more, and it opens all the same.
    let first = direct.list(&keys, None).await.unwrap().keys.remove(0);
    direct.delete(&first).await.unwrap();
    assert!(matches!(direct.get(&first).await, Err(blob::Error::NotFound)));
    let [older, marker, _] = &versions()[..] else { panic!("{:?}", versions()) };
    assert_eq!((&older.name, &marker.bytes), (&format!("x/{first}"), &None));
    let wrapped = WrappedKey::decode(older.bytes.as_ref().unwrap()).unwrap();
    let opened = testkit::kek::encryption().unwrap(&wrapped).await.unwrap();
    assert_eq!(opened.tenant(), tenant_id);

    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    let db = bench.world.test_db.db();
    let auth = Auth::new(db.clone()).await.unwrap();
    let gone = bench.world.operator.enter_deleted_too(tenant_id).await.unwrap();
    // Without the permissions for it, nothing says that it was destroyed.
    for (method, part) in [("GET", "versions"), ("DELETE", "versionId=")] {
        front.set([Rule::new(method, part, Fault::DENIED)]);
        let purged =
            purge::run(&store, &db, &auth, purge::Terms::default(), &purge::due_tenants(&db).await.unwrap())
                .await
                .unwrap();
        assert_eq!(purged, Purged { mailboxes: 0, tenants: 0, failed: 1 }, "{part}");
        assert_eq!(versions().len(), 3, "{part}");
        assert!(matches!(tenancy::purge::record(&gone).await, Err(Error::NotFound)), "{part}");
    }
    front.lift();
    let purged =
        purge::run(&store, &db, &auth, purge::Terms::default(), &purge::due_tenants(&db).await.unwrap())
            .await
            .unwrap();
    assert_eq!(purged, Purged { mailboxes: 0, tenants: 1, failed: 0 });
    assert_eq!(versions(), []);
    tenancy::purge::record(&gone).await.unwrap();
}
