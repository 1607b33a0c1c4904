//! SQL of mailboxes.

use db::Error;
use kernel::{MailboxId, PageRequest, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Mailbox, Quota};
use crate::TenantTx;

struct Row {
    id: Uuid,
    kind: String,
    user_id: Option<Uuid>,
    primary_address: String,
    quota_bytes: Option<i64>,
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
                quota_bytes: row.quota_bytes,
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
             m.quota_bytes, m.used_bytes, m.recoverable_bytes, m.created_at, m.version
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
             m.quota_bytes, m.used_bytes, m.recoverable_bytes, m.created_at, m.version
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

/// The mailbox's version, keeping others from changing it until the transaction ends.
pub(super) async fn lock(tx: &mut TenantTx, id: MailboxId) -> Result<Option<i64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let version = sqlx::query_scalar!(
        "select version from mailboxes where tenant_id = $1 and id = $2 and status = 'active' for no key update",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(version)
}

pub(super) async fn set_quota(
    tx: &mut TenantTx,
    id: MailboxId,
    quota_bytes: Option<i64>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update mailboxes set quota_bytes = $3, version = version + 1 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        quota_bytes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
