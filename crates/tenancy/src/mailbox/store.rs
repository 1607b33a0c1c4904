//! SQL of mailboxes.

use db::SystemRead;
use kernel::{MailboxId, PageRequest, TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Filter, Kind, Mailbox, Quota};
use crate::quota::Bounds;
use crate::{Error, TenantTx};

struct Row {
    id: Uuid,
    kind: String,
    user_id: Option<Uuid>,
    display_name: String,
    primary_address: String,
    aliases: Vec<String>,
    quota_bytes: Option<i64>,
    warn_bytes: Option<i64>,
    block_send_bytes: Option<i64>,
    used_bytes: i64,
    recoverable_bytes: i64,
    created_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    version: i64,
}

impl TryFrom<Row> for Mailbox {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: MailboxId::from_uuid(row.id),
            kind: row.kind.parse().map_err(Error::internal)?,
            user_id: row.user_id.map(UserId::from_uuid),
            display_name: row.display_name,
            primary_address: row.primary_address,
            aliases: row.aliases,
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
            deleted_at: row.deleted_at,
            version: row.version,
        })
    }
}

/// A mailbox that is there and has an address.
pub(super) async fn find(tx: &mut TenantTx, id: MailboxId) -> Result<Option<Mailbox>, Error> {
    let page = PageRequest::new(Some(1), None);
    Ok(list(tx, Some(&[id]), Filter::default(), &page).await?.pop())
}

/// A mailbox that is deleted.
pub(super) async fn find_deleted(tx: &mut TenantTx, id: MailboxId) -> Result<Option<Mailbox>, Error> {
    let page = PageRequest::new(Some(1), None);
    Ok(list(tx, Some(&[id]), Filter { deleted: true, kind: None }, &page).await?.pop())
}

/// The tenant that has a mailbox, deleted or not. Reads all of the table: no index leads with an id alone.
pub(super) async fn tenant_of(read: &mut SystemRead, id: MailboxId) -> Result<Option<TenantId>, db::Error> {
    let tenant_id = sqlx::query_scalar!("select tenant_id from mailboxes where id = $1", id.uuid())
        .fetch_optional(read.conn())
        .await?;
    Ok(tenant_id.map(TenantId::from_uuid))
}

/// Whether there is such a mailbox that is not deleted, or is on hold.
pub(super) async fn is_kept(tx: &mut TenantTx, id: MailboxId) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let is_kept = sqlx::query_scalar!(
        r#"select exists (select from mailboxes where tenant_id = $1 and id = $2 and (status = 'active' or is_on_hold($1, $2))) as "is_kept!""#,
        tenant_id,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_kept)
}

/// A page of the tenant's mailboxes, or of those in `only`.
pub(super) async fn list(
    tx: &mut TenantTx,
    only: Option<&[MailboxId]>,
    filter: Filter,
    page: &PageRequest,
) -> Result<Vec<Mailbox>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let only: Option<Vec<Uuid>> = only.map(|ids| ids.iter().map(|id| id.uuid()).collect());
    let rows = sqlx::query_as!(
        Row,
        r#"select m.id, m.kind, m.user_id, coalesce(m.display_name, u.display_name, '') as "display_name!",
             p.local_part || '@' || d.name as "primary_address!",
             array(select a.local_part || '@' || n.name from addresses a join domains n on n.tenant_id = a.tenant_id and n.id = a.domain_id
               where a.tenant_id = m.tenant_id and a.mailbox_id = m.id and not a.is_primary order by n.name, a.local_part) as "aliases!: Vec<String>",
             m.quota_bytes, m.warn_bytes, m.block_send_bytes, m.used_bytes, m.recoverable_bytes, m.created_at, m.version,
             coalesce(m.deleted_at, u.deleted_at) as deleted_at
           from mailboxes m
           left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
           join addresses p on p.tenant_id = m.tenant_id and p.mailbox_id = m.id and p.is_primary
           join domains d on d.tenant_id = p.tenant_id and d.id = p.domain_id
           where m.tenant_id = $1 and m.id > $2 and (m.status = 'deleted') = $5
             and ($4::uuid[] is null or m.id = any ($4)) and ($6::text is null or m.kind = $6)
           order by m.id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        only.as_deref(),
        filter.deleted,
        filter.kind.map(Kind::as_str)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Mailbox::try_from).collect()
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: MailboxId,
    kind: Kind,
    display_name: &str,
    quota_bytes: Option<i64>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into mailboxes (tenant_id, id, kind, display_name, quota_bytes, created_at) values ($1, $2, $3, $4, $5, $6)",
        tenant_id,
        id.uuid(),
        kind.as_str(),
        display_name,
        quota_bytes,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts a mailbox as changed; perhaps it has another name. Whether there is one.
pub(super) async fn update(
    tx: &mut TenantTx,
    id: MailboxId,
    display_name: Option<&str>,
) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update mailboxes set display_name = coalesce($3, display_name), version = version + 1
         where tenant_id = $1 and id = $2 and status = 'active'",
        tenant_id,
        id.uuid(),
        display_name
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Marks a mailbox deleted, or no longer so.
pub(super) async fn set_deleted(
    tx: &mut TenantTx,
    id: MailboxId,
    deleted_at: Option<DateTime<Utc>>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update mailboxes set deleted_at = $3, version = version + 1,
           status = case when $3::timestamptz is null then 'active' else 'deleted' end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        deleted_at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps others from changing a mailbox until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: MailboxId) -> Result<(), db::Error> {
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

pub(super) async fn set_bounds(tx: &mut TenantTx, id: MailboxId, bounds: &Bounds) -> Result<(), db::Error> {
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
pub(super) async fn is_overallocated(tx: &mut TenantTx) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let limit = sqlx::query_scalar!(
        "select case when not allow_overallocation then storage_limit_bytes end from tenants where id = $1 for no key update",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(limit) = limit.flatten() else { return Ok(false) };
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

/// What of a tenant's pool the quotas of its mailboxes but some leave: less than nothing if one is unlimited. `None` if the tenant
/// allows them to add up to more.
pub(super) async fn unallocated(tx: &mut TenantTx, without: &[MailboxId]) -> Result<Option<i64>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let without: Vec<Uuid> = without.iter().map(|id| id.uuid()).collect();
    let left = sqlx::query_scalar!(
        r#"select case when coalesce(bool_or(m.id is not null and m.quota_bytes is null), false) then -1
             else t.storage_limit_bytes - coalesce(sum(m.quota_bytes), 0)::bigint end
           from tenants t left join mailboxes m on m.tenant_id = t.id and m.status = 'active' and m.id <> all ($2)
           where t.id = $1 and not t.allow_overallocation group by t.id"#,
        tenant_id,
        &without
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(left.flatten())
}
