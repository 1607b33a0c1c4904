//! Published mail that was taken in and worked on, lost with its database, and is there again as every client had seen it.
//!
//! The messages are the kit's own and what parsers are fuzzed from, since any bytes are a message; `MAIL_CORPUS` names a folder of others, all files below
//! which are taken besides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kernel::{FolderId, MailboxId, MessageId, PageRequest};
use mailstore::folder::{self, Changed, Folder, NewFolder};
use mailstore::import::{self, Filing};
use mailstore::message::{self, Filter, Flag, FlagChange, Flags, Message, State, Target};
use mailstore::parsed::Parsed;
use mailstore::restore::{Extent, Place, Wanted};
use mailstore::{MailStore, check, outline, view};
use recovery::restore;
use tenancy::{Ctx, operation};
use tokio_util::sync::CancellationToken;

use crate::support::Bench;

/// A mailbox as clients see it, without modification sequences and the numbers that nobody was given yet: a recovery sets them on.
#[derive(Debug, PartialEq)]
struct View {
    folders: Vec<Folder>,
    messages: BTreeMap<MessageId, Message>,
    bodies: BTreeMap<MessageId, bytes::Bytes>,
    parsed: BTreeMap<MessageId, Parsed>,
}

impl View {
    async fn of(ctx: &Ctx, store: &MailStore, mailbox_id: MailboxId) -> Self {
        let mut folders = folder::list(ctx, mailbox_id).await.unwrap();
        folders.iter_mut().for_each(|folder| (folder.uid_next, folder.highest_modseq) = (0, 0));
        let (mut messages, mut bodies, mut parsed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for state in [State::Live, State::Recoverable] {
            let mut after = None;
            loop {
                let page = PageRequest::new(Some(200), after);
                let filter = Filter { state, ..Filter::default() };
                let page = message::list(ctx, mailbox_id, filter, &page).await.unwrap();
                let ids = page.items.iter().map(|message| message.id);
                parsed.extend(ids.zip(outline::parsed(store, ctx, &page.items).await.unwrap()));
                let items = page.items.into_iter().map(|message| Message { modseq: 0, ..message });
                messages.extend(items.map(|message| (message.id, message)));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        for id in messages.keys() {
            bodies.insert(*id, message::raw(store, ctx, mailbox_id, *id, None).await.unwrap().bytes);
        }
        Self { folders, messages, bodies, parsed }
    }

    fn live(&self) -> Vec<MessageId> {
        let live = self.messages.values().filter(|message| message.state == State::Live);
        live.map(|message| message.id).collect()
    }
}

/// The highest modification sequence that clients are told of each folder.
async fn highest(ctx: &Ctx, mailbox_id: MailboxId) -> BTreeMap<FolderId, u64> {
    let folders = folder::list(ctx, mailbox_id).await.unwrap();
    folders.into_iter().map(|folder| (folder.id, folder.highest_modseq)).collect()
}

/// The flags of what has changed since those, as a client asks for it that comes back.
async fn changed(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    since: &BTreeMap<FolderId, u64>,
) -> BTreeMap<MessageId, Flags> {
    let all = [1..=u64::from(u32::MAX)];
    let mut changed = BTreeMap::new();
    for (folder, since) in since {
        let rows = view::rows(ctx, mailbox_id, *folder, &all, Some(*since)).await.unwrap();
        changed.extend(rows.into_iter().map(|row| (row.id, row.flags)));
    }
    changed
}

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

async fn take_in(bench: &Bench, mailbox_id: MailboxId) -> usize {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut paths, mut seeds) = (Vec::new(), Vec::new());
    files(&crates.join("testkit/mail"), &mut paths);
    files(&crates.join("fuzz/seeds"), &mut seeds);
    if let Some(more) = std::env::var_os("MAIL_CORPUS").filter(|name| !name.is_empty()) {
        files(Path::new(&more), &mut paths);
    }
    let tell = |event: import::Event<'_>| {
        if let import::Event::Failed { origin, reason } = event {
            panic!("{origin}: {reason}");
        }
    };
    let taken = import::run(&bench.store, bench.ctx(), mailbox_id, Filing::InOne(None), paths.clone(), tell)
        .await
        .unwrap();
    // A file may be an mbox.
    assert!(taken.done as usize >= paths.len());
    // As they are: an import might take one for a file of several.
    for seed in &seeds {
        bench.deliver(mailbox_id, None, &std::fs::read(seed).unwrap()).await;
    }
    assert!(seeds.len() >= 90, "{}", seeds.len());
    taken.done as usize + seeds.len()
}

async fn make(bench: &Bench, mailbox_id: MailboxId, name: &str, parent_id: Option<FolderId>) -> FolderId {
    let new = NewFolder { parent_id, name: name.to_owned(), role: None, is_subscribed: true };
    folder::create(&bench.store, bench.ctx(), mailbox_id, new).await.unwrap().id
}

/// Every second, third … of the messages.
fn every(step: usize, ids: &[MessageId]) -> Vec<MessageId> {
    ids.iter().copied().step_by(step).collect()
}

async fn discard(bench: &Bench, mailbox_id: MailboxId, ids: &[MessageId]) {
    for id in ids {
        message::discard(&bench.store, bench.ctx(), mailbox_id, *id).await.unwrap();
    }
}

/// Flags, moves, copies, deletes, renames, and a restore.
async fn act(bench: &Bench, ada: MailboxId, bob: MailboxId) {
    let (store, ctx) = (&bench.store, bench.ctx());
    let ids = View::of(ctx, store, ada).await.live();
    let (top, deep) = {
        let top = make(bench, ada, "Project", None).await;
        (top, make(bench, ada, "Späße ☃", Some(top)).await)
    };
    let seen = Flags {
        flags: [Flag::Seen, Flag::Answered].into(),
        keywords: ["$Forwarded".parse().unwrap()].into(),
    };
    message::flag(store, ctx, ada, &every(2, &ids), &FlagChange::adding(seen)).await.unwrap();
    message::relocate(store, ctx, ada, &every(3, &ids), top).await.unwrap();
    message::relocate(store, ctx, ada, &every(5, &ids), deep).await.unwrap();
    message::copy(store, ctx, ada, &every(4, &ids), Target { mailbox_id: bob, folder: None }).await.unwrap();
    let renamed = Changed { name: Some("Projekt".to_owned()), ..Changed::default() };
    folder::update(store, ctx, ada, top, renamed).await.unwrap();
    bench.ship().await;
    let at = ctx.env().now();
    discard(bench, ada, &every(7, &ids)).await;
    folder::delete(store, ctx, ada, deep).await.unwrap();
    bench.ship().await;
    for (place, extent) in
        [(Place::InPlace, Extent::Mailbox(ada)), (Place::Beside, Extent::Folder(ada, deep))]
    {
        let begun = restore::request(ctx, Wanted { at, place, extent }).await.unwrap();
        while restore::run_next(ctx.db(), store, &CancellationToken::new()).await.unwrap() {}
        let done = operation::get(ctx.caller(), begun.id).await.unwrap();
        assert_eq!((done.status.as_str(), done.done), ("succeeded", done.total), "{done:?}");
    }
    discard(bench, ada, &every(6, &ids)).await;
}

#[tokio::test]
async fn mail_that_was_worked_on_is_there_again_as_every_client_had_seen_it() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada").await, bench.mailbox("bob").await);
    let taken = take_in(&bench, ada).await;
    act(&bench, ada, bob).await;
    bench.ship().await;
    let was =
        [View::of(bench.ctx(), &bench.store, ada).await, View::of(bench.ctx(), &bench.store, bob).await];
    assert!(was[0].messages.len() > taken && was[1].messages.len() == taken.div_ceil(4));

    let again = bench.copied().await;
    assert_eq!(again.recovered.found.messages, 0);
    for (was, mailbox_id) in was.iter().zip([ada, bob]) {
        assert_eq!(*was, View::of(&again.ctx, &again.store, mailbox_id).await);
    }

    // And with the last second not flushed: what was there is, and so is what was accepted in it.
    let late = bench.deliver(bob, None, b"Subject: late\r\n\r\n").await;
    let live = was[0].live();
    discard(&bench, ada, &live[..3]).await;
    let is_plain = |id: &&MessageId| !was[0].messages[*id].flags.flags.contains(&Flag::Flagged);
    let marked = *live[3..].iter().find(is_plain).unwrap();
    let marking = FlagChange::adding(Flags { flags: [Flag::Flagged].into(), ..Flags::default() });
    let flagged = message::flag(&bench.store, bench.ctx(), ada, &[marked], &marking).await.unwrap();
    assert_eq!(flagged, [marked]);
    let told = highest(bench.ctx(), ada).await;
    assert!(changed(bench.ctx(), ada, &told).await.is_empty(), "who was told of it need not ask");
    let again = bench.recovered().await;
    assert_eq!(again.recovered.found.messages, 1);
    assert_eq!(
        was[0],
        View::of(&again.ctx, &again.store, ada).await,
        "deleting and marking are not accepting: they are lost"
    );
    let now = highest(&again.ctx, ada).await;
    assert!(told.iter().all(|(folder, told)| now[folder] >= *told), "told {told:?}, and now {now:?}");
    let kept: BTreeMap<_, _> = live.iter().map(|id| (*id, was[0].messages[id].flags.clone())).collect();
    assert_eq!(changed(&again.ctx, ada, &told).await, kept, "a client learns that the mark is lost");
    assert!(changed(&again.ctx, ada, &now).await.is_empty(), "and once");
    let mut of_bob = View::of(&again.ctx, &again.store, bob).await;
    let found = of_bob.messages.remove(&late).unwrap();
    assert!(found.uid > was[1].messages.values().map(|message| message.uid).max().unwrap());
    assert!(of_bob.bodies.remove(&late).is_some());
    assert_eq!((&was[1].messages, &was[1].bodies), (&of_bob.messages, &of_bob.bodies));
    assert_eq!(check::drift(&again.test_db.db()).await.unwrap(), check::Drift::default());
}
