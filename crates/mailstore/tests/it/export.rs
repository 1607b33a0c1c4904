//! What is exported and imported again is the same mail, in the same folders, marked the same way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use kernel::{FolderId, MailboxId};
use mailstore::export::{self, Format, Progress};
use mailstore::folder::{self, NewFolder};
use mailstore::import::{self, Event, Filing};
use mailstore::ingest::{Incoming, Target, ingest};
use mailstore::message::{self, Flag, Flags, State};

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
    let target = Target { ctx: bench.ctx().clone(), mailbox_id, folder };
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
    let from = "From: a\r\n\r\nFrom me\r\n>From you\r\n>>From them\r\n.\r\n";
    put(bench, ada, None, "Subject: plain\r\n\r\nx\r\n", Flags::default()).await;
    put(bench, ada, None, from, marked(&[Flag::Seen, Flag::Answered], &["$Forwarded"])).await;
    put(bench, ada, None, "Subject: no body\r\n", marked(&[Flag::Draft, Flag::Flagged], &[])).await;
    put(bench, ada, Some(work), "Status: RO\r\nSubject: own\r\n\r\n", marked(&[], &["$Work", "later"])).await;
    put(bench, ada, Some(deep), "Subject: deep\r\n\r\n\r\n\r\n", marked(&Flag::ALL, &["later"])).await;
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
    let was = seen(&bench, ada).await;
    let folders: BTreeSet<_> = was.iter().map(|(folder, ..)| folder.as_str()).collect();
    assert_eq!(folders, ["Inbox", "Work & play: 50%", "Work & play: 50%/a.b"].into());
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [
        ("maildir", Format::Maildir),
        ("maildir.zip", Format::Maildir),
        ("mboxes", Format::Mbox),
        ("mboxes.ZIP", Format::Mbox),
    ] {
        let to = dir.path().join(name);
        let done = exported(&bench, ada, &to, format).await;
        assert_eq!(done, Progress { done: 6, skipped: 0, total: 6 }, "{name}");
        assert_eq!(to.is_file(), name.to_lowercase().ends_with("zip"), "{name}");
        let other = bench.mailbox(&name.to_lowercase().replace('.', "-"), None).await;
        assert_eq!(imported(&bench, other, &to).await.done, 6, "{name}");
        assert_eq!(seen(&bench, other).await, was, "{name}");
        assert_eq!(imported(&bench, other, &to).await.skipped, 6, "{name}");
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
    // As if it had been stopped.
    let cur = to.join("cur");
    let some = fs::read_dir(&cur).unwrap().next().unwrap().unwrap();
    fs::remove_file(some.path()).unwrap();
    fs::write(to.join("tmp/half"), "Subj").unwrap();
    let ids: Vec<_> = bench.list(ada, State::Live).await.into_iter().map(|message| message.id).collect();
    let seen_now = message::FlagChange::replacing(marked(&[Flag::Seen], &["new"]));
    message::flag(&bench.store, bench.ctx(), ada, &ids, &seen_now).await.unwrap();
    let done = exported(&bench, ada, &to, Format::Maildir).await;
    assert_eq!(done, Progress { done: 1, skipped: 5, total: 6 });
    let bob = bench.mailbox("bob", None).await;
    assert_eq!(imported(&bench, bob, &to).await.done, 6);
    assert_eq!(seen(&bench, bob).await, seen(&bench, ada).await);
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
