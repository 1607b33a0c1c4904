//! SQL of what a tenant or reseller has taken up.

use sqlx::PgConnection;

use super::{Level, Totals};

/// `None` when there is no such tenant or reseller, as far as the connection's role sees.
pub(super) async fn totals(conn: &mut PgConnection, level: Level) -> Result<Option<Totals>, db::Error> {
    let totals = match level {
        Level::Tenant(id) => sqlx::query_as!(
            Totals,
            r#"select case when t.status = 'deleted' then 0 else t.seats_used end as "seats_used!", t.seats_limit,
                 t.storage_limit_bytes, m.shared_mailboxes as "shared_mailboxes!", m.archives as "archives!", m.quota_bytes
               from tenants t cross join lateral (
                 select count(*) filter (where kind in ('shared', 'room', 'equipment')) as shared_mailboxes,
                   count(*) filter (where kind = 'archive') as archives,
                   case when bool_or(quota_bytes is null) then null
                     else least(coalesce(sum(quota_bytes), 0), 9223372036854775807)::bigint end as quota_bytes
                 from mailboxes where tenant_id = t.id and status = 'active' and t.status <> 'deleted') m
               where t.id = $1"#,
            id.uuid()
        )
        .fetch_optional(conn)
        .await?,
        Level::Reseller(id) => sqlx::query_as!(
            Totals,
            r#"select r.seats_used, r.seats_limit, r.storage_limit_bytes, m.shared_mailboxes as "shared_mailboxes!",
                 m.archives as "archives!", m.quota_bytes
               from resellers r cross join lateral (
                 select count(*) filter (where m.kind in ('shared', 'room', 'equipment')) as shared_mailboxes,
                   count(*) filter (where m.kind = 'archive') as archives,
                   case when bool_or(m.quota_bytes is null) then null
                     else least(coalesce(sum(m.quota_bytes), 0), 9223372036854775807)::bigint end as quota_bytes
                 from tenants t join mailboxes m on m.tenant_id = t.id and m.status = 'active'
                 where t.reseller_path @> array[r.id] and t.status <> 'deleted') m
               where r.id = $1"#,
            id.uuid()
        )
        .fetch_optional(conn)
        .await?,
    };
    Ok(totals)
}
