//! SQL of imports.

use db::Error;
use kernel::{FolderId, MailboxId};
use tenancy::TenantTx;

use crate::change::UidSet;
use crate::from_column;
use crate::ingest::ImportKey;

/// Whether an import has ever taken a message into the mailbox.
pub(super) async fn has_imported(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (select from imported_messages where tenant_id = $1 and mailbox_id = $2) as "exists!""#,
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Whether an import has taken a message.
pub(super) async fn is_imported(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    key: &ImportKey,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (select from imported_messages
                          where tenant_id = $1 and mailbox_id = $2 and sha256 = $3 and occurrence = $4) as "exists!""#,
        tenant_id,
        mailbox_id.uuid(),
        &key.sha256[..],
        key.occurrence,
    )
    .fetch_one(tx.conn())
    .await?)
}

/// How a folder numbers its messages.
pub(super) struct Numbers {
    pub(super) uid_validity: i64,
    pub(super) uid_next: i64,
    pub(super) uid_reserved: i64,
    /// Whether a certain UID validity is, or may have been, another folder's of the mailbox.
    pub(super) is_anothers: bool,
}

/// How a folder of a locked mailbox does, and whether another may have had a UID validity.
pub(super) async fn numbers(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    uid_validity: i64,
) -> Result<Option<Numbers>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let numbers = sqlx::query_as!(
        Numbers,
        r#"select uid_validity, uid_next, uid_reserved,
             exists (select from folders other where other.tenant_id = $1 and other.mailbox_id = $2 and other.id <> $3
                     and other.uid_validity = $4)
               or exists (select from mailboxes where mailboxes.tenant_id = $1 and mailboxes.id = $2 and mailboxes.uid_validity_floor >= $4)
               as "is_anothers!"
           from folders where tenant_id = $1 and mailbox_id = $2 and id = $3 and deleted_at is null"#,
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        uid_validity,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(numbers)
}

/// Has a locked mailbox count its changes from a number on, if it has not come so far; what it has come to.
pub(super) async fn raise_modseq(tx: &mut TenantTx, mailbox_id: MailboxId, least: i64) -> Result<i64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let modseq = sqlx::query_scalar!(
        "update mailboxes set modseq = greatest(modseq, $3) where tenant_id = $1 and id = $2 returning modseq",
        tenant_id,
        mailbox_id.uuid(),
        least,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(modseq)
}

/// Gives a folder that never gave out a UID another UID validity, and keeps UIDs for a list.
pub(super) async fn renumber(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    uid_validity: i64,
    uid_reserved: i64,
    modseq: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update folders set uid_validity = $4, uid_reserved = $5, highest_modseq = $6, version = version + 1
         where tenant_id = $1 and mailbox_id = $2 and id = $3 and uid_next = 1",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        uid_validity,
        uid_reserved,
        modseq,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that something of a folder has changed.
pub(super) async fn touch(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    modseq: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update folders set highest_modseq = $4 where tenant_id = $1 and mailbox_id = $2 and id = $3",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        modseq,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The UIDs that the log says are gone from a folder.
pub(super) async fn gone(tx: &mut TenantTx, mailbox_id: MailboxId, id: FolderId) -> Result<UidSet, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_scalar!(
        "select uids from mail_changes where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and kind = 'gone'",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.iter().flat_map(|uids| UidSet::from_column(uids).ranges().to_vec()).collect())
}

/// The UIDs of a folder's live messages.
pub(super) async fn uids(tx: &mut TenantTx, mailbox_id: MailboxId, id: FolderId) -> Result<UidSet, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let uids = sqlx::query_scalar!(
        "select uid from messages where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live'",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(uids.into_iter().map(from_column).collect())
}
