//! SQL of branding.

use db::Error;
use kernel::ResellerId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Branding, read};
use crate::{Scope, TenantTx};

/// The topmost first.
pub(super) async fn of_resellers(
    conn: &mut PgConnection,
    path: &[Uuid],
) -> Result<Vec<(Scope, Branding)>, Error> {
    let rows = sqlx::query!(
        "select id, branding from resellers where id = any ($1) order by cardinality(path)",
        path
    )
    .fetch_all(conn)
    .await?;
    let levels =
        rows.into_iter().map(|row| (Scope::Reseller(ResellerId::from_uuid(row.id)), read(&row.branding)));
    Ok(levels.collect())
}

/// The resellers above the tenant, and what it says itself.
pub(super) async fn of_tenant(tx: &mut TenantTx) -> Result<(Vec<Uuid>, Branding), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!("select reseller_path, branding from tenants where id = $1", tenant_id)
        .fetch_one(tx.conn())
        .await?;
    Ok((row.reseller_path, read(&row.branding)))
}
