//! A database beside the bucket that its journal is in, and beside others.

use std::time::Duration;

use blob::{BlobKey, KeyPrefix, Location};
use pack::segment::Name;
use recovery::{Error, base, check_last, last_put, verify};

use crate::support::{Bench, assert_same, rows};

fn number(key: &BlobKey) -> u64 {
    let BlobKey::Segment(id) = key else { panic!("{key} is no segment") };
    Name::of(*id).unwrap().number
}

#[tokio::test]
async fn a_bucket_that_lacks_what_was_put_last_is_refused() {
    let bench = Bench::new().await;
    let db = bench.world.test_db.db();
    check_last(&db, &*bench.blobs).await.unwrap();
    bench.mailbox("ada").await;
    bench.ship().await;
    check_last(&db, &*bench.blobs).await.unwrap();

    let empty = blob::open(&"memory:".parse::<Location>().unwrap()).await.unwrap();
    let refused = check_last(&db, &*empty).await;
    assert!(matches!(refused, Err(Error::Astray(_))), "{refused:?}");
    let objects = bench.objects(KeyPrefix::Journal).await;
    assert_eq!(objects.last().map(number), Some(last_put(&db).await.unwrap()));
    for object in [objects.first().unwrap(), objects.last().unwrap()] {
        let bytes = bench.blobs.get(object).await.unwrap();
        bench.blobs.delete(object).await.unwrap();
        let refused = check_last(&db, &*bench.blobs).await;
        assert!(matches!(refused, Err(Error::Astray(missing)) if missing == number(object)), "{refused:?}");
        bench.blobs.put(object, bytes).await.unwrap();
    }
    check_last(&db, &*bench.blobs).await.unwrap();
}

#[tokio::test]
async fn an_older_copy_is_let_pass_and_another_installation_s_bucket_is_not() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    bench.mailbox("ada").await;
    bench.ship().await;
    let copy = bench.copied().await;
    for local in ["bob", "carol", "dora"] {
        bench.mailbox(local).await;
        bench.ship().await;
    }
    check_last(&copy.test_db.db(), &*bench.blobs).await.unwrap();
    other.mailbox("eve").await;
    other.ship().await;
    let refused = check_last(&other.world.test_db.db(), &*bench.blobs).await;
    assert!(matches!(refused, Err(Error::Foreign)), "{refused:?}");
    let refused = check_last(&bench.world.test_db.db(), &*other.blobs).await;
    assert!(matches!(refused, Err(Error::Astray(_))), "{refused:?}");
}

#[tokio::test]
async fn a_new_base_leaves_behind_what_was_lost() {
    let bench = Bench::new().await;
    let db = bench.world.test_db.db();
    for local in ["ada", "bob"] {
        bench.mailbox(local).await;
        bench.ship().await;
    }
    let stops_at = async || verify::run(&bench.journal, None, |_| {}).await.unwrap().stops_at;
    assert_eq!(stops_at().await, None);
    let lost = bench.objects(KeyPrefix::Journal).await.pop().unwrap();
    bench.blobs.delete(&lost).await.unwrap();
    assert_eq!(stops_at().await, Some(number(&lost)));

    assert!(base::take_anew(&bench.journal, number(&lost)).await.unwrap().is_some());
    assert!(base::take_anew(&bench.journal, number(&lost)).await.unwrap().is_none(), "once is enough");
    check_last(&db, &*bench.blobs).await.unwrap();
    bench.mailbox("carol").await;
    bench.ship().await;
    // A restore to a moment before the new base is still the worse for it.
    let verified = verify::run(&bench.journal, None, |_| {}).await.unwrap();
    assert!(verified.findings > 0 && verified.stops_at.is_none(), "{verified:?}");
    let was = rows(&bench.world.test_db).await;
    let again = bench.recovered().await;
    assert_same(&was, &rows(&again.test_db).await);
}

#[tokio::test]
async fn what_is_lost_while_a_server_runs_is_followed_by_a_base() {
    let bench = Bench::new().await;
    let db = bench.world.test_db.db();
    bench.mailbox("ada").await;
    bench.ship().await;
    let lost = bench.objects(KeyPrefix::Journal).await.pop().unwrap();
    bench.blobs.delete(&lost).await.unwrap();
    let mended = async {
        while check_last(&db, &*bench.blobs).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let run = recovery::run(&bench.journal, mended);
    tokio::time::timeout(Duration::from_secs(20), run).await.unwrap();
    let was = rows(&bench.world.test_db).await;
    let again = bench.recovered().await;
    assert_same(&was, &rows(&again.test_db).await);
}
