//! Deliveries: one event on its way to one endpoint.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{DeliveryId, EventId, Page, PageRequest, WebhookEndpointId};
use serde_json::{Value, json};
use webhook::{Outcome, Verdict, schedule};

use super::{owner, system};
use crate::event::{Chained, Event, Kind};
use crate::{Action, Caller, Error, Scope, event};
use kernel::named;

/// How many deliveries of one endpoint are under way at once, so that a slow one does not hold up the others.
const PER_ENDPOINT: i64 = 4;

named! {
    /// What has become of a delivery.
    DeliveryStatus {
        /// It is sent, or sent again, when its time has come.
        Pending = "pending",
        /// The endpoint took it.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where to.
    pub endpoint_id: WebhookEndpointId,
    /// What is sent; also its `webhook-id`.
    pub event_id: EventId,
    /// The event's kind.
    pub kind: String,
    /// What has become of it.
    pub status: DeliveryStatus,
    /// How many attempts were begun since it was queued or replayed.
    pub attempts: i32,
    /// When the next attempt is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the last attempt ended.
    pub attempted_at: Option<DateTime<Utc>>,
    /// The status it was answered with.
    pub response_status: Option<i32>,
    /// The beginning of the answer's body.
    pub response_excerpt: Option<String>,
    /// Why there was no answer, or why it was given up.
    pub error: Option<String>,
    /// How long the last attempt took.
    pub duration_ms: Option<i32>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
}

/// A delivery that is claimed: nobody else makes this attempt before the lease ends.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub id: DeliveryId,
    /// Where to.
    pub endpoint_id: WebhookEndpointId,
    /// What to send.
    pub message: webhook::Delivery,
    owner: Scope,
    /// This attempt included.
    attempts: i32,
    leased_until: DateTime<Utc>,
}

/// Queues what was chained just now, once for each endpoint that gets it, in the chaining's own transaction.
pub(crate) async fn queue(tx: &mut SystemTx, events: &[Chained], now: DateTime<Utc>) -> Result<(), Error> {
    store::queue(tx, events, now).await?;
    Ok(())
}

/// Ends what is on its way to an endpoint. The endpoint is locked by the caller.
pub(super) async fn end(tx: &mut SystemTx, id: WebhookEndpointId, why: &str) -> Result<(), Error> {
    store::end(tx, id, why).await?;
    Ok(())
}

/// Takes up to `limit` deliveries that are due, for as long as `lease`; few of any one endpoint. Each counts as an
/// attempt from now on.
///
/// # Errors
/// As of any statement.
pub async fn claim(db: &Db, limit: usize, lease: TimeDelta) -> Result<Vec<Due>, Error> {
    let now = db.env().now();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut tx = system(db).await?;
    let due = store::claim(&mut tx, now, now + lease, limit, PER_ENDPOINT).await?;
    tx.commit().await?;
    Ok(due)
}

/// What is sent of an event: `type`, `timestamp` and `data`, by Standard Webhooks.
fn body(event: &Event) -> Value {
    let mut data = json!({"id": event.id, "subject": event.subject, "object": event.data});
    match event.trail {
        Scope::Tenant(id) => data["tenant_id"] = json!(id),
        Scope::Reseller(id) => data["reseller_id"] = json!(id),
        Scope::Operator => {}
    }
    let at = event.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    json!({"type": event.kind, "timestamp": at, "data": data})
}

/// Notes what an attempt came to: it is done, or is due again later, or is given up; an endpoint that answers 410 is
/// disabled. Nothing is noted for a claim whose lease has passed to another, or whose delivery was ended meanwhile.
///
/// # Errors
/// As of any statement.
pub async fn settle(db: &Db, due: &Due, outcome: &Outcome) -> Result<(), Error> {
    let env = db.env();
    let now = env.now();
    let verdict = outcome.verdict();
    let next = match verdict {
        Verdict::Delivered | Verdict::Gone => None,
        Verdict::Failed => {
            let made = due.attempts.unsigned_abs();
            schedule::next_attempt(made, outcome.retry_after, env.random()).map(|wait| now + wait)
        }
    };
    let status = match (verdict, next) {
        (Verdict::Delivered, _) => DeliveryStatus::Delivered,
        (_, Some(_)) => DeliveryStatus::Pending,
        (_, None) => DeliveryStatus::Failed,
    };
    let mut tx = system(db).await?;
    let endpoint = super::store::lock(&mut tx, due.endpoint_id).await?;
    if !store::settle(&mut tx, due, outcome, status, next, now).await? {
        return Ok(());
    }
    match verdict {
        Verdict::Gone if endpoint.as_deref() == Some("enabled") => gone(db, &mut tx, due).await?,
        Verdict::Gone => {}
        Verdict::Delivered => super::store::set_failing(&mut tx, due.endpoint_id, None).await?,
        Verdict::Failed => super::store::set_failing(&mut tx, due.endpoint_id, Some(now)).await?,
    }
    tx.commit().await?;
    Ok(())
}

async fn gone(db: &Db, tx: &mut SystemTx, due: &Due) -> Result<(), Error> {
    let reason = "it answered 410 Gone";
    super::store::disable(tx, due.endpoint_id, reason).await?;
    store::end(tx, due.endpoint_id, "the endpoint answered 410 Gone and was disabled").await?;
    let (server, kind) = (Caller::server(db.clone()), Kind::WebhookEndpointDisabled);
    event::record_on(tx, &server, due.owner, kind, due.endpoint_id, json!({"reason": reason})).await?;
    Ok(())
}

/// An endpoint's deliveries, the oldest first.
///
/// # Errors
/// [`Error::NotFound`] when the caller's scope has no such endpoint.
pub async fn deliveries(
    caller: &Caller,
    endpoint_id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    page: PageRequest,
) -> Result<Page<Delivery>, Error> {
    let owner = owner(caller, Action::WebhookRead).await?;
    let mut tx = system(caller.db()).await?;
    super::store::find(&mut tx, owner, endpoint_id).await?.ok_or(Error::NotFound)?;
    let rows = store::list(&mut tx, endpoint_id, status, &page).await?;
    Ok(Page::cut(rows, &page, |delivery| delivery.id.uuid()))
}

/// One delivery.
///
/// # Errors
/// [`Error::NotFound`] when the caller's scope has no such endpoint, or that no such delivery.
pub async fn delivery(
    caller: &Caller,
    endpoint_id: WebhookEndpointId,
    id: DeliveryId,
) -> Result<Delivery, Error> {
    let owner = owner(caller, Action::WebhookRead).await?;
    let mut tx = system(caller.db()).await?;
    super::store::find(&mut tx, owner, endpoint_id).await?.ok_or(Error::NotFound)?;
    store::find(&mut tx, endpoint_id, id).await?.ok_or(Error::NotFound)
}

/// Sends a delivery again, whatever became of it: it is due now, with every attempt before it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] `webhook_endpoint_disabled`.
pub async fn replay(
    caller: &Caller,
    endpoint_id: WebhookEndpointId,
    id: DeliveryId,
) -> Result<Delivery, Error> {
    let owner = owner(caller, Action::WebhookWrite).await?;
    let now = caller.db().env().now();
    let mut tx = system(caller.db()).await?;
    let endpoint = super::store::find_locked(&mut tx, owner, endpoint_id).await?.ok_or(Error::NotFound)?;
    if !endpoint.is_enabled() {
        let found = store::find(&mut tx, endpoint_id, id).await?;
        return Err(found.map_or(Error::NotFound, |_| {
            Error::conflict("webhook_endpoint_disabled", "the endpoint is disabled; enable it first")
        }));
    }
    store::requeue(&mut tx, endpoint_id, id, now).await?;
    let delivery = store::find(&mut tx, endpoint_id, id).await?.ok_or(Error::NotFound)?;
    let data = json!({"endpoint_id": endpoint_id, "event_id": delivery.event_id, "kind": delivery.kind});
    event::record_on(&mut tx, caller, owner, Kind::WebhookDeliveryReplayed, id, data).await?;
    tx.commit().await?;
    Ok(delivery)
}
