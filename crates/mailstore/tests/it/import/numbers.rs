//! UIDs, UID validities and names by POP3 that messages had elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use kernel::MailboxId;
use mailstore::change::{self, Kind, UidSet};
use mailstore::folder::{self, Changed, NewFolder};
use mailstore::import::{self, Event, Failure, Filing, Progress, Untaken};
use mailstore::message::{self, State};

use crate::support::{Bench, inbox};

/// By folder: its UID validity, its next UID, and its messages by UID: what each is called, and its name by POP3 if it is none of ours.
type Numbered = BTreeMap<String, (u32, u64, Vec<(u64, String, String)>)>;

/// Without the folders that have no messages.
async fn numbered(bench: &Bench, mailbox_id: MailboxId) -> Numbered {
    let mut all = Numbered::new();
    let folders = folder::list(bench.ctx(), mailbox_id).await.unwrap();
    for message in bench.list(mailbox_id, State::Live).await {
        let raw = message::raw(&bench.store, bench.ctx(), mailbox_id, message.id, None).await.unwrap();
        let text = String::from_utf8(raw.bytes.to_vec()).unwrap();
        let (_, name) = text.lines().find_map(|line| line.split_once("Subject: ")).unwrap();
        let folder = folders.iter().find(|folder| folder.id == message.folder_id).unwrap();
        let is_own = message.uidl == message.id.uuid().simple().to_string();
        let uidl = if is_own { String::new() } else { message.uidl };
        let (.., messages) =
            all.entry(folder.path.clone()).or_insert((folder.uid_validity, folder.uid_next, Vec::new()));
        messages.push((message.uid, name.to_owned(), uidl));
        messages.sort();
    }
    all
}

fn listed(messages: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    messages.iter().map(|(uid, name, uidl)| (*uid, (*name).to_owned(), (*uidl).to_owned())).collect()
}

async fn run(bench: &Bench, mailbox: MailboxId, path: &Path) -> (Progress, Vec<(String, Untaken)>) {
    let (progress, untaken, _) = told(bench, mailbox, path).await;
    (progress, untaken)
}

/// Also of which folders, how many messages came too late for their UIDs.
async fn told(
    bench: &Bench,
    mailbox: MailboxId,
    path: &Path,
) -> (Progress, Vec<(String, Untaken)>, Vec<(String, u64)>) {
    let (mut untaken, mut late) = (Vec::new(), Vec::new());
    let tell = |event: Event<'_>| match event {
        Event::Failed { origin, reason } => panic!("{origin}: {reason}"),
        Event::Renumbered { folder, reason } => untaken.push((folder.to_owned(), reason)),
        Event::Late { folder, count } => late.push((folder.to_owned(), count)),
        _ => {}
    };
    let paths = vec![path.to_owned()];
    let progress = import::run(&bench.store, bench.ctx(), mailbox, Filing::AsFound, paths, tell).await;
    (progress.unwrap(), untaken, late)
}

/// A folder of a Maildir with these files in `cur`, each a message that is called so, and with a list.
fn maildir(at: &Path, files: &[&str], list: &str) {
    for part in ["cur", "new"] {
        fs::create_dir_all(at.join(part)).unwrap();
    }
    for file in files {
        let name = file.split(':').next().unwrap();
        fs::write(at.join("cur").join(file), format!("Subject: {name}\n\n")).unwrap();
    }
    fs::write(at.join("dovecot-uidlist"), list).unwrap();
}

const VALIDITY: u32 = 1_275_660_208;

#[tokio::test]
async fn a_list_of_dovecots_is_taken_over_with_its_holes_and_its_names_of_pop3() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let before = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    let root = tempfile::tempdir().unwrap();
    let list = format!(
        "3 V{VALIDITY} N60 G3085f01b7f11094c501100008c4a11c1\n50 W5 :c\n7 Ppop:7 W5 :b\n9 :e:2,F\n12 :gone\n0 :a\n"
    );
    maildir(root.path(), &["a", "b:2,S", "c:2,", "d"], &list);
    fs::write(root.path().join("new/e"), "Subject: e\n\n").unwrap();
    let list = format!("3 V{} N5 G3085f01b7f11094c501100008c4a11c2\n4 :x\n3 Ppop:3 :y\n", VALIDITY + 1);
    maildir(&root.path().join(".Work"), &["x:2,S", "y:2,"], &list);
    let (progress, untaken, late) = told(&bench, ada, root.path()).await;
    assert_eq!((progress.done, untaken, late), (7, vec![], vec![]));
    let is = numbered(&bench, ada).await;
    let messages = [
        (7, "b", "pop:7"),
        (9, "e", "000000094c0907b0"),
        (50, "c", "000000324c0907b0"),
        // Beyond what the other server may give out yet.
        (1_000_060, "a", ""),
        (1_000_061, "d", ""),
    ];
    assert_eq!(is["Inbox"], (VALIDITY, 1_000_062, listed(&messages)));
    // POP3 does not show it.
    assert_eq!(is["Work"], (VALIDITY + 1, 5, listed(&[(3, "y", "pop:3"), (4, "x", "")])));

    // Whoever knows the folder from elsewhere is told what is not here, and of all that is.
    let inbox = inbox(&bench, ada).await.id;
    let changes = change::since(bench.ctx(), ada, Some(before)).await.unwrap();
    let (changes, reached) = (changes.changes, changes.modseq);
    let of = |kind| changes.iter().filter(move |change| change.folder_id == inbox && change.kind == kind);
    let gone: Vec<_> = of(Kind::Gone).flat_map(|change| change.uids.ranges().to_vec()).collect();
    assert_eq!(gone, [1..=6, 8..=8, 10..=49, 51..=1_000_059]);
    let arrived: UidSet = of(Kind::Arrived).flat_map(|change| change.uids.iter()).collect();
    assert_eq!(arrived.iter().collect::<Vec<_>>(), [7, 9, 50, 1_000_060, 1_000_061]);
    assert_eq!(of(Kind::Folder).count(), 1);
    let micros = bench.ctx().env().now().timestamp_micros().unsigned_abs();
    assert!(bench.list(ada, State::Live).await.iter().all(|message| message.modseq > micros));

    let (again, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!((again.skipped, untaken), (7, vec![]));
    assert_eq!(numbered(&bench, ada).await, is);
    let changes = change::since(bench.ctx(), ada, Some(reached)).await.unwrap().changes;
    assert!(changes.is_empty(), "what is gone is told once: {changes:?}");
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_folder_that_has_had_messages_keeps_its_validity_and_says_so_once() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let first = bench.stored(ada, b"Subject: here\r\n\r\n").await;
    message::discard(&bench.store, bench.ctx(), ada, first).await.unwrap();
    let validity = inbox(&bench, ada).await.uid_validity;
    let root = tempfile::tempdir().unwrap();
    maildir(root.path(), &["a", "b"], &format!("3 V{VALIDITY} N60\n8 Ppop:8 :a\n7 Ppop:7 :b\n"));
    let (progress, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.failed), (2, 0));
    assert_eq!(untaken, [("Inbox".to_owned(), Untaken::HadMessages)]);
    let is = numbered(&bench, ada).await;
    assert_eq!(is["Inbox"], (validity, 4, listed(&[(2, "b", "pop:7"), (3, "a", "pop:8")])));
    // Filed in one folder, messages of several lists come together.
    let bob = bench.mailbox("bob", None).await;
    let paths = vec![root.path().to_owned()];
    import::run(&bench.store, bench.ctx(), bob, Filing::InOne(None), paths, |_| {}).await.unwrap();
    let is = numbered(&bench, bob).await;
    assert!(is["Inbox"].0 != VALIDITY, "{is:?}");
    assert_eq!(is["Inbox"].2, listed(&[(1, "b", "pop:7"), (2, "a", "pop:8")]));
}

/// Runs an import until so many messages are taken, when the blob store fails.
async fn broken_off(bench: &Bench, mailbox: MailboxId, path: &Path, after: u64) {
    let tell = |event: Event<'_>| {
        if matches!(event, Event::Progress(progress) if progress.done == after) {
            bench.blobs.failing.store(true, Ordering::SeqCst);
        }
    };
    let paths = vec![path.to_owned()];
    import::run(&bench.store, bench.ctx(), mailbox, Filing::AsFound, paths, tell).await.unwrap_err();
    bench.blobs.failing.store(false, Ordering::SeqCst);
}

#[tokio::test]
async fn an_import_that_was_broken_off_goes_on_with_the_uids_of_the_rest() {
    let bench = Bench::new().await;
    let root = tempfile::tempdir().unwrap();
    maildir(root.path(), &["a", "b", "c"], &format!("3 V{VALIDITY} N60\n5 Pa :a\n7 Pb :b\n9 Pc :c\n"));
    let ada = bench.mailbox("ada", None).await;
    let before = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    broken_off(&bench, ada, root.path(), 1).await;
    assert_eq!(numbered(&bench, ada).await["Inbox"], (VALIDITY, 6, listed(&[(5, "a", "a")])));
    let (progress, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.skipped, untaken), (2, 1, vec![]));
    let whole = listed(&[(5, "a", "a"), (7, "b", "b"), (9, "c", "c")]);
    assert_eq!(numbered(&bench, ada).await["Inbox"], (VALIDITY, 10, whole));
    // The rest's run tells of those before it too, and of those that came last there.
    let changes = change::since(bench.ctx(), ada, Some(before)).await.unwrap().changes;
    let gone = changes.iter().filter(|change| change.kind == Kind::Gone);
    let gone: Vec<_> = gone.flat_map(|change| change.uids.ranges().to_vec()).collect();
    assert_eq!(gone, [1..=4, 6..=6, 8..=8, 10..=59]);

    // What arrives meanwhile gets no UID that a client may know another message by, and none comes below it then.
    let bob = bench.mailbox("bob", None).await;
    broken_off(&bench, bob, root.path(), 1).await;
    bench.stored(bob, b"Subject: live\r\n\r\n").await;
    let (.., late) = told(&bench, bob, root.path()).await;
    assert_eq!(late, [("Inbox".to_owned(), 2)]);
    let is = numbered(&bench, bob).await;
    let with_live = [(5, "a", "a"), (1_000_060, "live", ""), (1_000_061, "b", "b"), (1_000_062, "c", "c")];
    assert_eq!(is["Inbox"], (VALIDITY, 1_000_063, listed(&with_live)));

    // The same of what is moved there.
    let carol = bench.mailbox("carol", None).await;
    let new = NewFolder { parent_id: None, name: "Work".to_owned(), role: None, is_subscribed: true };
    let work = folder::create(&bench.store, bench.ctx(), carol, new).await.unwrap().id;
    broken_off(&bench, carol, root.path(), 1).await;
    let inbox = inbox(&bench, carol).await.id;
    let a = bench.list(carol, State::Live).await[0].id;
    message::relocate(&bench.store, bench.ctx(), carol, &[a], work).await.unwrap();
    message::relocate(&bench.store, bench.ctx(), carol, &[a], inbox).await.unwrap();
    assert_eq!(
        numbered(&bench, carol).await["Inbox"],
        (VALIDITY, 1_000_061, listed(&[(1_000_060, "a", "a")]))
    );
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_uid_is_not_told_as_gone_while_a_later_run_may_give_it_out() {
    let bench = Bench::new().await;
    // Two of 14 bytes have room.
    let ada = bench.mailbox("ada", Some(30)).await;
    let before = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    let root = tempfile::tempdir().unwrap();
    let list = format!("3 V{VALIDITY} N12\n3 :long\n5 :a\n7 :b\n9 :c\n");
    maildir(root.path(), &["a", "b", "c"], &list);
    fs::write(root.path().join("cur/long"), format!("Subject: long\n\n{}\n", "x".repeat(40))).unwrap();
    let gone = async || {
        let changes = change::since(bench.ctx(), ada, Some(before)).await.unwrap().changes;
        let gone = changes.iter().filter(|change| change.kind == Kind::Gone);
        let gone: UidSet = gone.flat_map(|change| change.uids.ranges().to_vec()).collect();
        gone.iter().take_while(|uid| *uid < 12).collect::<Vec<_>>()
    };
    let paths = vec![root.path().to_owned()];
    let progress = import::run(&bench.store, bench.ctx(), ada, Filing::AsFound, paths, |_| {}).await.unwrap();
    assert_eq!((progress.done, progress.failed), (2, 2));
    // The first that failed has been passed by.
    assert_eq!(gone().await, [1, 2, 3, 4, 6, 8, 10, 11]);
    tenancy::mailbox::set_quota(bench.ctx(), ada, None, Default::default()).await.unwrap();
    fs::remove_file(root.path().join("cur/long")).unwrap();
    let (progress, _, late) = told(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.skipped, late), (1, 2, vec![]));
    let is = numbered(&bench, ada).await["Inbox"].2.iter().map(|message| message.0).collect::<Vec<_>>();
    assert_eq!(is, [5, 7, 9]);
    assert_eq!(gone().await, [1, 2, 3, 4, 6, 8, 10, 11]);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_file_that_was_renamed_while_it_was_to_be_read_keeps_its_uid_for_a_later_run() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let before = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    let root = tempfile::tempdir().unwrap();
    let list = format!("3 V{VALIDITY} N12\n1 :a\n2 :b\n3 :c\n4 :d\n5 :e\n6 :f\n7 :g\n9 :h\n");
    maildir(root.path(), &["a", "b", "c", "d", "e", "f", "g", "h"], &list);
    let gone = async || {
        let changes = change::since(bench.ctx(), ada, Some(before)).await.unwrap().changes;
        let gone = changes.iter().filter(|change| change.kind == Kind::Gone);
        gone.flat_map(|change| change.uids.ranges().to_vec()).collect::<Vec<_>>()
    };
    // Somebody reads it there, before it is its turn: no more than a few are read ahead.
    let (old, new) = (root.path().join("cur/h"), root.path().join("cur/h:2,S"));
    let mut failed = Vec::new();
    let tell = |event: Event<'_>| match event {
        Event::Progress(progress) if progress.done == 1 => fs::rename(&old, &new).unwrap(),
        Event::Failed { origin, .. } => failed.push(origin.to_owned()),
        _ => {}
    };
    let paths = vec![root.path().to_owned()];
    let progress = import::run(&bench.store, bench.ctx(), ada, Filing::AsFound, paths, tell).await.unwrap();
    assert_eq!((progress.done, progress.failed), (7, 1));
    assert_eq!(failed, [old.display().to_string()]);
    assert_eq!(gone().await, [8..=8, 10..=11]);
    let (progress, _, late) = told(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.skipped, late), (1, 7, vec![]));
    let is = numbered(&bench, ada).await["Inbox"].2.iter().map(|message| message.0).collect::<Vec<_>>();
    assert_eq!(is, [1, 2, 3, 4, 5, 6, 7, 9]);
    assert_eq!(gone().await, [8..=8, 10..=11]);
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_also_where_its_folder_cannot_be_made() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    maildir(root.path(), &["a", "b", "c", "d", "e", "f", "g"], "");
    // One deeper than folders may lie.
    let deep = (1..=21).map(|depth| format!(".{depth}")).collect::<String>();
    maildir(&root.path().join(&deep), &["h", "i"], &format!("3 V{VALIDITY} N12\n1 :h\n2 :i\n"));
    let last = root.path().join(deep).join("cur/i");
    let mut reasons = Vec::new();
    let tell = |event: Event<'_>| match event {
        Event::Progress(progress) if progress.done == 1 => fs::remove_file(&last).unwrap(),
        Event::Failed { reason, .. } => reasons.push(reason.clone()),
        _ => {}
    };
    let paths = vec![root.path().to_owned()];
    let progress = import::run(&bench.store, bench.ctx(), ada, Filing::AsFound, paths, tell).await.unwrap();
    assert_eq!((progress.done, progress.failed), (7, 2));
    assert!(matches!(reasons[..], [Failure::Folder { .. }, Failure::Unreadable(_)]), "{reasons:?}");
}

#[tokio::test]
async fn a_later_copy_of_a_list_goes_on_with_its_uids_until_mail_is_delivered_here() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    maildir(root.path(), &["a"], &format!("3 V{VALIDITY} N10\n1 Pa :a\n"));
    run(&bench, ada, root.path()).await;
    // The old server has gone on.
    let later = format!("3 V{VALIDITY} N15\n1 Pa :a\n12 Pb :b\n");
    maildir(&root.path().join("later"), &["a", "b"], &later);
    let (progress, _, late) = told(&bench, ada, &root.path().join("later")).await;
    assert_eq!((progress.done, progress.skipped, late), (1, 1, vec![]));
    bench.stored(ada, b"Subject: live\r\n\r\n").await;
    let last = format!("3 V{VALIDITY} N20\n1 Pa :a\n12 Pb :b\n15 Pc :c\n");
    maildir(&root.path().join("last"), &["a", "b", "c"], &last);
    let (progress, _, late) = told(&bench, ada, &root.path().join("last")).await;
    assert_eq!((progress.done, late), (1, vec![("Inbox".to_owned(), 1)]));
    let is = listed(&[(1, "a", "a"), (12, "b", "b"), (1_000_010, "live", ""), (1_000_011, "c", "c")]);
    assert_eq!(numbered(&bench, ada).await["Inbox"], (VALIDITY, 1_000_012, is));
}

#[tokio::test]
async fn validities_never_come_twice_and_later_folders_have_later_ones() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let now = u32::try_from(bench.ctx().env().now().timestamp()).unwrap();
    let (soon, far) = (now + 86_400 * 30, now + 86_400 * 61);
    let root = tempfile::tempdir().unwrap();
    for (name, validity) in [(".A", soon), (".B", soon), (".C", far), (".D", VALIDITY)] {
        maildir(&root.path().join(name), &["m"], &format!("3 V{validity} N60\n5 :m\n"));
    }
    for part in ["cur", "new"] {
        fs::create_dir(root.path().join(part)).unwrap();
    }
    let (progress, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!(progress.done, 4);
    let reasons = [("B".to_owned(), Untaken::OfAnother), ("C".to_owned(), Untaken::InFuture)];
    assert_eq!(untaken, reasons);
    let is = numbered(&bench, ada).await;
    assert_eq!((is["A"].0, is["A"].2[0].0, is["B"].2[0].0, is["C"].2[0].0), (soon, 5, 1, 1));
    // Made while an earlier one had a later validity.
    assert!(is["B"].0 > soon && is["C"].0 > is["B"].0 && is["C"].0 < far, "{is:?}");
    assert_eq!(is["D"], (VALIDITY, 6, listed(&[(5, "m", "")])));

    // What had it is deleted, and then not known any more.
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    let d = folders.iter().find(|folder| folder.path == "D").unwrap().id;
    let hidden = Changed { is_subscribed: Some(false), ..Changed::default() };
    folder::update(&bench.store, bench.ctx(), ada, d, hidden).await.unwrap();
    folder::delete(&bench.store, bench.ctx(), ada, d).await.unwrap();
    let (_, untaken) = run(&bench, ada, root.path()).await;
    assert!(untaken.contains(&("D".to_owned(), Untaken::OfAnother)), "{untaken:?}");
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    let d = folders.iter().find(|folder| folder.path == "D").unwrap().id;
    folder::update(
        &bench.store,
        bench.ctx(),
        ada,
        d,
        Changed { is_subscribed: Some(false), ..Changed::default() },
    )
    .await
    .unwrap();
    folder::delete(&bench.store, bench.ctx(), ada, d).await.unwrap();
    bench.world.test_db.clock().advance(change::KEPT + TimeDelta::days(1));
    bench.sweep_out().await;
    change::expire(&bench.world.test_db.db()).await.unwrap();
    let (_, untaken) = run(&bench, ada, root.path()).await;
    assert!(untaken.contains(&("D".to_owned(), Untaken::OfAnother)), "{untaken:?}");
}

#[tokio::test]
async fn a_validity_that_a_forgotten_folder_had_is_not_taken_over() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let new = NewFolder { parent_id: None, name: "Work".to_owned(), role: None, is_subscribed: false };
    let work = folder::create(&bench.store, bench.ctx(), ada, new).await.unwrap();
    let message = bench.stored(ada, b"Subject: here\r\n\r\n").await;
    message::relocate(&bench.store, bench.ctx(), ada, &[message], work.id).await.unwrap();
    folder::delete(&bench.store, bench.ctx(), ada, work.id).await.unwrap();
    bench.world.test_db.clock().advance(change::KEPT + TimeDelta::days(1));
    bench.sweep_out().await;
    change::expire(&bench.world.test_db.db()).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    for part in ["cur", "new"] {
        fs::create_dir(root.path().join(part)).unwrap();
    }
    // As an export of it has it, which the folder may have come beyond since.
    maildir(&root.path().join(".Work"), &["m"], &format!("3 V{} N60\n5 :m\n", work.uid_validity));
    let later = work.uid_validity + 1;
    maildir(&root.path().join(".Later"), &["m"], &format!("3 V{later} N60\n5 :m\n"));
    let (_, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!(untaken, [("Work".to_owned(), Untaken::OfAnother)]);
    let is = numbered(&bench, ada).await;
    assert!(is["Work"].0 > work.uid_validity, "{is:?}");
    assert_eq!(is["Later"].0, later);
}

#[tokio::test]
async fn a_name_of_pop3_that_another_message_has_or_that_is_none_gives_way_to_ours() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let long = "x".repeat(71);
    let root = tempfile::tempdir().unwrap();
    let list = format!("3 V{VALIDITY} N60\n1 Psame :a\n2 Psame :b\n3 P{long} :c\n");
    maildir(root.path(), &["a", "b", "c"], &list);
    maildir(&root.path().join(".Work"), &["x"], &format!("3 V{} N60\n1 Psame :x\n", VALIDITY + 1));
    let (progress, _) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.failed), (4, 0));
    let is = numbered(&bench, ada).await;
    // What is too long is none, and Dovecot's own is made of the UID.
    let inbox = listed(&[(1, "a", "same"), (2, "b", ""), (3, "c", "000000034c0907b0")]);
    assert_eq!((&is["Inbox"].2, &is["Work"].2), (&inbox, &listed(&[(1, "x", "")])));
}

#[tokio::test]
async fn an_mbox_put_behind_another_gets_new_uids_and_keeps_no_fields() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    let from = "From x Thu Nov 20 14:03:07 2025\n";
    let first = format!("{from}X-IMAPbase: {VALIDITY} 20\nX-UID: 5\nSubject: a\n\n");
    // 9 is another message's there.
    let second = format!("{from}X-IMAPbase: {} 20\nX-UID: 9\nSubject: b\n\n", VALIDITY + 1);
    let last = format!("{from}X-UID: 10\nX-UIDL: pop:10\nSubject: c\n\n");
    fs::write(root.path().join("inbox.mbox"), format!("{first}\n{second}\n{last}")).unwrap();
    let (progress, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, untaken), (3, vec![]));
    let is = listed(&[(5, "a", ""), (1_000_021, "b", ""), (1_000_022, "c", "pop:10")]);
    assert_eq!(numbered(&bench, ada).await["Inbox"].2, is);
    for message in bench.list(ada, State::Live).await {
        let raw = message::raw(&bench.store, bench.ctx(), ada, message.id, None).await.unwrap();
        assert!(raw.bytes.starts_with(b"Subject: "), "{:?}", raw.bytes);
    }
}

#[tokio::test]
async fn of_two_files_of_one_name_one_has_the_uid_and_the_other_comes_last() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    let list = format!("3 V{VALIDITY} N60\n3 Ptwice :a\n5 Pb :b\n");
    maildir(root.path(), &["a:2,S", "b:2,"], &list);
    fs::write(root.path().join("new/a"), "Subject: other\n\n").unwrap();
    let (progress, untaken, late) = told(&bench, ada, root.path()).await;
    assert_eq!((progress.done, untaken, late), (3, vec![], vec![]));
    let is = listed(&[(3, "other", "twice"), (5, "b", "b"), (1_000_060, "a", "")]);
    assert_eq!(numbered(&bench, ada).await["Inbox"].2, is);
}

#[tokio::test]
async fn a_list_without_its_next_uid_gives_names_of_pop3_alone() {
    let bench = Bench::new().await;
    let root = tempfile::tempdir().unwrap();
    for (who, next) in [("ada", ""), ("bob", " N2147483648")] {
        let mailbox = bench.mailbox(who, None).await;
        maildir(root.path(), &["a", "b"], &format!("3 V{VALIDITY}{next}\n9 Ppop:9 :b\n7 :a\n"));
        let (progress, untaken) = run(&bench, mailbox, root.path()).await;
        assert_eq!((progress.done, untaken), (2, vec![]));
        let is = &numbered(&bench, mailbox).await["Inbox"];
        assert!(is.0 != VALIDITY, "{is:?}");
        assert_eq!(is.2, listed(&[(1, "a", "000000074c0907b0"), (2, "b", "pop:9")]));
    }
}

#[tokio::test]
async fn a_broken_list_costs_uids_and_no_mail_and_couriers_is_read_where_dovecots_is_not() {
    let bench = Bench::new().await;
    let root = tempfile::tempdir().unwrap();
    maildir(root.path(), &["a", "b"], "3 Vx N\n\u{0}\n1 :a");
    let ada = bench.mailbox("ada", None).await;
    let (progress, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, untaken), (2, vec![]));
    assert_eq!(numbered(&bench, ada).await["Inbox"].2, listed(&[(1, "a", ""), (2, "b", "")]));
    let courier = format!("1 {VALIDITY} 12\n3 b\n11 a\n");
    fs::write(root.path().join("courierimapuiddb"), courier).unwrap();
    let bob = bench.mailbox("bob", None).await;
    assert_eq!(run(&bench, bob, root.path()).await.0.done, 2);
    let is = numbered(&bench, bob).await;
    assert_eq!(is["Inbox"], (VALIDITY, 12, listed(&[(3, "b", ""), (11, "a", "")])));
}

#[tokio::test]
async fn an_mbox_s_numbers_are_read_before_the_marks_and_where_other_programs_write_them() {
    let bench = Bench::new().await;
    let root = tempfile::tempdir().unwrap();
    let from = "From x Thu Nov 20 14:03:07 2025\n";
    let first =
        format!("X-IMAPbase: {VALIDITY} 0000000020 $Work\nX-UID: 5\nX-UIDL: pop:5\nSubject: a\n\none\n");
    let inbox = format!("{from}{first}\n{from}X-UID: 7\nX-UIDL: pop:7\nStatus: O\nSubject: b\n\n");
    fs::write(root.path().join("inbox.mbox"), inbox).unwrap();
    let numbers = format!("X-IMAPbase: {} 20\nX-UID: 3\n", VALIDITY + 1);
    let work = format!(
        "{from}Subject: c\n{numbers}Status: RO\n\n\n{from}Subject: d\n\nX-UID: 4\n\n{from}Subject: e\nX-UID: 9\n\n"
    );
    fs::write(root.path().join("Work.mbox"), work).unwrap();
    let ada = bench.mailbox("ada", None).await;
    let (progress, untaken) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, untaken), (5, vec![]));
    let is = numbered(&bench, ada).await;
    assert_eq!(is["Inbox"], (VALIDITY, 8, listed(&[(5, "a", "pop:5"), (7, "b", "pop:7")])));
    // One without a UID costs those after it theirs.
    let work = listed(&[(3, "c", ""), (1_000_021, "d", ""), (1_000_022, "e", "")]);
    assert_eq!(is["Work"], (VALIDITY + 1, 1_000_023, work));
    for message in bench.list(ada, State::Live).await {
        let raw = message::raw(&bench.store, bench.ctx(), ada, message.id, None).await.unwrap();
        let text = String::from_utf8(raw.bytes.to_vec()).unwrap();
        assert!(text.starts_with("Subject: "), "{text}");
    }

    // As a version has it that took no numbers off.
    let bob = bench.mailbox("bob", None).await;
    let eml = root.path().join("as-before.eml");
    fs::write(&eml, &first).unwrap();
    assert_eq!(run(&bench, bob, &eml).await.0.done, 1);
    fs::remove_file(&eml).unwrap();
    let (progress, _) = run(&bench, bob, root.path()).await;
    assert_eq!((progress.done, progress.skipped), (4, 1));
}
