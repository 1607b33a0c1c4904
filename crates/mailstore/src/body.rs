//! Bodies: where they lie, and reading them.

pub(crate) mod cache;
mod disk;
pub(crate) mod store;

use std::sync::Arc;

use blob::BlobKey;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{PackId, TenantId};
use pack::{Address, Compressed, DataKey, Generation};
use tenancy::Ctx;
use uuid::Uuid;

use crate::{Error, MailStore};

/// Where a body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// Whether the pack is the tenant's own.
    pub(crate) is_own: bool,
}

/// A place as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) pack_id: Uuid,
    pub(crate) pack_is_own: bool,
    pub(crate) pack_index: i32,
    pub(crate) pack_offset: i64,
    pub(crate) stored_bytes: i32,
    pub(crate) key_generation: i32,
}

/// The columns of a place among those of a row.
macro_rules! columns {
    ($row:expr) => {
        $crate::body::Columns {
            pack_id: $row.pack_id,
            pack_is_own: $row.pack_is_own,
            pack_index: $row.pack_index,
            pack_offset: $row.pack_offset,
            stored_bytes: $row.stored_bytes,
            key_generation: $row.key_generation,
        }
    };
}
pub(crate) use columns;

impl Place {
    /// The columns of it. What a pack's place is made of fits them.
    pub(crate) fn columns(&self) -> Columns {
        let small = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        Columns {
            pack_id: self.address.pack().uuid(),
            pack_is_own: self.is_own,
            pack_index: small(self.address.index()),
            pack_offset: crate::to_column(self.address.offset()),
            stored_bytes: small(self.address.length()),
            key_generation: small(self.address.generation().number()),
        }
    }

    fn key(&self, tenant: TenantId) -> BlobKey {
        pack_key(tenant, self.is_own, self.address.pack())
    }
}

impl TryFrom<Columns> for Place {
    type Error = pack::OpenError;

    /// Checks keep the columns from holding anything else.
    fn try_from(columns: Columns) -> Result<Self, pack::OpenError> {
        let number = |column: i32| u32::try_from(column).unwrap_or(0);
        let generation = Generation::new(number(columns.key_generation)).unwrap_or(Generation::FIRST);
        let address = Address::new(
            PackId::from_uuid(columns.pack_id),
            number(columns.pack_index),
            crate::from_column(columns.pack_offset),
            number(columns.stored_bytes),
            generation,
        )?;
        Ok(Self { address, is_own: columns.pack_is_own })
    }
}

/// The object that a pack with bodies of a tenant is.
pub(crate) fn pack_key(tenant: TenantId, is_own: bool, pack: PackId) -> BlobKey {
    BlobKey::Pack { owner: is_own.then_some(tenant), pack }
}

/// Whose a pack is, and whether what lies in it is moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Any tenants may have something in it, until compaction moves that into packs of their own.
    Shared,
    /// A tenant's own with what arrived together, until compaction moves that on likewise.
    Unsorted(TenantId),
    /// A tenant's own, in which bodies stay.
    Own(TenantId),
}

impl Kind {
    pub(crate) fn owner(self) -> Option<TenantId> {
        match self {
            Self::Shared => None,
            Self::Unsorted(tenant) | Self::Own(tenant) => Some(tenant),
        }
    }

    pub(crate) fn is_unsorted(self) -> bool {
        matches!(self, Self::Unsorted(_))
    }
}

/// How long a pack is reserved; afterwards the sweeper owns what was uploaded.
pub(crate) const RESERVATION: TimeDelta = TimeDelta::hours(2);

/// For how long after its id was made what is uploaded may be committed. What took longer is refused, and whoever sent it sends it again: it waited for a
/// mailbox that was locked, or for a blob store that hardly answers.
pub(crate) const INTAKE: TimeDelta = TimeDelta::minutes(4);
/// For how long it may be acknowledged. Where a commit took so long even so, nobody is told that it was made: so what was acknowledged after a moment has
/// an id that is no older than that by then, which a recovery goes by.
pub(crate) const TOLD: TimeDelta = TimeDelta::minutes(5);

/// Whether a pack could still be committed after a moment, by the time that is in its id.
pub(crate) fn may_be_used(pack: PackId, after: DateTime<Utc>) -> bool {
    may_be_from_after(pack.uuid(), after - RESERVATION)
}

/// Whether an id may have been made after a moment, by the time that is in it.
pub(crate) fn may_be_from_after(id: Uuid, moment: DateTime<Utc>) -> bool {
    let made = id.get_timestamp().and_then(|made| {
        let (seconds, nanos) = made.to_unix();
        DateTime::<Utc>::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    });
    made.is_none_or(|made| made > moment)
}

/// A pack that is in the blob store.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) id: PackId,
    /// How many bytes its entries have.
    pub(crate) entry_bytes: u64,
}

/// Deletes what was uploaded in vain. An upload that outlived its reservation may have landed after the sweeper deleted it and forgot its row:
/// then nobody else knows of it. And a recovery takes what lies in a pack and nobody refers to for accepted. The key is one call's alone,
/// and nothing can come to refer to it.
pub(crate) async fn forget(mail: &MailStore, key: &BlobKey) {
    if let Err(error) = mail.blobs.delete(key).await {
        tracing::warn!(blob.key = %key, error.cause = %error, "an upload in vain was not deleted");
    }
}

/// Whether it is sure that the commit which ended so has come to nothing.
pub(crate) fn is_undone(ended: &Error) -> bool {
    match ended {
        Error::Db(cause) => !matches!(**cause, db::Error::Unresolved(_)),
        error => matches!(error, Error::ReservationLost),
    }
}

/// From so many bytes on, bodies are sealed, opened and mended where it holds up no other session.
pub(crate) const LONG_BYTES: usize = 64 << 10;

/// A body that a row says exists.
pub(crate) async fn read(store: &MailStore, ctx: &Ctx, place: Columns) -> Result<Bytes, Error> {
    let place = Place::try_from(place)?;
    let key = key(store, ctx, &place).await?;
    let stored = store.parts.read(&place.key(ctx.tenant_id()), place.address.range()).await?;
    let is_long = stored.len() >= LONG_BYTES;
    let open = move || pack::open(&key, &place.address, &stored);
    let opened = match is_long {
        true => tokio::task::spawn_blocking(open).await.map_err(|_| Error::ShuttingDown)?,
        false => open(),
    };
    Ok(opened?.into())
}

/// Begins to fetch bodies that will be read next, in this order.
pub(crate) async fn expect(
    store: &MailStore,
    tenant: TenantId,
    places: Vec<Columns>,
) -> Option<cache::Expected> {
    let places = places.into_iter().filter_map(|place| Place::try_from(place).ok());
    store.parts.expect(places.map(|place| (place.key(tenant), place.address.range())).collect()).await
}

/// A body, wherever it lies by now: first where it was known to lie, if it was.
///
/// # Errors
/// [`Error::NotFound`] when nothing refers to it any more, and as [`read`].
pub(crate) async fn find(
    store: &MailStore,
    ctx: &Ctx,
    id: Uuid,
    mut known: Option<Columns>,
) -> Result<Bytes, Error> {
    loop {
        let missing = match known {
            None => None,
            Some(place) => match read(store, ctx, place).await {
                Err(Error::Blob(cause)) if matches!(*cause, blob::Error::NotFound) => Some(cause),
                read => return read,
            },
        };
        let mut places = store::places(&mut *ctx.read().await?, &[id]).await?;
        let (_, place) = places.pop().ok_or(Error::NotFound)?;
        match missing {
            // It was not moved meanwhile.
            Some(cause) if known == Some(place) => return Err(Error::Blob(cause)),
            _ => known = Some(place),
        }
    }
}

/// A body in its CRLF form, of which it is known how many bytes that has: a body of as many is in it already, as most mail is.
pub(crate) async fn in_crlf(bytes: Bytes, wire_size_bytes: u64) -> Result<Bytes, Error> {
    if bytes.len() as u64 == wire_size_bytes {
        return Ok(bytes);
    }
    let is_long = bytes.len() >= LONG_BYTES;
    let mend = move || match kernel::crlf::normalize(&bytes) {
        std::borrow::Cow::Borrowed(_) => bytes,
        std::borrow::Cow::Owned(mended) => mended.into(),
    };
    match is_long {
        true => tokio::task::spawn_blocking(mend).await.map_err(|_| Error::ShuttingDown),
        false => Ok(mend()),
    }
}

/// As [`read`], and as it was compressed; for what is moved, once.
pub(crate) async fn reopen(store: &MailStore, ctx: &Ctx, place: &Place) -> Result<Compressed, Error> {
    let key = key(store, ctx, place).await?;
    let stored = store.blobs.get_range(&place.key(ctx.tenant_id()), place.address.range()).await?;
    Ok(pack::reopen(&key, &place.address, &stored)?)
}

/// The key that opens what lies in a place.
async fn key(store: &MailStore, ctx: &Ctx, place: &Place) -> Result<Arc<DataKey>, Error> {
    store.keys.opening(ctx, place.address.generation()).await.map_err(|error| match error {
        // The message is there all the same, and whoever asks must not take it for deleted.
        Error::NotFound => Error::Unreadable(pack::OpenError::Refused),
        error => error,
    })
}
