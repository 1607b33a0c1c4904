//! What POP3 sees: the Inbox of one mailbox, by one session at a time, as it was when the session began.
//!
//! The exclusive access (RFC 1939 §8) is a lease of [`LEASE`], so that a dead phone blocks nobody for long; a session
//! renews it while it lives. New mail arrives meanwhile and shows in the next session.

mod store;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{FolderId, MailboxId, MessageId};
use tenancy::{Action, Ctx, MailLogin, quota};
use uuid::Uuid;

pub use crate::Error;
use crate::{MailStore, body, folder, message};

/// How long a session keeps the mailbox to itself without renewing.
pub const LEASE: TimeDelta = TimeDelta::seconds(120);

/// How many messages are looked up at once for whoever reads one after the other; twice as many each time that all of them were read while that was
/// fresh, up to the most.
const AHEAD: usize = 16;
const MOST_AHEAD: usize = 512;
/// How long what was looked up is used.
const FRESH: TimeDelta = TimeDelta::seconds(1);

/// A message in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub message_id: MessageId,
    /// Its unique id listing: 1 to 70 characters from 0x21 to 0x7E.
    pub uidl: String,
    /// The octets that [`Maildrop::body`] returns.
    pub wire_size_bytes: u64,
}

/// A session's exclusive view of an Inbox.
#[derive(Debug)]
pub struct Maildrop {
    store: MailStore,
    ctx: Ctx,
    mailbox_id: MailboxId,
    inbox: FolderId,
    holder: Uuid,
    entries: Vec<Entry>,
    ahead: Mutex<Ahead>,
}

/// Where the next messages lie, for whoever reads one after the other.
#[derive(Debug, Default)]
struct Ahead {
    /// What would be the next, after the one that was read last.
    next: Option<usize>,
    places: BTreeMap<usize, body::Columns>,
    looked_up_at: DateTime<Utc>,
    /// How many were looked up then.
    count: usize,
    /// Their bodies, which are being fetched.
    expected: Option<body::cache::Expected>,
}

/// Takes the lease and the snapshot, in the order of UIDs.
///
/// # Errors
/// [`Error::InUse`] when another session holds the lease, [`Error::NotFound`] when the mailbox is gone, `Forbidden` by role.
pub async fn open(store: &MailStore, login: &MailLogin) -> Result<Maildrop, Error> {
    let (ctx, mailbox_id) = (login.ctx.clone(), login.mailbox_id);
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    let holder = ctx.env().new_uuid();
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    if !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    if !store::take_lease(&mut tx, mailbox_id, holder, now, now + LEASE).await? {
        return Err(Error::InUse);
    }
    let inbox = folder::ensure_inbox(&mut tx, &ctx, mailbox_id).await?;
    let entries = store::snapshot(&mut tx, mailbox_id, inbox).await?;
    tx.commit().await?;
    let ahead = Mutex::default();
    Ok(Maildrop { store: store.clone(), ctx, mailbox_id, inbox, holder, entries, ahead })
}

impl Maildrop {
    /// Whose it is.
    pub fn mailbox_id(&self) -> MailboxId {
        self.mailbox_id
    }

    /// The snapshot; an index into it names a message in the other calls.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A message in its CRLF form, not byte-stuffed: exactly [`Entry::wire_size_bytes`] octets.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an index that is not in the snapshot and for a message that somebody else has deleted
    /// meanwhile, a second ago or longer; `Blob` when the blob store fails.
    pub async fn body(&self, index: usize) -> Result<Bytes, Error> {
        let place = match self.looked_up(index) {
            Ok(place) => place,
            Err(count) => self.look_up(index, count).await?,
        };
        self.read(index, place).await
    }

    /// As [`Self::body`], to be run beside other work; `None` unless it is the message after the one that was read last, and was looked up with it.
    /// Until it is asked for it may be deleted.
    pub fn body_ahead(
        &self,
        index: usize,
    ) -> Option<impl Future<Output = Result<Bytes, Error>> + Send + use<>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = self.ctx.env().now() - ahead.looked_up_at < FRESH;
        let place = ahead.places.remove(&index).filter(|_| is_fresh && ahead.next == Some(index))?;
        ahead.next = Some(index + 1);
        Some(self.read(index, place))
    }

    fn read(
        &self,
        index: usize,
        place: body::Columns,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send + use<> {
        let (store, ctx) = (self.store.clone(), self.ctx.clone());
        let wire_size_bytes = self.entries.get(index).map_or(0, |entry| entry.wire_size_bytes);
        async move { body::in_crlf(body::read(&store, &ctx, place).await?, wire_size_bytes).await }
    }

    /// Where a message lies, if that was looked up a moment ago; or how many to look up from it on.
    fn looked_up(&self, index: usize) -> Result<body::Columns, usize> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let is_next = ahead.next.replace(index + 1) == Some(index);
        let is_fresh = self.ctx.env().now() - ahead.looked_up_at < FRESH;
        if !is_fresh {
            ahead.places.clear();
        }
        let more = if is_fresh { (ahead.count * 2).clamp(AHEAD, MOST_AHEAD) } else { AHEAD };
        ahead.places.remove(&index).ok_or(if is_next { more } else { 1 })
    }

    async fn look_up(&self, index: usize, count: usize) -> Result<body::Columns, Error> {
        let wanted = self.entries.iter().skip(index).take(count).map(|entry| entry.message_id);
        let looked_up_at = self.ctx.env().now();
        let mut tx = self.ctx.read().await?;
        let found = store::places(&mut tx, self.mailbox_id, wanted).await?;
        drop(tx);
        let mut places: BTreeMap<usize, body::Columns> =
            found.into_iter().map(|(offset, place)| (index + offset, place)).collect();
        let expected =
            body::expect(&self.store, self.ctx.tenant_id(), places.values().copied().collect()).await;
        let place = places.remove(&index).ok_or(Error::NotFound)?;
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        (ahead.places, ahead.looked_up_at, ahead.count) = (places, looked_up_at, count);
        ahead.expected = expected;
        Ok(place)
    }

    /// Keeps the lease for another [`LEASE`] from now.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when it ran out and another session took it.
    pub async fn renew(&self) -> Result<(), Error> {
        let until = self.ctx.env().now() + LEASE;
        let mut tx = self.ctx.begin().await?;
        if !store::renew_lease(&mut tx, self.mailbox_id, self.holder, until).await? {
            return Err(Error::LeaseLost);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Deletes the messages with these indexes, all or none, and releases the lease. They stay recoverable for 30
    /// days. What somebody else has deleted meanwhile is passed over.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] as [`Maildrop::renew`], `Forbidden` by role; nothing is deleted then.
    pub async fn close(self, delete: &[usize]) -> Result<(), Error> {
        let mut tx = self.ctx.begin().await?;
        if !store::release_lease(&mut tx, self.mailbox_id, self.holder).await? {
            return Err(Error::LeaseLost);
        }
        let ids: Vec<MessageId> = delete
            .iter()
            .filter_map(|&index| self.entries.get(index))
            .map(|entry| entry.message_id)
            .collect();
        if !ids.is_empty() {
            self.ctx.require_mailbox(Action::MessageDelete, self.mailbox_id)?;
            message::edit::discard_in(&mut tx, &self.ctx, self.mailbox_id, Some(self.inbox), &ids).await?;
        }
        self.store.commit(tx, self.mailbox_id).await?;
        Ok(())
    }
}
