//! SQL of API keys.

use std::net::IpAddr;

use db::SystemTx;
use ipnet::IpNet;
use kernel::{ApiKeyId, PageRequest, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::types::ipnetwork::IpNetwork;
use uuid::Uuid;

use super::ApiKey;
use crate::{Error, Scope};

pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) role: String,
    pub(crate) reseller_id: Option<Uuid>,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) actions: Vec<String>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) networks: Vec<IpNetwork>,
    pub(crate) description: Option<String>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) last_used_from: Option<IpNetwork>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
}

impl TryFrom<Row> for ApiKey {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let scope = match (row.reseller_id, row.tenant_id) {
            (Some(id), _) => Scope::Reseller(ResellerId::from_uuid(id)),
            (None, Some(id)) => Scope::Tenant(TenantId::from_uuid(id)),
            (None, None) => Scope::Operator,
        };
        Ok(Self {
            id: ApiKeyId::from_uuid(row.id),
            role: row.role.parse().map_err(Error::internal)?,
            scope,
            actions: row
                .actions
                .iter()
                .map(|a| a.parse())
                .collect::<Result<_, _>>()
                .map_err(Error::internal)?,
            expires_at: row.expires_at,
            networks: row.networks.into_iter().map(to_net).collect::<Result<_, _>>()?,
            description: row.description,
            last_used_at: row.last_used_at,
            last_used_from: row.last_used_from.map(|network| network.ip()),
            revoked_at: row.revoked_at,
            created_at: row.created_at,
        })
    }
}

fn to_net(network: IpNetwork) -> Result<IpNet, Error> {
    IpNet::new(network.ip(), network.prefix()).map_err(Error::internal)
}

fn from_net(net: IpNet) -> Result<IpNetwork, Error> {
    IpNetwork::new(net.addr(), net.prefix_len()).map_err(Error::internal)
}

/// Notes a key's use if it is the first of a day (UTC), or the first of the day from an address, while there are fewer than `most` of these; whether
/// it is. Of those that come at once, each waits for the one before and sees what that noted.
pub(crate) async fn note_first_use(
    tx: &mut SystemTx,
    id: ApiKeyId,
    now: DateTime<Utc>,
    from: Option<IpAddr>,
    most: usize,
) -> Result<bool, db::Error> {
    let done = sqlx::query!(
        "update api_keys set last_used_at = greatest(last_used_at, $2), last_used_from = $3,
           used_from = case when ((last_used_at at time zone 'UTC')::date < ($2::timestamptz at time zone 'UTC')::date) is not false
             then '{}' else used_from end || array_remove(array[$3::inet], null)
         where id = $1 and (((last_used_at at time zone 'UTC')::date < ($2::timestamptz at time zone 'UTC')::date) is not false
           or ($3::inet is not null and $3 <> all (used_from) and cardinality(used_from) < $4))",
        id.uuid(),
        now,
        from.map(IpNetwork::from),
        i32::try_from(most).unwrap_or(i32::MAX)
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes when a key was used last, and from where.
pub(crate) async fn set_last_used(
    tx: &mut SystemTx,
    id: ApiKeyId,
    now: DateTime<Utc>,
    from: Option<IpAddr>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update api_keys set last_used_at = greatest(last_used_at, $2), last_used_from = $3 where id = $1",
        id.uuid(),
        now,
        from.map(IpNetwork::from)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A scope as the table's three columns hold it.
fn columns(scope: Scope) -> (&'static str, Option<Uuid>, Option<Uuid>) {
    match scope {
        Scope::Operator => ("operator", None, None),
        Scope::Reseller(id) => ("reseller", Some(id.uuid()), None),
        Scope::Tenant(id) => ("tenant", None, Some(id.uuid())),
    }
}

/// Whether there was none with its id.
pub(super) async fn insert(tx: &mut SystemTx, key: &ApiKey, secret_hash: &[u8]) -> Result<bool, Error> {
    let (scope, reseller_id, tenant_id) = columns(key.scope);
    let networks = key.networks.iter().map(|net| from_net(*net)).collect::<Result<Vec<_>, _>>()?;
    let actions = key.actions.iter().map(|action| action.as_str().to_owned()).collect::<Vec<_>>();
    let inserted = sqlx::query!(
        "insert into api_keys (id, role, scope, reseller_id, tenant_id, actions, secret_hash, expires_at, created_at, networks, description)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict on constraint api_keys_once do nothing",
        key.id.uuid(),
        key.role.as_str(),
        scope,
        reseller_id,
        tenant_id,
        &actions,
        secret_hash,
        key.expires_at,
        key.created_at,
        &networks,
        key.description,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(inserted.rows_affected() > 0)
}

pub(super) async fn list(tx: &mut SystemTx, scope: Scope, page: &PageRequest) -> Result<Vec<ApiKey>, Error> {
    let (scope, reseller_id, tenant_id) = columns(scope);
    let rows = sqlx::query_as!(
        Row,
        "select id, role, reseller_id, tenant_id, actions, expires_at, networks, description, last_used_at, last_used_from,
           revoked_at, created_at from api_keys
         where scope = $1 and reseller_id is not distinct from $2 and tenant_id is not distinct from $3 and id > $4
         order by id limit $5",
        scope,
        reseller_id,
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

pub(super) async fn revoke_all(tx: &mut SystemTx, scope: Scope, now: DateTime<Utc>) -> Result<(), db::Error> {
    let (scope, reseller_id, tenant_id) = columns(scope);
    sqlx::query!(
        "update api_keys set revoked_at = $4
         where scope = $1 and reseller_id is not distinct from $2 and tenant_id is not distinct from $3 and revoked_at is null",
        scope,
        reseller_id,
        tenant_id,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn revoke(
    tx: &mut SystemTx,
    scope: Scope,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let (scope, reseller_id, tenant_id) = columns(scope);
    let done = sqlx::query!(
        "update api_keys set revoked_at = $5
         where id = $1 and scope = $2 and reseller_id is not distinct from $3 and tenant_id is not distinct from $4
           and revoked_at is null",
        id.uuid(),
        scope,
        reseller_id,
        tenant_id,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}
