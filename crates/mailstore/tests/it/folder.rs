//! The folders that a mailbox has from the start, and those that people make.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures::future::join_all;
use kernel::{ErrorKind, FolderId, MailboxId};
use mailstore::folder::{self, Changed, Folder, NewFolder, Role};
use mailstore::ingest::{Target, Within, ingest};
use mailstore::{Error, change, message};

use sqlx::Connection as _;

use crate::support::{Bench, HELLO, id, inbox};
use crate::verify::execute;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_looks_at_once_make_one_set_of_folders() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let listings = join_all((0..12).map(|_| folder::list(bench.ctx(), ada))).await;
    let deliveries = join_all((0..12).map(|_| bench.ingest(&[ada], HELLO))).await;
    assert!(deliveries.iter().flatten().all(Result::is_ok), "{deliveries:?}");
    let first = listings[0].as_ref().unwrap();
    let names: Vec<_> = first.iter().map(|folder| folder.name.as_str()).collect();
    assert_eq!(names, ["Archive", "Drafts", "Inbox", "Junk", "Sent", "Trash"]);
    assert!(listings.iter().all(|listing| listing.as_ref().unwrap() == first));
    let inbox = first.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
    assert_eq!(i64::from(inbox.uid_validity), bench.ctx().env().now().timestamp());
    let after = folder::list(bench.ctx(), ada).await.unwrap();
    let inbox = after.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
    assert_eq!((inbox.message_count, inbox.uid_next), (12, 13));
}

/// The mailbox's folders by path.
async fn paths(bench: &Bench, mailbox: MailboxId) -> Vec<String> {
    folder::list(bench.ctx(), mailbox).await.unwrap().into_iter().map(|folder| folder.path).collect()
}

async fn made(bench: &Bench, mailbox: MailboxId, name: &str, parent_id: Option<FolderId>) -> Folder {
    let new = NewFolder { parent_id, name: name.to_owned(), role: None, is_subscribed: true };
    folder::create(&bench.store, bench.ctx(), mailbox, new).await.unwrap()
}

async fn changed(bench: &Bench, mailbox: MailboxId, id: FolderId, changed: Changed) -> Result<Folder, Error> {
    folder::update(&bench.store, bench.ctx(), mailbox, id, changed).await
}

fn named(name: &str) -> Changed {
    Changed { name: Some(name.to_owned()), ..Changed::default() }
}

fn below(parent: Option<FolderId>) -> Changed {
    Changed { parent_id: Some(parent), ..Changed::default() }
}

#[tokio::test]
async fn what_lies_below_a_folder_comes_along_and_keeps_its_uids() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let top = made(&bench, ada, "Suppliers", None).await;
    let flour = made(&bench, ada, "Flour", Some(top.id)).await;
    let rye = made(&bench, ada, "Rye", Some(flour.id)).await;
    assert_eq!(rye.path, "Suppliers/Flour/Rye");
    let target = Target { folder: Within::Folder(rye.id), ..bench.target(ada) };
    let stored = id(&ingest(&bench.store, vec![target], bench.incoming(HELLO)).await[0]);
    let before = folder::get(bench.ctx(), ada, rye.id).await.unwrap();

    let renamed = changed(&bench, ada, top.id, named("Millers")).await.unwrap();
    assert_eq!((renamed.uid_validity, renamed.uid_next), (top.uid_validity, top.uid_next));
    assert!(renamed.highest_modseq > top.highest_modseq);
    let after = folder::get(bench.ctx(), ada, rye.id).await.unwrap();
    assert_eq!(after, Folder { path: "Millers/Flour/Rye".to_owned(), ..before });
    assert_eq!(message::get(bench.ctx(), ada, stored).await.unwrap().folder_id, rye.id);

    changed(&bench, ada, flour.id, below(None)).await.unwrap();
    let first = ["Archive", "Drafts", "Flour", "Flour/Rye", "Inbox", "Junk", "Millers", "Sent", "Trash"];
    assert_eq!(paths(&bench, ada).await, first);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_tree_stays_one() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let a = made(&bench, ada, "A", None).await;
    let b = made(&bench, ada, "B", Some(a.id)).await;
    made(&bench, ada, "a", None).await;
    let before = paths(&bench, ada).await;
    let inbox = inbox(&bench, ada).await;

    for parent in [a.id, b.id] {
        let looped = changed(&bench, ada, a.id, below(Some(parent))).await;
        assert_eq!(looped.unwrap_err().kind(), ErrorKind::Invalid);
    }
    for name in ["", "x/y", "..\u{0}", " x", "x ", &"n".repeat(256)] {
        let new = NewFolder { parent_id: None, name: name.to_owned(), role: None, is_subscribed: true };
        let refused = folder::create(&bench.store, bench.ctx(), ada, new).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
        assert_eq!(
            changed(&bench, ada, b.id, named(name)).await.unwrap_err().kind(),
            ErrorKind::Invalid,
            "{name:?}"
        );
    }
    for (id, changed_to) in [(inbox.id, named("Post")), (inbox.id, below(Some(a.id)))] {
        assert!(matches!(changed(&bench, ada, id, changed_to).await, Err(Error::InboxStays)));
    }
    assert!(matches!(folder::delete(&bench.store, bench.ctx(), ada, inbox.id).await, Err(Error::InboxStays)));
    assert!(matches!(
        folder::delete(&bench.store, bench.ctx(), ada, a.id).await,
        Err(Error::FolderHasChildren)
    ));
    for taken in [named("INBOX"), named("a"), named("Trash")] {
        assert!(matches!(changed(&bench, ada, a.id, taken).await, Err(Error::FolderExists)));
    }
    let role = NewFolder {
        parent_id: None,
        name: "Gesendet".to_owned(),
        role: Some(Role::Sent),
        is_subscribed: true,
    };
    assert!(matches!(
        folder::create(&bench.store, bench.ctx(), ada, role.clone()).await,
        Err(Error::FolderExists)
    ));
    let second = NewFolder { parent_id: Some(a.id), role: Some(Role::Inbox), ..role.clone() };
    assert!(matches!(folder::create(&bench.store, bench.ctx(), ada, second).await, Err(Error::FolderExists)));
    let unknown: FolderId = bench.ctx().env().new_id();
    assert!(matches!(changed(&bench, ada, unknown, named("X")).await, Err(Error::FolderNotFound)));
    assert!(matches!(changed(&bench, ada, a.id, below(Some(unknown))).await, Err(Error::FolderNotFound)));
    assert_eq!(paths(&bench, ada).await, before);

    let mut deep = a.id;
    for depth in 2..=folder::MAX_DEPTH {
        deep = made(&bench, ada, &format!("{depth}"), Some(deep)).await.id;
    }
    let new = NewFolder { parent_id: Some(deep), name: "deeper".to_owned(), role: None, is_subscribed: true };
    let refused = folder::create(&bench.store, bench.ctx(), ada, new).await;
    assert!(matches!(refused, Err(Error::TooManyFolders { .. })));
    let high = made(&bench, ada, "high", None).await;
    assert!(matches!(
        changed(&bench, ada, a.id, below(Some(high.id))).await,
        Err(Error::TooManyFolders { .. })
    ));
}

#[tokio::test]
async fn a_deleted_folder_s_mail_comes_back_into_the_inbox_and_its_name_under_another_validity() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let size = HELLO.len() as i64;
    let old = made(&bench, ada, "Flour", None).await;
    let target = Target { folder: Within::Folder(old.id), ..bench.target(ada) };
    let stored = id(&ingest(&bench.store, vec![target.clone()], bench.incoming(HELLO)).await[0]);
    let before = message::get(bench.ctx(), ada, stored).await.unwrap();
    folder::delete(&bench.store, bench.ctx(), ada, old.id).await.unwrap();
    assert_eq!(bench.used(ada).await, (0, size));
    assert!(matches!(folder::get(bench.ctx(), ada, old.id).await, Err(Error::FolderNotFound)));
    assert!(matches!(
        folder::delete(&bench.store, bench.ctx(), ada, old.id).await,
        Err(Error::FolderNotFound)
    ));
    let refused = ingest(&bench.store, vec![target], bench.incoming(HELLO)).await;
    assert!(matches!(refused[0], Err(Error::FolderNotFound)));
    bench.assert_exact().await;

    let new = made(&bench, ada, "Flour", None).await;
    assert!(new.id != old.id && new.uid_validity > old.uid_validity);
    let back = message::recover(&bench.store, bench.ctx(), ada, stored).await.unwrap();
    let inbox = inbox(&bench, ada).await;
    assert_eq!(
        (back.folder_id, &back.uidl, back.internal_date),
        (inbox.id, &before.uidl, before.internal_date)
    );
    assert_eq!((inbox.message_count, inbox.unseen_count, inbox.size_bytes), (1, 1, size.unsigned_abs()));
    bench.assert_exact().await;

    // Its row goes when nothing refers to it any more.
    later(&bench).await;
    assert!(!is_known(&bench, old.id).await);
    assert_eq!(paths(&bench, ada).await.len(), 7);
}

/// Whether a folder has a row, live or not.
async fn is_known(bench: &Bench, id: FolderId) -> bool {
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let rows = sqlx::query_scalar::<_, i64>("select count(*) from folders where id = $1").bind(id.uuid());
    rows.fetch_one(&mut connection).await.unwrap() == 1
}

/// Lets so much time pass that what nobody needs any more is forgotten.
async fn later(bench: &Bench) {
    bench.world.test_db.clock().advance(change::KEPT + TimeDelta::seconds(1));
    let swept = mailstore::sweep::run(&bench.store, &bench.world.test_db.db()).await;
    assert_eq!(swept.failed, 0, "{swept:?}");
}

#[tokio::test]
async fn a_name_stays_subscribed_to_until_somebody_says_otherwise() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let left =
        async || folder::gone::subscribed(bench.ctx(), ada).await.unwrap().into_iter().collect::<Vec<_>>();
    let delete = async |id: FolderId| folder::delete(&bench.store, bench.ctx(), ada, id).await.unwrap();
    let subscribed = |is_subscribed| Changed { is_subscribed: Some(is_subscribed), ..Changed::default() };
    let mill = made(&bench, ada, "Mill", None).await;
    let flour = made(&bench, ada, "Flour", Some(mill.id)).await;
    let rye = made(&bench, ada, "Rye", Some(mill.id)).await;
    changed(&bench, ada, rye.id, subscribed(false)).await.unwrap();
    delete(flour.id).await;
    delete(rye.id).await;
    later(&bench).await;
    assert_eq!(left().await, ["Mill/Flour"]);
    assert!(is_known(&bench, flour.id).await && !is_known(&bench, rye.id).await);

    // Of the folder that has it next, made or moved there.
    let hidden =
        NewFolder { parent_id: Some(mill.id), name: "Flour".to_owned(), role: None, is_subscribed: false };
    let again = folder::create(&bench.store, bench.ctx(), ada, hidden.clone()).await.unwrap();
    assert!(again.is_subscribed && left().await.is_empty());
    later(&bench).await;
    assert!(!is_known(&bench, flour.id).await, "another has its name");
    delete(again.id).await;
    let oats = NewFolder { parent_id: None, name: "Oats".to_owned(), ..hidden.clone() };
    let oats = folder::create(&bench.store, bench.ctx(), ada, oats).await.unwrap();
    let moved = Changed { name: Some("Flour".to_owned()), ..below(Some(mill.id)) };
    let moved = changed(&bench, ada, oats.id, moved).await.unwrap();
    assert!(!oats.is_subscribed && moved.is_subscribed && left().await.is_empty());

    // Until somebody unsubscribes, while there is a folder or when there is none.
    changed(&bench, ada, moved.id, subscribed(false)).await.unwrap();
    delete(moved.id).await;
    assert!(left().await.is_empty());
    let bran = made(&bench, ada, "Bran", None).await;
    delete(bran.id).await;
    assert_eq!(left().await, ["Bran"]);
    // A server that does not know of such names puts folders back and leaves them: then the folder says what is subscribed to.
    let put_back = "update folders set deleted_at = null where subscribed_path = 'Bran'";
    assert_eq!(in_its_tenant(&bench, put_back).await, 1);
    assert!(left().await.is_empty() && !folder::gone::unsubscribe(bench.ctx(), ada, "Bran").await.unwrap());
    delete(bran.id).await;
    assert_eq!(left().await, ["Bran"]);
    assert!(folder::gone::unsubscribe(bench.ctx(), ada, "Bran").await.unwrap());
    assert!(!folder::gone::unsubscribe(bench.ctx(), ada, "Bran").await.unwrap());
    later(&bench).await;
    assert!(left().await.is_empty() && !is_known(&bench, bran.id).await);
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_comes_along_below_a_folder_takes_the_names_that_were_left_there() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let left =
        async || folder::gone::subscribed(bench.ctx(), ada).await.unwrap().into_iter().collect::<Vec<_>>();
    let delete = async |id: FolderId| folder::delete(&bench.store, bench.ctx(), ada, id).await.unwrap();
    let subscribed = |is_subscribed| Changed { is_subscribed: Some(is_subscribed), ..Changed::default() };
    let a = made(&bench, ada, "A", None).await;
    for name in ["x", "y"] {
        delete(made(&bench, ada, name, Some(a.id)).await.id).await;
    }
    changed(&bench, ada, a.id, subscribed(false)).await.unwrap();
    delete(a.id).await;
    assert_eq!(left().await, ["A/x", "A/y"]);
    let b = made(&bench, ada, "B", None).await;
    let x = made(&bench, ada, "x", Some(b.id)).await;
    let z = made(&bench, ada, "z", Some(b.id)).await;
    for id in [x.id, z.id] {
        changed(&bench, ada, id, subscribed(false)).await.unwrap();
    }
    let before = folder::get(bench.ctx(), ada, x.id).await.unwrap().highest_modseq;
    changed(&bench, ada, b.id, named("A")).await.unwrap();
    let x = folder::get(bench.ctx(), ada, x.id).await.unwrap();
    assert!(x.is_subscribed && x.path == "A/x" && x.highest_modseq > before, "{x:?}");
    assert!(!folder::get(bench.ctx(), ada, z.id).await.unwrap().is_subscribed, "no such name was left");
    assert_eq!(left().await, ["A/y"]);
    changed(&bench, ada, x.id, subscribed(false)).await.unwrap();
    changed(&bench, ada, b.id, named("C")).await.unwrap();
    assert_eq!(left().await, ["A/y"], "it was unsubscribed from");

    // Nor does a name come back that a folder had beside one that was put back.
    let keep = "update folders set deleted_at = now(), subscribed_path = 'C/x' where name = 'y' and deleted_at is not null";
    assert_eq!(in_its_tenant(&bench, keep).await, 1);
    changed(&bench, ada, x.id, subscribed(false)).await.unwrap();
    assert!(left().await.is_empty());
    assert_eq!(in_its_tenant(&bench, keep).await, 1);
    changed(&bench, ada, b.id, named("D")).await.unwrap();
    assert!(left().await.is_empty() && !folder::get(bench.ctx(), ada, x.id).await.unwrap().is_subscribed);
}

/// Runs a statement as any server of the tenant's could.
async fn in_its_tenant(bench: &Bench, statement: &'static str) -> u64 {
    let mut tx = bench.ctx().begin().await.unwrap();
    let done = sqlx::query(statement).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    done.rows_affected()
}

#[tokio::test]
async fn of_names_without_a_folder_the_last_thousand_are_kept_and_none_counts_as_a_folder() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let left = async || folder::gone::subscribed(bench.ctx(), ada).await.unwrap();
    let new =
        |name: &str| NewFolder { parent_id: None, name: name.to_owned(), role: None, is_subscribed: true };
    assert_eq!(paths(&bench, ada).await.len(), 6);
    // A thousand left their names, and so many did not that there is room for one more folder.
    let deleted = "insert into folders (tenant_id, mailbox_id, id, name, uid_validity, created_at, deleted_at, subscribed_path)
        select tenant_id, mailbox_id, gen_random_uuid(), 'n' || n, n, created_at, created_at - (20000 - n) * interval '1 second',
          case when n <= 1000 then 'n' || n end
        from folders, generate_series(1, 10993) as n where role = 'drafts'";
    assert_eq!(in_its_tenant(&bench, deleted).await, 10_993);
    let last = made(&bench, ada, "Last", None).await;
    let refused = folder::create(&bench.store, bench.ctx(), ada, new("More")).await;
    assert!(matches!(refused, Err(Error::TooManyFolders { .. })), "{refused:?}");

    assert_eq!(left().await.len() as u64, folder::gone::MAX_NAMES);
    folder::delete(&bench.store, bench.ctx(), ada, last.id).await.unwrap();
    let names = left().await;
    assert_eq!(names.len() as u64, folder::gone::MAX_NAMES);
    assert!(names.contains("Last") && names.contains("n2") && !names.contains("n1"));
}

#[tokio::test]
async fn names_that_were_left_are_told_of_several_mailboxes_at_once() {
    let bench = Bench::new().await;
    let [ada, eve, none] = [
        bench.mailbox("ada", None).await,
        bench.mailbox("eve", None).await,
        bench.mailbox("none", None).await,
    ];
    for (mailbox, name) in [(ada, "A"), (ada, "B"), (eve, "A")] {
        let folder = made(&bench, mailbox, name, None).await;
        folder::delete(&bench.store, bench.ctx(), mailbox, folder.id).await.unwrap();
    }
    let left = folder::gone::subscribed_in(bench.ctx(), &[ada, eve, none]).await.unwrap();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(left, BTreeMap::from([(ada, set(&["A", "B"])), (eve, set(&["A"]))]));
    let left = folder::gone::subscribed_in(bench.ctx(), &[eve]).await.unwrap();
    assert_eq!(left.into_keys().collect::<Vec<_>>(), [eve]);

    let (other, bob) = bench.neighbour().await;
    assert!(folder::gone::subscribed_in(&other, &[ada, eve, bob]).await.unwrap().is_empty());
    // One that is not theirs is one too many.
    let user = bench.world.user("mia", None).await;
    let ctx = bench.world.login(&user).await.ctx;
    assert!(folder::gone::subscribed_in(&ctx, &[user.mailbox_id]).await.unwrap().is_empty());
    let refused = folder::gone::subscribed_in(&ctx, &[user.mailbox_id, ada]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn each_folder_of_a_mailbox_has_a_validity_of_its_own() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    made(&bench, ada, "A", None).await;
    made(&bench, ada, "B", None).await;
    let all = folder::list(bench.ctx(), ada).await.unwrap();
    let validities: BTreeSet<u32> = all.iter().map(|folder| folder.uid_validity).collect();
    assert_eq!(validities.len(), 8);
}

#[tokio::test]
async fn a_neighbour_s_folders_are_not_there() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let eve = bench.mailbox("eve", None).await;
    let (other, bob) = bench.neighbour().await;
    let own = made(&bench, ada, "Own", None).await;
    for (ctx, mailbox) in [(&other, ada), (&other, bob), (bench.ctx(), eve)] {
        let results = [
            folder::get(ctx, mailbox, own.id).await.map(|_| ()),
            folder::update(&bench.store, ctx, mailbox, own.id, named("Theirs")).await.map(|_| ()),
            folder::delete(&bench.store, ctx, mailbox, own.id).await,
            folder::create(
                &bench.store,
                ctx,
                mailbox,
                NewFolder { parent_id: Some(own.id), name: "x".to_owned(), role: None, is_subscribed: true },
            )
            .await
            .map(|_| ()),
        ];
        assert!(
            results.iter().all(|result| matches!(result, Err(Error::NotFound | Error::FolderNotFound))),
            "{results:?}"
        );
    }
    assert_eq!(folder::get(bench.ctx(), ada, own.id).await.unwrap(), own);
    folder::delete(&bench.store, bench.ctx(), ada, own.id).await.unwrap();
    for (ctx, mailbox) in [(&other, ada), (&other, bob), (bench.ctx(), eve)] {
        assert!(folder::gone::subscribed(ctx, mailbox).await.unwrap().is_empty());
        let unsubscribed = folder::gone::unsubscribe(ctx, mailbox, "Own").await;
        assert!(matches!(unsubscribed, Ok(false) | Err(Error::NotFound)), "{unsubscribed:?}");
    }
    assert!(folder::gone::subscribed(bench.ctx(), ada).await.unwrap().contains("Own"));
}

/// What the step of the schema makes of names that were kept as they came.
#[tokio::test]
async fn names_of_before_come_into_one_form() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let new =
        |name: &str| NewFolder { parent_id: None, name: name.to_owned(), role: None, is_subscribed: true };
    let gone = folder::create(&bench.store, bench.ctx(), ada, new("\u{e1}")).await.unwrap();
    folder::delete(&bench.store, bench.ctx(), ada, gone.id).await.unwrap();
    let mut ids = Vec::new();
    for name in ["one", "two", "\u{fc}"] {
        ids.push(folder::create(&bench.store, bench.ctx(), ada, new(name)).await.unwrap().id);
    }
    execute(&bench, "update folders set name = U&'a\\0301' where name = 'one'; update folders set name = U&'u\\0308' where name = 'two'").await;
    execute(&bench, include_str!("../../../../migrations/0056_folder_names.sql")).await;
    let mut names = Vec::new();
    for id in &ids {
        names.push(folder::get(bench.ctx(), ada, *id).await.unwrap().name);
    }
    assert_eq!(names, ["\u{e1}".to_owned(), format!("\u{fc} ({})", ids[1].uuid()), "\u{fc}".to_owned()]);
}
