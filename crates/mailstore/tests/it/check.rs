//! The comparison of counters finds what is off.

use chrono::TimeDelta;
use db::{Db, SystemTx};
use futures::future::join_all;
use mailstore::check::{self, Drift, Found, Rounds};
use tenancy::mailbox::{Kind, NewMailbox};

use crate::support::{Bench, HELLO};

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test spoils counters that no lawful transaction would")]
async fn each_kind_of_counter_that_is_off_shows() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let db = bench.world.test_db.db();
    for (spoil, mend, expected) in [
        (
            "update mailboxes set used_bytes = used_bytes + 1",
            "update mailboxes set used_bytes = used_bytes - 1",
            Drift { mailboxes: 1, ..Drift::default() },
        ),
        (
            "update mailboxes set recoverable_bytes = recoverable_bytes + 1",
            "update mailboxes set recoverable_bytes = recoverable_bytes - 1",
            Drift { mailboxes: 1, ..Drift::default() },
        ),
        (
            "update folders set message_count = message_count + 1 where role = 'sent'",
            "update folders set message_count = message_count - 1 where role = 'sent'",
            Drift { folders: 1, ..Drift::default() },
        ),
        (
            "update folders set uid_next = uid_next - 1 where role = 'inbox'",
            "update folders set uid_next = uid_next + 1 where role = 'inbox'",
            Drift { folders: 1, ..Drift::default() },
        ),
        (
            "update resellers set tenants_used = tenants_used + 1",
            "update resellers set tenants_used = tenants_used - 1",
            Drift { levels: 1, ..Drift::default() },
        ),
        (
            "update tenants set storage_limit_bytes = 1000000",
            "update tenants set storage_limit_bytes = null",
            Drift { levels: 1, ..Drift::default() },
        ),
        (
            "update tenants set seats_used = seats_used + 1",
            "update tenants set seats_used = seats_used - 1",
            // The tenant's, and the reseller's that is the sum of them.
            Drift { levels: 2, ..Drift::default() },
        ),
        (
            "update tenants set shared_mailboxes_used = shared_mailboxes_used + 1",
            "update tenants set shared_mailboxes_used = shared_mailboxes_used - 1",
            Drift { levels: 2, ..Drift::default() },
        ),
        (
            "update resellers set shared_mailboxes_used = shared_mailboxes_used + 1",
            "update resellers set shared_mailboxes_used = shared_mailboxes_used - 1",
            Drift { levels: 1, ..Drift::default() },
        ),
        (
            "update blobs set message_count = message_count + 1",
            "update blobs set message_count = message_count - 1",
            Drift { bodies: 1, ..Drift::default() },
        ),
        (
            "update pack_shares set live_bytes = live_bytes + 1",
            "update pack_shares set live_bytes = live_bytes - 1",
            Drift { packs: 1, ..Drift::default() },
        ),
        (
            "update packs set state = 'gone' where state = 'live'",
            "update packs set state = 'live' where state = 'gone'",
            Drift { packs: 1, ..Drift::default() },
        ),
    ] {
        for (sql, expected) in [(spoil, expected), (mend, Drift::default())] {
            let mut tx = SystemTx::begin(&db).await.unwrap();
            sqlx::query(sql).execute(tx.conn()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(check::drift(&db).await.unwrap(), expected, "{sql}");
        }
    }
}

/// How many slices a round of few has: mailboxes, tenants, resellers.
const STEPS: usize = 3;

#[expect(clippy::disallowed_methods, reason = "the test spoils counters that no lawful transaction would")]
async fn change(db: &Db, sql: &'static str) {
    let mut tx = SystemTx::begin(db).await.unwrap();
    sqlx::query(sql).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

/// What is found after so many slices.
async fn stepped(rounds: &mut Rounds, db: &Db, steps: usize) -> Found {
    let mut found = Found::default();
    for _ in 0..steps {
        found = rounds.step(db).await.unwrap();
    }
    found
}

#[tokio::test]
async fn a_round_finds_by_how_much_and_the_next_one_that_it_is_mended() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    let mut rounds = Rounds::default();
    assert_eq!(stepped(&mut rounds, &db, STEPS).await, Found::default());
    let pools = HELLO.len() as u64;
    for (spoil, mend, drift_bytes, counters) in [
        (
            "update mailboxes set used_bytes = used_bytes + 3, recoverable_bytes = recoverable_bytes + 4",
            "update mailboxes set used_bytes = used_bytes - 3, recoverable_bytes = recoverable_bytes - 4",
            7,
            2,
        ),
        (
            "update folders set size_bytes = size_bytes - 1 where role = 'inbox'",
            "update folders set size_bytes = size_bytes + 1 where role = 'inbox'",
            1,
            1,
        ),
        (
            "update folders set unseen_count = 0, uid_next = 1, highest_modseq = 1 where role = 'inbox'",
            "update folders set unseen_count = 1, uid_next = 2, highest_modseq = 1000 where role = 'inbox'",
            0,
            3,
        ),
        // A limit that was set without counting what is there.
        (
            "update tenants set storage_limit_bytes = 1000000",
            "update tenants set storage_limit_bytes = null",
            pools,
            1,
        ),
        (
            "update resellers set storage_limit_bytes = 1000000",
            "update resellers set storage_limit_bytes = null",
            pools,
            1,
        ),
        (
            "update resellers set tenants_used = tenants_used + 1",
            "update resellers set tenants_used = tenants_used - 1",
            0,
            1,
        ),
    ] {
        change(&db, spoil).await;
        assert_eq!(rounds.step(&db).await.unwrap(), Found::default(), "not due for a day");
        clock.advance(check::EVERY);
        let expected = Found { drift_bytes, counters };
        assert_eq!(stepped(&mut rounds, &db, STEPS).await, expected, "{spoil}");
        change(&db, mend).await;
        clock.advance(check::EVERY);
        assert_eq!(stepped(&mut rounds, &db, STEPS - 1).await, expected, "the round is not over");
        assert_eq!(rounds.step(&db).await.unwrap(), Found::default(), "{mend}");
    }
}

#[tokio::test]
async fn a_round_goes_on_after_each_slice_where_that_ended() {
    let bench = Bench::new().await;
    for number in 0..120 {
        let new = NewMailbox {
            kind: Kind::Room,
            display_name: format!("Room {number}"),
            address: format!("room{number}@acme.example"),
            aliases: Vec::new(),
            quota_bytes: None,
        };
        tenancy::mailbox::create(bench.ctx(), new).await.unwrap();
    }
    let db = bench.world.test_db.db();
    change(&db, "update mailboxes set used_bytes = used_bytes + 1").await;
    let mut rounds = Rounds::default();
    for counters in [50, 100, 120, 120, 120, 120] {
        let found = rounds.step(&db).await.unwrap();
        assert_eq!(found, Found { drift_bytes: counters, counters });
    }
}

#[tokio::test]
async fn one_process_at_a_time_goes_about_a_round_and_another_leaves_it_to_that_one() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    change(&db, "update mailboxes set used_bytes = used_bytes + 1").await;
    let (mut one, mut other) = (Rounds::default(), Rounds::default());
    let off = Found { drift_bytes: 1, counters: 1 };
    assert_eq!(one.step(&db).await.unwrap(), off);
    assert_eq!(other.step(&db).await.unwrap(), Found::default());
    assert_eq!(stepped(&mut one, &db, STEPS - 1).await, off);
    assert_eq!(stepped(&mut other, &db, STEPS).await, Found::default(), "it has left this day's");
    clock.advance(check::EVERY - TimeDelta::seconds(1));
    assert_eq!(stepped(&mut other, &db, STEPS).await, Found::default(), "it has left this day's");
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(stepped(&mut other, &db, STEPS).await, off);
    // Who stops in the middle of a round is in nobody's way.
    assert_eq!(one.step(&db).await.unwrap(), off);
    drop(one);
    let mut third = Rounds::default();
    for _ in 0..100 {
        if stepped(&mut third, &db, STEPS).await == off {
            return;
        }
        third = Rounds::default();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the lock of who has stopped is held still");
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test holds the lock in place of a connection that was lost"
)]
async fn a_round_whose_connection_is_lost_goes_on_where_it_was_once_the_lock_is_free() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let db = bench.world.test_db.db();
    change(&db, "update mailboxes set used_bytes = used_bytes + 1").await;
    let mut rounds = Rounds::default();
    let off = Found { drift_bytes: 1, counters: 1 };
    assert_eq!(rounds.step(&db).await.unwrap(), off);
    let mut stale = SystemTx::begin(&db).await.unwrap();
    // Only the login role may end its connections.
    sqlx::query("reset role").execute(stale.conn()).await.unwrap();
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid, 5000) from pg_locks
         where locktype = 'advisory' and objid::bigint = hashtext('counters_compared')::bigint & 4294967295
           and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_all(stale.conn())
    .await
    .unwrap();
    assert_eq!(ended, [true]);
    sqlx::query("select pg_advisory_xact_lock(hashtext('counters_compared'))")
        .execute(stale.conn())
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(rounds.step(&db).await.unwrap(), off, "what was found is not forgotten");
    }
    stale.roll_back().await.unwrap();
    // Mended, it would not be found by a round that began anew.
    change(&db, "update mailboxes set used_bytes = used_bytes - 1").await;
    assert_eq!(stepped(&mut rounds, &db, STEPS - 1).await, off, "it goes on after the mailboxes");
    bench.world.test_db.clock().advance(check::EVERY);
    assert_eq!(stepped(&mut rounds, &db, STEPS).await, Found::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mail_that_comes_in_and_goes_meanwhile_does_not_show() {
    let bench = Bench::new().await;
    let mut mailboxes = Vec::new();
    for number in 0..4 {
        mailboxes.push(bench.mailbox(&format!("u{number}"), None).await);
    }
    let db = bench.world.test_db.db();
    let write = async |mailbox| {
        for _ in 0..10 {
            let id = bench.stored(mailbox, HELLO).await;
            mailstore::message::discard(&bench.store, bench.ctx(), mailbox, id).await.unwrap();
        }
    };
    let writers = join_all(mailboxes.iter().map(|&mailbox| write(mailbox)));
    let watch = async {
        for _ in 0..20 {
            assert_eq!(stepped(&mut Rounds::default(), &db, STEPS).await, Found::default());
        }
    };
    tokio::join!(writers, watch);
    bench.assert_exact().await;
}
