//! Webhook endpoints: where the events of a tenant, of a reseller and all below it, or of everybody are sent to.
//!
//! [`crate::event::chain`] queues a delivery for each endpoint that gets an event, and whoever takes mail in one for each that asks to be told
//! of it ([`queue_messages`]); a worker claims what is due ([`claim`]), sends it without a transaction, and notes what came of it ([`settle`]).

mod delivery;
mod store;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{Checks, Page, PageRequest, WebhookEndpointId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use webhook::{Guard, Secret};

use crate::event::Kind;
use crate::{Action, Caller, Error, Scope, event, require_version, reseller};

pub(crate) use delivery::queue;
pub use delivery::{
    Delivery, DeliveryStatus, Due, Free, MessageDelivered, claim, deliveries, delivery, expire,
    queue_messages, replay, settle,
};

/// How long a secret that was replaced signs beside the new one.
const ROTATION: TimeDelta = TimeDelta::hours(24);
/// How many endpoints an owner may have.
const MAX_ENDPOINTS: i64 = 20;
/// How many of these may ask to be told of mail: whoever takes a message in queues a row for each.
const MAX_ASKING: i64 = 3;
/// How long a description may be, in characters.
const MAX_DESCRIPTION: usize = 200;

/// A webhook endpoint, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose it is, and so whose events it gets.
    pub owner: Scope,
    /// Where events are sent to.
    pub url: String,
    /// What it is for, as whoever made it said.
    pub description: Option<String>,
    /// Only of these kinds; empty: of all but [`Kind::MessageDelivered`].
    pub kinds: BTreeSet<Kind>,
    /// `enabled` or `disabled`.
    pub status: String,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Since when nothing has been delivered, while something failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the present one signs too.
    pub previous_secret_until: Option<DateTime<Utc>>,
    /// Counts its changes, its being disabled among them. What an attempt says that was begun at another is not of the endpoint as it is.
    pub version: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl WebhookEndpoint {
    fn is_enabled(&self) -> bool {
        self.status == "enabled"
    }

    /// Whether it is to be told of mail, once it is enabled.
    fn asks(&self) -> bool {
        self.kinds.contains(&Kind::MessageDelivered)
    }

    /// What the trail says of it. The query of a URL may hold a token, so it is left out.
    fn shown(&self) -> Value {
        let url = self.url.split('?').next();
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        json!({"url": url, "kinds": kinds, "description": self.description, "status": self.status})
    }
}

/// What a new endpoint is made of.
#[derive(Debug, Clone, Default)]
pub struct NewWebhookEndpoint {
    /// Where events are to be sent to.
    pub url: String,
    /// Only of these kinds; empty: of all but [`Kind::MessageDelivered`].
    pub kinds: BTreeSet<Kind>,
    /// What it is for.
    pub description: Option<String>,
}

/// What is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct WebhookEndpointChange {
    /// Where events are to be sent to.
    pub url: Option<String>,
    /// Only of these kinds; empty: of all but [`Kind::MessageDelivered`].
    pub kinds: Option<BTreeSet<Kind>>,
    /// What it is for; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Whether it gets events. Disabling ends what is on its way.
    pub enabled: Option<bool>,
}

/// Whose endpoints the caller sees: those of its own scope.
async fn owner(caller: &Caller, action: Action) -> Result<Scope, Error> {
    caller.require(action)?;
    if let Scope::Tenant(id) = caller.scope() {
        // A tenant that was deleted or suspended has none.
        caller.enter(id).await?;
    }
    Ok(caller.scope())
}

fn check(guard: &Guard, url: Option<&str>, description: Option<&str>) -> Result<Option<String>, Error> {
    let mut checks = Checks::default();
    let url = url.and_then(|url| match guard.check_url(url) {
        Ok(url) => Some(url.to_string()),
        Err(error) => checks.value(None, "/url", error),
    });
    if let Some(description) = description {
        checks.name(description, MAX_DESCRIPTION, "/description");
    }
    checks.done().map_err(Error::Invalid)?;
    Ok(url)
}

/// Refuses where the owner, whose endpoints are locked, has as many of these as there may be.
fn require_room(there: i64, limit: i64, detail: &'static str) -> Result<(), Error> {
    if there < limit { Ok(()) } else { Err(Error::conflict("webhook_endpoints_exhausted", detail)) }
}

fn require_room_to_ask(there: i64) -> Result<(), Error> {
    require_room(there, MAX_ASKING, "at most 3 endpoints may ask for message.delivered")
}

/// Refuses whoever says where events, or word of mail, are sent to and may not read by themselves what is sent.
fn require_readable(caller: &Caller, endpoint: &WebhookEndpoint) -> Result<(), Error> {
    caller.require(Action::EventRead)?;
    if endpoint.asks() { caller.require(Action::MessageRead) } else { Ok(()) }
}

/// Creates an endpoint of the caller's own scope. The secret is returned here and never again.
///
/// # Errors
/// [`Error::Forbidden`] for a caller who may not see events, or not read mail if it asks for [`Kind::MessageDelivered`];
/// [`Error::Invalid`] for a URL that `guard` refuses, among others; [`Error::Conflict`] `webhook_endpoints_exhausted` where the owner has 20
/// already, or 3 that ask for [`Kind::MessageDelivered`] as this one does.
pub async fn create(
    caller: &Caller,
    guard: &Guard,
    new: NewWebhookEndpoint,
) -> Result<(WebhookEndpoint, SecretString), Error> {
    let owner = owner(caller, Action::WebhookWrite).await?;
    let url = check(guard, Some(&new.url), new.description.as_deref())?.unwrap_or_default();
    let env = caller.db().env();
    let endpoint = WebhookEndpoint {
        id: env.new_id(),
        owner,
        url,
        description: new.description,
        kinds: new.kinds,
        status: "enabled".into(),
        disabled_reason: None,
        failing_since: None,
        previous_secret_until: None,
        version: 1,
        created_at: env.now(),
    };
    require_readable(caller, &endpoint)?;
    let secret = Secret::generate(env).expose();
    let mut tx = system(caller.db()).await?;
    if let Scope::Reseller(id) = owner {
        reseller::require_there(&mut tx, id).await?;
    }
    store::lock_owner(&mut tx, owner).await?;
    let there = store::count(&mut tx, owner).await?;
    require_room(there.endpoints, MAX_ENDPOINTS, "there may be at most 20 endpoints")?;
    if endpoint.asks() {
        require_room_to_ask(there.asking)?;
    }
    store::insert(&mut tx, &endpoint, secret.expose_secret()).await?;
    let (kind, shown) = (Kind::WebhookEndpointCreated, endpoint.shown());
    event::record_on(&mut tx, caller, owner, kind, endpoint.id, shown).await?;
    tx.commit().await?;
    Ok((endpoint, secret))
}

/// One endpoint.
///
/// # Errors
/// [`Error::NotFound`] when the caller's scope has no such endpoint.
pub async fn get(caller: &Caller, id: WebhookEndpointId) -> Result<WebhookEndpoint, Error> {
    let owner = owner(caller, Action::WebhookRead).await?;
    let mut tx = system(caller.db()).await?;
    store::find(&mut tx, owner, id).await?.ok_or(Error::NotFound)
}

/// The endpoints of the caller's scope.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see endpoints.
pub async fn list(caller: &Caller, page: PageRequest) -> Result<Page<WebhookEndpoint>, Error> {
    let owner = owner(caller, Action::WebhookRead).await?;
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, owner, &page).await?;
    Ok(Page::cut(rows, &page, |endpoint| endpoint.id.uuid()))
}

/// Changes an endpoint. Disabling it ends the deliveries on their way; enabling it starts with what happens from then on. So do taking
/// [`Kind::MessageDelivered`] out of its kinds, and putting it there.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Invalid`] and [`Error::Conflict`] as [`create`], and
/// [`Error::Forbidden`] likewise for another URL and other kinds.
pub async fn update(
    caller: &Caller,
    guard: &Guard,
    id: WebhookEndpointId,
    change: WebhookEndpointChange,
    if_version: Option<i64>,
) -> Result<WebhookEndpoint, Error> {
    let owner = owner(caller, Action::WebhookWrite).await?;
    let description = change.description.as_ref().and_then(Option::as_deref);
    let url = check(guard, change.url.as_deref(), description)?;
    let mut tx = system(caller.db()).await?;
    if change.kinds.is_some() {
        store::lock_owner(&mut tx, owner).await?;
    }
    let old = store::find_locked(&mut tx, owner, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    let mut endpoint = old.clone();
    let ends = endpoint.is_enabled() && change.enabled == Some(false);
    endpoint.url = url.unwrap_or(endpoint.url);
    endpoint.kinds = change.kinds.unwrap_or(endpoint.kinds);
    endpoint.description = change.description.unwrap_or(endpoint.description);
    match change.enabled {
        Some(true) => {
            endpoint.status = "enabled".into();
            endpoint.disabled_reason = None;
        }
        Some(false) if ends => {
            endpoint.status = "disabled".into();
            endpoint.disabled_reason = Some("its owner disabled it".into());
        }
        Some(false) | None => {}
    }
    if change.enabled == Some(true) || ends {
        endpoint.failing_since = None;
    }
    if endpoint == old {
        return Ok(old);
    }
    if (&endpoint.url, &endpoint.kinds) != (&old.url, &old.kinds) {
        require_readable(caller, &endpoint)?;
    }
    if endpoint.asks() && !old.asks() {
        require_room_to_ask(store::count(&mut tx, owner).await?.asking)?;
    }
    endpoint.version += 1;
    let hears = |endpoint: &WebhookEndpoint| endpoint.is_enabled() && endpoint.asks();
    store::update(&mut tx, &endpoint, hears(&endpoint) && !hears(&old)).await?;
    if ends {
        delivery::end(&mut tx, id, "the endpoint was disabled").await?;
    }
    let (kind, shown) = (Kind::WebhookEndpointUpdated, endpoint.shown());
    event::record_on(&mut tx, caller, owner, kind, id, shown).await?;
    tx.commit().await?;
    Ok(endpoint)
}

/// Gives an endpoint a new secret, which is returned here and never again. The one before signs beside it for 24 hours.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`].
pub async fn rotate_secret(
    caller: &Caller,
    id: WebhookEndpointId,
    if_version: Option<i64>,
) -> Result<(WebhookEndpoint, SecretString), Error> {
    let owner = owner(caller, Action::WebhookWrite).await?;
    let env = caller.db().env();
    let secret = Secret::generate(env).expose();
    let mut tx = system(caller.db()).await?;
    let mut endpoint = store::find_locked(&mut tx, owner, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, endpoint.version)?;
    endpoint.previous_secret_until = Some(env.now() + ROTATION);
    endpoint.version += 1;
    store::rotate(&mut tx, &endpoint, secret.expose_secret()).await?;
    let mut shown = endpoint.shown();
    shown["secret_rotated"] = json!(true);
    event::record_on(&mut tx, caller, owner, Kind::WebhookEndpointUpdated, id, shown).await?;
    tx.commit().await?;
    Ok((endpoint, secret))
}

/// Deletes an endpoint and ends the deliveries on their way to it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`].
pub async fn delete(caller: &Caller, id: WebhookEndpointId, if_version: Option<i64>) -> Result<(), Error> {
    let owner = owner(caller, Action::WebhookWrite).await?;
    let mut tx = system(caller.db()).await?;
    let endpoint = store::find_locked(&mut tx, owner, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, endpoint.version)?;
    store::delete(&mut tx, id).await?;
    delivery::end(&mut tx, id, "the endpoint was deleted").await?;
    event::record_on(&mut tx, caller, owner, Kind::WebhookEndpointDeleted, id, endpoint.shown()).await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes all endpoints of an owner that goes itself; nobody is told of each.
pub(crate) async fn delete_all(tx: &mut SystemTx, owner: Scope) -> Result<(), Error> {
    for id in store::lock_all(tx, owner).await? {
        store::delete(tx, id).await?;
        delivery::end(tx, id, "the endpoint was deleted").await?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "endpoints are of tenants and of those above them; every statement is bounded by an owner or a lease"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
