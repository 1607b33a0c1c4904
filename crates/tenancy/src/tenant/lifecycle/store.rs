//! SQL of what becomes of tenants.

use db::SystemTx;
use kernel::TenantId;
use sqlx::types::chrono::{DateTime, Utc};

use crate::TenantTx;

pub(super) async fn set_deleted(
    tx: &mut SystemTx,
    id: TenantId,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update tenants set status = 'deleted', deleted_at = $2, version = version + 1 where id = $1",
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Brings a tenant back with the capabilities that it had.
/// Returns what a suspension has taken from it.
pub(super) async fn set_restored(tx: &mut SystemTx, id: TenantId) -> Result<Vec<String>, db::Error> {
    let suspended = sqlx::query_scalar!(
        "update tenants set deleted_at = null, version = version + 1,
           status = case when suspended_capabilities <> '{}'::text[] then 'suspended' when trial_ends_at is null then 'active' else 'trial' end
         where id = $1 returning suspended_capabilities",
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(suspended)
}

/// Leaves the names of a tenant's domains to whoever verifies them.
pub(super) async fn release_domain_names(tx: &mut SystemTx, id: TenantId) -> Result<(), db::Error> {
    sqlx::query!("delete from domain_names where tenant_id = $1", id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Gives a tenant the names of its domains back that nobody has taken, and leaves the others to be verified again.
pub(super) async fn reclaim_domain_names(tx: &mut SystemTx, id: TenantId) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into domain_names (name, tenant_id, domain_id)
         select name, tenant_id, id from domains where tenant_id = $1 and status = 'active'
         on conflict on constraint domain_names_once do nothing",
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update domains set status = 'pending', verified_at = null, version = version + 1
         where tenant_id = $1 and status = 'active'
           and not exists (select from domain_names n where n.tenant_id = $1 and n.domain_id = domains.id)",
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tenants whose trial is over by their own time.
pub(super) async fn trials_that_are_over(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
) -> Result<Vec<TenantId>, db::Error> {
    let ids = sqlx::query_scalar!(
        "select id from tenants where status <> 'deleted' and trial_ends_at <= coalesce(test_clock, $1) order by id limit 1000",
        now
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

pub(super) async fn set_trial_end(tx: &mut TenantTx, at: DateTime<Utc>) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!("update tenants set trial_ends_at = $2 where id = $1", id, at).execute(tx.conn()).await?;
    Ok(())
}

/// The tenant is a customer from now on.
pub(super) async fn end_trial(tx: &mut TenantTx) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!(
        "update tenants set trial_ends_at = null, status = case when status = 'trial' then 'active' else status end where id = $1",
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
