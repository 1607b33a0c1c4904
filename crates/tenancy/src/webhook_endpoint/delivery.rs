//! Deliveries: one event, or word of one message, on its way to one endpoint.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{
    DeliveryId, Env, EventId, FolderId, MailboxId, MessageId, Page, PageRequest, TenantId, WebhookEndpointId,
};
use serde_json::{Value, json};
use webhook::{Outcome, Verdict, schedule};

use super::{owner, system};
use crate::event::{Chained, Kind};
use crate::{Action, Caller, Error, IngestTx, Scope, event};
use kernel::named;

/// How many deliveries of one endpoint are under way at once, so that a slow one does not hold up the others.
const PER_ENDPOINT: i64 = 4;
/// How long it is known what became of word of a message.
const KEPT: TimeDelta = TimeDelta::days(30);
/// How long word of a message is tried, or waits to be: an endpoint that is down, or too slow, has no more than this of it waiting.
const GIVEN_UP: TimeDelta = TimeDelta::days(3);
/// How many of these one transaction gives up, and how many it forgets.
const BATCH: i64 = 1000;

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

/// One event, or word of one message, on its way to one endpoint.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id; of word of a message also its `webhook-id`.
    pub id: DeliveryId,
    /// Where to.
    pub endpoint_id: WebhookEndpointId,
    /// The event that is sent, also its `webhook-id`; none for [`Kind::MessageDelivered`].
    pub event_id: Option<EventId>,
    /// The event's kind, or [`Kind::MessageDelivered`].
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
    /// That of the endpoint as it is sent to.
    endpoint_version: i64,
    /// What to send.
    pub message: webhook::Delivery,
    owner: Scope,
    is_of_mail: bool,
    /// Since it was queued or last asked to be sent again, this attempt included.
    attempts: i32,
    /// How often it was asked to be sent again.
    replays: i32,
}

impl Due {
    /// Whether it is word of a message, and no event.
    pub fn is_of_mail(&self) -> bool {
        self.is_of_mail
    }
}

/// Queues what was chained just now, once for each endpoint that gets it, in the chaining's own transaction.
pub(crate) async fn queue(tx: &mut SystemTx, events: &[Chained], now: DateTime<Utc>) -> Result<(), Error> {
    store::queue(tx, events, now).await?;
    Ok(())
}

/// A message that is delivered to a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageDelivered {
    /// The mailbox's tenant, one of the transaction's.
    pub tenant_id: TenantId,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// The folder that it is put into.
    pub folder_id: FolderId,
    /// The message, in this mailbox.
    pub message_id: MessageId,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// Its size as stored, in bytes.
    pub size_bytes: u64,
}

impl MessageDelivered {
    /// What is told of it: nothing that it says.
    fn data(&self) -> Value {
        json!({
            "tenant_id": self.tenant_id,
            "mailbox_id": self.mailbox_id,
            "folder_id": self.folder_id,
            "message_id": self.message_id,
            "received_at": time(self.received_at),
            "size_bytes": self.size_bytes,
        })
    }
}

/// An endpoint that is to be told of a tenant's mail.
#[derive(Debug, Clone, Copy)]
struct Asking {
    tenant_id: TenantId,
    endpoint_id: WebhookEndpointId,
    /// Which time that it asks: another, once it was disabled or did not ask in between.
    mail_generation: i64,
}

/// A message and an endpoint that is told of it.
struct Told {
    id: DeliveryId,
    of: Asking,
    data: Value,
}

/// Queues word of messages for the endpoints that ask for it, in the transaction that puts them there: it is told exactly when that commits. One look,
/// where nobody asks.
///
/// # Errors
/// As of any statement.
pub async fn queue_messages(
    tx: &mut IngestTx,
    env: &Env,
    messages: &[MessageDelivered],
) -> Result<(), db::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut told = Vec::new();
    for of in store::asking(tx).await? {
        let theirs = messages.iter().filter(|message| message.tenant_id == of.tenant_id);
        told.extend(theirs.map(|message| Told { id: env.new_id(), of, data: message.data() }));
    }
    if told.is_empty() { Ok(()) } else { store::queue_messages(tx, &told, env.now()).await }
}

/// Gives up word of messages that has waited for three days, or for an endpoint that does not get it any more; forgets what became of it after
/// 30 days. How many were given up or forgotten.
///
/// # Errors
/// As of any statement.
pub async fn expire(db: &Db) -> Result<u64, Error> {
    let now = db.env().now();
    let (late, old) = (now - GIVEN_UP, now - KEPT);
    let mut all = 0;
    loop {
        let mut tx = system(db).await?;
        let mut done = store::drop_unwanted(&mut tx, now, BATCH).await?;
        done += store::give_up(&mut tx, late, now, BATCH).await?;
        done += store::forget(&mut tx, old, BATCH).await?;
        tx.commit().await?;
        all += done;
        if done == 0 {
            return Ok(all);
        }
    }
}

/// Ends the events that are on their way to an endpoint. The endpoint is locked by the caller. Of mail there may be far more than one
/// transaction should touch: it is not claimed any more, shows as failed, and is so by [`expire`].
pub(super) async fn end(tx: &mut SystemTx, id: WebhookEndpointId, why: &str) -> Result<(), Error> {
    store::end(tx, id, why).await?;
    Ok(())
}

/// How many deliveries may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// In all.
    pub all: usize,
    /// At most so many of these may be word of a message.
    pub of_mail: usize,
}

/// Takes deliveries that are due, for as long as `lease`; few of any one endpoint, those first of which the fewest are under way, and events before
/// mail. Each counts as an attempt from now on.
///
/// # Errors
/// As of any statement.
pub async fn claim(db: &Db, free: Free, lease: TimeDelta) -> Result<Vec<Due>, Error> {
    let now = db.env().now();
    let mut tx = system(db).await?;
    let due = store::claim(&mut tx, now, now + lease, free, PER_ENDPOINT).await?;
    tx.commit().await?;
    Ok(due)
}

/// What is told of an event.
fn of_event(id: EventId, trail: Scope, subject: &str, object: &Value) -> Value {
    let mut data = json!({"id": id, "subject": subject, "object": object});
    match trail {
        Scope::Tenant(id) => data["tenant_id"] = json!(id),
        Scope::Reseller(id) => data["reseller_id"] = json!(id),
        Scope::Operator => {}
    }
    data
}

/// What is sent: `type`, `timestamp` and `data`, by Standard Webhooks.
fn body(kind: &str, at: DateTime<Utc>, data: &Value) -> Value {
    json!({"type": kind, "timestamp": time(at), "data": data})
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Notes what an attempt came to: it is done, or is due again later, or is given up; an endpoint that answers 410 is
/// disabled. Nothing is noted of an attempt that was settled, after which another was begun or asked for, or whose delivery was ended meanwhile.
///
/// # Errors
/// As of any statement.
pub async fn settle(db: &Db, due: &Due, outcome: &Outcome) -> Result<(), Error> {
    let env = db.env();
    let now = env.now();
    let mut tx = system(db).await?;
    // What was sent to another URL, or by another secret, or before it was disabled, says nothing of the endpoint as it is.
    let is_of_endpoint = super::store::lock(&mut tx, due.endpoint_id).await? == Some(due.endpoint_version);
    let (verdict, at_most) = match outcome.verdict() {
        // Nor is it the last attempt, which would be the endpoint's as it is.
        Verdict::Gone | Verdict::Failed if !is_of_endpoint => (Verdict::Failed, schedule::MAX_ATTEMPTS - 1),
        verdict @ (Verdict::Delivered | Verdict::Gone | Verdict::Failed) => (verdict, u32::MAX),
    };
    let next = match verdict {
        Verdict::Delivered | Verdict::Gone => None,
        Verdict::Failed => {
            let made = due.attempts.unsigned_abs().min(at_most);
            schedule::next_attempt(made, outcome.retry_after, env.random()).map(|wait| now + wait)
        }
    };
    let status = match (verdict, next) {
        (Verdict::Delivered, _) => DeliveryStatus::Delivered,
        (_, Some(_)) => DeliveryStatus::Pending,
        (_, None) => DeliveryStatus::Failed,
    };
    if !store::settle(&mut tx, due, outcome, status, next, now).await? {
        return Ok(());
    }
    if is_of_endpoint {
        match verdict {
            Verdict::Gone => gone(db, &mut tx, due).await?,
            Verdict::Delivered => super::store::set_failing(&mut tx, due.endpoint_id, None).await?,
            Verdict::Failed => super::store::set_failing(&mut tx, due.endpoint_id, Some(now)).await?,
        }
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
    let rows = store::list(&mut tx, endpoint_id, status, &page, caller.db().env().now()).await?;
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
    store::find(&mut tx, endpoint_id, id, caller.db().env().now()).await?.ok_or(Error::NotFound)
}

/// Sends a delivery again, whatever became of it: it is due now, with every attempt before it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] `webhook_endpoint_disabled`, and `webhook_kind_not_asked` for word of a message where the endpoint does
/// not ask for it any more.
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
        let found = store::find(&mut tx, endpoint_id, id, now).await?;
        return Err(found.map_or(Error::NotFound, |_| {
            Error::conflict("webhook_endpoint_disabled", "the endpoint is disabled; enable it first")
        }));
    }
    let message_id = store::requeue(&mut tx, endpoint_id, id, now).await?;
    let delivery = store::find(&mut tx, endpoint_id, id, now).await?.ok_or(Error::NotFound)?;
    if delivery.event_id.is_none() && !endpoint.asks() {
        let detail = "the endpoint does not ask for message.delivered; add it to its kinds first";
        return Err(Error::conflict("webhook_kind_not_asked", detail));
    }
    let mut data = json!({"endpoint_id": endpoint_id, "event_id": delivery.event_id, "kind": delivery.kind});
    if let Some(message_id) = message_id {
        data["message_id"] = json!(message_id);
    }
    event::record_on(&mut tx, caller, owner, Kind::WebhookDeliveryReplayed, id, data).await?;
    tx.commit().await?;
    Ok(delivery)
}
