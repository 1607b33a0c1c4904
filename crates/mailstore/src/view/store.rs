//! SQL of what is seen of an open folder.

use db::Error;
use kernel::{BlobId, FolderId, MailboxId, MessageId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::{HEADERS_BYTES, Headers, Kept, Marked, Row, STRUCTURES_BYTES, Said, UNKNOWN_BYTES, Uids};
use crate::message::{Flag, Flags, Keyword};
use crate::outline::VERSION;
use crate::{from_column, to_column};

/// The UIDs of live messages, ascending, and the lowest that is not seen.
pub(super) async fn uids(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
) -> Result<(Vec<u64>, Option<u64>), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select coalesce(array_agg(uid order by uid), '{}') as "uids!", min(uid) filter (where flags & $4::smallint = 0) as first_unseen
           from messages where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live'"#,
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        Flag::to_column([Flag::Seen]),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.uids.into_iter().map(from_column).collect(), row.first_unseen.map(from_column)))
}

/// A message out of the columns of a row.
macro_rules! message {
    ($row:expr) => {
        Row {
            uid: from_column($row.uid),
            id: MessageId::from_uuid($row.id),
            modseq: from_column($row.modseq),
            flags: Flags::from_columns($row.flags, $row.keywords),
            internal_date: $row.internal_date,
            wire_size_bytes: from_column($row.wire_size_bytes),
            blob_id: $row.blob_id,
            place: None,
        }
    };
}

/// The first and the last UIDs of ranges, as two columns.
fn bounds(uids: &Uids) -> (Vec<i64>, Vec<i64>) {
    uids.iter().map(|range| (to_column(*range.start()), to_column(*range.end()))).unzip()
}

pub(super) async fn rows(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    changed_since: u64,
) -> Result<Vec<Row>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (first, last) = bounds(uids);
    let rows = sqlx::query!(
        "select m.uid, m.id, m.modseq, m.flags, m.keywords, m.internal_date, m.wire_size_bytes, m.blob_id
         from unnest($4::bigint[], $5::bigint[]) as wanted (first, last)
         join messages m on m.tenant_id = $1 and m.mailbox_id = $2 and m.folder_id = $3 and m.uid between wanted.first and wanted.last
         where m.state = 'live' and m.modseq > $6
           and exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active')
         order by m.uid",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        &first,
        &last,
        to_column(changed_since),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| message!(row)).collect())
}

pub(super) async fn with_email_ids(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    email_ids: &[BlobId],
) -> Result<Vec<(BlobId, u64)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let bodies: Vec<Uuid> = email_ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select blob_id, uid from messages
         where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live' and blob_id = any ($4)
         order by uid",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        &bodies,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (BlobId::from_uuid(row.blob_id), from_column(row.uid))).collect())
}

/// The first messages as far as what is wanted of them has no more than [`HEADERS_BYTES`] together, or one; and the body of each to read where
/// that is not known.
pub(super) async fn headers(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    wanted: &[Said],
) -> Result<Vec<(Headers, Option<Uuid>)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (first, last) = bounds(uids);
    let keys: Vec<String> = wanted.iter().map(|said| said.key().to_owned()).collect();
    let rows = sqlx::query!(
        r#"select uid, internal_date, wire_size_bytes, parsed as "parsed!", unknown as "unknown?"
           from (select m.uid, m.internal_date, m.wire_size_bytes, said.parsed, takes.bytes, case when o.parsed is null then m.blob_id end as unknown,
               sum(takes.bytes) over (order by m.uid rows between unbounded preceding and current row) as bytes_so_far
             from unnest($4::bigint[], $5::bigint[]) as wanted (first, last)
             join messages m on m.tenant_id = $1 and m.mailbox_id = $2 and m.folder_id = $3 and m.uid between wanted.first and wanted.last
             left join message_outlines o on o.tenant_id = $1 and o.blob_id = m.blob_id and o.version = $8
             cross join lateral (
               select coalesce(jsonb_object_agg(key, value), '{}') as parsed from jsonb_each(o.parsed) where key = any ($6)) as said
             cross join lateral (
               select case when o.parsed is null then $9 else octet_length(said.parsed::text) end as bytes) as takes
             where m.state = 'live') as found
           where bytes_so_far <= $7 or bytes_so_far = bytes
           order by uid"#,
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        &first,
        &last,
        &keys,
        to_column(HEADERS_BYTES),
        VERSION,
        UNKNOWN_BYTES,
    )
    .fetch_all(tx.conn())
    .await?;
    let headers = rows.into_iter().map(|row| {
        let headers = Headers {
            uid: from_column(row.uid),
            internal_date: row.internal_date,
            wire_size_bytes: from_column(row.wire_size_bytes),
            parsed: serde_json::from_value(row.parsed).unwrap_or_default(),
        };
        (headers, row.unknown)
    });
    Ok(headers.collect())
}

/// The keywords that live messages have.
pub(super) async fn keywords(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
) -> Result<Vec<Keyword>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let words = sqlx::query_scalar!(
        r#"select min(word) as "word!" from messages, unnest(keywords) as word
           where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live' and keywords <> '{}'
           group by lower(word) order by lower(word) limit 200"#,
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(words.into_iter().map(Keyword::from_column).collect())
}

pub(super) async fn highest_modseq(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
) -> Result<Option<u64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (first, last) = bounds(uids);
    let modseq = sqlx::query_scalar!(
        "select max(m.modseq) from unnest($4::bigint[], $5::bigint[]) as wanted (first, last)
         join messages m on m.tenant_id = $1 and m.mailbox_id = $2 and m.folder_id = $3 and m.uid between wanted.first and wanted.last
         where m.state = 'live'",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        &first,
        &last,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(modseq.map(from_column))
}

pub(super) async fn wire_size_bytes(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let bytes = sqlx::query_scalar!(
        r#"select coalesce(sum(wire_size_bytes), 0)::bigint as "bytes!" from messages
           where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live'"#,
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(bytes))
}

pub(super) async fn marked_as_deleted(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
) -> Result<Marked, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select count(*) as "messages!", coalesce(sum(size_bytes), 0)::bigint as "size_bytes!" from messages
           where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live' and flags & $4::smallint <> 0"#,
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        Flag::to_column([Flag::Deleted]),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Marked { messages: from_column(row.messages), size_bytes: from_column(row.size_bytes) })
}

/// The live messages under UIDs, in the order of UIDs; all of them, or those that are marked as deleted.
pub(super) async fn named(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    all: bool,
) -> Result<Vec<(MessageId, u64)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (first, last) = bounds(uids);
    let rows = sqlx::query!(
        "select m.id, m.uid from unnest($4::bigint[], $5::bigint[]) as wanted (first, last)
         join messages m on m.tenant_id = $1 and m.mailbox_id = $2 and m.folder_id = $3 and m.uid between wanted.first and wanted.last
         where m.state = 'live' and ($6 or m.flags & $7::smallint <> 0)
         order by m.uid",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        &first,
        &last,
        all,
        Flag::to_column([Flag::Deleted]),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (MessageId::from_uuid(row.id), from_column(row.uid))).collect())
}

/// The first messages with their structures as kept, as far as those have no more than [`STRUCTURES_BYTES`] together, or one.
pub(super) async fn described(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    changed_since: u64,
) -> Result<Vec<(Row, Kept)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (first, last) = bounds(uids);
    let rows = sqlx::query!(
        r#"select uid, id, modseq, flags, keywords, internal_date, wire_size_bytes, blob_id, structure as "structure?"
           from (select m.uid, m.id, m.modseq, m.flags, m.keywords, m.internal_date, m.wire_size_bytes, m.blob_id, o.structure, takes.bytes,
               sum(takes.bytes) over (order by m.uid rows between unbounded preceding and current row) as bytes_so_far
             from unnest($4::bigint[], $5::bigint[]) as wanted (first, last)
             join messages m on m.tenant_id = $1 and m.mailbox_id = $2 and m.folder_id = $3 and m.uid between wanted.first and wanted.last
             left join message_outlines o on o.tenant_id = $1 and o.blob_id = m.blob_id and o.version = $6
             cross join lateral (select coalesce(octet_length(o.structure), $8) as bytes) as takes
             where m.state = 'live' and m.modseq > $9
               and exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active')) as found
           where bytes_so_far <= $7 or bytes_so_far = bytes
           order by uid"#,
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        &first,
        &last,
        VERSION,
        to_column(STRUCTURES_BYTES),
        UNKNOWN_BYTES,
        to_column(changed_since),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (message!(row), Kept(row.structure))).collect())
}
