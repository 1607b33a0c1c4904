//! Whether the journal is whole in its bucket.

use blob::{BlobKey, KeyPrefix};
use bytes::Bytes;
use pack::segment::Name;
use recovery::base;
use recovery::verify::{self, Fault, Finding, Why};
use sqlx::{Connection as _, PgConnection};

use crate::support::Bench;

const FAST: Option<u64> = Some(u64::MAX);

async fn findings(bench: &Bench, read: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let verified = verify::run(&bench.journal, read, |found| findings.push(found.clone())).await.unwrap();
    assert_eq!(verified.findings, findings.len() as u64);
    findings
}

fn name(key: &BlobKey) -> Name {
    let BlobKey::Segment(id) = key else { panic!("{key} is no segment") };
    Name::of(*id).unwrap()
}

async fn put(bench: &Bench, key: &BlobKey, bytes: impl Into<Bytes>) {
    bench.blobs.put(key, bytes.into()).await.unwrap();
}

#[tokio::test]
async fn what_the_journal_lacks_is_told_and_what_has_rotted() {
    let bench = Bench::new().await;
    for local in ["ada", "bob", "eve"] {
        bench.user(local).await;
        assert_eq!(bench.ship().await.segments, 1);
    }
    for read in [None, FAST] {
        assert_eq!(findings(&bench, read).await, []);
    }
    let (bases, changes): (Vec<_>, Vec<_>) =
        bench.objects(KeyPrefix::Journal).await.into_iter().partition(|key| name(key).is_base);
    let [_, second, last] = &changes[..] else { panic!("{changes:?}") };
    let missing = |key, why| [Finding { number: name(key).number, fault: Fault::Missing(why) }];

    let whole = bench.blobs.get(second).await.unwrap();
    let mut rotten = whole.to_vec();
    // In the last section: the installation's comes first.
    *rotten.last_mut().unwrap() ^= 1;
    put(&bench, second, rotten).await;
    assert_eq!(findings(&bench, None).await, [], "only reading tells");
    let fault = Fault::Shut(bench.ctx().tenant_id());
    assert_eq!(findings(&bench, FAST).await, [Finding { number: name(second).number, fault }]);
    let mut rotten = whole.to_vec();
    // In what it says that it is.
    rotten[20] ^= 1;
    put(&bench, second, rotten).await;
    let told = findings(&bench, None).await;
    assert!(matches!(&told[..], [Finding { fault: Fault::Unreadable(_), .. }]), "{told:?}");
    bench.blobs.delete(second).await.unwrap();
    for read in [None, FAST] {
        let followed = Why::Followed(name(last).number);
        assert_eq!(findings(&bench, read).await, missing(second, followed));
    }
    put(&bench, second, whole).await;

    let whole = bench.blobs.get(last).await.unwrap();
    bench.blobs.delete(last).await.unwrap();
    assert_eq!(findings(&bench, None).await, missing(last, Why::Acknowledged));
    put(&bench, last, whole).await;
    let part = bases.last().unwrap();
    let whole = bench.blobs.get(part).await.unwrap();
    bench.blobs.delete(part).await.unwrap();
    assert_eq!(findings(&bench, None).await, missing(part, Why::Base));
    let mut rotten = whole.to_vec();
    rotten[20] ^= 1;
    put(&bench, part, rotten).await;
    let told = findings(&bench, None).await;
    assert!(matches!(&told[..], [Finding { fault: Fault::Unreadable(_), .. }]), "{told:?}");
    put(&bench, part, whole).await;
    assert_eq!(findings(&bench, FAST).await, []);
}

#[tokio::test]
async fn a_base_on_the_way_is_passed_and_what_came_before_the_oldest_is_not_missed() {
    let bench = Bench::new().await;
    let mut owner = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    for local in ["ada", "bob"] {
        bench.user(local).await;
        bench.ship().await;
        let due = "set role pillarbox_system; update journal_head set based_at = now() - interval '2 days'";
        sqlx::raw_sql(due).execute(&mut owner).await.unwrap();
        base::take_if_due(&bench.journal).await.unwrap().unwrap();
        bench.user(&format!("{local}2")).await;
        bench.ship().await;
    }
    assert_eq!(findings(&bench, FAST).await, []);
    let aged = "reset role;
                alter table journal_bases no force row level security;
                update journal_bases set taken_at = now() - interval '31 days' where number < (select max(number) from journal_bases);
                alter table journal_bases force row level security";
    sqlx::raw_sql(aged).execute(&mut owner).await.unwrap();
    assert!(base::let_go(&bench.journal).await.unwrap() > 0);
    assert_eq!(findings(&bench, FAST).await, []);
}
