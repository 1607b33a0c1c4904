//! Messages of a mailbox.

pub(crate) mod edit;
pub(crate) mod effect;
mod flags;
pub(crate) mod store;

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{BlobId, FolderId, MailboxId, MessageId, Page, PageRequest, named};
use tenancy::{Action, Ctx, quota};
use uuid::Uuid;

use crate::{Error, MailStore, body, folder};

pub use edit::{Placed, Target, Update, copy, discard, discard_if, flag, recover, relocate, update};
pub use flags::{Flag, FlagChange, Flags, Keyword, MAX_KEYWORD_CHARS, MAX_KEYWORDS};

/// How many messages are looked at for one page of those from an instant on: no index knows their dates, which would make taking in slower.
pub(crate) const PAGE_MESSAGES: u32 = 5_000;

named! {
    /// Whether a message is in its folder or deleted and still to be had back.
    #[derive(Default)]
    State {
        /// In its folder, counted in the quota.
        #[default]
        Live = "live",
        /// Deleted; not in the quota; brought back by [`recover`] until the sweeper takes it.
        Recoverable = "recoverable",
    }
}

impl State {
    pub(crate) fn from_column(text: &str) -> Self {
        text.parse().unwrap_or(Self::Recoverable)
    }
}

/// A message without its body. What it says of itself is an [outline](crate::outline).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, for life.
    pub id: MessageId,
    /// The folder it is in, or was in when it was deleted.
    pub folder_id: FolderId,
    /// Its number in the folder; a new one when it is moved, and a new and higher one when it is recovered.
    pub uid: u64,
    /// POP3's name for it, for life: 1 to 70 characters from 0x21 to 0x7E.
    pub uidl: String,
    /// The mailbox's modification sequence at its last change.
    pub modseq: u64,
    /// Its size as stored, in bytes.
    pub size_bytes: u64,
    /// The size of its CRLF form, in bytes.
    pub wire_size_bytes: u64,
    /// When it was received.
    pub internal_date: DateTime<Utc>,
    /// Its flags and keywords.
    pub flags: Flags,
    /// Live or recoverable.
    pub state: State,
    /// When it was deleted, if it was.
    pub discarded_at: Option<DateTime<Utc>>,
    /// Its body, which its copies share.
    pub blob_id: BlobId,
}

/// Which messages of a mailbox a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only this folder's; `None` for all.
    pub folder_id: Option<FolderId>,
    /// Live ones unless said otherwise.
    pub state: State,
    /// Only those with an internal date at or after this one.
    pub since: Option<DateTime<Utc>>,
}

/// A message's bytes, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The size of the whole message.
    pub total_bytes: u64,
    /// The bytes asked for.
    pub bytes: Bytes,
}

/// A page of a mailbox's messages in the order of their ids: the order of their arrival. With `since` so many are looked at for one page that it
/// may have fewer than asked for, or none, and another follows all the same.
///
/// # Errors
/// [`Error::NotFound`] for a mailbox that is not this tenant's or not the caller's, [`Error::FolderNotFound`] for a
/// folder that is not the mailbox's, `Forbidden` by role,
/// `SupportAccessRequired` for a caller from above the tenant.
pub async fn list(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    filter: Filter,
    page: &PageRequest,
) -> Result<Page<Message>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let mut tx = ctx.read().await?;
    if !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    let reached = match filter.since {
        Some(_) => store::reach(&mut tx, mailbox_id, filter, page.after(), PAGE_MESSAGES).await?,
        None => None,
    };
    let until = reached.unwrap_or(Uuid::max());
    let messages = match filter.folder_id {
        None => store::list(&mut tx, mailbox_id, filter, page, until).await?,
        Some(folder) if folder::store::exists(&mut tx, mailbox_id, folder).await? => {
            store::list_folder(&mut tx, mailbox_id, folder, filter, page, until).await?
        }
        Some(_) => return Err(Error::FolderNotFound),
    };
    let mut cut = Page::cut(messages, page, |message| message.id.uuid());
    cut.next = cut.next.or(reached.map(|last| page.cursor_after(last)));
    Ok(cut)
}

/// One message, live or recoverable.
///
/// # Errors
/// [`Error::NotFound`] for what is not in this tenant's mailbox, `Forbidden` by role,
/// `SupportAccessRequired` for a caller from above the tenant.
pub async fn get(ctx: &Ctx, mailbox_id: MailboxId, id: MessageId) -> Result<Message, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)
}

/// A message that the caller has just put there, for one who may write and need not be allowed to read.
///
/// # Errors
/// As [`get`].
pub async fn stored(ctx: &Ctx, mailbox_id: MailboxId, id: MessageId) -> Result<Message, Error> {
    ctx.require_mailbox(Action::MessageWrite, mailbox_id)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)
}

/// A message's bytes as they were stored, live or recoverable. An end past the message's is cut to it.
///
/// # Errors
/// As [`get`], [`Error::RangeNotSatisfiable`] for a range that is empty or starts past the end, `Blob` when the blob
/// store fails.
pub async fn raw(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: MessageId,
    range: Option<Range<u64>>,
) -> Result<Raw, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let Located { place, size_bytes: total_bytes, .. } = locate(ctx, mailbox_id, id).await?;
    let Some(range) = range else {
        return Ok(Raw { total_bytes, bytes: body::read(store, ctx, place).await? });
    };
    let range = range.start..range.end.min(total_bytes);
    if range.is_empty() {
        return Err(Error::RangeNotSatisfiable { total_bytes });
    }
    // No message comes near the limit of memory.
    let within = range.start as usize..range.end as usize;
    Ok(Raw { total_bytes, bytes: body::read(store, ctx, place).await?.slice(within) })
}

/// Where a message's body is, and what moves when it is recovered.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) place: body::Columns,
    pub(crate) folder: FolderId,
    pub(crate) size_bytes: u64,
    pub(crate) state: State,
}

async fn locate(ctx: &Ctx, mailbox_id: MailboxId, id: MessageId) -> Result<Located, Error> {
    let mut tx = ctx.read().await?;
    store::locate(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)
}
