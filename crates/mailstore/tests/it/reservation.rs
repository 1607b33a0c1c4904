//! What was uploaded and not committed: a pack is reserved before it is uploaded, and swept when its reservation has run out.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use kernel::ErrorKind;
use mailstore::message::State;
use mailstore::{Error, sweep};

use crate::support::{Bench, HELLO};

#[tokio::test]
async fn what_was_uploaded_and_never_committed_is_swept_once_its_reservation_expired() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    bench.blobs.wait_until_stored().await;
    // Never let go: to the database it is as if the process had been killed.
    let _held = bench.blobs.hold();
    let left = {
        let ingesting = bench.ingest(&[ada], b"Subject: lost\r\n\r\n");
        tokio::select! {
            _ = ingesting => false,
            () = bench.blobs.wait_until_stored() => true,
        }
    };
    assert!(left);
    assert_eq!(bench.blobs.packs().await.len(), 2);

    let db = bench.world.test_db.db();
    assert_eq!(sweep::run(&bench.store, &db).await, sweep::Swept::default());
    assert_eq!(bench.blobs.packs().await.len(), 2);
    bench.world.test_db.clock().advance(TimeDelta::minutes(121));
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(swept, sweep::Swept { reservations: 1, packs: 1, ..Default::default() });
    assert_eq!(bench.blobs.packs().await.len(), 1);
    assert_eq!(bench.list(ada, State::Live).await.len(), 1);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_commit_whose_reservation_was_swept_fails_and_leaves_nothing() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let hold = bench.blobs.hold();
    let db = bench.world.test_db.db();
    let mailboxes = [ada];
    let (results, ()) = tokio::join!(bench.ingest(&mailboxes, HELLO), async {
        bench.blobs.wait_until_stored().await;
        bench.world.test_db.clock().advance(TimeDelta::hours(3));
        assert_eq!(sweep::run(&bench.store, &db).await.packs, 1);
        hold.add_permits(1);
    });
    assert!(matches!(results[0], Err(Error::ReservationLost)), "{results:?}");
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(bench.list(ada, State::Live).await.is_empty());
    assert!(bench.blobs.packs().await.is_empty());
    bench.assert_exact().await;
}

/// A recovery passes over what took so long.
#[tokio::test]
async fn what_takes_longer_than_anybody_waits_is_refused_and_leaves_nothing() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for (minutes, is_taken) in [(3, true), (5, false)] {
        let hold = bench.blobs.hold();
        let mailboxes = [ada];
        let (results, ()) = tokio::join!(bench.ingest(&mailboxes, HELLO), async {
            bench.blobs.wait_until_stored().await;
            bench.world.test_db.clock().advance(TimeDelta::minutes(minutes));
            hold.add_permits(1);
        });
        match is_taken {
            true => assert!(results[0].is_ok(), "{results:?}"),
            false => assert!(matches!(results[0], Err(Error::ReservationLost)), "{results:?}"),
        }
        assert_eq!(bench.list(ada, State::Live).await.len(), 1);
        assert_eq!(bench.blobs.packs().await.len(), 1);
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn an_upload_that_lands_after_its_reservation_was_swept_is_deleted_by_its_own_call() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let hold = bench.blobs.hold();
    let db = bench.world.test_db.db();
    let mailboxes = [ada];
    let (results, ()) = tokio::join!(bench.ingest(&mailboxes, HELLO), async {
        bench.blobs.wait_until_stored().await;
        let key = bench.blobs.packs().await.remove(0);
        bench.world.test_db.clock().advance(TimeDelta::hours(3));
        assert_eq!(sweep::run(&bench.store, &db).await.packs, 1);
        bench.blobs.land(&key, HELLO.to_vec()).await;
        hold.add_permits(1);
    });
    assert!(matches!(results[0], Err(Error::ReservationLost)), "{results:?}");
    assert!(bench.blobs.packs().await.is_empty());
    bench.assert_exact().await;
}

#[tokio::test]
async fn an_upload_that_no_mailbox_has_room_for_is_deleted_at_once() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", Some(HELLO.len() as i64)).await;
    let hold = bench.blobs.hold();
    let mailboxes = [ada];
    let (results, ()) = tokio::join!(bench.ingest(&mailboxes, HELLO), async {
        bench.blobs.wait_until_stored().await;
        bench.blobs.stop_holding();
        bench.stored(ada, HELLO).await;
        hold.add_permits(1);
    });
    assert!(matches!(results[0], Err(Error::OverQuota)), "{results:?}");
    assert_eq!(bench.blobs.packs().await.len(), 1);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_commit_fails_as_soon_as_the_sweeper_has_marked_its_body() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let hold = bench.blobs.hold();
    let db = bench.world.test_db.db();
    bench.blobs.keeping.store(true, Ordering::SeqCst);
    let (results, ()) = tokio::join!(bench.ingest(&[ada], HELLO), async {
        bench.blobs.wait_until_stored().await;
        bench.world.test_db.clock().advance(TimeDelta::hours(3));
        assert_eq!(sweep::run(&bench.store, &db).await.failed, 1);
        hold.add_permits(1);
    });
    assert!(matches!(results[0], Err(Error::ReservationLost)), "{results:?}");
    // The next sweep finishes what that one began.
    bench.blobs.keeping.store(false, Ordering::SeqCst);
    let swept = sweep::run(&bench.store, &db).await;
    assert_eq!(swept, sweep::Swept { packs: 1, ..Default::default() });
    assert!(bench.blobs.packs().await.is_empty());
    bench.assert_exact().await;
}
