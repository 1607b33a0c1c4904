//! SQL of messages.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{BlobId, FolderId, MailboxId, MessageId, PageRequest};
use pack::Uidl;
use tenancy::TenantTx;
use uuid::Uuid;

use super::effect::Touched;
use super::{Filter, Flag, FlagChange, Flags, Located, Message, Placed, State};
use crate::body::{self, columns};
use crate::{from_column, to_column};

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
    flags: i16,
    keywords: Vec<String>,
    state: String,
    discarded_at: Option<DateTime<Utc>>,
    blob_id: Uuid,
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
            flags: Flags::from_columns(row.flags, row.keywords),
            state: State::from_column(&row.state),
            discarded_at: row.discarded_at,
            blob_id: BlobId::from_uuid(row.blob_id),
        }
    }
}

/// The message that is so many after an id, whatever its date; `None` when fewer are left.
pub(super) async fn reach(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    filter: Filter,
    after: Uuid,
    messages: u32,
) -> Result<Option<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let before = i64::from(messages) - 1;
    let id = match filter.folder_id {
        None => {
            sqlx::query_scalar!(
                "select id from messages where tenant_id = $1 and mailbox_id = $2 and state = $3 and id > $4
                 order by id offset $5 limit 1",
                tenant_id,
                mailbox_id.uuid(),
                filter.state.as_str(),
                after,
                before,
            )
            .fetch_optional(tx.conn())
            .await?
        }
        Some(folder) => {
            sqlx::query_scalar!(
                "select id from messages where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = $4 and id > $5
                 order by id offset $6 limit 1",
                tenant_id,
                mailbox_id.uuid(),
                folder.uuid(),
                filter.state.as_str(),
                after,
                before,
            )
            .fetch_optional(tx.conn())
            .await?
        }
    };
    Ok(id)
}

/// Those of a page whose ids are not above `until`.
pub(super) async fn list(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    filter: Filter,
    page: &PageRequest,
    until: Uuid,
) -> Result<Vec<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, flags, keywords, state, discarded_at, blob_id
         from messages where tenant_id = $1 and mailbox_id = $2 and state = $3 and id > $4 and id <= $5
           and ($6::timestamptz is null or internal_date >= $6)
         order by id limit $7",
        tenant_id,
        mailbox_id.uuid(),
        filter.state.as_str(),
        page.after(),
        until,
        filter.since,
        page.fetch(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// Those of a page of a folder whose ids are not above `until`.
pub(crate) async fn list_folder(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    filter: Filter,
    page: &PageRequest,
    until: Uuid,
) -> Result<Vec<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, flags, keywords, state, discarded_at, blob_id
         from messages where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = $4 and id > $5 and id <= $6
           and ($7::timestamptz is null or internal_date >= $7)
         order by id limit $8",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        filter.state.as_str(),
        page.after(),
        until,
        filter.since,
        page.fetch(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// Those of the messages that are in the state, in the order of their ids.
pub(crate) async fn named(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    state: State,
    ids: &[MessageId],
) -> Result<Vec<Message>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, flags, keywords, state, discarded_at, blob_id
         from messages where tenant_id = $1 and mailbox_id = $2 and state = $3 and id = any ($4)
         order by id",
        tenant_id,
        mailbox_id.uuid(),
        state.as_str(),
        &uuids(ids),
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
        "select id, folder_id, uid, uidl, modseq, size_bytes, wire_size_bytes, internal_date, flags, keywords, state, discarded_at, blob_id
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
        place: columns!(row),
        folder: FolderId::from_uuid(row.folder_id),
        size_bytes: from_column(row.size_bytes),
        state: State::from_column(&row.state),
    }))
}

/// A message's columns that a command goes by.
struct TouchedRow {
    id: Uuid,
    folder_id: Uuid,
    uid: i64,
    size_bytes: i64,
    flags: i16,
}

impl From<TouchedRow> for Touched {
    fn from(row: TouchedRow) -> Self {
        Self {
            id: MessageId::from_uuid(row.id),
            folder: FolderId::from_uuid(row.folder_id),
            uid: from_column(row.uid),
            size_bytes: from_column(row.size_bytes),
            was_seen: Flag::from_column(row.flags).contains(&Flag::Seen),
        }
    }
}

fn uuids(ids: &[MessageId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}

/// Those of the messages that are live, in the order of their UIDs.
pub(super) async fn live(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    ids: &[MessageId],
) -> Result<Vec<Touched>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        TouchedRow,
        "select id, folder_id, uid, size_bytes, flags from messages
         where tenant_id = $1 and mailbox_id = $2 and id = any ($3) and state = 'live' order by uid, id",
        tenant_id,
        mailbox_id.uuid(),
        &uuids(ids),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Touched::from).collect())
}

/// Makes those of the messages recoverable that are live, and in the folder if one is named.
pub(super) async fn discard(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    within: Option<FolderId>,
    ids: &[MessageId],
    modseq: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Touched>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        TouchedRow,
        "update messages set state = 'recoverable', discarded_at = $6, modseq = $5
         where tenant_id = $1 and mailbox_id = $2 and id = any ($3) and state = 'live' and ($4::uuid is null or folder_id = $4)
         returning id, folder_id, uid, size_bytes, flags",
        tenant_id,
        mailbox_id.uuid(),
        &uuids(ids),
        within.map(FolderId::uuid),
        modseq,
        now,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Touched::from).collect())
}

/// Makes all messages of a folder recoverable.
pub(crate) async fn discard_folder(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    modseq: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Touched>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        TouchedRow,
        "update messages set state = 'recoverable', discarded_at = $5, modseq = $4
         where tenant_id = $1 and mailbox_id = $2 and folder_id = $3 and state = 'live'
         returning id, folder_id, uid, size_bytes, flags",
        tenant_id,
        mailbox_id.uuid(),
        folder.uuid(),
        modseq,
        now,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Touched::from).collect())
}

/// The message that was recoverable, if it was.
pub(super) async fn set_live(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: MessageId,
    folder: FolderId,
    uid: u64,
    modseq: i64,
) -> Result<Option<Touched>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        TouchedRow,
        "update messages set state = 'live', discarded_at = null, folder_id = $4, uid = $5, modseq = $6, flags = flags & ~$7::smallint
         where tenant_id = $1 and mailbox_id = $2 and id = $3 and state = 'recoverable'
         returning id, folder_id, uid, size_bytes, flags",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        folder.uuid(),
        to_column(uid),
        modseq,
        Flag::to_column([Flag::Deleted]),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Touched::from))
}

/// Changes flags. The messages whose flags are others now, as they were, and whether each is seen now.
pub(super) async fn flag(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    ids: &[MessageId],
    change: &FlagChange,
    modseq: i64,
) -> Result<Vec<(Touched, bool)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let bits = |of: &Flags| Flag::to_column(of.flags.iter().copied());
    let words =
        |of: &Flags| of.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect::<Vec<_>>();
    let all = Flag::to_column(Flag::ALL.iter().copied());
    let kept = if change.clears_flags { 0 } else { all & !bits(&change.remove) };
    let keeps_keywords =
        !change.clears_keywords && change.remove.keywords.is_empty() && change.add.keywords.is_empty();
    let lost: Vec<_> = words(&change.remove).into_iter().map(|word| word.to_ascii_lowercase()).collect();
    // By their places, which stay as they are while the mailbox is locked: joined by their ids, in a table of which Postgres has no statistics
    // yet it looks at every message for each.
    let rows = sqlx::query!(
        r#"update messages set flags = new.flags, keywords = new.keywords, modseq = $4
           from (select old.ctid as place, old.flags as old_flags, (old.flags & $5::smallint) | $6::smallint as flags,
                   case when $10 then old.keywords else array(select word from (
                       select distinct on (lower(word)) word, lower(word) as folded
                       from unnest(case when $7 then '{}' else array(select word from unnest(old.keywords) as word where lower(word) <> all ($8::text[])) end
                                   || $9::text[]) with ordinality as words (word, place)
                       order by lower(word), place) as one
                     order by folded) end as keywords
                 from messages old where tenant_id = $1 and mailbox_id = $2 and id = any ($3) and state = 'live') as new
           where messages.tenant_id = $1 and messages.mailbox_id = $2 and messages.ctid = new.place
             and (messages.flags, messages.keywords) is distinct from (new.flags, new.keywords)
           returning messages.id, folder_id, uid, size_bytes, old_flags, messages.flags"#,
        tenant_id,
        mailbox_id.uuid(),
        &uuids(ids),
        modseq,
        kept,
        bits(&change.add),
        change.clears_keywords,
        &lost,
        &words(&change.add),
        keeps_keywords,
    )
    .fetch_all(tx.conn())
    .await?;
    let flagged = rows.into_iter().map(|row| {
        let is_seen = Flag::from_column(row.flags).contains(&Flag::Seen);
        let (folder_id, flags) = (row.folder_id, row.old_flags);
        (
            TouchedRow { id: row.id, folder_id, uid: row.uid, size_bytes: row.size_bytes, flags }.into(),
            is_seen,
        )
    });
    Ok(flagged.collect())
}

/// Puts live messages of a locked mailbox into another folder.
pub(super) async fn relocate(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    placed: &[Placed],
    to: FolderId,
    modseq: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update messages set folder_id = $3, uid = placed.uid, modseq = $4
         from unnest($5::uuid[], $6::bigint[]) as placed (id, uid)
         where tenant_id = $1 and mailbox_id = $2 and messages.id = placed.id",
        tenant_id,
        mailbox_id.uuid(),
        to.uuid(),
        modseq,
        &placed.iter().map(|placed| placed.id.uuid()).collect::<Vec<_>>(),
        &placed.iter().map(|placed| to_column(placed.uid)).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Copies live messages of a locked mailbox.
pub(super) async fn copy(
    tx: &mut TenantTx,
    from: MailboxId,
    placed: &[Placed],
    to: MailboxId,
    folder: FolderId,
    modseq: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let of: Vec<_> = placed.iter().map(|placed| placed.of.uuid()).collect();
    let bodies = sqlx::query_scalar!(
        "select blob_id from messages where tenant_id = $1 and mailbox_id = $2 and id = any ($3)",
        tenant_id,
        from.uuid(),
        &of,
    )
    .fetch_all(tx.conn())
    .await?;
    body::store::count_messages(tx, &bodies, 1).await?;
    sqlx::query!(
        "insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes,
                               internal_date, flags, keywords)
         select $1, $4, placed.id, $5, placed.uid, placed.uidl, $6, old.blob_id, old.size_bytes, old.wire_size_bytes,
                old.internal_date, old.flags, old.keywords
         from unnest($3::uuid[], $7::uuid[], $8::bigint[], $9::text[]) as placed (of, id, uid, uidl)
         join messages old on old.tenant_id = $1 and old.mailbox_id = $2 and old.id = placed.of",
        tenant_id,
        from.uuid(),
        &of,
        to.uuid(),
        folder.uuid(),
        modseq,
        &placed.iter().map(|placed| placed.id.uuid()).collect::<Vec<_>>(),
        &placed.iter().map(|placed| to_column(placed.uid)).collect::<Vec<_>>(),
        &placed.iter().map(|placed| Uidl::of(placed.id).as_str().to_owned()).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those of some messages, each of its mailbox, that there are, deleted ones too.
pub(crate) async fn existing(
    tx: &mut TenantTx,
    messages: &[(MessageId, MailboxId)],
) -> Result<BTreeSet<MessageId>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let there = sqlx::query_scalar!(
        "select id from messages where tenant_id = $1 and (mailbox_id, id) in (select * from unnest($2::uuid[], $3::uuid[]))",
        tenant_id,
        &messages.iter().map(|(_, mailbox_id)| mailbox_id.uuid()).collect::<Vec<_>>(),
        &messages.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(there.into_iter().map(MessageId::from_uuid).collect())
}
