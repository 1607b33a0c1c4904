//! SQL of holds.

use db::{Error, SystemTx};
use kernel::{HoldId, MailboxId, PageRequest, TenantId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Hold;
use crate::TenantTx;

struct Row {
    id: Uuid,
    mailbox_id: Option<Uuid>,
    reason: String,
    created_at: DateTime<Utc>,
    released_at: Option<DateTime<Utc>>,
}

impl From<Row> for Hold {
    fn from(row: Row) -> Self {
        Self {
            id: HoldId::from_uuid(row.id),
            mailbox_id: row.mailbox_id.map(MailboxId::from_uuid),
            reason: row.reason,
            created_at: row.created_at,
            released_at: row.released_at,
        }
    }
}

/// Locks the mailbox, or all of the tenant's, deleted ones among them, in the order of their ids; whether there is any.
pub(super) async fn lock_mailboxes(tx: &mut TenantTx, id: Option<MailboxId>) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let locked = sqlx::query_scalar!(
        "select id from mailboxes where tenant_id = $1 and ($2::uuid is null or id = $2) order by id for no key update",
        tenant_id,
        id.map(MailboxId::uuid)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(!locked.is_empty())
}

/// Keeps the tenant from being deleted until the transaction ends; whether it was not before.
pub(super) async fn lock_tenant(tx: &mut TenantTx) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let status = sqlx::query_scalar!("select status from tenants where id = $1 for no key update", tenant_id)
        .fetch_optional(tx.conn())
        .await?;
    Ok(status.is_some_and(|status| status != "deleted"))
}

pub(super) async fn insert(tx: &mut TenantTx, hold: &Hold) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into holds (tenant_id, id, mailbox_id, reason, created_at) values ($1, $2, $3, $4, $5)",
        tenant_id,
        hold.id.uuid(),
        hold.mailbox_id.map(MailboxId::uuid),
        hold.reason,
        hold.created_at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn list(tx: &mut TenantTx, page: &PageRequest) -> Result<Vec<Hold>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, mailbox_id, reason, created_at, released_at from holds
         where tenant_id = $1 and id > $2 order by id limit $3",
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Hold::from).collect())
}

pub(super) async fn find(tx: &mut TenantTx, id: HoldId) -> Result<Option<Hold>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, mailbox_id, reason, created_at, released_at from holds where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Hold::from))
}

/// Whether it was in force.
pub(super) async fn release(tx: &mut TenantTx, id: HoldId, now: DateTime<Utc>) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update holds set released_at = $3 where tenant_id = $1 and id = $2 and released_at is null",
        tenant_id,
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether anything of a tenant is on hold. With the tenant locked, nobody places one meanwhile.
pub(crate) async fn is_any_in_force(tx: &mut SystemTx, id: TenantId) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from holds where tenant_id = $1 and released_at is null) as "exists!""#,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?)
}
