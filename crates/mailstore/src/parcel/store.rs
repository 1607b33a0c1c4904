//! SQL of bodies that are no message's.

use db::Error;
use kernel::{BlobId, MailboxId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Parcel, to_column};
use crate::body::Columns;

pub(super) async fn insert(tx: &mut TenantTx, parcel: &Parcel) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let place = parcel.place.columns();
    sqlx::query!(
        "insert into pack_shares (tenant_id, pack_id, live_bytes) values ($1, $2, $3)",
        tenant_id,
        place.pack_id,
        i64::from(place.stored_bytes),
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into blobs (created_at, tenant_id, id, size_bytes, sha256, message_count,
                            pack_id, pack_is_own, pack_index, pack_offset, stored_bytes, key_generation)
         values ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11)",
        parcel.at,
        tenant_id,
        parcel.blob.uuid(),
        to_column(parcel.size_bytes),
        &parcel.sha256,
        place.pack_id,
        place.pack_is_own,
        place.pack_index,
        place.pack_offset,
        place.stored_bytes,
        place.key_generation,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into parcels (tenant_id, blob_id, mailbox_id) values ($1, $2, $3)",
        tenant_id,
        parcel.blob.uuid(),
        parcel.mailbox_id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn place(tx: &mut TenantTx, id: BlobId) -> Result<Option<Columns>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let place = sqlx::query_as!(
        Columns,
        "select b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation
         from parcels p join blobs b on b.tenant_id = p.tenant_id and b.id = p.blob_id where p.tenant_id = $1 and p.blob_id = $2",
        tenant_id,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(place)
}

/// Whether it was there.
pub(super) async fn delete(tx: &mut TenantTx, id: BlobId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done =
        sqlx::query!("delete from parcels where tenant_id = $1 and blob_id = $2", tenant_id, id.uuid())
            .execute(tx.conn())
            .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn delete_of(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Vec<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let blobs = sqlx::query_scalar!(
        "delete from parcels where tenant_id = $1 and mailbox_id = $2 returning blob_id",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(blobs)
}
