//! The journal on its way into the bucket.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blob::{BlobKey, BlobStore, KeyPage, KeyPrefix};
use bytes::Bytes;
use chrono::TimeDelta;
use mailstore::MailStore;
use pack::segment::Name;
use recovery::{Journal, base, ship};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::{Bench, assert_same, rows};

/// Less than the half minute after which a turn is anybody's, on a slow machine as well.
const AT_ONCE: Duration = Duration::from_secs(20);
/// How long something waits at most that its turn's holder rests.
const RESTS: Duration = Duration::from_secs(2);
/// How long something is watched that is not to happen.
const A_WHILE: Duration = Duration::from_millis(300);

/// A bucket whose puts of segments wait at a gate.
#[derive(Debug)]
struct Gate {
    bucket: Arc<dyn BlobStore>,
    /// One permit for each put that has come to it.
    came: Semaphore,
    open: Semaphore,
}

impl Gate {
    fn before(bench: &Bench) -> Arc<Self> {
        Arc::new(Self { bucket: bench.blobs.clone(), came: Semaphore::new(0), open: Semaphore::new(0) })
    }

    /// Another process' journal, behind it.
    fn journal(self: &Arc<Self>, bench: &Bench) -> Journal {
        let db = bench.world.test_db.db();
        let store = MailStore::new(db.clone(), self.clone(), testkit::kek::encryption());
        Journal::new(&db, &store)
    }

    /// A process whose put has come to it.
    async fn putting(self: &Arc<Self>, bench: &Bench) -> JoinHandle<Result<ship::Shipped, recovery::Error>> {
        let journal = self.journal(bench);
        let putting = tokio::spawn(async move { ship::ship(&journal).await });
        self.until_one_came().await;
        putting
    }

    /// Waits until a put has come to it.
    async fn until_one_came(&self) {
        tokio::time::timeout(AT_ONCE, self.came.acquire()).await.unwrap().unwrap().forget();
    }

    fn let_one_through(&self) {
        self.open.add_permits(1);
    }
}

#[async_trait]
impl BlobStore for Gate {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), blob::Error> {
        if matches!(key, BlobKey::Segment(_)) {
            self.came.add_permits(1);
            self.open.acquire().await.unwrap().forget();
        }
        self.bucket.put(key, bytes).await
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, blob::Error> {
        self.bucket.get(key).await
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, blob::Error> {
        self.bucket.get_range(key, range).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.bucket.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, blob::Error> {
        self.bucket.list(prefix, after).await
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.bucket.erase(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), blob::Error> {
        self.bucket.erase_all(prefix).await
    }
}

/// Ends a process' work at once, and its connections with it.
async fn kill<T: Debug>(work: JoinHandle<T>) {
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
}

async fn system(bench: &Bench) -> PgConnection {
    let mut connection = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    connection
}

/// As if nothing had been heard of whoever has the turn for half a minute.
async fn let_the_turn_be_over(connection: &mut PgConnection) {
    let over = "update journal_head set held_until = now() - interval '1 second'";
    sqlx::raw_sql(over).execute(connection).await.unwrap();
}

async fn is_all_put(bench: &Bench) -> bool {
    ship::lag(&bench.world.test_db.db()).await.unwrap() == TimeDelta::zero()
}

async fn until_all_is_put(bench: &Bench) {
    while !is_all_put(bench).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a recovery makes of the bucket, which fails where a segment is missing.
async fn assert_recovered(bench: &Bench) {
    let was = rows(&bench.world.test_db).await;
    let again = bench.recovered().await;
    assert_same(&was, &rows(&again.test_db).await);
}

#[tokio::test]
async fn every_table_is_written_down_or_the_journal_s_own() {
    let bench = Bench::new().await;
    let mut connection = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let count = "select relname::text, count(tgname) from pg_class left join pg_trigger on tgrelid = pg_class.oid and tgname like 'journal%'
       where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace group by 1 having count(tgname) <> 3 order by 1";
    let bare: Vec<(String, i64)> = sqlx::query_as(count).fetch_all(&mut connection).await.unwrap();
    // The journal's own, the index for searching, which is made anew of messages, and counts of what was sent, which begin anew.
    let own = [
        "journal",
        "journal_bases",
        "journal_head",
        "mailbox_sending",
        "message_grams",
        "message_outlines",
        "message_texts",
        "reseller_sending",
        "search_queue",
        "tenant_sending",
    ];
    let own = own.map(|table| (table.to_owned(), 0));
    assert_eq!(bare, own, "a table is written down by `select journal_table(…)` in its migration");
}

#[tokio::test]
async fn one_process_has_the_turn_and_another_takes_it_over() {
    let bench = Bench::new().await;
    let other = Journal::new(&bench.world.test_db.db(), &bench.store);
    bench.mailbox("ada").await;
    assert!(bench.ship().await.records > 0);
    let began = Instant::now();
    bench.mailbox("bob").await;
    let shipped = ship::ship(&other).await.unwrap();
    if began.elapsed() < RESTS {
        assert_eq!(shipped, ship::Shipped::default());
        assert!(!is_all_put(&bench).await);
    }
    // The first one stops, and puts the last of it on its way out.
    let stop = async {
        while ship::lag(&bench.world.test_db.db()).await.unwrap() > chrono::TimeDelta::zero() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        bench.mailbox("dora").await;
    };
    recovery::run(&bench.journal, stop).await;
    assert_eq!(ship::lag(&bench.world.test_db.db()).await.unwrap(), chrono::TimeDelta::zero());
    bench.mailbox("carol").await;
    assert!(ship::ship(&other).await.unwrap().records > 0);
}

fn seconds(seconds: u32) -> NonZeroU32 {
    NonZeroU32::new(seconds).unwrap()
}

#[tokio::test]
async fn what_is_committed_waits_for_as_many_seconds_as_are_set_and_no_longer() {
    let bench = Bench::new().await;
    let journal = bench.journal.clone().putting_every(seconds(5));
    bench.mailbox("ada").await;
    let work = async {
        until_all_is_put(&bench).await;
        // It has just put something, and rests.
        let began = Instant::now();
        bench.mailbox("bob").await;
        tokio::time::sleep(RESTS).await;
        let is_put = is_all_put(&bench).await;
        if began.elapsed() < Duration::from_secs(4) {
            assert!(!is_put, "it is put before its time");
        }
        until_all_is_put(&bench).await;
    };
    tokio::time::timeout(AT_ONCE, recovery::run(&journal, work)).await.unwrap();
    let is_segment = |key: &&BlobKey| matches!(key, BlobKey::Segment(id) if !Name::of(*id).unwrap().is_base);
    let objects = bench.objects(KeyPrefix::Journal).await;
    assert_eq!(objects.iter().filter(is_segment).count(), 2, "ada's and bob's");
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn one_that_rests_for_long_is_left_for_long_and_by_its_likes_alone() {
    let bench = Bench::new().await;
    let other = || Journal::new(&bench.world.test_db.db(), &bench.store);
    let (likes, eager) = (other().putting_every(seconds(20)), other());
    let resting = bench.journal.clone().putting_every(seconds(20));
    bench.mailbox("ada").await;
    assert!(ship::ship(&resting).await.unwrap().records > 0);
    let began = Instant::now();
    bench.mailbox("bob").await;
    // It would have been for a second's rest.
    tokio::time::sleep(RESTS + A_WHILE).await;
    let shipped = ship::ship(&likes).await.unwrap();
    if began.elapsed() < Duration::from_secs(20) {
        assert_eq!(shipped, ship::Shipped::default());
        assert!(ship::ship(&eager).await.unwrap().records > 0, "who would put sooner does");
    }
}

#[tokio::test]
async fn one_that_rests_is_believed_to_be_there_until_after_its_rest() {
    let bench = Bench::new().await;
    let mut connection = system(&bench).await;
    // A minute is the longest: a recovery goes by it.
    for (rest, held) in [(1, 31), (60, 90), (3_600, 90)] {
        bench.mailbox(&format!("ada{rest}")).await;
        let journal = bench.journal.clone().putting_every(seconds(rest));
        assert!(ship::ship(&journal).await.unwrap().records > 0);
        let left = "select extract(epoch from held_until - now())::float8 from journal_head";
        let left: f64 = sqlx::query_scalar(left).fetch_one(&mut connection).await.unwrap();
        assert!(left <= f64::from(held) && left > f64::from(held) - 20.0, "{rest}: {left}");
    }
}

#[tokio::test]
async fn one_that_is_stopped_in_its_first_moments_puts_all_there_is() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    recovery::run(&bench.journal, std::future::ready(())).await;
    assert_eq!(ship::lag(&bench.world.test_db.db()).await.unwrap(), chrono::TimeDelta::zero());
    assert!(!bench.objects(KeyPrefix::Journal).await.is_empty());
}

#[tokio::test]
async fn what_the_bucket_did_not_take_is_put_again() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    let before = bench.objects(KeyPrefix::Journal).await.len();
    let waiting = ship::lag(&bench.world.test_db.db()).await.unwrap();
    assert!(waiting > chrono::TimeDelta::zero());
    let shipped = bench.ship().await;
    assert_eq!(bench.objects(KeyPrefix::Journal).await.len(), before + 1);
    assert!(shipped.records > 0);
    assert!(base::take_if_due(&bench.journal).await.unwrap().is_none(), "one a day");
    assert_eq!(base::let_go(&bench.journal).await.unwrap(), 0);
    assert!(bench.objects(KeyPrefix::Journal).await.iter().all(|key| matches!(key, BlobKey::Segment(_))));
}

#[tokio::test]
async fn one_that_was_killed_between_two_puts_is_followed_at_once() {
    let bench = Bench::new().await;
    let next = Journal::new(&bench.world.test_db.db(), &bench.store);
    bench.mailbox("ada").await;
    // It has the turn, and is not heard of again.
    assert!(bench.ship().await.records > 0);
    bench.mailbox("bob").await;
    let run = recovery::run(&next, until_all_is_put(&bench));
    tokio::time::timeout(AT_ONCE, run).await.unwrap();
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn one_that_was_killed_while_it_put_something_is_followed_at_once() {
    let bench = Bench::new().await;
    let gate = Gate::before(&bench);
    bench.mailbox("ada").await;
    let putting = gate.putting(&bench).await;
    kill(putting).await;
    let run = recovery::run(&bench.journal, until_all_is_put(&bench));
    tokio::time::timeout(AT_ONCE, run).await.unwrap();
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn one_that_was_killed_is_followed_by_one_that_runs_once_something_has_waited() {
    let bench = Bench::new().await;
    let gate = Gate::before(&bench);
    bench.mailbox("ada").await;
    let putting = gate.putting(&bench).await;
    tokio::time::sleep(RESTS).await;
    assert_eq!(bench.ship().await, ship::Shipped::default(), "it puts it still");
    kill(putting).await;
    let following = async {
        while bench.ship().await.records == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(AT_ONCE, following).await.unwrap();
    assert!(is_all_put(&bench).await);
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn a_stop_right_after_another_was_killed_takes_everything_with_it() {
    let bench = Bench::new().await;
    let next = Journal::new(&bench.world.test_db.db(), &bench.store);
    bench.mailbox("ada").await;
    assert!(bench.ship().await.records > 0);
    bench.mailbox("bob").await;
    tokio::time::timeout(AT_ONCE, recovery::run(&next, std::future::ready(()))).await.unwrap();
    assert!(is_all_put(&bench).await);
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn a_stop_while_another_is_putting_waits_and_puts_the_rest() {
    let bench = Bench::new().await;
    let gate = Gate::before(&bench);
    bench.mailbox("ada").await;
    let putting = gate.putting(&bench).await;
    // Not in what that one has read.
    bench.mailbox("bob").await;
    let mut stopping = std::pin::pin!(recovery::run(&bench.journal, std::future::ready(())));
    assert!(tokio::time::timeout(A_WHILE, &mut stopping).await.is_err(), "it leaves bob behind");
    gate.let_one_through();
    assert!(putting.await.unwrap().unwrap().records > 0, "it was not overtaken");
    tokio::time::timeout(AT_ONCE, stopping).await.unwrap();
    assert!(is_all_put(&bench).await);
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn two_that_run_beside_each_other_leave_no_gap() {
    let bench = Bench::new().await;
    let other = Journal::new(&bench.world.test_db.db(), &bench.store);
    let work = async {
        for local in ["ada", "bob", "carol", "dora"] {
            bench.mailbox(local).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        until_all_is_put(&bench).await;
    };
    let stop = tokio::sync::watch::Sender::new(false);
    let stopped = async || {
        stop.subscribe().wait_for(|is_stopped| *is_stopped).await.unwrap();
    };
    let work = async {
        work.await;
        stop.send_replace(true);
    };
    tokio::join!(recovery::run(&bench.journal, stopped()), recovery::run(&other, stopped()), work);
    // Where the machine stalls, one may put again what the other is putting: that is no gap.
    assert!(is_all_put(&bench).await);
    let is_segment = |key: &BlobKey| matches!(key, BlobKey::Segment(id) if !Name::of(*id).unwrap().is_base);
    assert!(bench.objects(KeyPrefix::Journal).await.iter().any(is_segment));
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn one_that_lost_its_turn_while_it_hung_forgets_nothing_when_it_goes_on() {
    let bench = Bench::new().await;
    let gate = Gate::before(&bench);
    bench.mailbox("ada").await;
    let putting = gate.putting(&bench).await;
    assert_eq!(bench.ship().await, ship::Shipped::default(), "it is only slow");
    let_the_turn_be_over(&mut system(&bench).await).await;
    assert!(bench.ship().await.records > 0);
    bench.mailbox("bob").await;
    gate.let_one_through();
    assert_eq!(putting.await.unwrap().unwrap(), ship::Shipped::default(), "it was overtaken");
    assert!(!is_all_put(&bench).await, "bob is still here");
    assert!(bench.ship().await.records > 0);
    assert!(is_all_put(&bench).await);
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn a_slow_put_is_overtaken_by_nobody_not_even_by_one_that_hung_before_it() {
    let bench = Bench::new().await;
    let (first, second) = (Gate::before(&bench), Gate::before(&bench));
    let hung = first.journal(&bench);
    let mut connection = system(&bench).await;
    bench.mailbox("ada").await;
    let putting = tokio::spawn({
        let hung = hung.clone();
        async move { ship::ship(&hung).await }
    });
    first.until_one_came().await;
    let_the_turn_be_over(&mut connection).await;
    let slowly = second.putting(&bench).await;
    first.let_one_through();
    assert_eq!(putting.await.unwrap().unwrap(), ship::Shipped::default(), "it was overtaken");
    // Longer than half a minute, for all that the database knows; it goes on saying that it puts.
    let_the_turn_be_over(&mut connection).await;
    let renewed = async {
        let is_held = "select held_until > now() from journal_head";
        while !sqlx::query_scalar::<_, bool>(is_held).fetch_one(&mut connection).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(AT_ONCE, renewed).await.unwrap();
    first.let_one_through();
    assert_eq!(
        ship::ship(&hung).await.unwrap(),
        ship::Shipped::default(),
        "it would overtake one that lives"
    );
    second.let_one_through();
    assert!(slowly.await.unwrap().unwrap().records > 0);
    assert!(is_all_put(&bench).await);
    assert_recovered(&bench).await;
}

#[tokio::test]
async fn a_base_that_was_cut_short_is_taken_anew_at_once() {
    let bench = Bench::new().await;
    let gate = Gate::before(&bench);
    let killed = gate.journal(&bench);
    let due = "update journal_head set base_number = null";
    sqlx::raw_sql(due).execute(&mut system(&bench).await).await.unwrap();
    let taking = tokio::spawn(async move { base::take_if_due(&killed).await });
    gate.until_one_came().await;
    assert!(base::take_if_due(&bench.journal).await.unwrap().is_none(), "one is being taken");
    kill(taking).await;
    let taken = async {
        while base::take_if_due(&bench.journal).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(AT_ONCE, taken).await.unwrap();
}
