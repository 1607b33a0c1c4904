//! SQL of seats.

use db::{Error, SystemTx};
use kernel::{TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::SeatChange;
use crate::TenantTx;

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

pub(super) async fn changes_of(
    tx: &mut SystemTx,
    tenants: &[TenantId],
    until: DateTime<Utc>,
) -> Result<Vec<(TenantId, SeatChange)>, Error> {
    let tenants: Vec<Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select tenant_id, at, delta, user_id from seat_changes where tenant_id = any ($1) and at <= $2
         order by tenant_id, at, position",
        &tenants,
        until
    )
    .fetch_all(tx.conn())
    .await?;
    let change = |at, delta, user| SeatChange { at, delta, user_id: UserId::from_uuid(user) };
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), change(row.at, row.delta, row.user_id)))
        .collect())
}

/// Appends a change of each user, never before the last: clocks of several servers differ, and a seat freed before it
/// was taken would be a level below zero. The tenant's row is locked, so the last is the last.
pub(super) async fn append(
    tx: &mut TenantTx,
    at: DateTime<Utc>,
    delta: i32,
    users: &[UserId],
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let users: Vec<Uuid> = users.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "insert into seat_changes (tenant_id, at, delta, user_id)
         select $1, greatest($2, (select at from seat_changes where tenant_id = $1 order by position desc limit 1)), $3, u.id
         from unnest($4::uuid[]) with ordinality u (id, place) order by u.place",
        tenant_id,
        at,
        delta,
        &users,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
