//! SQL of ingest.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{BlobId, FolderId, MailboxId, MessageId};
use tenancy::TenantTx;

use super::{ImportKey, Message};
use crate::to_column;

pub(super) async fn insert_reservation(
    tx: &mut TenantTx,
    id: BlobId,
    message: &Message,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into blobs (tenant_id, id, size_bytes, sha256, state, reserved_until, created_at)
         values ($1, $2, $3, $4, 'reserved', $5, $6)",
        tenant_id,
        id.uuid(),
        to_column(message.size_bytes()),
        &message.sha256[..],
        until,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether the reservation still stood and the body is now live.
pub(super) async fn set_live(tx: &mut TenantTx, id: BlobId, message_count: usize) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let message_count = i32::try_from(message_count).unwrap_or(i32::MAX);
    let done = sqlx::query!(
        "update blobs set state = 'live', message_count = $3, reserved_until = null
         where tenant_id = $1 and id = $2 and state = 'reserved'",
        tenant_id,
        id.uuid(),
        message_count,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

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

/// Whether the key is new; waits for another transaction that is inserting the same.
pub(super) async fn insert_import_key(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    key: &ImportKey,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into imported_messages (tenant_id, mailbox_id, sha256, occurrence) values ($1, $2, $3, $4)
         on conflict on constraint imported_messages_once do nothing",
        tenant_id,
        mailbox_id.uuid(),
        &key.sha256[..],
        key.occurrence,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn delete_import_key(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    key: &ImportKey,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "delete from imported_messages
         where tenant_id = $1 and mailbox_id = $2 and sha256 = $3 and occurrence = $4",
        tenant_id,
        mailbox_id.uuid(),
        &key.sha256[..],
        key.occurrence,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a new row has that its message does not tell.
pub(super) struct NewMessage {
    pub(super) id: MessageId,
    pub(super) mailbox_id: MailboxId,
    pub(super) folder: FolderId,
    pub(super) uid: i64,
    pub(super) modseq: i64,
    pub(super) blob: BlobId,
}

pub(super) async fn insert_message(
    tx: &mut TenantTx,
    new: &NewMessage,
    message: &Message,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    // RFC 1939 §7: 1 to 70 characters from 0x21 to 0x7E, never used again. Stored: it stays when the id's form changes.
    let uidl = new.id.uuid().simple().to_string();
    // A struct of texts, numbers and lists of them has no way to fail.
    let parsed = serde_json::to_value(&message.parsed).unwrap_or_default();
    sqlx::query!(
        "insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes,
                               wire_size_bytes, internal_date, parsed)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant_id,
        new.mailbox_id.uuid(),
        new.id.uuid(),
        new.folder.uuid(),
        new.uid,
        uidl,
        new.modseq,
        new.blob.uuid(),
        to_column(message.size_bytes()),
        to_column(message.wire_size_bytes),
        message.internal_date,
        parsed,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
