//! SQL of compaction.

use std::collections::{BTreeMap, BTreeSet};

use db::{Error, SystemTx};
use kernel::{BlobId, FolderId, MailboxId, MessageId, PackId, TenantId};
use pack::Uidl;
use tenancy::{Ctx, TenantTx};
use uuid::Uuid;

use super::{Due, Found, Moving, Turn};
use crate::body::{Columns, Place, columns};
use crate::{from_column, to_column};

/// The first tenants after one, in the order of their ids, that have something that is due and are not being destroyed.
pub(super) async fn tenants(
    tx: &mut SystemTx,
    due: Due,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"select tenant_id as "tenant_id!" from (
             select s.tenant_id from pack_shares s join packs p on p.id = s.pack_id
             where p.state = 'live' and s.tenant_id > $3
               and (p.tenant_id is null and p.created_at < $1
                    or p.unsorted and p.created_at < $1
                    or p.tenant_id is not null and p.dead_since is not null and (p.dead_since < $2 or s.live_bytes < p.entry_bytes / 2))
             union
             select t.id from tenants t
             where t.storage_dedicated and t.id > $3
               and exists (select from pack_shares s join packs p on p.id = s.pack_id
                           where s.tenant_id = t.id and p.state = 'live' and p.tenant_id is null)) as due
           where not exists (select from tenants t where t.id = due.tenant_id and t.destroying is not null)
           order by tenant_id limit $4"#,
        due.arrived_before,
        due.dead_before,
        after.map_or(Uuid::nil(), TenantId::uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// The first bodies of a tenant that are due after one, by mailbox and time; and the last of them, if there may be more.
pub(super) async fn order(
    tx: &mut SystemTx,
    ctx: &Ctx,
    due: Due,
    after: Turn,
    limit: i64,
) -> Result<(Vec<Found>, Option<Turn>), Error> {
    let rows = sqlx::query!(
        r#"select b.id, b.pack_id, b.stored_bytes, b.created_at, first.mailbox_id as "mailbox_id!"
         from pack_shares s
         join packs p on p.id = s.pack_id
         join blobs b on b.tenant_id = s.tenant_id and b.pack_id = s.pack_id
         cross join lateral (
           select m.mailbox_id from messages m where m.tenant_id = b.tenant_id and m.blob_id = b.id order by m.mailbox_id limit 1) as first
         where s.tenant_id = $1 and p.state = 'live' and b.message_count > 0
           and (p.tenant_id is null and (p.created_at < $2 or $4)
                or p.unsorted and p.created_at < $2
                or p.tenant_id is not null and p.dead_since is not null and (p.dead_since < $3 or s.live_bytes < p.entry_bytes / 2))
           and (first.mailbox_id, b.created_at, b.id) > ($5::uuid, $6::timestamptz, $7::uuid)
         order by first.mailbox_id, b.created_at, b.id limit $8"#,
        ctx.tenant_id().uuid(),
        due.arrived_before,
        due.dead_before,
        ctx.is_storage_dedicated(),
        after.mailbox_id,
        after.created_at,
        after.id,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let last = rows.last().filter(|_| is_full);
    let last = last.map(|row| Turn { mailbox_id: row.mailbox_id, created_at: row.created_at, id: row.id });
    let found = rows.into_iter().map(|row| {
        let stored_bytes = u32::try_from(row.stored_bytes).unwrap_or(0);
        Found { id: row.id, pack_id: row.pack_id, stored_bytes }
    });
    Ok((found.collect(), last))
}

/// Those of some bodies that lie where they were found, in their order; without their deliveries.
pub(super) async fn bodies(
    tx: &mut SystemTx,
    tenant: TenantId,
    found: &[Found],
) -> Result<Vec<Moving>, Error> {
    let rows = sqlx::query!(
        "select b.id, b.sha256, b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation, b.created_at
         from unnest($2::uuid[], $3::uuid[]) with ordinality as found (id, pack_id, at)
         join blobs b on b.tenant_id = $1 and b.id = found.id and b.pack_id = found.pack_id
         where b.message_count > 0 order by found.at",
        tenant.uuid(),
        &found.iter().map(|body| body.id).collect::<Vec<_>>(),
        &found.iter().map(|body| body.pack_id).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    let moving = rows.into_iter().filter_map(|row| {
        let place = columns!(row);
        Some(Moving {
            id: BlobId::from_uuid(row.id),
            sha256: row.sha256.try_into().ok()?,
            place: Place::try_from(place).ok()?,
            deliveries: Vec::new(),
            internal_date: row.created_at,
        })
    });
    Ok(moving.collect())
}

/// How many bytes of the tenant's bodies lie in packs that are not its own, of which its role sees none. Each pack is looked up by its key: as a join, the
/// planner may read all packs of all tenants, whose own each is being in no index.
pub(super) async fn shared_bytes(tx: &mut TenantTx) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let bytes = sqlx::query_scalar!(
        r#"select coalesce(sum(s.live_bytes), 0)::bigint as "bytes!" from pack_shares s
           where s.tenant_id = $1 and (select p.tenant_id from packs p where p.id = s.pack_id) is distinct from s.tenant_id"#,
        tenant_id,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(bytes))
}

/// Adds the messages that each is the body of.
pub(super) async fn add_deliveries(
    tx: &mut SystemTx,
    tenant: TenantId,
    moving: &mut [Moving],
) -> Result<(), Error> {
    let ids: Vec<Uuid> = moving.iter().map(|body| body.id.uuid()).collect();
    let rows = sqlx::query!(
        "select blob_id, id, uidl, mailbox_id, folder_id, internal_date from messages
         where tenant_id = $1 and blob_id = any ($2) order by mailbox_id, id",
        tenant.uuid(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut by_body: BTreeMap<Uuid, &mut Moving> =
        moving.iter_mut().map(|body| (body.id.uuid(), body)).collect();
    for row in rows {
        let (Some(body), Ok(uidl)) = (by_body.get_mut(&row.blob_id), row.uidl.parse::<Uidl>()) else {
            continue;
        };
        body.internal_date = row.internal_date;
        body.deliveries.push(pack::Delivery {
            message: MessageId::from_uuid(row.id),
            uidl,
            mailbox: MailboxId::from_uuid(row.mailbox_id),
            folder: Some(FolderId::from_uuid(row.folder_id)),
        });
    }
    Ok(())
}

/// Locks those of the bodies that still lie where they were found, in the order of their ids.
pub(super) async fn lock(
    tx: &mut SystemTx,
    tenant: TenantId,
    moved: &[(BlobId, Place, Place)],
) -> Result<BTreeSet<BlobId>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from blobs
         where tenant_id = $1 and (id, pack_id) in (select * from unnest($2::uuid[], $3::uuid[]))
         order by id for no key update",
        tenant.uuid(),
        &moved.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>(),
        &moved.iter().map(|(_, from, _)| from.address.pack().uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(BlobId::from_uuid).collect())
}

pub(super) async fn insert_share(
    tx: &mut SystemTx,
    tenant: TenantId,
    id: PackId,
    live_bytes: u64,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into pack_shares (tenant_id, pack_id, live_bytes) values ($1, $2, $3)",
        tenant.uuid(),
        id.uuid(),
        to_column(live_bytes),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn relocate(
    tx: &mut SystemTx,
    tenant: TenantId,
    moved: &[(BlobId, Place, Place)],
) -> Result<(), Error> {
    let places: Vec<Columns> = moved.iter().map(|(.., to)| to.columns()).collect();
    let numbers = |column: fn(&Columns) -> i32| places.iter().map(column).collect::<Vec<_>>();
    sqlx::query!(
        "update blobs set pack_id = moved.pack_id, pack_is_own = true, pack_index = moved.pack_index, pack_offset = moved.pack_offset,
           stored_bytes = moved.stored_bytes, key_generation = moved.key_generation
         from unnest($2::uuid[], $3::uuid[], $4::integer[], $5::bigint[], $6::integer[], $7::integer[])
           as moved (id, pack_id, pack_index, pack_offset, stored_bytes, key_generation)
         where blobs.tenant_id = $1 and blobs.id = moved.id",
        tenant.uuid(),
        &moved.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>(),
        &places.iter().map(|place| place.pack_id).collect::<Vec<_>>(),
        &numbers(|place| place.pack_index),
        &places.iter().map(|place| place.pack_offset).collect::<Vec<_>>(),
        &numbers(|place| place.stored_bytes),
        &numbers(|place| place.key_generation),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
