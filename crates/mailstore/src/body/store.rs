//! SQL of packs that are being made.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{PackId, TenantId};
use sqlx::PgConnection;

use super::Uploaded;
use crate::to_column;

pub(crate) async fn reserve(
    conn: &mut PgConnection,
    id: PackId,
    owner: Option<TenantId>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into packs (id, tenant_id, state, reserved_until, created_at) values ($1, $2, 'reserved', $3, $4)",
        id.uuid(),
        owner.map(TenantId::uuid),
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
