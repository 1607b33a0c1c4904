//! What is exported and imported again is the same mail, in the same folders, marked the same way.

mod numbers;
mod place;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{FolderId, MailboxId};
use mailstore::export::{self, Failure, Format, How, Progress};
use mailstore::folder::{self, NewFolder};
use mailstore::import::{self, Event, Filing};
use mailstore::ingest::{Incoming, Target, ingest};
use mailstore::message::{self, Flag, Flags, State};
use mailstore::{Error, MailStore, purge, sweep};
use tenancy::{hold, user};

use crate::support::{Bench, id};

/// A message as a client sees it, ids and numbers aside: its folder, body, marks and date.
type Seen = (String, Vec<u8>, String, DateTime<Utc>);

async fn seen(bench: &Bench, mailbox_id: MailboxId) -> Vec<Seen> {
    let folders = folder::list(bench.ctx(), mailbox_id).await.unwrap();
    let mut all = Vec::new();
    for message in bench.list(mailbox_id, State::Live).await {
        let raw = message::raw(&bench.store, bench.ctx(), mailbox_id, message.id, None).await.unwrap();
        let folder = folders.iter().find(|folder| folder.id == message.folder_id).unwrap();
        let marks = format!("{:?}", message.flags);
        all.push((folder.path.clone(), raw.bytes.to_vec(), marks, message.internal_date));
    }
    all.sort();
    all
}

async fn make(bench: &Bench, mailbox_id: MailboxId, name: &str, parent_id: Option<FolderId>) -> FolderId {
    let new = NewFolder { parent_id, name: name.to_owned(), role: None, is_subscribed: true };
    folder::create(&bench.store, bench.ctx(), mailbox_id, new).await.unwrap().id
}

async fn put(bench: &Bench, mailbox_id: MailboxId, folder: Option<FolderId>, text: &str, flags: Flags) {
    let target = Target { ctx: bench.ctx().clone(), mailbox_id, folder: folder.into(), room_bytes: None };
    // Files know seconds.
    let internal_date = DateTime::from_timestamp(1_764_000_000 + text.len() as i64, 0).unwrap();
    let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
    let incoming = Incoming { bytes, internal_date, flags, import_key: None };
    id(&ingest(&bench.store, vec![target], incoming).await[0]);
}

fn marked(flags: &[Flag], keywords: &[&str]) -> Flags {
    let keywords = keywords.iter().map(|keyword| keyword.parse().unwrap()).collect();
    Flags { flags: flags.iter().copied().collect(), keywords }
}

/// A mailbox with all that is awkward.
async fn filled(bench: &Bench) -> MailboxId {
    let ada = bench.mailbox("ada", None).await;
    let work = make(bench, ada, "Work & play: 50%", None).await;
    let deep = make(bench, ada, "a.b", Some(work)).await;
    make(bench, ada, "Empty", None).await;
    // As the file that says whose export it is.
    make(bench, ada, "pillarbox-export", None).await;
    // Longer than a file's name may be.
    let long = make(bench, ada, &"\u{436}".repeat(120), None).await;
    let long = make(bench, ada, &"\u{444}".repeat(60), Some(long)).await;
    put(bench, ada, Some(long), "Subject: far down\r\n\r\n", Flags::default()).await;
    let from = "From: a\r\n\r\nFrom me\r\n>From you\r\n>>From them\r\n.\r\n";
    put(bench, ada, None, "Subject: plain\r\n\r\nx\r\n", Flags::default()).await;
    put(bench, ada, None, from, marked(&[Flag::Seen, Flag::Answered], &["$Forwarded"])).await;
    put(bench, ada, None, "Subject: no body\r\n", marked(&[Flag::Draft, Flag::Flagged], &[])).await;
    put(bench, ada, Some(work), "Status: RO\r\nSubject: own\r\n\r\n", marked(&[], &["$Work", "later"])).await;
    put(bench, ada, Some(deep), "Subject: deep\r\n\r\n\r\n\r\n", marked(Flag::ALL, &["later"])).await;
    put(bench, ada, Some(deep), "Subject: \u{e4}\r\n\r\n\u{2603}\r\n", Flags::default()).await;
    bench.assert_exact().await;
    ada
}

async fn exported(bench: &Bench, from: MailboxId, to: &Path, format: Format) -> Progress {
    export::run(&bench.store, bench.ctx(), from, to, format, |_| {}).await.unwrap()
}

async fn imported(bench: &Bench, to: MailboxId, from: &Path) -> import::Progress {
    let tell = |event: Event<'_>| {
        if let Event::Failed { origin, reason } = event {
            panic!("{origin}: {reason}");
        }
    };
    let paths = vec![from.to_owned()];
    import::run(&bench.store, bench.ctx(), to, Filing::AsFound, paths, tell).await.unwrap()
}

#[tokio::test]
async fn there_and_back_in_every_form() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    // As the continuation of a field that is not there.
    put(&bench, ada, None, " begins\r\n\twith spaces\r\nSubject: odd\r\n\r\n", Flags::default()).await;
    let was = seen(&bench, ada).await;
    let folders: BTreeSet<_> = was.iter().map(|(folder, ..)| folder.as_str()).collect();
    assert_eq!(folders.len(), 4);
    assert!(
        folders.is_superset(&["Inbox", "Work & play: 50%", "Work & play: 50%/a.b"].into()),
        "{folders:?}"
    );
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [
        ("maildir", Format::Maildir),
        ("maildir.zip", Format::Maildir),
        ("mboxes", Format::Mbox),
        ("mboxes.ZIP", Format::Mbox),
    ] {
        let to = dir.path().join(name);
        let done = exported(&bench, ada, &to, format).await;
        assert_eq!(done, Progress { done: 8, total: 8, ..Progress::default() }, "{name}");
        assert_eq!(to.is_file(), name.to_lowercase().ends_with("zip"), "{name}");
        let other = bench.mailbox(&name.to_lowercase().replace('.', "-"), None).await;
        assert_eq!(imported(&bench, other, &to).await.done, 8, "{name}");
        let mut is = seen(&bench, other).await;
        if format == Format::Mbox {
            // What is too long for a file's name is cut there.
            for (folder, ..) in is.iter_mut().filter(|(folder, ..)| folder.contains('~')) {
                *folder = was.iter().map(|(folder, ..)| folder).max().unwrap().clone();
            }
            is.sort();
        }
        assert_eq!(is, was, "{name}");
        let folders = folder::list(bench.ctx(), other).await.unwrap();
        for empty in ["Empty", "pillarbox-export"] {
            assert!(folders.iter().any(|folder| folder.path == empty), "{name}: {folders:?}");
        }
        assert_eq!(imported(&bench, other, &to).await.skipped, 8, "{name}");
    }
    bench.assert_exact().await;
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["maildir", "maildir.zip", "mboxes", "mboxes.ZIP"], "nothing is left of the making");
}

#[tokio::test]
async fn what_was_broken_off_goes_on_and_what_was_marked_since_is_marked() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("mail");
    exported(&bench, ada, &to, Format::Maildir).await;
    // As if it had been stopped, and the power had failed.
    let cur = to.join("cur");
    let mut some = fs::read_dir(&cur).unwrap().map(|entry| entry.unwrap().path());
    fs::remove_file(some.next().unwrap()).unwrap();
    fs::write(some.next().unwrap(), "Su").unwrap();
    fs::write(to.join("tmp/half"), "Subj").unwrap();
    let ids: Vec<_> = bench.list(ada, State::Live).await.into_iter().map(|message| message.id).collect();
    let seen_now = message::FlagChange::replacing(marked(&[Flag::Seen], &["new"]));
    message::flag(&bench.store, bench.ctx(), ada, &ids, &seen_now).await.unwrap();
    let done = exported(&bench, ada, &to, Format::Maildir).await;
    assert_eq!(done, Progress { done: 2, skipped: 5, total: 7, ..Progress::default() });
    let bob = bench.mailbox("bob", None).await;
    assert_eq!(imported(&bench, bob, &to).await.done, 7);
    assert_eq!(seen(&bench, bob).await, seen(&bench, ada).await);
}

#[tokio::test]
async fn what_is_not_in_the_mailbox_any_more_goes_and_no_other_s_export_is_touched() {
    let bench = Bench::new().await;
    let (ada, bob) = (filled(&bench).await, bench.mailbox("bob", None).await);
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("mail");
    exported(&bench, ada, &to, Format::Maildir).await;
    let messages = bench.list(ada, State::Live).await;
    let inbox = messages[0].folder_id;
    let (moved, gone) =
        (messages.iter().find(|message| message.folder_id != inbox).unwrap().id, messages[0].id);
    message::relocate(&bench.store, bench.ctx(), ada, &[moved], inbox).await.unwrap();
    message::discard(&bench.store, bench.ctx(), ada, gone).await.unwrap();
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    let empty = folders.iter().find(|folder| folder.name == "Empty").unwrap().id;
    folder::delete(&bench.store, bench.ctx(), ada, empty).await.unwrap();
    let done = exported(&bench, ada, &to, Format::Maildir).await;
    assert_eq!((done.done, done.skipped, done.total), (1, 5, 6));
    assert!(!to.join(".Empty").exists());
    let carol = bench.mailbox("carol", None).await;
    assert_eq!(imported(&bench, carol, &to).await.done, 6);
    assert_eq!(seen(&bench, carol).await, seen(&bench, ada).await);

    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), "x").unwrap();
    let stopped = dir.path().join("bob.zip.part");
    fs::rename(&to, &stopped).unwrap();
    for (name, format) in
        [("other", Format::Maildir), ("bob.zip", Format::Mbox), ("bob.zip.part", Format::Maildir)]
    {
        let refused =
            export::run(&bench.store, bench.ctx(), bob, &dir.path().join(name), format, |_| {}).await;
        assert!(matches!(refused, Err(export::Failure::Occupied(_))), "{name}: {refused:?}");
    }
    assert!(
        other.join("mine").exists() && stopped.join("cur").exists() && !dir.path().join("bob.zip").exists()
    );
}

#[tokio::test]
async fn an_export_that_a_full_disk_ended_at_its_beginning_goes_on_and_takes_nothing_of_others() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    for (left, to, format) in [
        ("mail/.pillarbox-export", "mail", Format::Maildir),
        ("later/pillarbox-export.tmp", "later", Format::Maildir),
        ("ada.zip.part/.pillarbox-export", "ada.zip", Format::Maildir),
        ("mboxes/.pillarbox-export", "mboxes", Format::Mbox),
    ] {
        let left = dir.path().join(left);
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, "").unwrap();
        let done = exported(&bench, ada, &dir.path().join(to), format).await;
        assert_eq!((done.done, done.failed), (7, 0), "{to}");
    }
    assert!(!dir.path().join("later/pillarbox-export.tmp").exists());
    // What lies beside such a mark was not written by what broke off before it had one.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(".pillarbox-export"), "").unwrap();
    fs::write(other.join("mine"), "x").unwrap();
    let refused = export::run(&bench.store, bench.ctx(), ada, &other, Format::Maildir, |_| {}).await;
    assert!(matches!(refused, Err(export::Failure::Occupied(_))), "{refused:?}");
}

#[tokio::test]
async fn a_zip_or_a_folder_of_mboxes_gives_way_to_an_export_of_its_own_mailbox_alone() {
    let bench = Bench::new().await;
    let (ada, bob) = (filled(&bench).await, bench.mailbox("bob", None).await);
    put(&bench, bob, None, "Subject: bob's\r\n\r\n", Flags::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    exported(&bench, bob, &at("bob.zip"), Format::Maildir).await;
    exported(&bench, bob, &at("bob"), Format::Mbox).await;
    fs::write(at("mine.zip"), "PK mine").unwrap();
    fs::write(at("empty.zip"), "").unwrap();
    fs::create_dir(at("mine")).unwrap();
    fs::write(at("mine/Inbox.mbox"), "mine").unwrap();
    let kept = ["bob.zip", "bob/Inbox.mbox", "mine.zip", "empty.zip", "mine/Inbox.mbox"];
    let read = || kept.map(|name| fs::read(at(name)).unwrap());
    let before = read();
    for (name, format) in [
        ("bob.zip", Format::Maildir),
        ("bob.zip", Format::Mbox),
        ("bob", Format::Mbox),
        ("bob", Format::Maildir),
        ("mine.zip", Format::Maildir),
        ("empty.zip", Format::Maildir),
        ("mine", Format::Mbox),
    ] {
        let refused = export::run(&bench.store, bench.ctx(), ada, &at(name), format, |_| {}).await;
        assert!(matches!(refused, Err(export::Failure::Occupied(_))), "{name}: {refused:?}");
    }
    assert_eq!(read(), before);
    // As an earlier version made it, which did not say whose it is.
    fs::remove_file(at("bob/.pillarbox-export")).unwrap();
    let refused = export::run(&bench.store, bench.ctx(), bob, &at("bob"), Format::Mbox, |_| {}).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("or one that an earlier version made"), "{refused}");
    assert_eq!(read(), before);
    fs::rename(at("bob"), at("bob.old")).unwrap();
    exported(&bench, bob, &at("bob"), Format::Mbox).await;
    assert!(!at("bob.zip.part").exists(), "nothing was gathered for nothing");

    put(&bench, bob, None, "Subject: another\r\n\r\n", Flags::default()).await;
    for (name, format) in [("bob.zip", Format::Maildir), ("bob", Format::Mbox), ("bob.zip", Format::Mbox)] {
        assert_eq!(exported(&bench, bob, &at(name), format).await.done, 2, "{name}");
        let other = format!("of-{}-{format:?}", name.replace('.', "-")).to_lowercase();
        let other = bench.mailbox(&other, None).await;
        assert_eq!(imported(&bench, other, &at(name)).await.done, 2, "{name}");
    }
}

#[tokio::test]
async fn what_has_the_name_of_a_passing_file_of_an_export_is_neither_written_over_nor_followed() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let link = |name: &str| std::os::unix::fs::symlink(at("precious"), at(name)).unwrap();
    fs::write(at("precious"), "mine").unwrap();
    fs::write(at("one.zip.tmp"), "mine").unwrap();
    link("two.zip.tmp");
    for name in ["one.zip", "two.zip"] {
        assert_eq!(exported(&bench, ada, &at(name), Format::Maildir).await.done, 7, "{name}");
        assert!(fs::symlink_metadata(at(name)).unwrap().is_file(), "{name}");
    }
    assert_eq!(fs::read_to_string(at("one.zip.tmp")).unwrap(), "mine");
    assert!(fs::symlink_metadata(at("two.zip.tmp")).unwrap().is_symlink());

    for name in ["file", "linked", "nowhere"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("file/pillarbox-export.tmp"), "mine").unwrap();
    link("linked/pillarbox-export.tmp");
    std::os::unix::fs::symlink(at("new"), at("nowhere/pillarbox-export.tmp")).unwrap();
    for name in ["file", "linked", "nowhere"] {
        let refused = export::run(&bench.store, bench.ctx(), ada, &at(name), Format::Maildir, |_| {}).await;
        assert!(matches!(refused, Err(export::Failure::Occupied(_))), "{name}: {refused:?}");
    }
    assert_eq!(fs::read_to_string(at("file/pillarbox-export.tmp")).unwrap(), "mine");
    assert!(!at("new").exists());
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "mine");
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let expected =
        ["file", "linked", "nowhere", "one.zip", "one.zip.tmp", "precious", "two.zip", "two.zip.tmp"];
    assert_eq!(left, expected, "nothing is left of the making");
}

/// Deletes the message of the Inbox that is called plain, and the folder `Work & play: 50%/a.b` with what is in it.
async fn delete_some(bench: &Bench, ada: MailboxId) {
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    let deep = folders.iter().find(|folder| folder.name == "a.b").unwrap().id;
    folder::delete(&bench.store, bench.ctx(), ada, deep).await.unwrap();
    for message in bench.list(ada, State::Live).await {
        let raw = message::raw(&bench.store, bench.ctx(), ada, message.id, None).await.unwrap();
        if raw.bytes.starts_with(b"Subject: plain") {
            message::discard(&bench.store, bench.ctx(), ada, message.id).await.unwrap();
        }
    }
}

/// What was seen, as an export with what was deleted files it.
fn filed(was: Vec<Seen>, top: &str) -> Vec<Seen> {
    let mut filed: Vec<Seen> = was
        .into_iter()
        .map(|(folder, bytes, marks, date)| {
            let is_deleted = folder.ends_with("a.b") || bytes.starts_with(b"Subject: plain");
            (if is_deleted { format!("{top}/{folder}") } else { folder }, bytes, marks, date)
        })
        .collect();
    filed.sort();
    filed
}

const WITH_DELETED: How = How { format: Format::Maildir, with_deleted: true };

#[tokio::test]
async fn what_a_hold_keeps_of_a_deleted_mailbox_is_exported_and_what_none_keeps_is_not() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let was = seen(&bench, ada).await;
    delete_some(&bench, ada).await;
    let live = seen(&bench, ada).await;
    assert_eq!((was.len(), live.len()), (7, 4));
    let placed = hold::place(bench.ctx(), Some(ada), "Case 17".to_owned()).await.unwrap();
    let owner = tenancy::mailbox::get(bench.ctx(), ada).await.unwrap().user_id.unwrap();
    user::delete(bench.ctx(), owner, None).await.unwrap();
    // Long after all of it would have been destroyed.
    bench.world.test_db.clock().advance(TimeDelta::days(100));
    let db = bench.world.test_db.db();
    let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
    let destroy = async || {
        assert_eq!(sweep::run(&bench.store, &db).await.failed, 0);
        purge::run(&bench.store, &db, &auth, purge::Terms::default(), &purge::due_tenants(&db).await.unwrap())
            .await
            .unwrap()
            .mailboxes
    };
    assert_eq!(destroy().await, 0);

    let dir = tempfile::tempdir().unwrap();
    let run = async |name: &str, how: How| {
        export::run(&bench.store, bench.ctx(), ada, &dir.path().join(name), how, |_| {}).await
    };
    for (name, how, expected) in [
        ("all", WITH_DELETED, filed(was.clone(), "Deleted messages")),
        ("all.zip", WITH_DELETED, filed(was.clone(), "Deleted messages")),
        ("live", Format::Maildir.into(), live.clone()),
    ] {
        let count = expected.len() as u64;
        let done = run(name, how).await.unwrap();
        assert_eq!(done, Progress { done: count, total: count, ..Progress::default() }, "{name}");
        let other = bench.mailbox(&name.replace('.', "-"), None).await;
        imported(&bench, other, &dir.path().join(name)).await;
        assert_eq!(seen(&bench, other).await, expected, "{name}");
    }
    let again = run("all", WITH_DELETED).await.unwrap();
    assert_eq!(again, Progress { skipped: 7, total: 7, ..Progress::default() });
    // The one would take away what the other has written.
    for (name, how) in
        [("all", Format::Maildir.into()), ("all.zip", Format::Maildir.into()), ("live", WITH_DELETED)]
    {
        let refused = run(name, how).await;
        assert!(matches!(refused, Err(Failure::Occupied(_))), "{name}: {refused:?}");
    }
    let mboxes = run("mboxes", How { format: Format::Mbox, with_deleted: true }).await.unwrap();
    assert_eq!(mboxes.done, 7);
    assert!(dir.path().join("mboxes/Deleted messages/Inbox.mbox").exists());

    hold::release(bench.ctx(), placed.id).await.unwrap();
    let refused = run("late", WITH_DELETED).await;
    assert!(matches!(refused, Err(Failure::Refused(Error::NotFound))), "{refused:?}");
    assert!(!dir.path().join("late").exists());
    assert_eq!(destroy().await, 1);
    bench.assert_exact().await;
}

#[tokio::test]
async fn nothing_is_taken_from_an_export_whose_mailbox_is_destroyed_meanwhile() {
    let bench = Bench::new().await;
    let user = bench.user("ada", None).await;
    let ada = user.mailbox_id;
    let work = make(&bench, ada, "Work", None).await;
    put(&bench, ada, Some(work), "Subject: kept\r\n\r\n", Flags::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("mail");
    assert_eq!(exported(&bench, ada, &to, Format::Maildir).await.done, 1);
    put(&bench, ada, None, "Subject: new\r\n\r\n", Flags::default()).await;
    let db = bench.world.test_db.db();
    // It has to ask the bucket for the new one, which is in the Inbox, before it comes to the folder.
    let fresh = MailStore::new(db.clone(), bench.blobs.clone(), testkit::kek::encryption());
    let hold = bench.blobs.hold_look(0);
    let exporting = export::run(&fresh, bench.ctx(), ada, &to, Format::Maildir, |_| {});
    let (done, ()) = tokio::join!(exporting, async {
        bench.blobs.wait_until_looking().await;
        user::delete(bench.ctx(), user.id, None).await.unwrap();
        bench.world.test_db.clock().advance(TimeDelta::days(32));
        let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
        let due = purge::due_tenants(&db).await.unwrap();
        let purged = purge::run(&bench.store, &db, &auth, purge::Terms::default(), &due).await.unwrap();
        assert_eq!(purged.mailboxes, 1);
        hold.add_permits(1);
    });
    assert!(matches!(done, Err(Failure::Refused(Error::NotFound))), "{done:?}");
    assert_eq!(fs::read_dir(to.join(".Work/cur")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_mailbox_that_was_deleted_with_nothing_in_it_is_an_empty_export() {
    let bench = Bench::new().await;
    let ada = bench.user("ada", None).await;
    hold::place(bench.ctx(), None, "Case 17".to_owned()).await.unwrap();
    user::delete(bench.ctx(), ada.id, None).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [("maildir", Format::Maildir), ("mail.zip", Format::Mbox)] {
        let how = How { format, with_deleted: true };
        let to = dir.path().join(name);
        let done = export::run(&bench.store, bench.ctx(), ada.mailbox_id, &to, how, |_| {}).await.unwrap();
        assert_eq!(done, Progress::default(), "{name}");
        assert!(to.exists(), "{name}");
    }
}

#[tokio::test]
async fn what_was_deleted_from_a_mailbox_that_is_there_is_exported_if_that_is_asked_for() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let was = seen(&bench, ada).await;
    // Where what was deleted would lie.
    make(&bench, ada, "Deleted messages", None).await;
    // Two that had the same name.
    for text in ["Subject: one\r\n\r\n", "Subject: two\r\n\r\n\r\n"] {
        let twice = make(&bench, ada, "Twice", None).await;
        put(&bench, ada, Some(twice), text, Flags::default()).await;
        folder::delete(&bench.store, bench.ctx(), ada, twice).await.unwrap();
    }
    delete_some(&bench, ada).await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("mail");
    let run = async || export::run(&bench.store, bench.ctx(), ada, &to, WITH_DELETED, |_| {}).await.unwrap();
    assert_eq!(run().await, Progress { done: 9, total: 9, ..Progress::default() });
    assert_eq!(run().await, Progress { skipped: 9, total: 9, ..Progress::default() });
    let bob = bench.mailbox("bob", None).await;
    imported(&bench, bob, &to).await;
    let (twice, rest): (Vec<_>, Vec<_>) =
        seen(&bench, bob).await.into_iter().partition(|(folder, ..)| folder.ends_with("/Twice"));
    assert_eq!(rest, filed(was, "Deleted messages 2"));
    let texts: Vec<_> = twice.iter().map(|(_, bytes, ..)| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(texts, ["Subject: one\r\n\r\n", "Subject: two\r\n\r\n\r\n"]);
    // What was brought back is not among the deleted any more.
    let back = bench.list(ada, State::Recoverable).await[0].id;
    message::recover(&bench.store, bench.ctx(), ada, back).await.unwrap();
    let after = run().await;
    assert_eq!((after.done, after.skipped, after.total), (1, 8, 9));
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_the_rest_is_there() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let before = bench.blobs.packs().await;
    put(&bench, ada, None, "Subject: away\r\n\r\n", Flags::default()).await;
    let key = bench.blobs.packs().await.into_iter().find(|key| !before.contains(key)).unwrap();
    blob::BlobStore::delete(bench.blobs.as_ref(), &key).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let done = exported(&bench, ada, &dir.path().join("mail"), Format::Maildir).await;
    assert_eq!(done, Progress { done: 7, failed: 1, total: 8, ..Progress::default() });
}

#[tokio::test]
async fn a_message_that_is_in_two_folders_is_taken_into_both_whenever() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let dir = tempfile::tempdir().unwrap();
    let mbox = "From x Thu Nov 20 14:03:07 2025\nSubject: one\n\n";
    for (name, path) in
        [("first", "INBOX.mbox"), ("second", "INBOX/Archive.mbox"), ("third", "Inbox/Archive.mbox")]
    {
        let path = dir.path().join(name).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, mbox).unwrap();
    }
    let took = async |name: &str| imported(&bench, ada, &dir.path().join(name)).await.done;
    assert_eq!((took("first").await, took("second").await, took("third").await), (1, 1, 0));
    let folders: Vec<_> = seen(&bench, ada).await.into_iter().map(|(folder, ..)| folder).collect();
    assert_eq!(folders, ["Inbox", "Inbox/Archive"]);
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_a_zip_that_is_none_is_told() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let failed =
        export::run(&bench.store, bench.ctx(), ada, &file.join("mail"), Format::Maildir, |_| {}).await;
    assert!(failed.unwrap_err().to_string().contains("file/mail"));
    let zip = dir.path().join("no.zip");
    fs::write(&zip, "PK nonsense").unwrap();
    let mut failures = Vec::new();
    let tell = |event: Event<'_>| {
        if let Event::Failed { origin, reason } = event {
            failures.push(format!("{origin}: {reason}"));
        }
    };
    import::run(&bench.store, bench.ctx(), ada, Filing::AsFound, vec![zip], tell).await.unwrap();
    assert!(failures.len() == 1 && failures[0].contains("no.zip"), "{failures:?}");
}

#[tokio::test]
async fn folders_of_others_elsewhere_come_beside_where_those_of_others_are_here() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let dir = tempfile::tempdir().unwrap();
    for folder in [".", ".Other Users.bob"] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(dir.path().join(folder).join(part)).unwrap();
        }
    }
    fs::write(dir.path().join(".Other Users.bob/cur/1:2,S"), "Subject: x\n\ny\n").unwrap();
    assert_eq!(imported(&bench, ada, dir.path()).await.done, 1);
    let folders = mailstore::folder::list(bench.ctx(), ada).await.unwrap();
    let paths: Vec<_> = folders.iter().map(|folder| folder.path.as_str()).collect();
    assert!(paths.contains(&"Other Users (imported)/bob"), "{paths:?}");
    assert_eq!(imported(&bench, ada, dir.path()).await.skipped, 1);
}
