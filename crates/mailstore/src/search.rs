//! Finding messages by what they say and how they are marked.
//!
//! An index of every three characters in a row (`gram`) names candidates; whether one is found is decided by its texts, which the database
//! keeps beside it. What the index does not know yet is a candidate too, and its body is read. What no three characters in a row are known of
//! (short texts, `NOT`) is looked for in every message.

mod gram;
pub mod index;
mod query;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use db::SystemRead;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kernel::{Cursor, FolderId, MailboxId, MessageId, Page, PageRequest};
use tenancy::{Action, Ctx, quota};
use uuid::Uuid;

use crate::message::{Filter, Message, State};
use crate::parsed::text::{ALL_BYTES, Texts};
use crate::{Error, MailStore, body, folder, message};

pub use query::{Day, MAX_QUERY_CHARS, MAX_QUERY_WORDS, Needle, Query};

use query::Facts;

/// How many messages' texts are in memory at a time.
const CHUNK: usize = 32;
/// How many bodies are being read at a time.
const AT_ONCE: usize = 8;
/// How many messages one query fetches where every one is looked at.
const SCANNED: i64 = 500;
/// How many messages' texts are looked at for one page.
const PAGE_TEXTS: u64 = 5_000;
/// How many bodies are read for one page.
const PAGE_BODIES: u64 = 200;

/// A message that may be it.
#[derive(Debug)]
struct Candidate {
    id: MessageId,
    blob_id: Uuid,
    facts: Facts,
}

/// What a search has taken so far.
#[derive(Debug, Default)]
struct Taken {
    texts: u64,
    bodies: u64,
}

/// One search in one mailbox.
struct Search<'a> {
    store: &'a MailStore,
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    filter: Filter,
    query: &'a Query,
}

/// A page of the messages that are it, in the order of their ids. So much is looked at for one page that it may have fewer than asked for, or
/// none, and another follows all the same.
///
/// # Errors
/// As [`message::list`]; `Blob` when a body that is not indexed yet cannot be read.
pub async fn messages(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    filter: Filter,
    query: &Query,
    page: &PageRequest,
) -> Result<Page<Message>, Error> {
    let search = Search { store, ctx, mailbox_id, filter, query };
    search.permit().await?;
    let wanted = usize::try_from(page.fetch()).unwrap_or(usize::MAX);
    let (found, looked_at) = search.find(page.after(), wanted, true).await?;
    let ids: Vec<MessageId> = found.iter().map(|candidate| candidate.id).collect();
    let mut tx = ctx.begin().await?;
    let messages = message::store::named(&mut tx, mailbox_id, filter.state, &ids).await?;
    let mut cut = Page::cut(messages, page, |message| message.id.uuid());
    if found.len() < wanted {
        cut.next = looked_at.map(Cursor::after);
    } else if cut.next.is_none() {
        // One of them went meanwhile.
        cut.next = found.iter().nth_back(1).map(|candidate| Cursor::after(candidate.id.uuid()));
    }
    Ok(cut)
}

/// The UIDs of a folder's messages that are it, in their order.
///
/// # Errors
/// As [`messages`].
pub async fn uids(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    query: &Query,
) -> Result<Vec<u64>, Error> {
    let filter = Filter { folder_id: Some(folder), state: State::Live };
    let search = Search { store, ctx, mailbox_id, filter, query };
    search.permit().await?;
    let (found, _) = search.find(Uuid::nil(), usize::MAX, false).await?;
    let uids: BTreeSet<u64> = found.into_iter().map(|candidate| candidate.facts.uid).collect();
    Ok(uids.into_iter().collect())
}

impl Search<'_> {
    async fn permit(&self) -> Result<(), Error> {
        self.ctx.require_mail(Action::MessageRead, self.mailbox_id).await?;
        let mut tx = self.ctx.begin().await?;
        if !quota::exists(&mut tx, self.mailbox_id).await? {
            return Err(Error::NotFound);
        }
        match self.filter.folder_id {
            Some(folder) if !folder::store::exists(&mut tx, self.mailbox_id, folder).await? => {
                Err(Error::FolderNotFound)
            }
            _ => Ok(()),
        }
    }

    /// The first so many after an id; and, unless it looked at all that was left, the last that it looked at.
    async fn find(
        &self,
        after: Uuid,
        wanted: usize,
        is_page: bool,
    ) -> Result<(Vec<Candidate>, Option<Uuid>), Error> {
        let bodies = self.candidates().await?;
        let (mut after, mut found, mut taken) = (after, Vec::new(), Taken::default());
        loop {
            let mut tx = self.ctx.begin().await?;
            let some = match &bodies {
                Some(bodies) => store::among(&mut tx, self.mailbox_id, self.filter, bodies, after).await?,
                None => store::all(&mut tx, self.mailbox_id, self.filter, after, SCANNED).await?,
            };
            drop(tx);
            let is_last = bodies.is_some() || some.len() < usize::try_from(SCANNED).unwrap_or(usize::MAX);
            let mut some = some.into_iter();
            loop {
                let chunk: Vec<Candidate> = some.by_ref().take(CHUNK).collect();
                let Some(last) = chunk.last() else { break };
                after = last.id.uuid();
                found.extend(self.sift(chunk, &mut taken).await?);
                let is_spent = is_page && (taken.texts >= PAGE_TEXTS || taken.bodies >= PAGE_BODIES);
                if found.len() >= wanted || (is_spent && !(is_last && some.len() == 0)) {
                    found.truncate(wanted);
                    return Ok((found, Some(after)));
                }
            }
            if is_last {
                return Ok((found, None));
            }
        }
    }

    /// The bodies of which one may be it; `None` for every one.
    async fn candidates(&self) -> Result<Option<Vec<Uuid>>, Error> {
        let Some(sets) = gram::asked(self.mailbox_id, self.query) else { return Ok(None) };
        // What is not indexed yet comes first: what is indexed meanwhile is seen twice, and not at all the other way round.
        let mut tx = self.ctx.begin().await?;
        let mut bodies: BTreeSet<Uuid> =
            store::not_indexed(&mut tx, self.mailbox_id).await?.into_iter().collect();
        bodies.extend(store::in_part(&mut tx, self.mailbox_id).await?);
        drop(tx);
        #[expect(
            clippy::disallowed_methods,
            reason = "what a tenant's role may see of the index, it sees without it; \
            what is found is looked up as the tenant"
        )]
        let mut index = SystemRead::open(self.ctx.db()).await?;
        for set in &sets {
            bodies.extend(store::with_grams(&mut index, self.ctx.tenant_id(), self.mailbox_id, set).await?);
        }
        Ok(Some(bodies.into_iter().collect()))
    }

    /// Those of some candidates that are it.
    async fn sift(&self, some: Vec<Candidate>, taken: &mut Taken) -> Result<Vec<Candidate>, Error> {
        let mut open = BTreeSet::new();
        for candidate in &some {
            if self.query.is(&candidate.facts, None).is_none() {
                open.insert(candidate.blob_id);
            }
        }
        let mut texts = BTreeMap::new();
        if !open.is_empty() {
            taken.texts += open.len() as u64;
            let ids: Vec<Uuid> = open.into_iter().collect();
            let mut tx = self.ctx.begin().await?;
            texts.extend(store::texts(&mut tx, &ids).await?);
        }
        let is = |candidate: &Candidate, texts: &BTreeMap<Uuid, Texts>| {
            self.query.is(&candidate.facts, texts.get(&candidate.blob_id))
        };
        let undecided: BTreeSet<Uuid> = some
            .iter()
            .filter(|candidate| is(candidate, &texts).is_none())
            .map(|candidate| candidate.blob_id)
            .collect();
        taken.bodies += undecided.len() as u64;
        let read =
            stream::iter(undecided).map(|id| async move { self.read(id).await.map(|texts| (id, texts)) });
        let read: Vec<(Uuid, Texts)> = read.buffer_unordered(AT_ONCE).try_collect().await?;
        texts.extend(read);
        Ok(some.into_iter().filter(|candidate| is(candidate, &texts) == Some(true)).collect())
    }

    /// What a body says that is not indexed, or in part.
    async fn read(&self, id: Uuid) -> Result<Texts, Error> {
        let mut tx = self.ctx.begin().await?;
        let place = store::place(&mut tx, id).await?;
        drop(tx);
        // No message has it any more.
        let Some(place) = place else { return Ok(Texts::of_nothing()) };
        match read(self.store, self.ctx, place, ALL_BYTES).await {
            // As it is indexed. Nobody can read it, and no search fails for it.
            Err(Error::Unreadable(_)) => Ok(Texts::of_nothing()),
            texts => texts,
        }
    }
}

/// What a body says, up to so many bytes.
async fn read(store: &MailStore, ctx: &Ctx, place: body::Columns, max_bytes: usize) -> Result<Texts, Error> {
    let bytes = body::read(store, ctx, place).await?;
    let texts = move || Texts::read(&bytes, max_bytes);
    tokio::task::spawn_blocking(texts).await.map_err(|_| Error::ShuttingDown)
}
