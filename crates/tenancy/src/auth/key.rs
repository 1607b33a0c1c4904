//! An API key shown as a credential: whether it is in force, from there, and when it was last seen.

use std::net::IpAddr;

use chrono::TimeDelta;
use db::Db;
use ipnet::IpNet;
use kernel::{ApiKeyId, TenantId};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::store;
use crate::api_key::{self, ApiKey};
use crate::caller::{Caller, Principal};
use crate::desk::{self, Answer, Desk};
use crate::tenant::Place;
use crate::{Error, Origin, event};

/// How exactly the last use is known; every use in between is one write less.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A key that was shown, and the tenant that its request is about to enter, if one is known already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) key_id: ApiKeyId,
    pub(super) tenant_id: Option<TenantId>,
}

/// A key, and where the tenant is; `None` when there is no such tenant, or none was asked for.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: ApiKey,
    pub(super) secret_hash: Vec<u8>,
    /// From where it was used on the day of its last use, as far as that was noted.
    pub(super) used_from: Vec<IpAddr>,
    pub(super) place: Option<Place>,
}

impl desk::Question for Question {
    type Found = Found;
    /// A statement answers all.
    type Lane = ();

    fn lane(&self) {}

    async fn look_up(db: &Db, questions: &[Self]) -> Result<Vec<Answer<Self>>, db::Error> {
        store::keys_with_places(&mut api_key::lookup(db).await?, questions).await
    }
}

/// The caller behind a key, who has seen where the tenant is that the question names. Without a secret, something else has
/// proven the key.
pub(super) async fn caller(
    db: &Db,
    desk: &Desk<Question>,
    question: Question,
    secret: Option<&str>,
    origin: Origin,
) -> Result<Caller, Error> {
    let id = question.key_id;
    let Found { key, secret_hash, used_from, place } =
        desk.ask(db, question).await?.ok_or(Error::Unauthenticated)?;
    let proven = secret.is_none_or(|secret| bool::from(api_key::hash(secret).ct_eq(&secret_hash)));
    let now = db.env().now();
    let is_over = key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now);
    if !proven || is_over || !is_from_there(&key.networks, origin) {
        return Err(Error::Unauthenticated);
    }
    let caller = Caller::new(db.clone(), Principal::ApiKey(id), key.role, key.scope, origin)
        .until(key.expires_at)
        .bound_to(&key.networks);
    // By the calendar: the last use moves on with each, so that the time since then says nothing of when one was noted.
    let is_first_of_day = key.last_used_at.is_none_or(|at| at.date_naive() < now.date_naive());
    let is_new_address = used_from.len() < api_key::MAX_ADDRESSES
        && origin.network.is_some_and(|address| !used_from.contains(&address));
    let may_be_noted = is_first_of_day || is_new_address;
    if may_be_noted {
        let mut tx = api_key::system(db).await?;
        // What was read of the key may be old: another request of this moment may have noted it.
        let most = api_key::MAX_ADDRESSES;
        if api_key::store::note_first_use(&mut tx, id, now, origin.network, most).await? {
            let data = json!({"network": origin.network});
            event::record_on(&mut tx, &caller, key.scope, event::Kind::ApiKeyUsed, id, data).await?;
            tx.commit().await?;
        }
    } else if key.last_used_at.is_none_or(|at| now - at >= SEEN_EVERY) {
        let mut tx = api_key::system(db).await?;
        api_key::store::set_last_used(&mut tx, id, now, origin.network).await?;
        tx.commit().await?;
    }
    let caller = match question.tenant_id {
        Some(tenant_id) => caller.having_seen(tenant_id, place),
        None => caller,
    };
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
