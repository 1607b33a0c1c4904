//! SQL of users and their addresses.

use std::collections::HashMap;

use kernel::{EmailAddress, MailboxId, PageRequest, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Filter, Status, User, UserChange};
use crate::mailbox::Kind;
use crate::policy::{Capability, capabilities};
use crate::{Error, Role, TenantTx};

#[derive(Clone)]
struct Row {
    id: Uuid,
    address: String,
    aliases: Vec<String>,
    display_name: String,
    given_name: Option<String>,
    family_name: Option<String>,
    role: String,
    status: String,
    suspended_capabilities: Vec<String>,
    mailbox_id: Uuid,
    external_id: Option<String>,
    created_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    version: i64,
}

impl TryFrom<Row> for User {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: UserId::from_uuid(row.id),
            address: row.address,
            aliases: row.aliases,
            display_name: row.display_name,
            given_name: row.given_name,
            family_name: row.family_name,
            role: row.role.parse().map_err(Error::internal)?,
            status: row.status,
            suspended_capabilities: capabilities(&row.suspended_capabilities)?,
            mailbox_id: MailboxId::from_uuid(row.mailbox_id),
            external_id: row.external_id,
            created_at: row.created_at,
            deleted_at: row.deleted_at,
            version: row.version,
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
        "insert into users (tenant_id, id, display_name, role, status, external_id, password_hash, created_at, given_name, family_name)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant_id,
        user.id.uuid(),
        user.display_name,
        user.role.as_str(),
        user.status,
        user.external_id,
        password_hash,
        user.created_at,
        user.given_name,
        user.family_name,
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

pub(super) async fn find(tx: &mut TenantTx, id: UserId) -> Result<Option<User>, Error> {
    find_each(tx, &[id]).await?.pop().unwrap_or(Ok(None))
}

/// Users by their ids, in the order of these. Postgres is not shown how many there are: it would make a plan for each number.
pub(super) async fn find_each(
    tx: &mut TenantTx,
    ids: &[UserId],
) -> Result<Vec<Result<Option<User>, Error>>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select u.id, u.display_name, u.role, u.status, u.suspended_capabilities, u.external_id, u.created_at,
             u.given_name, u.family_name, u.deleted_at, u.version, m.id as mailbox_id,
             coalesce(max(a.local_part || '@' || d.name) filter (where a.is_primary), '') as "address!",
             coalesce(array_agg(a.local_part || '@' || d.name order by d.name, a.local_part) filter (where not a.is_primary), '{}') as "aliases!"
           from users u
           join mailboxes m on m.tenant_id = u.tenant_id and m.user_id = u.id
           join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where u.tenant_id = $1 and u.id = any (array(select unnest((select $2::uuid[]))))
           group by u.tenant_id, u.id, m.id"#,
        tenant_id,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    let rows: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    Ok(ids.iter().map(|id| rows.get(id).cloned().map(User::try_from).transpose()).collect())
}

/// A page of the users; an address names the one who has it.
pub(super) async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    address: Option<&EmailAddress>,
    page: &PageRequest,
) -> Result<Vec<User>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select u.id, u.display_name, u.role, u.status, u.suspended_capabilities, u.external_id, u.created_at,
             u.given_name, u.family_name, u.deleted_at, u.version, m.id as mailbox_id,
             coalesce(max(a.local_part || '@' || d.name) filter (where a.is_primary), '') as "address!",
             coalesce(array_agg(a.local_part || '@' || d.name order by d.name, a.local_part) filter (where not a.is_primary), '{}') as "aliases!"
           from users u
           join mailboxes m on m.tenant_id = u.tenant_id and m.user_id = u.id
           join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where u.tenant_id = $1 and u.id > $2 and case when $4::text is null then u.status <> 'deleted' else u.status = $4 end
             and ($5::text is null or u.external_id = $5)
             and ($6::text is null or exists (select from addresses o join domains n on n.tenant_id = o.tenant_id and n.id = o.domain_id
               where o.tenant_id = m.tenant_id and o.mailbox_id = m.id and o.local_part = $6 and n.name = $7))
             and ($8::text is null or u.role = $8)
           group by u.tenant_id, u.id, m.id
           order by u.id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        filter.status.map(Status::as_str),
        filter.external_id,
        address.map(EmailAddress::local),
        address.map(|address| address.domain().as_str()),
        filter.role.map(Role::as_str)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(User::try_from).collect()
}

/// The roles of those whose mailboxes a user uses as a delegate, be it to send as them alone.
pub(super) async fn roles_delegated_to(tx: &mut TenantTx, id: UserId) -> Result<Vec<Role>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let roles = sqlx::query_scalar!(
        "select distinct u.role from mailbox_delegates md
         join mailboxes m on m.tenant_id = md.tenant_id and m.id = md.mailbox_id
         join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
         where md.tenant_id = $1 and md.user_id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    roles.iter().map(|role| role.parse().map_err(Error::internal)).collect()
}

/// Keeps others from changing a user until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: UserId) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select id from users where tenant_id = $1 and id = $2 for no key update",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn update(tx: &mut TenantTx, id: UserId, change: &UserChange) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update users set version = version + 1, display_name = coalesce($3, display_name), role = coalesce($4, role),
           given_name = case when $5 then $6 else given_name end,
           family_name = case when $7 then $8 else family_name end,
           external_id = case when $9 then $10 else external_id end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        change.display_name,
        change.role.map(Role::as_str),
        change.given_name.is_some(),
        change.given_name.clone().flatten(),
        change.family_name.is_some(),
        change.family_name.clone().flatten(),
        change.external_id.is_some(),
        change.external_id.clone().flatten(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes capabilities from a user, or gives all but these back.
pub(super) async fn set_suspended(
    tx: &mut TenantTx,
    id: UserId,
    suspended: &[Capability],
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let names: Vec<String> = suspended.iter().map(|capability| capability.as_str().to_owned()).collect();
    sqlx::query!(
        "update users set version = version + 1, suspended_capabilities = $3,
           status = case when $3 = '{}'::text[] then 'active' else 'suspended' end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        &names
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn set_password(tx: &mut TenantTx, id: UserId, hash: &str) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update users set version = version + 1, password_hash = $3 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        hash
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Brings a deleted user and their mailbox back, with the capabilities that they had; the bytes in it.
pub(super) async fn restore(tx: &mut TenantTx, id: UserId) -> Result<u64, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update users set deleted_at = null, version = version + 1,
           external_id = case when not exists (select from users o
             where o.tenant_id = users.tenant_id and o.external_id = users.external_id and o.deleted_at is null) then external_id end,
           status = case when suspended_capabilities = '{}'::text[] then 'active' else 'suspended' end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    let used_bytes = sqlx::query_scalar!(
        "update mailboxes set status = 'active', version = version + 1 where tenant_id = $1 and user_id = $2 returning used_bytes",
        tenant_id,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(used_bytes.unsigned_abs())
}

/// Marks a user and their mailbox deleted; the bytes in it, or `None` when there is no such
/// user any more.
pub(super) async fn delete(
    tx: &mut TenantTx,
    id: UserId,
    now: DateTime<Utc>,
) -> Result<Option<u64>, db::Error> {
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
        return Ok(None);
    }
    let mailbox = sqlx::query!(
        "update mailboxes set status = 'deleted', version = version + 1 where tenant_id = $1 and user_id = $2
         returning used_bytes",
        tenant_id,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Some(mailbox.used_bytes.unsigned_abs()))
}

/// Makes a user's mailbox nobody's own, under the name that it had.
pub(super) async fn release_mailbox(tx: &mut TenantTx, user: &User, kind: Kind) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update mailboxes set user_id = null, kind = $3, display_name = $4, version = version + 1 where tenant_id = $1 and id = $2",
        tenant_id,
        user.mailbox_id.uuid(),
        kind.as_str(),
        user.display_name
    )
    .execute(tx.conn())
    .await?;
    // A POP3 session that is open finds at its end that the mailbox is not its own any more.
    sqlx::query!(
        "delete from mailbox_leases where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        user.mailbox_id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
