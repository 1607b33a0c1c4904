//! SQL of restores.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{FolderId, MailboxId, MessageId, OperationId, TenantId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::batch::Put;
use super::past::PastMessage;
use super::{Counts, Place, Restore, Wanted};
use crate::from_column;
use crate::message::effect::Touched;
use crate::message::{Flag, State};

/// A restore, and the mailboxes that it is about.
pub(super) async fn insert(
    tx: &mut TenantTx,
    id: OperationId,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (folder_id, message_id) = wanted.extent.part();
    sqlx::query!(
        "insert into restores (tenant_id, id, at, place, folder_id, message_id, due_at) values ($1, $2, $3, $4, $5, $6, $7)",
        tenant_id,
        id.uuid(),
        wanted.at,
        wanted.place.as_str(),
        folder_id.map(FolderId::uuid),
        message_id.map(MessageId::uuid),
        now,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into restore_mailboxes (tenant_id, restore_id, mailbox_id)
         select tenant_id, $2, id from mailboxes where tenant_id = $1 and ($3::uuid is null or id = $3) and status = 'active'",
        tenant_id,
        id.uuid(),
        wanted.extent.mailbox().map(MailboxId::uuid),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a mailbox is being restored, or the tenant's, or so many of its.
pub(super) async fn is_under_way(
    tx: &mut TenantTx,
    mailbox_id: Option<MailboxId>,
    limit: i64,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let is_under_way = sqlx::query_scalar!(
        r#"select exists (select from restore_mailboxes where tenant_id = $1 and ($2::uuid is null or mailbox_id = $2) and (total is null or done < total))
             or (select count(*) from restores where tenant_id = $1) >= $3 as "is!""#,
        tenant_id,
        mailbox_id.map(MailboxId::uuid),
        limit,
    );
    Ok(is_under_way.fetch_one(tx.conn()).await?)
}

/// Lets one rest until a moment that was taken in hand, as if it had not been; not what somebody else has taken since.
pub(super) async fn put_off(tx: &mut SystemTx, restore: &Restore, until: DateTime<Utc>) -> Result<(), Error> {
    let tenant_id = restore.tenant_id.uuid();
    sqlx::query!(
        "update restores set attempts = greatest(attempts - 1, 0), due_at = $3
         where tenant_id = $1 and id = $2 and attempts <= $4",
        tenant_id,
        restore.id.uuid(),
        until,
        restore.attempts,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes the first that is due in hand, until a moment.
pub(super) async fn claim(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Restore>, Error> {
    let row = sqlx::query!(
        "update restores set due_at = $2, attempts = attempts + 1
         from (select tenant_id, id from restores where due_at <= $1 order by due_at limit 1 for update skip locked) due
         where restores.tenant_id = due.tenant_id and restores.id = due.id
         returning restores.tenant_id, restores.id, at, place, folder_id, message_id, attempts",
        now,
        until,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Restore {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        id: OperationId::from_uuid(row.id),
        at: row.at,
        place: row.place.parse().unwrap_or(Place::InPlace),
        folder_id: row.folder_id.map(FolderId::from_uuid),
        message_id: row.message_id.map(MessageId::from_uuid),
        attempts: row.attempts,
    }))
}

/// How often one was taken in hand since something of it was done.
pub(super) async fn attempts(tx: &mut TenantTx, id: OperationId) -> Result<i32, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let attempts = sqlx::query_scalar!(
        "select attempts from restores where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(attempts.unwrap_or(0))
}

pub(super) async fn rest(tx: &mut TenantTx, id: OperationId, until: DateTime<Utc>) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update restores set due_at = $3 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        until
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those that are not finished, each with the number of its messages now, deleted ones too.
pub(super) async fn mailboxes(tx: &mut TenantTx, id: OperationId) -> Result<Vec<(MailboxId, u64)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select mailbox_id,
             (select count(*) from messages where messages.tenant_id = $1 and messages.mailbox_id = of.mailbox_id) as "count!"
           from restore_mailboxes of
           where tenant_id = $1 and restore_id = $2 and (total is null or done < total) order by 1"#,
        tenant_id,
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (MailboxId::from_uuid(row.mailbox_id), from_column(row.count))).collect())
}

/// How far a mailbox is.
pub(super) struct Progress {
    pub(super) into_folder: Option<FolderId>,
    /// Nothing of it was done.
    pub(super) is_new: bool,
    /// The last message that had its turn.
    pub(super) done_to: Option<MessageId>,
}

/// Locks how far a mailbox is; `None` when there is no more of it to do.
pub(super) async fn progress(
    tx: &mut TenantTx,
    id: OperationId,
    mailbox_id: MailboxId,
) -> Result<Option<Progress>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select into_folder_id, total is null as "is_new!", done_to from restore_mailboxes
           where tenant_id = $1 and restore_id = $2 and mailbox_id = $3 and (total is null or done < total) for update"#,
        tenant_id,
        id.uuid(),
        mailbox_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Progress {
        into_folder: row.into_folder_id.map(FolderId::from_uuid),
        is_new: row.is_new,
        done_to: row.done_to.map(MessageId::from_uuid),
    }))
}

pub(super) async fn set_total(
    tx: &mut TenantTx,
    id: OperationId,
    mailbox_id: MailboxId,
    total: i32,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update restore_mailboxes set total = $4 where tenant_id = $1 and restore_id = $2 and mailbox_id = $3",
        tenant_id,
        id.uuid(),
        mailbox_id.uuid(),
        total,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn set_root(
    tx: &mut TenantTx,
    id: OperationId,
    mailbox_id: MailboxId,
    root: Option<FolderId>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update restore_mailboxes set into_folder_id = $4 where tenant_id = $1 and restore_id = $2 and mailbox_id = $3",
        tenant_id,
        id.uuid(),
        mailbox_id.uuid(),
        root.map(FolderId::uuid),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that so many messages more have had their turn, and keeps the restore in hand.
pub(super) async fn advance(
    tx: &mut TenantTx,
    id: OperationId,
    mailbox_id: MailboxId,
    (by, done_to): (i32, MessageId),
    counts: &Counts,
    due_at: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update restore_mailboxes set done = done + $4, total = greatest(total, done + $4), done_to = $11, returned = returned + $5, moved = moved + $6, flagged = flagged + $7,
           copied = copied + $8, lost = lost + $9, over_quota = over_quota + $10
         where tenant_id = $1 and restore_id = $2 and mailbox_id = $3",
        tenant_id,
        id.uuid(),
        mailbox_id.uuid(),
        by,
        counts.returned,
        counts.moved,
        counts.flagged,
        counts.copied,
        counts.lost,
        counts.over_quota,
        done_to.uuid(),
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update restores set due_at = $3, attempts = 1 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        due_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A mailbox that is gone, or that something is wrong with, is not restored further.
pub(super) async fn give_up_mailbox(
    tx: &mut TenantTx,
    id: OperationId,
    mailbox_id: MailboxId,
    problem: Option<&str>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update restore_mailboxes set total = done, problem = $4 where tenant_id = $1 and restore_id = $2 and mailbox_id = $3",
        tenant_id,
        id.uuid(),
        mailbox_id.uuid(),
        problem,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What came of all of it, and why the first that was given up was.
pub(super) async fn counts(tx: &mut TenantTx, id: OperationId) -> Result<(Counts, Option<String>), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let counts = sqlx::query_as!(
        Counts,
        r#"select coalesce(sum(returned), 0)::integer as "returned!", coalesce(sum(moved), 0)::integer as "moved!",
             coalesce(sum(flagged), 0)::integer as "flagged!", coalesce(sum(copied), 0)::integer as "copied!",
             coalesce(sum(lost), 0)::integer as "lost!", coalesce(sum(over_quota), 0)::integer as "over_quota!"
           from restore_mailboxes where tenant_id = $1 and restore_id = $2"#,
        tenant_id,
        id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    let problem = sqlx::query_scalar!(
        r#"select problem as "problem!" from restore_mailboxes
           where tenant_id = $1 and restore_id = $2 and problem is not null order by mailbox_id limit 1"#,
        tenant_id,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok((counts, problem))
}

/// Takes a restore out of the queue; whether it was there.
pub(super) async fn delete(tx: &mut TenantTx, id: OperationId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!("delete from restores where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// A message as it is now.
pub(super) struct Present {
    pub(super) touched: Touched,
    pub(super) blob_id: Uuid,
    pub(super) state: State,
    flags: i16,
    keywords: Vec<String>,
}

impl Present {
    /// Whether it is marked as it was.
    pub(super) fn has_marks(&self, was: &PastMessage) -> bool {
        (self.flags, &self.keywords) == (was.flags, &was.keywords)
    }
}

/// Those of a locked mailbox's messages that there still are, deleted or not.
pub(super) async fn present(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    ids: &[MessageId],
) -> Result<BTreeMap<MessageId, Present>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, folder_id, uid, size_bytes, blob_id, state, flags, keywords from messages
         where tenant_id = $1 and mailbox_id = $2 and id = any ($3)",
        tenant_id,
        mailbox_id.uuid(),
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    let present = rows.into_iter().map(|row| {
        let touched = Touched {
            id: MessageId::from_uuid(row.id),
            folder: FolderId::from_uuid(row.folder_id),
            uid: from_column(row.uid),
            size_bytes: from_column(row.size_bytes),
            was_seen: Flag::from_column(row.flags).contains(&Flag::Seen),
        };
        let state = State::from_column(&row.state);
        let (blob_id, flags, keywords) = (row.blob_id, row.flags, row.keywords);
        (touched.id, Present { touched, blob_id, state, flags, keywords })
    });
    Ok(present.collect())
}

/// Puts messages of a locked mailbox where they are to be, live.
pub(super) async fn put(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    modseq: i64,
    puts: &[Put<'_>],
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update messages set state = 'live', discarded_at = null, folder_id = put.folder_id, uid = put.uid, modseq = $3,
           flags = put.flags, keywords = put.keywords
         from jsonb_to_recordset($4) as put (id uuid, folder_id uuid, uid bigint, flags smallint, keywords text[])
         where tenant_id = $1 and mailbox_id = $2 and messages.id = put.id",
        tenant_id,
        mailbox_id.uuid(),
        modseq,
        serde_json::json!(puts),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Copies messages of a locked mailbox, live or not.
pub(super) async fn copy(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    modseq: i64,
    puts: &[Put<'_>],
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        r#"insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes,
                                internal_date, flags, keywords)
           select $1, $2, put.id, put.folder_id, put.uid, put.uidl, $3, old.blob_id, old.size_bytes, old.wire_size_bytes,
                  old.internal_date, put.flags, put.keywords
           from jsonb_to_recordset($4) as put ("of" uuid, id uuid, folder_id uuid, uid bigint, uidl text, flags smallint, keywords text[])
           join messages old on old.tenant_id = $1 and old.mailbox_id = $2 and old.id = put."of""#,
        tenant_id,
        mailbox_id.uuid(),
        modseq,
        serde_json::json!(puts),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
