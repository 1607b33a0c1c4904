//! SQL of support accesses.

use db::Error;
use kernel::{MailboxId, PageRequest, SupportAccessId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::SupportAccess;
use crate::TenantTx;

struct Row {
    id: Uuid,
    mailbox_id: Uuid,
    principal: String,
    reason: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl From<Row> for SupportAccess {
    fn from(row: Row) -> Self {
        Self {
            id: SupportAccessId::from_uuid(row.id),
            mailbox_id: MailboxId::from_uuid(row.mailbox_id),
            principal: row.principal,
            reason: row.reason,
            created_at: row.created_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        }
    }
}

pub(super) async fn insert(tx: &mut TenantTx, access: &SupportAccess) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into support_accesses (tenant_id, id, mailbox_id, principal, reason, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        tenant_id,
        access.id.uuid(),
        access.mailbox_id.uuid(),
        access.principal,
        access.reason,
        access.created_at,
        access.expires_at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn list(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    page: &PageRequest,
) -> Result<Vec<SupportAccess>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, mailbox_id, principal, reason, created_at, expires_at, ended_at from support_accesses
         where tenant_id = $1 and mailbox_id = $2 and id > $3 order by id limit $4",
        tenant_id,
        mailbox_id.uuid(),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(SupportAccess::from).collect())
}

pub(super) async fn find(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: SupportAccessId,
) -> Result<Option<SupportAccess>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, mailbox_id, principal, reason, created_at, expires_at, ended_at from support_accesses
         where tenant_id = $1 and mailbox_id = $2 and id = $3",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(SupportAccess::from))
}

/// Ends one that is in force; whether it was.
pub(super) async fn end(tx: &mut TenantTx, id: SupportAccessId, now: DateTime<Utc>) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update support_accesses set ended_at = $3
         where tenant_id = $1 and id = $2 and ended_at is null and expires_at > $3",
        tenant_id,
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The principal's access to a mailbox that is in force; of several, the one that lasts longest.
pub(super) async fn in_force(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    principal: &str,
    now: DateTime<Utc>,
) -> Result<Option<SupportAccess>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, mailbox_id, principal, reason, created_at, expires_at, ended_at from support_accesses
         where tenant_id = $1 and mailbox_id = $2 and principal = $3 and expires_at > $4 and ended_at is null
         order by expires_at desc limit 1",
        tenant_id,
        mailbox_id.uuid(),
        principal,
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(SupportAccess::from))
}
