//! SQL of placements.

use db::{Error, SystemTx};
use kernel::{ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, Utc};

use super::Placement;

pub(super) async fn of_reseller(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Vec<Placement>, Error> {
    let rows = sqlx::query!(
        r#"select p.tenant_id, p.since, coalesce(r.path, '{}') as "path!"
           from tenant_placements p left join resellers r on r.id = p.reseller_id
           where p.tenant_id in (
             select placed.tenant_id from tenant_placements placed join resellers above on above.id = placed.reseller_id
             where $1 = any (above.path))
           order by p.tenant_id, p.ordinal"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    let placements = rows.into_iter().map(|row| Placement {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        since: row.since,
        path: row.path.into_iter().map(ResellerId::from_uuid).collect(),
    });
    Ok(placements.collect())
}

/// Never before the last, should the clock step back.
pub(super) async fn append(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    reseller_id: Option<ResellerId>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into tenant_placements (tenant_id, ordinal, since, reseller_id)
         select $1, coalesce(max(ordinal), 0) + 1, greatest($3, max(since)), $2 from tenant_placements where tenant_id = $1",
        tenant_id.uuid(),
        reseller_id.map(ResellerId::uuid),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
