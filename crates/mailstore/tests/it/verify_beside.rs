//! Verifying beside all else that goes on, and in a database that knows less than the blob store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blob::{BlobKey, BlobStore as _, KeyPrefix};
use chrono::TimeDelta;
use mailstore::compact::{self, Pace};
use mailstore::ingest::{Target, Within, ingest};
use mailstore::message::{self, State};
use mailstore::verify::{Contents, Fault, Finding, Section, Subject};
use mailstore::{MailStore, purge, sweep};
use tenancy::auth::Auth;
use tenancy::tenant;
use testkit::faults::{self, Faults, Rule};
use testkit::s3::S3Server;

use crate::fault::bucket;
use crate::support::{Bench, HELLO, id};
use crate::verify::{READING, REPAIRING, execute, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mail_that_comes_and_goes_and_moves_meanwhile_is_no_finding() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    let is_done = AtomicBool::new(false);
    let pace = Pace { lag: TimeDelta::zero(), ..Pace::default() };
    let living = async {
        for round in 0..12 {
            let text = format!("Subject: {round}\r\n\r\n{}\r\n", "text ".repeat(round));
            let deliveries = (0..6).map(|_| bench.ingest(&[ada, bob], text.as_bytes()));
            for outcomes in futures::future::join_all(deliveries).await {
                id(&outcomes[0]);
            }
            for message in bench.list(ada, State::Live).await.iter().step_by(2) {
                message::discard(&bench.store, bench.ctx(), ada, message.id).await.unwrap();
            }
            clock.advance(TimeDelta::days(31));
            let (one, two, swept) = tokio::join!(
                compact::run(&bench.store, &db, pace),
                compact::run(&bench.store, &db, pace),
                sweep::run(&bench.store, &db),
            );
            assert_eq!((one.unwrap().failed, two.unwrap().failed, swept.failed), (0, 0, 0));
        }
        is_done.store(true, Ordering::SeqCst);
    };
    let verifying = async {
        let mut runs = 0;
        while !is_done.load(Ordering::SeqCst) {
            let options = if runs % 2 == 0 { READING } else { REPAIRING };
            assert_eq!(run(&bench, options).await.0, []);
            runs += 1;
        }
        runs
    };
    let ((), runs) = tokio::join!(living, verifying);
    assert!(runs > 5, "{runs}");
    bench.assert_exact().await;
    let (findings, verified) = run(&bench, READING).await;
    assert_eq!(findings, []);
    assert!(verified.packs > 0 && verified.bodies == verified.read, "{verified:?}");
}

/// Between the listing and the rows, between a row and its pack's end, between that and the bodies.
#[tokio::test]
async fn what_moves_and_goes_between_two_looks_is_no_finding() {
    for looks in 0..3 {
        let bench = Bench::new().await;
        let ada = bench.mailbox("ada", None).await;
        bench.stored(ada, HELLO).await;
        bench.world.test_db.clock().advance(TimeDelta::hours(3));
        let doomed = bench.blobs.packs().await;
        let hold = bench.blobs.hold_look(looks);
        let moving = async {
            bench.blobs.wait_until_looking().await;
            let pace = Pace { lag: TimeDelta::zero(), ..Pace::default() };
            assert_eq!(compact::run(&bench.store, &bench.world.test_db.db(), pace).await.unwrap().bodies, 1);
            bench.sweep_out().await;
            assert!(!bench.blobs.packs().await.contains(&doomed[0]));
            hold.add_permits(1);
        };
        let ((findings, verified), ()) = tokio::join!(run(&bench, READING), moving);
        assert_eq!(findings, [], "{looks}");
        assert_eq!(verified.bodies, 1);
    }
}

#[tokio::test]
async fn what_a_database_put_back_from_a_backup_does_not_know_is_told_and_stays() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let known = bench.blobs.packs().await;
    bench.stored(ada, b"Subject: since the backup\r\n\r\n").await;
    let all = bench.blobs.packs().await;
    let since = all.iter().find(|key| !known.contains(key)).unwrap().clone();
    // As the backup has it: nothing of the second message.
    execute(
        &bench,
        "delete from messages where blob_id in (select blob_id from message_outlines where parsed ->> 'subject' = 'since the backup');
         delete from blobs where not exists (select from messages where blob_id = blobs.id);
         delete from pack_shares where not exists (select from blobs where blobs.pack_id = pack_shares.pack_id);
         delete from packs where state = 'live' and not exists (select from pack_shares where pack_id = packs.id)",
    )
    .await;
    let unclaimed = async |options| {
        let (mut findings, verified) = run(&bench, options).await;
        findings.retain(|finding| !matches!(finding.fault, Fault::Drift(_)));
        (findings, verified.young)
    };
    assert_eq!(unclaimed(REPAIRING).await, (vec![], 1), "an upload could be under way");
    let date = bench.ctx().env().now();
    bench.world.test_db.clock().advance(TimeDelta::hours(3));
    let (findings, young) = unclaimed(REPAIRING).await;
    let section = Section { tenant: bench.ctx().tenant_id(), bodies: Some((1, date, date)) };
    let contents = Contents { sections: vec![section], unknown: None };
    assert_eq!((findings.len(), young), (1, 0));
    assert_eq!(findings[0].subject, Subject::Object(since.clone()));
    assert_eq!(findings[0].fault, Fault::Unclaimed(contents));
    assert!(!findings[0].is_repaired);
    let (said, tenant, day) = (findings[0].to_string(), bench.ctx().tenant_id(), date.date_naive());
    let expected =
        format!("{since}: unclaimed: no row names it; it has 1 bodies of {tenant} from {day} to {day}");
    assert_eq!(said, expected);
    *bench.blobs.unreadable.lock().unwrap() = Some((since.clone(), 0..u64::MAX));
    let (findings, _) = unclaimed(READING).await;
    let unread = Contents { sections: vec![], unknown: Some("the blob store cannot read it") };
    assert_eq!(findings[0].fault, Fault::Unclaimed(unread));
    *bench.blobs.unreadable.lock().unwrap() = None;
    bench.sweep_out().await;
    assert_eq!(bench.blobs.packs().await, all, "it is acknowledged mail");

    // Another tenant's whose key is not here, a stranger's, and no pack at all.
    let (other, eve) = bench.neighbour().await;
    let target = Target { ctx: other.clone(), mailbox_id: eve, folder: Within::Inbox, room_bytes: None };
    id(&ingest(&bench.store, vec![target], bench.incoming(HELLO)).await[0]);
    let bytes = bench.blobs.get(&since).await.unwrap();
    let BlobKey::Pack { pack, .. } = since else { panic!("a pack") };
    let stranger = BlobKey::Pack { owner: Some(other.tenant_id()), pack };
    bench.blobs.land(&stranger, bytes[..20].to_vec()).await;
    let (findings, _) = unclaimed(REPAIRING).await;
    assert_eq!(findings.len(), 2);
    let unknown = Some("it does not end as a pack does");
    assert_eq!(findings[1].subject, Subject::Object(stranger.clone()));
    assert_eq!(findings[1].fault, Fault::Unclaimed(Contents { sections: vec![], unknown }));
    assert_eq!(bench.blobs.get(&stranger).await.unwrap(), bytes[..20]);
}

#[tokio::test]
async fn a_tenant_that_is_being_destroyed_is_no_finding() {
    let bench = Bench::new().await;
    let (other, eve) = bench.neighbour().await;
    for _ in 0..2 {
        let target = Target { ctx: other.clone(), mailbox_id: eve, folder: Within::Inbox, room_bytes: None };
        id(&ingest(&bench.store, vec![target], bench.incoming(HELLO)).await[0]);
    }
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    clock.advance(TimeDelta::hours(25));
    let pace = Pace::default();
    assert_eq!(compact::run(&bench.store, &db, pace).await.unwrap().bodies, 2);
    bench.sweep_out().await;
    bench.ingest(&[], HELLO).await;
    let target = Target { ctx: other.clone(), mailbox_id: eve, folder: Within::Inbox, room_bytes: None };
    id(&ingest(&bench.store, vec![target], bench.incoming(HELLO)).await[0]);
    clock.advance(TimeDelta::hours(3));
    // Half done: the keys' rows and an object are gone, the other objects and rows are there.
    execute(
        &bench,
        "update tenants set status = 'deleted' where name = 'Neighbour'; delete from tenant_keys",
    )
    .await;
    let places = |findings: Vec<Finding>| {
        // The reseller has a tenant less, which was not taken off by hand.
        let is_level = |finding: &Finding| finding.subject == Subject::Counters("tenants and resellers");
        findings.into_iter().filter(|finding| !is_level(finding)).collect::<Vec<_>>()
    };
    assert_eq!(places(run(&bench, REPAIRING).await.0), []);
    for key in bench.blobs.packs().await {
        if matches!(key, BlobKey::Pack { owner: Some(_), .. }) {
            bench.blobs.delete(&key).await.unwrap();
        }
    }
    assert_eq!(places(run(&bench, REPAIRING).await.0), []);
    execute(
        &bench,
        "delete from messages where tenant_id in (select id from tenants where name = 'Neighbour')",
    )
    .await;
    assert_eq!(places(run(&bench, REPAIRING).await.0), []);
    // Its keys were to be gone once it is over.
    execute(&bench, "update tenants set purged_at = now() where name = 'Neighbour'").await;
    let findings = places(run(&bench, REPAIRING).await.0);
    let unknown = Some("a wrapped key");
    let left = Fault::Unclaimed(Contents { sections: vec![], unknown });
    assert!(findings.iter().any(|finding| finding.fault == left), "{findings:?}");
}

#[tokio::test]
async fn a_key_that_is_destroyed_while_it_is_put_back_is_gone_with_its_versions() {
    let bench = Bench::new().await;
    let server = S3Server::versioned().await;
    let front = Faults::before(server.address()).await;
    let patience = Duration::from_secs(20);
    let (direct, blobs) = (bucket(&server.url("x"), patience).await, bucket(&front.url("x"), patience).await);
    let db = bench.world.test_db.db();
    let store = MailStore::new(db.clone(), blobs, testkit::kek::encryption());
    store.keys().sealing(bench.ctx()).await.unwrap();
    let keys = KeyPrefix::WrappedKeys(bench.ctx().tenant_id());
    direct.erase_all(&keys).await.unwrap();
    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(32));
    let auth = Auth::new(db.clone()).await.unwrap();
    let before = front.seen().len();

    front.set([Rule::new("PUT", "/keys/", faults::Fault::Late(Duration::from_secs(2)))]);
    let (verified, purged) = tokio::join!(mailstore::verify::run(&store, &db, REPAIRING, |_| {}), async {
        while front.seen()[before..].iter().all(|request| request.method != "PUT") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let store = MailStore::new(db.clone(), direct, testkit::kek::encryption());
        purge::run(&store, &db, &auth, purge::Terms::default(), &purge::due_tenants(&db).await.unwrap())
            .await
            .unwrap()
    });
    let verified = verified.unwrap();
    assert_eq!((verified.findings, verified.repaired, purged.tenants), (1, 0, 1));
    assert!(server.versions("x/").is_empty(), "{:?}", server.versions("x/"));
}
