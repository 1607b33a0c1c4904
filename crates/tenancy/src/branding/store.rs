//! SQL of branding.

use db::Error;
use kernel::ResellerId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Branding, read};
use crate::{Scope, TenantTx};

/// A reseller and those above it; nobody for one that does not exist.
pub(super) async fn path_of(conn: &mut PgConnection, id: ResellerId) -> Result<Vec<Uuid>, Error> {
    let path = sqlx::query_scalar!("select path from resellers where id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(path.unwrap_or_default())
}

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
