//! SQL of events.

use std::collections::BTreeSet;

use db::SystemTx;
use kernel::{EventId, PageRequest, RequestId, ResellerId, TenantId};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::types::ipnetwork::IpNetwork;
use uuid::Uuid;

use super::{Chained, Event, Kind};
use crate::Scope;

struct Row {
    id: Uuid,
    reseller_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    kind: String,
    subject: String,
    data: serde_json::Value,
    principal: String,
    role: String,
    network: Option<IpNetwork>,
    request_id: Uuid,
    at: DateTime<Utc>,
    position: i64,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl From<Row> for Chained {
    fn from(row: Row) -> Self {
        Self {
            event: Event {
                id: EventId::from_uuid(row.id),
                trail: trail(row.reseller_id, row.tenant_id),
                kind: row.kind,
                subject: row.subject,
                data: row.data,
                principal: row.principal,
                role: row.role,
                network: row.network.map(|network| network.ip()),
                request_id: RequestId::from_uuid(row.request_id),
                at: row.at,
            },
            position: row.position,
            previous_hash: row.previous_hash,
            hash: row.hash,
        }
    }
}

fn trail(reseller_id: Option<Uuid>, tenant_id: Option<Uuid>) -> Scope {
    match (reseller_id, tenant_id) {
        (_, Some(id)) => Scope::Tenant(TenantId::from_uuid(id)),
        (Some(id), None) => Scope::Reseller(ResellerId::from_uuid(id)),
        (None, None) => Scope::Operator,
    }
}

/// A trail as the table's two columns hold it.
fn columns(trail: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match trail {
        Scope::Operator => (None, None),
        Scope::Reseller(id) => (Some(id.uuid()), None),
        Scope::Tenant(id) => (None, Some(id.uuid())),
    }
}

/// What the table calls a trail.
fn key(trail: Scope) -> Uuid {
    let (reseller_id, tenant_id) = columns(trail);
    tenant_id.or(reseller_id).unwrap_or(Uuid::nil())
}

pub(super) async fn insert(conn: &mut PgConnection, events: &[Event]) -> Result<(), db::Error> {
    let (resellers, tenants): (Vec<_>, Vec<_>) = events.iter().map(|event| columns(event.trail)).unzip();
    let networks: Vec<_> = events.iter().map(|event| event.network.map(IpNetwork::from)).collect();
    let texts =
        |text: fn(&Event) -> &String| events.iter().map(|event| text(event).clone()).collect::<Vec<_>>();
    sqlx::query!(
        "insert into events (id, reseller_id, tenant_id, kind, subject, data, principal, role, network, request_id, at)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[],
           $9::inet[], $10::uuid[], $11::timestamptz[])",
        &events.iter().map(|event| event.id.uuid()).collect::<Vec<_>>(),
        &resellers as &[Option<Uuid>],
        &tenants as &[Option<Uuid>],
        &texts(|event| &event.kind),
        &texts(|event| &event.subject),
        &events.iter().map(|event| event.data.clone()).collect::<Vec<_>>(),
        &texts(|event| &event.principal),
        &texts(|event| &event.role),
        &networks as &[Option<IpNetwork>],
        &events.iter().map(|event| event.request_id.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.at).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// False when another process is chaining at this moment.
pub(super) async fn lock_chain(tx: &mut SystemTx) -> Result<bool, db::Error> {
    let locked =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('events_chain')) as "locked!""#)
            .fetch_one(tx.conn())
            .await?;
    Ok(locked)
}

pub(super) async fn unchained(tx: &mut SystemTx, limit: i64) -> Result<Vec<Event>, db::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, reseller_id, tenant_id, kind, subject, data, principal, role, network, request_id, at,
             0::bigint as "position!", ''::bytea as "previous_hash!", ''::bytea as "hash!"
           from events where position is null order by ordinal limit $1"#,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| Chained::from(row).event).collect())
}

pub(super) async fn last_position(tx: &mut SystemTx) -> Result<i64, db::Error> {
    let last = sqlx::query_scalar!(r#"select coalesce(max(position), 0) as "last!" from events"#)
        .fetch_one(tx.conn())
        .await?;
    Ok(last)
}

/// The hash of the last event of a trail.
pub(super) async fn head(tx: &mut SystemTx, trail: Scope) -> Result<Option<Vec<u8>>, db::Error> {
    let head = sqlx::query_scalar!(
        r#"select hash as "hash!" from events where trail = $1 and position is not null order by position desc limit 1"#,
        key(trail)
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(head)
}

/// Gives events their places, and lets those resellers read them that were above their trails when they happened.
pub(super) async fn set_places(tx: &mut SystemTx, places: &[Chained]) -> Result<(), db::Error> {
    let ids: Vec<Uuid> = places.iter().map(|place| place.event.id.uuid()).collect();
    let positions: Vec<i64> = places.iter().map(|place| place.position).collect();
    let previous: Vec<Vec<u8>> = places.iter().map(|place| place.previous_hash.clone()).collect();
    let hashes: Vec<Vec<u8>> = places.iter().map(|place| place.hash.clone()).collect();
    sqlx::query!(
        "update events set position = place.position, previous_hash = place.previous_hash, hash = place.hash
         from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[]) as place (id, position, previous_hash, hash)
         where events.id = place.id",
        &ids,
        &positions,
        &previous,
        &hashes,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into event_readers (reseller_id, position)
         select unnest(readers), position from events where id = any ($1)",
        &ids,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn list(
    tx: &mut SystemTx,
    reader: Scope,
    kinds: &BTreeSet<Kind>,
    page: &PageRequest,
) -> Result<Vec<Chained>, db::Error> {
    let after = i64::try_from(page.after().as_u128()).unwrap_or(i64::MAX);
    let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    let rows = match reader {
        Scope::Operator => {
            sqlx::query_as!(
                Row,
                r#"select id, reseller_id, tenant_id, kind, subject, data, principal, role, network, request_id, at,
                     position as "position!", previous_hash as "previous_hash!", hash as "hash!"
                   from events where position > $1 and ($2::text[] = '{}' or kind = any ($2))
                   order by position limit $3"#,
                after,
                &kinds,
                page.fetch()
            )
            .fetch_all(tx.conn())
            .await?
        }
        Scope::Reseller(id) => {
            sqlx::query_as!(
                Row,
                r#"select e.id, e.reseller_id, e.tenant_id, e.kind, e.subject, e.data, e.principal, e.role, e.network,
                     e.request_id, e.at, e.position as "position!", e.previous_hash as "previous_hash!", e.hash as "hash!"
                   from event_readers r join events e on e.position = r.position
                   where r.reseller_id = $1 and r.position > $2 and ($3::text[] = '{}' or e.kind = any ($3))
                   order by r.position limit $4"#,
                id.uuid(),
                after,
                &kinds,
                page.fetch()
            )
            .fetch_all(tx.conn())
            .await?
        }
        Scope::Tenant(_) => return trail_page(tx, reader, after, &kinds, page.fetch()).await,
    };
    Ok(rows.into_iter().map(Chained::from).collect())
}

/// Every trail that has events.
pub(super) async fn trails(tx: &mut SystemTx) -> Result<Vec<Scope>, db::Error> {
    let rows = sqlx::query!(
        "select distinct reseller_id, tenant_id from events where position is not null order by reseller_id, tenant_id"
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| trail(row.reseller_id, row.tenant_id)).collect())
}

/// One trail's events after a position, in their order; of all kinds when none is named.
pub(super) async fn trail_page(
    tx: &mut SystemTx,
    trail: Scope,
    after: i64,
    kinds: &[String],
    limit: i64,
) -> Result<Vec<Chained>, db::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, reseller_id, tenant_id, kind, subject, data, principal, role, network, request_id, at,
             position as "position!", previous_hash as "previous_hash!", hash as "hash!"
           from events where trail = $1 and position > $2 and ($3::text[] = '{}' or kind = any ($3))
           order by position limit $4"#,
        key(trail),
        after,
        kinds,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Chained::from).collect())
}
