//! SQL of retention policies.

use chrono::{DateTime, Utc};
use db::Error;
use tenancy::TenantTx;

use super::{Policy, Retention};

pub(crate) async fn find(tx: &mut TenantTx) -> Result<Retention, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "select recoverable_days, recoverable_limit_bytes, updated_at, version from retention_policies where tenant_id = $1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or_else(Retention::default, |row| {
        let policy = Policy {
            recoverable_days: row.recoverable_days,
            recoverable_limit_bytes: row.recoverable_limit_bytes,
        };
        Retention { policy, updated_at: Some(row.updated_at), version: row.version }
    }))
}

pub(super) async fn put(tx: &mut TenantTx, policy: Policy, now: DateTime<Utc>) -> Result<Retention, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let version = sqlx::query_scalar!(
        "insert into retention_policies as old (tenant_id, recoverable_days, recoverable_limit_bytes, updated_at, version)
         values ($1, $2, $3, $4, 1)
         on conflict (tenant_id) do update set recoverable_days = $2, recoverable_limit_bytes = $3, updated_at = $4, version = old.version + 1
         returning version",
        tenant_id,
        policy.recoverable_days,
        policy.recoverable_limit_bytes,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Retention { policy, updated_at: Some(now), version })
}
