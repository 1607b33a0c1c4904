//! SQL of the sweeper.

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{MailboxId, PackId, TenantId};
use tenancy::TenantTx;
use uuid::Uuid;

use crate::{from_column, retention};

/// Whether changes have been waiting to get into the bucket for half of [`super::GRACE`], where there is a journal in it.
pub(super) async fn is_journal_behind(tx: &mut SystemTx) -> Result<bool, Error> {
    let is_behind = sqlx::query_scalar!(
        r#"select exists (select from journal_head where number > 0)
             and coalesce((select at from journal order by seq limit 1) < now() - interval '30 minutes', false) as "behind!""#,
    );
    Ok(is_behind.fetch_one(tx.conn()).await?)
}

/// The mailboxes that have messages to purge: deleted for longer than their tenant's policy keeps them, or more than it keeps.
pub(super) async fn purgeable(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
) -> Result<Vec<(TenantId, MailboxId)>, Error> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", mailbox_id as "mailbox_id!" from (
             select t.id as tenant_id, due.mailbox_id from tenants t
             left join retention_policies p on p.tenant_id = t.id
             cross join lateral (
               select distinct mailbox_id from messages m where m.tenant_id = t.id and m.state = 'recoverable'
                 and m.discarded_at < $1::timestamptz - make_interval(days => coalesce(p.recoverable_days, $2))) due
             union
             select m.tenant_id, m.id from mailboxes m
             left join retention_policies p on p.tenant_id = m.tenant_id
             where m.recoverable_bytes > coalesce(p.recoverable_limit_bytes, $3)) as due
           where not is_on_hold(tenant_id, mailbox_id)"#,
        now,
        retention::DEFAULT_DAYS,
        retention::DEFAULT_LIMIT_BYTES,
    )
    .fetch_all(tx.conn())
    .await?;
    let place = |tenant, mailbox| (TenantId::from_uuid(tenant), MailboxId::from_uuid(mailbox));
    Ok(rows.into_iter().map(|row| place(row.tenant_id, row.mailbox_id)).collect())
}

/// Messages that were deleted for good.
pub(super) struct Batch {
    /// The body of each.
    pub(super) blobs: Vec<Uuid>,
    pub(super) size_bytes: u64,
}

/// Deletes some of a locked mailbox's messages that were deleted before, or first among more bytes than the limit.
pub(super) async fn delete_messages(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    cutoff: DateTime<Utc>,
    limit_bytes: i64,
    limit: i64,
) -> Result<Batch, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "with oldest as (
           select id, discarded_at, sum(size_bytes) over (order by discarded_at, id) - size_bytes as older_bytes
           from (select id, discarded_at, size_bytes from messages
                 where tenant_id = $1 and mailbox_id = $2 and state = 'recoverable' order by discarded_at, id limit $5) as first)
         delete from messages using oldest
         where tenant_id = $1 and mailbox_id = $2 and messages.id = oldest.id and not (select is_on_hold($1, $2))
           and (oldest.discarded_at < $3
             or oldest.older_bytes < (select recoverable_bytes - $4::bigint from mailboxes where tenant_id = $1 and id = $2))
         returning blob_id, size_bytes",
        tenant_id,
        mailbox_id.uuid(),
        cutoff,
        limit_bytes,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let size_bytes = rows.iter().map(|row| from_column(row.size_bytes)).sum();
    Ok(Batch { blobs: rows.into_iter().map(|row| row.blob_id).collect(), size_bytes })
}

/// A body that lies in a pack no more.
pub(crate) struct Forgotten {
    tenant_id: Uuid,
    pub(super) pack_id: Uuid,
    stored_bytes: i32,
}

impl Forgotten {
    pub(crate) fn new(tenant: TenantId, pack: PackId, stored_bytes: u32) -> Self {
        let stored_bytes = i32::try_from(stored_bytes).unwrap_or(i32::MAX);
        Self { tenant_id: tenant.uuid(), pack_id: pack.uuid(), stored_bytes }
    }
}

/// Deletes bodies that no message refers to. None can come to refer to one again.
pub(super) async fn delete_unreferenced(tx: &mut SystemTx, limit: i64) -> Result<Vec<Forgotten>, Error> {
    let bodies = sqlx::query_as!(
        Forgotten,
        "delete from blobs where (tenant_id, id) in (
           select tenant_id, id from blobs where message_count = 0 limit $1 for update skip locked)
         returning tenant_id, pack_id, stored_bytes",
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(bodies)
}

/// Locks packs, in the order of their ids, before the shares in them: whoever takes the last share sees that it is.
pub(crate) async fn lock_packs(tx: &mut SystemTx, ids: &[Uuid]) -> Result<(), Error> {
    sqlx::query_scalar!("select id from packs where id = any ($1) order by id for update", ids)
        .fetch_all(tx.conn())
        .await?;
    Ok(())
}

/// Takes bodies' bytes out of their tenants' shares; a share without any goes.
pub(crate) async fn take_from_shares(tx: &mut SystemTx, bodies: &[Forgotten]) -> Result<(), Error> {
    let tenants: Vec<_> = bodies.iter().map(|body| body.tenant_id).collect();
    let packs: Vec<_> = bodies.iter().map(|body| body.pack_id).collect();
    sqlx::query!(
        "update pack_shares set live_bytes = live_bytes - gone.bytes
         from (select tenant_id, pack_id, sum(bytes) as bytes
               from unnest($1::uuid[], $2::uuid[], $3::integer[]) as body (tenant_id, pack_id, bytes) group by tenant_id, pack_id) as gone
         where pack_shares.tenant_id = gone.tenant_id and pack_shares.pack_id = gone.pack_id",
        &tenants,
        &packs,
        &bodies.iter().map(|body| body.stored_bytes).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "delete from pack_shares where live_bytes = 0
           and (tenant_id, pack_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &tenants,
        &packs,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Marks those of some locked packs that nothing lies in any more, and notes of the others since when something in them is dead.
pub(crate) async fn mark_empty(tx: &mut SystemTx, ids: &[Uuid], now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "update packs set dead_since = coalesce(dead_since, $2),
           state = case when is_empty then 'draining' else state end, drained_at = case when is_empty then $2 end
         from (select named.id as pack_id, not exists (select from pack_shares where pack_shares.pack_id = named.id) as is_empty
               from unnest($1::uuid[]) as named (id)) as looked_at
         where packs.id = looked_at.pack_id and state = 'live'",
        ids,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Marks packs that nobody can be reading any more.
pub(super) async fn mark_drained(tx: &mut SystemTx, before: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update packs set state = 'gone' where id in (
           select id from packs where state = 'draining' and drained_at < $1 limit $2 for update skip locked)",
        before,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Marks packs that outlived their reservation. One that is being committed at this moment is passed over.
pub(super) async fn mark_expired(tx: &mut SystemTx, now: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update packs set state = 'gone', reserved_until = null where id in (
           select id from packs where state = 'reserved' and reserved_until < $1
           limit $2 for update skip locked)",
        now,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// A pack whose object is to be deleted.
pub(super) struct Gone {
    pub(super) id: PackId,
    pub(super) owner: Option<TenantId>,
}

/// The first packs to delete `after` one in the order of ids.
pub(super) async fn list_gone(
    tx: &mut SystemTx,
    after: Option<PackId>,
    limit: i64,
) -> Result<Vec<Gone>, Error> {
    let rows = sqlx::query!(
        "select id, tenant_id from packs where state = 'gone' and id > $1 order by id limit $2",
        after.map_or(Uuid::nil(), PackId::uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let gone =
        |id, owner: Option<Uuid>| Gone { id: PackId::from_uuid(id), owner: owner.map(TenantId::from_uuid) };
    Ok(rows.into_iter().map(|row| gone(row.id, row.tenant_id)).collect())
}

pub(super) async fn delete_gone(tx: &mut SystemTx, id: PackId) -> Result<u64, Error> {
    let done = sqlx::query!("delete from packs where id = $1 and state = 'gone'", id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected())
}
