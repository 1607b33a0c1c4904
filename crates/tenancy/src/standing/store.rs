//! SQL of standings.

use kernel::TenantId;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};

use super::{Standing, StandingChange};
use crate::{Error, OfTenants};

pub(super) async fn changes(tx: &mut impl OfTenants) -> Result<Vec<(TenantId, StandingChange)>, Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        "select tenant_id, day, standing from tenant_standings where tenant_id = any ($1) order by tenant_id, ordinal",
        &tenants
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let standing = row.standing.parse().map_err(Error::internal)?;
            Ok((TenantId::from_uuid(row.tenant_id), StandingChange { day: row.day, standing }))
        })
        .collect()
}

/// Never before the day of the last, should the clock step back.
pub(super) async fn append(
    conn: &mut PgConnection,
    tenant_id: TenantId,
    at: DateTime<Utc>,
    day: NaiveDate,
    standing: Standing,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into tenant_standings (tenant_id, ordinal, at, day, standing)
         select $1, coalesce(last.ordinal, 0) + 1, $2, greatest($3, last.day), $4
         from (select) one left join lateral
           (select ordinal, day, standing from tenant_standings where tenant_id = $1 order by ordinal desc limit 1) last on true
         where coalesce(last.standing, 'active') <> $4",
        tenant_id.uuid(),
        at,
        day,
        standing.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}
