//! SQL of delegates.

use kernel::{MailboxId, PageRequest, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Delegate, Right};
use crate::{Error, TenantTx};

fn delegate(user_id: Uuid, rights: &[String], created_at: DateTime<Utc>) -> Result<Delegate, Error> {
    let rights = rights.iter().map(|name| name.parse()).collect::<Result<_, _>>();
    Ok(Delegate { user_id: UserId::from_uuid(user_id), rights: rights.map_err(Error::internal)?, created_at })
}

pub(super) async fn put(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    user_id: UserId,
    rights: &[Right],
    now: DateTime<Utc>,
) -> Result<Delegate, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let names: Vec<String> = rights.iter().map(|right| right.as_str().to_owned()).collect();
    let row = sqlx::query!(
        "insert into mailbox_delegates (tenant_id, mailbox_id, user_id, rights, created_at) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, mailbox_id, user_id) do update set rights = excluded.rights
         returning user_id, rights, created_at",
        tenant_id,
        mailbox_id.uuid(),
        user_id.uuid(),
        &names,
        now
    )
    .fetch_one(tx.conn())
    .await
    .map_err(db::Error::from)?;
    delegate(row.user_id, &row.rights, row.created_at)
}

/// Those of a mailbox who have not been deleted.
pub(super) async fn list(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    page: &PageRequest,
) -> Result<Vec<Delegate>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select md.user_id, md.rights, md.created_at from mailbox_delegates md
         join users u on u.tenant_id = md.tenant_id and u.id = md.user_id and u.status <> 'deleted'
         where md.tenant_id = $1 and md.mailbox_id = $2 and md.user_id > $3 order by md.user_id limit $4",
        tenant_id,
        mailbox_id.uuid(),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(|row| delegate(row.user_id, &row.rights, row.created_at)).collect()
}

pub(super) async fn remove(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    user_id: UserId,
) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "delete from mailbox_delegates where tenant_id = $1 and mailbox_id = $2 and user_id = $3",
        tenant_id,
        mailbox_id.uuid(),
        user_id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whose own a mailbox is.
pub(super) async fn owner(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Option<UserId>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let owner = sqlx::query_scalar!(
        "select user_id from mailboxes where tenant_id = $1 and id = $2",
        tenant_id,
        mailbox_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(owner.flatten().map(UserId::from_uuid))
}
