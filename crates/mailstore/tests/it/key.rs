//! A tenant's keys: made once, in the bucket before they seal, changed without touching what they sealed, and gone with the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blob::{BlobKey, BlobStore as _};
use chrono::TimeDelta;
use futures::future::join_all;
use kernel::{Env, TenantId, WrappedKeyId};
use mailstore::ingest::ingest;
use mailstore::key::{self, Keys, Rewrapped};
use mailstore::{Error, MailStore, message, purge};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use pack::{DataKey, Generation, KeyEncryption as _, KeyError, LocalKeys, WrappedKey};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;
use tenancy::auth::Auth;
use tenancy::{event, tenant};
use testkit::faults::{Fault, Faults, Rule};
use testkit::s3::S3Server;

use crate::fault::bucket;
use crate::support::{Bench, HELLO, id};

fn new_kek() -> String {
    LocalKeys::generate(&Env::system()).expose_secret().to_owned()
}

fn local(text: &str) -> Arc<LocalKeys> {
    Arc::new(LocalKeys::parse(&Env::system(), &SecretString::from(text)).unwrap())
}

fn keys(bench: &Bench, kek: &str) -> Keys {
    Keys::new(bench.world.test_db.db(), bench.blobs.clone(), local(kek))
}

/// The secret itself, which only a wrapping shows.
async fn same(one: &DataKey, other: &DataKey) -> bool {
    let mut writer = pack::Writer::new(&Env::system());
    let delivery = pack::Delivery {
        message: Env::system().new_id(),
        uidl: "1".parse().unwrap(),
        mailbox: Env::system().new_id(),
        folder: None,
    };
    let about = pack::About::new([0; 32], chrono::DateTime::UNIX_EPOCH, vec![delivery]).unwrap();
    let address = writer.add(one, &pack::Compressed::new(b"body").unwrap(), about).unwrap();
    let sealed = writer.seal();
    let range = address.range();
    let stored = &sealed.bytes()[range.start as usize..range.end as usize];
    pack::open(other, &address, stored).is_ok_and(|body| body == b"body")
}

/// What can be had from the bucket and a key-encryption key alone.
async fn from_the_bucket(bench: &Bench, kek: &str) -> Vec<DataKey> {
    let mut found = Vec::new();
    for key in bench.blobs.keys().await {
        let BlobKey::WrappedKey { tenant, .. } = key else { continue };
        let wrapped = WrappedKey::decode(&bench.blobs.get(&key).await.unwrap()).unwrap();
        assert_eq!(wrapped.tenant(), tenant);
        found.push(local(kek).unwrap(&wrapped).await.unwrap());
    }
    found.sort_by_key(DataKey::generation);
    found
}

#[tokio::test]
async fn a_key_is_made_once_and_is_in_the_bucket() {
    let (bench, kek) = (&Bench::new().await, &new_kek());
    // Each as if in a process of its own.
    let at_once = join_all((0..8).map(|_| {
        let keys = keys(bench, kek);
        async move { keys.sealing(bench.ctx()).await }
    }));
    let (at_once, keys) = (at_once.await, keys(bench, kek));
    let again = keys.sealing(bench.ctx()).await.unwrap();
    assert_eq!((again.tenant(), again.generation()), (bench.ctx().tenant_id(), Generation::FIRST));
    for key in at_once {
        assert!(same(&key.unwrap(), &again).await);
    }
    let [found] = &from_the_bucket(bench, kek).await[..] else { panic!("not one object") };
    assert!(same(found, &again).await);
    let opening = keys.opening(bench.ctx(), Generation::FIRST).await.unwrap();
    assert!(same(&opening, &again).await);
}

#[tokio::test]
async fn a_key_that_is_not_in_the_bucket_does_not_seal() {
    let (bench, kek) = (Bench::new().await, new_kek());
    let keys = keys(&bench, &kek);
    bench.blobs.keyless.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(keys.sealing(bench.ctx()).await, Err(Error::Blob(_))));
    }
    bench.blobs.keyless.store(false, Ordering::SeqCst);
    let key = keys.sealing(bench.ctx()).await.unwrap();
    let [found] = &from_the_bucket(&bench, &kek).await[..] else { panic!("not one object") };
    assert!(same(found, &key).await);
    let puts = bench.blobs.key_puts.load(Ordering::SeqCst);
    keys.sealing(bench.ctx()).await.unwrap();
    assert_eq!(bench.blobs.key_puts.load(Ordering::SeqCst), puts);
}

#[tokio::test]
async fn a_tenant_gets_a_new_key_and_keeps_the_old() {
    let (bench, kek) = (Bench::new().await, new_kek());
    let keys = keys(&bench, &kek);
    let first = keys.sealing(bench.ctx()).await.unwrap();
    let second = keys.rotate(bench.ctx()).await.unwrap();
    assert_eq!(second.number(), 2);
    let told = bench.world.noted(event::Kind::TenantKeyRotated).await;
    let generations: Vec<_> = told.iter().map(|one| one.event.data["generation"].as_u64()).collect();
    assert_eq!(generations, [Some(2)]);
    let sealing = keys.sealing(bench.ctx()).await.unwrap();
    assert_eq!(sealing.generation(), second);
    assert!(same(&first, &keys.opening(bench.ctx(), Generation::FIRST).await.unwrap()).await);
    assert!(same(&sealing, &keys.opening(bench.ctx(), second).await.unwrap()).await);
    assert_eq!(from_the_bucket(&bench, &kek).await.len(), 2);
    let third = keys.opening(bench.ctx(), second.next().unwrap()).await;
    assert!(matches!(third, Err(Error::NotFound)));
    // Nobody sees another's.
    let (other, _) = bench.neighbour().await;
    assert!(matches!(keys.opening(&other, Generation::FIRST).await, Err(Error::NotFound)));
    assert!(!same(&first, &keys.sealing(&other).await.unwrap()).await);
}

/// Counts what is counted of damaged keys on this test's thread.
#[derive(Debug, Default)]
struct Damaged(Arc<AtomicU64>);

impl Recorder for Damaged {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() == "pillarbox_tenant_keys_damaged_total" {
            true => Counter::from_arc(self.0.clone()),
            false => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn spoil(bench: &Bench, sql: &'static str) {
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut owner).await.unwrap();
    assert_eq!(sqlx::query(sql).execute(&mut owner).await.unwrap().rows_affected(), 1, "{sql}");
}

#[tokio::test]
async fn a_damaged_key_is_followed_by_another_and_only_what_it_sealed_is_lost() {
    let (bench, kek) = (Bench::new().await, new_kek());
    let damaged = Damaged::default();
    let _recording = metrics::set_default_local_recorder(&damaged);
    let ada = bench.mailbox("ada", None).await;
    let (other, _) = bench.neighbour().await;
    let store = || MailStore::new(bench.world.test_db.db(), bench.blobs.clone(), local(&kek));
    let results = ingest(&store(), vec![bench.target(ada)], bench.incoming(HELLO)).await;
    let kept = id(&results[0]);
    keys(&bench, &kek).rotate(bench.ctx()).await.unwrap();
    let results = ingest(&store(), vec![bench.target(ada)], bench.incoming(HELLO)).await;
    let lost = id(&results[0]);
    for (sql, generation) in [
        // What is wrapped, what it is, and with what it is wrapped.
        (
            "update tenant_keys set wrapped = set_byte(wrapped, length(wrapped) - 1, get_byte(wrapped, length(wrapped) - 1) # 1)
             where generation = 2",
            3,
        ),
        ("update tenant_keys set wrapped = set_byte(wrapped, 0, 0) where generation = 3", 4),
        ("update tenant_keys set wrapped = set_byte(wrapped, 29, get_byte(wrapped, 29) # 1) where generation = 4", 5),
        // Another one, which opens.
        (
            "update tenant_keys set wrapped = (select wrapped from tenant_keys where generation = 1)
             where generation = 5",
            6,
        ),
    ] {
        spoil(&bench, sql).await;
        // Each as if in a process of its own, with nothing in memory.
        let bench = &bench;
        let at_once = join_all((0..4).map(|_| {
            let keys = keys(bench, &kek);
            async move { keys.sealing(bench.ctx()).await }
        }));
        for key in at_once.await {
            assert_eq!(key.unwrap().generation().number(), generation, "{sql}");
        }
        assert_eq!(damaged.0.load(Ordering::SeqCst), u64::from(generation) - 2);
    }
    keys(&bench, &kek).sealing(&other).await.unwrap();
    let store = store();
    let read = async |id| message::raw(&store, bench.ctx(), ada, id, None).await;
    assert_eq!(read(kept).await.unwrap().bytes, HELLO);
    assert!(matches!(read(lost).await, Err(Error::Key(_))));
    let results = ingest(&store, vec![bench.target(ada)], bench.incoming(HELLO)).await;
    assert_eq!(read(id(&results[0])).await.unwrap().bytes, HELLO);
    // What is no wrapped key any more, or of another name, tells nothing. The others tell whether the key-encryption key is the right one.
    let in_use = key::in_use(&bench.world.test_db.db()).await.unwrap();
    let [(name, some)] = &in_use.iter().collect::<Vec<_>>()[..] else { panic!("{in_use:?}") };
    assert_eq!((name.as_str(), some.len()), (local(&kek).current().as_str(), 5));
    assert!(local(&kek).unwrap(&some[0]).await.is_ok());
}

/// Another key-encryption key under the name of this one.
fn namesake(kek: &str) -> String {
    let (name, stranger) = (kek.split_once(' ').unwrap().0, new_kek());
    format!("{name} {}", stranger.split_once(' ').unwrap().1)
}

async fn number_of_keys(bench: &Bench) -> i64 {
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut owner).await.unwrap();
    sqlx::query_scalar("select count(*) from tenant_keys").fetch_one(&mut owner).await.unwrap()
}

#[tokio::test]
async fn a_key_encryption_key_of_the_right_name_alone_makes_no_key_for_one_that_it_does_not_open() {
    let (bench, kek) = (Bench::new().await, new_kek());
    let wrong = namesake(&kek);
    let (other, _) = bench.neighbour().await;
    let (right, mistyped) = (keys(&bench, &kek), keys(&bench, &wrong));
    let refused = async |ctx| {
        let error = keys(&bench, &wrong).sealing(ctx).await.unwrap_err();
        assert!(matches!(&error, Error::Key(cause) if matches!(**cause, KeyError::Refused(_))), "{error:?}");
    };
    // The only key, so that nothing tells whose fault it is.
    right.sealing(bench.ctx()).await.unwrap();
    refused(bench.ctx()).await;
    right.sealing(&other).await.unwrap();
    right.rotate(&other).await.unwrap();
    refused(bench.ctx()).await;
    refused(&other).await;
    // Nor does one that it has made itself show that it is the right one.
    mistyped.for_journal(None).await.unwrap();
    refused(bench.ctx()).await;
    refused(&other).await;
    assert_eq!(number_of_keys(&bench).await, 4);

    // What is no wrapped key, or not this one, is damaged whoever looks.
    for sql in [
        "update tenant_keys set wrapped = set_byte(wrapped, 0, 0) where generation = 2",
        "update tenant_keys set wrapped = (select wrapped from tenant_keys where generation = 1 limit 1)
         where generation = 3",
    ] {
        let before = number_of_keys(&bench).await;
        spoil(&bench, sql).await;
        keys(&bench, &wrong).sealing(&other).await.unwrap();
        assert_eq!(number_of_keys(&bench).await, before + 1, "{sql}");
    }
}

/// In a database that was made anew without them.
async fn without_rows(bench: &Bench) {
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system; delete from tenant_keys").execute(&mut owner).await.unwrap();
}

#[tokio::test]
async fn the_generation_of_an_object_that_was_damaged_is_not_used_again_and_opens_once_that_is_mended() {
    let (bench, kek) = (Bench::new().await, new_kek());
    let before = keys(&bench, &kek);
    before.for_journal(None).await.unwrap();
    before.rotate(bench.ctx()).await.unwrap();
    let second = before.sealing(bench.ctx()).await.unwrap();
    let tenant = bench.ctx().tenant_id();
    let mut objects: BTreeMap<TenantId, Vec<WrappedKeyId>> = BTreeMap::new();
    let mut newest = None;
    for object in bench.blobs.keys().await {
        let BlobKey::WrappedKey { tenant, key } = &object else { continue };
        objects.entry(*tenant).or_default().push(*key);
        let bytes = bench.blobs.get(&object).await.unwrap();
        if WrappedKey::decode(&bytes).unwrap().generation().number() == 2 {
            newest = Some((object.clone(), *key, bytes));
        }
    }
    let (object, key, whole) = newest.unwrap();
    without_rows(&bench).await;
    let mut bytes = whole.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bench.blobs.put(&object, bytes.into()).await.unwrap();

    let after = keys(&bench, &kek);
    let damaged = after.adopt(&objects).await.unwrap();
    let [one] = &damaged[..] else { panic!("{damaged:?}") };
    assert_eq!((one.tenant, one.key), (tenant, key));
    assert_eq!(after.sealing(bench.ctx()).await.unwrap().generation().number(), 3);
    assert!(matches!(after.opening(bench.ctx(), second.generation()).await, Err(Error::Key(_))));
    // As the manual has it.
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut owner).await.unwrap();
    let mending = sqlx::query("update tenant_keys set wrapped = $1 where id = $2")
        .bind(whole.to_vec())
        .bind(key.uuid());
    assert_eq!(mending.execute(&mut owner).await.unwrap().rows_affected(), 1);
    let mended = keys(&bench, &kek).opening(bench.ctx(), second.generation()).await.unwrap();
    assert!(same(&mended, &second).await);

    // One of another tenant's in its place is damaged too, and tells nothing; whole ones are adopted as they were.
    without_rows(&bench).await;
    let (_, installation) = objects.iter().find(|(of, _)| **of == key::INSTALLATION).unwrap();
    let foreign = BlobKey::WrappedKey { tenant: key::INSTALLATION, key: installation[0] };
    let bytes = bench.blobs.get(&foreign).await.unwrap();
    bench.blobs.put(&object, bytes).await.unwrap();
    let after = keys(&bench, &kek);
    assert_eq!(after.adopt(&objects).await.unwrap().len(), 1);
    assert_eq!(after.sealing(bench.ctx()).await.unwrap().generation(), Generation::FIRST);
    assert_eq!(number_of_keys(&bench).await, 2);
}

#[tokio::test]
async fn a_tenant_that_is_being_destroyed_gets_no_key_for_a_damaged_one() {
    let (bench, kek) = (Bench::new().await, new_kek());
    keys(&bench, &kek).sealing(bench.ctx()).await.unwrap();
    spoil(&bench, "update tenant_keys set wrapped = set_byte(wrapped, 0, 0)").await;
    let tenant = bench.ctx().tenant_id();
    let going = format!("update tenants set destroying = '{{}}' where id = '{}'", tenant.uuid());
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("set role pillarbox_system; {going}")))
        .execute(&mut owner)
        .await
        .unwrap();
    assert!(keys(&bench, &kek).for_journal(Some(tenant)).await.unwrap().is_none());
}

#[tokio::test]
async fn the_key_encryption_key_changes_and_no_body_is_touched() {
    let (bench, old, new) = (Bench::new().await, new_kek(), new_kek());
    let ada = bench.mailbox("ada", None).await;
    let store = |kek: &str| MailStore::new(bench.world.test_db.db(), bench.blobs.clone(), local(kek));
    let results = ingest(&store(&old), vec![bench.target(ada)], bench.incoming(HELLO)).await;
    let message = id(&results[0]);
    let packs = bench.blobs.puts.load(Ordering::SeqCst);
    let (other, _) = bench.neighbour().await;
    let before = keys(&bench, &old);
    let first = before.sealing(bench.ctx()).await.unwrap();
    before.rotate(bench.ctx()).await.unwrap();
    let others = before.sealing(&other).await.unwrap();
    // A deleted tenant may come back.
    tenant::delete(&other, None).await.unwrap();

    let both = keys(&bench, &format!("{new}{old}"));
    let puts = bench.blobs.key_puts.load(Ordering::SeqCst);
    assert_eq!(both.rewrap().await.unwrap(), Rewrapped { keys: 3, failed: 0 });
    assert_eq!(bench.blobs.key_puts.load(Ordering::SeqCst), puts + 3);
    assert_eq!(both.rewrap().await.unwrap(), Rewrapped::default());

    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), packs);
    let raw = message::raw(&store(&new), bench.ctx(), ada, message, None).await.unwrap();
    assert_eq!(raw.bytes, HELLO);

    // The old one is not needed any more, not even for a restart from the bucket.
    let found = from_the_bucket(&bench, &new).await;
    assert_eq!(found.len(), 3);
    let of = |tenant: TenantId| found.iter().find(|key| key.tenant() == tenant).unwrap();
    assert!(same(of(bench.ctx().tenant_id()), &first).await);
    assert!(same(of(other.tenant_id()), &others).await);
    let after = keys(&bench, &new);
    assert!(same(&after.opening(bench.ctx(), Generation::FIRST).await.unwrap(), &first).await);
    let unknown = keys(&bench, &old).opening(bench.ctx(), Generation::FIRST).await.unwrap_err();
    assert!(matches!(&unknown, Error::Key(cause) if matches!(**cause, KeyError::Unknown(_))));
    assert_eq!(unknown.code(), "internal");
}

#[tokio::test]
async fn an_interrupted_change_goes_on_and_what_cannot_be_read_is_passed_by() {
    let (bench, old, new) = (Bench::new().await, new_kek(), new_kek());
    let key = keys(&bench, &old).sealing(bench.ctx()).await.unwrap();
    let both = keys(&bench, &format!("{new}{old}"));
    // The new object cannot be put.
    bench.blobs.keyless.store(true, Ordering::SeqCst);
    assert_eq!(both.rewrap().await.unwrap(), Rewrapped { keys: 0, failed: 1 });
    bench.blobs.keyless.store(false, Ordering::SeqCst);
    // The old object cannot be deleted.
    bench.blobs.keeping.store(true, Ordering::SeqCst);
    assert_eq!(both.rewrap().await.unwrap(), Rewrapped { keys: 0, failed: 1 });
    assert_eq!(bench.blobs.keys().await.len(), 2);
    bench.blobs.keeping.store(false, Ordering::SeqCst);
    both.rewrap().await.unwrap();
    let [found] = &from_the_bucket(&bench, &new).await[..] else { panic!("not one object") };
    assert!(same(found, &key).await);

    let stranger = new_kek();
    let third = keys(&bench, &stranger);
    assert_eq!(third.rewrap().await.unwrap(), Rewrapped { keys: 0, failed: 1 });
    assert!(same(&both.sealing(bench.ctx()).await.unwrap(), &key).await);
}

/// The row of the second generation, made something else: what is wrapped, what it is, with what it is wrapped, and another one, which opens.
const SPOILT: [&str; 4] = [
    "update tenant_keys set wrapped = set_byte(wrapped, length(wrapped) - 1, get_byte(wrapped, length(wrapped) - 1) # 1)
     where generation = 2",
    "update tenant_keys set wrapped = set_byte(wrapped, 0, 0) where generation = 2",
    "update tenant_keys set wrapped = set_byte(wrapped, 29, get_byte(wrapped, 29) # 1) where generation = 2",
    "update tenant_keys set wrapped = (select wrapped from tenant_keys where generation = 1) where generation = 2",
];

#[tokio::test]
async fn a_change_of_the_key_encryption_key_leaves_what_a_damaged_row_has_in_the_bucket() {
    for sql in SPOILT {
        let (bench, old, new) = (Bench::new().await, new_kek(), new_kek());
        let before = keys(&bench, &old);
        before.rotate(bench.ctx()).await.unwrap();
        let second = before.sealing(bench.ctx()).await.unwrap();
        spoil(&bench, sql).await;
        let both = keys(&bench, &format!("{new}{old}"));
        assert_eq!(both.rewrap().await.unwrap(), Rewrapped { keys: 1, failed: 1 }, "{sql}");
        let found = from_the_bucket(&bench, &format!("{new}{old}")).await;
        let [_, kept] = &found[..] else { panic!("{found:?} after {sql}") };
        assert!(same(kept, &second).await, "{sql}");
    }
}

#[tokio::test]
async fn a_change_that_was_interrupted_stores_and_erases_nothing_for_a_row_that_was_damaged_since() {
    for (sql, is_put) in SPOILT.into_iter().flat_map(|sql| [(sql, false), (sql, true)]) {
        let (bench, old, new) = (Bench::new().await, new_kek(), new_kek());
        let before = keys(&bench, &old);
        before.rotate(bench.ctx()).await.unwrap();
        let second = before.sealing(bench.ctx()).await.unwrap();
        let both = keys(&bench, &format!("{new}{old}"));
        let interrupted = if is_put { &bench.blobs.keeping } else { &bench.blobs.keyless };
        interrupted.store(true, Ordering::SeqCst);
        assert_eq!(both.rewrap().await.unwrap(), Rewrapped { keys: 0, failed: 2 });
        interrupted.store(false, Ordering::SeqCst);
        spoil(&bench, sql).await;
        assert_eq!(both.rewrap().await.unwrap().failed, 1, "{sql}");
        let found = from_the_bucket(&bench, &format!("{new}{old}")).await;
        let seconds: Vec<_> = found.iter().filter(|key| key.generation().number() == 2).collect();
        assert_eq!(seconds.len(), 1 + usize::from(is_put), "{sql}");
        for kept in seconds {
            assert!(same(kept, &second).await, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_destroyed_tenant_leaves_no_key() {
    let (bench, kek) = (Bench::new().await, new_kek());
    let keys = keys(&bench, &kek);
    keys.sealing(bench.ctx()).await.unwrap();
    keys.rotate(bench.ctx()).await.unwrap();
    let (other, _) = bench.neighbour().await;
    let kept = keys.sealing(&other).await.unwrap();
    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    let db = bench.world.test_db.db();
    let auth = Auth::new(db.clone()).await.unwrap();
    let due = purge::due_tenants(&db).await.unwrap();
    assert_eq!(purge::run(&bench.store, &db, &auth, purge::Terms::default(), &due).await.unwrap().tenants, 1);

    // Neither rows nor objects: packs that hold a part of their mail are noise from now on.
    let [left] = &from_the_bucket(&bench, &kek).await[..] else { panic!("not one object") };
    assert!(same(left, &kept).await);
    let gone = bench.world.operator.enter_deleted_too(bench.ctx().tenant_id()).await.unwrap();
    for generation in [Generation::FIRST, Generation::new(2).unwrap()] {
        assert!(matches!(keys.opening(&gone, generation).await, Err(Error::NotFound)));
    }
}

#[tokio::test]
async fn a_wrapping_that_was_replaced_is_gone_with_its_versions() {
    let (bench, old, new) = (Bench::new().await, new_kek(), new_kek());
    let server = S3Server::versioned().await;
    let blobs = bucket(&server.url("x"), Duration::from_secs(10)).await;
    let keys = |kek: &str| Keys::new(bench.world.test_db.db(), blobs.clone(), local(kek));
    let key = keys(&old).sealing(bench.ctx()).await.unwrap();
    let both = keys(&format!("{new}{old}"));
    assert_eq!(both.rewrap().await.unwrap(), Rewrapped { keys: 1, failed: 0 });
    // Whoever has found the old key-encryption key finds nothing that it opens.
    let [version] = &server.versions("x/")[..] else { panic!("{:?}", server.versions("x/")) };
    let wrapped = WrappedKey::decode(version.bytes.as_ref().unwrap()).unwrap();
    assert!(local(&old).unwrap(&wrapped).await.is_err());
    assert!(same(&local(&new).unwrap(&wrapped).await.unwrap(), &key).await);
}

#[tokio::test]
async fn a_wrapping_that_lands_unheard_of_while_its_tenant_is_destroyed_goes_too() {
    let (bench, old, new) = (Bench::new().await, new_kek(), new_kek());
    let server = S3Server::versioned().await;
    let front = Faults::before(server.address()).await;
    let patience = Duration::from_secs(10);
    let (direct, blobs) = (bucket(&server.url("x"), patience).await, bucket(&front.url("x"), patience).await);
    let (db, both) = (bench.world.test_db.db(), format!("{new}{old}"));
    Keys::new(db.clone(), direct.clone(), local(&old)).sealing(bench.ctx()).await.unwrap();
    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    let auth = Auth::new(db.clone()).await.unwrap();
    let store = MailStore::new(db.clone(), direct, local(&both));

    // Each try is done, and nobody hears of it; they go on while the tenant is destroyed.
    front.set([Rule::new("PUT", "/keys/", Fault::LOST_ANSWER)]);
    let rewrapping = Keys::new(db.clone(), blobs, local(&both));
    let (rewrapped, ()) = tokio::join!(rewrapping.rewrap(), async {
        while front.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A round that finds one that has just landed leaves the tenant to the next.
        for round in 0.. {
            let purged = purge::run(
                &store,
                &db,
                &auth,
                purge::Terms::default(),
                &purge::due_tenants(&db).await.unwrap(),
            )
            .await
            .unwrap();
            if purged.tenants == 1 {
                break;
            }
            assert!(purged.failed == 1 && round < 100, "{purged:?} in round {round}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(rewrapped.unwrap(), Rewrapped { keys: 0, failed: 1 });
    assert!(server.versions("x/").is_empty(), "{:?}", server.versions("x/"));
}
