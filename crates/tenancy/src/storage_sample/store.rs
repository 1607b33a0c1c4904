//! SQL of samples.

use db::Error;
use kernel::TenantId;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{StorageSample, Wanted};
use crate::TenantTx;

/// Of one tenant, or of all. Sums up mailboxes, since a tenant without a limit has no counter of its own. Appends after the last
/// sample of a tenant, never before it: the clocks of several servers differ.
pub(super) async fn record(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    tenant_id: Option<TenantId>,
) -> Result<u64, Error> {
    // One after the other: what was known at a billing stays what comes before a position.
    sqlx::query!("select pg_advisory_xact_lock(hashtext('storage_samples'))").execute(&mut *conn).await?;
    let recorded = sqlx::query!(
        "insert into storage_samples (tenant_id, at, used_bytes)
         select t.id, coalesce(t.test_clock, $1), stored.used_bytes
         from tenants t cross join lateral (
           select coalesce(sum(m.used_bytes), 0)::bigint as used_bytes from mailboxes m
           where m.tenant_id = t.id and m.status = 'active') stored
         left join lateral (
           select s.at, s.used_bytes from storage_samples s where s.tenant_id = t.id order by s.at desc, s.position desc limit 1) last on true
         where stored.used_bytes is distinct from last.used_bytes and (last.at is null or last.at <= coalesce(t.test_clock, $1))
           and ($2::uuid is null or t.id = $2)",
        now,
        tenant_id.map(TenantId::uuid)
    )
    .execute(conn)
    .await?;
    Ok(recorded.rows_affected())
}

pub(super) async fn of(tx: &mut TenantTx) -> Result<Vec<StorageSample>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let samples = sqlx::query_as!(
        StorageSample,
        "select at, position, used_bytes from storage_samples where tenant_id = $1 order by at, position",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(samples)
}

/// By tenant, oldest first.
pub(super) async fn of_each(
    conn: &mut PgConnection,
    wanted: &[Wanted],
) -> Result<Vec<(TenantId, StorageSample)>, Error> {
    let tenants: Vec<Uuid> = wanted.iter().map(|of| of.tenant_id.uuid()).collect();
    let from: Vec<Option<DateTime<Utc>>> = wanted.iter().map(|of| of.from).collect();
    let until: Vec<DateTime<Utc>> = wanted.iter().map(|of| of.until).collect();
    let rows = sqlx::query!(
        r#"select s.tenant_id as "tenant_id!", s.at as "at!", s.position as "position!", s.used_bytes as "used_bytes!"
           from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) wanted (tenant_id, from_at, until)
           cross join lateral (
             select max(b.at) as at from storage_samples b where b.tenant_id = wanted.tenant_id and b.at <= wanted.from_at) before
           join storage_samples s on s.tenant_id = wanted.tenant_id and s.at >= coalesce(before.at, '-infinity') and s.at <= wanted.until
           order by s.tenant_id, s.at, s.position"#,
        &tenants,
        &from as &[Option<DateTime<Utc>>],
        &until
    )
    .fetch_all(conn)
    .await?;
    let sample = |at, position, used_bytes| StorageSample { at, position, used_bytes };
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), sample(row.at, row.position, row.used_bytes)))
        .collect())
}
