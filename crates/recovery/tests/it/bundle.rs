//! Segments that are put together, and what is read of them.

use std::collections::BTreeSet;

use blob::{BlobKey, KeyPrefix};
use bytes::Bytes;
use chrono::TimeDelta;
use kernel::SegmentId;
use pack::{bundle, segment};
use recovery::bundle::{Bundled, run};
use recovery::verify::{self, Fault, Finding};
use recovery::{Error, base};
use sqlx::{Connection as _, PgConnection};

use crate::support::{Bench, assert_same, rows};

/// What comes of bundling all that is there, at once and then an hour later.
async fn bundle(bench: &Bench) -> Bundled {
    let Bundled { bundles, segments, cleared } = run(&bench.journal, bench.ctx().env().now()).await.unwrap();
    assert_eq!(cleared, 0, "it lies there for an hour");
    let later = run(&bench.journal, bench.ctx().env().now() + TimeDelta::hours(1)).await.unwrap();
    assert_eq!((later.bundles, later.segments), (0, 0), "there is nothing left to do");
    Bundled { bundles, segments, cleared: later.cleared }
}

async fn findings(bench: &Bench, read: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    verify::run(&bench.journal, read, |found| findings.push(found.clone())).await.unwrap();
    findings
}

fn id(key: &BlobKey) -> SegmentId {
    match key {
        BlobKey::Segment(id) => *id,
        other => panic!("{other} is not of the journal"),
    }
}

/// The numbers that lie there by themselves without bases, and the bundles.
async fn lying(bench: &Bench) -> (Vec<u64>, Vec<bundle::Name>) {
    let objects = bench.objects(KeyPrefix::Journal).await;
    let parts = objects.iter().filter_map(|key| segment::Name::of(id(key)).ok());
    let numbers = parts.filter(|name| !name.is_base).map(|name| name.number).collect();
    (numbers, objects.iter().filter_map(|key| bundle::Name::of(id(key)).ok()).collect())
}

/// Changes, each put by itself.
async fn put(bench: &Bench, locals: &[&str]) {
    for local in locals {
        let mailbox_id = bench.mailbox(local).await;
        bench.deliver(mailbox_id, None, format!("Subject: {local}\r\n\r\n.\r\n").as_bytes()).await;
        assert_eq!(bench.ship().await.segments, 1);
    }
}

async fn copies(bench: &Bench) -> Vec<(BlobKey, Bytes)> {
    let mut copies = Vec::new();
    for key in bench.objects(KeyPrefix::Journal).await {
        let bytes = bench.blobs.get(&key).await.unwrap();
        copies.push((key, bytes));
    }
    copies
}

#[tokio::test]
async fn what_was_bundled_is_recovered_as_if_it_lay_there_by_itself() {
    let bench = Bench::new().await;
    put(&bench, &["ada", "bob", "cleo", "dora"]).await;
    let was = rows(&bench.world.test_db).await;
    let (before, _) = lying(&bench).await;
    assert_eq!(before.len(), 4);
    let copies = copies(&bench).await;

    assert_eq!(
        run(&bench.journal, bench.ctx().env().now() - TimeDelta::hours(1)).await.unwrap(),
        Bundled::default()
    );
    assert_eq!(bundle(&bench).await, Bundled { bundles: 1, segments: 3, cleared: 3 });
    let name = bundle::Name { first: before[0], last: before[2] };
    assert_eq!(lying(&bench).await, (vec![before[3]], vec![name]), "the last one stays");
    assert_eq!(bundle(&bench).await, Bundled::default(), "there is nothing left to do");
    for read in [None, Some(u64::MAX)] {
        assert_eq!(findings(&bench, read).await, []);
    }
    assert_same(&was, &rows(&bench.copied().await.test_db).await);

    // A bundling that was cut short has left some of them: they are read once.
    for (key, bytes) in &copies[..copies.len() - 1] {
        bench.blobs.put(key, bytes.clone()).await.unwrap();
    }
    bench.blobs.delete(&copies[1].0).await.unwrap();
    assert_eq!(lying(&bench).await.0.len(), 3);
    assert_eq!(findings(&bench, Some(u64::MAX)).await, []);
    assert_same(&was, &rows(&bench.copied().await.test_db).await);
    assert_eq!(bundle(&bench).await, Bundled { bundles: 0, segments: 0, cleared: 2 });
    assert_eq!(lying(&bench).await, (vec![before[3]], vec![name]));

    put(&bench, &["eve", "finn"]).await;
    assert_eq!(bundle(&bench).await, Bundled { bundles: 1, segments: 2, cleared: 2 });
    let was = rows(&bench.world.test_db).await;
    assert_same(&was, &rows(&bench.recovered().await.test_db).await);
}

#[tokio::test]
async fn one_that_was_put_late_stays_and_counts_for_nothing() {
    let bench = Bench::new().await;
    put(&bench, &["ada", "bob", "cleo", "dora"]).await;
    let (numbers, _) = lying(&bench).await;
    let late = copies(&bench)
        .await
        .into_iter()
        .find(|(key, _)| segment::Name::of(id(key)).is_ok_and(|name| name.number == numbers[1]));
    let (key, bytes) = late.unwrap();
    bench.blobs.delete(&key).await.unwrap();
    // Nobody follows it: what it has was put again.
    let skipped = copies(&bench)
        .await
        .into_iter()
        .find(|(key, _)| segment::Name::of(id(key)).is_ok_and(|name| name.number == numbers[2]));
    let (next, whole) = skipped.unwrap();
    let mut changed = whole.to_vec();
    changed[24..32].copy_from_slice(&numbers[0].to_be_bytes());
    bench.blobs.put(&next, changed.into()).await.unwrap();
    assert_eq!(bundle(&bench).await, Bundled { bundles: 1, segments: 2, cleared: 2 });
    bench.blobs.put(&key, bytes).await.unwrap();
    assert_eq!(findings(&bench, None).await, []);
    assert_eq!(bundle(&bench).await, Bundled::default());
    assert_eq!(lying(&bench).await.0, [numbers[1], numbers[3]]);
}

#[tokio::test]
async fn no_bundle_goes_across_a_base_and_old_ones_go() {
    let bench = Bench::new().await;
    put(&bench, &["ada", "bob"]).await;
    let mut owner = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let due = "set role pillarbox_system; update journal_head set based_at = now() - interval '2 days'";
    sqlx::raw_sql(due).execute(&mut owner).await.unwrap();
    let base = base::take_if_due(&bench.journal).await.unwrap().unwrap();
    put(&bench, &["cleo", "dora", "eve"]).await;
    assert_eq!(bundle(&bench).await, Bundled { bundles: 2, segments: 4, cleared: 4 });
    let (numbers, bundles) = lying(&bench).await;
    assert_eq!(numbers.len(), 1);
    assert!(bundles[0].last < base.number && base.number < bundles[1].first, "{bundles:?}");
    assert_eq!(findings(&bench, Some(u64::MAX)).await, []);
    let was = rows(&bench.world.test_db).await;
    assert_same(&was, &rows(&bench.copied().await.test_db).await);

    let aged = "reset role;
                alter table journal_bases no force row level security;
                update journal_bases set taken_at = now() - interval '31 days';
                alter table journal_bases force row level security";
    sqlx::raw_sql(aged).execute(&mut owner).await.unwrap();
    assert!(base::let_go(&bench.journal).await.unwrap() > 0);
    let (_, left) = lying(&bench).await;
    assert_eq!(left, bundles[1..]);
    assert_eq!(findings(&bench, Some(u64::MAX)).await, []);
}

#[tokio::test]
async fn what_a_bundle_has_lost_is_told() {
    let bench = Bench::new().await;
    put(&bench, &["ada", "bob", "cleo", "dora"]).await;
    let (numbers, _) = lying(&bench).await;
    bundle(&bench).await;
    let keys = bench.objects(KeyPrefix::Journal).await;
    let key = keys.iter().find(|key| bundle::Name::of(id(key)).is_ok()).unwrap();
    let whole = bench.blobs.get(key).await.unwrap();

    let mut rotten = whole.to_vec();
    // In the last section of the last one.
    *rotten.last_mut().unwrap() ^= 1;
    bench.blobs.put(key, rotten.into()).await.unwrap();
    assert_eq!(findings(&bench, None).await, [], "only reading tells");
    let fault = Fault::Shut(bench.ctx().tenant_id());
    assert_eq!(findings(&bench, Some(u64::MAX)).await, [Finding { number: numbers[2], fault }]);
    // In its id, and in the number of its first segment.
    for at in [20, 28] {
        let mut rotten = whole.to_vec();
        rotten[at] ^= 1;
        bench.blobs.put(key, rotten.into()).await.unwrap();
        for read in [None, Some(u64::MAX)] {
            let told = findings(&bench, read).await;
            let numbers: BTreeSet<u64> = told.iter().map(|finding| finding.number).collect();
            assert_eq!(numbers, BTreeSet::from([numbers_last(&lying(&bench).await.1)]));
            assert!(matches!(&told[..], [Finding { fault: Fault::Unreadable(_), .. }]), "{told:?}");
        }
    }
    bench.blobs.delete(key).await.unwrap();
    let told = findings(&bench, None).await;
    assert!(
        matches!(&told[..], [Finding { number, fault: Fault::Missing(_) }] if *number == numbers[2]),
        "{told:?}"
    );
    let error = bench.try_recovered().await.unwrap_err();
    assert!(matches!(error, Error::Missing { missing, .. } if missing == numbers[2]), "{error}");
    bench.blobs.put(key, whole).await.unwrap();
    assert_eq!(findings(&bench, Some(u64::MAX)).await, []);
}

fn numbers_last(bundles: &[bundle::Name]) -> u64 {
    let [only] = bundles else { panic!("{bundles:?}") };
    only.last
}
