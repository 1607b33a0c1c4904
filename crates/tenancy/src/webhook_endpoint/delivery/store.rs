//! SQL of deliveries.

use db::SystemTx;
use kernel::{DeliveryId, EventId, PageRequest, TenantId, WebhookEndpointId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;
use webhook::{Outcome, Secret};

use super::super::store::scope;
use super::{Asking, Delivery, DeliveryStatus, Due, Free, Told, body, of_event};
use crate::event::Chained;
use crate::{Error, IngestTx, OfTenants as _};

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

/// The endpoints that ask to be told of the mail of the transaction's tenants, each with the tenant. No lock is taken: one that is disabled meanwhile
/// gets nothing all the same, as what is queued for it is not claimed, nor when it is enabled again, since it has another number then.
pub(super) async fn asking(tx: &mut IngestTx) -> Result<Vec<Asking>, db::Error> {
    let tenants = tx.tenant_ids();
    // The kind stands there as in the index over those who ask, of whom there are few.
    let rows = sqlx::query!(
        "select t.id as tenant_id, w.id as endpoint_id, w.mail_generation from tenants t
         join webhook_endpoints w on w.status = 'enabled' and 'message.delivered' = any (w.kinds)
           and (w.tenant_id = t.id or w.reseller_id = any (t.reseller_path)
             or (w.tenant_id is null and w.reseller_id is null))
         where t.id = any ($1) order by t.id, w.id",
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    let asking = rows.into_iter().map(|row| Asking {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        endpoint_id: WebhookEndpointId::from_uuid(row.endpoint_id),
        mail_generation: row.mail_generation,
    });
    Ok(asking.collect())
}

pub(super) async fn queue_messages(
    tx: &mut IngestTx,
    told: &[Told],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into webhook_deliveries (id, endpoint_id, mail_generation, tenant_id, message, next_attempt_at, created_at)
         select new.*, $6::timestamptz, $6::timestamptz
         from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::jsonb[]) as new (id, endpoint_id, mail_generation, tenant_id, message)",
        &told.iter().map(|told| told.id.uuid()).collect::<Vec<_>>(),
        &told.iter().map(|told| told.of.endpoint_id.uuid()).collect::<Vec<_>>(),
        &told.iter().map(|told| told.of.mail_generation).collect::<Vec<_>>(),
        &told.iter().map(|told| told.of.tenant_id.uuid()).collect::<Vec<_>>(),
        &told.iter().map(|told| told.data.clone()).collect::<Vec<_>>(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets some of what became of messages that were queued before; how many. What is still on its way stays.
pub(super) async fn forget(tx: &mut SystemTx, before: DateTime<Utc>, limit: i64) -> Result<u64, db::Error> {
    let done = sqlx::query!(
        "delete from webhook_deliveries where id in (
           select d.id from webhook_deliveries d
           where d.tenant_id is not null and d.created_at < $1 and d.status <> 'pending'
           order by d.created_at limit $2 for update skip locked)",
        before,
        limit
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Gives up some of the messages that were queued, or asked for again, before and are not under way; how many.
pub(super) async fn give_up(
    tx: &mut SystemTx,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, db::Error> {
    let done = sqlx::query!(
        "update webhook_deliveries set status = 'failed', next_attempt_at = null, leased_until = null,
           error = 'it was given up after three days'
         where id in (
           select d.id from webhook_deliveries d
           where d.status = 'pending' and d.event_id is null and coalesce(d.replayed_at, d.created_at) < $1
             and d.created_at < $1
             and (d.leased_until is null or d.leased_until <= $2)
           limit $3 for update skip locked)",
        before,
        now,
        limit
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Has some of the messages failed that are not under way and that no endpoint gets any more: it is disabled or gone, does not ask for them, or did
/// not when they were queued; how many.
pub(super) async fn drop_unwanted(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, db::Error> {
    let done = sqlx::query!(
        "update webhook_deliveries set status = 'failed', next_attempt_at = null, leased_until = null,
           error = 'the endpoint gets no mail any more'
         where id in (
           select d.id from webhook_endpoints w
           join webhook_deliveries d on d.endpoint_id = w.id and d.status = 'pending' and d.event_id is null
           where (d.leased_until is null or d.leased_until <= $1)
             and (w.status <> 'enabled' or 'message.delivered' <> all (w.kinds) or d.mail_generation <> w.mail_generation)
           limit $2 for update of d skip locked for share of w skip locked)",
        now,
        limit
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

struct DueRow {
    id: Uuid,
    attempts: i32,
    replays: i32,
    endpoint_id: Uuid,
    endpoint_version: i64,
    endpoint_reseller_id: Option<Uuid>,
    endpoint_tenant_id: Option<Uuid>,
    url: String,
    secret: String,
    previous_secret: Option<String>,
    previous_secret_until: Option<DateTime<Utc>>,
    /// None: word of a message.
    event_id: Option<Uuid>,
    reseller_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    kind: String,
    subject: String,
    data: serde_json::Value,
    at: DateTime<Utc>,
}

impl DueRow {
    fn into_due(self, now: DateTime<Utc>) -> Result<Due, Error> {
        let previous = self.previous_secret.filter(|_| self.previous_secret_until.is_some_and(|at| at > now));
        let secrets = std::iter::once(self.secret).chain(previous).map(|text| Secret::parse(&text));
        let id = DeliveryId::from_uuid(self.id);
        let (webhook_id, data) = match self.event_id.map(EventId::from_uuid) {
            Some(event) => {
                let trail = scope(self.reseller_id, self.tenant_id);
                (event.to_string(), of_event(event, trail, &self.subject, &self.data))
            }
            None => (id.to_string(), self.data),
        };
        Ok(Due {
            id,
            endpoint_id: WebhookEndpointId::from_uuid(self.endpoint_id),
            endpoint_version: self.endpoint_version,
            message: webhook::Delivery {
                url: self.url,
                id: webhook_id,
                timestamp: now,
                secrets: secrets.collect::<Result<_, _>>().map_err(Error::internal)?,
                body: body(&self.kind, self.at, &data).to_string().into(),
            },
            owner: scope(self.endpoint_reseller_id, self.endpoint_tenant_id),
            is_of_mail: self.event_id.is_none(),
            attempts: self.attempts,
            replays: self.replays,
        })
    }
}

/// Leases what is due: of each endpoint the oldest, events before mail, as long as few of its deliveries are under way; and whoever has the fewest
/// of them first. Of those that have as many chance decides: whoever has the oldest backlog would have every place that comes free.
pub(super) async fn claim(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
    free: Free,
    per_endpoint: i64,
) -> Result<Vec<Due>, Error> {
    let rows = sqlx::query_as!(
        DueRow,
        r#"with due as (
             select one.*, w.chance, w.leases + row_number() over (partition by w.id order by one.is_of_mail, one.next_attempt_at, one.id) as turn
             from (
               select e.id, e.kinds, e.mail_generation, random() as chance, (select count(*) from webhook_deliveries l
                 where l.endpoint_id = e.id and l.leased_until > $1) as leases
               from webhook_endpoints e where e.status = 'enabled'
             ) w
             cross join lateral (
               (select d.id, d.next_attempt_at, false as is_of_mail from webhook_deliveries d
                where d.endpoint_id = w.id and d.status = 'pending' and d.event_id is not null and d.next_attempt_at <= $1
                  and (d.leased_until is null or d.leased_until <= $1)
                order by d.next_attempt_at, d.id limit $4::bigint)
               union all
               (select d.id, d.next_attempt_at, true from webhook_deliveries d
                where d.endpoint_id = w.id and d.mail_generation = w.mail_generation and d.status = 'pending' and d.event_id is null
                  and d.next_attempt_at <= $1 and (d.leased_until is null or d.leased_until <= $1) and 'message.delivered' = any (w.kinds)
                order by d.next_attempt_at, d.id limit $4::bigint)
             ) one),
           numbered as (
             select due.*, row_number() over (partition by is_of_mail order by turn, chance, next_attempt_at, id) as number
             from due where turn <= $4),
           ready as (
             select id from numbered where not is_of_mail or number <= $5
             order by turn, is_of_mail, chance, next_attempt_at, id limit $3),
           locked as (
             select d.id, d.endpoint_id, d.event_id from webhook_deliveries d
             where d.id in (select id from ready) and d.status = 'pending' and d.next_attempt_at <= $1
               and (d.leased_until is null or d.leased_until <= $1)
             for update skip locked)
           update webhook_deliveries d set leased_until = $2, attempts = d.attempts + 1
           from locked join webhook_endpoints w on w.id = locked.endpoint_id left join events e on e.id = locked.event_id
           where d.id = locked.id
           returning d.id as "id!", d.attempts as "attempts!", d.replays as "replays!", w.id as "endpoint_id!",
             w.version as "endpoint_version!", w.reseller_id as endpoint_reseller_id, w.tenant_id as endpoint_tenant_id, w.url as "url!",
             w.secret as "secret!", w.previous_secret, w.previous_secret_until,
             e.id as "event_id?", e.reseller_id as "reseller_id?", e.tenant_id as "tenant_id?",
             coalesce(e.kind, 'message.delivered') as "kind!", coalesce(e.subject, '') as "subject!",
             coalesce(e.data, d.message) as "data!", coalesce(e.at, d.created_at) as "at!""#,
        now,
        leased_until,
        i64::try_from(free.all).unwrap_or(i64::MAX),
        per_endpoint,
        i64::try_from(free.of_mail).unwrap_or(i64::MAX),
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(|row| row.into_due(now)).collect()
}

/// False when another attempt was begun or asked for since, or this one is settled, or the delivery was ended.
pub(super) async fn settle(
    tx: &mut SystemTx,
    due: &Due,
    outcome: &Outcome,
    status: DeliveryStatus,
    next_attempt_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let done = sqlx::query!(
        "update webhook_deliveries set status = $4, next_attempt_at = $5, leased_until = null, attempted_at = $6,
           response_status = $7, response_excerpt = $8, error = $9, duration_ms = $10
         where id = $1 and replays = $2 and attempts = $3 and leased_until is not null",
        due.id.uuid(),
        due.replays,
        due.attempts,
        status.as_str(),
        next_attempt_at,
        now,
        outcome.status.map(i32::from),
        outcome.status.map(|_| outcome.excerpt.as_str()),
        outcome.error.as_ref().map(ToString::to_string),
        i32::try_from(outcome.duration.as_millis()).unwrap_or(i32::MAX),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn end(tx: &mut SystemTx, id: WebhookEndpointId, why: &str) -> Result<(), db::Error> {
    sqlx::query!(
        "update webhook_deliveries set status = 'failed', next_attempt_at = null, leased_until = null, error = $2
         where endpoint_id = $1 and status = 'pending' and event_id is not null",
        id.uuid(),
        why
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Due now, as if it had never been tried; the message it is word of, if it is. What the last attempt came to stays until the next. The endpoint is
/// locked by the caller.
pub(super) async fn requeue(
    tx: &mut SystemTx,
    endpoint_id: WebhookEndpointId,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<Option<String>, db::Error> {
    let message_id = sqlx::query_scalar!(
        r#"update webhook_deliveries d set status = 'pending', attempts = 0, replays = d.replays + 1, mail_generation = w.mail_generation,
             next_attempt_at = $3, leased_until = null, replayed_at = $3
           from webhook_endpoints w
           where w.id = d.endpoint_id and d.endpoint_id = $1 and d.id = $2 returning d.message ->> 'message_id' as "message_id?""#,
        endpoint_id.uuid(),
        id.uuid(),
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(message_id.flatten())
}

struct Row {
    id: Uuid,
    endpoint_id: Uuid,
    event_id: Option<Uuid>,
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
            event_id: row.event_id.map(EventId::from_uuid),
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

/// An endpoint's deliveries as they are at a moment, by a clause: of mail that the endpoint does not get any more it is known that it is not sent,
/// before [`drop_unwanted`] has come to it. What is under way may be taken yet.
macro_rules! seen {
    ($tx:expr, $endpoint_id:expr, $now:expr, $which:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select d.id as "id!", d.endpoint_id as "endpoint_id!", d.event_id, coalesce(e.kind, 'message.delivered') as "kind!",
               seen.status as "status!", d.attempts as "attempts!", case when is_dropped then null else d.next_attempt_at end as next_attempt_at,
               d.attempted_at, d.response_status, d.response_excerpt,
               case when is_dropped then 'the endpoint gets no mail any more' else d.error end as error, d.duration_ms, d.created_at as "created_at!"
             from webhook_deliveries d join webhook_endpoints w on w.id = d.endpoint_id left join events e on e.id = d.event_id
             cross join lateral (select d.status = 'pending' and d.event_id is null and (d.leased_until is null or d.leased_until <= $2::timestamptz)
               and (w.status <> 'enabled' or 'message.delivered' <> all (w.kinds) or d.mail_generation <> w.mail_generation) as is_dropped) found
             cross join lateral (select case when is_dropped then 'failed' else d.status end as status) seen
             where d.endpoint_id = $1 and "# + $which,
            $endpoint_id.uuid(),
            $now,
            $($argument),+
        )
        .fetch_all($tx.conn())
        .await
        .map_err(db::Error::from)?
        .into_iter()
        .map(Delivery::try_from)
    };
}

pub(super) async fn find(
    tx: &mut SystemTx,
    endpoint_id: WebhookEndpointId,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<Option<Delivery>, Error> {
    seen!(tx, endpoint_id, now, "d.id = $3", id.uuid()).next().transpose()
}

pub(super) async fn list(
    tx: &mut SystemTx,
    endpoint_id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    page: &PageRequest,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, Error> {
    seen!(
        tx,
        endpoint_id,
        now,
        "d.id > $3 and ($4::text is null or seen.status = $4) order by d.id limit $5",
        page.after(),
        status.map(DeliveryStatus::as_str),
        page.fetch()
    )
    .collect()
}
