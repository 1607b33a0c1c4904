//! SQL of usage: of the tenants of a reseller.

use db::SystemTx;
use kernel::{ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::rating::Step;

/// A tenant as its rows name it.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) reseller_id: Uuid,
    pub(crate) time_zone: String,
    pub(crate) test_clock: Option<DateTime<Utc>>,
}

/// The next tenants of a reseller and of those below it, by id.
pub(crate) async fn tenants(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Tenant>, db::Error> {
    let tenants = sqlx::query_as!(
        Tenant,
        "select id, name, reseller_id, time_zone, test_clock from tenants
         where reseller_path @> array[$1::uuid] and id > $2 order by id limit $3",
        reseller_id.uuid(),
        after,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(tenants)
}

/// The committed minima of several tenants: by tenant, in the order in which they were set.
pub(crate) async fn commitments_of(
    tx: &mut SystemTx,
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, Step)>, db::Error> {
    let tenants: Vec<Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select tenant_id, at, seats_committed from seat_commitments where tenant_id = any ($1) order by tenant_id, ordinal",
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    let step = |at, level: i32| Step { at, level: level.into() };
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), step(row.at, row.seats_committed)))
        .collect())
}
