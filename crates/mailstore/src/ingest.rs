//! The one door for mail, whatever protocol it came by: what arrives together is sealed into one pack, uploaded, and committed in one
//! transaction.
//!
//! A body is stored once for each hundred mailboxes of a tenant among the recipients, under that tenant's key, never shared across tenants. Each
//! such part is a message of its own: its body and rows are durable together, and what is wrong with it is only its own recipients' result. An upload that fails and
//! a database that is away are the result of all who were in the batch.

mod batch;
mod door;
mod store;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use kernel::{FolderId, MailboxId, MessageId, TenantId};
use pack::{Compressed, DataKey, Uidl};
use sha2::{Digest as _, Sha256};
use tenancy::{Action, Ctx};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use crate::Error;
pub(crate) use crate::ingest::door::Door;
use crate::message::{Flags, MAX_KEYWORDS};
use crate::outline::{self, Outline};
use crate::uidlist::Listed;
use crate::{MAX_MESSAGE_BYTES, MailStore};

/// What an edge may put before the message it took in (RFC 5321 §4.4), on top of [`MAX_MESSAGE_BYTES`].
const MAX_TRACE_BYTES: u64 = 64 * 1024;

/// Messages of fewer bytes are prepared on the thread that took them in.
const SHORT_BYTES: usize = 16 << 10;

/// How many mailboxes of a tenant share one body: a message to all of a big group holds some of their mailboxes at a time.
const AT_ONCE: usize = 100;

/// A mailbox that the message is for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whoever puts it there, proven for the mailbox's tenant.
    pub ctx: Ctx,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// Where in it.
    pub folder: Within,
    /// How many bytes there was room for, in the mailbox and above it, when somebody looked; `None` if nobody has. A message that would not have fitted is
    /// looked at again before it is uploaded; whether it fits is decided when it is committed.
    pub room_bytes: Option<u64>,
}

/// Where in a mailbox a message is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Within {
    /// Its Inbox.
    Inbox,
    /// Its Junk folder, which is made where there is none.
    Junk,
    /// A folder that has to be there.
    Folder(FolderId),
}

impl Within {
    /// The folder that is named by its id.
    pub(crate) fn named(self) -> Option<FolderId> {
        match self {
            Self::Folder(id) => Some(id),
            Self::Inbox | Self::Junk => None,
        }
    }
}

impl From<Option<FolderId>> for Within {
    /// The folder, or the Inbox where none is named.
    fn from(folder: Option<FolderId>) -> Self {
        folder.map_or(Self::Inbox, Self::Folder)
    }
}

/// A message to take in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Its bytes, stored as they are.
    pub bytes: Bytes,
    /// When it was received, as IMAP's INTERNALDATE has it.
    pub internal_date: DateTime<Utc>,
    /// How it is marked from the start.
    pub flags: Flags,
    /// Set by an import, to take each message once however often it is run.
    pub import_key: Option<ImportKey>,
}

/// What tells an imported message from the others of its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportKey {
    /// The hash of the CRLF form.
    pub sha256: [u8; 32],
    /// The how-manieth of its equals in the run, from 1.
    pub occurrence: i32,
}

/// What a message was known by before: elsewhere, or here. Where that is another's by now, it is known by something else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Was {
    /// Its name by POP3.
    pub(crate) uidl: Option<Uidl>,
    /// Its UID. It counts in a folder that has taken over the numbering which it is of.
    pub(crate) listed: Option<Listed>,
}

/// What became of the message in one mailbox. Body and row are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is there under this id.
    Stored(MessageId),
    /// An earlier import has taken it already.
    AlreadyImported,
}

/// Takes a message in. One result for each target, in their order; a mailbox that is named twice gets the message
/// once and answers twice. Waits where too much is being taken in.
///
/// Dropping the future stores nothing or everything of a part; what was uploaded in vain is swept.
pub async fn ingest(
    store: &MailStore,
    targets: Vec<Target>,
    incoming: Incoming,
) -> Vec<Result<Outcome, Error>> {
    let room = store.door.room_for(incoming.bytes.len()).await;
    let message = match prepare(incoming, room).await {
        Ok(message) => Arc::new(message),
        Err(error) => return targets.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut by_tenant: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
    for (place, target) in targets.iter().enumerate() {
        by_tenant.entry(target.ctx.tenant_id()).or_default().push(place);
    }
    let parts = by_tenant.values().map(|places| async {
        let targets: Vec<&Target> = places.iter().map(|&place| &targets[place]).collect();
        deliver(store, &targets, &message).await
    });
    let results = join_all(parts).await.into_iter().flatten();
    let mut in_order: Vec<_> = by_tenant.values().flatten().copied().zip(results).collect();
    in_order.sort_by_key(|(place, _)| *place);
    in_order.into_iter().map(|(_, result)| result).collect()
}

/// Takes in a message that was known by something before.
///
/// # Errors
/// As [`ingest`].
pub(crate) async fn ingest_known(
    store: &MailStore,
    target: &Target,
    incoming: Incoming,
    was: Was,
) -> Result<Outcome, Error> {
    may_write(target)?;
    let room = store.door.room_for(incoming.bytes.len()).await;
    let message = Arc::new(prepare(incoming, room).await?);
    let delivery = Delivery { was, ..Delivery::new(target) };
    submit(store, vec![delivery], &message).await?.pop().unwrap_or(Err(Error::ShuttingDown))
}

/// Takes several messages into one folder in their order, all of them or none. Their ids.
///
/// # Errors
/// That of the first that cannot be taken in. Dropping the future stores nothing or everything.
pub async fn ingest_all(
    store: &MailStore,
    target: Target,
    incoming: Vec<Incoming>,
) -> Result<Vec<MessageId>, Error> {
    may_write(&target)?;
    // For all at once: two who have half of it each would wait for each other.
    let bytes = incoming.iter().map(|incoming| incoming.bytes.len()).sum();
    let mut room = store.door.room_for(bytes).await;
    let key = store.keys.sealing(&target.ctx).await?;
    let (mut parts, mut answers) = (Vec::new(), Vec::new());
    for incoming in incoming {
        let message = Arc::new(prepare(incoming, room.take()).await?);
        let (reply, answer) = oneshot::channel();
        let (deliveries, is_dedicated) = (vec![Delivery::new(&target)], target.ctx.is_storage_dedicated());
        parts.push(Part { message, deliveries, key: key.clone(), is_dedicated, reply });
        answers.push(answer);
    }
    door::enter_whole(store, parts);
    let answers = join_all(answers).await.into_iter();
    let stored = answers.map(|answer| match answer.map(|mut results| results.pop()) {
        Ok(Some(Ok(Outcome::Stored(id)))) => Ok(id),
        Ok(Some(Err(error))) => Err(error),
        // Without an import's key nothing is taken for one that is there already.
        Ok(Some(Ok(Outcome::AlreadyImported)) | None) | Err(_) => Err(Error::ShuttingDown),
    });
    stored.collect()
}

/// Puts a message into mailboxes of one tenant, each named once, under ids that the caller has made for good: however often it is asked for, each
/// has it once for as long as it is not destroyed there. One result for each, in their order. The caller may deliver.
///
/// # Errors
/// As [`ingest`]; then it is not known who has it.
pub async fn ingest_once(
    store: &MailStore,
    ctx: &Ctx,
    incoming: Incoming,
    deliveries: &[(MessageId, MailboxId)],
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    ctx.require(Action::MessageDeliver)?;
    let room = store.door.room_for(incoming.bytes.len()).await;
    let message = Arc::new(prepare(incoming, room).await?);
    let mut results = Vec::new();
    for some in deliveries.chunks(AT_ONCE) {
        let mut tx = ctx.begin().await?;
        let there = crate::message::store::existing(&mut tx, some).await?;
        drop(tx);
        let missing = some.iter().filter(|(id, _)| !there.contains(id));
        let missing = missing.map(|&(id, mailbox_id)| Delivery {
            ctx: ctx.clone(),
            mailbox_id,
            folder: Within::Inbox,
            id,
            is_told: true,
            was: Was::default(),
            is_accepted: false,
            began_at: None,
            room_bytes: None,
        });
        let mut stored = submit(store, missing.collect(), &message).await?.into_iter();
        results.extend(some.iter().map(|&(id, _)| match there.contains(&id) {
            true => Ok(Outcome::Stored(id)),
            false => stored.next().unwrap_or(Err(Error::ShuttingDown)),
        }));
    }
    Ok(results)
}

/// Takes in a message of one tenant again, whether or not there is room, under ids and names by POP3 that it had: one result for each delivery, in their order.
pub(crate) async fn again(
    store: &MailStore,
    ctx: &Ctx,
    incoming: Incoming,
    deliveries: &[pack::Delivery],
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let room = store.door.room_for(incoming.bytes.len()).await;
    let message = Arc::new(prepare(incoming, room).await?);
    let delivery = |had: &pack::Delivery| Delivery {
        ctx: ctx.clone(),
        mailbox_id: had.mailbox,
        folder: had.folder.into(),
        id: had.message,
        is_told: false,
        was: Was { uidl: Some(had.uidl.clone()), listed: None },
        is_accepted: true,
        began_at: None,
        room_bytes: None,
    };
    submit(store, deliveries.iter().map(delivery).collect(), &message).await
}

/// A message with everything that is told from its bytes.
#[derive(Debug)]
struct Message {
    body: Compressed,
    size_bytes: u64,
    wire_size_bytes: u64,
    sha256: [u8; 32],
    outline: outline::Columns,
    internal_date: DateTime<Utc>,
    flags: Flags,
    import_key: Option<ImportKey>,
    /// What it takes of the door's room, until nothing of it is in memory: whoever sent it may go away before.
    _room: Option<OwnedSemaphorePermit>,
}

async fn prepare(incoming: Incoming, room: Option<OwnedSemaphorePermit>) -> Result<Message, Error> {
    let Incoming { bytes, internal_date, flags, import_key } = incoming;
    let (size_bytes, limit_bytes) = (bytes.len() as u64, MAX_MESSAGE_BYTES + MAX_TRACE_BYTES);
    let too_large = Error::TooLarge { size_bytes, limit_bytes };
    if size_bytes > limit_bytes {
        return Err(too_large);
    }
    // The table would refuse it too, and with it all that goes in together.
    if flags.keywords.len() > MAX_KEYWORDS {
        return Err(Error::TooManyKeywords { max: MAX_KEYWORDS as u64 });
    }
    let is_short = bytes.len() < SHORT_BYTES;
    let work = move || {
        Ok(Message {
            body: Compressed::new(&bytes).map_err(|_| too_large)?,
            size_bytes,
            wire_size_bytes: kernel::crlf::len(&bytes),
            sha256: Sha256::digest(&bytes).into(),
            outline: Outline::of(&bytes).columns(),
            internal_date,
            flags,
            import_key,
            _room: room,
        })
    };
    // Hashing, parsing and compressing 50 MiB would hold up every other session of an async thread; to hand a short message to another costs more than that.
    if is_short {
        caught(work)
    } else {
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)?
    }
}

/// A panic is the end of its message, whose senders are told, and of nothing else, as it is on a thread that may block.
fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Error::ShuttingDown)?
}

/// What is stored with one body: a message for some mailboxes of one tenant.
#[derive(Debug)]
struct Part {
    message: Arc<Message>,
    /// One at least.
    deliveries: Vec<Delivery>,
    /// The tenant's.
    key: Arc<DataKey>,
    /// Whether it may lie beside no other tenant's.
    is_dedicated: bool,
    /// A result for each delivery; dropped without one, the process is shutting down.
    reply: oneshot::Sender<Vec<Result<Outcome, Error>>>,
}

impl Part {
    /// The tenant whose own its pack has to be, if it may not be shared.
    fn owner(&self) -> Option<TenantId> {
        self.is_dedicated.then(|| self.key.tenant())
    }
}

/// One mailbox, and the message that it is to get.
#[derive(Debug)]
struct Delivery {
    ctx: Ctx,
    mailbox_id: MailboxId,
    folder: Within,
    id: MessageId,
    /// Whether webhooks are told: it arrives, and is not put there by somebody who writes into the mailbox, or put back.
    is_told: bool,
    was: Was,
    /// Whether it was accepted before, and lost: no limit keeps it out.
    is_accepted: bool,
    /// When the id was made, for what is at once accepted or refused; `None` where it was made for good before.
    began_at: Option<DateTime<Utc>>,
    /// As of [`Target::room_bytes`].
    room_bytes: Option<u64>,
}

impl Delivery {
    fn new(target: &Target) -> Self {
        let &Target { ref ctx, mailbox_id, folder, room_bytes } = target;
        let is_told = ctx.require(Action::MessageDeliver).is_ok();
        let began_at = Some(ctx.env().now());
        let (ctx, id, was) = (ctx.clone(), ctx.env().new_id(), Was::default());
        Self { ctx, mailbox_id, folder, id, is_told, was, is_accepted: false, began_at, room_bytes }
    }

    /// Whether it has taken longer than that.
    fn is_late(&self, now: DateTime<Utc>, limit: TimeDelta) -> bool {
        self.began_at.is_some_and(|began| now - began > limit)
    }

    /// Whether there was room for so many bytes when somebody looked, or need be none.
    fn has_room_for(&self, bytes: u64) -> bool {
        self.is_accepted || self.room_bytes.is_some_and(|room| bytes <= room)
    }

    /// Its name by POP3, unless that is another message's.
    fn uidl(&self) -> Uidl {
        self.was.uidl.clone().unwrap_or_else(|| Uidl::of(self.id))
    }
}

/// Delivers to the targets of one tenant; a result for each.
async fn deliver(
    store: &MailStore,
    targets: &[&Target],
    message: &Arc<Message>,
) -> Vec<Result<Outcome, Error>> {
    let mut results = BTreeMap::new();
    let mut open: BTreeMap<(MailboxId, Within), Delivery> = BTreeMap::new();
    for target in targets {
        let place = (target.mailbox_id, target.folder);
        if results.contains_key(&place) || open.contains_key(&place) {
            continue;
        }
        match may_write(target) {
            Ok(()) => drop(open.insert(place, Delivery::new(target))),
            Err(refusal) => drop(results.insert(place, Err(refusal))),
        }
    }
    let mut open = open.into_values().peekable();
    while open.peek().is_some() {
        let deliveries: Vec<Delivery> = open.by_ref().take(AT_ONCE).collect();
        let places: Vec<_> =
            deliveries.iter().map(|delivery| (delivery.mailbox_id, delivery.folder)).collect();
        match submit(store, deliveries, message).await {
            Ok(outcomes) => results.extend(places.into_iter().zip(outcomes)),
            Err(error) => results.extend(places.into_iter().map(|place| (place, Err(error.clone())))),
        }
    }
    let result = |target: &&Target| results.get(&(target.mailbox_id, target.folder)).cloned();
    targets.iter().map(|target| result(target).unwrap_or(Err(Error::ShuttingDown))).collect()
}

/// A server hands mail over; anybody else writes into a mailbox that is theirs to write to.
fn may_write(target: &Target) -> Result<(), Error> {
    if target.ctx.require(Action::MessageDeliver).is_ok() {
        return Ok(());
    }
    Ok(target.ctx.require_mailbox(Action::MessageWrite, target.mailbox_id)?)
}

async fn submit(
    store: &MailStore,
    deliveries: Vec<Delivery>,
    message: &Arc<Message>,
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let Some(first) = deliveries.first() else { return Ok(Vec::new()) };
    let (key, is_dedicated) = (store.keys.sealing(&first.ctx).await?, first.ctx.is_storage_dedicated());
    let (reply, answer) = oneshot::channel();
    door::enter(store, Part { message: message.clone(), deliveries, key, is_dedicated, reply });
    answer.await.map_err(|_| Error::ShuttingDown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_message() {
        assert!(matches!(caught(|| Ok(1)), Ok(1)));
        let ended = caught::<()>(|| panic!("as a parser might"));
        assert!(matches!(ended, Err(Error::ShuttingDown)), "{ended:?}");
    }
}
