//! SQL of resellers.

use db::{Error, SystemTx};
use kernel::{PageRequest, ResellerId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Caps, Place, Reseller, Used};
use crate::ResellerCtx;
use crate::branding::{self, Branding};

struct Row {
    id: Uuid,
    parent_id: Option<Uuid>,
    name: String,
    status: String,
    tenants_limit: Option<i32>,
    tenants_used: i32,
    domains_limit: Option<i32>,
    domains_used: i32,
    seats_limit: Option<i32>,
    seats_used: i32,
    shared_mailboxes_limit: Option<i32>,
    shared_mailboxes_used: i32,
    storage_limit_bytes: Option<i64>,
    used_bytes: i64,
    branding: serde_json::Value,
    created_at: DateTime<Utc>,
    version: i64,
}

impl From<Row> for Reseller {
    fn from(row: Row) -> Self {
        Self {
            id: ResellerId::from_uuid(row.id),
            parent_id: row.parent_id.map(ResellerId::from_uuid),
            name: row.name,
            status: row.status,
            caps: Caps {
                tenants: row.tenants_limit,
                domains: row.domains_limit,
                seats: row.seats_limit,
                shared_mailboxes: row.shared_mailboxes_limit,
                storage_bytes: row.storage_limit_bytes,
            },
            used: Used {
                tenants: row.tenants_used,
                domains: row.domains_used,
                seats: row.seats_used,
                shared_mailboxes: row.shared_mailboxes_used,
                storage_bytes: row.storage_limit_bytes.map(|_| row.used_bytes),
            },
            branding: branding::read(&row.branding),
            created_at: row.created_at,
            version: row.version,
        }
    }
}

pub(super) async fn insert(tx: &mut SystemTx, reseller: &Reseller, path: &[ResellerId]) -> Result<(), Error> {
    let path = path.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    sqlx::query!(
        "insert into resellers (id, parent_id, path, name, status, seats_limit, created_at, tenants_limit, domains_limit, storage_limit_bytes, branding,
           shared_mailboxes_limit)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        reseller.id.uuid(),
        reseller.parent_id.map(ResellerId::uuid),
        &path,
        reseller.name,
        reseller.status,
        reseller.caps.seats,
        reseller.created_at,
        reseller.caps.tenants,
        reseller.caps.domains,
        reseller.caps.storage_bytes,
        branding::shown(&reseller.branding),
        reseller.caps.shared_mailboxes,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<Option<Reseller>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, parent_id, name, status, tenants_limit, tenants_used, domains_limit, domains_used, seats_limit, seats_used,
           shared_mailboxes_limit, shared_mailboxes_used, storage_limit_bytes, used_bytes, branding, created_at, version from resellers where id = $1",
        ctx.reseller_id().uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Reseller::from))
}

pub(super) async fn list(
    tx: &mut SystemTx,
    root: Option<ResellerId>,
    deleted: bool,
    page: &PageRequest,
) -> Result<Vec<Reseller>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, parent_id, name, status, tenants_limit, tenants_used, domains_limit, domains_used, seats_limit, seats_used,
           shared_mailboxes_limit, shared_mailboxes_used, storage_limit_bytes, used_bytes, branding, created_at, version from resellers
         where ($1::uuid is null or $1 = any (path)) and id > $2 and (status = 'deleted') = $4 order by id limit $3",
        root.map(ResellerId::uuid),
        page.after(),
        page.fetch(),
        deleted
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Reseller::from).collect())
}

/// As [`find`], keeping others from changing the row until the transaction ends; `None` for one that was deleted.
pub(super) async fn find_locked(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<Option<Reseller>, Error> {
    let id = ctx.reseller_id().uuid();
    let locked =
        sqlx::query!("select id from resellers where id = $1 and status <> 'deleted' for no key update", id)
            .fetch_optional(tx.conn())
            .await?;
    if locked.is_some() { find(tx, ctx).await } else { Ok(None) }
}

/// What a reseller becomes.
pub(super) struct New {
    pub(super) name: String,
    pub(super) caps: Caps,
    /// Where there was no cap before.
    pub(super) used_bytes: Option<i64>,
    pub(super) branding: Branding,
}

pub(super) async fn update(
    tx: &mut SystemTx,
    ctx: &ResellerCtx,
    new: &New,
) -> Result<Option<Reseller>, Error> {
    let row = sqlx::query_as!(
        Row,
        "update resellers set version = version + 1, name = $2, tenants_limit = $3, domains_limit = $4, seats_limit = $5,
           storage_limit_bytes = $6, used_bytes = coalesce($7, used_bytes), branding = $8, shared_mailboxes_limit = $9
         where id = $1
         returning id, parent_id, name, status, tenants_limit, tenants_used, domains_limit, domains_used, seats_limit, seats_used,
           shared_mailboxes_limit, shared_mailboxes_used, storage_limit_bytes, used_bytes, branding, created_at, version",
        ctx.reseller_id().uuid(),
        new.name,
        new.caps.tenants,
        new.caps.domains,
        new.caps.seats,
        new.caps.storage_bytes,
        new.used_bytes,
        branding::shown(&new.branding),
        new.caps.shared_mailboxes,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Reseller::from))
}

pub(super) async fn place(tx: &mut SystemTx, id: ResellerId) -> Result<Option<Place>, Error> {
    let row = sqlx::query!(
        r#"select path, status = 'deleted' as "is_deleted!" from resellers where id = $1"#,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Place {
        path: row.path.into_iter().map(ResellerId::from_uuid).collect(),
        is_deleted: row.is_deleted,
    }))
}

/// As [`find_locked`], and nobody puts anything below it either.
pub(super) async fn find_alone(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<Option<Reseller>, Error> {
    let id = ctx.reseller_id().uuid();
    let locked =
        sqlx::query!("select id from resellers where id = $1 and status <> 'deleted' for update", id)
            .fetch_optional(tx.conn())
            .await?;
    if locked.is_some() { find(tx, ctx).await } else { Ok(None) }
}

/// Keeps one that is not deleted from being so until the transaction ends.
pub(super) async fn keep(tx: &mut SystemTx, id: ResellerId) -> Result<bool, Error> {
    let kept = sqlx::query!(
        "select id from resellers where id = $1 and status <> 'deleted' for key share",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(kept.is_some())
}

/// Whether there is a reseller below it, or a tenant that was not destroyed. What is further below is below these.
pub(super) async fn has_any_below(tx: &mut SystemTx, id: ResellerId) -> Result<bool, Error> {
    let any = sqlx::query_scalar!(
        r#"select exists (select from resellers where parent_id = $1 and status <> 'deleted')
             or exists (select from tenants where reseller_id = $1 and purged_at is null) as "any!""#,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(any)
}

pub(super) async fn set_deleted(tx: &mut SystemTx, id: ResellerId) -> Result<(), Error> {
    sqlx::query!("update resellers set status = 'deleted', version = version + 1 where id = $1", id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}
