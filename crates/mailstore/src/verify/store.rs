//! SQL of the comparison, and of counting again. What is compared with each other is read by one statement.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use db::{Error, SystemRead, SystemTx};
use kernel::{BlobId, PackId, TenantId, WrappedKeyId};
use pack::Generation;
use uuid::Uuid;

use crate::body::{Columns, columns};
use crate::key::store::{from_column, to_column};

/// Those of some packs that have a row, in whatever state.
pub(super) async fn packs_of(
    session: &mut SystemRead,
    ids: &[Uuid],
) -> Result<HashSet<(Option<TenantId>, Uuid)>, Error> {
    let rows = sqlx::query!("select id, tenant_id from packs where id = any ($1)", ids)
        .fetch_all(session.conn())
        .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id.map(TenantId::from_uuid), row.id)).collect())
}

/// Those of some wrapped keys that a row names, also as the one before.
pub(super) async fn keys_of(
    session: &mut SystemRead,
    ids: &[Uuid],
) -> Result<Vec<(Option<TenantId>, Uuid)>, Error> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!" from tenant_keys where id = any ($1)
           union all
           select tenant_id, former_id from tenant_keys where former_id is not null and former_id = any ($1)"#,
        ids,
    )
    .fetch_all(session.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (Some(TenantId::from_uuid(row.tenant_id)), row.id)).collect())
}

/// Whether a tenant's keys are destroyed and its objects are on their way out.
pub(super) async fn is_being_destroyed(session: &mut SystemRead, id: TenantId) -> Result<bool, Error> {
    let is = sqlx::query_scalar!(
        r#"select exists (select from tenants where id = $1 and status = 'deleted' and purged_at is null
             and not exists (select from tenant_keys where tenant_id = $1)) as "is!""#,
        id.uuid(),
    )
    .fetch_one(session.conn())
    .await?;
    Ok(is)
}

/// A key's row.
pub(super) struct KeyRow {
    pub(super) tenant: TenantId,
    pub(super) generation: Generation,
    pub(super) id: WrappedKeyId,
    pub(super) wrapped: Vec<u8>,
    pub(super) is_stored: bool,
}

/// The first keys after one, by tenant and generation.
pub(super) async fn keys(
    session: &mut SystemRead,
    after: Option<(TenantId, Generation)>,
    limit: i64,
) -> Result<Vec<KeyRow>, Error> {
    let (tenant, number) =
        after.map_or((Uuid::nil(), 0), |(tenant, generation)| (tenant.uuid(), to_column(generation)));
    let rows = sqlx::query!(
        r#"select tenant_id, generation, id, wrapped, stored_at is not null as "is_stored!" from tenant_keys
           where (tenant_id, generation) > ($1, $2) order by tenant_id, generation limit $3"#,
        tenant,
        number,
        limit,
    )
    .fetch_all(session.conn())
    .await?;
    let rows = rows.into_iter().map(|row| KeyRow {
        tenant: TenantId::from_uuid(row.tenant_id),
        generation: from_column(row.generation),
        id: WrappedKeyId::from_uuid(row.id),
        wrapped: row.wrapped,
        is_stored: row.is_stored,
    });
    Ok(rows.collect())
}

/// Whether a key's row is still that one.
pub(super) async fn is_key(session: &mut SystemRead, row: &KeyRow) -> Result<bool, Error> {
    let is = sqlx::query_scalar!(
        r#"select exists (select from tenant_keys where tenant_id = $1 and generation = $2 and id = $3 and wrapped = $4) as "is!""#,
        row.tenant.uuid(),
        to_column(row.generation),
        row.id.uuid(),
        row.wrapped,
    )
    .fetch_one(session.conn())
    .await?;
    Ok(is)
}

/// A live pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackRow {
    pub(super) id: PackId,
    pub(super) owner: Option<TenantId>,
    pub(super) entry_bytes: i64,
    /// Whether its row says since when not all of it is live.
    pub(super) is_noted: bool,
    /// How many tenants have something in it, and how many bytes together.
    pub(super) shares: i64,
    pub(super) live_bytes: i64,
}

/// The first live packs after one in the order of ids.
pub(super) async fn packs(
    session: &mut SystemRead,
    after: Option<PackId>,
    limit: i64,
) -> Result<Vec<PackRow>, Error> {
    let rows = sqlx::query!(
        r#"select p.id, p.tenant_id, p.entry_bytes, p.dead_since is not null as "is_noted!", s.shares as "shares!", s.live_bytes as "live_bytes!"
           from (select * from packs where state = 'live' and id > $1 order by id limit $2) as p
           cross join lateral (
             select count(*) as shares, coalesce(sum(live_bytes), 0)::bigint as live_bytes from pack_shares where pack_id = p.id) as s
           order by p.id"#,
        after.map_or(Uuid::nil(), PackId::uuid),
        limit,
    )
    .fetch_all(session.conn())
    .await?;
    let rows = rows.into_iter().map(|row| PackRow {
        id: PackId::from_uuid(row.id),
        owner: row.tenant_id.map(TenantId::from_uuid),
        entry_bytes: row.entry_bytes,
        is_noted: row.is_noted,
        shares: row.shares,
        live_bytes: row.live_bytes,
    });
    Ok(rows.collect())
}

/// Whether a pack is still live, with so many bytes of entries; and not its tenant's who is being destroyed, objects before rows.
pub(super) async fn is_live(session: &mut SystemRead, pack: &PackRow) -> Result<bool, Error> {
    let is = sqlx::query_scalar!(
        r#"select exists (select from packs p where id = $1 and state = 'live' and entry_bytes = $2
             and not exists (select from tenants t where t.id = p.tenant_id and t.status = 'deleted' and t.purged_at is null
               and not exists (select from tenant_keys k where k.tenant_id = t.id))) as "is!""#,
        pack.id.uuid(),
        pack.entry_bytes,
    )
    .fetch_one(session.conn())
    .await?;
    Ok(is)
}

/// What a tenant has in a pack.
pub(super) struct ShareRow {
    pub(super) tenant: TenantId,
    pub(super) pack: PackId,
    pub(super) is_live: bool,
    pub(super) noted: i64,
    pub(super) counted: i64,
}

/// The shares, in packs of whatever state, after one: by tenant and pack.
pub(super) async fn shares(
    session: &mut SystemRead,
    after: Option<(TenantId, PackId)>,
    limit: i64,
) -> Result<Vec<ShareRow>, Error> {
    let (tenant, pack) =
        after.map_or((Uuid::nil(), Uuid::nil()), |(tenant, pack)| (tenant.uuid(), pack.uuid()));
    let rows = sqlx::query!(
        r#"select s.tenant_id as "tenant_id!", s.pack_id as "pack_id!", s.live_bytes as "live_bytes!", p.state = 'live' as "is_live!",
             b.counted as "counted!"
           from (select * from pack_shares where (tenant_id, pack_id) > ($1, $2) order by tenant_id, pack_id limit $3) as s
           join packs p on p.id = s.pack_id
           cross join lateral (
             select coalesce(sum(stored_bytes), 0)::bigint as counted from blobs where tenant_id = s.tenant_id and pack_id = s.pack_id) as b
           order by s.tenant_id, s.pack_id"#,
        tenant,
        pack,
        limit,
    )
    .fetch_all(session.conn())
    .await?;
    let rows = rows.into_iter().map(|row| ShareRow {
        tenant: TenantId::from_uuid(row.tenant_id),
        pack: PackId::from_uuid(row.pack_id),
        is_live: row.is_live,
        noted: row.live_bytes,
        counted: row.counted,
    });
    Ok(rows.collect())
}

/// A body whose place is not as it has to be.
pub(super) struct Displaced {
    pub(super) tenant: TenantId,
    pub(super) id: BlobId,
    pub(super) is_outside: bool,
    pub(super) is_overlapping: bool,
    pub(super) is_misplaced: bool,
    pub(super) is_keyless: bool,
}

/// The bodies of some packs whose places are not as they have to be. What a tenant has that is being destroyed has no keys.
pub(super) async fn displaced(session: &mut SystemRead, packs: &[Uuid]) -> Result<Vec<Displaced>, Error> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", id as "id!", is_outside as "is_outside!", is_overlapping as "is_overlapping!",
             is_misplaced as "is_misplaced!", is_keyless as "is_keyless!"
           from (
             select b.tenant_id, b.id,
               b.pack_offset < $2 or b.pack_offset + b.stored_bytes > $2 + p.entry_bytes as is_outside,
               b.pack_offset < coalesce(max(b.pack_offset + b.stored_bytes) over (
                 partition by b.pack_id order by b.pack_offset, b.id rows between unbounded preceding and 1 preceding), 0) as is_overlapping,
               b.pack_is_own <> (p.tenant_id is not null) or p.tenant_id <> b.tenant_id and p.tenant_id is not null as is_misplaced,
               not exists (select from tenant_keys k where k.tenant_id = b.tenant_id and k.generation = b.key_generation)
                 and (t.status <> 'deleted' or exists (select from tenant_keys k where k.tenant_id = b.tenant_id)) as is_keyless
             from packs p
             join pack_shares s on s.pack_id = p.id
             join blobs b on b.tenant_id = s.tenant_id and b.pack_id = s.pack_id
             join tenants t on t.id = b.tenant_id
             where p.id = any ($1) and p.state = 'live') as looked_at
           where is_outside or is_overlapping or is_misplaced or is_keyless"#,
        packs,
        crate::to_column(pack::HEADER_BYTES),
    )
    .fetch_all(session.conn())
    .await?;
    let rows = rows.into_iter().map(|row| Displaced {
        tenant: TenantId::from_uuid(row.tenant_id),
        id: BlobId::from_uuid(row.id),
        is_outside: row.is_outside,
        is_overlapping: row.is_overlapping,
        is_misplaced: row.is_misplaced,
        is_keyless: row.is_keyless,
    });
    Ok(rows.collect())
}

/// A body's count of messages.
pub(super) struct CountRow {
    pub(super) tenant: TenantId,
    pub(super) id: BlobId,
    pub(super) noted: i64,
    pub(super) counted: i64,
}

/// The bodies after one, by tenant and id, with how many messages refer to them. A tenant that is being destroyed loses its messages
/// first, uncounted.
pub(super) async fn counts(
    session: &mut SystemRead,
    after: Option<(TenantId, BlobId)>,
    limit: i64,
) -> Result<Vec<CountRow>, Error> {
    let (tenant, id) = after.map_or((Uuid::nil(), Uuid::nil()), |(tenant, id)| (tenant.uuid(), id.uuid()));
    let rows = sqlx::query!(
        r#"select b.tenant_id as "tenant_id!", b.id as "id!", b.message_count::bigint as "noted!",
             case when exists (select from tenants t where t.id = b.tenant_id and t.status = 'deleted' and t.purged_at is null
                 and not exists (select from tenant_keys k where k.tenant_id = t.id))
               then b.message_count else m.counted end as "counted!"
           from (select tenant_id, id, message_count from blobs where (tenant_id, id) > ($1, $2) order by tenant_id, id limit $3) as b
           cross join lateral (
             select (select count(*) from messages where tenant_id = b.tenant_id and blob_id = b.id)
               + (select count(*) from parcels where tenant_id = b.tenant_id and blob_id = b.id) as counted) as m
           order by b.tenant_id, b.id"#,
        tenant,
        id,
        limit,
    )
    .fetch_all(session.conn())
    .await?;
    let rows = rows.into_iter().map(|row| CountRow {
        tenant: TenantId::from_uuid(row.tenant_id),
        id: BlobId::from_uuid(row.id),
        noted: row.noted,
        counted: row.counted,
    });
    Ok(rows.collect())
}

/// A body to read back.
#[derive(Debug)]
pub(super) struct BodyRow {
    pub(super) tenant: TenantId,
    pub(super) id: BlobId,
    pub(super) size_bytes: i64,
    pub(super) sha256: Vec<u8>,
    pub(super) place: Columns,
}

/// All bodies in a pack, by their offsets.
pub(super) async fn bodies(session: &mut SystemRead, pack: PackId) -> Result<Vec<BodyRow>, Error> {
    let rows = sqlx::query!(
        "select b.tenant_id, b.id, b.size_bytes, b.sha256, b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation
         from pack_shares s join blobs b on b.tenant_id = s.tenant_id and b.pack_id = s.pack_id
         where s.pack_id = $1 order by b.pack_offset, b.id",
        pack.uuid(),
    )
    .fetch_all(session.conn())
    .await?;
    let rows = rows.into_iter().map(|row| BodyRow {
        tenant: TenantId::from_uuid(row.tenant_id),
        id: BlobId::from_uuid(row.id),
        size_bytes: row.size_bytes,
        sha256: row.sha256,
        place: columns!(row),
    });
    Ok(rows.collect())
}

/// Whether a body still lies where it was found, and its tenant is not being destroyed.
pub(super) async fn is_there(session: &mut SystemRead, body: &BodyRow) -> Result<bool, Error> {
    let is = sqlx::query_scalar!(
        r#"select exists (
             select from blobs b join tenants t on t.id = b.tenant_id
             where b.tenant_id = $1 and b.id = $2 and b.pack_id = $3 and b.pack_index = $4
               and (t.status <> 'deleted' or exists (select from tenant_keys k where k.tenant_id = b.tenant_id))) as "is!""#,
        body.tenant.uuid(),
        body.id.uuid(),
        body.place.pack_id,
        body.place.pack_index,
    )
    .fetch_one(session.conn())
    .await?;
    Ok(is)
}

/// Counts the bytes of a share in a locked pack again, if there are any; whether it was done.
pub(super) async fn recount_share(tx: &mut SystemTx, tenant: TenantId, pack: PackId) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update pack_shares set live_bytes = counted.bytes
         from (select sum(stored_bytes) as bytes from blobs where tenant_id = $1 and pack_id = $2) as counted
         where tenant_id = $1 and pack_id = $2 and counted.bytes > 0",
        tenant.uuid(),
        pack.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Has a locked pack that drains be live again, if bodies lie in it; whether it was done.
pub(super) async fn revive(tx: &mut SystemTx, pack: PackId) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update packs set state = 'live', drained_at = null where id = $1 and state = 'draining'
           and exists (select from pack_shares s join blobs b on b.tenant_id = s.tenant_id and b.pack_id = s.pack_id where s.pack_id = $1)",
        pack.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn lock_body(tx: &mut SystemTx, tenant: TenantId, id: BlobId) -> Result<(), Error> {
    sqlx::query_scalar!(
        "select id from blobs where tenant_id = $1 and id = $2 for update",
        tenant.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

/// Counts the messages of a locked body again, if there are any; whether it was done.
pub(super) async fn recount_messages(tx: &mut SystemTx, tenant: TenantId, id: BlobId) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update blobs set message_count = counted.messages
         from (select (select count(*) from messages where tenant_id = $1 and blob_id = $2)
             + (select count(*) from parcels where tenant_id = $1 and blob_id = $2) as messages) as counted
         where tenant_id = $1 and id = $2 and counted.messages > 0",
        tenant.uuid(),
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes of a live pack that something in it is dead; whether it was done.
pub(super) async fn note_dead(tx: &mut SystemTx, pack: PackId, now: DateTime<Utc>) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update packs set dead_since = $2 where id = $1 and state = 'live' and dead_since is null",
        pack.uuid(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}
