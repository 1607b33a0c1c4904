//! What is told of a message without its body: what it says of itself, and its structure.
//!
//! It follows from the body. It is made when that comes and kept beside it, in no journal; where none is kept, or one of another version, the
//! body is read and it is made anew.

mod store;

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tenancy::Ctx;
use uuid::Uuid;

use crate::message::Message;
use crate::parsed::{self, Parsed};
use crate::structure::{self, Structure};
use crate::{Error, MailStore, body, search};

/// What reads messages: another number where it reads one in another way than before, and so much so that each body is worth reading again. What previews
/// leave out is not: those that are kept stay as they are.
pub(crate) const VERSION: i16 = 1;

/// What is told of one message.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) structure: Structure,
    pub(crate) parsed: Parsed,
}

/// An outline as its columns hold it.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) structure: String,
    pub(crate) parsed: serde_json::Value,
}

impl Outline {
    /// Reads a message as it is stored.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { structure: structure::parse(&kernel::crlf::normalize(bytes)), parsed: parsed::parse(bytes) }
    }

    pub(crate) fn columns(&self) -> Columns {
        Columns {
            structure: self.structure.to_column(),
            // A struct of texts, numbers and lists of them has no way to fail.
            parsed: serde_json::to_value(&self.parsed).unwrap_or_default(),
        }
    }
}

/// Reads a body for its outline, and keeps that if that can be.
///
/// # Errors
/// As [`body::find`].
pub(crate) async fn read(mail: &MailStore, ctx: &Ctx, blob_id: Uuid) -> Result<Outline, Error> {
    // After a recovery everybody asks for everything: so many bodies are in memory at a time, as for searches.
    let _turn = mail.search_turns.acquire().await.map_err(|_| Error::ShuttingDown)?;
    let bytes = body::find(mail, ctx, blob_id, None).await?;
    let work = move || {
        let outline = Outline::of(&bytes);
        let columns = outline.columns();
        (outline, columns)
    };
    let (outline, columns) = tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)?;
    if let Err(error) = keep(ctx, blob_id, &columns).await {
        tracing::warn!(error = kernel::error::chain(&error), "what is told of a message was not kept");
    }
    Ok(outline)
}

async fn keep(ctx: &Ctx, blob_id: Uuid, columns: &Columns) -> Result<(), db::Error> {
    let mut tx = ctx.begin().await?;
    store::keep(&mut tx, blob_id, columns).await?;
    tx.commit().await
}

/// What each of some messages says of itself, in their order; nothing of one that nobody can read, or that is gone meanwhile.
///
/// # Errors
/// `Blob` when what is not known has to be read and the blob store does not answer.
pub async fn parsed(mail: &MailStore, ctx: &Ctx, messages: &[Message]) -> Result<Vec<Parsed>, Error> {
    let bodies: BTreeSet<Uuid> = messages.iter().map(|message| message.blob_id.uuid()).collect();
    let mut tx = ctx.read().await?;
    let mut known = store::parsed(&mut tx, &bodies).await?;
    drop(tx);
    let read = |id: Uuid| async move { Ok::<_, Error>((id, read_parsed(mail, ctx, id).await?)) };
    let unknown: Vec<_> = bodies.into_iter().filter(|id| !known.contains_key(id)).map(read).collect();
    let read: Vec<_> = stream::iter(unknown).buffer_unordered(search::READ_AT_ONCE).try_collect().await?;
    known.extend(read);
    Ok(messages
        .iter()
        .map(|message| known.get(&message.blob_id.uuid()).cloned().unwrap_or_default())
        .collect())
}

/// The previews of some bodies' messages, in their order, or why one is not to be had; empty where there is none. Where nothing is kept of one its body
/// is read, unless `is_lazy`: then it is `None`.
///
/// # Errors
/// As of a statement; inside, `Blob` when the blob store does not answer.
pub(crate) async fn previews(
    mail: &MailStore,
    ctx: &Ctx,
    bodies: &[Uuid],
    is_lazy: bool,
) -> Result<Vec<Result<Option<String>, Error>>, Error> {
    let mut tx = ctx.read().await?;
    let known = store::previews(&mut tx, bodies).await?;
    drop(tx);
    let tell = |id: &Uuid| {
        let (id, known) = (*id, known.get(id).cloned());
        async move {
            if known.is_some() || is_lazy {
                return Ok(known);
            }
            let parsed: Parsed = read_parsed(mail, ctx, id).await?;
            Ok::<_, Error>(Some(parsed.preview.unwrap_or_default()))
        }
    };
    let told: Vec<_> = bodies.iter().map(tell).collect();
    Ok(stream::iter(told).buffered(search::READ_AT_ONCE).collect().await)
}

/// Whether [`previews`] has to read none of the bodies.
///
/// # Errors
/// As of a statement.
pub(crate) async fn are_kept(ctx: &Ctx, bodies: &[Uuid]) -> Result<bool, Error> {
    let mut tx = ctx.read().await?;
    Ok(store::are_kept(&mut tx, bodies).await?)
}

/// What a message says of itself of which that is not kept.
///
/// # Errors
/// `Blob` when the blob store does not answer.
pub(crate) async fn read_parsed(mail: &MailStore, ctx: &Ctx, blob_id: Uuid) -> Result<Parsed, Error> {
    match read(mail, ctx, blob_id).await {
        Ok(outline) => Ok(outline.parsed),
        // That is no reason to hide the message.
        Err(error) if error.is_for_good() => Ok(Parsed::default()),
        Err(error) => Err(error),
    }
}
