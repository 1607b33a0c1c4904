//! The place that an export is written to: who may read it, and what is left there.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mailstore::MailStore;
use mailstore::export::{self, Failure, Format, How};
use mailstore::folder::{self, Changed};
use mailstore::message::Flags;

use super::{WITH_DELETED, exported, filled, imported, make, put, seen};
use crate::support::Bench;

/// All that is below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.push((path.clone(), fs::metadata(&path).unwrap().permissions().mode() & 0o777));
        if path.is_dir() {
            all.extend(modes(&path));
        }
    }
    all.sort();
    all
}

#[track_caller]
fn assert_closed(folder: &Path) {
    for (path, mode) in modes(folder) {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[tokio::test]
async fn nobody_but_its_owner_reads_what_is_exported() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, format) in [
        ("maildir", Format::Maildir),
        ("mboxes", Format::Mbox),
        ("maildir.zip", Format::Maildir),
        ("mboxes.zip", Format::Mbox),
    ] {
        exported(&bench, ada, &at(name), format).await;
    }
    assert!(modes(dir.path()).len() > 30, "{:?}", modes(dir.path()));
    assert_closed(dir.path());
    for name in ["maildir.zip", "mboxes.zip"] {
        let mut zip = zip::ZipArchive::new(File::open(at(name)).unwrap()).unwrap();
        for entry in 0..zip.len() {
            let entry = zip.by_index(entry).unwrap();
            let expected = if entry.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(entry.unix_mode().map(|mode| mode & 0o777), Some(expected), "{name}");
        }
    }
    // As an earlier version has left them.
    for (path, _) in modes(dir.path()) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    fs::remove_file(at("maildir/cur").read_dir().unwrap().next().unwrap().unwrap().path()).unwrap();
    for (name, format) in
        [("maildir", Format::Maildir), ("mboxes", Format::Mbox), ("mboxes.zip", Format::Mbox)]
    {
        exported(&bench, ada, &at(name), format).await;
    }
    for (path, mode) in modes(dir.path()) {
        let name = path.strip_prefix(dir.path()).unwrap();
        let is_mail = ["cur", ".mbox", "mboxes.zip"].iter().any(|part| name.to_string_lossy().contains(part));
        assert!(!is_mail || mode & 0o077 == 0, "{}: {mode:o}", name.display());
    }
    // What somebody has made is theirs to open.
    assert_eq!(fs::metadata(at("maildir")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn the_mboxes_of_folders_that_are_gone_go_and_nothing_else_does() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let (gone, renamed) = (make(&bench, ada, "Gone", None).await, make(&bench, ada, "Old", None).await);
    let below = make(&bench, ada, "Below", Some(renamed)).await;
    for (number, id) in [gone, renamed, below].into_iter().enumerate() {
        put(&bench, ada, Some(id), &format!("Subject: {number}\r\n\r\n"), Flags::default()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (to, other) = (dir.path().join("mail"), dir.path().join("other"));
    exported(&bench, ada, &to, Format::Mbox).await;
    assert!(to.join("Gone.mbox").exists() && to.join("Old/Below.mbox").exists());
    // What was broken off, and what is somebody's.
    fs::write(to.join("Gone.mbox.part"), "From ").unwrap();
    fs::create_dir(to.join("Mine")).unwrap();
    fs::write(to.join("Mine/notes"), "mine").unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(other.join("theirs.mbox"), "theirs").unwrap();
    std::os::unix::fs::symlink(&other, to.join("linked")).unwrap();
    folder::delete(&bench.store, bench.ctx(), ada, gone).await.unwrap();
    let name = Changed { name: Some("New".to_owned()), ..Changed::default() };
    folder::update(&bench.store, bench.ctx(), ada, renamed, name).await.unwrap();

    exported(&bench, ada, &to, Format::Mbox).await;
    for name in ["Gone.mbox", "Gone.mbox.part", "Old.mbox", "Old"] {
        assert!(!to.join(name).exists(), "{name}");
    }
    for name in ["New.mbox", "New/Below.mbox", "Mine/notes", "linked/theirs.mbox", ".pillarbox-export"] {
        assert!(to.join(name).exists(), "{name}");
    }
    for name in ["Mine", "linked"] {
        fs::rename(to.join(name), dir.path().join(format!("not-{name}"))).unwrap();
    }
    let bob = bench.mailbox("bob", None).await;
    imported(&bench, bob, &to).await;
    let (mut is, was) = (seen(&bench, bob).await, seen(&bench, ada).await);
    // What is too long for a file's name is cut there.
    for (folder, ..) in is.iter_mut().filter(|(folder, ..)| folder.contains('~')) {
        *folder = was.iter().map(|(folder, ..)| folder).max().unwrap().clone();
    }
    is.sort();
    assert_eq!(is, was);
}

#[tokio::test]
async fn an_export_of_another_kind_is_called_by_what_it_is() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    exported(&bench, ada, &at("maildir"), Format::Maildir).await;
    exported(&bench, ada, &at("mboxes"), Format::Mbox).await;
    exported(&bench, ada, &at("ada.zip"), Format::Maildir).await;
    let live = |mailbox, form| format!("an export of {mailbox} as {form}, of live mail alone");
    let all = |mailbox, form| format!("an export of {mailbox} as {form}, with what was deleted");
    let mbox: How = Format::Mbox.into();
    for (mailbox_id, name, how, holds, wanted) in [
        (ada, "maildir", mbox, live(ada, "a Maildir"), live(ada, "mboxes")),
        (bob, "mboxes", mbox, live(ada, "mboxes"), live(bob, "mboxes")),
        (ada, "mboxes", WITH_DELETED, live(ada, "mboxes"), all(ada, "a Maildir")),
        (ada, "ada.zip", WITH_DELETED, live(ada, "a zip"), all(ada, "a zip")),
    ] {
        let refused = export::run(&bench.store, bench.ctx(), mailbox_id, &at(name), how, |_| {}).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Failure::Occupied(_)), "{name}: {refused:?}");
        let says = format!("{name}: it holds {holds}, not {wanted}, and is left as it is");
        assert!(refused.to_string().ends_with(&says), "{refused}");
    }
}

#[tokio::test]
async fn a_look_tells_what_is_in_the_way_and_makes_nothing() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    exported(&bench, bob, &at("bob"), Format::Maildir).await;
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("mine")).unwrap();
    fs::write(at("mine/notes"), "x").unwrap();
    let count = || fs::read_dir(dir.path()).unwrap().count();
    for format in [Format::Maildir, Format::Mbox] {
        for (name, says) in [
            ("bob", "it holds an export of"),
            ("mine", "it holds something other"),
            ("file", "it is a file, and this export is a folder"),
            ("mistyped/ada", "is not there: make it first"),
        ] {
            let refused = export::look(ada, &at(name), format).await.unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
            let refused = export::run(&bench.store, bench.ctx(), ada, &at(name), format, |_| {}).await;
            assert!(refused.unwrap_err().to_string().contains(says));
        }
        export::look(ada, &at("new"), format).await.unwrap();
        assert_eq!(count(), 3);
    }
    export::look(bob, &at("bob"), Format::Maildir).await.unwrap();
}

#[tokio::test]
async fn no_folder_is_made_for_an_export_to_lie_in() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [("maildir", Format::Maildir), ("mboxes", Format::Mbox), ("a.zip", Format::Maildir)]
    {
        let to = dir.path().join("mistyped").join(name);
        let refused = export::run(&bench.store, bench.ctx(), ada, &to, format, |_| {}).await.unwrap_err();
        assert!(matches!(refused, Failure::Nowhere(_)), "{name}: {refused:?}");
        assert!(refused.to_string().contains("is not there: make it first"), "{refused}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn of_two_exports_to_one_place_at_once_the_second_is_told_so_and_the_first_is_whole() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    for (name, format, other) in [
        ("maildir", Format::Maildir, Format::Maildir),
        ("mboxes", Format::Mbox, Format::Mbox),
        ("ada.zip", Format::Maildir, Format::Mbox),
        ("either", Format::Mbox, Format::Maildir),
    ] {
        let to = dir.path().join(name);
        // One that has to ask the bucket for what it writes.
        let db = bench.world.test_db.db();
        let fresh = MailStore::new(db, bench.blobs.clone(), testkit::kek::encryption());
        let hold = bench.blobs.hold_look(0);
        let first = export::run(&fresh, bench.ctx(), ada, &to, format, |_| {});
        let (first, second) = tokio::join!(first, async {
            bench.blobs.wait_until_looking().await;
            let second = export::run(&bench.store, bench.ctx(), ada, &to, other, |_| {}).await;
            hold.add_permits(1);
            second
        });
        assert!(matches!(second, Err(Failure::Busy(_))), "{name}: {second:?}");
        assert_eq!(first.unwrap().done, 7, "{name}");
        // It has ended.
        exported(&bench, ada, &to, format).await;
    }
}

#[tokio::test]
async fn what_is_left_of_an_export_without_its_mark_is_named_for_what_it_is() {
    let bench = Bench::new().await;
    let ada = filled(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, format) in [("mail", Format::Mbox), ("ada.zip", Format::Maildir)] {
        let left = at(&format!("{name}.part"));
        exported(&bench, ada, &left, Format::Maildir).await;
        fs::remove_file(left.join(".pillarbox-export")).unwrap();
        let refused = async || {
            export::run(&bench.store, bench.ctx(), ada, &at(name), format, |_| {}).await.unwrap_err()
        };
        let refused_for = refused().await;
        assert!(matches!(refused_for, Failure::Left(_)), "{name}: {refused_for:?}");
        let says = refused_for.to_string();
        assert!(says.starts_with(&left.display().to_string()) && says.contains("remove it"), "{says}");
        // What is not known is not to be removed.
        for mine in ["cur/mine", ".Empty/mine", "mine"] {
            fs::write(left.join(mine), "x").unwrap();
            let refused_for = refused().await;
            assert!(matches!(refused_for, Failure::Occupied(_)), "{name}: {refused_for:?}");
            fs::remove_file(left.join(mine)).unwrap();
        }
        fs::remove_dir_all(&left).unwrap();
        assert_eq!(exported(&bench, ada, &at(name), format).await.done, 7, "{name}");
        assert!(!left.exists(), "{name}");
    }
}
