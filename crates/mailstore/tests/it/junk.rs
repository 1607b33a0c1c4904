//! Mail that goes into the Junk folder.

use futures::future::join_all;
use kernel::{FolderId, MailboxId};
use mailstore::change::{self, Kind};
use mailstore::folder::{self, Changed, Folder, NewFolder, Role};
use mailstore::ingest::{Target, Within, ingest};
use mailstore::{Error, message};

use crate::support::{Bench, HELLO, id};

async fn junk(bench: &Bench, mailbox: MailboxId) -> Folder {
    let folders = folder::list(bench.ctx(), mailbox).await.unwrap();
    let mut found = folders.into_iter().filter(|folder| folder.role == Some(Role::Junk));
    let junk = found.next().unwrap();
    assert_eq!(found.next(), None);
    junk
}

/// Puts a message into Junk: the folder that it is in.
async fn put(bench: &Bench, mailbox: MailboxId) -> FolderId {
    let target = Target { folder: Within::Junk, ..bench.target(mailbox) };
    let stored = id(&ingest(&bench.store, vec![target], bench.incoming(HELLO)).await[0]);
    message::get(bench.ctx(), mailbox, stored).await.unwrap().folder_id
}

async fn delete(bench: &Bench, mailbox: MailboxId) -> Folder {
    let junk = junk(bench, mailbox).await;
    folder::delete(&bench.store, bench.ctx(), mailbox, junk.id).await.unwrap();
    junk
}

async fn rename(bench: &Bench, mailbox: MailboxId, id: FolderId, name: &str) {
    let changed = Changed { name: Some(name.to_owned()), ..Changed::default() };
    folder::update(&bench.store, bench.ctx(), mailbox, id, changed).await.unwrap();
}

#[tokio::test]
async fn it_is_the_folder_for_junk_whatever_its_name() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    // Nobody has looked at the mailbox yet: it has no folders.
    let first = put(&bench, ada).await;
    assert_eq!(first, junk(&bench, ada).await.id);
    rename(&bench, ada, first, "Indésirables").await;
    assert_eq!(put(&bench, ada).await, first);
    let (inbox, junk) = (bench.target(ada), Target { folder: Within::Junk, ..bench.target(ada) });
    let both = ingest(&bench.store, vec![inbox, junk.clone(), junk], bench.incoming(HELLO)).await;
    assert_ne!(id(&both[0]), id(&both[1]));
    assert_eq!(id(&both[1]), id(&both[2]));
    let counts: Vec<_> = folder::list(bench.ctx(), ada).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|folder| (folder.path.as_str(), folder.message_count)).collect();
    let wanted =
        [("Archive", 0), ("Drafts", 0), ("Inbox", 1), ("Indésirables", 3), ("Sent", 0), ("Trash", 0)];
    assert_eq!(counts, wanted);
    bench.assert_exact().await;
}

#[tokio::test]
async fn one_that_was_deleted_is_made_anew_and_shows_as_a_change() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    for mailbox in [ada, bob] {
        put(&bench, mailbox).await;
    }
    let old = delete(&bench, ada).await;
    let before = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    let targets = [ada, bob].map(|mailbox| Target { folder: Within::Junk, ..bench.target(mailbox) });
    let results = ingest(&bench.store, targets.to_vec(), bench.incoming(HELLO)).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let (made, others) = (junk(&bench, ada).await, junk(&bench, bob).await);
    assert_eq!((made.path.as_str(), made.message_count, made.uid_next), ("Junk", 1, 2));
    assert!(made.id != old.id && made.uid_validity > old.uid_validity, "no UID comes twice");
    assert_eq!(others.message_count, 2);
    let log = change::since(bench.ctx(), ada, Some(before)).await.unwrap();
    let mut told: Vec<_> = log.changes.iter().map(|change| (change.folder_id, change.kind)).collect();
    told.sort_by_key(|(_, kind)| *kind);
    assert_eq!(told, [(made.id, Kind::Arrived), (made.id, Kind::Folder)]);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_folder_of_that_name_becomes_it_unless_it_is_for_something_else() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    put(&bench, ada).await;
    delete(&bench, ada).await;
    let new = NewFolder { parent_id: None, name: "Junk".into(), role: None, is_subscribed: true };
    let own = folder::create(&bench.store, bench.ctx(), ada, new).await.unwrap();
    assert_eq!(put(&bench, ada).await, own.id);
    assert_eq!(junk(&bench, ada).await.id, own.id);

    delete(&bench, ada).await;
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    let trash = folders.iter().find(|folder| folder.role == Some(Role::Trash)).unwrap();
    rename(&bench, ada, trash.id, "Junk").await;
    assert_ne!(put(&bench, ada).await, trash.id);
    assert_eq!(junk(&bench, ada).await.path, "Junk 2");
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_make_one() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    put(&bench, ada).await;
    delete(&bench, ada).await;
    let folders = join_all((0..24).map(|_| put(&bench, ada))).await;
    assert!(folders.iter().all(|folder| *folder == folders[0]), "{folders:?}");
    assert_eq!(junk(&bench, ada).await.message_count, 24);
    bench.assert_exact().await;
}

#[tokio::test]
async fn mail_that_is_refused_makes_none() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", Some(HELLO.len() as i64)).await;
    put(&bench, ada).await;
    let old = delete(&bench, ada).await;
    let before = change::since(bench.ctx(), ada, None).await.unwrap().modseq;
    let both = vec![bench.target(ada), Target { folder: Within::Junk, ..bench.target(ada) }];
    // There is room for either of them, and so both come to the commit.
    let results = ingest(&bench.store, both, bench.incoming(HELLO)).await;
    assert!(matches!(results.as_slice(), [Ok(_), Err(Error::OverQuota)]), "{results:?}");
    let folders = folder::list(bench.ctx(), ada).await.unwrap();
    assert!(folders.iter().all(|folder| folder.role != Some(Role::Junk)), "{folders:?}");
    let log = change::since(bench.ctx(), ada, Some(before)).await.unwrap();
    let told: Vec<_> = log.changes.iter().map(|change| change.kind).collect();
    assert_eq!(told, [Kind::Arrived]);
    // Room again, and it is made with the message, as one that was not there.
    let inbox = folders.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
    let stored = bench.list(ada, message::State::Live).await;
    assert_eq!((stored.len(), stored[0].folder_id), (1, inbox.id));
    message::discard(&bench.store, bench.ctx(), ada, stored[0].id).await.unwrap();
    let made = put(&bench, ada).await;
    assert!(made != old.id && made == junk(&bench, ada).await.id);
    bench.assert_exact().await;
}
