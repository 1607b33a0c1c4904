//! A tenant's key that was damaged, in its row or in the bucket: nobody else is the worse for it.

use blob::{BlobKey, KeyPrefix};
use kernel::TenantId;
use mailstore::MailStore;
use recovery::{Error, Journal, Late, base, recover, ship};
use sqlx::{Connection as _, PgConnection};
use tenancy::user;
use testkit::TestDb;

use crate::support::{Bench, assert_same, rows};

/// As another process puts it, which has no key in memory and whose turn it is.
async fn ship_anew(bench: &Bench) -> ship::Shipped {
    let over = "update journal_head set held_until = now() - interval '1 second'";
    sqlx::raw_sql(over).execute(&mut system(bench).await).await.unwrap();
    let db = bench.world.test_db.db();
    let store = MailStore::new(db.clone(), bench.blobs.clone(), testkit::kek::encryption());
    ship::ship(&Journal::new(&db, &store)).await.unwrap()
}

async fn system(bench: &Bench) -> PgConnection {
    let mut connection = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    connection
}

async fn damage_rows(bench: &Bench, tenant: TenantId) {
    let damage = "update tenant_keys set wrapped = set_byte(wrapped, length(wrapped) - 1, get_byte(wrapped, length(wrapped) - 1) # 1)
                  where tenant_id = $1";
    let damaged = sqlx::query(damage).bind(tenant.uuid()).execute(&mut system(bench).await).await.unwrap();
    assert_eq!(damaged.rows_affected(), 1);
}

async fn key_object(bench: &Bench) -> BlobKey {
    let objects = bench.objects(KeyPrefix::WrappedKeys(bench.ctx().tenant_id())).await;
    let [key] = &objects[..] else { panic!("{objects:?}") };
    key.clone()
}

async fn damage_object(bench: &Bench, key: &BlobKey) {
    let mut bytes = bench.blobs.get(key).await.unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bench.blobs.put(key, bytes.into()).await.unwrap();
}

#[tokio::test]
async fn a_tenant_s_damaged_key_does_not_stop_the_journal() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.deliver(ada, None, b"Subject: one\r\n\r\n").await;
    bench.ship().await;
    damage_rows(&bench, bench.ctx().tenant_id()).await;
    let bob = bench.user("bob").await.id;
    assert!(ship_anew(&bench).await.records > 0);
    // That of the installation as well.
    damage_rows(&bench, mailstore::key::INSTALLATION).await;
    user::delete(bench.ctx(), bob, None).await.unwrap();
    assert!(ship_anew(&bench).await.records > 0);
    assert!(ship_anew(&bench).await.records > 0, "the new key's row came with that");
    assert_eq!(ship_anew(&bench).await, ship::Shipped::default());

    // What the damaged ones sealed is read by their objects, which are whole.
    let was = rows(&bench.world.test_db).await;
    let again = bench.recovered().await;
    assert_eq!(again.recovered.damaged, [""; 0]);
    assert_same(&was, &rows(&again.test_db).await);
}

#[tokio::test]
async fn a_damaged_object_that_sealed_nothing_since_the_base_is_passed_by_and_told() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.ship().await;
    let key = key_object(&bench).await;
    bench.store.keys().rotate(bench.ctx()).await.unwrap();
    bench.deliver(ada, None, b"Subject: two\r\n\r\n").await;
    sqlx::raw_sql("update journal_head set base_number = null")
        .execute(&mut system(&bench).await)
        .await
        .unwrap();
    assert!(base::take_if_due(&bench.journal).await.unwrap().is_some());
    bench.user("bob").await;
    bench.ship().await;
    damage_object(&bench, &key).await;
    let was = rows(&bench.world.test_db).await;
    let again = bench.recovered().await;
    let [line] = &again.recovered.damaged[..] else { panic!("{:?}", again.recovered.damaged) };
    assert!(line.starts_with(&key.to_string()), "{line}");
    assert_same(&was, &rows(&again.test_db).await);
}

#[tokio::test]
async fn a_damaged_object_of_which_the_journal_has_no_row_is_told_once_and_its_generation_not_used_again() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    bench.ship().await;
    let first = key_object(&bench).await;
    bench.store.keys().rotate(bench.ctx()).await.unwrap();
    let objects = bench.objects(KeyPrefix::WrappedKeys(bench.ctx().tenant_id())).await;
    let second = objects.into_iter().find(|key| *key != first).unwrap();
    damage_object(&bench, &second).await;
    let again = bench.recovered().await;
    let [line] = &again.recovered.damaged[..] else { panic!("{:?}", again.recovered.damaged) };
    assert!(line.starts_with(&second.to_string()), "{line}");
    assert_eq!(again.store.keys().sealing(&again.ctx).await.unwrap().generation().number(), 3);
}

/// Its users and domains would be gone, its mail refused, and the next base would make that last.
#[tokio::test]
async fn a_damaged_object_that_the_journal_needs_ends_the_recovery_and_is_named() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    bench.ship().await;
    let key = key_object(&bench).await;
    let whole = bench.blobs.get(&key).await.unwrap();
    damage_object(&bench, &key).await;
    let kek = testkit::kek::encryption();
    let blank = TestDb::blank().await;
    let done = recover(&blank.db(), bench.blobs.clone(), kek, Late::Deliver, &mut |_| {})
        .await
        .map(|made| made.base);
    let Err(Error::KeysMissing(told)) = &done else { panic!("{done:?}") };
    let tenant = bench.ctx().tenant_id().to_string();
    assert!(told.contains(&tenant) && told.contains(&key.to_string()), "{told}");
    bench.blobs.put(&key, whole).await.unwrap();
    assert_eq!(bench.recovered().await.recovered.damaged, [""; 0]);
}
