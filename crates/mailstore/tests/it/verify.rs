//! Deliberate damage, each kind of it found, and put right or left as it has to be.

use blob::{BlobKey, BlobStore as _};
use chrono::TimeDelta;
use db::SystemTx;
use kernel::{Env, MailboxId};
use mailstore::compact::{self, Pace};
use mailstore::message::{self, State};
use mailstore::verify::{self, Fault, Finding, Options, Subject, Verified};
use pack::{DataKey, Generation, HEADER_BYTES};

use crate::support::{Bench, noise};

pub(crate) const READING: Options = Options { read_bytes_per_second: Some(u64::MAX), is_repairing: false };
pub(crate) const REPAIRING: Options = Options { read_bytes_per_second: Some(u64::MAX), is_repairing: true };

pub(crate) async fn run(bench: &Bench, options: Options) -> (Vec<Finding>, Verified) {
    let mut findings = Vec::new();
    let found = |finding: &Finding| findings.push(finding.clone());
    let verified = verify::run(&bench.store, &bench.world.test_db.db(), options, found).await.unwrap();
    assert_eq!(verified.findings, findings.len() as u64);
    assert_eq!(verified.repaired, findings.iter().filter(|finding| finding.is_repaired).count() as u64);
    (findings, verified)
}

async fn faults(bench: &Bench, options: Options) -> Vec<(Fault, bool)> {
    let (findings, _) = run(bench, options).await;
    findings.into_iter().map(|finding| (finding.fault, finding.is_repaired)).collect()
}

#[expect(clippy::disallowed_methods, reason = "the test spoils what no lawful transaction would")]
pub(crate) async fn execute(bench: &Bench, sql: &'static str) {
    let mut tx = SystemTx::begin(&bench.world.test_db.db()).await.unwrap();
    sqlx::raw_sql(sql).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A pack of the tenant's own with three bodies, a shared one with one, and one with a large body alone.
async fn filled() -> (Bench, MailboxId) {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for subject in ["one", "two", "three"] {
        bench.stored(ada, format!("Subject: {subject}\r\n\r\n{subject}\r\n").as_bytes()).await;
    }
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    let pace = Pace::default();
    assert_eq!(compact::run(&bench.store, &bench.world.test_db.db(), pace).await.unwrap().bodies, 3);
    bench.sweep_out().await;
    bench.stored(ada, b"Subject: four\r\n\r\nfour\r\n").await;
    let large = [b"Subject: large\r\n\r\n".as_slice(), &noise(2 << 20)].concat();
    bench.stored(ada, &large).await;
    (bench, ada)
}

#[tokio::test]
async fn what_is_whole_comes_out_even() {
    let (bench, ada) = filled().await;
    let (findings, verified) = run(&bench, READING).await;
    assert_eq!(findings, []);
    let objects = bench.blobs.keys().await.len() as u64;
    let expected = Verified { objects, packs: 3, bodies: 5, keys: 1, read: 5, ..Verified::default() };
    assert_eq!(verified, expected);
    assert_eq!(run(&bench, Options::default()).await.1, Verified { read: 0, ..expected });
    // An upload that was never committed is the sweeper's, now and once its time is over.
    bench.blobs.failing.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(bench.ingest(&[ada], b"Subject: failed\r\n\r\n").await[0].is_err());
    bench.world.test_db.clock().advance(TimeDelta::hours(3));
    assert_eq!(faults(&bench, REPAIRING).await, []);
}

#[tokio::test]
async fn what_the_store_cannot_read_is_a_finding_and_the_rest_is_looked_at() {
    let (bench, _) = filled().await;
    let mut bodies = 0;
    for pack in bench.blobs.packs().await {
        *bench.blobs.unreadable.lock().unwrap() = Some((pack.clone(), 0..u64::MAX));
        let (findings, verified) = run(&bench, READING).await;
        let Fault::Failing(cause) = &findings[0].fault else { panic!("{findings:?}") };
        assert_eq!((findings.len(), &findings[0].subject), (1, &Subject::Object(pack.clone())));
        assert!(cause.ends_with("reading: a bad sector"), "{cause}");
        assert_eq!((verified.packs, verified.bodies), (3, 5));
        // Its end can be read, and what lies in it cannot.
        *bench.blobs.unreadable.lock().unwrap() = Some((pack, 0..HEADER_BYTES + 1));
        let faults = faults(&bench, READING).await;
        bodies += faults.len();
        assert!(faults.iter().all(|fault| *fault == (Fault::Unreadable, false)), "{faults:?}");
    }
    assert_eq!(bodies, 5);
}

#[tokio::test]
async fn rows_that_are_off_are_found_and_left_where_that_is_all_there_is() {
    let (bench, _) = filled().await;
    for (spoil, mend, expected) in [
        (
            "update blobs set pack_offset = pack_offset + 1000000 where pack_index = 2",
            "update blobs set pack_offset = pack_offset - 1000000 where pack_index = 2",
            &[Fault::Outside, Fault::Unreadable][..],
        ),
        (
            "update blobs set pack_offset = pack_offset - 1 where pack_index = 1",
            "update blobs set pack_offset = pack_offset + 1 where pack_index = 1",
            &[Fault::Overlapping, Fault::Unreadable],
        ),
        (
            "update blobs set pack_is_own = false where pack_index = 1",
            "update blobs set pack_is_own = true where pack_index = 1",
            &[Fault::Misplaced],
        ),
        (
            "update blobs set key_generation = 7 where pack_index = 1",
            "update blobs set key_generation = 1 where pack_index = 1",
            &[Fault::Keyless, Fault::OtherFooter],
        ),
        (
            "update blobs set pack_index = 9 where pack_index = 1",
            "update blobs set pack_index = 1 where pack_index = 9",
            &[Fault::Unreadable],
        ),
        (
            "update blobs set size_bytes = size_bytes + 1 where pack_index = 1",
            "update blobs set size_bytes = size_bytes - 1 where pack_index = 1",
            &[Fault::OtherBody],
        ),
        (
            "update blobs set sha256 = sha256 || '\\x00' where pack_index = 1",
            "update blobs set sha256 = substring(sha256 for 32) where pack_index = 1",
            &[Fault::OtherBody],
        ),
        (
            "update packs set state = 'gone' where id in (select pack_id from blobs where pack_index = 1)",
            "update packs set state = 'live' where id in (select pack_id from blobs where pack_index = 1)",
            &[Fault::Astray],
        ),
        (
            "insert into packs (id, state, entry_bytes, created_at) values ('01970000-0000-7000-8000-000000000001', 'live', 9, now())",
            "delete from packs where id = '01970000-0000-7000-8000-000000000001'",
            &[Fault::Empty, Fault::Missing],
        ),
        (
            "update packs set entry_bytes = entry_bytes - 1 where id in (select pack_id from blobs where pack_index = 1)",
            "update packs set entry_bytes = entry_bytes + 1 where id in (select pack_id from blobs where pack_index = 1)",
            &[Fault::Overfull, Fault::Outside, Fault::End],
        ),
        (
            "update folders set message_count = message_count + 1 where role = 'sent'",
            "update folders set message_count = message_count - 1 where role = 'sent'",
            &[Fault::Drift(1)],
        ),
        (
            "update mailboxes set used_bytes = used_bytes + 1",
            "update mailboxes set used_bytes = used_bytes - 1",
            &[Fault::Drift(1)],
        ),
    ] {
        execute(&bench, spoil).await;
        let expected: Vec<_> = expected.iter().map(|fault| (fault.clone(), false)).collect();
        assert_eq!(faults(&bench, REPAIRING).await, expected, "{spoil}");
        execute(&bench, mend).await;
        assert_eq!(faults(&bench, READING).await, [], "{mend}");
    }
}

#[tokio::test]
async fn counters_are_counted_again() {
    let (bench, ada) = filled().await;
    let messages = Fault::Messages { noted: 3, counted: 1 };
    for (spoil, expected) in [
        ("update blobs set message_count = 3 where pack_index = 1", vec![(messages, true)]),
        ("update pack_shares set live_bytes = live_bytes + 1 where live_bytes > 1000000", vec![]),
    ] {
        execute(&bench, spoil).await;
        let found = faults(&bench, REPAIRING).await;
        if expected.is_empty() {
            let [(Fault::Overfull, false), (Fault::LiveBytes { noted, counted }, true)] = found[..] else {
                panic!("{found:?}")
            };
            assert_eq!(noted, counted + 1);
        } else {
            assert_eq!(found, expected, "{spoil}");
        }
        assert_eq!(faults(&bench, READING).await, [], "{spoil}");
        bench.assert_exact().await;
    }
    // What is dead since nobody knows when would never be written away.
    let doomed = bench.list(ada, State::Live).await;
    let mut small = None;
    for message in &doomed {
        if bench.parsed(message).await.subject.as_deref() == Some("two") {
            small = Some(message);
        }
    }
    let small = small.unwrap();
    message::discard(&bench.store, bench.ctx(), ada, small.id).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(31));
    bench.sweep_out().await;
    execute(&bench, "update packs set dead_since = null where state = 'live'").await;
    assert_eq!(faults(&bench, READING).await, [(Fault::Unnoted, false)]);
    assert_eq!(faults(&bench, REPAIRING).await, [(Fault::Unnoted, true)]);
    assert_eq!(faults(&bench, READING).await, []);
}

#[tokio::test]
async fn a_pack_that_drains_with_bodies_in_it_is_kept_from_the_sweeper() {
    let (bench, _) = filled().await;
    let packs = bench.blobs.packs().await;
    execute(&bench, "update packs set state = 'draining', drained_at = now() where state = 'live'").await;
    let astray = |is_repaired| vec![(Fault::Astray, is_repaired); 3];
    assert_eq!(faults(&bench, READING).await, astray(false));
    assert_eq!(faults(&bench, REPAIRING).await, astray(true));
    bench.world.test_db.clock().advance(TimeDelta::days(366));
    bench.sweep_out().await;
    assert_eq!(bench.blobs.packs().await, packs);
    assert_eq!(faults(&bench, READING).await, []);
}

#[tokio::test]
async fn a_count_that_would_fall_to_nothing_is_left_for_else_the_sweeper_took_the_body() {
    let (bench, _) = filled().await;
    execute(&bench, "delete from messages where blob_id in (select id from blobs where pack_index = 1)")
        .await;
    let lost = Fault::Messages { noted: 1, counted: 0 };
    let found = faults(&bench, REPAIRING).await;
    assert!(found.contains(&(lost.clone(), false)), "{found:?}");
    bench.world.test_db.clock().advance(TimeDelta::days(31));
    bench.sweep_out().await;
    let (findings, verified) = run(&bench, READING).await;
    assert_eq!((verified.bodies, verified.read), (5, 5));
    assert!(findings.iter().any(|finding| finding.fault == lost));
}

#[tokio::test]
async fn packs_that_are_missing_or_not_as_they_were_sealed_are_found_and_no_row_goes() {
    let (bench, _) = filled().await;
    let own = bench.blobs.packs().await.into_iter();
    let key = own.into_iter().find(|key| matches!(key, BlobKey::Pack { owner: Some(_), .. })).unwrap();
    let whole = bench.blobs.get(&key).await.unwrap().to_vec();
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let pack::Ending::Whole(tail) = pack::Tail::parse(whole.len() as u64, &whole.clone().into()).unwrap()
    else {
        panic!("it is all there")
    };
    let footers = usize::try_from(tail.begin()).unwrap();
    for (bytes, expected, unread) in [
        (None, vec![Fault::Missing], 1),
        (Some(whole[..footers].to_vec()), vec![Fault::Short], 1),
        (Some(whole[..whole.len() - 1].to_vec()), vec![Fault::End], 1),
        (Some([whole.as_slice(), b"!"].concat()), vec![Fault::End], 1),
        (Some(changed(whole.len() - 20)), vec![Fault::End], 1),
        // Within an entry and a footer only reading tells.
        (Some(changed(10)), vec![Fault::Unreadable], 0),
        (Some(changed(footers - 1)), vec![Fault::Unreadable], 0),
        (Some(changed(footers + 1)), vec![Fault::Footer], 0),
    ] {
        match &bytes {
            Some(bytes) => bench.blobs.land(&key, bytes.clone()).await,
            None => bench.blobs.delete(&key).await.unwrap(),
        }
        let before = bench.blobs.keys().await;
        let expected: Vec<_> = expected.into_iter().map(|fault| (fault, false)).collect();
        assert_eq!(faults(&bench, REPAIRING).await, expected);
        assert_eq!(run(&bench, Options::default()).await.0.len(), unread, "{expected:?}");
        assert_eq!(bench.blobs.keys().await, before);
        bench.assert_exact().await;
        bench.blobs.land(&key, whole.clone()).await;
        assert_eq!(faults(&bench, READING).await, []);
    }
}

#[tokio::test]
async fn keys_come_back_from_their_rows_and_never_over_another_that_opens() {
    let (bench, _) = filled().await;
    let keys = bench.blobs.keys().await.into_iter();
    let key = keys.into_iter().find(|key| matches!(key, BlobKey::WrappedKey { .. })).unwrap();
    let whole = bench.blobs.get(&key).await.unwrap();
    let other = DataKey::generate(&Env::system(), bench.ctx().tenant_id(), Generation::FIRST);
    let other = testkit::kek::encryption().wrap(&other).await.unwrap().encode();
    for (bytes, fault, is_repaired) in [
        (None, Fault::Missing, true),
        (Some(b"noise".to_vec()), Fault::OtherKey, true),
        (Some(other.clone()), Fault::OtherKey, false),
    ] {
        match bytes {
            Some(bytes) => bench.blobs.land(&key, bytes).await,
            None => bench.blobs.delete(&key).await.unwrap(),
        }
        let (findings, _) = run(&bench, REPAIRING).await;
        assert_eq!(findings, [Finding { subject: Subject::Object(key.clone()), fault, is_repaired }]);
        let there = bench.blobs.get(&key).await.unwrap();
        assert_eq!(there == whole, is_repaired);
    }
    bench.blobs.land(&key, whole.to_vec()).await;
    execute(&bench, "update tenant_keys set wrapped = set_byte(wrapped, length(wrapped) - 1, 7 # get_byte(wrapped, length(wrapped) - 1))").await;
    assert_eq!(faults(&bench, REPAIRING).await, [(Fault::Shut, false), (Fault::OtherKey, false)]);
    assert_eq!(bench.blobs.get(&key).await.unwrap(), whole);
}
