//! SQL of domains.

use db::Error;
use kernel::{DomainId, PageRequest};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Domain;
use crate::TenantTx;

struct Row {
    id: Uuid,
    name: String,
    status: String,
    created_at: DateTime<Utc>,
}

impl From<Row> for Domain {
    fn from(row: Row) -> Self {
        Self {
            id: DomainId::from_uuid(row.id),
            name: row.name,
            status: row.status,
            created_at: row.created_at,
        }
    }
}

pub(super) async fn insert(tx: &mut TenantTx, domain: &Domain) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into domains (tenant_id, id, name, status, created_at) values ($1, $2, $3, $4, $5)",
        tenant_id,
        domain.id.uuid(),
        domain.name,
        domain.status,
        domain.created_at,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into domain_names (name, tenant_id, domain_id) values ($1, $2, $3)",
        domain.name,
        tenant_id,
        domain.id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut TenantTx, id: DomainId) -> Result<Option<Domain>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, status, created_at from domains where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Domain::from))
}

pub(super) async fn list(tx: &mut TenantTx, page: &PageRequest) -> Result<Vec<Domain>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, name, status, created_at from domains where tenant_id = $1 and id > $2 order by id limit $3",
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Domain::from).collect())
}

pub(super) async fn delete(tx: &mut TenantTx, id: DomainId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!("delete from domains where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}
