//! SQL of samples.

use db::{Error, SystemTx};
use kernel::TenantId;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StorageSample;
use crate::TenantTx;

/// Appends after the last sample of a tenant, never before it: clocks of several servers differ, and a test clock may stand still.
/// Of two processes that sample at one instant, one does.
pub(super) async fn record(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<u64, Error> {
    let recorded = sqlx::query!(
        "insert into storage_samples (tenant_id, at, used_bytes)
         select t.id, coalesce(t.test_clock, $1), t.used_bytes
         from tenants t left join lateral (
           select s.at, s.used_bytes from storage_samples s where s.tenant_id = t.id order by s.at desc limit 1) last on true
         where t.used_bytes is distinct from last.used_bytes and (last.at is null or last.at < coalesce(t.test_clock, $1))
         on conflict do nothing",
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(recorded.rows_affected())
}

pub(super) async fn of(tx: &mut TenantTx) -> Result<Vec<StorageSample>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let samples = sqlx::query_as!(
        StorageSample,
        "select at, used_bytes from storage_samples where tenant_id = $1 order by at",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(samples)
}

pub(super) async fn of_tenants(
    tx: &mut SystemTx,
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, StorageSample)>, Error> {
    let tenants: Vec<Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select tenant_id, at, used_bytes from storage_samples where tenant_id = any ($1) order by tenant_id, at",
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    let sample = |at, used_bytes| StorageSample { at, used_bytes };
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), sample(row.at, row.used_bytes)))
        .collect())
}
