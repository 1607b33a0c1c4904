//! SQL of seats.

use db::Error;
use kernel::UserId;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::SeatChange;
use crate::TenantTx;

/// A reseller's cap and what of it is used.
pub(super) struct Level {
    pub(super) limit: Option<i32>,
    pub(super) used: i32,
}

pub(super) async fn changes(tx: &mut TenantTx, until: DateTime<Utc>) -> Result<Vec<SeatChange>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select at, delta, user_id from seat_changes where tenant_id = $1 and at <= $2 order by at, position",
        tenant_id,
        until
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| SeatChange { at: row.at, delta: row.delta, user_id: UserId::from_uuid(row.user_id) })
        .collect())
}

/// Counts one more seat if the limit allows; the resellers above, or `None` when it does not.
pub(super) async fn take_of_tenant(tx: &mut TenantTx) -> Result<Option<Vec<Uuid>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let path = sqlx::query_scalar!(
        "update tenants set seats_used = seats_used + 1
         where id = $1 and (seats_limit is null or seats_used < seats_limit) returning reseller_path",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(path)
}

pub(super) async fn free_of_tenant(tx: &mut TenantTx) -> Result<Vec<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let path = sqlx::query_scalar!(
        "update tenants set seats_used = seats_used - 1 where id = $1 returning reseller_path",
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(path)
}

pub(super) async fn tenant_limit(tx: &mut TenantTx) -> Result<Option<i32>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let limit = sqlx::query_scalar!("select seats_limit from tenants where id = $1", tenant_id)
        .fetch_one(tx.conn())
        .await?;
    Ok(limit)
}

pub(super) async fn lock_resellers(tx: &mut TenantTx, path: &[Uuid]) -> Result<Vec<Level>, Error> {
    let levels = sqlx::query_as!(
        Level,
        r#"select seats_limit as "limit", seats_used as used from resellers where id = any ($1) order by id for no key update"#,
        path
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(levels)
}

pub(super) async fn add_to_resellers(tx: &mut TenantTx, path: &[Uuid], delta: i32) -> Result<(), Error> {
    sqlx::query!("update resellers set seats_used = seats_used + $2 where id = any ($1)", path, delta)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Appends a change, never before the last: clocks of several servers differ, and a seat freed before it was taken
/// would be a level below zero. The tenant's row is locked, so the last is the last.
pub(super) async fn append(tx: &mut TenantTx, change: &SeatChange) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into seat_changes (tenant_id, at, delta, user_id)
         values ($1, greatest($2, (select at from seat_changes where tenant_id = $1 order by position desc limit 1)), $3, $4)",
        tenant_id,
        change.at,
        change.delta,
        change.user_id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
