//! API keys: shown once, kept as a hash, narrowed to a role, a part of the tree and a list of actions.

pub(crate) mod store;

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use db::{Db, SystemRead, SystemTx};
use ipnet::IpNet;
use kernel::{ApiKeyId, Checks, Env, Page, PageRequest};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Action, Caller, Ctx, Error, ResellerCtx, Role, Scope, event, reseller};

/// What every secret starts with, so that a bearer token is told from a JWT and found by secret scanners.
const SECRET_PREFIX: &str = "pillarbox_";
/// How many networks a key may be bound to.
const MAX_NETWORKS: usize = 50;
/// From how many addresses its use is noted in a day.
pub(crate) const MAX_ADDRESSES: usize = 20;

/// An API key, without its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id; also its `client_id`.
    pub id: ApiKeyId,
    /// The role it carries.
    pub role: Role,
    /// The part of the tree it sees.
    pub scope: Scope,
    /// What it is narrowed to; empty: all that the role allows.
    pub actions: BTreeSet<Action>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// The networks it is good from; empty: from anywhere.
    pub networks: Vec<IpNet>,
    /// What it is for, as whoever made it said.
    pub description: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From which address that was.
    pub last_used_from: Option<IpAddr>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// What a new key is made of.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// The role it carries; it has to fit the scope.
    pub role: Role,
    /// What it is narrowed to; empty: all that the role allows.
    pub actions: BTreeSet<Action>,
    /// When it ends; `None`: when it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// The networks it is good from; empty: those of the key that makes it, or from anywhere.
    pub networks: Vec<IpNet>,
    /// What it is for.
    pub description: Option<String>,
}

impl NewApiKey {
    /// A key with all that a role allows, from wherever its maker may call, until it is revoked.
    pub fn full(role: Role) -> Self {
        Self { role, actions: BTreeSet::new(), expires_at: None, networks: Vec::new(), description: None }
    }
}

/// Creates a key for a reseller's subtree. The secret is returned here and never again.
///
/// # Errors
/// [`Error::Invalid`] for a role that does not fit, for an action that the role or the caller does not have, and for a network beyond those
/// that the caller is bound to.
pub async fn create_for_reseller(ctx: &ResellerCtx, new: NewApiKey) -> Result<(ApiKey, SecretString), Error> {
    create(ctx.caller(), Scope::Reseller(ctx.reseller_id()), new).await
}

/// Creates a key for one tenant. The secret is returned here and never again.
///
/// # Errors
/// As [`create_for_reseller`].
pub async fn create_for_tenant(ctx: &Ctx, new: NewApiKey) -> Result<(ApiKey, SecretString), Error> {
    create(ctx.caller(), Scope::Tenant(ctx.tenant_id()), new).await
}

/// Creates an operator's key.
///
/// # Errors
/// [`Error::Forbidden`] for a caller who is no operator.
pub async fn create_for_operator(caller: &Caller) -> Result<(ApiKey, SecretString), Error> {
    if caller.scope() != Scope::Operator {
        return Err(Error::Forbidden("creating an operator's key"));
    }
    create(caller, Scope::Operator, NewApiKey::full(Role::Operator)).await
}

async fn create(caller: &Caller, scope: Scope, new: NewApiKey) -> Result<(ApiKey, SecretString), Error> {
    caller.require(Action::ApiKeyWrite)?;
    let env = caller.db().env();
    let mut checks = Checks::default();
    checks.require(
        new.role.fits(scope),
        "/role",
        format_args!("{} is no role for a key of {scope}", new.role),
    );
    for action in &new.actions {
        let held = crate::policy::allows(new.role, *action);
        checks.require(held, "/actions", format_args!("{} does not allow {action}", new.role));
    }
    checks.require(new.expires_at.is_none_or(|at| at > env.now()), "/expires_at", "must be in the future");
    let networks = check_networks(&mut checks, caller, &new.networks);
    if let Some(description) = &new.description {
        checks.name(description, 200, "/description");
    }
    // Nobody hands out more than they hold, or for longer.
    if let Some(end) = caller.expires_at() {
        let holds = new.expires_at.is_some_and(|at| at <= end);
        checks.require(
            holds,
            "/expires_at",
            format_args!("must not be after the caller's own end, {}", end.to_rfc3339()),
        );
    }
    // What a role that does not fit allows is beside the point.
    let given = Action::ALL.iter().filter(|action| {
        new.role.fits(scope)
            && crate::policy::allows(new.role, **action)
            && (new.actions.is_empty() || new.actions.contains(action))
    });
    for action in given {
        checks.require(
            caller.may(*action),
            "/actions",
            format_args!("the caller's own credential lacks {action}"),
        );
    }
    checks.done().map_err(Error::Invalid)?;
    let key = ApiKey {
        id: env.new_id(),
        role: new.role,
        scope,
        actions: new.actions,
        expires_at: new.expires_at,
        networks,
        description: new.description,
        last_used_at: None,
        last_used_from: None,
        revoked_at: None,
        created_at: env.now(),
    };
    let secret = secret_for(env, key.id);
    let mut tx = system(caller.db()).await?;
    if let Scope::Reseller(id) = scope {
        reseller::require_there(&mut tx, id).await?;
    }
    if !store::insert(&mut tx, &key, &hash(secret.expose_secret())).await? {
        return Err(Error::Internal("a new API key has the id of another".into()));
    }
    event::record_on(&mut tx, caller, scope, event::Kind::ApiKeyCreated, key.id, shown(&key)).await?;
    tx.commit().await?;
    Ok((key, secret))
}

/// The networks of a new key: within those that whoever makes it is bound to, and these where it names none.
fn check_networks(checks: &mut Checks, caller: &Caller, wanted: &[IpNet]) -> Vec<IpNet> {
    let detail = format_args!("must be at most {MAX_NETWORKS}");
    checks.require(wanted.len() <= MAX_NETWORKS, "/networks", detail);
    let bound = caller.networks();
    for (at, network) in wanted.iter().enumerate() {
        let is_within = bound.is_empty() || bound.iter().any(|wider| wider.contains(network));
        let pointer = format!("/networks/{at}");
        checks.require(is_within, &pointer, "must be within the networks of the caller's own credential");
    }
    if wanted.is_empty() { bound.to_vec() } else { wanted.iter().map(IpNet::trunc).collect() }
}

fn secret_for(env: &Env, id: ApiKeyId) -> SecretString {
    format!("{SECRET_PREFIX}{}_{}", id.uuid().simple(), URL_SAFE_NO_PAD.encode(env.random::<32>())).into()
}

/// A secret that is no key yet: whoever has to keep it can do so before [`install_for_operator`] makes it one.
pub fn new_secret(env: &Env) -> SecretString {
    secret_for(env, env.new_id())
}

/// Makes a secret an operator's key; false when it was one before, in force or revoked.
///
/// # Errors
/// [`Error::Forbidden`] for a caller who is no operator; [`Error::Invalid`] for a text that [`new_secret`] did not make.
pub async fn install_for_operator(caller: &Caller, secret: &SecretString) -> Result<bool, Error> {
    if caller.scope() != Scope::Operator {
        return Err(Error::Forbidden("creating an operator's key"));
    }
    caller.require(Action::ApiKeyWrite)?;
    let id =
        id_of(secret.expose_secret()).ok_or_else(|| Error::invalid("/secret", "is no API key's secret"))?;
    let key = ApiKey {
        id,
        role: Role::Operator,
        scope: Scope::Operator,
        actions: BTreeSet::new(),
        expires_at: None,
        networks: Vec::new(),
        description: None,
        last_used_at: None,
        last_used_from: None,
        revoked_at: None,
        created_at: caller.db().env().now(),
    };
    let mut tx = system(caller.db()).await?;
    if !store::insert(&mut tx, &key, &hash(secret.expose_secret())).await? {
        return Ok(false);
    }
    event::record_on(&mut tx, caller, key.scope, event::Kind::ApiKeyCreated, key.id, shown(&key)).await?;
    tx.commit().await?;
    Ok(true)
}

/// The operator's keys, revoked ones included.
///
/// # Errors
/// [`Error::Forbidden`] for a caller who is no operator.
pub async fn list_of_operator(caller: &Caller, page: PageRequest) -> Result<Page<ApiKey>, Error> {
    if caller.scope() != Scope::Operator {
        return Err(Error::Forbidden("seeing the operator's keys"));
    }
    list(caller, Scope::Operator, page).await
}

/// A reseller's keys, revoked ones included.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see keys.
pub async fn list_of_reseller(ctx: &ResellerCtx, page: PageRequest) -> Result<Page<ApiKey>, Error> {
    list(ctx.caller(), Scope::Reseller(ctx.reseller_id()), page).await
}

/// A tenant's keys, revoked ones included.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see keys.
pub async fn list_of_tenant(ctx: &Ctx, page: PageRequest) -> Result<Page<ApiKey>, Error> {
    list(ctx.caller(), Scope::Tenant(ctx.tenant_id()), page).await
}

async fn list(caller: &Caller, scope: Scope, page: PageRequest) -> Result<Page<ApiKey>, Error> {
    caller.require(Action::ApiKeyRead)?;
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, scope, &page).await?;
    Ok(Page::cut(rows, &page, |key| key.id.uuid()))
}

/// Revokes a reseller's key; from then on it proves nothing.
///
/// # Errors
/// [`Error::NotFound`] when the reseller has no such key in force.
pub async fn revoke_of_reseller(ctx: &ResellerCtx, id: ApiKeyId) -> Result<(), Error> {
    revoke(ctx.caller(), Scope::Reseller(ctx.reseller_id()), id).await
}

/// Revokes a tenant's key; from then on it proves nothing.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such key in force.
pub async fn revoke_of_tenant(ctx: &Ctx, id: ApiKeyId) -> Result<(), Error> {
    revoke(ctx.caller(), Scope::Tenant(ctx.tenant_id()), id).await
}

/// Revokes an operator's key; from then on it proves nothing.
///
/// # Errors
/// [`Error::Forbidden`] for a caller who is no operator; [`Error::NotFound`] when there is no such key in force.
pub async fn revoke_of_operator(caller: &Caller, id: ApiKeyId) -> Result<(), Error> {
    if caller.scope() != Scope::Operator {
        return Err(Error::Forbidden("revoking an operator's key"));
    }
    revoke(caller, Scope::Operator, id).await
}

async fn revoke(caller: &Caller, scope: Scope, id: ApiKeyId) -> Result<(), Error> {
    caller.require(Action::ApiKeyWrite)?;
    let now = caller.db().env().now();
    let mut tx = system(caller.db()).await?;
    if !store::revoke(&mut tx, scope, id, now).await? {
        return Err(Error::NotFound);
    }
    event::record_on(&mut tx, caller, scope, event::Kind::ApiKeyRevoked, id, json!({})).await?;
    tx.commit().await?;
    Ok(())
}

/// Revokes all keys of a scope.
pub(crate) async fn revoke_all(tx: &mut SystemTx, scope: Scope, now: DateTime<Utc>) -> Result<(), db::Error> {
    store::revoke_all(tx, scope, now).await
}

/// What the trail says of a new key.
fn shown(key: &ApiKey) -> Value {
    let actions: Vec<&str> = key.actions.iter().map(|action| action.as_str()).collect();
    json!({"role": key.role.as_str(), "actions": actions, "networks": key.networks, "expires_at": key.expires_at,
        "description": key.description})
}

/// The id inside a secret; `None` when the text is none of our secrets.
pub(crate) fn id_of(secret: &str) -> Option<ApiKeyId> {
    let (id, _) = secret.strip_prefix(SECRET_PREFIX)?.split_once('_')?;
    uuid::Uuid::try_parse(id).ok().map(ApiKeyId::from_uuid)
}

/// A secret has 256 random bits, so a fast hash keeps it as well as a slow one.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a key is looked up before any tenant is known; lists are bounded by a scope"
)]
pub(crate) async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}

#[expect(clippy::disallowed_methods, reason = "whoever signs in is looked up before any tenant is known")]
pub(crate) async fn lookup(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
