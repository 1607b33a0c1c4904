//! Bodies that are no message's: something else refers to each for a while, such as the queue of mail that leaves. Each lies in a pack of its
//! tenant's own, by itself, so that all of the pack goes with it.

mod store;

use blob::BlobKey;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{BlobId, MailboxId};
use pack::{About, Compressed, Delivery, Uidl, Writer};
use sha2::{Digest as _, Sha256};
use tenancy::{Ctx, TenantTx};

use crate::body::{self, INTAKE, Kind, Place, RESERVATION, TOLD, Uploaded, pack_key};
use crate::{Error, MailStore, to_column};

/// A body in the blob store that nothing refers to yet.
#[derive(Debug)]
#[must_use = "what is neither entered nor forgotten is found by a recovery"]
pub struct Parcel {
    blob: BlobId,
    mailbox_id: MailboxId,
    size_bytes: u64,
    sha256: [u8; 32],
    place: Place,
    object: BlobKey,
    at: DateTime<Utc>,
    /// When the id was made that its pack names.
    began_at: DateTime<Utc>,
}

/// Uploads a body of a mailbox. What names it is to be made durable in a transaction of its own, by [`Parcel::enter`]; where that comes to
/// nothing, [`Parcel::forget`] deletes it.
///
/// Where a database is lost and nothing tells of that transaction any more, a recovery puts it into the mailbox's Inbox: it was accepted.
///
/// # Errors
/// As `ingest`. Then nothing is left of it.
pub async fn upload(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    bytes: Bytes,
    at: DateTime<Utc>,
) -> Result<Parcel, Error> {
    let (env, tenant) = (ctx.env(), ctx.tenant_id());
    let size_bytes = bytes.len() as u64;
    let too_large = Error::TooLarge { size_bytes, limit_bytes: pack::MAX_PACK_BYTES };
    let key = store.keys.sealing(ctx).await?;
    let mut writer = Writer::new(env);
    let mut tx = ctx.begin().await?;
    let now = env.now();
    body::store::reserve(tx.conn(), writer.id(), Kind::Own(tenant), now, now + RESERVATION).await?;
    tx.commit().await?;
    let (message, began_at) = (env.new_id(), env.now());
    // Compressing and encrypting some MiB would hold up every other session of an async thread.
    let work = move || {
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let body = Compressed::new(&bytes).ok()?;
        let delivery = Delivery { message, uidl: Uidl::of(message), mailbox: mailbox_id, folder: None };
        let address = writer.add(&key, &body, About::new(sha256, at, vec![delivery])?).ok()?;
        Some((writer.seal(), address, sha256))
    };
    let sealed = tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)?;
    let (sealed, address, sha256) = sealed.ok_or(too_large)?;
    let object = pack_key(tenant, true, sealed.id());
    if let Err(error) = store.blobs.put(&object, sealed.bytes().clone()).await {
        // It may have landed, or land yet.
        body::forget(store, &object).await;
        return Err(error.into());
    }
    store.parts.keep(&object, address.range(), sealed.bytes()).await;
    let (blob, place) = (env.new_id(), Place { address, is_own: true });
    Ok(Parcel { blob, mailbox_id, size_bytes, sha256, place, object, at, began_at })
}

impl Parcel {
    /// By which it is found again.
    pub fn id(&self) -> BlobId {
        self.blob
    }

    /// Its size in bytes, as it was given.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Has it stay from this transaction's commit on, which is to be for its tenant.
    ///
    /// # Errors
    /// [`Error::ReservationLost`] when that took too long.
    pub async fn enter(&self, tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), Error> {
        if now - self.began_at > INTAKE {
            return Err(Error::ReservationLost);
        }
        let entry_bytes = u64::from(self.place.address.length());
        let pack = Uploaded { id: self.place.address.pack(), entry_bytes };
        if !body::store::set_live(tx.conn(), &pack, entry_bytes, self.at).await? {
            return Err(Error::ReservationLost);
        }
        store::insert(tx, self).await?;
        Ok(())
    }

    /// Whether whoever brought it may be told, after the commit, that it was accepted: so late that a recovery would pass it over, it may not.
    ///
    /// # Errors
    /// [`Error::ReservationLost`] where that took too long.
    pub fn may_be_told(&self, now: DateTime<Utc>) -> Result<(), Error> {
        if now - self.began_at > TOLD { Err(Error::ReservationLost) } else { Ok(()) }
    }

    /// Deletes it after a transaction that is known to have come to nothing.
    pub async fn forget(self, store: &MailStore) {
        body::forget(store, &self.object).await;
    }
}

/// What was uploaded.
///
/// # Errors
/// [`Error::NotFound`] when it was let go of.
pub async fn read(store: &MailStore, ctx: &Ctx, id: BlobId) -> Result<Bytes, Error> {
    let mut tx = ctx.read().await?;
    let place = store::place(&mut tx, id).await?.ok_or(Error::NotFound)?;
    drop(tx);
    body::read(store, ctx, place).await
}

/// Has the sweeper take it, from this transaction's commit on; nothing names it any more.
///
/// # Errors
/// When the database fails.
pub async fn let_go(tx: &mut TenantTx, id: BlobId) -> Result<(), Error> {
    if store::delete(tx, id).await? {
        body::store::count_messages(tx, &[id.uuid()], -1).await?;
    }
    Ok(())
}

/// The same of all that a mailbox has.
pub(crate) async fn let_go_of_all(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<(), Error> {
    let blobs = store::delete_of(tx, mailbox_id).await?;
    body::store::count_messages(tx, &blobs, -1).await?;
    Ok(())
}
