//! SQL of packs that are being made, and of bodies that messages refer to.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{PackId, TenantId};
use sqlx::PgConnection;
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Columns, Kind, Uploaded, columns};
use crate::to_column;

pub(crate) async fn reserve(
    conn: &mut PgConnection,
    id: PackId,
    kind: Kind,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into packs (id, tenant_id, unsorted, state, reserved_until, created_at) values ($1, $2, $3, 'reserved', $4, $5)",
        id.uuid(),
        kind.owner().map(TenantId::uuid),
        kind.is_unsorted(),
        until,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the pack is live: its reservation still stood, or a part of its batch was committed before. `live_bytes` are those of its
/// entries that messages come to refer to.
pub(crate) async fn set_live(
    conn: &mut PgConnection,
    pack: &Uploaded,
    live_bytes: u64,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let dead_since = (live_bytes < pack.entry_bytes).then_some(now);
    let done = sqlx::query!(
        "update packs set state = 'live', reserved_until = null, entry_bytes = $2, dead_since = coalesce(dead_since, $3)
         where id = $1 and state in ('reserved', 'live')",
        pack.id.uuid(),
        to_column(pack.entry_bytes),
        dead_since,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts so many messages more, or fewer, for each time that a body is named; bodies are locked in the order of their ids.
pub(crate) async fn count_messages(tx: &mut TenantTx, blobs: &[Uuid], each: i32) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query_scalar!(
        "select id from blobs where tenant_id = $1 and id = any($2) order by id for no key update",
        tenant_id,
        blobs,
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query!(
        "update blobs set message_count = message_count + $3 * named.count
         from (select id, count(*)::integer as count from unnest($2::uuid[]) as one (id) group by id) as named
         where tenant_id = $1 and blobs.id = named.id",
        tenant_id,
        blobs,
        each,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Where bodies lie, those of them that there are.
pub(crate) async fn places(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<(Uuid, Columns)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, pack_id, pack_is_own, pack_index, pack_offset, stored_bytes, key_generation from blobs where tenant_id = $1 and id = any ($2)",
        tenant_id,
        ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, columns!(row))).collect())
}
