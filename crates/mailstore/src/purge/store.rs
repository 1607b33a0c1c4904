//! SQL of destruction.

use db::{Error, SystemTx};
use kernel::{MailboxId, TenantId};
use tenancy::TenantTx;

use crate::from_column;
use crate::sweep::store::Batch;

/// Deletes some of a mailbox's messages, in whatever state.
pub(super) async fn delete_messages(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    limit: i64,
) -> Result<Batch, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "delete from messages where tenant_id = $1 and mailbox_id = $2 and id in (
           select id from messages where tenant_id = $1 and mailbox_id = $2 limit $3)
         returning blob_id, size_bytes",
        tenant_id,
        mailbox_id.uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let size_bytes = rows.iter().map(|row| from_column(row.size_bytes)).sum();
    Ok(Batch { blobs: rows.into_iter().map(|row| row.blob_id).collect(), size_bytes })
}

/// Deletes what else the mail store keeps of a mailbox without messages.
pub(super) async fn delete_mailbox(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "with imported as (delete from imported_messages where tenant_id = $1 and mailbox_id = $2),
           leases as (delete from mailbox_leases where tenant_id = $1 and mailbox_id = $2)
         delete from folders where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        mailbox_id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes some of a tenant's messages; how many, and their bytes.
pub(super) async fn delete_some_of(tx: &mut SystemTx, id: TenantId, limit: i64) -> Result<(u64, u64), Error> {
    let row = sqlx::query!(
        r#"with gone as (
             delete from messages where tenant_id = $1 and (mailbox_id, id) in (
               select mailbox_id, id from messages where tenant_id = $1 limit $2)
             returning size_bytes)
           select count(*) as "count!", coalesce(sum(size_bytes), 0)::bigint as "bytes!" from gone"#,
        id.uuid(),
        limit,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((from_column(row.count), from_column(row.bytes)))
}

/// Deletes what else the mail store keeps of a tenant without messages.
pub(super) async fn delete_rest_of(tx: &mut SystemTx, id: TenantId) -> Result<(), Error> {
    sqlx::query!(
        "with imported as (delete from imported_messages where tenant_id = $1),
           leases as (delete from mailbox_leases where tenant_id = $1),
           bodies as (delete from blobs where tenant_id = $1)
         delete from folders where tenant_id = $1",
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
