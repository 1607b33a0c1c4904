//! Listing, reading, deleting, bringing back; and nobody else's.

use std::collections::BTreeSet;

use futures::future::join_all;
use kernel::{ErrorKind, FolderId, MessageId, PageRequest};
use mailstore::ingest::{Target, ingest};
use mailstore::message::{self, Filter, State};
use mailstore::search::{self, Query};
use mailstore::{Error, folder, maildrop};
use tenancy::Role;
use tenancy::user::NewUser;
use uuid::Uuid;

use crate::support::{Bench, HELLO, id, inbox};

#[tokio::test]
async fn a_deleted_message_comes_back_as_itself_with_a_higher_uid() {
    let bench = Bench::new().await;
    let size = HELLO.len() as i64;
    let ada = bench.mailbox("ada", None).await;
    let id = bench.stored(ada, HELLO).await;
    let before = message::get(bench.ctx(), ada, id).await.unwrap();
    assert!(matches!(message::recover(&bench.store, bench.ctx(), ada, id).await, Err(Error::NotDeleted)));

    message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
    assert_eq!(bench.used(ada).await, (0, size));
    assert!(bench.list(ada, State::Live).await.is_empty());
    let deleted = &bench.list(ada, State::Recoverable).await[0];
    assert_eq!(deleted.discarded_at, Some(bench.ctx().env().now()));
    assert!(deleted.modseq > before.modseq);
    assert!(matches!(message::discard(&bench.store, bench.ctx(), ada, id).await, Err(Error::NotFound)));
    bench.assert_exact().await;

    let other = bench.stored(ada, HELLO).await;
    let other_uid = message::get(bench.ctx(), ada, other).await.unwrap().uid;
    let after = message::recover(&bench.store, bench.ctx(), ada, id).await.unwrap();
    assert!(after.uid > other_uid && other_uid > before.uid);
    assert!(after.modseq > deleted.modseq);
    let expected = message::Message { uid: after.uid, modseq: after.modseq, ..before.clone() };
    assert_eq!(after, expected);
    assert_eq!(message::get(bench.ctx(), ada, id).await.unwrap(), expected);
    assert_eq!(bench.used(ada).await, (2 * size, 0));
    bench.assert_exact().await;
}

#[tokio::test]
async fn nothing_comes_back_past_the_quota() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", Some(HELLO.len() as i64)).await;
    let id = bench.stored(ada, HELLO).await;
    message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
    bench.stored(ada, HELLO).await;
    assert!(matches!(message::recover(&bench.store, bench.ctx(), ada, id).await, Err(Error::OverQuota)));
    assert_eq!(bench.list(ada, State::Recoverable).await.len(), 1);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_delete_or_recover_a_message_one_does() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let id = bench.stored(ada, HELLO).await;
    let deleted = join_all((0..16).map(|_| message::discard(&bench.store, bench.ctx(), ada, id))).await;
    assert_eq!(deleted.iter().filter(|result| result.is_ok()).count(), 1, "{deleted:?}");
    let late = deleted.iter().filter(|result| matches!(result, Err(Error::NotFound))).count();
    assert_eq!(late, 15, "{deleted:?}");
    bench.assert_exact().await;
    let recovered = join_all((0..16).map(|_| message::recover(&bench.store, bench.ctx(), ada, id))).await;
    assert_eq!(recovered.iter().filter(|result| result.is_ok()).count(), 1, "{recovered:?}");
    let late = recovered.iter().filter(|result| matches!(result, Err(Error::NotDeleted))).count();
    assert_eq!(late, 15, "{recovered:?}");
    bench.assert_exact().await;
}

#[tokio::test]
async fn pages_cover_every_message_once() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let mut ids = BTreeSet::new();
    for _ in 0..7 {
        ids.insert(bench.stored(ada, HELLO).await);
    }
    let inbox = folder::list(bench.ctx(), ada).await.unwrap();
    let inbox = inbox.iter().find(|folder| folder.role == Some(folder::Role::Inbox)).unwrap();
    for folder_id in [None, Some(inbox.id)] {
        let filter = Filter { folder_id, ..Filter::default() };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page =
                message::list(bench.ctx(), ada, filter, &PageRequest::new(Some(3), cursor)).await.unwrap();
            seen.extend(page.items.iter().map(|message| message.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ids.iter().copied().collect::<Vec<_>>());
    }
    let filter = Filter { folder_id: Some(FolderId::from_uuid(Uuid::from_u128(1))), ..Filter::default() };
    let missing = message::list(bench.ctx(), ada, filter, &PageRequest::new(None, None)).await;
    assert!(matches!(missing, Err(Error::FolderNotFound)));
}

#[tokio::test]
async fn a_page_from_an_instant_on_looks_at_so_many_messages_and_says_where_to_go_on() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let inbox = inbox(&bench, ada).await.id;
    let mut old = vec![bench.stored(ada, HELLO).await];
    let to = message::Target { mailbox_id: ada, folder: None };
    // Copies keep the date: more of them than are looked at for one page, and not twice as many.
    for round in 0..18 {
        let many = if round < 9 { old.len() } else { 512 };
        let copies = message::copy(&bench.store, bench.ctx(), ada, &old[..many], to).await.unwrap();
        old.extend(copies.iter().map(|copy| copy.id));
    }
    assert_eq!(old.len(), 5_120);
    bench.world.test_db.clock().advance(chrono::TimeDelta::hours(1));
    let new = bench.stored(ada, HELLO).await;
    let since = Some(bench.ctx().env().now());
    let query = Query::words("hello").unwrap();
    for folder_id in [None, Some(inbox)] {
        let filter = Filter { folder_id, since, ..Filter::default() };
        for is_search in [false, true] {
            let list = async |cursor| {
                let page = PageRequest::new(None, cursor);
                let page = match is_search {
                    true => search::messages(&bench.store, bench.ctx(), ada, filter, &query, &page).await,
                    false => message::list(bench.ctx(), ada, filter, &page).await,
                };
                let page = page.unwrap();
                (page.items.iter().map(|message| message.id).collect::<Vec<_>>(), page.next)
            };
            let (first, cursor) = list(None).await;
            assert_eq!((first, cursor.is_some()), (vec![], true), "{folder_id:?} {is_search}");
            assert_eq!(list(cursor).await, (vec![new], None), "{folder_id:?} {is_search}");
        }
    }
}

#[tokio::test]
async fn a_range_is_cut_to_the_message() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let id = bench.stored(ada, HELLO).await;
    let total = HELLO.len() as u64;
    for (range, expected) in [(0..5, &HELLO[..5]), (9..total + 100, &HELLO[9..]), (0..u64::MAX, HELLO)] {
        let raw = message::raw(&bench.store, bench.ctx(), ada, id, Some(range)).await.unwrap();
        assert_eq!((raw.total_bytes, raw.bytes.as_ref()), (total, expected));
    }
    for range in [total..total + 1, 5..5, u64::MAX - 1..u64::MAX] {
        let raw = message::raw(&bench.store, bench.ctx(), ada, id, Some(range)).await;
        assert!(
            matches!(raw, Err(Error::RangeNotSatisfiable { total_bytes }) if total_bytes == total),
            "{raw:?}"
        );
    }
}

#[tokio::test]
async fn another_tenants_and_another_mailboxes_ids_do_not_exist() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let id = bench.stored(ada, HELLO).await;
    let (foreign, foreign_mailbox) = bench.neighbour().await;
    let unknown = MessageId::from_uuid(Uuid::from_u128(1));
    let page = PageRequest::new(None, None);
    for (ctx, mailbox, id) in [
        (&foreign, ada, id),
        (&foreign, foreign_mailbox, id),
        (bench.ctx(), bob, id),
        (bench.ctx(), foreign_mailbox, id),
        (bench.ctx(), ada, unknown),
    ] {
        assert!(matches!(message::get(ctx, mailbox, id).await, Err(Error::NotFound)));
        assert!(matches!(message::raw(&bench.store, ctx, mailbox, id, None).await, Err(Error::NotFound)));
        assert!(matches!(message::discard(&bench.store, ctx, mailbox, id).await, Err(Error::NotFound)));
        assert!(matches!(message::recover(&bench.store, ctx, mailbox, id).await, Err(Error::NotFound)));
    }
    for (ctx, mailbox) in [(&foreign, ada), (bench.ctx(), foreign_mailbox)] {
        assert!(matches!(message::list(ctx, mailbox, Filter::default(), &page).await, Err(Error::NotFound)));
        assert!(matches!(folder::list(ctx, mailbox).await, Err(Error::NotFound)));
    }
    assert!(message::get(bench.ctx(), ada, id).await.is_ok());
}

#[tokio::test]
async fn a_person_sees_their_own_mailbox_alone() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.world.user("ada", None).await, bench.mailbox("bob", None).await);
    let own = bench.stored(ada.mailbox_id, HELLO).await;
    let others = bench.stored(bob, HELLO).await;
    let login = bench.world.login(&ada).await;
    assert!(message::get(&login.ctx, ada.mailbox_id, own).await.is_ok());
    let page = PageRequest::new(None, None);
    let kinds = [
        message::get(&login.ctx, bob, others).await.unwrap_err().kind(),
        message::list(&login.ctx, bob, Filter::default(), &page).await.unwrap_err().kind(),
        message::raw(&bench.store, &login.ctx, bob, others, None).await.unwrap_err().kind(),
        message::discard(&bench.store, &login.ctx, bob, others).await.unwrap_err().kind(),
        message::recover(&bench.store, &login.ctx, bob, others).await.unwrap_err().kind(),
        folder::list(&login.ctx, bob).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 6]);
    let mut target = bench.target(bob);
    target.ctx = login.ctx;
    let put = ingest(&bench.store, vec![target], bench.incoming(HELLO)).await;
    assert_eq!(put[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn nothing_in_a_deleted_mailbox_is_there_any_more() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    let mailbox = ada.mailbox_id;
    let (live, deleted) = (bench.stored(mailbox, HELLO).await, bench.stored(mailbox, HELLO).await);
    message::discard(&bench.store, bench.ctx(), mailbox, deleted).await.unwrap();
    let drop = maildrop::open(&bench.store, &bench.login(&ada)).await.unwrap();
    tenancy::user::delete(bench.ctx(), ada.id, None).await.unwrap();
    let page = PageRequest::new(None, None);
    let ctx = bench.ctx();
    let errors = [
        message::list(ctx, mailbox, Filter::default(), &page).await.err(),
        message::get(ctx, mailbox, live).await.err(),
        message::stored(ctx, mailbox, live).await.err(),
        message::raw(&bench.store, ctx, mailbox, live, None).await.err(),
        message::raw(&bench.store, ctx, mailbox, deleted, Some(0..1)).await.err(),
        message::discard(&bench.store, ctx, mailbox, live).await.err(),
        message::recover(&bench.store, ctx, mailbox, deleted).await.err(),
        // Not deleted, which would be another answer in a mailbox that is there.
        message::recover(&bench.store, ctx, mailbox, live).await.err(),
        drop.body(0).await.err(),
        drop.close(&[0]).await.err(),
        maildrop::open(&bench.store, &bench.login(&ada)).await.err(),
        folder::list(ctx, mailbox).await.err(),
    ];
    for (index, error) in errors.iter().enumerate() {
        assert!(matches!(error, Some(Error::NotFound)), "call {index}: {error:?}");
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn people_with_a_role_of_office_use_their_own_mailbox_like_anybody() {
    let bench = Bench::new().await;
    let bob = bench.mailbox("bob", None).await;
    let others = bench.stored(bob, HELLO).await;
    for (local, role) in
        [("helper", Role::Helpdesk), ("clerk", Role::TenantBilling), ("admin", Role::TenantAdmin)]
    {
        let new = testkit::world::new_user(&format!("{local}@acme.example"), None);
        let own = tenancy::user::create(bench.ctx(), NewUser { role, ..new }).await.unwrap();
        let login = bench.world.login(&own).await;
        let put = |mailbox| {
            let target = Target { ctx: login.ctx.clone(), ..bench.target(mailbox) };
            ingest(&bench.store, vec![target], bench.incoming(HELLO))
        };
        let stored = id(&put(own.mailbox_id).await[0]);
        let read = message::raw(&bench.store, &login.ctx, own.mailbox_id, stored, None).await.unwrap();
        assert_eq!(read.bytes, HELLO, "{role:?}");
        let drop = maildrop::open(&bench.store, &login).await.unwrap();
        assert_eq!(drop.body(0).await.unwrap(), HELLO);
        drop.close(&[0]).await.unwrap();
        message::recover(&bench.store, &login.ctx, own.mailbox_id, stored).await.unwrap();
        message::discard(&bench.store, &login.ctx, own.mailbox_id, stored).await.unwrap();

        if role != Role::TenantAdmin {
            assert!(put(bob).await[0].is_err(), "{role:?} writes into another's mailbox");
            assert!(message::get(&login.ctx, bob, others).await.is_err(), "{role:?} reads another's mail");
        }
    }
    bench.assert_exact().await;
}
