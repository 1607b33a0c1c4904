//! A folder as whoever has it open sees it, and keeps in step with it by [`crate::change`]: UIDs in their order, and what each stands for.
//!
//! Calls name messages by UIDs of the folder; those that are not there, or not any more, are passed over.

mod edit;
mod store;

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kernel::{FolderId, MailboxId, MessageId};
use tenancy::{Action, Ctx, quota};

use crate::folder::{self, Folder};
use crate::message::{self, Flags};
use crate::structure::{self, Structure};
use crate::{Error, MailStore, body, change};

pub use edit::{Flagged, expunge, flag};

/// How many bodies are read at a time for one caller who asks for structures that are not known yet.
const READ_AT_ONCE: usize = 4;

/// UIDs as ranges, of which none need exist.
pub type Uids = [RangeInclusive<u64>];

/// A folder that was opened.
#[derive(Debug, Clone)]
pub struct View {
    /// The folder and its counters.
    pub folder: Folder,
    /// The UIDs of its live messages, ascending.
    pub uids: Vec<u64>,
    /// The lowest UID of a message that nobody has seen.
    pub first_unseen: Option<u64>,
    /// From where on to ask [`change::since`]. What it tells of may be in the view already.
    pub modseq: u64,
}

/// A message as one who has its folder open sees it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its number in the folder.
    pub uid: u64,
    /// Its id, for life.
    pub id: MessageId,
    /// The mailbox's modification sequence at its last change.
    pub modseq: u64,
    /// Its flags and keywords.
    pub flags: Flags,
    /// When it was received.
    pub internal_date: DateTime<Utc>,
    /// The size of its CRLF form, in bytes.
    pub wire_size_bytes: u64,
}

/// Opens a folder.
///
/// # Errors
/// [`Error::FolderNotFound`]; [`Error::NotFound`] for a mailbox that is not this tenant's or not the caller's; `Forbidden` by role,
/// `SupportAccessRequired` for a caller from above the tenant.
pub async fn open(ctx: &Ctx, mailbox_id: MailboxId, folder: FolderId) -> Result<View, Error> {
    // Before the rest: what changes meanwhile is told again, never left out.
    let modseq = change::since(ctx, mailbox_id, None).await?.modseq;
    let folder = folder::get(ctx, mailbox_id, folder).await?;
    let mut tx = ctx.begin().await?;
    let (uids, first_unseen) = store::uids(&mut tx, mailbox_id, folder.id).await?;
    Ok(View { folder, uids, first_unseen, modseq })
}

/// Messages of a folder in the order of their UIDs; only those changed after a modification sequence, if one is named.
///
/// # Errors
/// As [`open`], but [`Error::FolderNotFound`]: a folder that is not there has no messages.
pub async fn rows(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    changed_since: Option<u64>,
) -> Result<Vec<Row>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let mut tx = ctx.begin().await?;
    if !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    Ok(store::rows(&mut tx, mailbox_id, folder, uids, changed_since.unwrap_or(0)).await?)
}

/// What is marked as deleted in a folder: how many messages.
///
/// # Errors
/// As [`rows`].
pub async fn deleted_count(ctx: &Ctx, mailbox_id: MailboxId, folder: FolderId) -> Result<u64, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    Ok(store::deleted_count(&mut ctx.begin().await?, mailbox_id, folder).await?)
}

/// The structures of messages of a folder, each with its UID, in the order of UIDs. No body is read but those of messages whose structure was
/// not kept: what was stored by a version that kept none, and what was recovered.
///
/// # Errors
/// As [`rows`]; `Blob`, and `Unreadable`, of a body that is read.
pub async fn structures(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
) -> Result<Vec<(u64, Structure)>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let found = store::structures(&mut ctx.begin().await?, mailbox_id, folder, uids).await?;
    let known = stream::iter(found).map(|found| async move {
        let kept = found.structure.and_then(|text| serde_json::from_str(&text).ok());
        let structure = match kept {
            Some(structure) => structure,
            None => read(mail, ctx, found.blob_id, found.place).await?,
        };
        Ok((found.uid, structure))
    });
    known.buffered(READ_AT_ONCE).try_collect().await
}

/// Makes the structure of a body, and keeps it.
async fn read(
    mail: &MailStore,
    ctx: &Ctx,
    blob_id: uuid::Uuid,
    place: body::Columns,
) -> Result<Structure, Error> {
    let bytes = body::read(mail, ctx, place).await?;
    let structure = tokio::task::spawn_blocking(move || structure::parse(&kernel::crlf::normalize(&bytes)))
        .await
        .map_err(|_| Error::ShuttingDown)?;
    let mut tx = ctx.begin().await?;
    store::keep(&mut tx, blob_id, &structure.to_column()).await?;
    tx.commit().await?;
    Ok(structure)
}

/// A message's bytes in CRLF form: as many as [`Row::wire_size_bytes`] says.
///
/// # Errors
/// As [`message::raw`].
pub async fn wire(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: MessageId,
) -> Result<bytes::Bytes, Error> {
    let bytes = message::raw(mail, ctx, mailbox_id, id, None).await?.bytes;
    Ok(match kernel::crlf::normalize(&bytes) {
        std::borrow::Cow::Borrowed(_) => bytes,
        std::borrow::Cow::Owned(mended) => mended.into(),
    })
}
