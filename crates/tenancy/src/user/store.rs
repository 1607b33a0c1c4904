//! SQL of users and their addresses.

use kernel::{EmailAddress, MailboxId, PageRequest, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::User;
use crate::{Error, TenantTx};

struct Row {
    id: Uuid,
    address: String,
    aliases: Vec<String>,
    display_name: String,
    role: String,
    status: String,
    suspended_capabilities: Vec<String>,
    mailbox_id: Uuid,
    external_id: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for User {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: UserId::from_uuid(row.id),
            address: row.address,
            aliases: row.aliases,
            display_name: row.display_name,
            role: row.role.parse().map_err(Error::internal)?,
            status: row.status,
            suspended_capabilities: row.suspended_capabilities,
            mailbox_id: MailboxId::from_uuid(row.mailbox_id),
            external_id: row.external_id,
            created_at: row.created_at,
        })
    }
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    user: &User,
    password_hash: Option<&str>,
    quota_bytes: Option<i64>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into users (tenant_id, id, display_name, role, status, external_id, password_hash, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant_id,
        user.id.uuid(),
        user.display_name,
        user.role.as_str(),
        user.status,
        user.external_id,
        password_hash,
        user.created_at,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into mailboxes (tenant_id, id, user_id, kind, quota_bytes, created_at) values ($1, $2, $3, 'personal', $4, $5)",
        tenant_id,
        user.mailbox_id.uuid(),
        user.id.uuid(),
        quota_bytes,
        user.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives a mailbox an address; false when the tenant has no active domain of that name.
pub(super) async fn add_address(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    address: &EmailAddress,
    is_primary: bool,
) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into addresses (tenant_id, domain_id, local_part, mailbox_id, is_primary)
         select tenant_id, id, $3, $4, $5 from domains where tenant_id = $1 and name = $2 and status = 'active'",
        tenant_id,
        address.domain().as_str(),
        address.local(),
        mailbox_id.uuid(),
        is_primary,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn find(tx: &mut TenantTx, id: UserId) -> Result<Option<User>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select u.id, u.display_name, u.role, u.status, u.suspended_capabilities, u.external_id, u.created_at,
             m.id as mailbox_id,
             coalesce(max(a.local_part || '@' || d.name) filter (where a.is_primary), '') as "address!",
             coalesce(array_agg(a.local_part || '@' || d.name order by d.name, a.local_part) filter (where not a.is_primary), '{}') as "aliases!"
           from users u
           join mailboxes m on m.tenant_id = u.tenant_id and m.user_id = u.id
           join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where u.tenant_id = $1 and u.id = $2
           group by u.tenant_id, u.id, m.id"#,
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(User::try_from).transpose()
}

pub(super) async fn list(tx: &mut TenantTx, page: &PageRequest) -> Result<Vec<User>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select u.id, u.display_name, u.role, u.status, u.suspended_capabilities, u.external_id, u.created_at,
             m.id as mailbox_id,
             coalesce(max(a.local_part || '@' || d.name) filter (where a.is_primary), '') as "address!",
             coalesce(array_agg(a.local_part || '@' || d.name order by d.name, a.local_part) filter (where not a.is_primary), '{}') as "aliases!"
           from users u
           join mailboxes m on m.tenant_id = u.tenant_id and m.user_id = u.id
           join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where u.tenant_id = $1 and u.id > $2 and u.status <> 'deleted'
           group by u.tenant_id, u.id, m.id
           order by u.id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(User::try_from).collect()
}

/// Marks a user and their mailbox deleted and releases its addresses; false when there is no such user any more.
pub(super) async fn delete(tx: &mut TenantTx, id: UserId, now: DateTime<Utc>) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update users set status = 'deleted', deleted_at = $3, version = version + 1
         where tenant_id = $1 and id = $2 and status <> 'deleted'",
        tenant_id,
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "with mailbox as (
           update mailboxes set status = 'deleted', version = version + 1 where tenant_id = $1 and user_id = $2 returning id
         )
         update addresses set released_at = $3 where tenant_id = $1 and mailbox_id in (select id from mailbox) and released_at is null",
        tenant_id,
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(true)
}
