//! SQL of samples.

use db::{Error, SystemTx};
use kernel::TenantId;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StorageSample;
use crate::TenantTx;

/// Sums up mailboxes, since a tenant without a limit has no counter of its own. Appends after the last sample of a tenant, never before it: clocks of several servers differ, and a test clock may stand still.
pub(super) async fn record(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<u64, Error> {
    // One after the other: what was known at a billing stays the first so many.
    sqlx::query!("select pg_advisory_xact_lock(hashtext('storage_samples'))").execute(tx.conn()).await?;
    let recorded = sqlx::query!(
        "insert into storage_samples (tenant_id, at, used_bytes)
         select t.id, coalesce(t.test_clock, $1), stored.used_bytes
         from tenants t cross join lateral (
           select coalesce(sum(m.used_bytes), 0)::bigint as used_bytes from mailboxes m
           where m.tenant_id = t.id and m.status = 'active') stored
         left join lateral (
           select s.at, s.used_bytes from storage_samples s where s.tenant_id = t.id order by s.at desc limit 1) last on true
         where stored.used_bytes is distinct from last.used_bytes and (last.at is null or last.at < coalesce(t.test_clock, $1))
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

/// By tenant, oldest first, up to and including the time given for each.
pub(super) async fn of_each(
    conn: &mut PgConnection,
    until: &[(TenantId, DateTime<Utc>)],
) -> Result<Vec<(TenantId, StorageSample)>, Error> {
    let (tenants, until): (Vec<Uuid>, Vec<DateTime<Utc>>) =
        until.iter().map(|(id, until)| (id.uuid(), *until)).unzip();
    let rows = sqlx::query!(
        "select s.tenant_id, s.at, s.used_bytes
         from unnest($1::uuid[], $2::timestamptz[]) asked (tenant_id, until)
         join storage_samples s on s.tenant_id = asked.tenant_id and s.at <= asked.until
         order by s.tenant_id, s.at",
        &tenants,
        &until
    )
    .fetch_all(conn)
    .await?;
    let sample = |at, used_bytes| StorageSample { at, used_bytes };
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), sample(row.at, row.used_bytes)))
        .collect())
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
