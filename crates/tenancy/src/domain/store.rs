//! SQL of domains.

use kernel::{DomainId, DomainName, MailboxId, PageRequest};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Domain, DomainChange, Status};
use crate::{Error, TenantTx};

struct Row {
    id: Uuid,
    name: String,
    status: String,
    verification_token: String,
    verified_at: Option<DateTime<Utc>>,
    plus_addressing: bool,
    catch_all_mailbox_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    version: i64,
}

impl TryFrom<Row> for Domain {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: DomainId::from_uuid(row.id),
            name: row.name.parse().map_err(Error::internal)?,
            status: row.status,
            verification_token: row.verification_token,
            verified_at: row.verified_at,
            plus_addressing: row.plus_addressing,
            catch_all_mailbox_id: row.catch_all_mailbox_id.map(MailboxId::from_uuid),
            created_at: row.created_at,
            version: row.version,
        })
    }
}

pub(super) async fn insert(tx: &mut TenantTx, domain: &Domain) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into domains (tenant_id, id, name, status, verification_token, created_at) values ($1, $2, $3, $4, $5, $6)",
        tenant_id,
        domain.id.uuid(),
        domain.name.as_str(),
        domain.status,
        domain.verification_token,
        domain.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut TenantTx, id: DomainId) -> Result<Option<Domain>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, status, verification_token, verified_at, plus_addressing, catch_all_mailbox_id, created_at, version
         from domains where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(Domain::try_from).transpose()
}

/// As [`find`], keeping others from changing the row until the transaction ends.
pub(super) async fn find_locked(tx: &mut TenantTx, id: DomainId) -> Result<Option<Domain>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("select id from domains where tenant_id = $1 and id = $2 for update", tenant_id, id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx, id).await
}

pub(super) async fn list(
    tx: &mut TenantTx,
    status: Option<Status>,
    name: Option<&DomainName>,
    page: &PageRequest,
) -> Result<Vec<Domain>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, name, status, verification_token, verified_at, plus_addressing, catch_all_mailbox_id, created_at, version
         from domains
         where tenant_id = $1 and id > $2 and ($4::text is null or status = $4) and ($5::text is null or name = $5)
         order by id limit $3",
        tenant_id,
        page.after(),
        page.fetch(),
        status.map(Status::as_str),
        name.map(DomainName::as_str)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Domain::try_from).collect()
}

pub(super) async fn update(tx: &mut TenantTx, id: DomainId, change: &DomainChange) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update domains set version = version + 1, plus_addressing = coalesce($3, plus_addressing),
           catch_all_mailbox_id = case when $4 then $5 else catch_all_mailbox_id end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        change.plus_addressing,
        change.catch_all_mailbox_id.is_some(),
        change.catch_all_mailbox_id.flatten().map(MailboxId::uuid)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes a domain active and its name the tenant's; false when there is no such domain any more.
pub(super) async fn set_verified(
    tx: &mut TenantTx,
    id: DomainId,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update domains set status = 'active', verified_at = $3, version = version + 1
         where tenant_id = $1 and id = $2 and verified_at is null",
        tenant_id,
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() > 0 {
        sqlx::query!(
            "insert into domain_names (name, tenant_id, domain_id) select name, tenant_id, id from domains where tenant_id = $1 and id = $2",
            tenant_id,
            id.uuid(),
        )
        .execute(tx.conn())
        .await?;
    }
    let exists =
        sqlx::query!("select id from domains where tenant_id = $1 and id = $2", tenant_id, id.uuid())
            .fetch_optional(tx.conn())
            .await?;
    Ok(exists.is_some())
}

pub(super) async fn delete(tx: &mut TenantTx, id: DomainId) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("delete from domains where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}
