//! SQL of indexing.

use chrono::{DateTime, Utc};
use db::{Error, SystemRead, SystemTx};
use kernel::{MailboxId, TenantId};

use super::Queued;
use crate::body::columns;
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
        place: columns!(row),
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
pub(super) async fn text(read: &mut SystemRead, one: &Queued) -> Result<Option<Texts>, Error> {
    let row = sqlx::query_as!(
        TextRow,
        "select blob_id, header, body, attachment_names, sent_on, is_whole from message_texts where tenant_id = $1 and blob_id = $2",
        one.tenant_id.uuid(),
        one.blob_id,
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(row.map(Texts::from))
}

/// Takes a body out of the queue, keeps what it says, and indexes it for its mailbox, in one round trip; whether it was in the queue. If it was not, no
/// message has it any more, or another process was quicker. The commit waits for no disk: what is lost is done again.
pub(super) async fn index(
    tx: &mut SystemTx,
    one: &Queued,
    texts: &Texts,
    grams: &[i64],
    is_whole: bool,
) -> Result<bool, Error> {
    let was_queued = sqlx::query_scalar!(
        r#"with quick as materialized (select set_config('synchronous_commit', 'off', true)),
           queued as (
             delete from search_queue using quick where tenant_id = $1 and mailbox_id = $3 and blob_id = $2 returning tenant_id, blob_id, mailbox_id),
           body as materialized (
             select id from blobs where tenant_id = $1 and id = $2 and exists (select from queued) for key share),
           text as (
             insert into message_texts (tenant_id, blob_id, header, body, attachment_names, sent_on, is_whole)
             select $1, id, $4, $5, $6, $7, $8 from body
             on conflict on constraint message_texts_once do nothing),
           indexed as (
             insert into message_grams (tenant_id, blob_id, mailbox_id, grams, is_whole)
             select $1, id, $3, $9, $10 from body
             on conflict on constraint message_grams_once do nothing)
           select exists (select from queued) as "was_queued!""#,
        one.tenant_id.uuid(),
        one.blob_id,
        one.mailbox_id.uuid(),
        texts.header,
        texts.body,
        texts.attachment_names,
        texts.sent_on,
        texts.is_whole,
        grams,
        is_whole,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(was_queued)
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
