//! SQL of the comparison. A tenant whose keys are destroyed loses its rows next, and nobody counts them any more.

use db::{Error, SystemTx};

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
