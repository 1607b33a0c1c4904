//! SQL of resellers.

use db::{Error, SystemTx};
use kernel::{PageRequest, ResellerId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Reseller, ResellerChange};
use crate::ResellerCtx;

struct Row {
    id: Uuid,
    parent_id: Option<Uuid>,
    name: String,
    status: String,
    seats_limit: Option<i32>,
    seats_used: i32,
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
            seats_limit: row.seats_limit,
            seats_used: row.seats_used,
            created_at: row.created_at,
            version: row.version,
        }
    }
}

pub(super) async fn insert(tx: &mut SystemTx, reseller: &Reseller, path: &[ResellerId]) -> Result<(), Error> {
    let path = path.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    sqlx::query!(
        "insert into resellers (id, parent_id, path, name, status, seats_limit, created_at) values ($1, $2, $3, $4, $5, $6, $7)",
        reseller.id.uuid(),
        reseller.parent_id.map(ResellerId::uuid),
        &path,
        reseller.name,
        reseller.status,
        reseller.seats_limit,
        reseller.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<Option<Reseller>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, parent_id, name, status, seats_limit, seats_used, created_at, version from resellers where id = $1",
        ctx.reseller_id().uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Reseller::from))
}

pub(super) async fn list(
    tx: &mut SystemTx,
    root: Option<ResellerId>,
    page: &PageRequest,
) -> Result<Vec<Reseller>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, parent_id, name, status, seats_limit, seats_used, created_at, version from resellers
         where ($1::uuid is null or $1 = any (path)) and id > $2 order by id limit $3",
        root.map(ResellerId::uuid),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Reseller::from).collect())
}

/// The reseller's version, keeping others from changing it until the transaction ends.
pub(super) async fn lock(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<Option<i64>, Error> {
    let version = sqlx::query_scalar!(
        "select version from resellers where id = $1 for no key update",
        ctx.reseller_id().uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(version)
}

pub(super) async fn update(
    tx: &mut SystemTx,
    ctx: &ResellerCtx,
    change: &ResellerChange,
) -> Result<Option<Reseller>, Error> {
    let row = sqlx::query_as!(
        Row,
        "update resellers set name = coalesce($2, name), version = version + 1,
           seats_limit = case when $3 then $4 else seats_limit end
         where id = $1
         returning id, parent_id, name, status, seats_limit, seats_used, created_at, version",
        ctx.reseller_id().uuid(),
        change.name,
        change.seats_limit.is_some(),
        change.seats_limit.flatten(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Reseller::from))
}

pub(super) async fn path(tx: &mut SystemTx, id: ResellerId) -> Result<Option<Vec<ResellerId>>, Error> {
    let path =
        sqlx::query_scalar!("select path from resellers where id = $1 and status <> 'deleted'", id.uuid())
            .fetch_optional(tx.conn())
            .await?;
    Ok(path.map(|path| path.into_iter().map(ResellerId::from_uuid).collect()))
}
