//! SQL of caps.

use db::Error;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Delta;
use crate::TenantTx;

/// A level's caps and what of them is used.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// A reseller's.
    pub(super) id: Uuid,
    pub(super) tenants_limit: Option<i32>,
    pub(super) tenants_used: i32,
    pub(super) domains_limit: Option<i32>,
    pub(super) domains_used: i32,
    pub(super) seats_limit: Option<i32>,
    pub(super) seats_used: i32,
    pub(super) shared_mailboxes_limit: Option<i32>,
    pub(super) shared_mailboxes_used: i32,
}

/// Counts at the tenant if its caps allow; the resellers above, or `None` when they do not.
pub(super) async fn add_to_tenant(tx: &mut TenantTx, delta: Delta) -> Result<Option<Vec<Uuid>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let path = sqlx::query_scalar!(
        "update tenants set seats_used = seats_used + $2, domains_used = domains_used + $3, shared_mailboxes_used = shared_mailboxes_used + $4
         where id = $1 and status <> 'deleted' and ($2 <= 0 or seats_limit is null or seats_used + $2 <= seats_limit)
           and ($3 <= 0 or domains_limit is null or domains_used + $3 <= domains_limit)
           and ($4 <= 0 or shared_mailboxes_limit is null or shared_mailboxes_used + $4 <= shared_mailboxes_limit)
         returning reseller_path",
        tenant_id,
        delta.seats,
        delta.domains,
        delta.shared_mailboxes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(path)
}

/// With the resellers above it; `None` when the tenant was deleted meanwhile.
pub(super) async fn tenant(tx: &mut TenantTx) -> Result<Option<(Level, Vec<Uuid>)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "select domains_limit, domains_used, seats_limit, seats_used, shared_mailboxes_limit, shared_mailboxes_used, reseller_path
         from tenants where id = $1 and status <> 'deleted'",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| {
        let level = Level {
            domains_limit: row.domains_limit,
            domains_used: row.domains_used,
            seats_limit: row.seats_limit,
            seats_used: row.seats_used,
            shared_mailboxes_limit: row.shared_mailboxes_limit,
            shared_mailboxes_used: row.shared_mailboxes_used,
            ..Default::default()
        };
        (level, row.reseller_path)
    }))
}

/// In a tenant's transaction a reseller's tenants are not to be seen, nor are they counted there.
pub(super) async fn lock_resellers(conn: &mut PgConnection, path: &[Uuid]) -> Result<Vec<Level>, Error> {
    let levels = sqlx::query_as!(
        Level,
        "select id, tenants_limit, tenants_used, domains_limit, domains_used, seats_limit, seats_used, shared_mailboxes_limit, shared_mailboxes_used
         from resellers where id = any ($1) order by id for no key update",
        path
    )
    .fetch_all(conn)
    .await?;
    Ok(levels)
}

pub(super) async fn add_to_resellers(
    conn: &mut PgConnection,
    path: &[Uuid],
    delta: Delta,
) -> Result<(), Error> {
    sqlx::query!(
        "update resellers set seats_used = seats_used + $2, domains_used = domains_used + $3, shared_mailboxes_used = shared_mailboxes_used + $4,
           tenants_used = tenants_used + $5
         where id = any ($1)",
        path,
        delta.seats,
        delta.domains,
        delta.shared_mailboxes,
        delta.tenants
    )
    .execute(conn)
    .await?;
    Ok(())
}
