//! The one door: one pack for what arrives together, exact quotas, nothing visible that is not durable.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use blob::{BlobKey, BlobStore as _};
use chrono::TimeDelta;
use futures::future::join_all;
use kernel::{EmailAddress, ErrorKind, FolderId};
use mailstore::ingest::{ImportKey, Incoming, Outcome, Target, Within, ingest, ingest_all};
use mailstore::message::{self, State};
use mailstore::{Error, sweep};
use tenancy::recipient::Recipients;
use uuid::Uuid;

use crate::support::{Bench, HELLO, id, noise};

#[tokio::test]
async fn two_recipients_share_one_object_and_see_the_same_bytes() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let results = bench.ingest(&[bob, ada], HELLO).await;
    assert_eq!(bench.blobs.packs().await.len(), 1);
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 1);
    for (mailbox, result) in [bob, ada].into_iter().zip(&results) {
        let raw = message::raw(&bench.store, bench.ctx(), mailbox, id(result), None).await.unwrap();
        assert_eq!(raw.bytes, HELLO);
        assert_eq!(bench.used(mailbox).await, (HELLO.len() as i64, 0));
        let listed = bench.list(mailbox, State::Live).await;
        assert_eq!(listed[0].id, id(result));
        let parsed = bench.parsed(&listed[0]).await;
        assert_eq!(parsed.subject.as_deref(), Some("hello"));
        assert_eq!(parsed.preview.as_deref(), Some("Hello you"));
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_mailbox_named_twice_gets_the_message_once_and_answers_twice() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let results = bench.ingest(&[ada, bob, ada], HELLO).await;
    assert_eq!(id(&results[0]), id(&results[2]));
    assert_ne!(id(&results[0]), id(&results[1]));
    assert_eq!(bench.list(ada, State::Live).await.len(), 1);
    bench.assert_exact().await;
}

#[tokio::test]
async fn several_go_in_together_in_their_order_or_not_at_all() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", Some(2_500)).await;
    let incoming = |many: usize| (0..many).map(|_| bench.incoming(&noise(1_000))).collect::<Vec<_>>();
    // Each has room, all of them have not.
    let refused = ingest_all(&bench.store, bench.target(ada), incoming(3)).await;
    assert!(matches!(refused, Err(Error::OverQuota)), "{refused:?}");
    assert_eq!((bench.list(ada, State::Live).await.len(), bench.used(ada).await), (0, (0, 0)));
    assert_eq!(bench.blobs.packs().await, []);

    let ids = ingest_all(&bench.store, bench.target(ada), incoming(2)).await.unwrap();
    let mut stored = Vec::new();
    for id in &ids {
        stored.push(message::stored(bench.ctx(), ada, *id).await.unwrap().uid);
    }
    assert_eq!(stored, [1, 2]);
    assert_eq!(bench.blobs.packs().await.len(), 1);
    // One without a folder is none for all.
    let nowhere =
        Target { folder: Within::Folder(FolderId::from_uuid(Uuid::from_u128(7))), ..bench.target(ada) };
    let refused = ingest_all(&bench.store, nowhere, vec![bench.incoming(HELLO)]).await;
    assert!(matches!(refused, Err(Error::FolderNotFound)), "{refused:?}");
    bench.assert_exact().await;
}

#[tokio::test]
async fn tenants_share_a_pack_and_not_their_fate() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let (ctx, bob) = bench.neighbour().await;
    let targets = || {
        vec![
            bench.target(ada),
            Target { ctx: ctx.clone(), mailbox_id: bob, folder: Within::Inbox, room_bytes: None },
            bench.target(ada),
        ]
    };
    // A tenant whose key is not in the bucket seals nothing.
    bench.store.keys().sealing(bench.ctx()).await.unwrap();
    bench.blobs.keyless.store(true, Ordering::SeqCst);
    let results = ingest(&bench.store, targets(), bench.incoming(HELLO)).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(Error::Blob(_))), "{results:?}");
    bench.blobs.keyless.store(false, Ordering::SeqCst);
    bench.store.keys().sealing(&ctx).await.unwrap();

    let results = ingest(&bench.store, targets(), bench.incoming(HELLO)).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(bench.blobs.packs().await.len(), 2);
    for (ctx, mailbox, result) in [(bench.ctx(), ada, &results[0]), (&ctx, bob, &results[1])] {
        let raw = message::raw(&bench.store, ctx, mailbox, id(result), None).await.unwrap();
        assert_eq!(raw.bytes, HELLO);
    }
    let bounds = tenancy::quota::Bounds { quota_bytes: Some(1), ..Default::default() };
    tenancy::mailbox::set_quota(&ctx, bob, None, bounds).await.unwrap();
    let results = ingest(&bench.store, targets(), bench.incoming(HELLO)).await;
    assert!(results[0].is_ok() && matches!(results[1], Err(Error::OverQuota)), "{results:?}");
    assert_eq!(bench.list(ada, State::Live).await.len(), 3);
    let page = kernel::PageRequest::new(None, None);
    let neighbours = message::list(&ctx, bob, message::Filter::default(), &page).await.unwrap();
    assert_eq!(neighbours.items.len(), 1);
    bench.assert_exact().await;
}

/// Messages `0..count` for a mailbox, of different lengths, behind one whose upload is held.
async fn behind_a_slow_one(
    bench: &Bench,
    mailbox: kernel::MailboxId,
    count: usize,
) -> Vec<Vec<Result<Outcome, Error>>> {
    bench.store.keys().sealing(bench.ctx()).await.unwrap();
    let hold = bench.blobs.hold();
    let slow = bench.ingest(&[mailbox], b"Subject: slow\r\n\r\n");
    let others = async {
        bench.blobs.wait_until_stored().await;
        let bodies = (0..count).map(|at| body(at).into_bytes()).collect::<Vec<_>>();
        let ingesting =
            join_all(bodies.iter().map(|body| bench.ingest(std::slice::from_ref(&mailbox), body)));
        let (results, ()) = tokio::join!(ingesting, async {
            bench.blobs.wait_until_stored().await;
            bench.blobs.stop_holding();
            hold.add_permits(10);
        });
        results
    };
    let (slow, results) = tokio::join!(slow, others);
    id(&slow[0]);
    results
}

fn body(at: usize) -> String {
    format!("Subject: {at}\r\n\r\n{}", "x".repeat(at))
}

#[tokio::test]
async fn what_waits_behind_a_slow_upload_goes_into_one_pack() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let results = behind_a_slow_one(&bench, ada, 40).await;
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 2);
    for (at, result) in results.iter().enumerate() {
        let message = message::raw(&bench.store, bench.ctx(), ada, id(&result[0]), None).await.unwrap();
        assert_eq!(message.bytes, body(at));
    }
    let uids: BTreeSet<u64> = bench.list(ada, State::Live).await.iter().map(|message| message.uid).collect();
    assert_eq!(uids, (1..=41).collect());
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_a_full_batch_leaves_goes_in_beside_it() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let results = behind_a_slow_one(&bench, ada, 300).await;
    assert!(results.iter().all(|result| result[0].is_ok()), "{results:?}");
    // Three; who comes late on a busy machine goes in beside them.
    let puts = bench.blobs.puts.load(Ordering::SeqCst);
    assert!((3..=6).contains(&puts), "{puts}");
    bench.assert_exact().await;
}

/// The packs that are in a state.
#[expect(clippy::disallowed_methods, reason = "the test looks at what no tenant owns")]
async fn packs(bench: &Bench, state: &str) -> i64 {
    let mut tx = db::SystemTx::begin(&bench.world.test_db.db()).await.unwrap();
    let count = sqlx::query_scalar("select count(*) from packs where state = $1").bind(state);
    count.fetch_one(tx.conn()).await.unwrap()
}

#[tokio::test]
async fn a_pack_is_reserved_ahead_and_left_once_it_is_too_old_to_upload() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    assert_eq!((packs(&bench, "live").await, packs(&bench, "reserved").await), (1, 1));
    bench.world.test_db.clock().advance(TimeDelta::minutes(59));
    bench.stored(ada, HELLO).await;
    assert_eq!((packs(&bench, "live").await, packs(&bench, "reserved").await), (2, 1));
    bench.world.test_db.clock().advance(TimeDelta::minutes(61));
    bench.stored(ada, HELLO).await;
    assert_eq!((packs(&bench, "live").await, packs(&bench, "reserved").await), (3, 2));
    bench.world.test_db.clock().advance(TimeDelta::minutes(60));
    let swept = sweep::run(&bench.store, &bench.world.test_db.db()).await;
    assert_eq!(swept, sweep::Swept { reservations: 1, packs: 1, ..Default::default() });
}

#[test]
fn a_process_that_ends_while_mail_waits_does_end() {
    let (ending, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let answered = runtime.block_on(async {
            let bench = std::sync::Arc::new(Bench::new().await);
            let ada = bench.mailbox("ada", None).await;
            bench.blobs.hold();
            // More come than go in beside those whose upload never ends.
            let mut answers = Vec::new();
            for _ in 0..8 {
                for _ in 0..4 {
                    let bench = bench.clone();
                    answers.push(tokio::spawn(async move { bench.ingest(&[ada], HELLO).await }));
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            answers.iter().any(tokio::task::JoinHandle::is_finished)
        });
        drop(runtime);
        ending.send(answered).unwrap();
    });
    let answered = ended.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(answered, Ok(false));
}

#[tokio::test]
async fn one_that_cannot_be_stored_fails_alone() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.poison(body(7).len()).await;
    let results = behind_a_slow_one(&bench, ada, 20).await;
    for (at, result) in results.iter().enumerate() {
        match &result[0] {
            Err(Error::Db(_)) => assert_eq!(at, 7),
            stored => {
                assert_ne!(at, 7);
                let raw = message::raw(&bench.store, bench.ctx(), ada, id(stored), None).await.unwrap();
                assert_eq!(raw.bytes, body(at));
            }
        }
    }
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 2);
    assert_eq!(bench.list(ada, State::Live).await.len(), 20);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_batch_whose_upload_fails_leaves_nothing_and_the_next_goes_in() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.blobs.failing.store(true, Ordering::SeqCst);
    let results = join_all((0..10).map(|_| bench.ingest(&[ada], HELLO))).await;
    assert!(results.iter().all(|result| matches!(result[0], Err(Error::Blob(_)))), "{results:?}");
    bench.blobs.failing.store(false, Ordering::SeqCst);
    bench.stored(ada, HELLO).await;
    assert_eq!(bench.list(ada, State::Live).await.len(), 1);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_large_body_is_an_object_of_its_own_beside_what_else_is_its_tenant_s() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let large = noise(3 << 20);
    let message = bench.stored(ada, &large).await;
    let packs = bench.blobs.packs().await;
    assert!(
        matches!(packs[..], [BlobKey::Pack { owner: Some(owner), .. }] if owner == bench.ctx().tenant_id())
    );
    let raw = message::raw(&bench.store, bench.ctx(), ada, message, None).await.unwrap();
    assert!(raw.bytes == large);
    let range =
        message::raw(&bench.store, bench.ctx(), ada, message, Some(1_000_000..1_000_005)).await.unwrap();
    assert_eq!(range.bytes, large[1_000_000..1_000_005]);
    message::discard(&bench.store, bench.ctx(), ada, message).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(31));
    bench.sweep_out().await;
    assert!(bench.blobs.packs().await.is_empty());
    bench.assert_exact().await;
}

#[tokio::test]
async fn bytes_that_have_changed_are_no_message() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let message = bench.stored(ada, HELLO).await;
    let key = bench.blobs.packs().await.remove(0);
    let mut object = bench.blobs.get(&key).await.unwrap().to_vec();
    object[12] ^= 1;
    bench.blobs.land(&key, object).await;
    let read = message::raw(&bench.store, bench.ctx(), ada, message, None).await;
    assert!(matches!(read, Err(Error::Unreadable(_))), "{read:?}");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_racing_for_the_last_slot_exactly_one_wins() {
    let bench = Bench::new().await;
    let size = HELLO.len() as i64;
    let ada = bench.mailbox("ada", Some(3 * size - 1)).await;
    bench.stored(ada, HELLO).await;
    let results = join_all((0..64).map(|_| bench.ingest(&[ada], HELLO))).await;
    let won = results.iter().filter(|result| result[0].is_ok()).count();
    assert_eq!(won, 1);
    let refused = |result: &Result<Outcome, Error>| matches!(result, Err(Error::OverQuota));
    assert_eq!(results.iter().filter(|result| refused(&result[0])).count(), 63, "{results:?}");
    assert_eq!(bench.used(ada).await, (2 * size, 0));
    bench.assert_exact().await;
    // What lost after its upload is garbage, and goes with its pack at last.
    bench.world.test_db.clock().advance(TimeDelta::hours(3));
    sweep::run(&bench.store, &bench.world.test_db.db()).await;
    assert_eq!(bench.blobs.packs().await.len(), 2);
}

#[tokio::test]
async fn over_quota_is_one_recipients_result_and_uploads_nothing_alone() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", Some(1)).await, bench.mailbox("bob", None).await);
    let results = bench.ingest(&[ada, bob], HELLO).await;
    assert!(matches!(results[0], Err(Error::OverQuota)), "{results:?}");
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(results[0].as_ref().unwrap_err().code(), "quota_exceeded");
    id(&results[1]);
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 1);
    bench.ingest(&[ada], HELLO).await;
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 1);
    assert_eq!(bench.used(ada).await, (0, 0));
    bench.assert_exact().await;
}

#[tokio::test]
async fn room_that_was_there_when_somebody_looked_and_is_not_any_more_is_refused() {
    let bench = Bench::new().await;
    let size = HELLO.len() as i64;
    let (ada, bob) = (bench.mailbox("ada", Some(2 * size - 1)).await, bench.mailbox("bob", None).await);
    bench.stored(ada, HELLO).await;
    let known = |mailbox| Target { room_bytes: Some(u64::MAX), ..bench.target(mailbox) };
    let results = ingest(&bench.store, vec![known(ada), known(bob)], bench.incoming(HELLO)).await;
    assert!(matches!(results[..], [Err(Error::OverQuota), Ok(Outcome::Stored(_))]), "{results:?}");
    assert_eq!(bench.blobs.packs().await.len(), 2);
    // Alone, it was uploaded in vain.
    let results = ingest(&bench.store, vec![known(ada)], bench.incoming(HELLO)).await;
    assert!(matches!(results[..], [Err(Error::OverQuota)]), "{results:?}");
    assert_eq!((bench.blobs.puts.load(Ordering::SeqCst), bench.blobs.packs().await.len()), (3, 2));
    assert_eq!((bench.used(ada).await, bench.used(bob).await), ((size, 0), (size, 0)));
    bench.assert_exact().await;
}

#[tokio::test]
async fn of_several_for_one_mailbox_those_are_counted_that_fit_and_were_not_there() {
    let bench = &Bench::new().await;
    let (size, bob) = (HELLO.len() as i64, bench.mailbox("bob", None).await);
    bench.store.keys().sealing(bench.ctx()).await.unwrap();
    // In the first all four would have room, in the second two.
    for (name, quota_bytes, count) in [("ada", 4 * size, 3), ("eve", 2 * size, 2)] {
        let mailbox = bench.mailbox(name, Some(quota_bytes)).await;
        let key = Some(ImportKey { sha256: [7; 32], occurrence: 1 });
        let four = [None, key, key, None].map(|import_key| Incoming { import_key, ..bench.incoming(HELLO) });
        let hold = bench.blobs.hold();
        let together = async {
            bench.blobs.wait_until_stored().await;
            let four = four.map(|incoming| ingest(&bench.store, vec![bench.target(mailbox)], incoming));
            let (results, ()) = tokio::join!(join_all(four), async {
                bench.blobs.wait_until_stored().await;
                bench.blobs.stop_holding();
                hold.add_permits(2);
            });
            results.into_iter().flatten().collect::<Vec<_>>()
        };
        let (_, results) = tokio::join!(bench.stored(bob, HELLO), together);
        let [Ok(Outcome::Stored(_)), Ok(Outcome::Stored(_)), Ok(Outcome::AlreadyImported), last] =
            &results[..]
        else {
            panic!("{results:?}")
        };
        match last {
            Ok(Outcome::Stored(_)) => assert_eq!(count, 3),
            last => assert!(matches!(last, Err(Error::OverQuota)) && count == 2, "{results:?}"),
        }
        assert_eq!(bench.used(mailbox).await, (count * size, 0));
        let mut modseqs: Vec<u64> =
            bench.list(mailbox, State::Live).await.iter().map(|message| message.modseq).collect();
        modseqs.sort_unstable();
        let mut tx = bench.ctx().begin().await.unwrap();
        let next = tenancy::quota::lock(&mut tx, mailbox).await.unwrap().unwrap();
        modseqs.push(u64::try_from(next).unwrap());
        assert!(modseqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{modseqs:?}");
        assert_eq!(modseqs.len() as i64, count + 1);
    }
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 4, "the four go in together");
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_failed_upload_leaves_nothing_to_see() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.blobs.failing.store(true, Ordering::SeqCst);
    let results = bench.ingest(&[ada, ada], HELLO).await;
    assert!(results.iter().all(|result| matches!(result, Err(Error::Blob(_)))), "{results:?}");
    assert!(bench.list(ada, State::Live).await.is_empty());
    assert_eq!(bench.used(ada).await, (0, 0));
    bench.assert_exact().await;
}

#[tokio::test]
async fn an_import_key_is_kept_only_with_its_message() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", Some(HELLO.len() as i64)).await;
    let bob = bench.mailbox("bob", None).await;
    let import = || {
        let import_key = Some(ImportKey { sha256: [7; 32], occurrence: 1 });
        let incoming = Incoming { import_key, ..bench.incoming(HELLO) };
        ingest(&bench.store, vec![bench.target(ada), bench.target(bob)], incoming)
    };
    let hold = bench.blobs.hold();
    let (results, ()) = tokio::join!(import(), async {
        bench.blobs.wait_until_stored().await;
        bench.blobs.stop_holding();
        bench.stored(ada, HELLO).await;
        hold.add_permits(1);
    });
    assert!(matches!(results[..], [Err(Error::OverQuota), Ok(Outcome::Stored(_))]), "{results:?}");
    tenancy::mailbox::set_quota(bench.ctx(), ada, None, Default::default()).await.unwrap();
    let results = import().await;
    assert!(matches!(results[..], [Ok(Outcome::Stored(_)), Ok(Outcome::AlreadyImported)]), "{results:?}");
    assert_eq!(bench.list(ada, State::Live).await.len(), 2);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uids_are_unique_and_without_gaps_under_concurrency() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    // Both orders of naming the mailboxes: locks are taken in the order of ids all the same.
    let results = join_all((0..40).map(|n| {
        let mailboxes = if n % 2 == 0 { [ada, bob] } else { [bob, ada] };
        bench.ingest(&mailboxes, HELLO)
    }))
    .await;
    assert!(results.iter().flatten().all(Result::is_ok), "{results:?}");
    for mailbox in [ada, bob] {
        let messages = bench.list(mailbox, State::Live).await;
        let uids: BTreeSet<u64> = messages.iter().map(|message| message.uid).collect();
        assert_eq!(uids, (1..=40).collect());
        let modseqs: BTreeSet<u64> = messages.iter().map(|message| message.modseq).collect();
        assert_eq!(modseqs.len(), 40);
        let uidls: BTreeSet<&str> = messages.iter().map(|message| message.uidl.as_str()).collect();
        assert_eq!(uidls.len(), 40);
        assert!(uidls.iter().all(|uidl| (1..=70).contains(&uidl.len())));
        assert!(uidls.iter().all(|uidl| uidl.bytes().all(|byte| (0x21..=0x7e).contains(&byte))));
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn whatever_the_bytes_they_are_stored_as_they_are() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let hostile: [&[u8]; 7] = [
        b"",
        b"\0\0\0",
        b"Subject: a\0b =?utf-8?q?=00?=\nFrom: \0 <\0@x>\n\nbare\nfeeds\rand \0 NULs",
        b"\xff\xfe\x80 no header\r\n",
        b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n----",
        b"Subject: \xff\xff\r\n\r\n.\r\n..\r\n",
        b"Date: Thu, 99 Foo 99999 99:99:99 +9999\r\n\r\n",
    ];
    for bytes in hostile {
        let id = bench.stored(ada, bytes).await;
        let raw = message::raw(&bench.store, bench.ctx(), ada, id, None).await.unwrap();
        assert_eq!(raw.bytes, bytes);
        let found = message::get(bench.ctx(), ada, id).await.unwrap();
        assert_eq!(found.size_bytes, bytes.len() as u64);
        assert_eq!(found.wire_size_bytes, kernel::crlf::len(bytes));
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn too_many_keywords_are_their_own_messages_fault() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let marked = |count: usize| {
        let mut incoming = bench.incoming(HELLO);
        incoming.flags.keywords = (0..count).map(|number| format!("k{number}").parse().unwrap()).collect();
        ingest(&bench.store, vec![bench.target(ada)], incoming)
    };
    let (many, most, none) = tokio::join!(marked(101), marked(100), bench.ingest(&[ada], HELLO));
    assert!(matches!(many[0], Err(Error::TooManyKeywords { max: 100 })), "{many:?}");
    assert!(most[0].is_ok() && none[0].is_ok(), "{most:?} {none:?}");
    assert_eq!(bench.list(ada, State::Live).await.len(), 2);
    bench.assert_exact().await;
}

#[tokio::test]
async fn refuses_what_is_too_large_and_what_is_not_there() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let large = vec![b'x'; usize::try_from(mailstore::MAX_MESSAGE_BYTES).unwrap() + 70_000];
    let results = bench.ingest(&[ada, ada], &large).await;
    assert!(matches!(results[..], [Err(Error::TooLarge { .. }), Err(Error::TooLarge { .. })]), "{results:?}");

    let (_, foreign) = bench.neighbour().await;
    let results = bench.ingest(&[foreign], HELLO).await;
    assert!(matches!(results[0], Err(Error::MailboxGone)), "{results:?}");

    let folder = Within::Folder(FolderId::from_uuid(Uuid::from_u128(7)));
    let targets = vec![Target { folder, ..bench.target(ada) }, bench.target(ada)];
    let results = ingest(&bench.store, targets, bench.incoming(HELLO)).await;
    assert!(matches!(results[0], Err(Error::FolderNotFound)), "{results:?}");
    id(&results[1]);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_delivery_may_put_mail_there_and_nothing_else() {
    let bench = Bench::new().await;
    bench.mailbox("ada", None).await;
    let recipients = Recipients::new(bench.world.test_db.db());
    let address: EmailAddress = "ada@acme.example".parse().unwrap();
    let found = recipients.resolve(&address, bench.world.request_id()).await.unwrap().unwrap();
    let target = Target {
        ctx: found.ctx.clone(),
        mailbox_id: found.mailbox_ids[0],
        folder: Within::Inbox,
        room_bytes: None,
    };
    let results = ingest(&bench.store, vec![target], bench.incoming(HELLO)).await;
    let message = id(&results[0]);
    let read = message::get(&found.ctx, found.mailbox_ids[0], message).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Forbidden);
    let deleted = message::discard(&bench.store, &found.ctx, found.mailbox_ids[0], message).await;
    assert_eq!(deleted.unwrap_err().kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_pool_with_room_for_one_of_two_takes_one_and_refuses_the_other() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let change = tenancy::tenant::TenantChange {
        storage_limit_bytes: Some(Some(HELLO.len() as i64 * 2 - 1)),
        ..Default::default()
    };
    tenancy::tenant::update(bench.ctx(), None, change).await.unwrap();
    let results = bench.ingest(&[bob, ada], HELLO).await;
    let stored = results.iter().filter(|result| matches!(result, Ok(Outcome::Stored(_)))).count();
    let over = results.iter().filter(|result| matches!(result, Err(Error::OverQuota))).count();
    assert_eq!((stored, over), (1, 1), "{results:?}");
    for (mailbox, result) in [bob, ada].into_iter().zip(&results) {
        assert_eq!(bench.list(mailbox, State::Live).await.len(), usize::from(result.is_ok()));
    }
    let results = bench.ingest(&[ada, bob], HELLO).await;
    assert!(matches!(results[..], [Err(Error::OverQuota), Err(Error::OverQuota)]), "{results:?}");
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_message_to_very_many_is_taken_in_a_hundred_at_a_time() {
    let bench = Bench::new().await;
    let users = (0..101).map(|at| testkit::world::new_user(&format!("u{at}@acme.example"), None));
    let users = users.map(|new| tenancy::user::NewUser { password: None, ..new }).collect();
    let made = tenancy::user::create_batch(bench.ctx(), users).await.unwrap();
    let mut mailboxes: Vec<_> = made.iter().map(|user| user.mailbox_id).collect();
    // Named twice, it gets one, and answers twice.
    mailboxes.push(mailboxes[0]);
    let results = bench.ingest(&mailboxes, HELLO).await;
    assert_eq!(results.len(), 102);
    assert_eq!(id(&results[0]), id(&results[101]));
    for &mailbox in &mailboxes {
        assert_eq!(bench.list(mailbox, message::State::Live).await.len(), 1);
    }
    assert_eq!(bench.blobs.packs().await.len(), 2);
    bench.assert_exact().await;
}
