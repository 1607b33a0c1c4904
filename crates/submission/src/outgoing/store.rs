//! SQL of messages on their way out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{BlobId, MailboxId, OutgoingId, PageRequest, ResellerId, TenantId, UserId};
use mailstore::parcel::Parcel;
use sqlx::PgConnection;
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Filter, NewMessage, NewRecipient, Notify, Outgoing, Recipient, Reply, Returned, State, state};

/// What decides whether a mailbox may send more.
pub(crate) struct Sending {
    /// Whether it is too full to send; so is one that is not in use.
    pub(crate) is_full: bool,
    /// What of its messages the queue keeps.
    pub(crate) kept_messages: i64,
    pub(crate) kept_bytes: i64,
}

pub(crate) async fn sending(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Sending, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select coalesce(used_bytes >= block_send_bytes, false) as "is_full!", kept.messages as "messages!", kept.bytes as "bytes!"
           from mailboxes cross join (
             select count(*) as messages, coalesce(sum(size_bytes), 0)::bigint as bytes from outgoing_messages
             where tenant_id = $1 and mailbox_id = $2 and blob_id is not null) as kept
           where tenant_id = $1 and id = $2 and status = 'active'"#,
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or(Sending { is_full: true, kept_messages: 0, kept_bytes: 0 }, |row| Sending {
        is_full: row.is_full,
        kept_messages: row.messages,
        kept_bytes: row.bytes,
    }))
}

/// Queues a message whose body has been entered.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewMessage, body: &Parcel) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into outgoing_messages (tenant_id, id, mailbox_id, user_id, sender, message_id, blob_id, size_bytes, is_8bit, is_utf8, envelope_id,
                                        returned, request_id, created_at, give_up_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        tenant_id,
        new.id.uuid(),
        new.mailbox_id.uuid(),
        new.user_id.map(UserId::uuid),
        new.sender,
        new.message_id,
        body.id().uuid(),
        i64::try_from(body.size_bytes()).unwrap_or(i64::MAX),
        new.is_8bit,
        new.is_utf8,
        new.envelope_id,
        new.returned.map(Returned::as_str),
        new.request_id.uuid(),
        new.created_at,
        new.give_up_at,
    )
    .execute(tx.conn())
    .await?;
    let words = |notify: &Vec<Notify>| notify.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(",");
    let of = |column: fn(&NewRecipient) -> String| new.recipients.iter().map(column).collect::<Vec<_>>();
    sqlx::query!(
        "insert into outgoing_recipients (tenant_id, outgoing_id, ordinal, address, destination, notify, original, next_attempt_at)
         select $1, $2, ordinal - 1, address, destination, string_to_array(notify, ','), original, $3
         from unnest($4::text[], $5::text[], $6::text[], $7::text[]) with ordinality
           as recipient (address, destination, notify, original, ordinal)",
        tenant_id,
        new.id.uuid(),
        new.created_at,
        &of(|one| one.address.clone()),
        &of(|one| one.destination.clone()),
        &new.recipients.iter().map(|one| one.notify.as_ref().map(words)).collect::<Vec<_>>() as &[Option<String>],
        &new.recipients.iter().map(|one| one.original.clone()).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

struct Row {
    tenant_id: Uuid,
    id: Uuid,
    mailbox_id: Uuid,
    user_id: Option<Uuid>,
    sender: String,
    message_id: String,
    size_bytes: i64,
    held_at: Option<DateTime<Utc>>,
    hold_reason: Option<String>,
    created_at: DateTime<Utc>,
    give_up_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    version: i64,
}

impl Row {
    fn with(self, recipients: Vec<Recipient>) -> Outgoing {
        Outgoing {
            tenant_id: TenantId::from_uuid(self.tenant_id),
            id: OutgoingId::from_uuid(self.id),
            mailbox_id: MailboxId::from_uuid(self.mailbox_id),
            user_id: self.user_id.map(UserId::from_uuid),
            sender: self.sender,
            message_id: self.message_id,
            size_bytes: u64::try_from(self.size_bytes).unwrap_or(0),
            held_at: self.held_at,
            hold_reason: self.hold_reason,
            created_at: self.created_at,
            give_up_at: self.give_up_at,
            closed_at: self.closed_at,
            version: self.version,
            recipients,
        }
    }
}

/// A page of the messages that a clause and a filter leave.
///
/// What is still to be sent is little beside what is kept of what has left, and has indexes of its own. A plan that is made once for all filters
/// finds those by the statement's words alone, so there are two statements.
macro_rules! page {
    ($conn:expr, $of:literal, $owner:expr, $filter:expr, $page:expr, $now:expr) => {
        match $filter.state.is_some_and(State::is_open) {
            true => page!(@of "and m.closed_at is null", $conn, $of, $owner, $filter, $page, $now),
            false => page!(@of "", $conn, $of, $owner, $filter, $page, $now),
        }
    };
    (@of $which:literal, $conn:expr, $of:literal, $owner:expr, $filter:expr, $page:expr, $now:expr) => {
        sqlx::query_as!(
            Row,
            "select m.tenant_id, m.id, m.mailbox_id, m.user_id, m.sender, m.message_id, m.size_bytes, m.held_at, m.hold_reason, m.created_at,
               m.give_up_at, m.closed_at, m.version
             from outgoing_messages m " + $of + " and m.id > $2 and ($3::uuid is null or m.mailbox_id = $3) " + $which + "
               and ($4::text is null and $5::text is null or exists (
                 select from outgoing_recipients r where r.tenant_id = m.tenant_id and r.outgoing_id = m.id
                   and ($5::text is null or r.destination = $5)
                   and ($4::text is null or $4 = case when r.state <> 'queued' then r.state when r.leased_until > $6 then 'delivering'
                     when m.held_at is not null then 'held' else 'queued' end)))
             order by m.id limit $7",
            $owner,
            $page.after(),
            $filter.mailbox_id.map(MailboxId::uuid),
            $filter.state.map(State::as_str),
            $filter.domain,
            $now,
            $page.fetch(),
        )
        .fetch_all($conn)
        .await?
    };
}

pub(super) async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    page: &PageRequest,
    now: DateTime<Utc>,
) -> Result<Vec<Outgoing>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = page!(tx.conn(), "where m.tenant_id = $1", tenant_id, filter, page, now);
    with_recipients(tx.conn(), rows, now).await
}

/// As [`list`], of all tenants, or of those of a reseller and of those below it. Those of a deleted tenant are not sent.
pub(super) async fn list_all(
    tx: &mut SystemTx,
    reseller: Option<ResellerId>,
    filter: &Filter,
    page: &PageRequest,
    now: DateTime<Utc>,
) -> Result<Vec<Outgoing>, Error> {
    let reseller = reseller.map(ResellerId::uuid);
    let rows = page!(
        tx.conn(),
        "join tenants t on t.id = m.tenant_id and t.status <> 'deleted' where ($1::uuid is null or $1 = any (t.reseller_path))",
        reseller,
        filter,
        page,
        now
    );
    with_recipients(tx.conn(), rows, now).await
}

async fn with_recipients(
    conn: &mut PgConnection,
    rows: Vec<Row>,
    now: DateTime<Utc>,
) -> Result<Vec<Outgoing>, Error> {
    let mut recipients = recipients(conn, &rows, now).await?;
    let with = |row: Row| {
        let own = recipients.remove(&row.id).unwrap_or_default();
        row.with(own)
    };
    Ok(rows.into_iter().map(with).collect())
}

pub(super) async fn find(
    tx: &mut TenantTx,
    id: OutgoingId,
    now: DateTime<Utc>,
) -> Result<Option<Outgoing>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select tenant_id, id, mailbox_id, user_id, sender, message_id, size_bytes, held_at, hold_reason, created_at, give_up_at, closed_at, version
         from outgoing_messages where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(with_recipients(tx.conn(), row.into_iter().collect(), now).await?.pop())
}

async fn recipients(
    conn: &mut PgConnection,
    messages: &[Row],
    now: DateTime<Utc>,
) -> Result<BTreeMap<Uuid, Vec<Recipient>>, Error> {
    let held: BTreeMap<Uuid, bool> = messages.iter().map(|row| (row.id, row.held_at.is_some())).collect();
    let rows = sqlx::query!(
        r#"select outgoing_id, ordinal, address, destination, state, attempts, next_attempt_at, coalesce(leased_until > $3, false) as "is_leased!",
             attempted_at, reply_code, reply_status, reply_text, remote
           from outgoing_recipients where (tenant_id, outgoing_id) in (select * from unnest($1::uuid[], $2::uuid[])) order by outgoing_id, ordinal"#,
        &messages.iter().map(|row| row.tenant_id).collect::<Vec<_>>(),
        &messages.iter().map(|row| row.id).collect::<Vec<_>>(),
        now,
    )
    .fetch_all(conn)
    .await?;
    let mut by_message: BTreeMap<Uuid, Vec<Recipient>> = BTreeMap::new();
    for row in rows {
        let is_held = held.get(&row.outgoing_id).copied().unwrap_or_default();
        let reply = row.reply_code.zip(row.reply_text).map(|(code, text)| Reply {
            code: u16::try_from(code).unwrap_or_default(),
            status: row.reply_status,
            text,
        });
        by_message.entry(row.outgoing_id).or_default().push(Recipient {
            ordinal: row.ordinal,
            address: row.address,
            domain: Some(row.destination).filter(|domain| !domain.is_empty()),
            state: state(&row.state, row.is_leased, is_held),
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            attempted_at: row.attempted_at,
            reply,
            remote: row.remote,
        });
    }
    Ok(by_message)
}

/// Locks a message, so that what becomes of its recipients is noted by one at a time.
pub(crate) async fn lock(tx: &mut TenantTx, id: OutgoingId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query_scalar!(
        "select id from outgoing_messages where tenant_id = $1 and id = $2 for no key update",
        tenant_id,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn set_hold(
    tx: &mut TenantTx,
    id: OutgoingId,
    hold: Option<(DateTime<Utc>, &str)>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update outgoing_messages set held_at = $3, hold_reason = $4 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        hold.map(|(at, _)| at),
        hold.map(|(_, reason)| reason),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn count_change(tx: &mut TenantTx, id: OutgoingId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update outgoing_messages set version = version + 1 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has what waits be due now, and also what failed if that is meant, but for what is under way; false without a body to send.
pub(super) async fn make_due(
    tx: &mut TenantTx,
    id: OutgoingId,
    now: DateTime<Utc>,
    give_up_at: DateTime<Utc>,
    also_failed: bool,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update outgoing_messages set give_up_at = $3, closed_at = null where tenant_id = $1 and id = $2 and blob_id is not null",
        tenant_id,
        id.uuid(),
        give_up_at,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "update outgoing_recipients set state = 'queued', attempts = case state when 'failed' then 0 else attempts end, next_attempt_at = $3
         where tenant_id = $1 and outgoing_id = $2 and (state = 'queued' or $4 and state = 'failed') and (leased_until is null or leased_until <= $3)",
        tenant_id,
        id.uuid(),
        now,
        also_failed,
    )
    .execute(tx.conn())
    .await?;
    Ok(true)
}

/// Drops what is not under way; how many were.
pub(super) async fn drop_queued(tx: &mut TenantTx, id: OutgoingId, now: DateTime<Utc>) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update outgoing_recipients set state = 'dropped', next_attempt_at = null, leased_until = null, lease_id = null
         where tenant_id = $1 and outgoing_id = $2 and state in ('queued', 'failed') and (leased_until is null or leased_until <= $3)",
        tenant_id,
        id.uuid(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// What is left of a message that is closed.
pub(super) struct Left {
    pub(super) has_failed: bool,
    pub(super) blob_id: Option<BlobId>,
}

/// Notes that nobody is left to be sent it; `None` if somebody is.
pub(super) async fn close(
    tx: &mut TenantTx,
    id: OutgoingId,
    now: DateTime<Utc>,
) -> Result<Option<Left>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"update outgoing_messages m set closed_at = coalesce(closed_at, $3) where tenant_id = $1 and id = $2
             and not exists (select from outgoing_recipients r where r.tenant_id = $1 and r.outgoing_id = $2 and r.state = 'queued')
           returning blob_id,
             exists (select from outgoing_recipients r where r.tenant_id = $1 and r.outgoing_id = $2 and r.state = 'failed') as "has_failed!""#,
        tenant_id,
        id.uuid(),
        now,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Left { has_failed: row.has_failed, blob_id: row.blob_id.map(BlobId::from_uuid) }))
}

pub(crate) async fn forget_body(tx: &mut TenantTx, id: OutgoingId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update outgoing_messages set blob_id = null where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
