//! What is on hold is destroyed by nobody, and nothing else is kept.

use chrono::TimeDelta;
use futures::future::join_all;
use kernel::{ErrorKind, MailboxId};
use mailstore::message::{self, State};
use mailstore::purge::{self, Purged};
use mailstore::retention::{self, Policy};
use mailstore::{hold, sweep};
use tenancy::auth::Auth;
use tenancy::hold::{list, place, release};
use tenancy::{Error, tenant, user};

use crate::support::{Bench, HELLO, RECOVERABLE};

const SIZE: u64 = HELLO.len() as u64;

async fn destroy_what_is_due(bench: &Bench) -> Purged {
    let db = bench.world.test_db.db();
    assert_eq!(sweep::run(&bench.store, &db).await.failed, 0);
    let auth = Auth::new(db.clone()).await.unwrap();
    purge::run(&bench.store, &db, &auth, purge::Terms::default(), &purge::due_tenants(&db).await.unwrap())
        .await
        .unwrap()
}

async fn recoverable(bench: &Bench, mailbox: MailboxId) -> usize {
    bench.list(mailbox, State::Recoverable).await.len()
}

async fn discarded(bench: &Bench, mailbox: MailboxId) {
    let id = bench.stored(mailbox, HELLO).await;
    message::discard(&bench.store, bench.ctx(), mailbox, id).await.unwrap();
}

#[tokio::test]
async fn deleted_mail_of_a_mailbox_on_hold_stays_until_the_hold_is_released() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    discarded(&bench, ada).await;
    discarded(&bench, bob).await;
    let placed = place(bench.ctx(), Some(ada), "Case 17".to_owned()).await.unwrap();
    let kept = async || hold::get(bench.ctx(), placed.id).await.unwrap().held_bytes;
    assert_eq!(kept().await, 0, "it can be recovered as without a hold");

    bench.world.test_db.clock().advance(RECOVERABLE + TimeDelta::seconds(1));
    destroy_what_is_due(&bench).await;
    assert_eq!((recoverable(&bench, ada).await, recoverable(&bench, bob).await), (1, 0));
    assert_eq!((bench.used(ada).await, kept().await), ((0, SIZE as i64), SIZE));
    bench.assert_exact().await;

    release(bench.ctx(), placed.id).await.unwrap();
    release(bench.ctx(), placed.id).await.unwrap();
    assert_eq!(kept().await, 0);
    destroy_what_is_due(&bench).await;
    assert_eq!(recoverable(&bench, ada).await, 0);
    bench.assert_exact().await;
}

async fn put_limit(bench: &Bench, recoverable_limit_bytes: u64) {
    let recoverable_limit_bytes = recoverable_limit_bytes.try_into().unwrap();
    let policy = Policy { recoverable_limit_bytes, ..Policy::default() };
    retention::put(bench.ctx(), policy, None).await.unwrap();
}

#[tokio::test]
async fn what_a_hold_keeps_beyond_the_bytes_that_a_policy_keeps_is_told_as_what_is_too_old() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let clock = bench.world.test_db.clock();
    for mailbox in [ada, bob] {
        for _ in 0..4 {
            discarded(&bench, mailbox).await;
            clock.advance(TimeDelta::hours(1));
        }
    }
    let held_in = async |mailbox: MailboxId| {
        let mailbox = tenancy::mailbox::get(bench.ctx(), mailbox).await.unwrap();
        hold::bytes_of(bench.ctx(), &mailbox).await.unwrap()
    };
    // The last of each is what fits: a message is not kept in half.
    put_limit(&bench, 2 * SIZE - 1).await;
    assert_eq!((held_in(ada).await, held_in(bob).await), (0, 0), "nothing is on hold");
    let of_ada = place(bench.ctx(), Some(ada), "Case 17".to_owned()).await.unwrap();
    assert_eq!((held_in(ada).await, held_in(bob).await), (3 * SIZE, 0));
    let of_all = place(bench.ctx(), None, "Case 18".to_owned()).await.unwrap();
    assert_eq!((held_in(ada).await, held_in(bob).await), (3 * SIZE, 3 * SIZE));
    let kept = async |id| hold::get(bench.ctx(), id).await.unwrap().held_bytes;
    assert_eq!((kept(of_ada.id).await, kept(of_all.id).await), (3 * SIZE, 6 * SIZE));
    put_limit(&bench, 4 * SIZE).await;
    assert_eq!(held_in(ada).await, 0, "all of it is kept without a hold");
    put_limit(&bench, 2 * SIZE - 1).await;

    // It is what the sweeper takes.
    release(bench.ctx(), of_ada.id).await.unwrap();
    release(bench.ctx(), of_all.id).await.unwrap();
    assert_eq!(held_in(ada).await, 0);
    destroy_what_is_due(&bench).await;
    assert_eq!((bench.used(ada).await, bench.used(bob).await), ((0, SIZE as i64), (0, SIZE as i64)));

    // What is both too old and too much is held once.
    place(bench.ctx(), Some(ada), "Case 19".to_owned()).await.unwrap();
    clock.advance(RECOVERABLE);
    put_limit(&bench, 0).await;
    assert_eq!(held_in(ada).await, SIZE);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_tenant_on_hold_keeps_all_its_mail_and_stays() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let first = place(bench.ctx(), None, "Case 17".to_owned()).await.unwrap();
    let second = place(bench.ctx(), Some(ada.mailbox_id), "Case 18".to_owned()).await.unwrap();
    // Also who came later.
    let bob = bench.mailbox("bob", None).await;
    discarded(&bench, bob).await;
    discarded(&bench, ada.mailbox_id).await;
    user::delete(bench.ctx(), ada.id, None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(40));
    assert_eq!(destroy_what_is_due(&bench).await, Purged::default());
    assert_eq!(recoverable(&bench, bob).await, 1);
    let refused = tenant::delete(bench.ctx(), None).await;
    assert!(matches!(refused, Err(Error::Conflict { code: "tenant_on_hold", .. })), "{refused:?}");

    release(bench.ctx(), first.id).await.unwrap();
    assert_eq!(destroy_what_is_due(&bench).await, Purged::default(), "her mailbox has a hold of its own");
    assert_eq!(recoverable(&bench, bob).await, 0);
    assert!(tenant::delete(bench.ctx(), None).await.is_err());
    release(bench.ctx(), second.id).await.unwrap();
    assert_eq!(destroy_what_is_due(&bench).await, Purged { mailboxes: 1, ..Purged::default() });
    bench.assert_exact().await;
    tenant::delete(bench.ctx(), None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(40));
    assert_eq!(destroy_what_is_due(&bench).await, Purged { tenants: 1, ..Purged::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hold_and_a_sweep_at_once_one_is_first() {
    let bench = Bench::new().await;
    let mut mailboxes = Vec::new();
    for number in 0..8 {
        let mailbox = bench.mailbox(&format!("u{number}"), None).await;
        discarded(&bench, mailbox).await;
        mailboxes.push(mailbox);
    }
    bench.world.test_db.clock().advance(RECOVERABLE + TimeDelta::seconds(1));
    let place_and_look = async |mailbox| {
        place(bench.ctx(), Some(mailbox), "Case 17".to_owned()).await.unwrap();
        // What is there once the hold is, stays.
        (mailbox, recoverable(&bench, mailbox).await)
    };
    let places = join_all(mailboxes.iter().map(|&mailbox| place_and_look(mailbox)));
    let (held, _) = tokio::join!(places, destroy_what_is_due(&bench));
    destroy_what_is_due(&bench).await;
    for (mailbox, count) in held {
        assert_eq!(recoverable(&bench, mailbox).await, count);
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_hold_is_of_one_tenant_and_says_why() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let (other, bob) = bench.neighbour().await;
    let placed = place(bench.ctx(), Some(ada), "Case 17".to_owned()).await.unwrap();
    assert!(matches!(place(bench.ctx(), Some(bob), "x".to_owned()).await, Err(Error::NotFound)));
    assert_eq!(place(bench.ctx(), None, String::new()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(matches!(release(&other, placed.id).await, Err(Error::NotFound)));
    assert_eq!(hold::get(&other, placed.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    let page = kernel::PageRequest::new(None, None);
    assert_eq!(list(&other, &page).await.unwrap().items, []);
    assert_eq!(list(bench.ctx(), &page).await.unwrap().items, [placed]);
}
