//! SQL of webhook endpoints.

use db::SystemTx;
use kernel::{PageRequest, ResellerId, TenantId, WebhookEndpointId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::WebhookEndpoint;
use crate::{Error, Scope};

struct Row {
    id: Uuid,
    reseller_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    url: String,
    description: Option<String>,
    kinds: Vec<String>,
    status: String,
    disabled_reason: Option<String>,
    failing_since: Option<DateTime<Utc>>,
    previous_secret_until: Option<DateTime<Utc>>,
    version: i64,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for WebhookEndpoint {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let kinds = row.kinds.iter().map(|kind| kind.parse()).collect::<Result<_, _>>();
        Ok(Self {
            id: WebhookEndpointId::from_uuid(row.id),
            owner: scope(row.reseller_id, row.tenant_id),
            url: row.url,
            description: row.description,
            kinds: kinds.map_err(Error::internal)?,
            status: row.status,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since,
            previous_secret_until: row.previous_secret_until,
            version: row.version,
            created_at: row.created_at,
        })
    }
}

pub(super) fn scope(reseller_id: Option<Uuid>, tenant_id: Option<Uuid>) -> Scope {
    match (reseller_id, tenant_id) {
        (_, Some(id)) => Scope::Tenant(TenantId::from_uuid(id)),
        (Some(id), None) => Scope::Reseller(ResellerId::from_uuid(id)),
        (None, None) => Scope::Operator,
    }
}

/// An owner as the table's two columns hold it.
pub(super) fn columns(owner: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match owner {
        Scope::Operator => (None, None),
        Scope::Reseller(id) => (Some(id.uuid()), None),
        Scope::Tenant(id) => (None, Some(id.uuid())),
    }
}

fn kinds(endpoint: &WebhookEndpoint) -> Vec<String> {
    endpoint.kinds.iter().map(|kind| kind.as_str().to_owned()).collect()
}

pub(super) async fn insert(
    tx: &mut SystemTx,
    endpoint: &WebhookEndpoint,
    secret: &str,
) -> Result<(), db::Error> {
    let (reseller_id, tenant_id) = columns(endpoint.owner);
    sqlx::query!(
        "insert into webhook_endpoints (id, reseller_id, tenant_id, url, description, kinds, secret, status, version, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        endpoint.id.uuid(),
        reseller_id,
        tenant_id,
        endpoint.url,
        endpoint.description,
        &kinds(endpoint),
        secret,
        endpoint.status,
        endpoint.version,
        endpoint.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps others from giving an owner more endpoints, or having more of them ask for mail, until the transaction ends. Goes before the lock of
/// any one. The operator has no row of its own.
pub(super) async fn lock_owner(tx: &mut SystemTx, owner: Scope) -> Result<(), db::Error> {
    let (reseller_id, tenant_id) = columns(owner);
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('webhook_endpoints ' || coalesce($1::uuid::text, $2::uuid::text, ''), 0))",
        reseller_id,
        tenant_id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How many endpoints an owner has.
pub(super) struct Count {
    /// All of them.
    pub(super) endpoints: i64,
    /// Those that ask to be told of mail, enabled or not.
    pub(super) asking: i64,
}

pub(super) async fn count(tx: &mut SystemTx, owner: Scope) -> Result<Count, db::Error> {
    let (reseller_id, tenant_id) = columns(owner);
    let count = sqlx::query_as!(
        Count,
        r#"select count(*) as "endpoints!", count(*) filter (where 'message.delivered' = any (kinds)) as "asking!"
           from webhook_endpoints
           where reseller_id is not distinct from $1 and tenant_id is not distinct from $2 and status <> 'deleted'"#,
        reseller_id,
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

pub(super) async fn find(
    tx: &mut SystemTx,
    owner: Scope,
    id: WebhookEndpointId,
) -> Result<Option<WebhookEndpoint>, Error> {
    let (reseller_id, tenant_id) = columns(owner);
    let row = sqlx::query_as!(
        Row,
        "select id, reseller_id, tenant_id, url, description, kinds, status, disabled_reason, failing_since,
           previous_secret_until, version, created_at
         from webhook_endpoints
         where id = $1 and reseller_id is not distinct from $2 and tenant_id is not distinct from $3 and status <> 'deleted'",
        id.uuid(),
        reseller_id,
        tenant_id,
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(WebhookEndpoint::try_from).transpose()
}

/// As [`find`], and nobody else changes it until the transaction ends.
pub(super) async fn find_locked(
    tx: &mut SystemTx,
    owner: Scope,
    id: WebhookEndpointId,
) -> Result<Option<WebhookEndpoint>, Error> {
    let (reseller_id, tenant_id) = columns(owner);
    // Nobody else's is locked, nor waited for.
    sqlx::query!(
        "select id from webhook_endpoints
         where id = $1 and reseller_id is not distinct from $2 and tenant_id is not distinct from $3 for no key update",
        id.uuid(),
        reseller_id,
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    find(tx, owner, id).await
}

pub(super) async fn list(
    tx: &mut SystemTx,
    owner: Scope,
    page: &PageRequest,
) -> Result<Vec<WebhookEndpoint>, Error> {
    let (reseller_id, tenant_id) = columns(owner);
    let rows = sqlx::query_as!(
        Row,
        "select id, reseller_id, tenant_id, url, description, kinds, status, disabled_reason, failing_since,
           previous_secret_until, version, created_at
         from webhook_endpoints
         where reseller_id is not distinct from $1 and tenant_id is not distinct from $2 and status <> 'deleted' and id > $3
         order by id limit $4",
        reseller_id,
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(WebhookEndpoint::try_from).collect()
}

/// `begins` is whether it begins to be told of mail: of none that was queued before.
pub(super) async fn update(
    tx: &mut SystemTx,
    endpoint: &WebhookEndpoint,
    begins: bool,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_endpoints set url = $2, description = $3, kinds = $4, status = $5, disabled_reason = $6,
           failing_since = $7, version = $8, mail_generation = mail_generation + $9::boolean::integer
         where id = $1",
        endpoint.id.uuid(),
        endpoint.url,
        endpoint.description,
        &kinds(endpoint),
        endpoint.status,
        endpoint.disabled_reason,
        endpoint.failing_since,
        endpoint.version,
        begins,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn rotate(
    tx: &mut SystemTx,
    endpoint: &WebhookEndpoint,
    secret: &str,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_endpoints set previous_secret = secret, secret = $2, previous_secret_until = $3, version = $4
         where id = $1",
        endpoint.id.uuid(),
        secret,
        endpoint.previous_secret_until,
        endpoint.version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps anybody else from changing an owner's endpoints: their ids.
pub(super) async fn lock_all(tx: &mut SystemTx, owner: Scope) -> Result<Vec<WebhookEndpointId>, db::Error> {
    let (reseller_id, tenant_id) = columns(owner);
    let ids = sqlx::query_scalar!(
        "select id from webhook_endpoints
         where reseller_id is not distinct from $1 and tenant_id is not distinct from $2 and status <> 'deleted' order by id for no key update",
        reseller_id,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(WebhookEndpointId::from_uuid).collect())
}

/// A deleted endpoint signs nothing, so no secret is kept of it.
pub(super) async fn delete(tx: &mut SystemTx, id: WebhookEndpointId) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_endpoints set status = 'deleted', secret = '', previous_secret = null, previous_secret_until = null,
           version = version + 1
         where id = $1",
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps anybody else from changing the endpoint; its version. The lock goes before that of its deliveries, and holds up no mail that is
/// queued for it.
pub(super) async fn lock(tx: &mut SystemTx, id: WebhookEndpointId) -> Result<Option<i64>, db::Error> {
    let version = sqlx::query_scalar!(
        "select version from webhook_endpoints where id = $1 for no key update",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(version)
}

/// Disables an endpoint that said that it is gone.
pub(super) async fn disable(tx: &mut SystemTx, id: WebhookEndpointId, reason: &str) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_endpoints set status = 'disabled', disabled_reason = $2, version = version + 1 where id = $1",
        id.uuid(),
        reason
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes whether it takes what it is sent.
pub(super) async fn set_failing(
    tx: &mut SystemTx,
    id: WebhookEndpointId,
    since: Option<DateTime<Utc>>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_endpoints set failing_since = case when $2::timestamptz is null then null else coalesce(failing_since, $2::timestamptz) end
         where id = $1 and (failing_since is null) = ($2::timestamptz is not null)",
        id.uuid(),
        since
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
