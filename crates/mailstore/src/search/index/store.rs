//! SQL of indexing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use db::{Error, SystemRead, SystemTx};
use kernel::{MailboxId, TenantId};
use uuid::Uuid;

use super::{Entry, Queued, Ready};
use crate::body::columns;
use crate::from_column;
use crate::parsed::text::Texts;
use crate::search::store::TextRow;

/// Takes what is first and has no body any more out of the queue.
pub(super) async fn forget_bodiless(tx: &mut SystemTx, now: DateTime<Utc>, limit: i64) -> Result<(), Error> {
    sqlx::query!(
        "with due as materialized (select ctid from search_queue where due_at <= $1 order by due_at limit $2 for update skip locked)
         delete from search_queue q where q.ctid = any (array(select ctid from due))
           and not exists (select from blobs b where b.tenant_id = q.tenant_id and b.id = q.blob_id)",
        now,
        limit,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes the first that are due in hand, until a moment: of those that were in hand before, or of those that were not. By where they lie: of a
/// table that fills and empties within seconds, the planner does not know which way to its rows is short.
pub(super) async fn claim(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    again: bool,
    limit: i64,
) -> Result<Vec<Queued>, Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
             select ctid from search_queue where due_at <= $1 and (attempts > 0) = $4
             order by due_at limit $3 for update skip locked)
           update search_queue q set due_at = $2, attempts = attempts + 1 from blobs b
           where q.ctid = any (array(select ctid from due)) and b.tenant_id = q.tenant_id and b.id = q.blob_id
           returning q.tenant_id, q.mailbox_id, q.blob_id, q.attempts,
             exists (select from message_texts t where t.tenant_id = q.tenant_id and t.blob_id = q.blob_id) as "is_known!",
             b.pack_id, b.pack_is_own, b.pack_index, b.pack_offset, b.stored_bytes, b.key_generation"#,
        now,
        until,
        limit,
        again,
    )
    .fetch_all(tx.conn())
    .await?;
    let queued = rows.into_iter().map(|row| Queued {
        entry: Entry {
            tenant_id: TenantId::from_uuid(row.tenant_id),
            blob_id: row.blob_id,
            mailbox_id: MailboxId::from_uuid(row.mailbox_id),
        },
        attempts: row.attempts,
        is_known: row.is_known,
        place: columns!(row),
    });
    Ok(queued.collect())
}

/// Takes an attempt at each back, but for those that somebody is about to delete.
pub(super) async fn put_off(tx: &mut SystemTx, entries: &[Entry]) -> Result<(), Error> {
    sqlx::query!(
        "with put_off as materialized (
           select q.place from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as asked (tenant_id, mailbox_id, blob_id) cross join lateral (
             select ctid as place from search_queue
             where tenant_id = asked.tenant_id and mailbox_id = asked.mailbox_id and blob_id = asked.blob_id
             for update skip locked) q)
         update search_queue set attempts = greatest(attempts - 1, 0) where ctid = any (array(select place from put_off))",
        &entries.iter().map(|entry| entry.tenant_id.uuid()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.mailbox_id.uuid()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.blob_id).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a body says that was indexed for another mailbox.
pub(super) async fn text(
    read: &mut SystemRead,
    tenant: TenantId,
    blob_id: Uuid,
) -> Result<Option<Texts>, Error> {
    let row = sqlx::query_as!(
        TextRow,
        "select blob_id, header, body, attachment_names, sent_on, is_whole from message_texts where tenant_id = $1 and blob_id = $2",
        tenant.uuid(),
        blob_id,
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(row.map(Texts::from))
}

/// Takes entries out of the queue, keeps what their bodies say, and indexes each for its mailbox, in one round trip; those that were. The others are in
/// nobody's hand any more, or somebody is about to delete the message or the body. Nothing waits for whoever that is: several are locked here, in no
/// order that others would keep. The commit waits for no disk: what is lost is done again.
pub(super) async fn index(tx: &mut SystemTx, ready: &[Ready]) -> Result<BTreeSet<Entry>, Error> {
    let mut grams = Vec::with_capacity(ready.iter().map(|one| one.grams.len()).sum());
    let mut ends = Vec::with_capacity(ready.len());
    for one in ready {
        grams.extend_from_slice(&one.grams);
        ends.push(i32::try_from(grams.len()).unwrap_or(i32::MAX));
    }
    let starts: Vec<i32> =
        std::iter::once(0).chain(ends.iter().copied()).take(ready.len()).map(|end| end + 1).collect();
    let tenants: Vec<Uuid> = ready.iter().map(|one| one.entry.tenant_id.uuid()).collect();
    let mailboxes: Vec<Uuid> = ready.iter().map(|one| one.entry.mailbox_id.uuid()).collect();
    let blobs: Vec<Uuid> = ready.iter().map(|one| one.entry.blob_id).collect();
    let are_whole: Vec<bool> = ready.iter().map(|one| one.is_whole).collect();
    let new: BTreeMap<(Uuid, Uuid), &Texts> = ready
        .iter()
        .filter_map(|one| Some(((one.entry.tenant_id.uuid(), one.entry.blob_id), one.new_texts.as_deref()?)))
        .collect();
    let (text_tenants, text_blobs): (Vec<Uuid>, Vec<Uuid>) = new.keys().copied().unzip();
    let headers: Vec<&str> = new.values().map(|texts| texts.header.as_str()).collect();
    let bodies: Vec<&str> = new.values().map(|texts| texts.body.as_str()).collect();
    let names: Vec<&str> = new.values().map(|texts| texts.attachment_names.as_str()).collect();
    let sent_on: Vec<Option<NaiveDate>> = new.values().map(|texts| texts.sent_on).collect();
    let texts_are_whole: Vec<bool> = new.values().map(|texts| texts.is_whole).collect();
    let rows = sqlx::query!(
        r#"with quick as materialized (select set_config('synchronous_commit', 'off', true)),
           asked as materialized (
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bool[], $5::integer[], $6::integer[])
               as asked (tenant_id, mailbox_id, blob_id, is_whole, first, last)),
           held as materialized (
             select asked.*, queued.place from quick, asked cross join lateral (
               select q.ctid as place from search_queue q join blobs b on b.tenant_id = q.tenant_id and b.id = q.blob_id
               where q.tenant_id = asked.tenant_id and q.mailbox_id = asked.mailbox_id and q.blob_id = asked.blob_id
               for update of q skip locked for key share of b skip locked) queued),
           taken as (delete from search_queue where ctid = any (array(select place from held))),
           text as (
             insert into message_texts (tenant_id, blob_id, header, body, attachment_names, sent_on, is_whole)
             select * from unnest($8::uuid[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::date[], $14::bool[])
               as said (tenant_id, blob_id, header, body, attachment_names, sent_on, is_whole)
             where exists (select from held where held.tenant_id = said.tenant_id and held.blob_id = said.blob_id)
             order by tenant_id, blob_id
             on conflict on constraint message_texts_once do nothing),
           indexed as (
             insert into message_grams (tenant_id, blob_id, mailbox_id, grams, is_whole)
             select tenant_id, blob_id, mailbox_id, ($7::bigint[])[first:last], is_whole from held
             on conflict on constraint message_grams_once do nothing)
           select tenant_id as "tenant_id!", mailbox_id as "mailbox_id!", blob_id as "blob_id!" from held"#,
        &tenants,
        &mailboxes,
        &blobs,
        &are_whole,
        &starts,
        &ends,
        &grams,
        &text_tenants,
        &text_blobs,
        &headers as &[&str],
        &bodies as &[&str],
        &names as &[&str],
        &sent_on as &[Option<NaiveDate>],
        &texts_are_whole,
    )
    .fetch_all(tx.conn())
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        blob_id: row.blob_id,
        mailbox_id: MailboxId::from_uuid(row.mailbox_id),
    });
    Ok(entries.collect())
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
