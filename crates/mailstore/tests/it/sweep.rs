//! What nothing refers to goes, and nothing else.

use blob::BlobKey;
use chrono::TimeDelta;
use db::SystemTx;
use mailstore::message::{self, State};
use mailstore::{Error, sweep};

use crate::support::{Bench, HELLO, id};

#[tokio::test]
async fn deleted_messages_go_after_thirty_days_and_a_shared_body_with_its_last() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    let results = bench.ingest(&[ada, bob], HELLO).await;
    let (first, second) = (id(&results[0]), id(&results[1]));
    let kept = bench.stored(ada, b"Subject: kept\r\n\r\n").await;
    message::discard(&bench.store, bench.ctx(), ada, first).await.unwrap();
    clock.advance(TimeDelta::days(30));
    // The pack that was reserved for the next batch, which never came.
    let reserved = sweep::Swept { reservations: 1, packs: 1, ..Default::default() };
    assert_eq!(sweep::run(&bench.store, &db).await, reserved);
    assert_eq!(bench.list(ada, State::Recoverable).await.len(), 1);

    message::discard(&bench.store, bench.ctx(), bob, second).await.unwrap();
    clock.advance(TimeDelta::seconds(1));
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(swept, sweep::Swept { messages: 1, ..Default::default() });
    assert!(matches!(message::get(bench.ctx(), ada, first).await, Err(Error::NotFound)));
    assert_eq!(bench.used(ada).await.1, 0);
    let raw = message::raw(&bench.store, bench.ctx(), bob, second, None).await.unwrap();
    assert_eq!(raw.bytes, HELLO);
    bench.assert_exact().await;

    clock.advance(TimeDelta::days(30));
    let swept = sweep::run(&bench.store, &db).await;
    // The log of changes is not kept for ever either.
    assert_eq!(swept, sweep::Swept { messages: 1, bodies: 1, changes: 4, ..Default::default() });
    assert_eq!(bench.blobs.packs().await.len(), 2, "somebody may be reading it");
    clock.advance(sweep::GRACE + TimeDelta::seconds(1));
    assert_eq!(sweep::run(&bench.store, &db).await, sweep::Swept { packs: 1, ..Default::default() });
    assert_eq!(bench.blobs.packs().await.len(), 1);
    assert_eq!(bench.used(bob).await, (0, 0));
    assert!(message::raw(&bench.store, bench.ctx(), ada, kept, None).await.is_ok());
    assert_eq!(sweep::run(&bench.store, &db).await, sweep::Swept::default());
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweeps_at_once_and_a_recovery_beside_them_keep_the_counters_exact() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(bench.stored(ada, HELLO).await);
    }
    for &id in &ids {
        message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
    }
    clock.advance(TimeDelta::days(31));
    let (one, two, recovered) = tokio::join!(
        sweep::run(&bench.store, &db),
        sweep::run(&bench.store, &db),
        futures::future::join_all(ids.iter().map(|&id| message::recover(&bench.store, bench.ctx(), ada, id))),
    );
    let recovered = recovered.iter().filter(|result| result.is_ok()).count();
    let purged = one.messages + two.messages;
    assert_eq!(purged + recovered as u64, 10);
    assert_eq!(bench.list(ada, State::Live).await.len(), recovered);
    bench.sweep_out().await;
    assert_eq!(bench.blobs.packs().await.len(), recovered);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_pack_that_cannot_be_deleted_keeps_back_nothing_else() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    for _ in 0..4 {
        let id = bench.stored(ada, HELLO).await;
        message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
    }
    // The first that the sweep comes to.
    let mut keys = bench.blobs.packs().await;
    keys.sort_by_key(BlobKey::to_string);
    *bench.blobs.undeletable.lock().unwrap() = Some(keys[0].clone());
    clock.advance(TimeDelta::days(31));
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(
        swept,
        sweep::Swept { messages: 4, bodies: 4, reservations: 1, packs: 1, ..Default::default() }
    );
    clock.advance(sweep::GRACE + TimeDelta::seconds(1));
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(swept, sweep::Swept { packs: 3, failed: 1, ..Default::default() });
    assert_eq!(bench.blobs.packs().await, keys[..1]);
    *bench.blobs.undeletable.lock().unwrap() = None;
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(swept, sweep::Swept { packs: 1, ..Default::default() });
    bench.assert_exact().await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test spoils a counter that no lawful transaction would")]
async fn a_mailbox_that_cannot_be_swept_keeps_back_nothing_else() {
    let bench = Bench::new().await;
    let mailboxes = [bench.mailbox("ada", None).await, bench.mailbox("bob", None).await];
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    // Whichever of the two comes first, one sweep meets the spoilt one before the other.
    for spoilt in mailboxes {
        for mailbox in mailboxes {
            let id = bench.stored(mailbox, HELLO).await;
            message::discard(&bench.store, bench.ctx(), mailbox, id).await.unwrap();
        }
        clock.advance(TimeDelta::days(31));
        let set_recoverable = |bytes: i64| {
            let db = db.clone();
            async move {
                let mut tx = SystemTx::begin(&db).await.unwrap();
                let set = sqlx::query("update mailboxes set recoverable_bytes = $1 where id = $2");
                set.bind(bytes).bind(spoilt.uuid()).execute(tx.conn()).await.unwrap();
                tx.commit().await.unwrap();
            }
        };
        set_recoverable(0).await;
        let swept = sweep::run(&bench.store, &db).await;
        assert_eq!((swept.messages, swept.bodies, swept.failed), (1, 1, 1));
        set_recoverable(HELLO.len() as i64).await;
        let swept = sweep::run(&bench.store, &db).await;
        assert_eq!(swept, sweep::Swept { messages: 1, bodies: 1, ..Default::default() });
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn the_mail_of_a_deleted_mailbox_that_was_discarded_is_swept() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let (db, clock) = (bench.world.test_db.db(), bench.world.test_db.clock());
    let id = bench.stored(ada.mailbox_id, HELLO).await;
    message::discard(&bench.store, bench.ctx(), ada.mailbox_id, id).await.unwrap();
    tenancy::user::delete(bench.ctx(), ada.id, None).await.unwrap();
    clock.advance(TimeDelta::days(31));
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(
        swept,
        sweep::Swept { messages: 1, bodies: 1, reservations: 1, packs: 1, ..Default::default() }
    );
    bench.assert_exact().await;
}
