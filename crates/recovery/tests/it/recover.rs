//! A database that was lost, and is there again.

use std::fs;
use std::time::Duration;

use blob::{BlobKey, KeyPrefix};
use chrono::TimeDelta;
use db::rebuild::Rebuild;
use kernel::{MailboxId, MessageId, PageRequest};
use mailstore::folder::{self, Changed, NewFolder, Role};
use mailstore::import::{self, Event, Filing, Untaken};
use mailstore::message::{self, Filter, Flag, FlagChange, Flags, Message, Target};
use mailstore::{MailStore, change, check, sweep};
use recovery::{Error, Journal, Late, base, check as check_place, recover, ship};
use sqlx::Connection as _;
use tenancy::tenant::{self, TenantChange};
use tenancy::{Ctx, user};
use testkit::TestDb;

use crate::support::{Bench, assert_same, rows};

fn mail(number: usize) -> Vec<u8> {
    format!("Subject: message {number}\r\nFrom: a@example.com\r\n\r\nWords of message {number}\r\n")
        .into_bytes()
}

async fn folder_of(ctx: &Ctx, mailbox: MailboxId, role: Role) -> folder::Folder {
    let folders = folder::list(ctx, mailbox).await.unwrap();
    folders.into_iter().find(|folder| folder.role == Some(role)).unwrap()
}

/// Without their modification sequences, which a recovery sets on.
async fn messages(ctx: &Ctx, mailbox: MailboxId) -> Vec<Message> {
    let all =
        message::list(ctx, mailbox, Filter::default(), &PageRequest::new(Some(200), None)).await.unwrap();
    assert!(all.next.is_none());
    all.items.into_iter().map(|message| Message { modseq: 0, ..message }).collect()
}

/// What people do with mail.
async fn act(bench: &Bench, ada: MailboxId, bob: MailboxId) {
    let ctx = bench.ctx();
    let new = |name: &str, parent_id| NewFolder {
        parent_id,
        name: name.to_owned(),
        role: None,
        is_subscribed: true,
    };
    let work = folder::create(&bench.store, ctx, ada, new("Work", None)).await.unwrap();
    let deep = folder::create(&bench.store, ctx, ada, new("Deep", Some(work.id))).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(bench.deliver(ada, (number % 3 == 0).then_some(deep.id), &mail(number)).await);
    }
    let seen = Flags { flags: [Flag::Seen].into(), keywords: ["$Work".parse().unwrap()].into() };
    message::flag(&bench.store, ctx, ada, &ids[..5], &FlagChange::adding(seen)).await.unwrap();
    message::copy(&bench.store, ctx, ada, &ids[..3], Target { mailbox_id: bob, folder: None }).await.unwrap();
    message::relocate(&bench.store, ctx, ada, &ids[6..8], work.id).await.unwrap();
    for id in &ids[9..] {
        message::discard(&bench.store, ctx, ada, *id).await.unwrap();
    }
    message::recover(&bench.store, ctx, ada, ids[9]).await.unwrap();
    let renamed = Changed { name: Some("Arbeit ☃".to_owned()), ..Changed::default() };
    folder::update(&bench.store, ctx, ada, work.id, renamed).await.unwrap();
    let gone = folder::create(&bench.store, ctx, ada, new("Gone", None)).await.unwrap();
    bench.deliver(ada, Some(gone.id), &mail(99)).await;
    folder::delete(&bench.store, ctx, ada, gone.id).await.unwrap();
    let dedicated = TenantChange { storage_dedicated: Some(true), ..TenantChange::default() };
    assert!(tenant::update(ctx, None, dedicated).await.unwrap().storage_dedicated);
}

#[tokio::test]
async fn what_was_put_into_the_bucket_is_all_there_again() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada").await, bench.mailbox("bob").await);
    act(&bench, ada, bob).await;
    let first = bench.ship().await;
    assert!(first.records > 100 && first.segments == 1, "{first:?}");
    let late = bench.deliver(bob, None, &mail(100)).await;
    user::delete(bench.ctx(), bench.user("gone").await.id, None).await.unwrap();
    bench.ship().await;
    assert_eq!(bench.ship().await, ship::Shipped::default(), "nothing is put twice");
    let was = rows(&bench.world.test_db).await;

    let again = bench.recovered().await;
    let recovered = &again.recovered;
    assert_eq!((&recovered.broken, &recovered.destroyed), (&vec![], &[].into()));
    assert_eq!((recovered.found.messages, recovered.found.left.len()), (0, 0));
    assert_same(&was, &rows(&again.test_db).await);
    assert!(again.ctx.is_storage_dedicated(), "it shares no object from the start");
    assert_eq!(messages(bench.ctx(), ada).await, messages(&again.ctx, ada).await);
    assert_eq!(message::raw(&again.store, &again.ctx, bob, late, None).await.unwrap().bytes, mail(100));
    assert_exact(&again.test_db).await;
    check_place(&again.test_db.db(), &*bench.blobs).await.unwrap();

    // Life goes on, with no number given out twice, and its journal after the one that it came from.
    let uids = |messages: Vec<Message>| messages.into_iter().map(|message| message.uid).max().unwrap();
    let before = uids(messages(bench.ctx(), bob).await);
    let inbox = folder_of(bench.ctx(), bob, Role::Inbox).await;
    let is = folder_of(&again.ctx, bob, Role::Inbox).await;
    // Beyond what can have been given out since, whatever the lost database was set to: it is not there to ask.
    let lost = 100_000 * u64::from(recovery::MOST_SECONDS.get());
    assert!(is.uid_next >= inbox.uid_next + lost && is.uid_validity == inbox.uid_validity);
    let next = Bench {
        journal: Journal::new(&again.test_db.db(), &again.store),
        world: testkit::World { test_db: again.test_db.clone(), ctx: again.ctx.clone(), ..bench.world },
        blobs: bench.blobs.clone(),
        store: again.store.clone(),
    };
    next.deliver(bob, None, &mail(101)).await;
    assert!(uids(messages(&again.ctx, bob).await) > before + lost);
    assert!(base::take_if_due(&next.journal).await.unwrap().is_none(), "the recovery has taken one");
    next.ship().await;
    let was = rows(&next.world.test_db).await;
    let third = next.recovered().await;
    assert!(third.recovered.base > recovered.last && third.recovered.last > third.recovered.base);
    assert_same(&was, &rows(&third.test_db).await);
}

async fn assert_exact(test_db: &TestDb) {
    assert_eq!(check::drift(&test_db.db()).await.unwrap(), check::Drift::default());
}

#[tokio::test]
async fn mail_that_was_accepted_and_not_written_down_is_put_where_it_belongs() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada").await, bench.mailbox("bob").await);
    let kept = bench.deliver(ada, None, &mail(1)).await;
    let new = NewFolder { parent_id: None, name: "Old".into(), role: None, is_subscribed: true };
    let old = folder::create(&bench.store, bench.ctx(), ada, new).await.unwrap();
    bench.ship().await;

    let new = NewFolder { parent_id: None, name: "New".into(), role: None, is_subscribed: true };
    let unknown = folder::create(&bench.store, bench.ctx(), ada, new).await.unwrap();
    let in_old = bench.deliver(ada, Some(old.id), &mail(2)).await;
    let in_new = bench.deliver(ada, Some(unknown.id), &mail(3)).await;
    let of_bob = bench.deliver(bob, None, &mail(4)).await;
    let lost = bench.mailbox("carol").await;
    let nowhere = bench.deliver(lost, None, &mail(5)).await;
    message::discard(&bench.store, bench.ctx(), ada, kept).await.unwrap();
    let was = messages(bench.ctx(), ada).await;
    let seen = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    let packs = bench.objects(KeyPrefix::All).await;

    let again = bench.recovered().await;
    let found = &again.recovered.found;
    assert_eq!(found.messages, 3, "{found:?}");
    assert!(found.left.len() == 1 && found.left[0].contains(&nowhere.to_string()), "{found:?}");
    for (mailbox, id, folder, number) in
        [(ada, in_old, Some(old.id), 2), (ada, in_new, None, 3), (bob, of_bob, None, 4), (ada, kept, None, 1)]
    {
        let message = message::get(&again.ctx, mailbox, id).await.unwrap();
        let folder = match folder {
            Some(folder) => folder,
            None => folder_of(&again.ctx, mailbox, Role::Inbox).await.id,
        };
        assert_eq!(message.folder_id, folder);
        assert_eq!(
            message::raw(&again.store, &again.ctx, mailbox, id, None).await.unwrap().bytes,
            mail(number)
        );
        if let Some(was) = was.iter().find(|was| was.id == id) {
            assert_eq!((was.internal_date, was.size_bytes), (message.internal_date, message.size_bytes));
        }
    }
    assert_exact(&again.test_db).await;
    // Whoever has seen what was lost is told to look at everything again.
    let since = change::since(&again.ctx, ada, Some(seen)).await;
    assert!(matches!(since, Err(mailstore::Error::ChangesExpired)), "{since:?}");
    // What is elsewhere now is gone, and what is nowhere is still there.
    let packs_now = bench.objects(KeyPrefix::All).await;
    let kept = packs.iter().filter(|key| matches!(key, BlobKey::Pack { .. }) && packs_now.contains(key));
    assert_eq!(kept.count(), 2, "the one of before, and the one that has carol's");
    let read_at = again.recovered.read_at;
    let at_hand = packs_now.iter().filter_map(|key| match key {
        BlobKey::Pack { owner, pack } => Some((*owner, *pack)),
        _ => None,
    });
    let at_hand: Vec<_> = at_hand.collect();
    let twice = mailstore::found::take_in(&again.store, &at_hand, read_at, recovery::SECONDS).await.unwrap();
    assert_eq!(
        (twice.messages, twice.packs, twice.left.len()),
        (0, 1, 1),
        "only carol's is looked at: {twice:?}"
    );
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn keys_of_a_tenant_go_once_a_recovery_knows_that_they_are_to() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let kept = bench.deliver(ada, None, &mail(1)).await;
    let operator = &bench.world.operator;
    let other = testkit::world::tenant(operator, &bench.world.reseller, "Other").await.id;
    let theirs = operator.enter(other).await.unwrap();
    testkit::world::domain(&theirs, "other.example").await;
    testkit::world::user(&theirs, "bob@other.example", None).await;
    tenant::delete(&theirs, None).await.unwrap();
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let long_ago = "set role pillarbox_system;
                    update tenants set deleted_at = deleted_at - interval '31 days' where status = 'deleted'";
    sqlx::raw_sql(long_ago).execute(&mut owner).await.unwrap();
    bench.ship().await;

    let db = bench.world.test_db.db();
    let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
    let due = mailstore::purge::due_tenants(&db).await.unwrap();
    assert_eq!(due, [other]);
    let terms =
        mailstore::purge::Terms { backups_kept: TimeDelta::zero(), ..mailstore::purge::Terms::default() };
    let mut purging = Box::pin(mailstore::purge::run(&bench.store, &db, &auth, terms, &due));
    let early = tokio::time::timeout(Duration::from_millis(700), &mut purging).await;
    assert!(early.is_err(), "nothing of it is in the bucket yet: {early:?}");
    assert!(!bench.objects(KeyPrefix::Tenant(other)).await.is_empty(), "its key has to be there");
    assert_eq!(bench.copied().await.recovered.destroyed, [].into());
    let (purged, _) = tokio::join!(purging, bench.ship());
    let purged = purged.unwrap();
    assert_eq!((purged.tenants, purged.failed), (1, 0));
    assert_eq!(bench.objects(KeyPrefix::Tenant(other)).await, []);

    // The database is lost before the journal tells more.
    let again = bench.recovered().await;
    assert_eq!((again.recovered.destroyed, again.recovered.broken), ([other].into(), vec![]));
    assert_eq!(message::raw(&again.store, &again.ctx, ada, kept, None).await.unwrap().bytes, mail(1));
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn a_name_of_pop3_that_two_packs_have_goes_to_the_first() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.deliver(ada, None, &mail(0)).await;
    bench.ship().await;
    let dir = tempfile::tempdir().unwrap();
    let other = MailStore::new(bench.world.test_db.db(), bench.blobs.clone(), testkit::kek::encryption());
    let imported = async |store: &MailStore, number: usize| {
        let path = dir.path().join(format!("{number}.mbox"));
        let marks = "From x Thu Nov 20 14:03:07 2025\nX-UIDL: same\n";
        fs::write(&path, format!("{marks}Subject: message {number}\n\n")).unwrap();
        import::run(store, bench.ctx(), ada, Filing::InOne(None), vec![path], |_| {}).await.unwrap().done
    };
    // Neither is committed before both are in the bucket: each has found the name free.
    let mut holder = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let hold = format!(
        "set role pillarbox_system; begin; select id from mailboxes where id = '{}' for update",
        ada.uuid()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
    let is_pack = |key: &BlobKey| matches!(key, BlobKey::Pack { .. });
    let let_go = async {
        while bench.objects(KeyPrefix::All).await.into_iter().filter(is_pack).count() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    };
    let both = async { tokio::join!(imported(&bench.store, 1), imported(&other, 2), let_go) };
    let done = tokio::time::timeout(std::time::Duration::from_secs(30), both).await.unwrap();
    assert_eq!(done, (1, 1, ()));

    let names = async |ctx: &Ctx| {
        let all = messages(ctx, ada).await.into_iter();
        let mut named: Vec<_> = all.map(|message| (message.id, message.uidl)).collect();
        named.sort();
        named
    };
    let is_one_the_same = |named: &[(MessageId, String)]| {
        let others = named.iter().filter(|(id, uidl)| *uidl == id.uuid().simple().to_string());
        named.len() == 3 && others.count() == 2 && named.iter().any(|(_, uidl)| uidl == "same")
    };
    assert!(is_one_the_same(&names(bench.ctx()).await));
    let (copy, again) = (bench.copied().await, bench.recovered().await);
    for again in [&copy, &again] {
        let found = &again.recovered.found;
        assert_eq!((found.messages, found.left.len()), (2, 0), "{found:?}");
        assert!(is_one_the_same(&names(&again.ctx).await));
        assert_exact(&again.test_db).await;
    }
    assert_eq!(names(&copy.ctx).await, names(&again.ctx).await);
}

#[tokio::test]
async fn numbers_that_an_import_made_leap_are_not_given_out_twice() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada").await, bench.mailbox("bob").await);
    let maildir = tempfile::tempdir().unwrap();
    for part in ["cur", "new"] {
        fs::create_dir(maildir.path().join(part)).unwrap();
    }
    fs::write(maildir.path().join("cur/a"), mail(1)).unwrap();
    let list = "3 V1275660208 N40 G3085f01b7f11094c501100008c4a11c1\n5 :a\n";
    fs::write(maildir.path().join("dovecot-uidlist"), list).unwrap();
    let imported = async |mailbox| {
        let paths = vec![maildir.path().to_owned()];
        import::run(&bench.store, bench.ctx(), mailbox, Filing::AsFound, paths, |_| {}).await.unwrap();
    };
    folder_of(bench.ctx(), ada, Role::Inbox).await;
    imported(bob).await;
    bench.ship().await;
    // Of one all of it is lost, of the other what came then.
    imported(ada).await;
    bench.deliver(bob, None, &mail(2)).await;
    let of_ada = folder_of(bench.ctx(), ada, Role::Inbox).await;
    let of_bob = folder_of(bench.ctx(), bob, Role::Inbox).await;
    assert_eq!((of_ada.uid_next, of_bob.uid_next), (6, 1_000_041));

    let again = bench.recovered().await;
    let is = folder_of(&again.ctx, ada, Role::Inbox).await;
    assert!(is.highest_modseq > of_ada.highest_modseq, "{is:?} {of_ada:?}");
    let is = folder_of(&again.ctx, bob, Role::Inbox).await;
    let lost = 100_000 * u64::from(recovery::MOST_SECONDS.get());
    assert_eq!(is.uid_validity, of_bob.uid_validity);
    assert!(is.uid_next >= 1_000_040 + lost, "{is:?}");
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn no_folder_gets_a_validity_of_one_that_was_lost() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let maildir = tempfile::tempdir().unwrap();
    for part in ["cur", "new"] {
        fs::create_dir(maildir.path().join(part)).unwrap();
    }
    let listed = |name: &str, validity: u32| {
        let at = maildir.path().join(name);
        for part in ["cur", "new"] {
            fs::create_dir_all(at.join(part)).unwrap();
        }
        fs::write(at.join("cur/a"), mail(1)).unwrap();
        fs::write(at.join("dovecot-uidlist"), format!("3 V{validity} N40\n5 :a\n")).unwrap();
    };
    let imported = async |store: &MailStore, ctx: &Ctx| {
        let mut untaken = Vec::new();
        let tell = |event: Event<'_>| {
            if let Event::Renumbered { folder, reason } = event {
                untaken.push((folder.to_owned(), reason));
            }
        };
        let paths = vec![maildir.path().to_owned()];
        import::run(store, ctx, ada, Filing::AsFound, paths, tell).await.unwrap();
        untaken
    };
    let new = || NewFolder { parent_id: None, name: "Work".into(), role: None, is_subscribed: true };
    // One that the clock has not come to: those that are made next have the next ones.
    let soon = u32::try_from(bench.ctx().env().now().timestamp()).unwrap() + 86_400 * 30;
    listed(".Soon", soon);
    assert!(imported(&bench.store, bench.ctx()).await.is_empty());
    bench.ship().await;
    listed(".Lost", 1_275_660_208);
    assert!(imported(&bench.store, bench.ctx()).await.is_empty());
    let lost = folder::create(&bench.store, bench.ctx(), ada, new()).await.unwrap();
    bench.deliver(ada, Some(lost.id), &mail(2)).await;
    assert_eq!(lost.uid_validity, soon + 1);

    let again = bench.recovered().await;
    let is = folder::create(&again.store, &again.ctx, ada, new()).await.unwrap();
    assert!(is.id != lost.id && is.uid_validity > lost.uid_validity, "{is:?} {lost:?}");
    assert_eq!(imported(&again.store, &again.ctx).await, [("Lost".to_owned(), Untaken::OfAnother)]);
    assert_exact(&again.test_db).await;
}

#[tokio::test]
async fn what_the_bucket_lacks_is_told_and_nothing_is_half_there() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let try_it = async || {
        let test_db = TestDb::blank().await;
        let done = recover(
            &test_db.db(),
            bench.blobs.clone(),
            testkit::kek::encryption(),
            Late::Deliver,
            &mut |_| {},
        )
        .await;
        (done, test_db)
    };
    let mut segments = Vec::new();
    for number in 0..3 {
        bench.deliver(ada, None, &mail(number)).await;
        bench.ship().await;
        segments.push(bench.objects(KeyPrefix::Journal).await.pop().unwrap());
    }
    // One in the middle.
    let bytes = bench.blobs.get(&segments[1]).await.unwrap();
    bench.blobs.delete(&segments[1]).await.unwrap();
    let (done, half) = try_it().await;
    assert!(matches!(done, Err(Error::Missing { .. })), "{done:?}");
    assert!(matches!(check_place(&half.db(), &*bench.blobs).await, Err(Error::Unfinished)));
    assert!(matches!(Rebuild::begin(&half.db()).await, Err(db::Error::NotEmpty)));
    // One that has rotted.
    let mut rotten = bytes.to_vec();
    *rotten.last_mut().unwrap() ^= 1;
    bench.blobs.put(&segments[1], rotten.into()).await.unwrap();
    assert!(matches!(try_it().await.0, Err(Error::Unreadable { .. })));
    bench.blobs.put(&segments[1], bytes).await.unwrap();
    // A tenant's key.
    let tenants = bench.objects(KeyPrefix::Tenant(bench.ctx().tenant_id())).await;
    let key = tenants.into_iter().find(|key| matches!(key, BlobKey::WrappedKey { .. })).unwrap();
    let bytes = bench.blobs.get(&key).await.unwrap();
    bench.blobs.delete(&key).await.unwrap();
    let (done, half) = try_it().await;
    assert!(matches!(&done, Err(Error::KeysMissing(who)) if who.contains("ten_")), "{done:?}");
    assert!(matches!(check_place(&half.db(), &*bench.blobs).await, Err(Error::Unfinished)));
    bench.blobs.put(&key, bytes).await.unwrap();
    // Every base.
    assert!(try_it().await.0.is_ok());
    for base in bench.objects(KeyPrefix::Journal).await {
        let BlobKey::Segment(id) = base else { continue };
        if pack::segment::Name::of(id).unwrap().is_base {
            bench.blobs.delete(&base).await.unwrap();
        }
    }
    assert!(matches!(try_it().await.0, Err(Error::NoBase)));
}

#[tokio::test]
async fn how_long_changes_waited_to_be_put_since_the_base_is_told() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    // From long before the base, which has them.
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let earlier = "alter table journal no force row level security;
                   update journal set at = at - interval '1 hour';
                   alter table journal force row level security";
    sqlx::raw_sql(earlier).execute(&mut owner).await.unwrap();
    assert!(bench.ship().await.records > 0);
    assert_eq!(bench.copied().await.recovered.longest_wait, TimeDelta::zero());

    bench.deliver(ada, None, &mail(1)).await;
    let waiting = TimeDelta::milliseconds(50);
    while ship::lag(&bench.world.test_db.db()).await.unwrap() < waiting {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    bench.ship().await;
    let recovered = bench.recovered().await.recovered;
    assert!((waiting..TimeDelta::minutes(30)).contains(&recovered.longest_wait), "{recovered:?}");
    assert!(recovered.based_at < recovered.read_at, "{recovered:?}");
}

/// A database that was put back from a copy of its own goes on with a base, and what came after the copy does not mix with it.
#[tokio::test]
async fn an_older_copy_begins_anew() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    bench.deliver(ada, None, &mail(1)).await;
    bench.ship().await;
    let copy = bench.copied().await;
    let lost = bench.user("carol").await;
    bench.ship().await;
    user::delete(bench.ctx(), lost.id, None).await.unwrap();
    bench.ship().await;

    let store = MailStore::new(copy.test_db.db(), bench.blobs.clone(), testkit::kek::encryption());
    let journal = Journal::new(&copy.test_db.db(), &store);
    let new = NewFolder { parent_id: None, name: "Of the copy".into(), role: None, is_subscribed: true };
    folder::create(&store, &copy.ctx, ada, new).await.unwrap();
    let stop = async {
        while ship::lag(&copy.test_db.db()).await.unwrap() > TimeDelta::zero() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    recovery::run(&journal, stop).await;
    let was = rows(&copy.test_db).await;
    let again = bench.recovered().await;
    assert_same(&was, &rows(&again.test_db).await);
    assert!(user::get(&again.ctx, lost.id).await.is_err(), "of another time");
}

#[tokio::test]
async fn a_trial_leaves_the_bucket_as_it_is() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let kept = bench.deliver(ada, None, &mail(1)).await;
    bench.ship().await;
    let late = bench.deliver(ada, None, &mail(2)).await;
    let was = bench.objects(KeyPrefix::All).await;

    let scratch = TestDb::blank().await;
    let (db, kek) = (scratch.db(), testkit::kek::encryption());
    let done = recover(&db, bench.blobs.clone(), kek, Late::Leave, &mut |_| {}).await.unwrap();
    assert_eq!(done.found, mailstore::found::Found::default());
    assert_eq!(bench.objects(KeyPrefix::All).await, was);
    let ctx = testkit::world::operator(&scratch).enter(bench.ctx().tenant_id()).await.unwrap();
    assert!(message::get(&ctx, ada, kept).await.is_ok() && message::get(&ctx, ada, late).await.is_err());
}

#[tokio::test]
async fn a_new_database_beside_the_journal_of_another_is_not_worked_on() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    bench.ship().await;
    let new = TestDb::new().await;
    assert!(matches!(check_place(&new.db(), &*bench.blobs).await, Err(Error::NotOurs)));
    let empty = blob::open(&"memory:".parse().unwrap()).await.unwrap();
    check_place(&new.db(), &*empty).await.unwrap();
    check_place(&bench.world.test_db.db(), &*bench.blobs).await.unwrap();
}

/// What comes first after a base can be from before it.
#[tokio::test]
async fn a_name_that_was_handed_on_across_a_base_is_no_hindrance() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    let new =
        |name: &str| NewFolder { parent_id: None, name: name.to_owned(), role: None, is_subscribed: true };
    let first = folder::create(&bench.store, bench.ctx(), ada, new("Work")).await.unwrap();
    let renamed = Changed { name: Some("Old".to_owned()), ..Changed::default() };
    folder::update(&bench.store, bench.ctx(), ada, first.id, renamed).await.unwrap();
    folder::create(&bench.store, bench.ctx(), ada, new("Work")).await.unwrap();
    // Nothing of that is in the bucket but by the base.
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let due = "set role pillarbox_system; update journal_head set base_number = null";
    sqlx::raw_sql(due).execute(&mut connection).await.unwrap();
    assert!(base::take_if_due(&bench.journal).await.unwrap().is_some());
    assert!(bench.ship().await.records > 0);
    let was = rows(&bench.world.test_db).await;
    let again = bench.recovered().await;
    assert_same(&was, &rows(&again.test_db).await);
    let taken = folder::create(&again.store, &again.ctx, ada, new("Work")).await;
    assert!(matches!(taken, Err(mailstore::Error::FolderExists)), "{taken:?}");
}

#[tokio::test]
async fn what_could_not_be_delivered_stays_whatever_is_swept() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada").await;
    // The pack of the next message is reserved with this one.
    bench.deliver(ada, None, &mail(1)).await;
    bench.ship().await;
    let carol = bench.mailbox("carol").await;
    let lost = bench.deliver(carol, None, &mail(2)).await;
    let packs = bench.objects(KeyPrefix::All).await;
    let again = bench.recovered().await;
    assert!(again.recovered.found.left[0].contains(&lost.to_string()), "{:?}", again.recovered.found);
    let mut connection = sqlx::PgConnection::connect(&again.test_db.url()).await.unwrap();
    let expire = "set role pillarbox_system; update packs set reserved_until = now() - interval '1 minute' where state = 'reserved'";
    sqlx::raw_sql(expire).execute(&mut connection).await.unwrap();
    sweep::run(&again.store, &again.test_db.db()).await;
    let is_pack = |key: &&BlobKey| matches!(key, BlobKey::Pack { .. });
    let kept = bench.objects(KeyPrefix::All).await;
    assert!(packs.iter().filter(is_pack).all(|key| kept.contains(key)), "{packs:?} {kept:?}");
}
