//! SQL of keys.

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{DkimKeyId, DomainId, DomainName, PageRequest, TenantId};
use pack::Generation;
use tenancy::TenantTx;
use uuid::Uuid;

use super::{DkimKey, KeyState};
use crate::Error;

struct Row {
    id: Uuid,
    domain: String,
    selector: String,
    state: String,
    rsa_public: Vec<u8>,
    ed25519_public: Vec<u8>,
    created_at: DateTime<Utc>,
    activated_at: Option<DateTime<Utc>>,
    retired_at: Option<DateTime<Utc>>,
    version: i64,
}

impl TryFrom<Row> for DkimKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: DkimKeyId::from_uuid(row.id),
            domain: row.domain.parse().map_err(Error::keys)?,
            selector: row.selector,
            state: row.state.parse().unwrap_or(KeyState::Retired),
            rsa_public: row.rsa_public,
            ed25519_public: row.ed25519_public,
            created_at: row.created_at,
            activated_at: row.activated_at,
            retired_at: row.retired_at,
            version: row.version,
        })
    }
}

/// Fails with `dkim_keys_one_pending` where another pair waits, with `dkim_keys_domain` where the domain is gone.
pub(super) async fn insert(
    tx: &mut TenantTx,
    domain_id: DomainId,
    new: &DkimKey,
    sealed: &[u8],
    generation: Generation,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into dkim_keys (tenant_id, domain_id, id, selector, rsa_public, ed25519_public, sealed, key_generation, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant_id,
        domain_id.uuid(),
        new.id.uuid(),
        new.selector,
        new.rsa_public,
        new.ed25519_public,
        sealed,
        i32::try_from(generation.number()).unwrap_or(i32::MAX),
        new.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(
    tx: &mut TenantTx,
    domain_id: DomainId,
    id: DkimKeyId,
) -> Result<Option<DkimKey>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select k.id, d.name as domain, selector, state, rsa_public, ed25519_public, k.created_at, activated_at, retired_at, k.version
         from dkim_keys k join domains d on d.tenant_id = k.tenant_id and d.id = k.domain_id
         where k.tenant_id = $1 and k.domain_id = $2 and k.id = $3",
        tenant_id,
        domain_id.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(DkimKey::try_from).transpose()
}

pub(super) async fn list(
    tx: &mut TenantTx,
    domain_id: DomainId,
    page: &PageRequest,
) -> Result<Vec<DkimKey>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select k.id, d.name as domain, selector, state, rsa_public, ed25519_public, k.created_at, activated_at, retired_at, k.version
         from dkim_keys k join domains d on d.tenant_id = k.tenant_id and d.id = k.domain_id
         where k.tenant_id = $1 and k.domain_id = $2 and k.id > $3 order by k.id limit $4",
        tenant_id,
        domain_id.uuid(),
        page.after(),
        page.fetch(),
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(DkimKey::try_from).collect()
}

/// Those that sign or are to.
pub(super) async fn in_use(tx: &mut TenantTx, domain_id: DomainId) -> Result<Vec<DkimKey>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select k.id, d.name as domain, selector, state, rsa_public, ed25519_public, k.created_at, activated_at, retired_at, k.version
         from dkim_keys k join domains d on d.tenant_id = k.tenant_id and d.id = k.domain_id
         where k.tenant_id = $1 and k.domain_id = $2 and state <> 'retired' order by k.id",
        tenant_id,
        domain_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(DkimKey::try_from).collect()
}

/// A domain's name.
pub(super) async fn domain(tx: &mut TenantTx, id: DomainId) -> Result<Option<DomainName>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let name = sqlx::query_scalar!(
        "select name from domains where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    name.map(|name| name.parse().map_err(Error::keys)).transpose()
}

/// One change of a domain's keys at a time.
pub(super) async fn lock_domain(tx: &mut TenantTx, domain_id: DomainId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select id from domains where tenant_id = $1 and id = $2 for no key update",
        tenant_id,
        domain_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Ends the signing of the pair that signs.
pub(super) async fn retire(tx: &mut TenantTx, domain_id: DomainId, now: DateTime<Utc>) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update dkim_keys set state = 'retired', retired_at = $3, sealed = null, version = version + 1
         where tenant_id = $1 and domain_id = $2 and state = 'active'",
        tenant_id,
        domain_id.uuid(),
        now,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Whether it still waited.
pub(super) async fn activate(
    tx: &mut TenantTx,
    domain_id: DomainId,
    id: DkimKeyId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update dkim_keys set state = 'active', activated_at = $4, version = version + 1
         where tenant_id = $1 and domain_id = $2 and id = $3 and state = 'pending'",
        tenant_id,
        domain_id.uuid(),
        id.uuid(),
        now,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn delete(tx: &mut TenantTx, domain_id: DomainId, id: DkimKeyId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "delete from dkim_keys where tenant_id = $1 and domain_id = $2 and id = $3",
        tenant_id,
        domain_id.uuid(),
        id.uuid()
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// A pair that signs, as its row keeps it.
pub(super) struct Kept {
    pub(super) domain_id: DomainId,
    pub(super) id: DkimKeyId,
    pub(super) selector: String,
    pub(super) sealed: Vec<u8>,
    pub(super) generation: Generation,
}

/// The pair that signs for a domain of the tenant, which has to be proven to be its own.
pub(super) async fn signing(tx: &mut TenantTx, domain: &DomainName) -> Result<Option<Kept>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select k.domain_id, k.id, k.selector, k.sealed as "sealed!", k.key_generation from dkim_keys k
           join domains d on d.tenant_id = k.tenant_id and d.id = k.domain_id
           where k.tenant_id = $1 and d.name = $2 and d.status = 'active' and k.state = 'active'"#,
        tenant_id,
        domain.as_str(),
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    let generation = u32::try_from(row.key_generation).ok().and_then(Generation::new);
    Ok(Some(Kept {
        domain_id: DomainId::from_uuid(row.domain_id),
        id: DkimKeyId::from_uuid(row.id),
        selector: row.selector,
        sealed: row.sealed,
        generation: generation.ok_or(Error::NotFound)?,
    }))
}

/// Notes that records of a pair that signs are not published, since a moment, or that they are; whether that is news.
pub(super) async fn put_unpublished(
    tx: &mut TenantTx,
    domain_id: DomainId,
    id: DkimKeyId,
    since: Option<DateTime<Utc>>,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update dkim_keys set unpublished_since = $4
         where tenant_id = $1 and domain_id = $2 and id = $3 and state = 'active' and (unpublished_since is null) <> ($4::timestamptz is null)",
        tenant_id,
        domain_id.uuid(),
        id.uuid(),
        since,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(done.rows_affected() == 1)
}

/// A domain, the pair of it that waits, and the one that signs.
pub(super) struct Due {
    pub(super) tenant_id: TenantId,
    pub(super) domain_id: DomainId,
    pub(super) pending: Option<DkimKeyId>,
    pub(super) active: Option<DkimKeyId>,
}

/// The next proven domains, by tenant and id. Those of tenants that are deleted rest.
pub(super) async fn due(
    tx: &mut SystemTx,
    after: (TenantId, DomainId),
    limit: i64,
) -> Result<Vec<Due>, Error> {
    let (after_tenant, after_domain) = after;
    let rows = sqlx::query!(
        r#"select d.tenant_id, d.id, p.id as "pending?", a.id as "active?" from domains d
           join tenants t on t.id = d.tenant_id and t.status <> 'deleted'
           left join dkim_keys p on p.tenant_id = d.tenant_id and p.domain_id = d.id and p.state = 'pending'
           left join dkim_keys a on a.tenant_id = d.tenant_id and a.domain_id = d.id and a.state = 'active'
           where (d.tenant_id, d.id) > ($1, $2) and d.status = 'active'
           order by d.tenant_id, d.id limit $3"#,
        after_tenant.uuid(),
        after_domain.uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let due = rows.into_iter().map(|row| Due {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        domain_id: DomainId::from_uuid(row.id),
        pending: row.pending.map(DkimKeyId::from_uuid),
        active: row.active.map(DkimKeyId::from_uuid),
    });
    Ok(due.collect())
}
