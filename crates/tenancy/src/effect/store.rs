//! SQL of what a tenant has taken up.

use super::Totals;
use crate::TenantTx;

pub(super) async fn totals(tx: &mut TenantTx) -> Result<Totals, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let totals = sqlx::query_as!(
        Totals,
        "select seats_used, seats_limit, storage_limit_bytes,
           (select case when bool_or(m.quota_bytes is null) then null else least(coalesce(sum(m.quota_bytes), 0), 9223372036854775807)::bigint end
            from mailboxes m where m.tenant_id = tenants.id and m.status = 'active') as quota_bytes
         from tenants where id = $1",
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(totals)
}
