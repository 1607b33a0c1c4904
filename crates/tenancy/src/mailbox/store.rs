//! SQL of mailboxes.

use db::Error;
use kernel::{MailboxId, PageRequest, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Mailbox, Quota};
use crate::TenantTx;
use crate::quota::Bounds;

struct Row {
    id: Uuid,
    kind: String,
    user_id: Option<Uuid>,
    primary_address: String,
    quota_bytes: Option<i64>,
    warn_bytes: Option<i64>,
    block_send_bytes: Option<i64>,
    used_bytes: i64,
    recoverable_bytes: i64,
    created_at: DateTime<Utc>,
    version: i64,
}

impl From<Row> for Mailbox {
    fn from(row: Row) -> Self {
        Self {
            id: MailboxId::from_uuid(row.id),
            kind: row.kind,
            user_id: row.user_id.map(UserId::from_uuid),
            primary_address: row.primary_address,
            quota: Quota {
                bounds: Bounds {
                    quota_bytes: row.quota_bytes,
                    warn_bytes: row.warn_bytes,
                    block_send_bytes: row.block_send_bytes,
                },
                used_bytes: row.used_bytes,
                recoverable_bytes: row.recoverable_bytes,
            },
            created_at: row.created_at,
            version: row.version,
        }
    }
}

pub(super) async fn find(tx: &mut TenantTx, id: MailboxId) -> Result<Option<Mailbox>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select m.id, m.kind, m.user_id, a.local_part || '@' || d.name as "primary_address!",
             m.quota_bytes, m.warn_bytes, m.block_send_bytes, m.used_bytes, m.recoverable_bytes, m.created_at, m.version
           from mailboxes m
           join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id and a.is_primary
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where m.tenant_id = $1 and m.id = $2 and m.status = 'active'"#,
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Mailbox::from))
}

/// A page of the tenant's mailboxes, or of the one in `only`.
pub(super) async fn list(
    tx: &mut TenantTx,
    only: Option<MailboxId>,
    page: &PageRequest,
) -> Result<Vec<Mailbox>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select m.id, m.kind, m.user_id, a.local_part || '@' || d.name as "primary_address!",
             m.quota_bytes, m.warn_bytes, m.block_send_bytes, m.used_bytes, m.recoverable_bytes, m.created_at, m.version
           from mailboxes m
           join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id and a.is_primary
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where m.tenant_id = $1 and m.id > $2 and m.status = 'active' and ($4::uuid is null or m.id = $4)
           order by m.id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        only.map(MailboxId::uuid)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Mailbox::from).collect())
}

/// Keeps others from changing a mailbox until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: MailboxId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select id from mailboxes where tenant_id = $1 and id = $2 for no key update",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn set_bounds(tx: &mut TenantTx, id: MailboxId, bounds: &Bounds) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update mailboxes set quota_bytes = $3, warn_bytes = $4, block_send_bytes = $5, version = version + 1
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        bounds.quota_bytes,
        bounds.warn_bytes,
        bounds.block_send_bytes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether the quotas add up to more than a tenant's pool that forbids it. Takes its row, so that two who add do so one
/// after the other, and only if it does forbid it.
pub(super) async fn is_overallocated(tx: &mut TenantTx) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let limit = sqlx::query_scalar!(
        r#"select storage_limit_bytes as "limit!" from tenants
           where id = $1 and storage_limit_bytes is not null and not allow_overallocation for no key update"#,
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(limit) = limit else { return Ok(false) };
    let is_over = sqlx::query_scalar!(
        r#"select coalesce(bool_or(quota_bytes is null), false) or coalesce(sum(quota_bytes), 0) > $2::bigint as "is_over!"
           from mailboxes where tenant_id = $1 and status = 'active'"#,
        tenant_id,
        limit
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_over)
}
