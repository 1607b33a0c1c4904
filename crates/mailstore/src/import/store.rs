//! SQL of imports.

use db::Error;
use kernel::{FolderId, MailboxId};
use tenancy::TenantTx;

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
    /// Whether another folder of the mailbox has a certain UID validity, a deleted one among them.
    pub(super) is_anothers: bool,
}

/// How a folder of a locked mailbox does, and whether another has a UID validity.
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
                     and other.uid_validity = $4) as "is_anothers!"
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

/// Keeps the UIDs of a folder up to a higher one for a list.
pub(super) async fn reserve(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    uid_reserved: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update folders set uid_reserved = greatest(uid_reserved, $4) where tenant_id = $1 and mailbox_id = $2 and id = $3",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        uid_reserved,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes a change of a folder, and lets its next UID be one that is in no list if `is_whole`: the first UID that is still to be given out to anybody.
pub(super) async fn settle(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    is_whole: bool,
    modseq: i64,
) -> Result<Option<i64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        "update folders set uid_next = case when $4 then greatest(uid_next, uid_reserved) else uid_next end, highest_modseq = $5
         where tenant_id = $1 and mailbox_id = $2 and id = $3 and deleted_at is null returning uid_next",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        is_whole,
        modseq,
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// The UIDs of a folder's live messages, ascending.
pub(super) async fn uids(tx: &mut TenantTx, mailbox_id: MailboxId, id: FolderId) -> Result<Vec<i64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        "select uid from messages where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live' order by uid",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?)
}
