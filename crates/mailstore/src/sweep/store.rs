//! SQL of the sweeper.

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{BlobId, MailboxId, TenantId};
use tenancy::TenantTx;
use uuid::Uuid;

use crate::from_column;

/// The mailboxes that have messages to purge.
pub(super) async fn purgeable(
    tx: &mut SystemTx,
    cutoff: DateTime<Utc>,
) -> Result<Vec<(TenantId, MailboxId)>, Error> {
    let rows = sqlx::query!(
        "select distinct tenant_id, mailbox_id from messages where state = 'recoverable' and discarded_at < $1",
        cutoff,
    )
    .fetch_all(tx.conn())
    .await?;
    let place = |tenant, mailbox| (TenantId::from_uuid(tenant), MailboxId::from_uuid(mailbox));
    Ok(rows.into_iter().map(|row| place(row.tenant_id, row.mailbox_id)).collect())
}

/// Messages that were deleted for good.
pub(super) struct Batch {
    /// The body of each.
    pub(super) blobs: Vec<Uuid>,
    pub(super) size_bytes: u64,
}

pub(super) async fn delete_messages(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    cutoff: DateTime<Utc>,
    limit: i64,
) -> Result<Batch, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "delete from messages where tenant_id = $1 and mailbox_id = $2 and id in (
           select id from messages
           where tenant_id = $1 and mailbox_id = $2 and state = 'recoverable' and discarded_at < $3 limit $4)
         returning blob_id, size_bytes",
        tenant_id,
        mailbox_id.uuid(),
        cutoff,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let size_bytes = rows.iter().map(|row| from_column(row.size_bytes)).sum();
    Ok(Batch { blobs: rows.into_iter().map(|row| row.blob_id).collect(), size_bytes })
}

/// Counts one reference fewer for each time that a body is named; bodies are locked in the order of their ids.
pub(crate) async fn unreference(tx: &mut TenantTx, blobs: &[Uuid]) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query_scalar!(
        "select id from blobs where tenant_id = $1 and id = any($2) order by id for update",
        tenant_id,
        blobs,
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query!(
        "update blobs set message_count = message_count - named.count
         from (select id, count(*)::integer as count from unnest($2::uuid[]) as one (id) group by id) as named
         where tenant_id = $1 and blobs.id = named.id",
        tenant_id,
        blobs,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Marks uploads that outlived their reservation. One that is being committed at this moment is passed over.
pub(super) async fn mark_expired(tx: &mut SystemTx, now: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update blobs set state = 'gone' where (tenant_id, id) in (
           select tenant_id, id from blobs where state = 'reserved' and reserved_until < $1
           limit $2 for update skip locked)",
        now,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Marks bodies that no message refers to. None can come to refer to one again.
pub(super) async fn mark_unreferenced(tx: &mut SystemTx, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update blobs set state = 'gone' where (tenant_id, id) in (
           select tenant_id, id from blobs where state = 'live' and message_count = 0
           limit $1 for update skip locked)",
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// The first bodies to delete `after` one in the order of tenants and ids.
pub(super) async fn list_gone(
    tx: &mut SystemTx,
    after: Option<(TenantId, BlobId)>,
    limit: i64,
) -> Result<Vec<(TenantId, BlobId)>, Error> {
    let (tenant, id) = after.map_or((Uuid::nil(), Uuid::nil()), |(tenant, id)| (tenant.uuid(), id.uuid()));
    let rows = sqlx::query!(
        "select tenant_id, id from blobs where state = 'gone' and (tenant_id, id) > ($1, $2)
         order by tenant_id, id limit $3",
        tenant,
        id,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::from_uuid(row.tenant_id), BlobId::from_uuid(row.id))).collect())
}

pub(super) async fn delete_gone(tx: &mut SystemTx, tenant: TenantId, id: BlobId) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from blobs where tenant_id = $1 and id = $2 and state = 'gone'",
        tenant.uuid(),
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
