//! The one door for mail, whatever protocol it came by: reserve, upload, commit.
//!
//! A body is stored once for each hundred mailboxes of a tenant among the recipients, never shared across tenants. Each part
//! stands alone: its body and rows are durable together, and its failure is only its own recipients' result.

mod store;

use std::collections::BTreeMap;

use blob::BlobKey;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use kernel::{BlobId, FolderId, MailboxId, MessageId, TenantId};
use sha2::{Digest as _, Sha256};
use tenancy::quota::{self, Charge, Pools};
use tenancy::{Action, Ctx, TenantTx};

pub use crate::Error;
use crate::parsed::{self, Parsed};
use crate::{MAX_MESSAGE_BYTES, MailStore, folder};

/// What an edge may put before the message it took in (RFC 5321 §4.4), on top of [`MAX_MESSAGE_BYTES`].
const MAX_TRACE_BYTES: u64 = 64 * 1024;

/// How many mailboxes of a tenant are delivered to in one transaction: a message to all of a big group holds some of their
/// mailboxes at a time, and for each hundred there is a body.
const AT_ONCE: usize = 100;

/// How long an upload may take; afterwards the sweeper owns what it left.
const RESERVATION: TimeDelta = TimeDelta::hours(1);

/// A mailbox that the message is for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whoever puts it there, proven for the mailbox's tenant.
    pub ctx: Ctx,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// The folder; `None` is the Inbox.
    pub folder: Option<FolderId>,
}

/// A message to take in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Its bytes, stored as they are.
    pub bytes: Bytes,
    /// When it was received, as IMAP's INTERNALDATE has it.
    pub internal_date: DateTime<Utc>,
    /// Set by an import, to take each message once however often it is run.
    pub import_key: Option<ImportKey>,
}

/// What tells an imported message from the others of its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportKey {
    /// The hash of the CRLF form.
    pub sha256: [u8; 32],
    /// The how-manieth of its equals in the run, from 1.
    pub occurrence: i32,
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
/// once and answers twice.
///
/// Dropping the future stores nothing or everything of a tenant's part; what it uploaded in vain is swept.
pub async fn ingest(
    store: &MailStore,
    targets: Vec<Target>,
    incoming: Incoming,
) -> Vec<Result<Outcome, Error>> {
    let message = match prepare(incoming).await {
        Ok(message) => message,
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

/// A message with everything that is told from its bytes.
struct Message {
    bytes: Bytes,
    internal_date: DateTime<Utc>,
    import_key: Option<ImportKey>,
    sha256: [u8; 32],
    wire_size_bytes: u64,
    parsed: Parsed,
}

impl Message {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

async fn prepare(incoming: Incoming) -> Result<Message, Error> {
    let Incoming { bytes, internal_date, import_key } = incoming;
    let (size_bytes, limit_bytes) = (bytes.len() as u64, MAX_MESSAGE_BYTES + MAX_TRACE_BYTES);
    if size_bytes > limit_bytes {
        return Err(Error::TooLarge { size_bytes, limit_bytes });
    }
    // Hashing and parsing 50 MiB would hold up every other session of an async thread.
    tokio::task::spawn_blocking(move || Message {
        sha256: Sha256::digest(&bytes).into(),
        wire_size_bytes: kernel::crlf::len(&bytes),
        parsed: parsed::parse(&bytes),
        bytes,
        internal_date,
        import_key,
    })
    .await
    .map_err(|_| Error::ShuttingDown)
}

/// One mailbox (and folder) of a tenant and what has been decided about it.
struct Delivery<'a> {
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    folder: Option<FolderId>,
    result: Option<Result<Outcome, Error>>,
}

/// Delivers to the targets of one tenant; a result for each.
async fn deliver(store: &MailStore, targets: &[&Target], message: &Message) -> Vec<Result<Outcome, Error>> {
    // By mailbox id: the order in which mailboxes are locked.
    let mut deliveries: BTreeMap<(MailboxId, Option<FolderId>), Delivery<'_>> = BTreeMap::new();
    for target in targets {
        deliveries.entry((target.mailbox_id, target.folder)).or_insert(Delivery {
            ctx: &target.ctx,
            mailbox_id: target.mailbox_id,
            folder: target.folder,
            result: None,
        });
    }
    let mut all: Vec<&mut Delivery<'_>> = deliveries.values_mut().collect();
    for some in all.chunks_mut(AT_ONCE) {
        let Some(ctx) = some.first().map(|delivery| delivery.ctx) else { continue };
        let outcome = store_once(store, ctx, some.iter_mut().map(|delivery| &mut **delivery), message).await;
        let unfinished = outcome.err().unwrap_or(Error::MailboxGone);
        for delivery in some.iter_mut().filter(|delivery| delivery.result.is_none()) {
            delivery.result = Some(Err(unfinished.clone()));
        }
    }
    targets
        .iter()
        .map(|target| {
            let delivery = deliveries.get(&(target.mailbox_id, target.folder));
            delivery.and_then(|delivery| delivery.result.clone()).unwrap_or(Err(Error::MailboxGone))
        })
        .collect()
}

/// The three steps. An error is the result of every delivery that has none of its own.
async fn store_once<'a: 'b, 'b>(
    store: &MailStore,
    ctx: &Ctx,
    deliveries: impl Iterator<Item = &'b mut Delivery<'a>>,
    message: &Message,
) -> Result<(), Error> {
    let mut open = deliveries.collect::<Vec<_>>();
    let Some(blob) = reserve(ctx, &mut open, message).await? else { return Ok(()) };
    let key = BlobKey::Body { tenant: ctx.tenant_id(), blob };
    store.blobs.put(&key, message.bytes.clone()).await?;
    let committed = loop {
        match commit(ctx, &mut open, blob, message).await {
            Ok(Upload::Refused) => {}
            committed => break committed,
        }
    };
    if matches!(committed, Ok(Upload::InVain) | Err(Error::ReservationLost)) {
        // An upload that outlived its reservation may have landed after the sweeper deleted it and forgot its row:
        // then nobody else knows of it. The key is this call's alone, and no message can come to refer to it.
        if let Err(error) = store.blobs.delete(&key).await {
            tracing::warn!(blob.key = %key, error.cause = %error, "an upload in vain was not deleted");
        }
    }
    committed.map(|_| ())
}

/// What a finished [`commit`] made of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// A message refers to it.
    Kept,
    /// No delivery came to need it.
    InVain,
    /// Nothing was committed: the pools have no room for all, and the deliveries that have to stand back know it.
    Refused,
}

/// Step 1: a row for the body, if any delivery still needs one.
async fn reserve(
    ctx: &Ctx,
    open: &mut Vec<&mut Delivery<'_>>,
    message: &Message,
) -> Result<Option<BlobId>, Error> {
    let mut tx = ctx.begin().await?;
    for delivery in open.iter_mut() {
        delivery.result = foregone(&mut tx, delivery, message).await?;
    }
    open.retain(|delivery| delivery.result.is_none());
    if open.is_empty() {
        return Ok(None);
    }
    let blob = ctx.env().new_id();
    let now = ctx.env().now();
    store::insert_reservation(&mut tx, blob, message, now, now + RESERVATION).await?;
    tx.commit().await?;
    Ok(Some(blob))
}

/// What a delivery is bound to come to, if that shows already: it saves the upload. The quota's decision falls in
/// [`commit`].
async fn foregone(
    tx: &mut TenantTx,
    delivery: &Delivery<'_>,
    message: &Message,
) -> Result<Option<Result<Outcome, Error>>, Error> {
    let mailbox_id = delivery.mailbox_id;
    // A server hands mail over; anybody else writes into a mailbox that is theirs to write to.
    if delivery.ctx.require(Action::MessageDeliver).is_err()
        && let Err(refusal) = delivery.ctx.require_mailbox(Action::MessageWrite, mailbox_id)
    {
        return Ok(Some(Err(refusal.into())));
    }
    let Some(has_room) = quota::has_room(tx, mailbox_id, message.size_bytes()).await? else {
        return Ok(Some(Err(Error::MailboxGone)));
    };
    if let Some(folder) = delivery.folder
        && !folder::store::exists(tx, mailbox_id, folder).await?
    {
        return Ok(Some(Err(Error::FolderNotFound)));
    }
    // What is there already needs no room.
    if let Some(key) = &message.import_key
        && store::is_imported(tx, mailbox_id, key).await?
    {
        return Ok(Some(Ok(Outcome::AlreadyImported)));
    }
    Ok(if has_room { None } else { Some(Err(Error::OverQuota)) })
}

/// A delivery that has been charged for, on its way to a row.
struct Placed<'d, 'a> {
    delivery: &'d mut Delivery<'a>,
    modseq: i64,
    folder: FolderId,
}

/// Step 3: quota, UIDs, rows and the body's state, in one transaction.
async fn commit(
    ctx: &Ctx,
    open: &mut [&mut Delivery<'_>],
    blob: BlobId,
    message: &Message,
) -> Result<Upload, Error> {
    let mut tx = ctx.begin().await?;
    let mut placed = Vec::with_capacity(open.len());
    let mut settled = Vec::new();
    for delivery in open.iter_mut().filter(|delivery| delivery.result.is_none()) {
        match charge(&mut tx, delivery, message).await? {
            Ok((modseq, folder)) => placed.push(Placed { delivery, modseq, folder }),
            Err(result) => settled.push((delivery, result)),
        }
    }
    // A result counts once the transaction that decided it has ended: until then an error is everybody's.
    let mut stored = Vec::with_capacity(placed.len());
    if placed.is_empty() {
        // Without a commit the reservation is left to the sweeper.
        drop(tx);
    } else {
        if !store::set_live(&mut tx, blob, placed.len()).await? {
            return Err(Error::ReservationLost);
        }
        placed.sort_by_key(|placed| placed.folder);
        for Placed { delivery, modseq, folder } in placed {
            let uid = folder::store::take_uid(&mut tx, delivery.mailbox_id, folder).await?;
            let id: MessageId = ctx.env().new_id();
            let row = store::NewMessage { id, mailbox_id: delivery.mailbox_id, folder, uid, modseq, blob };
            store::insert_message(&mut tx, &row, message).await?;
            stored.push((delivery, id));
        }
        let bytes = message.size_bytes().saturating_mul(stored.len() as u64);
        if let Pools::Full { free_bytes } = quota::charge_pools(&mut tx, bytes).await? {
            let fitting = free_bytes / message.size_bytes().max(1);
            let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).min(stored.len() - 1);
            for (delivery, _) in &mut stored[fitting..] {
                delivery.result = Some(Err(Error::OverQuota));
            }
            return Ok(Upload::Refused);
        }
        tx.commit().await?;
    }
    let upload = if stored.is_empty() { Upload::InVain } else { Upload::Kept };
    for (delivery, result) in settled {
        delivery.result = Some(result);
    }
    for (delivery, id) in stored {
        delivery.result = Some(Ok(Outcome::Stored(id)));
    }
    Ok(upload)
}

/// Locks and charges one mailbox, and finds the folder; the inner error is the delivery's final result.
async fn charge(
    tx: &mut TenantTx,
    delivery: &Delivery<'_>,
    message: &Message,
) -> Result<Result<(i64, FolderId), Result<Outcome, Error>>, Error> {
    let mailbox_id = delivery.mailbox_id;
    if let Some(key) = &message.import_key
        && !store::insert_import_key(tx, mailbox_id, key).await?
    {
        return Ok(Err(Ok(Outcome::AlreadyImported)));
    }
    let refusal = match quota::charge(tx, delivery.ctx, mailbox_id, message.size_bytes()).await? {
        Charge::Taken { modseq } => {
            let folder = match delivery.folder {
                Some(folder) => folder,
                None => folder::ensure_inbox(tx, delivery.ctx, mailbox_id).await?,
            };
            return Ok(Ok((modseq, folder)));
        }
        Charge::OverQuota => Error::OverQuota,
        Charge::Gone => Error::MailboxGone,
    };
    if let Some(key) = &message.import_key {
        store::delete_import_key(tx, mailbox_id, key).await?;
    }
    Ok(Err(Err(refusal)))
}
