//! The POP3 view: one session at a time, a snapshot, deletion that can be undone.

use chrono::TimeDelta;
use mailstore::message::{self, State};
use mailstore::{Error, maildrop};

use crate::support::{Bench, HELLO};

#[tokio::test]
async fn one_session_at_a_time_until_the_lease_runs_out() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let login = bench.login(&ada);
    let clock = bench.world.test_db.clock();
    let first = maildrop::open(&bench.store, &login).await.unwrap();
    assert!(matches!(maildrop::open(&bench.store, &login).await, Err(Error::InUse)));
    clock.advance(TimeDelta::seconds(119));
    first.renew().await.unwrap();
    clock.advance(TimeDelta::seconds(119));
    assert!(matches!(maildrop::open(&bench.store, &login).await, Err(Error::InUse)));
    first.close(&[]).await.unwrap();

    let dead = maildrop::open(&bench.store, &login).await.unwrap();
    clock.advance(TimeDelta::seconds(120));
    // Late, but nobody came: it is still the session's.
    dead.renew().await.unwrap();
    clock.advance(TimeDelta::seconds(120));
    let heir = maildrop::open(&bench.store, &login).await.unwrap();
    assert!(matches!(dead.renew().await, Err(Error::LeaseLost)));
    assert!(matches!(dead.close(&[]).await, Err(Error::LeaseLost)));
    heir.renew().await.unwrap();
    heir.close(&[]).await.unwrap();
    maildrop::open(&bench.store, &login).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_sessions_at_once_one_opens() {
    let bench = Bench::new().await;
    let login = bench.login(&bench.user("ada", None).await);
    let opened = futures::future::join_all((0..16).map(|_| maildrop::open(&bench.store, &login))).await;
    assert_eq!(opened.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(opened.iter().filter(|result| matches!(result, Err(Error::InUse))).count(), 15, "{opened:?}");
}

#[tokio::test]
async fn the_snapshot_has_stored_identities_and_the_size_of_the_crlf_form() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let bodies: [&[u8]; 4] = [HELLO, b"A: 1\n\nbare\nfeeds", b"", b".\r\n\0\r\nlone\rreturn\r\n"];
    for bytes in bodies {
        bench.stored(ada.mailbox_id, bytes).await;
    }
    let drop = maildrop::open(&bench.store, &bench.login(&ada)).await.unwrap();
    bench.stored(ada.mailbox_id, b"late\r\n").await;
    assert_eq!(drop.entries().len(), bodies.len());
    for (index, bytes) in bodies.into_iter().enumerate() {
        let body = drop.body(index).await.unwrap();
        assert_eq!(body, kernel::crlf::normalize(bytes).as_ref());
        let entry = &drop.entries()[index];
        assert_eq!(entry.wire_size_bytes, body.len() as u64);
        let found = message::get(bench.ctx(), ada.mailbox_id, entry.message_id).await.unwrap();
        assert_eq!((found.uid, &found.uidl), (index as u64 + 1, &entry.uidl));
    }
    assert!(matches!(drop.body(bodies.len()).await, Err(Error::NotFound)));
    drop.close(&[]).await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_can_be_recovered_and_what_another_deleted_is_passed_over() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let (login, mailbox, size) = (bench.login(&ada), ada.mailbox_id, HELLO.len() as i64);
    for _ in 0..4 {
        bench.stored(mailbox, HELLO).await;
    }
    let drop = maildrop::open(&bench.store, &login).await.unwrap();
    let entries = drop.entries().to_vec();
    message::discard(&bench.store, bench.ctx(), mailbox, entries[1].message_id).await.unwrap();
    assert!(matches!(drop.body(1).await, Err(Error::NotFound)));
    // Index 9 is none; index 0 is named twice.
    drop.close(&[0, 1, 2, 0, 9]).await.unwrap();
    assert_eq!(bench.used(mailbox).await, (size, 3 * size));
    bench.assert_exact().await;

    let drop = maildrop::open(&bench.store, &login).await.unwrap();
    assert_eq!(drop.entries(), &entries[3..]);
    drop.close(&[]).await.unwrap();
    let recovered =
        message::recover(&bench.store, bench.ctx(), mailbox, entries[0].message_id).await.unwrap();
    assert_eq!(recovered.uidl, entries[0].uidl);
    let drop = maildrop::open(&bench.store, &login).await.unwrap();
    let order: Vec<_> = drop.entries().iter().map(|entry| &entry.uidl).collect();
    assert_eq!(order, [&entries[3].uidl, &entries[0].uidl]);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_session_that_lost_its_lease_deletes_nothing() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let login = bench.login(&ada);
    bench.stored(ada.mailbox_id, HELLO).await;
    let dead = maildrop::open(&bench.store, &login).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::seconds(121));
    let heir = maildrop::open(&bench.store, &login).await.unwrap();
    assert!(matches!(dead.close(&[0]).await, Err(Error::LeaseLost)));
    assert_eq!(bench.list(ada.mailbox_id, State::Live).await.len(), 1);
    assert!(heir.body(0).await.is_ok());
}

#[tokio::test]
async fn who_reads_one_after_the_other_gets_each_and_what_another_deleted_is_gone_a_second_later() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let (login, mailbox) = (bench.login(&ada), ada.mailbox_id);
    let text = |number: usize| format!("Subject: {number}\r\n\r\n{number}\r\n");
    for number in 0..140 {
        bench.stored(mailbox, text(number).as_bytes()).await;
    }
    let drop = maildrop::open(&bench.store, &login).await.unwrap();
    for number in 0..140 {
        assert_eq!(drop.body(number).await.unwrap(), text(number).as_bytes());
    }
    // Backwards, and from the middle on.
    for number in (0..140).rev().chain(70..80) {
        assert_eq!(drop.body(number).await.unwrap(), text(number).as_bytes());
    }
    let gone = drop.entries()[90].message_id;
    message::discard(&bench.store, bench.ctx(), mailbox, gone).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::seconds(1));
    for number in 80..140 {
        match (number, drop.body(number).await) {
            (90, body) => assert!(matches!(body, Err(Error::NotFound)), "{body:?}"),
            (_, body) => assert_eq!(body.unwrap(), text(number).as_bytes()),
        }
    }
    drop.close(&[]).await.unwrap();
}
