//! Refresh tokens: each is good once and gives the next of its family. One that comes a second time was copied, by
//! whoever has it now or by whoever had it before, so that the whole family ends (RFC 9700 §4.14.2).

mod store;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use db::Db;
use kernel::{TenantId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::caller::{Caller, Principal, Scope};
use crate::{Error, Origin, Role, TenantTx, api_key, event};

/// What every one starts with, so that secret scanners find it.
const PREFIX: &str = "pillarboxrt_";
/// How long one is good for; using it begins the time anew.
const LIFETIME: TimeDelta = TimeDelta::days(30);

/// The token that follows another, and whose it is.
pub(super) struct Next {
    pub(super) tenant_id: TenantId,
    pub(super) user_id: UserId,
    /// How often the user's sessions had been ended.
    pub(super) session_epoch: i32,
    pub(super) secret: SecretString,
}

/// A token as it is kept.
pub(super) struct Kept {
    id: Uuid,
    family_id: Uuid,
    user_id: UserId,
    /// How often the user's sessions had been ended when the family began.
    session_epoch: i32,
    secret_hash: Vec<u8>,
    expires_at: DateTime<Utc>,
    used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

/// The first token of a family, of a user whose sessions had been ended `session_epoch` times when they proved who they are.
pub(super) async fn begin(
    db: &Db,
    tenant_id: TenantId,
    user_id: UserId,
    session_epoch: i32,
) -> Result<SecretString, Error> {
    let mut tx = api_key::system(db).await?;
    let family_id = db.env().new_uuid();
    let secret = next(&mut tx, db, tenant_id, user_id, family_id, session_epoch).await?;
    tx.commit().await?;
    Ok(secret)
}

/// Uses a token up for the next of its family.
///
/// # Errors
/// [`Error::Unauthenticated`] when it is none of ours, is over, was used before, or the user's sessions were ended since.
pub(super) async fn exchange(
    db: &Db,
    token: &SecretString,
    origin: Origin,
    now: DateTime<Utc>,
) -> Result<Next, Error> {
    let (tenant_id, id) = ids_of(token.expose_secret()).ok_or(Error::Unauthenticated)?;
    let mut tx = api_key::system(db).await?;
    // Whoever ends sessions, or a family, has this lock too: what they end has no token that they do not see.
    let epoch = store::lock_user_of(&mut tx, tenant_id, id).await?.ok_or(Error::Unauthenticated)?;
    let kept = store::find(&mut tx, tenant_id, id).await?.ok_or(Error::Unauthenticated)?;
    let proven = bool::from(api_key::hash(token.expose_secret()).ct_eq(&kept.secret_hash));
    let is_over = kept.revoked_at.is_some() || kept.session_epoch != epoch || kept.expires_at <= now;
    if !proven || is_over {
        return Err(Error::Unauthenticated);
    }
    if kept.used_at.is_some() {
        store::revoke_family(&mut tx, tenant_id, kept.family_id, now).await?;
        let scope = Scope::Tenant(tenant_id);
        let thief = Caller::new(db.clone(), Principal::Nobody, Role::User, scope, origin);
        let data = json!({"network": origin.network});
        event::record_on(&mut tx, &thief, scope, event::Kind::RefreshTokenReused, kept.user_id, data).await?;
        tx.commit().await?;
        return Err(Error::Unauthenticated);
    }
    store::set_used(&mut tx, tenant_id, kept.id, now).await?;
    let secret = next(&mut tx, db, tenant_id, kept.user_id, kept.family_id, epoch).await?;
    tx.commit().await?;
    Ok(Next { tenant_id, user_id: kept.user_id, session_epoch: epoch, secret })
}

async fn next(
    tx: &mut db::SystemTx,
    db: &Db,
    tenant_id: TenantId,
    user_id: UserId,
    family_id: Uuid,
    session_epoch: i32,
) -> Result<SecretString, Error> {
    let (env, id) = (db.env(), db.env().new_uuid());
    let random = URL_SAFE_NO_PAD.encode(env.random::<32>());
    let secret = format!("{PREFIX}{}{}_{random}", tenant_id.uuid().simple(), id.simple());
    let kept = Kept {
        id,
        family_id,
        user_id,
        session_epoch,
        secret_hash: api_key::hash(&secret).to_vec(),
        expires_at: env.now() + LIFETIME,
        used_at: None,
        revoked_at: None,
    };
    store::insert(tx, tenant_id, &kept, env.now()).await?;
    Ok(secret.into())
}

fn ids_of(token: &str) -> Option<(TenantId, Uuid)> {
    let (ids, _) = token.strip_prefix(PREFIX)?.split_once('_')?;
    if !ids.is_ascii() || ids.len() != 64 {
        return None;
    }
    let (tenant, id) = ids.split_at(32);
    Some((TenantId::from_uuid(Uuid::try_parse(tenant).ok()?), Uuid::try_parse(id).ok()?))
}

/// Ends every session of a user: what they hold of refresh and access tokens is worth nothing from the commit on.
pub(crate) async fn end_sessions(
    tx: &mut TenantTx,
    user_id: UserId,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    store::end_all(tx, user_id, now).await
}

/// Forgets tokens that are over.
pub(super) async fn prune(tx: &mut db::SystemTx, now: DateTime<Utc>) -> Result<(), db::Error> {
    store::delete_expired(tx, now).await
}
