//! A folder as whoever has it open sees it, and keeps in step with it by [`crate::change`]: UIDs in their order, and what each stands for.
//!
//! Calls name messages by UIDs of the folder; those that are not there, or not any more, are passed over.

mod edit;
mod store;

use std::collections::HashMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kernel::{BlobId, FolderId, MailboxId, MessageId};
use tenancy::{Action, Ctx, quota};
use uuid::Uuid;

use crate::folder::{self, Folder};
use crate::message::{Flags, Keyword};
use crate::parsed::Parsed;
use crate::structure::Structure;
use crate::{Error, MailStore, body, change, outline, search};

pub use edit::{Flagged, Marking, copy, expunge, flag, relocate};

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
    /// The keywords that its messages have, each once: some of them, if there are hundreds.
    pub keywords: Vec<Keyword>,
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
    pub(crate) blob_id: Uuid,
    /// Where its body lies, where that has been asked for.
    pub(crate) place: Option<body::Columns>,
}

impl Row {
    /// What its content is known by: its copies have the same, in other mailboxes too, and it never changes.
    pub fn email_id(&self) -> BlobId {
        BlobId::from_uuid(self.blob_id)
    }
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
    let mut tx = ctx.read().await?;
    let (uids, first_unseen) = store::uids(&mut tx, mailbox_id, folder.id).await?;
    let keywords = store::keywords(&mut tx, mailbox_id, folder.id).await?;
    Ok(View { folder, uids, first_unseen, keywords, modseq })
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
    let mut tx = ctx.read().await?;
    let rows = store::rows(&mut tx, mailbox_id, folder, uids, changed_since.unwrap_or(0)).await?;
    // A mailbox that is not there has none.
    if rows.is_empty() && !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    Ok(rows)
}

/// The messages of a folder that have one of some contents, as [`Row::email_id`] names them: that and the UID of each, in the order of UIDs.
///
/// # Errors
/// As [`rows`], but for a mailbox that is not there: it has none.
pub async fn with_email_ids(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    email_ids: &[BlobId],
) -> Result<Vec<(BlobId, u64)>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    Ok(store::with_email_ids(&mut *ctx.read().await?, mailbox_id, folder, email_ids).await?)
}

/// What a message is put in order by.
#[derive(Debug, Clone)]
pub struct Headers {
    /// Its number in the folder.
    pub uid: u64,
    /// When it was received.
    pub internal_date: DateTime<Utc>,
    /// The size of its CRLF form, in bytes.
    pub wire_size_bytes: u64,
    /// What it says of itself, as far as that was asked for.
    pub parsed: Parsed,
}

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// Its subject.
    Subject,
    /// Its authors.
    From,
    /// The recipients in `To`.
    To,
    /// The recipients in `Cc`.
    Cc,
    /// When it was sent.
    Date,
    /// Its id.
    MessageId,
    /// The ids of what it answers.
    InReplyTo,
    /// The ids of its thread.
    References,
}

impl Said {
    /// As [`Parsed`] is kept.
    fn key(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::From => "from",
            Self::To => "to",
            Self::Cc => "cc",
            Self::Date => "date",
            Self::MessageId => "message_id",
            Self::InReplyTo => "in_reply_to",
            Self::References => "references",
        }
    }
}

/// How many bytes of what messages say there are at a time, as it is kept; more of one comes alone.
const HEADERS_BYTES: u64 = 1 << 20;

/// What messages of a folder say of themselves, in the order of their UIDs: of the first of them, as many as may be in memory, and of one at
/// least if there is one.
///
/// # Errors
/// As [`rows`]; `Blob` when what is not known has to be read and the blob store does not answer.
pub async fn headers(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    wanted: &[Said],
) -> Result<Vec<Headers>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let mut tx = ctx.read().await?;
    let found = store::headers(&mut tx, mailbox_id, folder, uids, wanted).await?;
    drop(tx);
    let complete = |(mut headers, unknown): (Headers, Option<Uuid>)| async move {
        if let Some(blob_id) = unknown {
            headers.parsed = only(&outline::read_parsed(mail, ctx, blob_id).await?, wanted);
        }
        Ok(headers)
    };
    let complete: Vec<_> = found.into_iter().map(complete).collect();
    stream::iter(complete).buffered(search::READ_AT_ONCE).try_collect().await
}

/// What is wanted of what a message says of itself, as the database tells it of what is kept.
fn only(parsed: &Parsed, wanted: &[Said]) -> Parsed {
    let mut said = serde_json::to_value(parsed).unwrap_or_default();
    if let Some(said) = said.as_object_mut() {
        said.retain(|key, _| wanted.iter().any(|wanted| wanted.key() == key));
    }
    serde_json::from_value(said).unwrap_or_default()
}

/// The highest modification sequence of some messages; `None` where there are none.
///
/// # Errors
/// As [`rows`].
pub async fn highest_modseq(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
) -> Result<Option<u64>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    Ok(store::highest_modseq(&mut *ctx.read().await?, mailbox_id, folder, uids).await?)
}

/// The sizes of a folder's live messages in CRLF form, added up, in bytes.
///
/// # Errors
/// As [`rows`].
pub async fn wire_size_bytes(ctx: &Ctx, mailbox_id: MailboxId, folder: FolderId) -> Result<u64, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    Ok(store::wire_size_bytes(&mut *ctx.read().await?, mailbox_id, folder).await?)
}

/// What of a folder is marked as deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// How many messages.
    pub messages: u64,
    /// Their sizes, added up.
    pub size_bytes: u64,
}

/// What is marked as deleted in a folder.
///
/// # Errors
/// As [`rows`].
pub async fn marked_as_deleted(ctx: &Ctx, mailbox_id: MailboxId, folder: FolderId) -> Result<Marked, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    Ok(store::marked_as_deleted(&mut *ctx.read().await?, mailbox_id, folder).await?)
}

/// How many bytes of structures there are at a time, as they are kept; a larger one comes alone.
const STRUCTURES_BYTES: u64 = 1 << 20;
/// How many times as much memory a structure takes as it is kept with: most where it is of a thousand parts that say nothing.
const IN_MEMORY: u64 = 8;
/// What is taken for what is not known yet of a message, its structure or what it says.
const UNKNOWN_BYTES: i32 = 64 << 10;

/// A message's structure as it is kept, if it is: not so of what was stored by another version, and of what was recovered.
#[derive(Debug, Clone)]
pub struct Kept(Option<String>);

impl Kept {
    /// About how much memory [`structure()`] takes.
    pub fn memory_bytes(&self) -> u64 {
        self.0.as_ref().map_or(UNKNOWN_BYTES as u64, |kept| kept.len() as u64) * IN_MEMORY
    }
}

/// As [`rows`], with what is kept of the messages' structures: the first of them, as many as may be in memory, and one at least if there is
/// one.
///
/// # Errors
/// As [`rows`].
pub async fn described(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    changed_since: Option<u64>,
) -> Result<Vec<(Row, Kept)>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let mut tx = ctx.read().await?;
    let found = store::described(&mut tx, mailbox_id, folder, uids, changed_since.unwrap_or(0)).await?;
    if found.is_empty() && !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    Ok(found)
}

/// A message's structure. Its body is read if none is kept.
///
/// # Errors
/// As [`wire`].
pub async fn structure(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    row: &Row,
    kept: &Kept,
) -> Result<Structure, Error> {
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    match kept.0.as_ref().and_then(|text| serde_json::from_str(text).ok()) {
        Some(structure) => Ok(structure),
        None => Ok(outline::read(mail, ctx, row.blob_id).await?.structure),
    }
}

/// The beginning of what each of some messages says, in their order, or why it is not to be had: white space folded, at most 256 characters, and none
/// where there is no text. A body is read only where that is not kept, and not if `is_lazy`: then it is `None`.
///
/// # Errors
/// `Forbidden` by role, and as of a statement; inside, `Blob` when the blob store does not answer.
pub async fn previews(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    rows: &[Row],
    is_lazy: bool,
) -> Result<Vec<Result<Option<String>, Error>>, Error> {
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    let bodies: Vec<Uuid> = rows.iter().map(|row| row.blob_id).collect();
    outline::previews(mail, ctx, &bodies, is_lazy).await
}

/// Whether [`previews`] has to read the body of none of some messages.
///
/// # Errors
/// `Forbidden` by role, and as of a statement.
pub async fn previews_are_kept(ctx: &Ctx, mailbox_id: MailboxId, rows: &[&Row]) -> Result<bool, Error> {
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    let bodies: Vec<Uuid> = rows.iter().map(|row| row.blob_id).collect();
    outline::are_kept(ctx, &bodies).await
}

/// Bodies that are being fetched as long as this is kept.
#[derive(Debug, Default)]
pub struct Coming {
    _expected: Option<body::cache::Expected>,
}

/// Notes where the bodies of messages lie whose bytes are wanted, and begins to fetch them, in this order: for all of them at once what [`wire`] would
/// do one by one.
///
/// # Errors
/// `Forbidden` by role, and as of a statement.
pub async fn locate(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    rows: &mut [Row],
) -> Result<Coming, Error> {
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    let bodies: Vec<Uuid> = rows.iter().filter(|row| row.place.is_none()).map(|row| row.blob_id).collect();
    if bodies.is_empty() {
        return Ok(Coming::default());
    }
    let places = body::store::places(&mut *ctx.read().await?, &bodies).await?;
    let places: HashMap<Uuid, body::Columns> = places.into_iter().collect();
    for row in rows.iter_mut() {
        row.place = row.place.or_else(|| places.get(&row.blob_id).copied());
    }
    let places = rows.iter().filter_map(|row| row.place).collect();
    Ok(Coming { _expected: body::expect(mail, ctx.tenant_id(), places).await })
}

/// The bytes of a message in CRLF form: as many as [`Row::wire_size_bytes`] says.
///
/// # Errors
/// As [`message::raw`](crate::message::raw).
pub async fn wire(mail: &MailStore, ctx: &Ctx, mailbox_id: MailboxId, row: &Row) -> Result<Bytes, Error> {
    ctx.require_mailbox(Action::MessageRead, mailbox_id)?;
    let bytes = body::find(mail, ctx, row.blob_id, row.place).await?;
    body::in_crlf(bytes, row.wire_size_bytes).await
}
