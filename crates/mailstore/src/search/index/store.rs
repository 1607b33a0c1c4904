//! SQL of indexing.

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{MailboxId, TenantId};

use super::Queued;
use crate::body::Columns;
use crate::from_column;
use crate::parsed::text::Texts;
use crate::search::store::TextRow;

/// Takes what is first and has no body any more out of the queue.
pub(super) async fn forget_bodiless(tx: &mut SystemTx, now: DateTime<Utc>, limit: i64) -> Result<(), Error> {
    sqlx::query!(
        "delete from search_queue q
         using (select tenant_id, mailbox_id, blob_id from search_queue where due_at <= $1 order by due_at limit $2 for update skip locked) due
         where q.tenant_id = due.tenant_id and q.mailbox_id = due.mailbox_id and q.blob_id = due.blob_id
           and not exists (select from blobs b where b.tenant_id = due.tenant_id and b.id = due.blob_id)",
        now,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes the first that are due in hand, until a moment: of those that were in hand before, or of those that were not.
pub(super) async fn claim(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    again: bool,
    limit: i64,
) -> Result<Vec<Queued>, Error> {
    let rows = sqlx::query!(
        "update search_queue q set due_at = $2, attempts = attempts + 1
         from (select tenant_id, mailbox_id, blob_id from search_queue where due_at <= $1 and (attempts > 0) = $4
               order by due_at limit $3 for update skip locked) due
         join blobs b on b.tenant_id = due.tenant_id and b.id = due.blob_id
         where q.tenant_id = due.tenant_id and q.mailbox_id = due.mailbox_id and q.blob_id = due.blob_id
         returning q.tenant_id, q.mailbox_id, q.blob_id, q.attempts,
           b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation",
        now,
        until,
        limit,
        again,
    )
    .fetch_all(tx.conn())
    .await?;
    let queued = rows.into_iter().map(|row| Queued {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        mailbox_id: MailboxId::from_uuid(row.mailbox_id),
        blob_id: row.blob_id,
        attempts: row.attempts,
        place: Columns {
            pack_id: row.pack_id,
            pack_is_own: row.pack_is_own,
            pack_index: row.pack_index,
            pack_offset: row.pack_offset,
            stored_bytes: row.stored_bytes,
            key_generation: row.key_generation,
        },
    });
    Ok(queued.collect())
}

/// Takes an attempt back.
pub(super) async fn put_off(tx: &mut SystemTx, one: &Queued) -> Result<(), Error> {
    sqlx::query!(
        "update search_queue set attempts = greatest(attempts - 1, 0) where tenant_id = $1 and mailbox_id = $2 and blob_id = $3",
        one.tenant_id.uuid(),
        one.mailbox_id.uuid(),
        one.blob_id,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What the body says, if it was indexed for another mailbox.
pub(super) async fn text(tx: &mut SystemTx, one: &Queued) -> Result<Option<Texts>, Error> {
    let row = sqlx::query_as!(
        TextRow,
        "select blob_id, header, body, attachment_names, sent_on, is_whole from message_texts where tenant_id = $1 and blob_id = $2",
        one.tenant_id.uuid(),
        one.blob_id,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Texts::from))
}

/// Lets a commit not wait for the disk.
pub(super) async fn be_quick(tx: &mut SystemTx) -> Result<(), Error> {
    sqlx::query!("set local synchronous_commit = off").execute(tx.conn()).await?;
    Ok(())
}

/// Takes it out of the queue; whether it was there. If it was not, no message has it any more, or another process was quicker.
pub(super) async fn dequeue(tx: &mut SystemTx, one: &Queued) -> Result<bool, Error> {
    let done = sqlx::query!(
        "delete from search_queue where tenant_id = $1 and mailbox_id = $2 and blob_id = $3",
        one.tenant_id.uuid(),
        one.mailbox_id.uuid(),
        one.blob_id,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what a body says that is there still.
pub(super) async fn insert_text(tx: &mut SystemTx, one: &Queued, texts: &Texts) -> Result<(), Error> {
    sqlx::query!(
        "insert into message_texts (tenant_id, blob_id, header, body, attachment_names, sent_on, is_whole)
         select tenant_id, id, $3, $4, $5, $6, $7 from blobs where tenant_id = $1 and id = $2 for key share
         on conflict on constraint message_texts_once do nothing",
        one.tenant_id.uuid(),
        one.blob_id,
        texts.header,
        texts.body,
        texts.attachment_names,
        texts.sent_on,
        texts.is_whole,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Indexes it for its mailbox.
pub(super) async fn insert_grams(
    tx: &mut SystemTx,
    one: &Queued,
    grams: &[i64],
    is_whole: bool,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into message_grams (tenant_id, blob_id, mailbox_id, grams, is_whole)
         select tenant_id, blob_id, $3, $4, $5 from message_texts where tenant_id = $1 and blob_id = $2 for key share
         on conflict on constraint message_grams_once do nothing",
        one.tenant_id.uuid(),
        one.blob_id,
        one.mailbox_id.uuid(),
        grams,
        is_whole,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Queues what is neither queued nor indexed.
pub(super) async fn queue_all(tx: &mut SystemTx) -> Result<u64, Error> {
    let done = sqlx::query!(
        "insert into search_queue (tenant_id, mailbox_id, blob_id, due_at)
         select distinct tenant_id, mailbox_id, blob_id, timestamptz '2000-01-01' from messages m
         where not exists (select from message_grams g where g.tenant_id = m.tenant_id and g.mailbox_id = m.mailbox_id and g.blob_id = m.blob_id)
         on conflict on constraint search_queue_once do nothing",
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn waiting(tx: &mut SystemTx) -> Result<u64, Error> {
    let count =
        sqlx::query_scalar!(r#"select count(*) as "count!" from search_queue"#).fetch_one(tx.conn()).await?;
    Ok(from_column(count))
}
