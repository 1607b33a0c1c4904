//! What was deleted is kept as long as its tenant says, and as much of it.

use chrono::TimeDelta;
use kernel::{MailboxId, MessageId, PageRequest};
use mailstore::message::{self, Filter, State, Target};
use mailstore::retention::{self, Policy};
use mailstore::sweep;
use tenancy::hold;

use crate::support::{Bench, HELLO};

const SIZE: i64 = HELLO.len() as i64;

async fn put(bench: &Bench, recoverable_days: i32, recoverable_limit_bytes: i64) {
    let policy = Policy { recoverable_days, recoverable_limit_bytes };
    retention::put(bench.ctx(), policy, None).await.unwrap();
}

/// Deletes so many new messages, an hour after each other.
async fn discarded(bench: &Bench, mailbox_id: MailboxId, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = bench.stored(mailbox_id, HELLO).await;
        message::discard(&bench.store, bench.ctx(), mailbox_id, id).await.unwrap();
        bench.world.test_db.clock().advance(TimeDelta::hours(1));
        ids.push(id);
    }
    ids
}

async fn kept(bench: &Bench, mailbox_id: MailboxId) -> Vec<MessageId> {
    assert_eq!(sweep::run(&bench.store, &bench.world.test_db.db()).await.failed, 0);
    bench.assert_exact().await;
    bench.list(mailbox_id, State::Recoverable).await.into_iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn as_long_as_a_tenant_says_and_no_longer() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let clock = bench.world.test_db.clock();
    let ids = discarded(&bench, ada, 1).await;
    put(&bench, 60, retention::DEFAULT_LIMIT_BYTES).await;
    clock.advance(TimeDelta::days(59));
    assert_eq!(kept(&bench, ada).await, ids);
    put(&bench, 58, retention::DEFAULT_LIMIT_BYTES).await;
    assert_eq!(kept(&bench, ada).await, []);
    put(&bench, 0, retention::DEFAULT_LIMIT_BYTES).await;
    discarded(&bench, ada, 1).await;
    assert_eq!(kept(&bench, ada).await, []);
}

#[tokio::test]
async fn no_more_than_a_tenant_says_the_oldest_goes_first() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let (ids, of_bob) = (discarded(&bench, ada, 5).await, discarded(&bench, bob, 2).await);
    put(&bench, 30, 5 * SIZE).await;
    assert_eq!(kept(&bench, ada).await, ids);
    put(&bench, 30, 3 * SIZE).await;
    assert_eq!(kept(&bench, ada).await, ids[2..]);
    // What does not fit in half is not kept in half.
    put(&bench, 30, 2 * SIZE - 1).await;
    assert_eq!(kept(&bench, ada).await, ids[4..]);
    assert_eq!(bench.used(ada).await, (0, SIZE));
    assert_eq!(kept(&bench, bob).await, of_bob[1..]);
    // A hold goes beyond it.
    let placed = hold::place(bench.ctx(), Some(ada), "Case 17".to_owned()).await.unwrap();
    put(&bench, 30, 0).await;
    assert_eq!((kept(&bench, ada).await, kept(&bench, bob).await), (ids[4..].to_vec(), vec![]));
    hold::release(bench.ctx(), placed.id).await.unwrap();
    assert_eq!(kept(&bench, ada).await, []);
}

#[tokio::test]
async fn more_than_one_transaction_takes_goes_all_the_same() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for _ in 0..5 {
        bench.stored(ada, HELLO).await;
    }
    let live = async || -> Vec<MessageId> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = PageRequest::new(Some(200), after);
            let page = message::list(bench.ctx(), ada, Filter::default(), &page).await.unwrap();
            ids.extend(page.items.into_iter().map(|message| message.id));
            match page.next {
                Some(next) => after = Some(next),
                None => return ids,
            }
        }
    };
    for _ in 0..7 {
        let to = Target { mailbox_id: ada, folder: None };
        message::copy(&bench.store, bench.ctx(), ada, &live().await, to).await.unwrap();
    }
    let ids = live().await;
    assert_eq!(ids.len(), 640);
    for id in ids {
        message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
    }
    put(&bench, 30, 100 * SIZE).await;
    assert_eq!(kept(&bench, ada).await.len(), 100);
    assert_eq!(bench.used(ada).await, (0, 100 * SIZE));
}

#[tokio::test]
async fn a_policy_that_is_none_is_refused_and_changes_are_counted() {
    let bench = Bench::new().await;
    let first = retention::get(bench.ctx()).await.unwrap();
    assert_eq!((first.policy, first.version), (Policy::default(), 0));
    for (recoverable_days, recoverable_limit_bytes) in [(-1, 0), (3_651, 0), (30, -1)] {
        let policy = Policy { recoverable_days, recoverable_limit_bytes };
        let refused = retention::put(bench.ctx(), policy, None).await.unwrap_err();
        assert_eq!(refused.code(), "invalid_request");
    }
    let policy = Policy { recoverable_days: 7, recoverable_limit_bytes: 1 };
    let put = retention::put(bench.ctx(), policy, Some(0)).await.unwrap();
    assert_eq!((put.policy, put.version), (policy, 1));
    assert_eq!(retention::get(bench.ctx()).await.unwrap(), put);
    let late = retention::put(bench.ctx(), policy, Some(0)).await.unwrap_err();
    assert_eq!(late.code(), "version_mismatch");
}
