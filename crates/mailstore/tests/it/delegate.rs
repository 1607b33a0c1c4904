//! What delegates do in a mailbox, and what they do not.

use kernel::{ErrorKind, FolderId, MailboxId, MessageId};
use mailstore::change::UidSet;
use mailstore::folder::{self, Changed, NewFolder};
use mailstore::ingest::{Target, ingest};
use mailstore::message::{self, Flag, FlagChange, Flags, State, Update};
use mailstore::view::{self, Marking};
use mailstore::{Error, change};
use tenancy::Ctx;
use tenancy::delegate::{self, Right};

use crate::support::{Bench, HELLO, inbox};

/// A mailbox with a message that is live, one that was deleted, and a folder.
struct Shared {
    mailbox: MailboxId,
    inbox: FolderId,
    live: MessageId,
    deleted: MessageId,
    folder: FolderId,
}

impl Shared {
    async fn new(bench: &Bench) -> Self {
        let mailbox = bench.mailbox("info", None).await;
        let (live, deleted) = (bench.stored(mailbox, HELLO).await, bench.stored(mailbox, HELLO).await);
        message::discard(&bench.store, bench.ctx(), mailbox, deleted).await.unwrap();
        let folder = folder::create(&bench.store, bench.ctx(), mailbox, new("Made")).await.unwrap().id;
        Self { mailbox, inbox: inbox(bench, mailbox).await.id, live, deleted, folder }
    }

    /// What came of everything that changes mail or folders, each once.
    async fn changes(&self, bench: &Bench, ctx: &Ctx) -> Vec<Result<(), Error>> {
        let (store, to) = (&bench.store, self.mailbox);
        let flagged = FlagChange::adding(Flags { flags: [Flag::Flagged].into(), ..Flags::default() });
        let doomed = FlagChange::adding(Flags { flags: [Flag::Deleted].into(), ..Flags::default() });
        let marking = Marking { change: doomed, ..Marking::default() };
        let update = Update { folder: Some(self.folder), flags: flagged.clone() };
        let here = message::Target { mailbox_id: to, folder: Some(self.inbox) };
        let all: UidSet = std::iter::once(1..=u64::from(u32::MAX)).collect();
        let all = all.ranges();
        let renamed = Changed { name: Some("Renamed".into()), ..Changed::default() };
        let target = Target { ctx: ctx.clone(), ..bench.target(to) };
        vec![
            ingest(store, vec![target], bench.incoming(HELLO)).await.remove(0).map(drop),
            message::recover(store, ctx, to, self.deleted).await.map(drop),
            message::flag(store, ctx, to, &[self.live], &flagged).await.map(drop),
            message::update(store, ctx, to, self.live, &update, None).await.map(drop),
            message::relocate(store, ctx, to, &[self.live], self.inbox).await.map(drop),
            message::copy(store, ctx, to, &[self.live], here).await.map(drop),
            view::copy(store, ctx, to, self.inbox, all, here).await.map(drop),
            view::relocate(store, ctx, to, self.inbox, all, here).await.map(drop),
            message::discard(store, ctx, to, self.live).await,
            view::flag(store, ctx, to, self.inbox, all, &marking).await.map(drop),
            view::expunge(store, ctx, to, self.inbox, all).await.map(drop),
            folder::create(store, ctx, to, new("New")).await.map(drop),
            folder::update(store, ctx, to, self.folder, renamed).await.map(drop),
            folder::delete(store, ctx, to, self.folder).await,
            folder::gone::unsubscribe(ctx, to, "Renamed").await.map(drop),
        ]
    }
}

fn new(name: &str) -> NewFolder {
    NewFolder { parent_id: None, name: name.into(), role: None, is_subscribed: true }
}

#[tokio::test]
async fn who_may_read_changes_nothing_and_who_has_full_access_does_what_an_owner_does() {
    let bench = Bench::new().await;
    let ada = bench.world.user("ada", None).await;
    let shared = Shared::new(&bench).await;
    let modseq = async || change::since(bench.ctx(), shared.mailbox, None).await.unwrap().modseq;
    let before = modseq().await;
    let stranger = bench.world.login(&ada).await.ctx;
    let refusals: [(&[Right], ErrorKind); 4] = [
        (&[], ErrorKind::NotFound),
        (&[Right::SendAs, Right::SendOnBehalf], ErrorKind::NotFound),
        (&[Right::Read], ErrorKind::Forbidden),
        (&[Right::Read, Right::SendAs], ErrorKind::Forbidden),
    ];
    for (rights, kind) in refusals {
        if !rights.is_empty() {
            delegate::put(bench.ctx(), shared.mailbox, ada.id, rights).await.unwrap();
        }
        let ctx = bench.world.login(&ada).await.ctx;
        for (at, done) in shared.changes(&bench, &ctx).await.into_iter().enumerate() {
            assert_eq!(done.as_ref().unwrap_err().kind(), kind, "{at} with {rights:?}: {done:?}");
        }
    }
    assert_eq!(modseq().await, before);
    delegate::put(bench.ctx(), shared.mailbox, ada.id, &[Right::FullAccess]).await.unwrap();
    let ctx = bench.world.login(&ada).await.ctx;
    for (at, done) in shared.changes(&bench, &ctx).await.into_iter().enumerate() {
        assert!(done.is_ok(), "{at}: {done:?}");
    }
    assert!(modseq().await > before);
    // Who was proven before that has what was there then.
    let refused = message::discard(&bench.store, &stranger, shared.mailbox, shared.live).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    bench.assert_exact().await;
}

#[tokio::test]
async fn between_mailboxes_a_delegate_moves_with_full_access_alone() {
    let bench = Bench::new().await;
    let ada = bench.world.user("ada", None).await;
    let (mailbox, own) = (bench.mailbox("info", None).await, ada.mailbox_id);
    for mailbox in [mailbox, own] {
        bench.stored(mailbox, HELLO).await;
    }
    let (theirs, mine) = (inbox(&bench, mailbox).await.id, inbox(&bench, own).await.id);
    let all = [1..=u64::from(u32::MAX)];
    for (right, moves) in [(Right::SendAs, false), (Right::Read, false), (Right::FullAccess, true)] {
        delegate::put(bench.ctx(), mailbox, ada.id, &[right]).await.unwrap();
        let ctx = bench.world.login(&ada).await.ctx;
        let to = message::Target { mailbox_id: own, folder: Some(mine) };
        let out = view::relocate(&bench.store, &ctx, mailbox, theirs, &all, to).await;
        let to = message::Target { mailbox_id: mailbox, folder: Some(theirs) };
        let back = view::relocate(&bench.store, &ctx, own, mine, &all, to).await;
        assert_eq!((out.is_ok(), back.is_ok()), (moves, moves), "{right}: {out:?} {back:?}");
    }
    // One went out, and both came back.
    let count = async |mailbox, state| bench.list(mailbox, state).await.len();
    assert_eq!((count(mailbox, State::Live).await, count(mailbox, State::Recoverable).await), (2, 1));
    assert_eq!((count(own, State::Live).await, count(own, State::Recoverable).await), (0, 2));
    bench.assert_exact().await;
}
