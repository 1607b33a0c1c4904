//! SQL of the comparison. A tenant whose keys are destroyed loses its rows next, and nobody counts them any more.

use db::{Error, SystemTx};
use uuid::Uuid;

use crate::from_column;

pub(super) async fn mailboxes(tx: &mut SystemTx) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from mailboxes
           left join (
             select tenant_id, mailbox_id,
               coalesce(sum(size_bytes) filter (where state = 'live'), 0) as used,
               coalesce(sum(size_bytes) filter (where state = 'recoverable'), 0) as recoverable
             from messages group by tenant_id, mailbox_id) as sums
             on sums.tenant_id = mailboxes.tenant_id and sums.mailbox_id = mailboxes.id
           where (mailboxes.used_bytes <> coalesce(sums.used, 0) or mailboxes.recoverable_bytes <> coalesce(sums.recoverable, 0))
             and not exists (select from tenants t where t.id = mailboxes.tenant_id and t.status = 'deleted' and t.purged_at is null
               and not exists (select from tenant_keys k where k.tenant_id = t.id))"#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(count))
}

pub(super) async fn folders(tx: &mut SystemTx) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from folders
           left join (
             select tenant_id, mailbox_id, folder_id, count(*) filter (where state = 'live') as live, max(uid) as top,
               count(*) filter (where state = 'live' and flags & 1 = 0) as unseen,
               sum(size_bytes) filter (where state = 'live') as bytes, max(modseq) as modseq
             from messages group by tenant_id, mailbox_id, folder_id) as sums
             on sums.tenant_id = folders.tenant_id and sums.mailbox_id = folders.mailbox_id
               and sums.folder_id = folders.id
           where (folders.message_count <> coalesce(sums.live, 0) or folders.uid_next <= coalesce(sums.top, 0)
             or folders.unseen_count <> coalesce(sums.unseen, 0) or folders.size_bytes <> coalesce(sums.bytes, 0)
             or folders.highest_modseq < coalesce(sums.modseq, 0))
             and not exists (select from tenants t where t.id = folders.tenant_id and t.status = 'deleted' and t.purged_at is null
               and not exists (select from tenant_keys k where k.tenant_id = t.id))"#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(count))
}

pub(super) async fn bodies(tx: &mut SystemTx) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from blobs
           left join (
             select tenant_id, blob_id, count(*) as messages
             from (select tenant_id, blob_id from messages union all select tenant_id, blob_id from parcels) as named group by tenant_id, blob_id) as sums
             on sums.tenant_id = blobs.tenant_id and sums.blob_id = blobs.id
           where blobs.message_count <> coalesce(sums.messages, 0)
             and not exists (select from tenants t where t.id = blobs.tenant_id and t.status = 'deleted' and t.purged_at is null
               and not exists (select from tenant_keys k where k.tenant_id = t.id))"#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(count))
}

pub(super) async fn packs(tx: &mut SystemTx) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from pack_shares
           left join (select tenant_id, pack_id, sum(stored_bytes) as bytes from blobs group by tenant_id, pack_id) as sums
             on sums.tenant_id = pack_shares.tenant_id and sums.pack_id = pack_shares.pack_id
           where pack_shares.live_bytes <> coalesce(sums.bytes, 0)
             or not exists (select from packs where packs.id = pack_shares.pack_id and packs.state = 'live')"#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(count))
}

/// Whether nobody else goes about a round; nobody will until the transaction ends. Asked again in it, it is a sign of life.
pub(super) async fn lead(tx: &mut SystemTx) -> Result<bool, Error> {
    let leads =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('counters_compared')) as "leads!""#)
            .fetch_one(tx.conn())
            .await?;
    Ok(leads)
}

/// The first so many mailboxes after one, in the order of their tenants' ids and their own.
pub(super) async fn mailboxes_after(
    tx: &mut SystemTx,
    (tenant_id, id): (Uuid, Uuid),
    limit: i64,
) -> Result<Vec<(Uuid, Uuid)>, Error> {
    let rows = sqlx::query!(
        "select tenant_id, id from mailboxes
         where (tenant_id, id) > ($1::uuid, $2::uuid)
           and not exists (select from tenants t where t.id = mailboxes.tenant_id and t.status = 'deleted' and t.purged_at is null
             and not exists (select from tenant_keys k where k.tenant_id = t.id))
         order by tenant_id, id limit $3",
        tenant_id,
        id,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id, row.id)).collect())
}

/// A counter of a mailbox, or of a folder in it, that is not what it counts.
pub(super) struct Off {
    pub(super) tenant_id: Uuid,
    pub(super) mailbox_id: Uuid,
    pub(super) folder_id: Option<Uuid>,
    pub(super) counter: String,
    pub(super) says: i64,
    pub(super) counts: i64,
}

/// What is off of some mailboxes' bytes.
pub(super) async fn mailboxes_off(tx: &mut SystemTx, slice: &[(Uuid, Uuid)]) -> Result<Vec<Off>, Error> {
    let (tenants, mailboxes): (Vec<Uuid>, Vec<Uuid>) = slice.iter().copied().unzip();
    let off = sqlx::query_as!(
        Off,
        r#"select m.tenant_id as "tenant_id!", m.id as "mailbox_id!", null::uuid as "folder_id?",
             counter.name as "counter!", counter.says as "says!", counter.counts as "counts!"
           from unnest($1::uuid[], $2::uuid[]) as slice (tenant_id, id)
           join mailboxes m on m.tenant_id = slice.tenant_id and m.id = slice.id
           cross join lateral (
             select coalesce(sum(size_bytes) filter (where state = 'live'), 0)::bigint as used,
               coalesce(sum(size_bytes) filter (where state = 'recoverable'), 0)::bigint as recoverable
             from messages where messages.tenant_id = m.tenant_id and messages.mailbox_id = m.id) as sums
           cross join lateral (values
             ('used_bytes', m.used_bytes, sums.used),
             ('recoverable_bytes', m.recoverable_bytes, sums.recoverable)
           ) as counter (name, says, counts)
           where counter.says <> counter.counts"#,
        &tenants,
        &mailboxes,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(off)
}

/// What is off of the folders in some mailboxes. A next UID or modification sequence counts as off when it is not above, or is below, what was given
/// out; it may well be higher.
pub(super) async fn folders_off(tx: &mut SystemTx, slice: &[(Uuid, Uuid)]) -> Result<Vec<Off>, Error> {
    let (tenants, mailboxes): (Vec<Uuid>, Vec<Uuid>) = slice.iter().copied().unzip();
    let off = sqlx::query_as!(
        Off,
        r#"select f.tenant_id as "tenant_id!", f.mailbox_id as "mailbox_id!", f.id as "folder_id?",
             counter.name as "counter!", counter.says as "says!", counter.counts as "counts!"
           from unnest($1::uuid[], $2::uuid[]) as slice (tenant_id, id)
           join folders f on f.tenant_id = slice.tenant_id and f.mailbox_id = slice.id
           cross join lateral (
             select count(*) filter (where state = 'live') as live,
               count(*) filter (where state = 'live' and flags & 1 = 0) as unseen,
               coalesce(sum(size_bytes) filter (where state = 'live'), 0)::bigint as bytes,
               coalesce(max(uid), 0) as top, coalesce(max(modseq), 0) as modseq
             from messages m where m.tenant_id = f.tenant_id and m.mailbox_id = f.mailbox_id and m.folder_id = f.id) as sums
           cross join lateral (values
             ('message_count', f.message_count, sums.live),
             ('unseen_count', f.unseen_count, sums.unseen),
             ('size_bytes', f.size_bytes, sums.bytes),
             ('uid_next', f.uid_next, greatest(f.uid_next, sums.top + 1)),
             ('highest_modseq', f.highest_modseq, greatest(f.highest_modseq, sums.modseq))
           ) as counter (name, says, counts)
           where counter.says <> counter.counts"#,
        &tenants,
        &mailboxes,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(off)
}
