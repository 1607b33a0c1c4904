//! Mail that is put back as it was at a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use blob::{BlobKey, KeyPrefix};
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{FolderId, MailboxId, MessageId, PageRequest};
use mailstore::folder::{self, Changed, NewFolder};
use mailstore::import::{self, Filing};
use mailstore::message::{self, Filter, Flag, FlagChange, Flags, Message};
use mailstore::restore::{Extent, Place, Wanted};
use mailstore::{MailStore, change, check, outline, sweep};
use recovery::{base, bundle, restore};
use sqlx::Connection as _;
use tenancy::operation::{self, Operation};
use tenancy::{Ctx, mailbox};
use testkit::TestDb;
use tokio_util::sync::CancellationToken;

use crate::support::Bench;

fn mail(number: usize) -> Vec<u8> {
    format!("Subject: message {number}\r\nFrom: a@example.com\r\n\r\nWords of message {number}\r\n")
        .into_bytes()
}

async fn make(bench: &Bench, mailbox_id: MailboxId, name: &str, parent_id: Option<FolderId>) -> FolderId {
    let new = NewFolder { parent_id, name: name.to_owned(), role: None, is_subscribed: true };
    folder::create(&bench.store, bench.ctx(), mailbox_id, new).await.unwrap().id
}

async fn deliver(
    bench: &Bench,
    to: MailboxId,
    folder: Option<FolderId>,
    numbers: std::ops::Range<usize>,
) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(bench.deliver(to, folder, &mail(number)).await);
    }
    ids
}

async fn live(ctx: &Ctx, mailbox_id: MailboxId) -> BTreeMap<MessageId, Message> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let page = PageRequest::new(Some(200), after);
        let page = message::list(ctx, mailbox_id, Filter::default(), &page).await.unwrap();
        all.extend(page.items.into_iter().map(|message| (message.id, message)));
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

async fn paths(ctx: &Ctx, mailbox_id: MailboxId) -> BTreeMap<String, folder::Folder> {
    let folders = folder::list(ctx, mailbox_id).await.unwrap();
    folders.into_iter().map(|folder| (folder.path.clone(), folder)).collect()
}

/// Asks for a restore, and works until nothing is due.
async fn restored(bench: &Bench, at: DateTime<Utc>, place: Place, extent: Extent) -> Operation {
    bench.ship().await;
    let wanted = Wanted { at, place, extent };
    let begun = restore::request(bench.ctx(), wanted).await.unwrap();
    assert_eq!((begun.status.as_str(), begun.done), ("queued", 0));
    work(bench.ctx(), &bench.store).await;
    operation::get(bench.ctx().caller(), begun.id).await.unwrap()
}

async fn work(ctx: &Ctx, store: &MailStore) {
    while restore::run_next(ctx.db(), store, &CancellationToken::new()).await.unwrap() {}
}

/// What came of it, of what came of anything.
fn outcome(operation: &Operation) -> Vec<(&str, &str)> {
    let steps = operation.steps.iter().filter(|step| step.outcome != "0");
    steps.map(|step| (step.name.as_str(), step.outcome.as_str())).collect()
}

async fn assert_exact(test_db: &TestDb) {
    assert_eq!(check::drift(&test_db.db()).await.unwrap(), check::Drift::default());
}

async fn used(ctx: &Ctx, mailbox_id: MailboxId) -> i64 {
    mailbox::quota(ctx, mailbox_id).await.unwrap().0.quota.used_bytes
}

async fn packs(bench: &Bench) -> usize {
    let objects = bench.objects(KeyPrefix::All).await;
    objects.iter().filter(|key| matches!(key, BlobKey::Pack { .. })).count()
}

fn seen() -> FlagChange {
    FlagChange::adding(Flags {
        flags: [Flag::Seen, Flag::Deleted].into(),
        keywords: ["$Late".parse().unwrap()].into(),
    })
}

struct Scene {
    bench: Bench,
    ada: MailboxId,
    work: FolderId,
    deep: FolderId,
    /// In the Inbox, in Work, and in what lies in it.
    ids: [Vec<MessageId>; 3],
    at: DateTime<Utc>,
    was: BTreeMap<MessageId, Message>,
}

impl Scene {
    /// A mailbox, a moment, and what went wrong after it.
    async fn new() -> Self {
        let bench = Bench::new().await;
        let ada = bench.mailbox("ada").await;
        let work = make(&bench, ada, "Work", None).await;
        let deep = make(&bench, ada, "Deep", Some(work)).await;
        make(&bench, ada, "Empty", None).await;
        let ids = [
            deliver(&bench, ada, None, 0..6).await,
            deliver(&bench, ada, Some(work), 6..9).await,
            deliver(&bench, ada, Some(deep), 9..12).await,
        ];
        let first = Flags { flags: [Flag::Flagged].into(), keywords: ["$Work".parse().unwrap()].into() };
        message::flag(&bench.store, bench.ctx(), ada, &ids[0][..2], &FlagChange::adding(first))
            .await
            .unwrap();
        bench.ship().await;
        let (at, was) = (bench.ctx().env().now(), live(bench.ctx(), ada).await);
        let scene = Self { bench, ada, work, deep, ids, at, was };
        scene.go_wrong().await;
        scene
    }

    async fn go_wrong(&self) {
        let (store, ctx, ada) = (&self.bench.store, self.bench.ctx(), self.ada);
        message::discard(store, ctx, ada, self.ids[0][0]).await.unwrap();
        message::flag(store, ctx, ada, &self.ids[0][1..3], &seen()).await.unwrap();
        message::relocate(store, ctx, ada, &self.ids[0][3..5], self.work).await.unwrap();
        self.bench.ship().await;
        folder::delete(store, ctx, ada, self.deep).await.unwrap();
        let renamed = Changed { name: Some("Arbeit".to_owned()), ..Changed::default() };
        folder::update(store, ctx, ada, self.work, renamed).await.unwrap();
        let empty = paths(ctx, ada).await["Empty"].id;
        folder::delete(store, ctx, ada, empty).await.unwrap();
        deliver(&self.bench, ada, None, 12..14).await;
    }

    /// Whether each message is in a folder and marked as it was.
    async fn assert_as_it_was(&self, ids: impl IntoIterator<Item = &MessageId>) {
        let is = live(self.bench.ctx(), self.ada).await;
        for id in ids {
            let (is, was) = (&is[id], &self.was[id]);
            let of = |message: &Message| {
                (message.folder_id, message.flags.clone(), message.uidl.clone(), message.internal_date)
            };
            assert_eq!(of(is), of(was));
        }
    }
}

#[tokio::test]
async fn in_place_everything_is_where_it_was_and_what_came_since_stays() {
    let scene = Scene::new().await;
    let (ctx, ada) = (scene.bench.ctx(), scene.ada);
    let bob = scene.bench.mailbox("bob").await;
    let of_bob = deliver(&scene.bench, bob, None, 20..22).await;
    message::discard(&scene.bench.store, ctx, bob, of_bob[0]).await.unwrap();
    let uid_next = paths(ctx, ada).await["Inbox"].uid_next;
    let before = live(ctx, ada).await;
    let since = change::since(ctx, ada, None).await.unwrap().modseq;
    scene.bench.ship().await;
    deliver(&scene.bench, bob, None, 22..23).await;
    scene.bench.ship().await;
    let neighbours = live(ctx, bob).await;
    // The moment lies in the midst of what is put together.
    let bundled = bundle::run(&scene.bench.journal, ctx.env().now() + TimeDelta::hours(1)).await.unwrap();
    assert_eq!(bundled.bundles, 1, "{bundled:?}");
    assert!(bundled.segments >= 3, "{bundled:?}");
    let bundled = bundle::run(&scene.bench.journal, ctx.env().now() + TimeDelta::hours(2)).await.unwrap();
    assert!(bundled.cleared >= 3, "{bundled:?}");

    let done = restored(&scene.bench, scene.at, Place::InPlace, Extent::Mailbox(ada)).await;
    assert_eq!((done.status.as_str(), done.done, done.total), ("succeeded", 12, 12), "{done:?}");
    let came = [("messages_returned", "4"), ("messages_moved", "2"), ("messages_flagged", "2")];
    assert_eq!(outcome(&done), came);
    let result = serde_json::json!({"messages_returned": 4, "messages_moved": 2, "messages_flagged": 2,
        "messages_copied": 0, "messages_lost": 0, "messages_over_quota": 0});
    assert_eq!(done.result, Some(result));
    assert!(done.finished_at.is_some());

    scene.assert_as_it_was(scene.was.keys()).await;
    let is = live(ctx, ada).await;
    assert_eq!(is.len(), 14, "with what came since");
    for (id, message) in &is {
        match before.get(id) {
            Some(before) if before.folder_id == message.folder_id => assert_eq!(before.uid, message.uid),
            _ if message.folder_id == before[&scene.ids[0][5]].folder_id => assert!(message.uid >= uid_next),
            // RFC 9051 §2.3.1.1: an expunged UID does not come back.
            _ => assert!(message.uid > 3, "{message:?}"),
        }
    }
    let folders = paths(ctx, ada).await;
    assert_eq!(folders["Arbeit"].id, scene.work, "a folder that is there keeps its name");
    assert_eq!((folders["Arbeit/Deep"].id, folders["Arbeit/Deep"].message_count), (scene.deep, 3));
    assert!(folders.contains_key("Empty"));
    assert_eq!(live(ctx, bob).await, neighbours);
    let changes = change::since(ctx, ada, Some(since)).await.unwrap();
    let folders: BTreeSet<_> = changes.changes.iter().map(|change| change.folder_id).collect();
    assert!(folders.is_superset(&[scene.work, scene.deep].into()), "clients are told: {changes:?}");
    assert_exact(&scene.bench.world.test_db).await;

    // A second time there is nothing to do.
    let again = restored(&scene.bench, scene.at, Place::InPlace, Extent::Mailbox(ada)).await;
    assert_eq!((again.status.as_str(), outcome(&again)), ("succeeded", vec![]));
    assert_eq!(live(ctx, ada).await, is);
}

#[tokio::test]
async fn beside_all_of_it_is_copied_and_nothing_else_is_touched() {
    let scene = Scene::new().await;
    let (ctx, ada) = (scene.bench.ctx(), scene.ada);
    let before = live(ctx, ada).await;
    let was_used = used(ctx, ada).await;
    let packs = packs(&scene.bench).await;
    let done = restored(&scene.bench, scene.at, Place::Beside, Extent::Mailbox(ada)).await;
    assert_eq!((done.status.as_str(), outcome(&done)), ("succeeded", vec![("messages_copied", "12")]));
    let mut is = live(ctx, ada).await;
    for (id, message) in before {
        assert_eq!(is.remove(&id).unwrap(), message);
    }
    let name = format!("Restored {}", scene.at.format("%Y-%m-%d %H:%M"));
    let folders = paths(ctx, ada).await;
    let path = |at: &str| &folders[&format!("{name}{at}")];
    for (at, count) in [("", 0), ("/Inbox", 6), ("/Work", 3), ("/Work/Deep", 3), ("/Empty", 0)] {
        assert_eq!((path(at).message_count, path(at).role), (count, None), "{at}");
    }
    let subjects = async |folder: FolderId, of: &BTreeMap<MessageId, Message>| {
        let of: Vec<Message> = of.values().filter(|message| message.folder_id == folder).cloned().collect();
        let parsed = outline::parsed(&scene.bench.store, ctx, &of).await.unwrap();
        let told =
            of.into_iter().zip(parsed).map(|(message, parsed)| (message.uid, parsed.subject, message.flags));
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|(uid, ..)| *uid);
        told
    };
    let inbox = folders["Inbox"].id;
    assert_eq!(subjects(path("/Inbox").id, &is).await, subjects(inbox, &scene.was).await);
    assert_eq!(subjects(path("/Work/Deep").id, &is).await, subjects(scene.deep, &scene.was).await);
    let grown = used(ctx, ada).await - was_used;
    assert_eq!(grown, is.values().map(|message| message.size_bytes as i64).sum::<i64>());
    assert_eq!(self::packs(&scene.bench).await, packs, "no body is copied");
    assert_exact(&scene.bench.world.test_db).await;
    // Another one gets a folder of its own.
    restored(&scene.bench, scene.at, Place::Beside, Extent::Mailbox(ada)).await;
    assert_eq!(paths(ctx, ada).await[&format!("{name} (2)/Inbox")].message_count, 6);
}

#[tokio::test]
async fn a_folder_or_a_message_alone_comes_back() {
    let scene = Scene::new().await;
    let (ctx, ada) = (scene.bench.ctx(), scene.ada);
    let one = scene.ids[2][1];
    let done = restored(&scene.bench, scene.at, Place::InPlace, Extent::Message(ada, one)).await;
    assert_eq!((outcome(&done), done.total), (vec![("messages_returned", "1")], 1));
    scene.assert_as_it_was([&one]).await;
    assert_eq!(paths(ctx, ada).await["Arbeit/Deep"].message_count, 1);

    let done = restored(&scene.bench, scene.at, Place::InPlace, Extent::Folder(ada, scene.work)).await;
    assert_eq!((outcome(&done), done.total), (vec![("messages_returned", "2")], 6), "with what lay below it");
    scene.assert_as_it_was(scene.ids[1].iter().chain(&scene.ids[2])).await;
    let is = live(ctx, ada).await;
    assert!(!is.contains_key(&scene.ids[0][0]), "what was elsewhere stays as it is");
    assert_eq!(is[&scene.ids[0][3]].folder_id, scene.work);

    let done = restored(&scene.bench, scene.at, Place::Beside, Extent::Folder(ada, scene.deep)).await;
    assert_eq!(outcome(&done), [("messages_copied", "3")]);
    let name = format!("Restored {}", scene.at.format("%Y-%m-%d %H:%M"));
    assert_eq!(paths(ctx, ada).await[&format!("{name}/Deep")].message_count, 3);

    let late = *live(ctx, ada).await.keys().next_back().unwrap();
    for extent in [Extent::Message(ada, late), Extent::Folder(ada, ctx.env().new_id())] {
        let done = restored(&scene.bench, scene.at, Place::InPlace, extent).await;
        assert_eq!((done.status.as_str(), outcome(&done)), ("failed", vec![("problem", "not_found")]));
    }
    assert_exact(&scene.bench.world.test_db).await;
}

#[tokio::test]
async fn what_took_the_place_of_a_folder_stands_for_it() {
    let scene = Scene::new().await;
    let (ctx, ada, bench) = (scene.bench.ctx(), scene.ada, &scene.bench);
    // Another folder had its name in between, and so others of its UIDs.
    let other = make(bench, ada, "Deep", Some(scene.work)).await;
    folder::delete(&bench.store, ctx, ada, other).await.unwrap();
    let now = make(bench, ada, "Empty", None).await;
    let validity = paths(ctx, ada).await["Empty"].uid_validity;
    restored(bench, scene.at, Place::InPlace, Extent::Mailbox(ada)).await;
    let folders = paths(ctx, ada).await;
    assert_eq!((folders["Empty"].id, folders["Empty"].uid_validity), (now, validity));
    assert_eq!(folders["Arbeit/Deep"].id, scene.deep);
    assert!(folders["Arbeit/Deep"].uid_validity > validity);
    scene.assert_as_it_was(&scene.ids[2]).await;
    assert_exact(&bench.world.test_db).await;
}

#[tokio::test]
async fn a_folder_gets_a_later_validity_also_where_one_with_a_lower_had_its_name_since() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    let work = make(&bench, ada, "Work", None).await;
    let ids = deliver(&bench, ada, Some(work), 0..1).await;
    let validity = paths(ctx, ada).await["Work"].uid_validity;
    let maildir = tempfile::tempdir().unwrap();
    for part in ["cur", "new", ".Other", ".Other/cur", ".Other/new"] {
        fs::create_dir(maildir.path().join(part)).unwrap();
    }
    fs::write(maildir.path().join(".Other/cur/a"), mail(9)).unwrap();
    fs::write(maildir.path().join(".Other/dovecot-uidlist"), "3 V1275660208 N40\n5 :a\n").unwrap();
    let from = vec![maildir.path().to_owned()];
    import::run(&bench.store, ctx, ada, Filing::AsFound, from, |_| {}).await.unwrap();
    let other = paths(ctx, ada).await["Other"].clone();
    assert_eq!(other.uid_validity, 1_275_660_208);
    let at = ctx.env().now();
    folder::delete(&bench.store, ctx, ada, work).await.unwrap();
    let renamed = Changed { name: Some("Work".to_owned()), ..Changed::default() };
    folder::update(&bench.store, ctx, ada, other.id, renamed).await.unwrap();
    folder::delete(&bench.store, ctx, ada, other.id).await.unwrap();
    restored(&bench, at, Place::InPlace, Extent::Folder(ada, work)).await;
    let is = paths(ctx, ada).await["Work"].clone();
    assert_eq!(is.id, work);
    assert!(is.uid_validity > validity, "{is:?}");
    assert!(live(ctx, ada).await.contains_key(&ids[0]));
    assert_exact(&bench.world.test_db).await;
}

#[tokio::test]
async fn a_folder_that_is_put_back_again_keeps_its_validity_if_no_other_had_its_name_since() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    let work = make(&bench, ada, "Work", None).await;
    deliver(&bench, ada, Some(work), 0..1).await;
    let first = paths(ctx, ada).await["Work"].uid_validity;
    let at = ctx.env().now();
    let again = async || {
        restored(&bench, at, Place::InPlace, Extent::Folder(ada, work)).await;
        let is = paths(ctx, ada).await["Work"].clone();
        assert_eq!(is.id, work);
        is.uid_validity
    };
    folder::delete(&bench.store, ctx, ada, work).await.unwrap();
    assert_eq!(again().await, first, "nobody had its name");
    folder::delete(&bench.store, ctx, ada, work).await.unwrap();
    let other = make(&bench, ada, "Work", None).await;
    folder::delete(&bench.store, ctx, ada, other).await.unwrap();
    let second = again().await;
    assert!(second > first, "{second} {first}");
    folder::delete(&bench.store, ctx, ada, work).await.unwrap();
    assert_eq!(again().await, second, "nobody had its name since");
    // Under a name that it had before, and another in between.
    let renamed = Changed { name: Some("Later".to_owned()), ..Changed::default() };
    folder::update(&bench.store, ctx, ada, work, renamed).await.unwrap();
    let other = make(&bench, ada, "Work", None).await;
    folder::delete(&bench.store, ctx, ada, other).await.unwrap();
    folder::delete(&bench.store, ctx, ada, work).await.unwrap();
    let third = again().await;
    assert!(third > second, "{third} {second}");
    assert_exact(&bench.world.test_db).await;
}

#[tokio::test]
async fn all_mailboxes_of_a_tenant_come_back_at_once() {
    let scene = Scene::new().await;
    let (ctx, bench) = (scene.bench.ctx(), &scene.bench);
    let bob = bench.mailbox("bob").await;
    let of_bob = deliver(bench, bob, None, 20..23).await;
    let at = ctx.env().now();
    for id in &of_bob {
        message::discard(&bench.store, ctx, bob, *id).await.unwrap();
    }
    let carol = bench.mailbox("carol").await;
    let of_carol = deliver(bench, carol, None, 30..31).await;
    let done = restored(bench, at, Place::InPlace, Extent::Tenant).await;
    assert_eq!(outcome(&done), [("messages_returned", "3")], "{done:?}");
    assert_eq!(live(ctx, bob).await.keys().copied().collect::<Vec<_>>(), of_bob);
    assert_eq!(live(ctx, carol).await.keys().copied().collect::<Vec<_>>(), of_carol);
    assert_exact(&bench.world.test_db).await;
}

#[tokio::test]
async fn what_has_no_room_or_was_destroyed_is_told_and_the_rest_comes_back() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    let ids = deliver(&bench, ada, None, 0..9).await;
    let size = live(ctx, ada).await[&ids[0]].size_bytes;
    let at = ctx.env().now();
    for id in &ids {
        message::discard(&bench.store, ctx, ada, *id).await.unwrap();
    }
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let quota = format!("set role pillarbox_system; update mailboxes set quota_bytes = {}", size * 4 + 5);
    sqlx::raw_sql(sqlx::AssertSqlSafe(quota)).execute(&mut connection).await.unwrap();
    for place in [Place::Beside, Place::InPlace] {
        let done = restored(&bench, at, place, Extent::Mailbox(ada)).await;
        let came = if place == Place::Beside { "messages_copied" } else { "messages_returned" };
        assert_eq!(outcome(&done), [(came, "4"), ("messages_over_quota", "5")]);
        assert_eq!(live(ctx, ada).await.len(), 4);
        for id in live(ctx, ada).await.keys() {
            message::discard(&bench.store, ctx, ada, *id).await.unwrap();
        }
    }
    assert_exact(&bench.world.test_db).await;
    // Nothing of what was swept comes back.
    let long_ago = "set role pillarbox_system; update messages set discarded_at = now() - interval '40 days'";
    sqlx::raw_sql(long_ago).execute(&mut connection).await.unwrap();
    assert_eq!(sweep::run(&bench.store, ctx.db()).await.messages, 9 + 4, "and the copies");
    let done = restored(&bench, at, Place::InPlace, Extent::Mailbox(ada)).await;
    assert_eq!((done.status.as_str(), outcome(&done)), ("succeeded", vec![("messages_lost", "9")]));
}

/// As many messages as several batches have, cheaply; the first of them.
async fn many(bench: &Bench, mailbox_id: MailboxId) -> Vec<MessageId> {
    let (ctx, first) = (bench.ctx(), deliver(bench, mailbox_id, None, 0..12).await);
    for _ in 0..8 {
        let ids: Vec<_> = live(ctx, mailbox_id).await.into_keys().collect();
        let to = message::Target { mailbox_id, folder: None };
        message::copy(&bench.store, ctx, mailbox_id, &ids, to).await.unwrap();
    }
    first
}

#[tokio::test]
async fn at_the_word_to_stop_a_restore_is_handed_over() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    many(&bench, ada).await;
    let count = live(ctx, ada).await.len();
    let at = ctx.env().now();
    bench.ship().await;
    let wanted = Wanted { at, place: Place::Beside, extent: Extent::Mailbox(ada) };
    let id = restore::request(ctx, wanted).await.unwrap().id;
    let stopped = CancellationToken::new();
    stopped.cancel();
    // It is nobody's fault, and no reason to give it up.
    for _ in 0..30 {
        assert!(restore::run_next(ctx.db(), &bench.store, &stopped).await.unwrap());
    }
    let stop = CancellationToken::new();
    let in_the_middle = async {
        loop {
            let now = operation::get(ctx.caller(), id).await.unwrap();
            if now.done > 0 || now.finished_at.is_some() {
                return stop.cancel();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (done, ()) = tokio::join!(restore::run_next(ctx.db(), &bench.store, &stop), in_the_middle);
    assert!(done.unwrap());
    let done = operation::get(ctx.caller(), id).await.unwrap();
    assert!(done.finished_at.is_none() && done.done < done.total, "{done:?}");
    // At once.
    work(ctx, &bench.store).await;
    let done = operation::get(ctx.caller(), id).await.unwrap();
    assert_eq!((done.status.as_str(), done.done), ("succeeded", done.total));
    assert_eq!(live(ctx, ada).await.len(), 2 * count);
    assert_exact(&bench.world.test_db).await;
}

#[tokio::test]
async fn whoever_goes_on_after_a_stop_does_nothing_twice() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    let first = many(&bench, ada).await;
    let count = live(ctx, ada).await.len();
    assert_eq!(count, first.len() << 8);
    let at = ctx.env().now();
    bench.ship().await;
    let wanted = Wanted { at, place: Place::Beside, extent: Extent::Mailbox(ada) };
    let begun = restore::request(ctx, wanted).await.unwrap();
    for extent in [Extent::Mailbox(ada), Extent::Message(ada, first[0]), Extent::Tenant] {
        let second = restore::request(ctx, Wanted { extent, ..wanted }).await;
        assert!(matches!(second, Err(mailstore::Error::RestoreUnderWay)), "{second:?}");
    }
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let lapse = "set role pillarbox_system; update restores set due_at = now()";
    let mut in_the_middle = 0;
    loop {
        let before = operation::get(ctx.caller(), begun.id).await.unwrap();
        if before.finished_at.is_some() {
            break;
        }
        in_the_middle += u32::from(before.done > 0 && before.done < before.total);
        // Two who both take it for theirs, and are stopped once something more of it is done.
        sqlx::raw_sql(lapse).execute(&mut connection).await.unwrap();
        let on = CancellationToken::new();
        let one = restore::run_next(ctx.db(), &bench.store, &on);
        let other = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            sqlx::raw_sql(lapse).execute(&mut connection).await.unwrap();
            restore::run_next(ctx.db(), &bench.store, &on).await
        };
        let more = async {
            while operation::get(ctx.caller(), begun.id).await.unwrap().done <= before.done {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = async { tokio::join!(one, other) } => {}
            () = more => {}
        }
    }
    let done = operation::get(ctx.caller(), begun.id).await.unwrap();
    assert!(in_the_middle > 0, "it was stopped in the middle");
    assert_eq!((done.status.as_str(), done.done), ("succeeded", done.total));
    assert_eq!(outcome(&done), [("messages_copied", count.to_string().as_str())]);
    assert_eq!(live(ctx, ada).await.len(), 2 * count);
    assert_exact(&bench.world.test_db).await;
}

#[tokio::test]
async fn a_moment_that_nothing_is_known_of_is_refused() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    let ask = async |at, mailbox_id| {
        let wanted = Wanted { at, place: Place::InPlace, extent: Extent::Mailbox(mailbox_id) };
        restore::request(ctx, wanted).await
    };
    let now = ctx.env().now();
    for at in [now + TimeDelta::minutes(1), now - TimeDelta::hours(1)] {
        let refused = ask(at, ada).await.unwrap_err();
        assert_eq!(refused.code(), "invalid_request", "{refused}");
    }
    assert!(matches!(ask(now, ctx.env().new_id()).await, Err(mailstore::Error::NotFound)));
    assert!(!restore::run_next(ctx.db(), &bench.store, &CancellationToken::new()).await.unwrap());
}

#[tokio::test]
async fn the_journal_is_waited_for() {
    let bench = Bench::new().await;
    let (ctx, ada) = (bench.ctx(), bench.mailbox("ada").await);
    let ids = deliver(&bench, ada, None, 0..3).await;
    let at = ctx.env().now();
    message::discard(&bench.store, ctx, ada, ids[0]).await.unwrap();
    let wanted = Wanted { at, place: Place::InPlace, extent: Extent::Mailbox(ada) };
    let begun = restore::request(ctx, wanted).await.unwrap();
    work(ctx, &bench.store).await;
    let waits = operation::get(ctx.caller(), begun.id).await.unwrap();
    assert_eq!((waits.status.as_str(), waits.done), ("queued", 0));
    bench.ship().await;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let lapse = "set role pillarbox_system; update restores set due_at = now()";
    sqlx::raw_sql(lapse).execute(&mut connection).await.unwrap();
    work(ctx, &bench.store).await;
    let done = operation::get(ctx.caller(), begun.id).await.unwrap();
    assert_eq!((done.status.as_str(), outcome(&done)), ("succeeded", vec![("messages_returned", "1")]));
}

#[tokio::test]
async fn a_moment_before_the_disaster_and_one_before_the_last_base_are_known() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let yesterday =
        "set role pillarbox_system; update journal_head set based_at = based_at - interval '2 days'";
    sqlx::raw_sql(yesterday).execute(&mut connection).await.unwrap();
    bench.ship().await;
    base::take_if_due(&bench.journal).await.unwrap().unwrap();
    deliver(bench, scene.ada, None, 40..41).await;
    bench.ship().await;

    let again = bench.recovered().await;
    let wanted = Wanted { at: scene.at, place: Place::InPlace, extent: Extent::Mailbox(scene.ada) };
    let begun = restore::request(&again.ctx, wanted).await.unwrap();
    work(&again.ctx, &again.store).await;
    let done = operation::get(again.ctx.caller(), begun.id).await.unwrap();
    let came = [("messages_returned", "4"), ("messages_moved", "2"), ("messages_flagged", "2")];
    assert_eq!((done.status.as_str(), outcome(&done)), ("succeeded", came.to_vec()));
    let is = live(&again.ctx, scene.ada).await;
    assert_eq!(is.len(), 15);
    for (id, was) in &scene.was {
        assert_eq!((is[id].folder_id, &is[id].flags, &is[id].uidl), (was.folder_id, &was.flags, &was.uidl));
    }
    assert_exact(&again.test_db).await;
}
