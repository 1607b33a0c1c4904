//! Marking, filing and copying messages.

use std::collections::BTreeSet;

use futures::future::join_all;
use kernel::{FolderId, MailboxId, MessageId};
use mailstore::folder::{self, Role};
use mailstore::message::{self, Flag, FlagChange, Flags, Placed, State, Update};
use mailstore::{Error, maildrop, view};
use tenancy::tenant::{self, TenantChange};

use crate::support::{Bench, HELLO, RECOVERABLE, inbox};

async fn folder_for(bench: &Bench, mailbox: MailboxId, role: Role) -> FolderId {
    let folders = folder::list(bench.ctx(), mailbox).await.unwrap();
    folders.into_iter().find(|folder| folder.role == Some(role)).unwrap().id
}

fn flags(flags: &[Flag], keywords: &[&str]) -> Flags {
    let keywords = keywords.iter().map(|keyword| keyword.parse().unwrap()).collect();
    Flags { flags: flags.iter().copied().collect(), keywords }
}

async fn flagged(bench: &Bench, mailbox: MailboxId, ids: &[MessageId], change: FlagChange) -> Vec<MessageId> {
    let mut ids = message::flag(&bench.store, bench.ctx(), mailbox, ids, &change).await.unwrap();
    ids.sort_unstable();
    ids
}

async fn flags_of(bench: &Bench, mailbox: MailboxId, id: MessageId) -> (BTreeSet<Flag>, Vec<String>) {
    let Flags { flags, keywords } = message::get(bench.ctx(), mailbox, id).await.unwrap().flags;
    (flags, keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect())
}

#[tokio::test]
async fn flags_are_set_taken_away_and_replaced_and_counted() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let one = bench.stored(ada, HELLO).await;
    let two = bench.stored(ada, HELLO).await;
    assert_eq!(inbox(&bench, ada).await.unseen_count, 2);

    let add = FlagChange::adding(flags(&[Flag::Seen, Flag::Flagged], &["$Forwarded", "work"]));
    assert_eq!(flagged(&bench, ada, &[one], add.clone()).await, [one]);
    let first = message::get(bench.ctx(), ada, one).await.unwrap();
    assert_eq!(inbox(&bench, ada).await.unseen_count, 1);
    // Only what is another way now has changed; a keyword stays as it was written first.
    let again = FlagChange::adding(flags(&[Flag::Seen], &["$FORWARDED"]));
    assert_eq!(flagged(&bench, ada, &[one, two], again).await, [two]);
    assert_eq!(message::get(bench.ctx(), ada, one).await.unwrap(), first);
    assert_eq!(
        flags_of(&bench, ada, one).await,
        ([Flag::Seen, Flag::Flagged].into(), vec!["$Forwarded".to_owned(), "work".to_owned()])
    );
    assert_eq!(flags_of(&bench, ada, two).await, ([Flag::Seen].into(), vec!["$FORWARDED".to_owned()]));
    assert_eq!(inbox(&bench, ada).await.unseen_count, 0);
    bench.assert_exact().await;

    flagged(&bench, ada, &[one], FlagChange::removing(flags(&[Flag::Seen, Flag::Draft], &["$forwarded"])))
        .await;
    assert_eq!(flags_of(&bench, ada, one).await, ([Flag::Flagged].into(), vec!["work".to_owned()]));
    flagged(&bench, ada, &[one, two], FlagChange::replacing(flags(&[Flag::Answered], &["new"]))).await;
    for id in [one, two] {
        assert_eq!(flags_of(&bench, ada, id).await, ([Flag::Answered].into(), vec!["new".to_owned()]));
    }
    assert_eq!(inbox(&bench, ada).await.unseen_count, 2);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_message_has_no_more_keywords_than_it_may() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let one = bench.stored(ada, HELLO).await;
    let words: Vec<String> = (0..message::MAX_KEYWORDS).map(|number| format!("w{number:03}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(flagged(&bench, ada, &[one], FlagChange::adding(flags(&[], &words))).await, [one]);
    let more = FlagChange::adding(flags(&[Flag::Seen], &["more"]));
    let refused = message::flag(&bench.store, bench.ctx(), ada, &[one], &more).await;
    assert!(matches!(refused, Err(Error::TooManyKeywords { .. })));
    assert_eq!(
        flags_of(&bench, ada, one).await,
        (BTreeSet::new(), words.iter().map(|word| (*word).to_owned()).collect())
    );
    bench.assert_exact().await;
}

#[tokio::test]
async fn many_who_mark_at_once_lose_nothing_of_each_other_s() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let one = bench.stored(ada, HELLO).await;
    let mark = |number: usize| {
        let (store, ctx) = (&bench.store, bench.ctx());
        async move {
            let word = format!("w{number}");
            let change = FlagChange::adding(flags(&[], &[&word]));
            message::flag(store, ctx, ada, &[one], &change).await.unwrap()
        }
    };
    join_all((0..20).map(mark)).await;
    assert_eq!(flags_of(&bench, ada, one).await.1.len(), 20);
}

#[tokio::test]
async fn moved_messages_stay_themselves_under_new_uids_and_no_body_is_touched() {
    let bench = Bench::new().await;
    let user = bench.user("ada", None).await;
    let ada = user.mailbox_id;
    let ids =
        [bench.stored(ada, HELLO).await, bench.stored(ada, HELLO).await, bench.stored(ada, HELLO).await];
    let sent = folder_for(&bench, ada, Role::Sent).await;
    let before = bench.list(ada, State::Live).await;
    let objects = bench.blobs.keys().await;
    message::flag(&bench.store, bench.ctx(), ada, &ids[..1], &FlagChange::adding(flags(&[Flag::Seen], &[])))
        .await
        .unwrap();

    let moved = message::relocate(&bench.store, bench.ctx(), ada, &[ids[2], ids[0]], sent).await.unwrap();
    // In the order of their UIDs, not in that of the call.
    let expected =
        [(ids[0], 1, 1), (ids[2], 3, 2)].map(|(id, of_uid, uid)| Placed { of: id, of_uid, id, uid });
    assert_eq!(moved, expected);
    let after = message::get(bench.ctx(), ada, ids[2]).await.unwrap();
    let was = before.iter().find(|message| message.id == ids[2]).unwrap();
    assert_eq!(after, message::Message { folder_id: sent, uid: 2, modseq: after.modseq, ..was.clone() });
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    let counted = |role| {
        folders
            .iter()
            .find(|folder| folder.role == Some(role))
            .map(|folder| (folder.message_count, folder.unseen_count, folder.uid_next))
    };
    assert_eq!((counted(Role::Inbox), counted(Role::Sent)), (Some((1, 1, 4)), Some((2, 1, 3))));
    bench.assert_exact().await;

    // Once more is not at all; back again is a new UID, and POP3's name for it stays.
    assert_eq!(message::relocate(&bench.store, bench.ctx(), ada, &[ids[2]], sent).await.unwrap(), []);
    let inbox = inbox(&bench, ada).await.id;
    let update = Update { folder: Some(inbox), flags: FlagChange::adding(flags(&[Flag::Flagged], &[])) };
    let back = message::update(&bench.store, bench.ctx(), ada, ids[2], &update, None).await.unwrap();
    assert_eq!((back.uid, back.folder_id, &back.uidl), (4, inbox, &was.uidl));
    assert!(back.flags.flags.contains(&Flag::Flagged));
    let drop = maildrop::open(&bench.store, &bench.login(&user)).await.unwrap();
    let seen: Vec<_> = drop.entries().iter().map(|entry| entry.message_id).collect();
    assert_eq!(seen, [ids[1], ids[2]]);
    assert_eq!(bench.blobs.keys().await, objects);
    bench.assert_exact().await;
}

#[tokio::test]
async fn copies_share_the_body_and_are_counted_where_they_go() {
    let bench = Bench::new().await;
    let size = HELLO.len() as i64;
    let ada = bench.mailbox("ada", None).await;
    let bob = bench.mailbox("bob", Some(size)).await;
    let one = bench.stored(ada, HELLO).await;
    let two = bench.stored(ada, HELLO).await;
    message::flag(
        &bench.store,
        bench.ctx(),
        ada,
        &[one],
        &FlagChange::adding(flags(&[Flag::Seen], &["work"])),
    )
    .await
    .unwrap();
    let objects = bench.blobs.keys().await;
    let copy = async |ids: &[MessageId], mailbox_id, folder| {
        message::copy(&bench.store, bench.ctx(), ada, ids, message::Target { mailbox_id, folder }).await
    };

    let both = copy(&[one, two], bob, None).await;
    assert!(matches!(both, Err(Error::OverQuota)), "all or none: {both:?}");
    assert!(bench.list(bob, State::Live).await.is_empty());
    let copied = copy(&[one], bob, None).await.unwrap();
    assert_eq!(bench.used(bob).await, (size, 0));
    let (was, is) = (
        message::get(bench.ctx(), ada, one).await.unwrap(),
        message::get(bench.ctx(), bob, copied[0].id).await.unwrap(),
    );
    assert_eq!(bench.parsed(&is).await, bench.parsed(&was).await);
    assert_eq!((is.flags, is.internal_date), (was.flags, was.internal_date));
    assert!(is.uidl != was.uidl && is.id != was.id);
    let trash = folder_for(&bench, ada, Role::Trash).await;
    let within = copy(&[two, one], ada, Some(trash)).await.unwrap();
    assert_eq!(within.iter().map(|placed| (placed.of, placed.uid)).collect::<Vec<_>>(), [(one, 1), (two, 2)]);
    assert_eq!(bench.used(ada).await, (4 * size, 0));
    assert_eq!(bench.blobs.keys().await, objects);
    bench.assert_exact().await;

    // The body stays as long as one of them does.
    message::discard(&bench.store, bench.ctx(), ada, one).await.unwrap();
    message::discard(&bench.store, bench.ctx(), ada, within[0].id).await.unwrap();
    bench.world.test_db.clock().advance(RECOVERABLE + chrono::TimeDelta::seconds(1));
    bench.sweep_out().await;
    let raw = message::raw(&bench.store, bench.ctx(), bob, copied[0].id, None).await.unwrap();
    assert_eq!(raw.bytes, HELLO);
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_is_moved_into_another_mailbox_is_counted_there_and_recoverable_here() {
    let bench = Bench::new().await;
    let size = HELLO.len() as i64;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", Some(size)).await);
    let (one, two) = (bench.stored(ada, HELLO).await, bench.stored(ada, HELLO).await);
    flagged(&bench, ada, &[one], FlagChange::adding(flags(&[Flag::Seen], &["work"]))).await;
    let objects = bench.blobs.keys().await;
    let (here, there) = (inbox(&bench, ada).await.id, inbox(&bench, bob).await.id);
    let relocate = async |uids: &view::Uids| {
        let to = message::Target { mailbox_id: bob, folder: Some(there) };
        view::relocate(&bench.store, bench.ctx(), ada, here, uids, to).await
    };
    let both = relocate(&[1..=2]).await;
    assert!(matches!(both, Err(Error::OverQuota)), "all or none: {both:?}");
    assert_eq!((bench.used(ada).await, bench.used(bob).await), ((2 * size, 0), (0, 0)));

    // What stays the tenant's takes no room in its pool, however full that is.
    let full = TenantChange { storage_limit_bytes: Some(Some(2 * size)), ..TenantChange::default() };
    tenant::update(bench.ctx(), None, full).await.unwrap();
    let was = message::get(bench.ctx(), ada, one).await.unwrap();
    let moved = relocate(&[was.uid..=was.uid]).await.unwrap();
    assert_eq!(moved.iter().map(|placed| (placed.of, placed.of_uid)).collect::<Vec<_>>(), [(one, was.uid)]);
    assert_eq!((bench.used(ada).await, bench.used(bob).await), ((size, size), (size, 0)));
    let is = message::get(bench.ctx(), bob, moved[0].id).await.unwrap();
    assert_eq!((is.folder_id, is.uid), (there, moved[0].uid));
    assert_eq!((is.flags, is.internal_date), (was.flags, was.internal_date));
    let left: Vec<_> = bench.list(ada, State::Live).await.iter().map(|message| message.id).collect();
    assert_eq!(left, [two]);
    assert_eq!(bench.list(ada, State::Recoverable).await[0].id, one);
    assert_eq!(bench.blobs.keys().await, objects);
    assert_eq!(relocate(&[was.uid..=was.uid]).await.unwrap(), []);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_moved_both_ways_at_once_is_in_one_place() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    bench.stored(ada, HELLO).await;
    let (here, there) = (inbox(&bench, ada).await.id, inbox(&bench, bob).await.id);
    let all = [1..=u64::from(u32::MAX)];
    for _ in 0..30 {
        let [out, back] = [(bob, there), (ada, here)]
            .map(|(mailbox_id, folder)| message::Target { mailbox_id, folder: Some(folder) });
        let out = view::relocate(&bench.store, bench.ctx(), ada, here, &all, out);
        let back = view::relocate(&bench.store, bench.ctx(), bob, there, &all, back);
        let (out, back) = tokio::join!(out, back);
        assert!(out.is_ok() && back.is_ok(), "{out:?} {back:?}");
        let live = bench.list(ada, State::Live).await.len() + bench.list(bob, State::Live).await.len();
        assert_eq!(live, 1);
    }
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_marked_while_it_is_copied_is_counted_as_it_was_copied() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let one = [bench.stored(ada, HELLO).await];
    let seen = || flags(&[Flag::Seen], &[]);
    for round in 0..60 {
        let change = if round % 2 == 0 { FlagChange::adding(seen()) } else { FlagChange::removing(seen()) };
        let [there, back] = [bob, ada].map(|mailbox_id| message::Target { mailbox_id, folder: None });
        let copy = message::copy(&bench.store, bench.ctx(), ada, &one, there);
        let mark = message::flag(&bench.store, bench.ctx(), ada, &one, &change);
        // Two mailboxes that are copied into each other wait for one another, and not for ever.
        let cross = message::copy(&bench.store, bench.ctx(), bob, &[], back);
        let (copied, marked, crossed) = tokio::join!(copy, mark, cross);
        assert!(copied.is_ok() && marked.is_ok() && crossed.is_ok(), "{copied:?} {marked:?} {crossed:?}");
    }
    assert_eq!(bench.list(bob, State::Live).await.len(), 60);
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_is_not_there_is_passed_over_and_nobody_else_s_is_touched() {
    let bench = Bench::new().await;
    let (ada, eve) = (bench.mailbox("ada", None).await, bench.mailbox("eve", None).await);
    let (other, bob) = bench.neighbour().await;
    let (live, deleted) = (bench.stored(ada, HELLO).await, bench.stored(ada, HELLO).await);
    message::discard(&bench.store, bench.ctx(), ada, deleted).await.unwrap();
    let before = message::get(bench.ctx(), ada, live).await.unwrap();
    let change = FlagChange::adding(flags(&[Flag::Seen], &[]));
    let (ids, store) = ([live, deleted], &bench.store);
    assert_eq!(message::flag(store, bench.ctx(), ada, &[deleted], &change).await.unwrap(), []);
    let gone = message::update(store, bench.ctx(), ada, deleted, &Update::default(), None).await;
    assert!(matches!(gone, Err(Error::NotFound)));

    for (ctx, mailbox) in [(bench.ctx(), eve), (&other, bob)] {
        let to = inbox_of(ctx, mailbox).await;
        assert_eq!(message::flag(store, ctx, mailbox, &ids, &change).await.unwrap(), []);
        assert_eq!(message::relocate(store, ctx, mailbox, &ids, to).await.unwrap(), []);
        let target = message::Target { mailbox_id: mailbox, folder: Some(to) };
        assert_eq!(message::copy(store, ctx, mailbox, &ids, target).await.unwrap(), []);
        let foreign = message::Target { mailbox_id: ada, folder: None };
        match message::copy(store, ctx, mailbox, &ids, foreign).await {
            // Of the same tenant: there is such a mailbox, and no such messages in this one.
            Ok(copied) => assert!(mailbox == eve && copied.is_empty(), "{copied:?}"),
            Err(error) => assert!(mailbox == bob && matches!(error, Error::NotFound), "{error:?}"),
        }
        // A folder of another mailbox is no place to move to.
        assert!(matches!(
            message::relocate(store, bench.ctx(), ada, &[live], to).await,
            Err(Error::FolderNotFound)
        ));
    }
    assert!(matches!(message::flag(store, &other, ada, &ids, &change).await, Err(Error::NotFound)));
    assert_eq!(message::get(bench.ctx(), ada, live).await.unwrap(), before);
    bench.assert_exact().await;
}

async fn inbox_of(ctx: &tenancy::Ctx, mailbox: MailboxId) -> FolderId {
    let folders = folder::list(ctx, mailbox).await.unwrap();
    folders.into_iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap().id
}
