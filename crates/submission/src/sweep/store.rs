//! SQL of forgetting.

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{BlobId, OutgoingId, TenantId};
use tenancy::TenantTx;

/// A message that is closed, and its body.
pub(super) struct Kept {
    pub(super) tenant_id: TenantId,
    pub(super) id: OutgoingId,
    pub(super) blob_id: BlobId,
    pub(super) closed_at: DateTime<Utc>,
}

/// The first messages that were closed after one moment and before another, and still have bodies. Those of a deleted tenant go with it.
pub(super) async fn with_bodies(
    tx: &mut SystemTx,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Kept>, Error> {
    let rows = sqlx::query!(
        r#"select m.tenant_id, m.id, m.blob_id as "blob_id!", m.closed_at as "closed_at!" from outgoing_messages m
           join tenants t on t.id = m.tenant_id and t.status <> 'deleted'
           where m.closed_at > $1 and m.closed_at < $2 and m.blob_id is not null order by m.closed_at limit $3"#,
        after,
        before,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let kept = rows.into_iter().map(|row| Kept {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        id: OutgoingId::from_uuid(row.id),
        blob_id: BlobId::from_uuid(row.blob_id),
        closed_at: row.closed_at,
    });
    Ok(kept.collect())
}

pub(super) async fn is_closed(
    tx: &mut TenantTx,
    id: OutgoingId,
    before: DateTime<Utc>,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_scalar!(
        "select id from outgoing_messages where tenant_id = $1 and id = $2 and closed_at < $3 and blob_id is not null",
        tenant_id,
        id.uuid(),
        before,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.is_some())
}

/// How many were.
pub(super) async fn delete(tx: &mut SystemTx, before: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from outgoing_messages where (tenant_id, id) in (
           select tenant_id, id from outgoing_messages where closed_at < $1 and blob_id is null limit $2 for update skip locked)",
        before,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
