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

use bytes::Bytes;
use db::SystemTx;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kernel::{FolderId, MailboxId, MessageId, Page, PageRequest};
use tenancy::{Action, Ctx, quota};
use uuid::Uuid;

use crate::message::{Filter, Message, PAGE_MESSAGES};
use crate::parsed::text::{ALL_BYTES, Texts};
use crate::{Error, MailStore, body, folder, message};

pub use query::{Day, MAX_QUERY_CHARS, MAX_QUERY_WORDS, Needle, Query};

use query::Facts;

/// How many messages' texts are in memory at a time.
const CHUNK: usize = 32;
/// How many bodies a process reads at a time for searches. Each can be 50 MiB, and its text several times that.
pub(crate) const READ_AT_ONCE: usize = 3;
/// How many messages one query fetches.
const SCANNED: i64 = 500;
/// How many messages' texts are looked at for one page.
const PAGE_TEXTS: u64 = 5_000;
/// How many bodies are read for one page, and from how many bytes on no more are.
const PAGE_BODIES: u64 = 200;
const PAGE_BYTES: u64 = 256 << 20;

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
    messages: u64,
    texts: u64,
    bodies: u64,
    bytes: u64,
}

/// One search in one mailbox.
struct Search<'a> {
    store: &'a MailStore,
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    filter: Filter,
    query: &'a Query,
}

/// The messages that may be it, some at a time.
struct Candidates<'a> {
    search: &'a Search<'a>,
    /// The bodies of which one may be it; `None` for every one.
    bodies: Option<Vec<Uuid>>,
    is_page: bool,
    /// Messages with one of the bodies that are next, and whether they are the last. There can be as many bodies as messages: they are looked up
    /// for a few messages, then for all that are left or that a page may come to.
    ids: std::vec::IntoIter<Uuid>,
    are_last: bool,
    has_begun: bool,
}

impl Candidates<'_> {
    /// The next ones, after what was looked at last; and whether there are no more.
    async fn next(&mut self, after: Uuid) -> Result<(Vec<Candidate>, bool), Error> {
        let Search { ctx, mailbox_id, filter, .. } = *self.search;
        let mut tx = ctx.read().await?;
        let Some(bodies) = &self.bodies else {
            let some = store::all(&mut tx, mailbox_id, filter, after, SCANNED).await?;
            let is_last = is_below(some.len(), SCANNED);
            return Ok((some, is_last));
        };
        if self.ids.len() == 0 && !self.are_last {
            let limit = match self.has_begun {
                false => Some(SCANNED),
                true => self.is_page.then_some(i64::from(PAGE_MESSAGES)),
            };
            self.ids = store::having(&mut tx, mailbox_id, filter, bodies, after, limit).await?.into_iter();
            self.are_last = limit.is_none_or(|limit| is_below(self.ids.len(), limit));
            self.has_begun = true;
        }
        let ids: Vec<Uuid> = self.ids.by_ref().take(usize::try_from(SCANNED).unwrap_or(usize::MAX)).collect();
        let some = store::among(&mut tx, mailbox_id, filter, &ids, after).await?;
        Ok((some, self.are_last && self.ids.len() == 0))
    }
}

fn is_below(count: usize, limit: i64) -> bool {
    i64::try_from(count).is_ok_and(|count| count < limit)
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
    let mut tx = ctx.read().await?;
    let messages = message::store::named(&mut tx, mailbox_id, filter.state, &ids).await?;
    let mut cut = Page::cut(messages, page, |message| message.id.uuid());
    if found.len() < wanted {
        cut.next = looked_at.map(|last| page.cursor_after(last));
    } else if cut.next.is_none() {
        // One of them went meanwhile, and the others are all on the page.
        cut.next = found.last().map(|candidate| page.cursor_after(candidate.id.uuid()));
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
    let filter = Filter { folder_id: Some(folder), ..Filter::default() };
    let search = Search { store, ctx, mailbox_id, filter, query };
    search.permit().await?;
    let (found, _) = search.find(Uuid::nil(), usize::MAX, false).await?;
    let uids: BTreeSet<u64> = found.into_iter().map(|candidate| candidate.facts.uid).collect();
    Ok(uids.into_iter().collect())
}

impl Search<'_> {
    async fn permit(&self) -> Result<(), Error> {
        self.ctx.require_mail(Action::MessageRead, self.mailbox_id).await?;
        let mut tx = self.ctx.read().await?;
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
        let mut candidates = Candidates {
            search: self,
            bodies: self.bodies().await?,
            is_page,
            ids: Vec::new().into_iter(),
            are_last: false,
            has_begun: false,
        };
        let (mut after, mut found, mut taken) = (after, Vec::new(), Taken::default());
        loop {
            let (some, is_last) = candidates.next(after).await?;
            let mut some = some.into_iter();
            loop {
                let chunk: Vec<Candidate> = some.by_ref().take(CHUNK).collect();
                let Some(last) = chunk.last() else { break };
                after = last.id.uuid();
                found.extend(self.sift(chunk, &mut taken).await?);
                let is_spent = is_page
                    && (taken.messages >= u64::from(PAGE_MESSAGES)
                        || taken.texts >= PAGE_TEXTS
                        || taken.bodies >= PAGE_BODIES
                        || taken.bytes >= PAGE_BYTES);
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
    async fn bodies(&self) -> Result<Option<Vec<Uuid>>, Error> {
        let Some(sets) = gram::asked(self.mailbox_id, self.query) else { return Ok(None) };
        // What is not indexed yet comes first: what is indexed meanwhile is seen twice, and not at all the other way round.
        let mut tx = self.ctx.read().await?;
        let mut bodies: BTreeSet<Uuid> =
            store::not_indexed(&mut tx, self.mailbox_id).await?.into_iter().collect();
        bodies.extend(store::in_part(&mut tx, self.mailbox_id).await?);
        drop(tx);
        #[expect(
            clippy::disallowed_methods,
            reason = "what a tenant's role may see of the index, it sees without it; \
            what is found is looked up as the tenant"
        )]
        let mut index = SystemTx::begin(self.ctx.db()).await?;
        store::by_index(&mut index).await?;
        for set in &sets {
            bodies.extend(store::with_grams(&mut index, self.ctx.tenant_id(), self.mailbox_id, set).await?);
        }
        Ok(Some(bodies.into_iter().collect()))
    }

    /// Those of some candidates that are it.
    async fn sift(&self, mut some: Vec<Candidate>, taken: &mut Taken) -> Result<Vec<Candidate>, Error> {
        taken.messages += some.len() as u64;
        if let Some(since) = self.filter.since {
            some.retain(|candidate| candidate.facts.internal_date >= since);
        }
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
            let mut tx = self.ctx.read().await?;
            texts.extend(store::texts(&mut tx, &ids, self.query.reads_body()).await?);
        }
        let (mut found, mut undecided) = (Vec::new(), BTreeMap::<Uuid, Vec<Candidate>>::new());
        for candidate in some {
            match self.query.is(&candidate.facts, texts.get(&candidate.blob_id)) {
                Some(true) => found.push(candidate),
                Some(false) => {}
                None => undecided.entry(candidate.blob_id).or_default().push(candidate),
            }
        }
        taken.bodies += undecided.len() as u64;
        taken.bytes += undecided
            .values()
            .filter_map(|of| of.first())
            .map(|candidate| candidate.facts.wire_size_bytes)
            .sum::<u64>();
        let mut read = stream::iter(undecided)
            .map(|(id, candidates)| self.read(id, candidates))
            .buffer_unordered(READ_AT_ONCE);
        while let Some(more) = read.try_next().await? {
            found.extend(more);
        }
        found.sort_unstable_by_key(|candidate| candidate.id);
        Ok(found)
    }

    /// Those messages of one body that are it, by what it says that is not indexed, or in part.
    async fn read(&self, id: Uuid, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Error> {
        // Held until nothing of it is in memory.
        let _turn = self.store.search_turns.acquire().await.map_err(|_| Error::ShuttingDown)?;
        let (query, facts) = (
            self.query.clone(),
            candidates.iter().map(|candidate| candidate.facts.clone()).collect::<Vec<_>>(),
        );
        let which = move |texts: Texts| {
            facts.iter().map(|facts| query.is(facts, Some(&texts)) == Some(true)).collect::<Vec<_>>()
        };
        let are = match body::find(self.store, self.ctx, id, None).await {
            Ok(bytes) => read(bytes, ALL_BYTES, which).await?,
            // Nobody can read it, and no search fails for it: it says nothing for as long as that is so.
            Err(error) if error.is_for_good() => which(Texts::of_nothing()),
            Err(error) => return Err(error),
        };
        let are = candidates.into_iter().zip(are).filter_map(|(candidate, is)| is.then_some(candidate));
        Ok(are.collect())
    }
}

/// What comes of what a body says, up to so many bytes.
async fn read<T: Send + 'static>(
    bytes: Bytes,
    max_bytes: usize,
    of: impl FnOnce(Texts) -> T + Send + 'static,
) -> Result<T, Error> {
    let texts = move || of(Texts::read(&bytes, max_bytes));
    tokio::task::spawn_blocking(texts).await.map_err(|_| Error::ShuttingDown)
}
