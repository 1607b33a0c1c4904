//! SQL of accounts, beside that of their users.

use std::collections::HashMap;

use kernel::MailboxId;
use uuid::Uuid;

use crate::TenantTx;

/// What an account has of its mailbox.
pub(super) struct Mailbox {
    pub(super) quota_bytes: Option<i64>,
    pub(super) version: i64,
}

pub(super) async fn mailboxes(
    tx: &mut TenantTx,
    ids: impl Iterator<Item = MailboxId>,
) -> Result<HashMap<MailboxId, Mailbox>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids: Vec<Uuid> = ids.map(MailboxId::uuid).collect();
    let rows = sqlx::query!(
        "select id, quota_bytes, version from mailboxes where tenant_id = $1 and id = any($2)",
        tenant_id,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    let each = rows.into_iter().map(|row| {
        let mailbox = Mailbox { quota_bytes: row.quota_bytes, version: row.version };
        (MailboxId::from_uuid(row.id), mailbox)
    });
    Ok(each.collect())
}

/// How many users there are who are not deleted.
pub(super) async fn count(tx: &mut TenantTx) -> Result<i64, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from users where tenant_id = $1 and status <> 'deleted'"#,
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// The id of the user with so many before them.
pub(super) async fn nth(tx: &mut TenantTx, offset: i64) -> Result<Option<Uuid>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let id = sqlx::query_scalar!(
        "select id from users where tenant_id = $1 and status <> 'deleted' order by id offset $2 limit 1",
        tenant_id,
        offset
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id)
}
