//! How messages are numbered comes along: a client that has a copy need not fetch it again.

use std::collections::BTreeMap;
use std::fs;

use chrono::TimeDelta;
use kernel::MailboxId;
use mailstore::export::{self, Format};
use mailstore::folder;
use mailstore::message::{self, Flag, Flags, State};

use super::{exported, imported, make, marked, put, seen};
use crate::support::Bench;

/// The folders that have messages, with their UID validity and next UID, and the messages with their UIDs and names by POP3.
type Numbered = BTreeMap<String, (u32, u64, Vec<Name>)>;
type Name = (u64, String);

async fn numbered(bench: &Bench, mailbox_id: MailboxId) -> Numbered {
    let mut all = Numbered::new();
    let folders = folder::list(bench.ctx(), mailbox_id).await.unwrap();
    for message in bench.list(mailbox_id, State::Live).await {
        let folder = folders.iter().find(|folder| folder.id == message.folder_id).unwrap();
        let (.., messages) =
            all.entry(folder.path.clone()).or_insert((folder.uid_validity, folder.uid_next, Vec::new()));
        messages.push((message.uid, message.uidl));
        messages.sort();
    }
    all
}

/// What clients know messages by.
fn known(all: &Numbered) -> Vec<(&str, u32, &[Name])> {
    let known = all.iter().map(|(path, (validity, _, messages))| (path.as_str(), *validity, &messages[..]));
    known.collect()
}

/// An Inbox and a folder with holes at the beginning, within and, in the Inbox, at the end.
async fn with_holes(bench: &Bench) -> MailboxId {
    let ada = bench.mailbox("ada", None).await;
    let work = make(bench, ada, "Work", None).await;
    make(bench, ada, "Empty", None).await;
    for (folder, count) in [(None, 5), (Some(work), 4)] {
        for number in 0..count {
            // The later one comes, the earlier it was received: files in the order of dates are in no order of UIDs.
            let text = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(20 - number));
            let flags = if number == 1 { marked(&[Flag::Seen], &["later"]) } else { Flags::default() };
            put(bench, ada, folder, &text, flags).await;
        }
    }
    for message in bench.list(ada, State::Live).await {
        if [1, 3, 5].contains(&message.uid) {
            message::discard(&bench.store, bench.ctx(), ada, message.id).await.unwrap();
        }
    }
    ada
}

#[tokio::test]
async fn what_comes_back_in_any_form_is_numbered_as_it_was() {
    let bench = Bench::new().await;
    let ada = with_holes(&bench).await;
    let was = numbered(&bench, ada).await;
    let uids = |folder: &str| was[folder].2.iter().map(|(uid, _)| *uid).collect::<Vec<_>>();
    assert_eq!((uids("Inbox"), was["Inbox"].1, uids("Work"), was["Work"].1), (vec![2, 4], 6, vec![2, 4], 5));
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [
        ("maildir", Format::Maildir),
        ("maildir.zip", Format::Maildir),
        ("mboxes", Format::Mbox),
        ("mboxes.zip", Format::Mbox),
    ] {
        // Folders of a mailbox that is made in the same second would have the same validities.
        bench.world.test_db.clock().advance(TimeDelta::days(1));
        let to = dir.path().join(name);
        exported(&bench, ada, &to, format).await;
        let other = bench.mailbox(&name.replace('.', "-"), None).await;
        assert_eq!(imported(&bench, other, &to).await.done, 4, "{name}");
        assert_eq!(known(&numbered(&bench, other).await), known(&was), "{name}");
        assert_eq!(seen(&bench, other).await, seen(&bench, ada).await, "{name}");
        assert_eq!(imported(&bench, other, &to).await.skipped, 4, "{name}");
        assert_eq!(known(&numbered(&bench, other).await), known(&was), "{name}");
        // Those that are kept are no more to be given out elsewhere.
        let again = dir.path().join(format!("again-{}", name.replace('.', "-")));
        exported(&bench, other, &again, Format::Maildir).await;
        let list = fs::read_to_string(again.join("dovecot-uidlist")).unwrap();
        assert!(list.starts_with(&format!("3 V{} N1000006 G", was["Inbox"].0)), "{list}");

        put(&bench, other, None, "Subject: new\r\n\r\n", Flags::default()).await;
        let new = numbered(&bench, other).await["Inbox"].2.last().unwrap().0;
        assert_eq!(new, 1_000_006, "{name}");
        let made = make(&bench, other, "Made", None).await;
        let folders = folder::list(bench.ctx(), other).await.unwrap();
        let (made, rest): (Vec<_>, Vec<_>) = folders.into_iter().partition(|folder| folder.id == made);
        assert!(rest.iter().all(|folder| folder.uid_validity < made[0].uid_validity), "{name}");
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn the_list_of_uids_is_that_of_the_last_run() {
    let bench = Bench::new().await;
    let ada = with_holes(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("mail");
    exported(&bench, ada, &to, Format::Maildir).await;
    let read = |folder: &str| fs::read_to_string(to.join(folder).join("dovecot-uidlist")).unwrap();
    let (inbox, work) = (read("."), read(".Work"));
    let validity = numbered(&bench, ada).await["Inbox"].0;
    let mut lines = inbox.lines();
    let header = lines.next().unwrap();
    assert!(header.starts_with(&format!("3 V{validity} N6 G")) && header.len() > 40, "{header}");
    for (line, message) in lines.zip(["2 P", "4 P"]) {
        let (fields, file) = line.split_once(" :").unwrap();
        assert!(fields.starts_with(message) && file.ends_with(".pillarbox"), "{line}");
    }
    assert_eq!(inbox.lines().count(), 3);
    assert_eq!(read(".Empty").lines().count(), 1);

    put(&bench, ada, None, "Subject: new\r\n\r\n", Flags::default()).await;
    exported(&bench, ada, &to, Format::Maildir).await;
    let again = read(".");
    assert!(again.starts_with(&format!("3 V{validity} N7 G")) && again.contains("\n6 P"), "{again}");
    assert_eq!((again.lines().count(), read(".Work")), (4, work));
}

#[tokio::test]
async fn while_an_export_is_written_there_is_no_list_that_lacks_some_of_it() {
    let bench = Bench::new().await;
    let ada = with_holes(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("mail");
    exported(&bench, ada, &to, Format::Maildir).await;
    put(&bench, ada, None, "Subject: new\r\n\r\n", Flags::default()).await;
    let (list, mut is_there) = (to.join("dovecot-uidlist"), Vec::new());
    let tell = |_| is_there.push(list.exists());
    export::run(&bench.store, bench.ctx(), ada, &to, Format::Maildir, tell).await.unwrap();
    assert_eq!(is_there.first(), Some(&false));
    assert!(list.exists() && fs::read_dir(to.join("tmp")).unwrap().next().is_none());
}
