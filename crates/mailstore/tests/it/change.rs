//! The log of what changed, and who is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use kernel::MailboxId;
use mailstore::change::{self, Change, Kind};
use mailstore::folder::{self, NewFolder, Role};
use mailstore::message::{self, Flag, FlagChange, Flags};
use mailstore::{Error, MailStore};
use sqlx::Connection as _;
use tokio::sync::Notify;

use crate::support::{Bench, HELLO, inbox};

async fn now(bench: &Bench, mailbox: MailboxId) -> u64 {
    change::since(bench.ctx(), mailbox, None).await.unwrap().modseq
}

/// What changed, as kinds and UIDs of folders; and from where to go on.
async fn since(bench: &Bench, mailbox: MailboxId, modseq: u64) -> (Vec<Change>, u64) {
    let found = change::since(bench.ctx(), mailbox, Some(modseq)).await.unwrap();
    assert!(!found.has_more);
    (found.changes, found.modseq)
}

#[tokio::test]
async fn each_command_is_told_once_with_what_it_was_about() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let inbox_id = inbox(&bench, ada).await.id;
    let trash = folder::list(bench.ctx(), ada)
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.role == Some(Role::Trash))
        .unwrap()
        .id;
    let (store, ctx) = (&bench.store, bench.ctx());
    let start = now(&bench, ada).await;

    let ids =
        [bench.stored(ada, HELLO).await, bench.stored(ada, HELLO).await, bench.stored(ada, HELLO).await];
    let seen = Flags { flags: [Flag::Seen].into(), ..Flags::default() };
    message::flag(store, ctx, ada, &[ids[0], ids[2]], &FlagChange::adding(seen)).await.unwrap();
    message::relocate(store, ctx, ada, &[ids[0], ids[1]], trash).await.unwrap();
    message::discard(store, ctx, ada, ids[2]).await.unwrap();
    let made = NewFolder { parent_id: None, name: "New".to_owned(), role: None, is_subscribed: true };
    let made = folder::create(store, ctx, ada, made).await.unwrap();

    let (changes, reached) = since(&bench, ada, start).await;
    let told: Vec<_> =
        changes.iter().map(|one| (one.folder_id, one.kind, one.uids.iter().collect::<Vec<_>>())).collect();
    let moved = [(inbox_id, Kind::Gone, vec![1, 2]), (trash, Kind::Arrived, vec![1, 2])];
    assert_eq!(
        told[..4],
        [
            (inbox_id, Kind::Arrived, vec![1]),
            (inbox_id, Kind::Arrived, vec![2]),
            (inbox_id, Kind::Arrived, vec![3]),
            (inbox_id, Kind::Flagged, vec![1, 3]),
        ]
    );
    assert!(told[4..6].iter().all(|one| moved.contains(one)) && told[4] != told[5], "{told:?}");
    assert_eq!(changes[4].modseq, changes[5].modseq);
    assert_eq!(told[6..], [(inbox_id, Kind::Gone, vec![3]), (made.id, Kind::Folder, vec![])]);
    assert!(changes.windows(2).all(|pair| pair[0].modseq <= pair[1].modseq) && changes[0].modseq > start);

    // Wherever one begins, the rest follows, and then nothing.
    for (index, change) in changes.iter().enumerate() {
        let rest =
            changes[index..].iter().filter(|later| later.modseq > change.modseq).cloned().collect::<Vec<_>>();
        assert_eq!(since(&bench, ada, change.modseq).await.0, rest);
    }
    assert_eq!(since(&bench, ada, reached).await, (Vec::new(), reached));
    // A message that was changed has the modification sequence of its change.
    let after = message::get(ctx, ada, ids[0]).await.unwrap();
    assert_eq!(after.modseq, changes[4].modseq);
    assert!(matches!(change::since(ctx, ada, Some(reached + 1)).await, Err(Error::ChangesExpired)));
}

#[tokio::test]
async fn a_batch_tells_of_all_that_arrived() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let (from_ada, from_bob) = (now(&bench, ada).await, now(&bench, bob).await);
    let many = (0..20).map(|_| bench.ingest(&[ada, bob], HELLO));
    assert!(futures::future::join_all(many).await.iter().flatten().all(Result::is_ok));
    for (mailbox, from) in [(ada, from_ada), (bob, from_bob)] {
        let (changes, _) = since(&bench, mailbox, from).await;
        let uids: Vec<u64> = changes.iter().flat_map(|change| change.uids.iter()).collect();
        assert_eq!(uids, (1..=20).collect::<Vec<_>>());
        assert!(changes.iter().all(|change| change.kind == Kind::Arrived));
    }
}

#[tokio::test]
async fn a_log_that_has_expired_says_so_and_forgets_nothing_younger() {
    let bench = Bench::new().await;
    let (ada, clock) = (bench.mailbox("ada", None).await, bench.world.test_db.clock());
    let start = now(&bench, ada).await;
    bench.stored(ada, HELLO).await;
    clock.advance(TimeDelta::days(1));
    let old = now(&bench, ada).await;
    bench.stored(ada, HELLO).await;
    clock.advance(change::KEPT - TimeDelta::hours(1));
    assert_eq!(change::expire(&bench.world.test_db.db()).await.unwrap(), 1);
    assert!(matches!(change::since(bench.ctx(), ada, Some(start)).await, Err(Error::ChangesExpired)));
    assert_eq!(since(&bench, ada, old).await.0.len(), 1);
    assert_eq!(change::expire(&bench.world.test_db.db()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_command_is_told_whole_however_many_folders_it_was_about() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let start = now(&bench, ada).await;
    let many = usize::from(change::MAX_CHANGES) + 200;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let commands = "with mailbox as (update mailboxes set modseq = modseq + 2 where id = $1 returning tenant_id, id, modseq)
        insert into mail_changes (tenant_id, mailbox_id, modseq, folder_id, kind, created_at)
        select tenant_id, id, modseq - (number <= $2)::integer, gen_random_uuid(), 'flagged', now()
        from mailbox, generate_series(1, $2 + 3) as number";
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let commands = sqlx::query(commands).bind(ada.uuid()).bind(many as i64);
    commands.execute(&mut connection).await.unwrap();

    let first = change::since(bench.ctx(), ada, Some(start)).await.unwrap();
    assert_eq!((first.changes.len(), first.modseq, first.has_more), (many, start + 1, true));
    let (rest, reached) = since(&bench, ada, first.modseq).await;
    assert_eq!((rest.len(), reached), (3, start + 2));
}

#[tokio::test]
async fn who_asks_from_where_on_is_not_surprised_by_the_first_folders() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let start = now(&bench, ada).await;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let folders: i64 = sqlx::query_scalar("select count(*) from folders where mailbox_id = $1")
        .bind(ada.uuid())
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(folders, Role::ALL.len() as i64);
    bench.stored(ada, HELLO).await;
    let (changes, _) = since(&bench, ada, start).await;
    assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), [Kind::Arrived]);
}

#[tokio::test]
async fn nobody_reads_another_s_log() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let (other, bob) = bench.neighbour().await;
    assert!(matches!(change::since(&other, ada, Some(0)).await, Err(Error::NotFound)));
    let watched = change::watch(&bench.store, bench.ctx(), bob).await;
    assert!(matches!(watched, Err(Error::NotFound)), "{watched:?}");
    assert!(matches!(change::since(bench.ctx(), bob, Some(0)).await, Err(Error::NotFound)));
}

/// A second server on the same database, and both of them listening.
struct Two {
    here: MailStore,
    there: MailStore,
    stop: Arc<Notify>,
}

impl Two {
    fn of(bench: &Bench) -> Self {
        let store =
            || MailStore::new(bench.world.test_db.db(), bench.blobs.clone(), testkit::kek::encryption());
        let two = Self { here: store(), there: store(), stop: Arc::default() };
        for store in [two.here.clone(), two.there.clone()] {
            let stop = two.stop.clone();
            tokio::spawn(async move { change::run(&store, stop.notified()).await });
        }
        two
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_takes_in_another_one_tells_in_a_tenth_of_a_second() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    inbox(&bench, ada).await;
    let two = Two::of(&bench);
    let mut modseq = now(&bench, ada).await;
    let mut waits = Vec::new();
    for round in 0..21 {
        let waiting = change::wait(&two.there, bench.ctx(), ada, Some(modseq), Duration::from_secs(20));
        let taking = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let target = bench.target(ada);
            assert!(
                mailstore::ingest::ingest(&two.here, vec![target], bench.incoming(HELLO)).await[0].is_ok()
            );
            Instant::now()
        };
        let (found, taken) = tokio::join!(async { (waiting.await.unwrap(), Instant::now()) }, taking);
        let (found, told) = found;
        assert_eq!(found.changes.len(), 1, "round {round}");
        modseq = found.modseq;
        waits.push(told.saturating_duration_since(taken));
    }
    // Whoever only looked once a second would take half a second at the median.
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < Duration::from_millis(100), "{waits:?}");
    two.stop.notify_waiters();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_vain_is_answered_and_who_waits_when_the_server_stops_at_once() {
    let bench = Bench::new().await;
    let (ada, eve) = (bench.mailbox("ada", None).await, bench.mailbox("eve", None).await);
    let two = Two::of(&bench);
    let modseq = now(&bench, ada).await;
    let short = Duration::from_millis(200);
    let wait = |patience| change::wait(&two.there, bench.ctx(), ada, Some(modseq), patience);
    bench.stored(eve, HELLO).await;
    assert_eq!(wait(short).await.unwrap().changes, []);
    let (found, ()) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(30), wait(Duration::from_secs(600))), async {
            tokio::time::sleep(short).await;
            two.stop.notify_waiters();
        });
    assert_eq!(found.expect("it was let go").unwrap().changes, []);
}
