//! SQL of seats.

use db::Error;
use kernel::{TenantId, UserId};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::SeatChange;
use crate::TenantTx;

/// By tenant, oldest first, up to and including the time given for each.
pub(super) async fn changes(
    conn: &mut PgConnection,
    until: &[(TenantId, DateTime<Utc>)],
) -> Result<Vec<(TenantId, SeatChange)>, Error> {
    let (tenants, until): (Vec<Uuid>, Vec<DateTime<Utc>>) =
        until.iter().map(|(id, until)| (id.uuid(), *until)).unzip();
    let rows = sqlx::query!(
        "select c.tenant_id, c.at, c.delta, c.user_id
         from unnest($1::uuid[], $2::timestamptz[]) asked (tenant_id, until)
         join seat_changes c on c.tenant_id = asked.tenant_id and c.at <= asked.until
         order by c.tenant_id, c.at, c.position",
        &tenants,
        &until,
    )
    .fetch_all(conn)
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
