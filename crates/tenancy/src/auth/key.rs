//! An API key shown as a credential: whether it is in force, from there, and when it was last seen.

use chrono::TimeDelta;
use db::Db;
use ipnet::IpNet;
use kernel::ApiKeyId;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::api_key::{self, ApiKey};
use crate::caller::{Caller, Principal};
use crate::{Error, Origin, event};

/// How exactly the last use is known; every use in between is one write less.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);
/// How often a use from the same address goes on the trail.
const NOTED_EVERY: TimeDelta = TimeDelta::days(1);

/// The caller behind a key. Without a secret, something else has proven the key.
pub(super) async fn caller(
    db: &Db,
    id: ApiKeyId,
    secret: Option<&str>,
    origin: Origin,
) -> Result<Caller, Error> {
    let found = api_key::store::find(&mut api_key::lookup(db).await?, id).await?;
    let (key, secret_hash) = found.ok_or(Error::Unauthenticated)?;
    let proven = secret.is_none_or(|secret| bool::from(api_key::hash(secret).ct_eq(&secret_hash)));
    let now = db.env().now();
    let is_over = key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now);
    if !proven || is_over || !is_from_there(&key.networks, origin) {
        return Err(Error::Unauthenticated);
    }
    let caller =
        Caller::new(db.clone(), Principal::ApiKey(id), key.role, key.scope, origin).until(key.expires_at);
    let since = key.last_used_at.map(|at| now - at);
    let moved = key.last_used_from != origin.network;
    if moved || since.is_none_or(|since| since >= SEEN_EVERY) {
        let mut tx = api_key::system(db).await?;
        api_key::store::set_last_used(&mut tx, id, now, origin.network).await?;
        if moved || since.is_none_or(|since| since >= NOTED_EVERY) {
            let data = json!({"network": origin.network});
            event::record_on(&mut tx, &caller, key.scope, event::Kind::ApiKeyUsed, id, data).await?;
        }
        tx.commit().await?;
    }
    Ok(narrowed(caller, key))
}

fn narrowed(caller: Caller, key: ApiKey) -> Caller {
    if key.actions.is_empty() { caller } else { caller.narrowed_to(key.actions) }
}

/// Whether the networks that a key is bound to, if to any, have the client's address.
fn is_from_there(networks: &[IpNet], origin: Origin) -> bool {
    networks.is_empty()
        || origin.network.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}
