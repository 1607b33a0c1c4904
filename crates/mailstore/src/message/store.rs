//! SQL of messages.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{FolderId, MailboxId, MessageId, PageRequest};
use serde_json::Value;
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Located, Message, Moved, State};
use crate::body::Columns;
use crate::from_column;

/// A message's columns as they come.
struct Row {
    id: Uuid,
    folder_id: Uuid,
    uid: i64,
    uidl: String,
    modseq: i64,
    size_bytes: i64,
    wire_size_bytes: i64,
    internal_date: DateTime<Utc>,
    state: String,
    discarded_at: Option<DateTime<Utc>>,
    parsed: Value,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        Self {
            id: MessageId::from_uuid(row.id),
            folder_id: FolderId::from_uuid(row.folder_id),
            uid: from_column(row.uid),
            uidl: row.uidl,
            modseq: from_column(row.modseq),
            size_bytes: from_column(row.size_bytes),
            wire_size_bytes: from_column(row.wire_size_bytes),
            internal_date: row.internal_date,
            state: State::from_column(&row.state),
            discarded_at: row.discarded_at,
            // A view that an older version wrote and this one cannot read is no reason to hide the message.
            parsed: serde_json::from_value(row.parsed).unwrap_or_default(),
        }
    }
}

pub(super) async fn list(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    state: State,
    page: &PageRequest,
) -> Result<Vec<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, state, discarded_at, parsed
         from messages where tenant_id = $1 and mailbox_id = $2 and state = $3 and id > $4
         order by id limit $5",
        tenant_id,
        mailbox_id.uuid(),
        state.as_str(),
        page.after(),
        page.fetch(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

pub(super) async fn list_folder(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    state: State,
    page: &PageRequest,
) -> Result<Vec<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, state, discarded_at, parsed
         from messages where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = $4 and id > $5
         order by id limit $6",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        state.as_str(),
        page.after(),
        page.fetch(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// The message, unless its mailbox was deleted.
pub(super) async fn find(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: MessageId,
) -> Result<Option<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, state, discarded_at, parsed
         from messages where tenant_id = $1 and mailbox_id = $2 and id = $3
           and exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active')",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Message::from))
}

/// Where the message is, unless its mailbox was deleted.
pub(crate) async fn locate(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: MessageId,
) -> Result<Option<Located>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "select m.folder_id, m.size_bytes, m.state,
           b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation
         from messages m join blobs b on b.tenant_id = m.tenant_id and b.id = m.blob_id
         where m.tenant_id = $1 and m.mailbox_id = $2 and m.id = $3
           and exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active')",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Located {
        place: Columns {
            pack_id: row.pack_id,
            pack_is_own: row.pack_is_own,
            pack_index: row.pack_index,
            pack_offset: row.pack_offset,
            stored_bytes: row.stored_bytes,
            key_generation: row.key_generation,
        },
        folder: FolderId::from_uuid(row.folder_id),
        size_bytes: from_column(row.size_bytes),
        state: State::from_column(&row.state),
    }))
}

/// The message that was live and is not any more.
pub(super) async fn set_recoverable(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: MessageId,
    modseq: i64,
    now: DateTime<Utc>,
) -> Result<Option<Moved>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "update messages set state = 'recoverable', discarded_at = $5, modseq = $4
         where tenant_id = $1 and mailbox_id = $2 and id = $3 and state = 'live'
         returning folder_id, size_bytes",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        modseq,
        now,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Moved {
        folder: FolderId::from_uuid(row.folder_id),
        size_bytes: from_column(row.size_bytes),
    }))
}

/// The message as it is now, if it was recoverable.
pub(super) async fn set_live(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: MessageId,
    uid: i64,
    modseq: i64,
) -> Result<Option<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "update messages set state = 'live', discarded_at = null, uid = $4, modseq = $5
         where tenant_id = $1 and mailbox_id = $2 and id = $3 and state = 'recoverable'
         returning id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, state, discarded_at, parsed",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        uid,
        modseq,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Message::from))
}
