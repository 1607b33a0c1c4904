//! SQL of usage: of the tenants of a reseller.

use db::SystemTx;
use kernel::ResellerId;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

/// A tenant as its rows name it.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) reseller_id: Uuid,
    pub(crate) time_zone: String,
    pub(crate) test_clock: Option<DateTime<Utc>>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
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
        "select id, name, reseller_id, time_zone, test_clock, deleted_at from tenants
         where reseller_path @> array[$1::uuid] and id > $2 order by id limit $3",
        reseller_id.uuid(),
        after,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(tenants)
}
