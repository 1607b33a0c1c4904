//! SQL of destruction.

use db::{Error, SystemTx};
use kernel::{MailboxId, TenantId};
use tenancy::TenantTx;
use tenancy::purge::Destroyed;
use uuid::Uuid;

use crate::from_column;

/// Whether a locked mailbox is deleted, and not on hold.
pub(super) async fn is_due(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query!(
        "select id from mailboxes where tenant_id = $1 and id = $2 and status = 'deleted' and not is_on_hold($1, $2)",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.is_some())
}

/// What of mail a tenant has.
pub(super) async fn count(tx: &mut SystemTx, id: TenantId) -> Result<Destroyed, Error> {
    let row = sqlx::query!(
        r#"select count(*) as "messages!", coalesce(sum(size_bytes), 0)::bigint as "bytes!",
             (select count(*) from pack_shares where tenant_id = $1) as "objects!"
           from messages where tenant_id = $1"#,
        id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Destroyed {
        messages: from_column(row.messages),
        bytes: from_column(row.bytes),
        objects: from_column(row.objects),
    })
}

/// The place of the last change that waits to get into the bucket, where there is a journal in it; 0 if none does.
pub(super) async fn last_change(tx: &mut SystemTx) -> Result<i64, Error> {
    let last = sqlx::query_scalar!(
        r#"select coalesce((select max(seq) from journal), 0) as "last!" from journal_head where number > 0"#
    );
    Ok(last.fetch_optional(tx.conn()).await?.unwrap_or(0))
}

/// Whether some change up to that one still waits.
pub(super) async fn is_waiting(tx: &mut SystemTx, last: i64) -> Result<bool, Error> {
    let is_waiting =
        sqlx::query_scalar!(r#"select exists (select from journal where seq <= $1) as "is_waiting!""#, last);
    Ok(is_waiting.fetch_one(tx.conn()).await?)
}

/// Deletes some of a locked mailbox's messages, in whatever state, and counts them out of it and its folders; the body of each. A counter that is
/// off keeps nothing from being destroyed.
pub(super) async fn delete_messages(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    limit: i64,
) -> Result<Vec<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let blobs = sqlx::query_scalar!(
        r#"with gone as (
             delete from messages where tenant_id = $1 and mailbox_id = $2 and id in (
               select id from messages where tenant_id = $1 and mailbox_id = $2 limit $3)
             returning blob_id, folder_id, state, flags, size_bytes),
           bytes as (
             update mailboxes set used_bytes = greatest(used_bytes - went.live, 0),
               recoverable_bytes = greatest(recoverable_bytes - went.recoverable, 0)
             from (select coalesce(sum(size_bytes) filter (where state = 'live'), 0)::bigint as live,
                     coalesce(sum(size_bytes) filter (where state = 'recoverable'), 0)::bigint as recoverable from gone) as went
             where mailboxes.tenant_id = $1 and mailboxes.id = $2),
           counts as (
             update folders set message_count = greatest(message_count - went.live, 0),
               unseen_count = least(greatest(unseen_count - went.unseen, 0), greatest(message_count - went.live, 0)),
               size_bytes = greatest(folders.size_bytes - went.bytes, 0)
             from (select folder_id, count(*) as live, count(*) filter (where flags & 1 = 0) as unseen, sum(size_bytes)::bigint as bytes
                   from gone where state = 'live' group by folder_id) as went
             where folders.tenant_id = $1 and folders.mailbox_id = $2 and folders.id = went.folder_id)
         select blob_id as "blob_id!" from gone"#,
        tenant_id,
        mailbox_id.uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(blobs)
}

/// Deletes the packs that were a tenant's own and whose objects are gone. One that is being uploaded is left to the sweeper.
pub(super) async fn delete_packs_of(tx: &mut SystemTx, id: TenantId) -> Result<(), Error> {
    sqlx::query!("delete from packs where tenant_id = $1 and state <> 'reserved'", id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes what else the mail store keeps of a mailbox without messages.
pub(super) async fn delete_mailbox(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "with imported as (delete from imported_messages where tenant_id = $1 and mailbox_id = $2),
           leases as (delete from mailbox_leases where tenant_id = $1 and mailbox_id = $2),
           changes as (delete from mail_changes where tenant_id = $1 and mailbox_id = $2),
           floors as (delete from mail_change_floors where tenant_id = $1 and mailbox_id = $2)
         delete from folders where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        mailbox_id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes some of a tenant's messages; how many.
pub(super) async fn delete_some_of(tx: &mut SystemTx, id: TenantId, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from messages where tenant_id = $1 and (mailbox_id, id) in (
           select mailbox_id, id from messages where tenant_id = $1 limit $2)",
        id.uuid(),
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// The packs that a tenant has something in.
pub(super) async fn packs_of(tx: &mut SystemTx, id: TenantId) -> Result<Vec<Uuid>, Error> {
    let ids = sqlx::query_scalar!("select pack_id from pack_shares where tenant_id = $1", id.uuid())
        .fetch_all(tx.conn())
        .await?;
    Ok(ids)
}

/// Deletes the bodies of a tenant without messages.
pub(super) async fn delete_bodies_of(tx: &mut SystemTx, id: TenantId) -> Result<(), Error> {
    sqlx::query!(
        "with parcels as (delete from parcels where tenant_id = $1) delete from blobs where tenant_id = $1",
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes what else the mail store keeps of a tenant without bodies.
pub(super) async fn delete_rest_of(tx: &mut SystemTx, id: TenantId) -> Result<(), Error> {
    sqlx::query!(
        "with imported as (delete from imported_messages where tenant_id = $1),
           leases as (delete from mailbox_leases where tenant_id = $1),
           changes as (delete from mail_changes where tenant_id = $1),
           floors as (delete from mail_change_floors where tenant_id = $1),
           shares as (delete from pack_shares where tenant_id = $1),
           policies as (delete from retention_policies where tenant_id = $1),
           limits as (delete from tenant_sending_limits where tenant_id = $1),
           sending as (delete from tenant_sending where tenant_id = $1)
         delete from folders where tenant_id = $1",
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
