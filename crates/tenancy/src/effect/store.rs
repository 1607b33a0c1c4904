//! SQL of what a tenant has taken up.

use super::Totals;
use crate::TenantTx;

pub(super) async fn totals(tx: &mut TenantTx) -> Result<Totals, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let totals = sqlx::query_as!(
        Totals,
        r#"select t.seats_used, t.seats_limit, t.storage_limit_bytes, m.shared_mailboxes as "shared_mailboxes!",
             m.archives as "archives!", m.quota_bytes
           from tenants t cross join lateral (
             select count(*) filter (where kind in ('shared', 'room', 'equipment')) as shared_mailboxes,
               count(*) filter (where kind = 'archive') as archives,
               case when bool_or(quota_bytes is null) then null
                 else least(coalesce(sum(quota_bytes), 0), 9223372036854775807)::bigint end as quota_bytes
             from mailboxes where tenant_id = t.id and status = 'active') m
           where t.id = $1"#,
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(totals)
}
