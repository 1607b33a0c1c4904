//! SQL of the queue.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{BlobId, MailboxId, OutgoingId, TenantId};
use relay::Reply;
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Claim, Claimed, Message, Note, Way};
use crate::outgoing::{Notify, Returned};

/// What is claimed.
pub(super) struct Ask {
    pub(super) now: DateTime<Utc>,
    pub(super) lease: Uuid,
    pub(super) leased_until: DateTime<Utc>,
    /// When what may not be sent is looked at again.
    pub(super) again_at: DateTime<Utc>,
    pub(super) limit: i64,
    pub(super) way: Way,
    pub(super) per_destination: i64,
}

/// How many recipients of one destination are looked at.
const WINDOW: i64 = 500;

/// Leases what is due: of the destinations that have waited longest the messages that have, as long as few to one are under way.
pub(super) async fn claim(tx: &mut SystemTx, ask: Ask) -> Result<Vec<Claim>, Error> {
    // One at a time, so that two do not each find a destination half empty; who waits for one that hangs tries again.
    db::wait_half_a_minute(tx.conn()).await?;
    sqlx::query!("select pg_advisory_xact_lock(hashtext('outgoing_claim'))").execute(tx.conn()).await?;
    let rows = sqlx::query!(
        r#"with recursive heads (destination, next_attempt_at) as (
             (select destination, next_attempt_at from outgoing_recipients where state = 'queued' and (destination = '') = $5
              order by destination, next_attempt_at limit 1)
             union all
             select next.destination, next.next_attempt_at from heads h
             cross join lateral (
               select r.destination, r.next_attempt_at from outgoing_recipients r where r.state = 'queued' and r.destination > h.destination
               order by r.destination, r.next_attempt_at limit 1) next
             where not $5),
           destinations as (select destination from heads where next_attempt_at <= $1 order by next_attempt_at limit 4 * $3::bigint),
           due as (
             select first.* from destinations d
             cross join lateral (
               select r.tenant_id, r.outgoing_id, r.ordinal, r.destination, r.next_attempt_at from outgoing_recipients r
               where r.destination = d.destination and r.state = 'queued' and r.next_attempt_at <= $1
               order by r.next_attempt_at limit $7) first),
           seen as (
             select due.*, m.held_at is null and m.blob_id is not null and t.status <> 'deleted' and not ('send' = any (t.suspended_capabilities))
               and (m.user_id is null or u.status <> 'deleted' and not ('send' = any (u.suspended_capabilities))) is true as may_go
             from due
             join outgoing_messages m on m.tenant_id = due.tenant_id and m.id = due.outgoing_id
             join tenants t on t.id = due.tenant_id
             left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id),
           put_off as (
             update outgoing_recipients r set next_attempt_at = $8 from seen
             where not seen.may_go and r.tenant_id = seen.tenant_id and r.outgoing_id = seen.outgoing_id and r.ordinal = seen.ordinal
               and r.state = 'queued' and r.next_attempt_at <= $1),
           ranked as (
             select tenant_id, outgoing_id, destination, min(next_attempt_at) as due_at,
               row_number() over (partition by destination order by min(next_attempt_at)) as place
             from seen where may_go group by 1, 2, 3),
           ready as (
             select ranked.*, row_number() over (partition by tenant_id order by due_at) as turn from ranked
             where place <= $4::bigint - (
               select count(distinct l.outgoing_id) from outgoing_recipients l where l.destination = ranked.destination and l.leased_until > $1)
             order by turn, due_at limit $3),
           locked as (
             select r.tenant_id, r.outgoing_id, r.ordinal from ready
             join outgoing_recipients r using (tenant_id, outgoing_id, destination)
             join outgoing_messages m on m.tenant_id = r.tenant_id and m.id = r.outgoing_id
             where r.state = 'queued' and r.next_attempt_at <= $1 and m.held_at is null
             -- Who holds it back at this moment has it so.
             for share of m skip locked for update of r skip locked)
           update outgoing_recipients r set leased_until = $2, next_attempt_at = $2, lease_id = $6, attempts = r.attempts + 1
           from locked, outgoing_messages m
           where r.tenant_id = locked.tenant_id and r.outgoing_id = locked.outgoing_id and r.ordinal = locked.ordinal
             and m.tenant_id = r.tenant_id and m.id = r.outgoing_id
           returning r.tenant_id, r.outgoing_id, r.ordinal, r.address, r.destination, r.notify, r.original, r.attempts,
             r.delay_told_at is not null as "is_delay_told!", m.mailbox_id, m.sender, m.blob_id as "blob_id!", m.size_bytes, m.is_8bit, m.is_utf8,
             m.envelope_id, m.returned, m.created_at, m.give_up_at"#,
        ask.now,
        ask.leased_until,
        ask.limit,
        ask.per_destination,
        ask.way == Way::Home,
        ask.lease,
        WINDOW,
        ask.again_at,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut claims: BTreeMap<(Uuid, Uuid, String), Claim> = BTreeMap::new();
    for row in rows {
        let key = (row.tenant_id, row.outgoing_id, row.destination);
        let message = Message {
            mailbox_id: MailboxId::from_uuid(row.mailbox_id),
            sender: row.sender,
            blob_id: BlobId::from_uuid(row.blob_id),
            size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
            is_8bit: row.is_8bit,
            is_utf8: row.is_utf8,
            envelope_id: row.envelope_id,
            returned: row.returned.and_then(|word| word.parse::<Returned>().ok()),
            created_at: row.created_at,
            give_up_at: row.give_up_at,
        };
        let words =
            |words: Vec<String>| words.iter().filter_map(|word| word.parse::<Notify>().ok()).collect();
        let one = Claimed {
            address: row.address,
            ordinal: row.ordinal,
            notify: row.notify.map(words),
            original: row.original,
            attempts: row.attempts,
            is_delay_told: row.is_delay_told,
        };
        let (tenant, id, destination) = key.clone();
        let claim = claims.entry(key).or_insert_with(|| Claim {
            tenant_id: TenantId::from_uuid(tenant),
            id: OutgoingId::from_uuid(id),
            destination,
            recipients: Vec::new(),
            lease: ask.lease,
            leased_until: ask.leased_until,
            message,
        });
        claim.recipients.push(one);
    }
    let mut claims: Vec<Claim> = claims.into_values().collect();
    claims.iter_mut().for_each(|claim| claim.recipients.sort_by_key(|one| one.ordinal));
    Ok(claims)
}

/// Notes what came of recipients that the lease is still for; of how many.
pub(super) async fn settle(
    tx: &mut TenantTx,
    claim: &Claim,
    notes: &[Note],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let of = |said: fn(&Reply) -> Option<String>| {
        notes.iter().map(|note| note.reply.as_ref().and_then(said)).collect::<Vec<_>>()
    };
    let codes: Vec<_> =
        notes.iter().map(|note| note.reply.as_ref().map(|reply| i32::from(reply.code))).collect();
    let done = sqlx::query!(
        "update outgoing_recipients r set state = note.state, next_attempt_at = note.next_attempt_at, leased_until = null, lease_id = null,
           attempts = r.attempts - case when note.is_tried then 0 else 1 end,
           attempted_at = case when note.is_tried then $5 else r.attempted_at end,
           reply_code = coalesce(note.code, r.reply_code), reply_status = case when note.code is null then r.reply_status else note.status end,
           reply_text = coalesce(note.text, r.reply_text), remote = case when note.code is null then r.remote else note.remote end,
           delay_told_at = case when note.tells_delay then $5 else r.delay_told_at end
         from unnest($4::integer[], $6::text[], $7::timestamptz[], $8::boolean[], $9::boolean[], $10::integer[], $11::text[], $12::text[], $13::text[])
           as note (ordinal, state, next_attempt_at, is_tried, tells_delay, code, status, text, remote)
         where r.tenant_id = $1 and r.outgoing_id = $2 and r.lease_id = $3 and r.state = 'queued' and r.ordinal = note.ordinal",
        tenant_id,
        claim.id.uuid(),
        claim.lease,
        &notes.iter().map(|note| note.ordinal).collect::<Vec<_>>(),
        now,
        &notes.iter().map(|note| note.state.to_owned()).collect::<Vec<_>>(),
        &notes.iter().map(|note| note.next_attempt_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &notes.iter().map(|note| note.is_tried).collect::<Vec<_>>(),
        &notes.iter().map(|note| note.tells_delay).collect::<Vec<_>>(),
        &codes as &[Option<i32>],
        &of(|reply| reply.status.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"))) as &[Option<String>],
        &of(|reply| Some(reply.text.clone())) as &[Option<String>],
        &of(|reply| reply.remote().map(str::to_owned)) as &[Option<String>],
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn depth(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<(i64, f64), Error> {
    let row = sqlx::query!(
        r#"select count(*) as "waiting!",
             coalesce(extract(epoch from $1 - min(r.next_attempt_at) filter (where r.leased_until is null and m.held_at is null))::float8, 0) as "oldest!"
           from outgoing_recipients r join outgoing_messages m on m.tenant_id = r.tenant_id and m.id = r.outgoing_id where r.state = 'queued'"#,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.waiting, row.oldest.max(0.0)))
}
