//! SQL of the log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{Error, SystemRead, SystemTx};
use kernel::{FolderId, MailboxId, TenantId};
use tenancy::TenantTx;

use super::{Change, Kind, UidSet};
use crate::{from_column, to_column};

/// What a command did in one folder.
pub(crate) struct Entry {
    pub(crate) folder_id: FolderId,
    pub(crate) kind: Kind,
    pub(crate) uids: UidSet,
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    modseq: i64,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    for entry in entries {
        sqlx::query!(
            "insert into mail_changes (tenant_id, mailbox_id, modseq, folder_id, kind, uids, created_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            tenant_id,
            mailbox_id.uuid(),
            modseq,
            entry.folder_id.uuid(),
            entry.kind.as_str(),
            &entry.uids.to_column(),
            now,
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// The modification sequence that a mailbox has come to, unless it was deleted.
pub(super) async fn current(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Option<u64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let modseq = sqlx::query_scalar!(
        "select modseq from mailboxes where tenant_id = $1 and id = $2 and status = 'active'",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(modseq.map(from_column))
}

/// The modification sequences that mailboxes have come to.
pub(super) async fn modseqs(
    read: &mut SystemRead,
    mailboxes: &[(TenantId, MailboxId)],
) -> Result<BTreeMap<MailboxId, u64>, Error> {
    let rows = sqlx::query!(
        "select id, modseq from mailboxes where (tenant_id, id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &mailboxes.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>(),
        &mailboxes.iter().map(|(_, mailbox)| mailbox.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(read.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (MailboxId::from_uuid(row.id), from_column(row.modseq))).collect())
}

/// Up to where a mailbox's log has expired.
pub(super) async fn floor(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let modseq = sqlx::query_scalar!(
        "select modseq from mail_change_floors where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(modseq.map_or(0, from_column))
}

/// The first rows after a modification sequence, so many and those that belong to the last one's command.
pub(super) async fn since(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    modseq: u64,
    limit: u16,
) -> Result<Vec<Change>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select modseq, folder_id, kind, uids, created_at from mail_changes
         where tenant_id = $1 and mailbox_id = $2 and modseq > $3 order by modseq fetch first $4 rows with ties",
        tenant_id,
        mailbox_id.uuid(),
        to_column(modseq),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    let change = |modseq, folder, kind: &str, uids: &[i64], created_at| Change {
        modseq: from_column(modseq),
        folder_id: FolderId::from_uuid(folder),
        // A check keeps the column from holding anything else; what is not known is looked at as a whole.
        kind: kind.parse().unwrap_or(Kind::Folder),
        uids: UidSet::from_column(uids),
        created_at,
    };
    let rows = rows.into_iter();
    Ok(rows.map(|row| change(row.modseq, row.folder_id, &row.kind, &row.uids, row.created_at)).collect())
}

/// Forgets some rows that are older; how many.
pub(super) async fn expire(tx: &mut SystemTx, before: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
    let expired = sqlx::query_scalar!(
        r#"with expired as (
             delete from mail_changes where (tenant_id, mailbox_id, modseq, folder_id, kind) in (
               select tenant_id, mailbox_id, modseq, folder_id, kind from mail_changes where created_at < $1
               order by created_at limit $2 for update skip locked)
             returning tenant_id, mailbox_id, modseq),
           floors as (
             insert into mail_change_floors (tenant_id, mailbox_id, modseq)
             select tenant_id, mailbox_id, max(modseq) from expired group by tenant_id, mailbox_id order by tenant_id, mailbox_id
             on conflict (tenant_id, mailbox_id) do update set modseq = greatest(mail_change_floors.modseq, excluded.modseq))
           select count(*) as "count!" from expired"#,
        before,
        limit,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(expired))
}

/// Forgets folders that were deleted before, whose names are not subscribed to, and that no message was in that can still be recovered; how many.
pub(super) async fn forget_folders(
    tx: &mut SystemTx,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from folders where (tenant_id, mailbox_id, id) in (
           select tenant_id, mailbox_id, id from folders old
           where deleted_at < $1 and subscribed_path is null
             and not exists (select from messages where messages.tenant_id = old.tenant_id and messages.mailbox_id = old.mailbox_id
                             and messages.folder_id = old.id)
             and not exists (select from folders below where below.tenant_id = old.tenant_id and below.mailbox_id = old.mailbox_id
                             and below.parent_id = old.id)
           order by deleted_at limit $2 for update skip locked)",
        before,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
