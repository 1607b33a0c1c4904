//! SQL of the POP3 view.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{FolderId, MailboxId, MessageId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::Entry;
use crate::body::{Columns, columns};
use crate::from_column;

/// Whether the mailbox was free, or its last holder's lease has run out.
pub(super) async fn take_lease(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    holder: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into mailbox_leases (tenant_id, mailbox_id, holder, expires_at) values ($1, $2, $3, $4)
         on conflict (tenant_id, mailbox_id)
         do update set holder = excluded.holder, expires_at = excluded.expires_at
         where mailbox_leases.expires_at <= $5",
        tenant_id,
        mailbox_id.uuid(),
        holder,
        until,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the lease is still the holder's. One that ran out and was taken by nobody is.
pub(super) async fn renew_lease(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    holder: Uuid,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update mailbox_leases set expires_at = $4 where tenant_id = $1 and mailbox_id = $2 and holder = $3",
        tenant_id,
        mailbox_id.uuid(),
        holder,
        until,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the lease was still the holder's; nobody takes it before the transaction ends.
pub(super) async fn release_lease(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    holder: Uuid,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "delete from mailbox_leases where tenant_id = $1 and mailbox_id = $2 and holder = $3",
        tenant_id,
        mailbox_id.uuid(),
        holder,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn snapshot(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
) -> Result<Vec<Entry>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, uidl, wire_size_bytes from messages
         where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live' order by uid",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Entry {
            message_id: MessageId::from_uuid(row.id),
            uidl: row.uidl,
            wire_size_bytes: from_column(row.wire_size_bytes),
        })
        .collect())
}

/// Where those of some messages lie that are live, each by its place among them, unless the mailbox was deleted.
pub(super) async fn places(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    wanted: impl Iterator<Item = MessageId>,
) -> Result<Vec<(usize, Columns)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids: Vec<Uuid> = wanted.map(MessageId::uuid).collect();
    let rows = sqlx::query!(
        r#"select wanted.at as "at!", b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation
           from unnest($3::uuid[]) with ordinality as wanted (id, at)
           join messages m on m.tenant_id = $1 and m.mailbox_id = $2 and m.id = wanted.id
           join blobs b on b.tenant_id = $1 and b.id = m.blob_id
           where m.state = 'live'
             and exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active')"#,
        tenant_id,
        mailbox_id.uuid(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    let places = rows.into_iter().map(|row| {
        let place = columns!(row);
        // Counted from 1.
        (usize::try_from(row.at - 1).unwrap_or(usize::MAX), place)
    });
    Ok(places.collect())
}
