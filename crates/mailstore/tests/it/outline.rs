//! What is told of messages follows from their bodies: where it is not kept, it is made anew.

use kernel::MailboxId;
use mailstore::compact::{self, Pace};
use mailstore::message::{Message, State};
use mailstore::parsed::Parsed;
use mailstore::view::{self, Said};
use mailstore::{Error, outline};

use crate::support::{Bench, inbox};

const LETTER: &[u8] = b"From: Ada <ada@acme.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
    Message-ID: <1@acme.example>\r\nReferences: <0@acme.example>\r\n\r\nHello you\r\n";

async fn all(bench: &Bench, mailbox: MailboxId) -> (Vec<Message>, Vec<Parsed>) {
    let mut messages = bench.list(mailbox, State::Live).await;
    messages.sort_by_key(|message| message.uid);
    let parsed = outline::parsed(&bench.store, bench.ctx(), &messages).await.unwrap();
    (messages, parsed)
}

async fn execute(bench: &Bench, statement: &'static str) -> u64 {
    let mut tx = bench.ctx().begin().await.unwrap();
    let done = sqlx::query(statement).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    done.rows_affected()
}

async fn forget(bench: &Bench) -> u64 {
    execute(bench, "delete from message_outlines").await
}

#[tokio::test]
async fn what_messages_say_is_made_anew_where_it_is_not_kept() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for at in 0..20 {
        bench.stored(ada, format!("Subject: {at}\r\n\r\ntext {at}\r\n").as_bytes()).await;
    }
    bench.stored(ada, LETTER).await;
    let (messages, was) = all(&bench, ada).await;
    assert_eq!(was[20].subject.as_deref(), Some("Grüße"));
    assert_eq!(was[20].references, ["0@acme.example"]);
    for (at, parsed) in was[..20].iter().enumerate() {
        assert_eq!(parsed.subject, Some(at.to_string()));
    }
    // One twice, and in an order of the caller's.
    let some = [messages[7].clone(), messages[3].clone(), messages[7].clone()];
    let told = outline::parsed(&bench.store, bench.ctx(), &some).await.unwrap();
    assert_eq!(told, [was[7].clone(), was[3].clone(), was[7].clone()]);

    for unmake in [
        "delete from message_outlines",
        "update message_outlines set version = version - 1, parsed = '{\"subject\": \"of another reader\"}'",
        "delete from message_outlines where parsed ->> 'subject' in ('3', '5', 'Grüße')",
    ] {
        assert!(execute(&bench, unmake).await >= 3);
        assert_eq!(all(&bench, ada).await.1, was, "{unmake}");
        let kept = execute(
            &bench,
            "update message_outlines set version = version where version = 1 and parsed ? 'preview'",
        );
        assert_eq!(kept.await, 21, "{unmake}");
    }
}

#[tokio::test]
async fn what_messages_are_put_in_order_by_is_made_anew_too() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    // More than are taken for what fits beside each other while nothing is known of them.
    for at in 0..40 {
        bench.stored(ada, format!("Subject: {at}\r\nFrom: a@b.example\r\n\r\ntext\r\n").as_bytes()).await;
    }
    let folder = inbox(&bench, ada).await.id;
    let subjects = async || {
        let (mut subjects, mut from, mut most) = (Vec::new(), 1, 0);
        loop {
            let uids = [from..=u64::from(u32::MAX)];
            let some = view::headers(&bench.store, bench.ctx(), ada, folder, &uids, &[Said::Subject]).await;
            let some = some.unwrap();
            let Some(last) = some.last() else { return (subjects, most) };
            (from, most) = (last.uid + 1, most.max(some.len()));
            assert!(some.iter().all(|one| one.parsed.from.is_empty()), "nobody asked for it");
            subjects.extend(some.into_iter().map(|one| (one.uid, one.parsed.subject.unwrap())));
        }
    };
    let (was, most) = subjects().await;
    assert_eq!(most, 40);
    assert_eq!(was, (0..40).map(|at| (at + 1, at.to_string())).collect::<Vec<_>>());
    assert_eq!(forget(&bench).await, 40);
    // What is not known is taken for 64 KiB, and a MiB is told at a time.
    assert_eq!(subjects().await, (was.clone(), 16));
    assert_eq!(subjects().await, (was, 40));
    assert_eq!(forget(&bench).await, 40, "they are kept again");
}

#[tokio::test]
async fn whether_bodies_are_read_for_previews_is_known_before() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for at in 0..3 {
        bench.stored(ada, format!("Subject: {at}\r\n\r\ntext {at}\r\n").as_bytes()).await;
    }
    let folder = inbox(&bench, ada).await.id;
    let rows = view::rows(bench.ctx(), ada, folder, &[1..=3], None).await.unwrap();
    let rows: Vec<&view::Row> = rows.iter().collect();
    let are_kept = async |rows: &[&view::Row]| view::previews_are_kept(bench.ctx(), ada, rows).await.unwrap();
    assert!(are_kept(&rows).await && are_kept(&[]).await);
    let other = "update message_outlines set version = version - 1 where parsed ->> 'subject' = '1'";
    assert_eq!(execute(&bench, other).await, 1);
    assert!(!are_kept(&rows).await && are_kept(&rows[..1]).await && !are_kept(&rows[1..2]).await);
}

#[tokio::test]
async fn a_body_that_moves_while_it_is_looked_for_is_found() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, LETTER).await;
    let (messages, was) = all(&bench, ada).await;
    let mut rows = view::rows(bench.ctx(), ada, messages[0].folder_id, &[1..=1], None).await.unwrap();
    let _coming = view::locate(&bench.store, bench.ctx(), ada, &mut rows).await.unwrap();
    forget(&bench).await;
    let hold = bench.blobs.hold_look(0);
    let looking = outline::parsed(&bench.store, bench.ctx(), &messages);
    let moving = async {
        bench.blobs.wait_until_looking().await;
        bench.world.test_db.clock().advance(chrono::TimeDelta::hours(25));
        let pace = Pace::default();
        let done = compact::run(&bench.store, &bench.world.test_db.db(), pace).await.unwrap();
        assert_eq!(done.bodies, 1);
        bench.sweep_out().await;
        hold.add_permits(1);
    };
    let (told, ()) = futures::join!(looking, moving);
    assert_eq!(told.unwrap(), was);
    // And where a client that was told where it lies comes too late for that.
    let wire = view::wire(&bench.store, bench.ctx(), ada, &rows[0]).await.unwrap();
    assert_eq!(wire, LETTER);
}

#[tokio::test]
async fn what_nobody_can_read_says_nothing_and_is_listed() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, LETTER).await;
    let packs = bench.blobs.packs().await;
    bench.stored(ada, b"Subject: other\r\n\r\n").await;
    forget(&bench).await;
    for key in &packs {
        blob::BlobStore::delete(&*bench.blobs, key).await.unwrap();
    }
    let (messages, parsed) = all(&bench, ada).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(parsed[0], Parsed::default());
    assert_eq!(parsed[1].subject.as_deref(), Some("other"));
    let folder = messages[0].folder_id;
    let rows = view::described(bench.ctx(), ada, folder, &[1..=2], None).await.unwrap();
    let lost = view::structure(&bench.store, bench.ctx(), ada, &rows[0].0, &rows[0].1).await;
    assert!(matches!(lost, Err(Error::Blob(_))), "no client is to take it for empty: {lost:?}");
    let other = view::structure(&bench.store, bench.ctx(), ada, &rows[1].0, &rows[1].1).await;
    assert_eq!(other.unwrap().envelope.subject.as_deref(), Some("other"));
}
