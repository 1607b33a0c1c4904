//! What lies in packs that no row names: mail that was acknowledged, and mail that was not.

use blob::{BlobKey, KeyPrefix};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{MailboxId, MessageId};
use mailstore::import::{self, Filing};
use mailstore::ingest::{Incoming, Target, Within, ingest};
use mailstore::message::{self, Flags};
use mailstore::{Error, check};
use pack::{About, Compressed, Delivery, Uidl, Writer};
use sqlx::{Connection as _, PgConnection};
use tenancy::quota::{self, Bounds};
use tenancy::reseller::{self, CapsChange, ResellerChange};
use tenancy::tenant::{self, TenantChange};
use tenancy::{Ctx, mailbox};
use testkit::TestDb;
use uuid::Uuid;

use crate::destroyed::{MAIL, deliver, neighbour};
use crate::support::Bench;

fn mail(number: usize) -> Vec<u8> {
    format!("Subject: message {number}\r\n\r\nWords\r\n").into_bytes()
}

/// An id as of a moment.
fn id_of(at: DateTime<Utc>) -> MessageId {
    let millis = u128::try_from(at.timestamp_millis()).unwrap();
    // RFC 9562 §5.7: version 7, variant 10.
    MessageId::from_uuid(Uuid::from_u128(millis << 80 | 7 << 76 | 2 << 62))
}

/// Puts a pack of a tenant's own, and no row.
async fn put_pack(
    bench: &Bench,
    ctx: &Ctx,
    mailbox: MailboxId,
    messages: &[(MessageId, Vec<u8>)],
) -> BlobKey {
    put_pack_of(bench, ctx, mailbox, [0; 32], messages).await
}

/// The same, of messages with a hash.
async fn put_pack_of(
    bench: &Bench,
    ctx: &Ctx,
    mailbox: MailboxId,
    sha256: [u8; 32],
    messages: &[(MessageId, Vec<u8>)],
) -> BlobKey {
    let key = bench.store.keys().sealing(ctx).await.unwrap();
    let mut writer = Writer::new(ctx.env());
    for (message, bytes) in messages {
        let delivery = Delivery { message: *message, uidl: Uidl::of(*message), mailbox, folder: None };
        let about = About::new(sha256, ctx.env().now(), vec![delivery]).unwrap();
        writer.add(&key, &Compressed::new(bytes).unwrap(), about).unwrap();
    }
    let sealed = writer.seal();
    let object = BlobKey::Pack { owner: Some(ctx.tenant_id()), pack: sealed.id() };
    bench.blobs.put(&object, sealed.bytes().clone()).await.unwrap();
    object
}

async fn assert_exact(test_db: &TestDb) {
    assert_eq!(check::drift(&test_db.db()).await.unwrap(), check::Drift::default());
    assert_eq!(quota::drift(&test_db.db()).await.unwrap(), 0);
}

async fn set_limits(bench: &Bench, ada: MailboxId, bytes: i64) {
    let bounds = Bounds { quota_bytes: Some(bytes), ..Bounds::default() };
    mailbox::set_quota(bench.ctx(), ada, None, bounds).await.unwrap();
    let limit = TenantChange { storage_limit_bytes: Some(Some(bytes)), ..TenantChange::default() };
    tenant::update(bench.ctx(), None, limit).await.unwrap();
    let reseller = bench.world.operator.enter_reseller(bench.world.reseller.id).await.unwrap();
    let caps = CapsChange { storage_bytes: Some(Some(bytes)), ..CapsChange::default() };
    let change = ResellerChange { caps, ..ResellerChange::default() };
    reseller::update(&reseller, None, change).await.unwrap();
}

async fn used(ctx: &Ctx, id: MailboxId) -> i64 {
    mailbox::get(ctx, id).await.unwrap().quota.used_bytes
}

#[tokio::test]
async fn what_was_let_in_is_there_however_full_its_mailbox_was_before() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let first = bench.deliver(ada, None, &mail(1)).await;
    let size_bytes = i64::try_from(mail(1).len()).unwrap();
    set_limits(&bench, ada, size_bytes).await;
    bench.ship().await;

    // Room is made and used, at each level, and only the bucket knows of what it was used for.
    message::discard(&bench.store, bench.ctx(), ada, first).await.unwrap();
    let late = bench.deliver(ada, None, &mail(2)).await;
    let again = bench.recovered().await;
    let found = &again.recovered.found;
    assert_eq!((found.messages, &found.left), (1, &vec![]));
    for (id, number) in [(first, 1), (late, 2)] {
        let raw = message::raw(&again.store, &again.ctx, ada, id, None).await.unwrap();
        assert_eq!(raw.bytes, mail(number));
    }
    assert_eq!(used(&again.ctx, ada).await, 2 * size_bytes);
    assert_exact(&again.test_db).await;

    let target = Target { ctx: again.ctx.clone(), mailbox_id: ada, folder: Within::Inbox, room_bytes: None };
    let incoming = Incoming {
        bytes: Bytes::from(mail(3)),
        internal_date: again.ctx.env().now(),
        flags: Flags::default(),
        import_key: None,
    };
    let refused = ingest(&again.store, vec![target], incoming).await.remove(0);
    assert!(matches!(refused, Err(Error::OverQuota)), "{refused:?}");
}

#[tokio::test]
async fn what_was_destroyed_stays_so_though_a_pack_that_came_to_nothing_names_it() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.deliver(ada, None, &mail(0)).await;
    bench.ship().await;
    let now = bench.ctx().env().now();
    // As one that a compaction left, whose messages go back to any day; one that waited for minutes before it was taken in may be on its way.
    let (destroyed, late) = (id_of(now - TimeDelta::days(40)), id_of(now - TimeDelta::minutes(5)));
    let object = put_pack(&bench, bench.ctx(), ada, &[(destroyed, mail(1)), (late, mail(2))]).await;

    let again = bench.recovered().await;
    let found = &again.recovered.found;
    assert_eq!((found.packs, found.messages, &found.left), (1, 1, &vec![]));
    let is_there = async |id| message::get(&again.ctx, ada, id).await.is_ok();
    assert!(is_there(late).await && !is_there(destroyed).await);
    assert!(!bench.objects(KeyPrefix::All).await.contains(&object));
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn what_was_acknowledged_to_nobody_is_passed_over_and_kept() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.deliver(ada, None, &mail(0)).await;
    bench.ship().await;
    let untold = id_of(bench.ctx().env().now() - TimeDelta::minutes(7));
    let object = put_pack(&bench, bench.ctx(), ada, &[(untold, mail(1))]).await;

    let again = bench.recovered().await;
    let found = &again.recovered.found;
    assert_eq!((found.packs, found.messages, found.passed_over, &found.left), (1, 0, 1, &vec![]));
    assert!(message::get(&again.ctx, ada, untold).await.is_err());
    assert!(bench.objects(KeyPrefix::All).await.contains(&object), "nobody is to lose it");
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn what_an_import_that_was_run_again_has_taken_does_not_come_twice() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let before = id_of(bench.ctx().env().now() - TimeDelta::minutes(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.eml");
    std::fs::write(&path, mail(1)).unwrap();
    let run = import::run(&bench.store, bench.ctx(), ada, Filing::InOne(None), vec![path], |_| {});
    assert_eq!(run.await.unwrap().done, 1);
    let mut connection = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let sha256: Vec<u8> =
        sqlx::query_scalar("select sha256 from blobs").fetch_one(&mut connection).await.unwrap();
    bench.ship().await;
    // As the run has left it that was killed.
    let left = [(before, mail(1))];
    let object = put_pack_of(&bench, bench.ctx(), ada, sha256.try_into().unwrap(), &left).await;

    let again = bench.recovered().await;
    let found = &again.recovered.found;
    assert_eq!((found.packs, found.messages, found.passed_over, &found.left), (1, 0, 0, &vec![]));
    assert!(message::get(&again.ctx, ada, before).await.is_err());
    assert!(!bench.objects(KeyPrefix::All).await.contains(&object), "all of it is there");
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn what_was_being_moved_of_a_deleted_tenant_is_there_already() {
    let bench = Bench::new().await;
    let (deleted, bob) = neighbour(&bench).await;
    let kept = deliver(&bench, &deleted, bob).await;
    let object = put_pack(&bench, &deleted, bob, &[(kept, MAIL.to_vec())]).await;
    tenant::delete(&deleted, None).await.unwrap();
    bench.ship().await;

    let again = bench.recovered().await;
    let found = &again.recovered.found;
    assert_eq!((found.packs, found.messages, &found.left), (1, 0, &vec![]));
    assert!(!bench.objects(KeyPrefix::All).await.contains(&object));
    let operator = testkit::world::operator(&again.test_db);
    tenant::restore(&operator.enter_deleted_too(deleted.tenant_id()).await.unwrap()).await.unwrap();
    let restored = operator.enter(deleted.tenant_id()).await.unwrap();
    assert_eq!(message::raw(&again.store, &restored, bob, kept, None).await.unwrap().bytes, MAIL);
    assert_exact(&again.test_db).await;
}
