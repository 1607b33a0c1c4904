//! SQL of deliveries.

use db::SystemTx;
use kernel::{DeliveryId, EventId, PageRequest, RequestId, WebhookEndpointId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;
use webhook::{Outcome, Secret};

use super::super::store::scope;
use super::{Delivery, DeliveryStatus, Due, body};
use crate::Error;
use crate::event::{Chained, Event};

/// One delivery for each enabled endpoint and each event it gets. The endpoints stay as they are until the commit, so
/// that none is disabled and given more at the same time. Ids are UUIDv7 with the event's turn after the time.
pub(super) async fn queue(
    tx: &mut SystemTx,
    events: &[Chained],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let ids: Vec<Uuid> = events.iter().map(|chained| chained.event.id.uuid()).collect();
    let first = events.first().map_or(0, |chained| chained.position);
    sqlx::query!(
        "insert into webhook_deliveries (id, endpoint_id, event_id, next_attempt_at, created_at)
         select (lpad(to_hex($3::bigint), 12, '0') || '7' || lpad(to_hex(e.position - $4::bigint), 3, '0')
             || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid,
           w.id, e.id, $2, $2
         from events e
         join webhook_endpoints w on w.status = 'enabled' and (w.kinds = '{}' or e.kind = any (w.kinds))
           and (w.tenant_id = e.tenant_id or w.reseller_id = any (e.readers)
             or (w.tenant_id is null and w.reseller_id is null))
         where e.id = any ($1)
         for share of w",
        &ids,
        now,
        now.timestamp_millis(),
        first,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

struct DueRow {
    id: Uuid,
    attempts: i32,
    endpoint_id: Uuid,
    endpoint_reseller_id: Option<Uuid>,
    endpoint_tenant_id: Option<Uuid>,
    url: String,
    secret: String,
    previous_secret: Option<String>,
    previous_secret_until: Option<DateTime<Utc>>,
    event_id: Uuid,
    reseller_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    kind: String,
    subject: String,
    data: serde_json::Value,
    request_id: Uuid,
    at: DateTime<Utc>,
}

impl DueRow {
    fn into_due(self, now: DateTime<Utc>, leased_until: DateTime<Utc>) -> Result<Due, Error> {
        let previous = self.previous_secret.filter(|_| self.previous_secret_until.is_some_and(|at| at > now));
        let secrets = std::iter::once(self.secret).chain(previous).map(|text| Secret::parse(&text));
        let event = Event {
            id: EventId::from_uuid(self.event_id),
            trail: scope(self.reseller_id, self.tenant_id),
            kind: self.kind,
            subject: self.subject,
            data: self.data,
            principal: String::new(),
            role: String::new(),
            network: None,
            request_id: RequestId::from_uuid(self.request_id),
            at: self.at,
        };
        Ok(Due {
            id: DeliveryId::from_uuid(self.id),
            endpoint_id: WebhookEndpointId::from_uuid(self.endpoint_id),
            message: webhook::Delivery {
                url: self.url,
                id: event.id.to_string(),
                timestamp: now,
                secrets: secrets.collect::<Result<_, _>>().map_err(Error::internal)?,
                body: body(&event).to_string().into(),
            },
            owner: scope(self.endpoint_reseller_id, self.endpoint_tenant_id),
            attempts: self.attempts,
            leased_until,
        })
    }
}

/// Leases what is due: of each endpoint the oldest, as long as few of its deliveries are under way.
pub(super) async fn claim(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
    limit: i64,
    per_endpoint: i64,
) -> Result<Vec<Due>, Error> {
    let rows = sqlx::query_as!(
        DueRow,
        r#"with ready as (
             select due.id from webhook_endpoints w
             cross join lateral (
               select d.id, d.next_attempt_at from webhook_deliveries d
               where d.endpoint_id = w.id and d.status = 'pending' and d.next_attempt_at <= $1
                 and (d.leased_until is null or d.leased_until <= $1)
               order by d.next_attempt_at, d.id
               limit greatest(0, $4::bigint - (select count(*) from webhook_deliveries l
                 where l.endpoint_id = w.id and l.leased_until > $1))
             ) due
             where w.status = 'enabled' order by due.next_attempt_at, due.id limit $3),
           locked as (
             select d.id from webhook_deliveries d
             where d.id in (select id from ready) and d.status = 'pending' and d.next_attempt_at <= $1
               and (d.leased_until is null or d.leased_until <= $1)
             for update skip locked)
           update webhook_deliveries d set leased_until = $2, attempts = d.attempts + 1
           from locked, webhook_endpoints w, events e
           where d.id = locked.id and w.id = d.endpoint_id and e.id = d.event_id
           returning d.id, d.attempts, w.id as endpoint_id, w.reseller_id as endpoint_reseller_id,
             w.tenant_id as endpoint_tenant_id, w.url, w.secret, w.previous_secret, w.previous_secret_until,
             e.id as event_id, e.reseller_id, e.tenant_id, e.kind, e.subject, e.data, e.request_id, e.at"#,
        now,
        leased_until,
        limit,
        per_endpoint,
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(|row| row.into_due(now, leased_until)).collect()
}

/// False when the lease is another's by now, or the delivery was ended.
pub(super) async fn settle(
    tx: &mut SystemTx,
    due: &Due,
    outcome: &Outcome,
    status: DeliveryStatus,
    next_attempt_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let done = sqlx::query!(
        "update webhook_deliveries set status = $3, next_attempt_at = $4, leased_until = null, attempted_at = $5,
           response_status = $6, response_excerpt = $7, error = $8, duration_ms = $9
         where id = $1 and leased_until = $2 and attempts = $10 and status = 'pending'",
        due.id.uuid(),
        due.leased_until,
        status.as_str(),
        next_attempt_at,
        now,
        outcome.status.map(i32::from),
        outcome.status.map(|_| outcome.excerpt.as_str()),
        outcome.error.as_ref().map(ToString::to_string),
        i32::try_from(outcome.duration.as_millis()).unwrap_or(i32::MAX),
        due.attempts,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn end(tx: &mut SystemTx, id: WebhookEndpointId, why: &str) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_deliveries set status = 'failed', next_attempt_at = null, leased_until = null, error = $2
         where endpoint_id = $1 and status = 'pending'",
        id.uuid(),
        why
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Due now, as if it had never been tried. What the last attempt came to stays until the next.
pub(super) async fn requeue(
    tx: &mut SystemTx,
    endpoint_id: WebhookEndpointId,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_deliveries set status = 'pending', attempts = 0, next_attempt_at = $3, leased_until = null
         where endpoint_id = $1 and id = $2",
        endpoint_id.uuid(),
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    endpoint_id: Uuid,
    event_id: Uuid,
    kind: String,
    status: String,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    attempted_at: Option<DateTime<Utc>>,
    response_status: Option<i32>,
    response_excerpt: Option<String>,
    error: Option<String>,
    duration_ms: Option<i32>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Delivery {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: DeliveryId::from_uuid(row.id),
            endpoint_id: WebhookEndpointId::from_uuid(row.endpoint_id),
            event_id: EventId::from_uuid(row.event_id),
            kind: row.kind,
            status: row.status.parse().map_err(Error::internal)?,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            attempted_at: row.attempted_at,
            response_status: row.response_status,
            response_excerpt: row.response_excerpt,
            error: row.error,
            duration_ms: row.duration_ms,
            created_at: row.created_at,
        })
    }
}

pub(super) async fn find(
    tx: &mut SystemTx,
    endpoint_id: WebhookEndpointId,
    id: DeliveryId,
) -> Result<Option<Delivery>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select d.id, d.endpoint_id, d.event_id, e.kind, d.status, d.attempts, d.next_attempt_at, d.attempted_at,
           d.response_status, d.response_excerpt, d.error, d.duration_ms, d.created_at
         from webhook_deliveries d join events e on e.id = d.event_id where d.endpoint_id = $1 and d.id = $2",
        endpoint_id.uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(Delivery::try_from).transpose()
}

pub(super) async fn list(
    tx: &mut SystemTx,
    endpoint_id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    page: &PageRequest,
) -> Result<Vec<Delivery>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select d.id, d.endpoint_id, d.event_id, e.kind, d.status, d.attempts, d.next_attempt_at, d.attempted_at,
           d.response_status, d.response_excerpt, d.error, d.duration_ms, d.created_at
         from webhook_deliveries d join events e on e.id = d.event_id
         where d.endpoint_id = $1 and d.id > $2 and ($3::text is null or d.status = $3)
         order by d.id limit $4",
        endpoint_id.uuid(),
        page.after(),
        status.map(DeliveryStatus::as_str),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Delivery::try_from).collect()
}
