//! SQL of quotas.

use db::{Error, SystemRead};
use kernel::{MailboxId, TenantId};
use uuid::Uuid;

use super::{Bounds, Room};
use crate::{Ctx, IngestTx, OfTenants as _, TenantTx};

/// A mailbox after its bytes were moved.
pub(super) struct State {
    pub(super) modseq: i64,
    pub(super) used_bytes: i64,
    quota_bytes: Option<i64>,
    warn_bytes: Option<i64>,
    block_send_bytes: Option<i64>,
}

impl State {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            quota_bytes: self.quota_bytes,
            warn_bytes: self.warn_bytes,
            block_send_bytes: self.block_send_bytes,
        }
    }
}

/// A mailbox that is locked, as it was before anything was counted.
pub(super) struct Locked {
    pub(super) tenant_id: Uuid,
    pub(super) id: Uuid,
    pub(super) modseq: i64,
    pub(super) used_bytes: i64,
    /// Whether all that it is to get was counted.
    pub(super) is_counted: bool,
    quota_bytes: Option<i64>,
    warn_bytes: Option<i64>,
    block_send_bytes: Option<i64>,
}

impl Locked {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            quota_bytes: self.quota_bytes,
            warn_bytes: self.warn_bytes,
            block_send_bytes: self.block_send_bytes,
        }
    }
}

/// Locks the mailboxes that take messages and counts in each what it is to get, if all of that fits: one round trip where a lock and an update after it
/// would be two.
///
/// They are all locked before the first is updated, or each just before it is: in their order either way.
pub(super) async fn lock_many(tx: &mut IngestTx, wanted: &[Added]) -> Result<Vec<Locked>, Error> {
    let locked = sqlx::query_as!(
        Locked,
        // What is asked for is hidden from the planner, as in docs/decisions/lookups.md.
        r#"with wanted as materialized (
             select * from unnest((select $1::uuid[]), (select $2::uuid[]), (select $3::bigint[]), (select $4::bigint[]))
               as wanted (tenant_id, id, bytes, modseq)),
           held as materialized (
             select tenant_id, id, modseq, used_bytes, quota_bytes, warn_bytes, block_send_bytes from mailboxes
             where (tenant_id, id) in (select tenant_id, id from wanted) and status = 'active' order by id for no key update),
           decided as materialized (
             select held.*, wanted.bytes as added_bytes, wanted.modseq as added_modseq,
               held.quota_bytes is null or held.used_bytes <= held.quota_bytes - wanted.bytes as is_counted
             from held join wanted using (tenant_id, id)),
           counted as (
             update mailboxes set used_bytes = mailboxes.used_bytes + added_bytes, modseq = mailboxes.modseq + added_modseq
             from decided where is_counted and mailboxes.tenant_id = decided.tenant_id and mailboxes.id = decided.id)
           select tenant_id as "tenant_id!", id as "id!", modseq as "modseq!", used_bytes as "used_bytes!", quota_bytes, warn_bytes, block_send_bytes,
             is_counted as "is_counted!"
           from decided order by id"#,
        &wanted.iter().map(|wanted| wanted.tenant_id.uuid()).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.id.uuid()).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.bytes).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.modseq).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(locked)
}

/// What is to be added to a mailbox's counters, or taken off.
pub(super) struct Added {
    pub(super) tenant_id: TenantId,
    pub(super) id: MailboxId,
    pub(super) bytes: i64,
    pub(super) modseq: i64,
}

/// Adds to each; nothing to none.
pub(super) async fn add_many(tx: &mut IngestTx, added: &[Added]) -> Result<(), Error> {
    if added.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update mailboxes set used_bytes = used_bytes + added.bytes, modseq = mailboxes.modseq + added.modseq
         from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) as added (tenant_id, id, bytes, modseq)
         where mailboxes.tenant_id = added.tenant_id and mailboxes.id = added.id",
        &added.iter().map(|added| added.tenant_id.uuid()).collect::<Vec<_>>(),
        &added.iter().map(|added| added.id.uuid()).collect::<Vec<_>>(),
        &added.iter().map(|added| added.bytes).collect::<Vec<_>>(),
        &added.iter().map(|added| added.modseq).collect::<Vec<_>>()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn charge(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    bytes: i64,
) -> Result<Option<State>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let state = sqlx::query_as!(
        State,
        "update mailboxes set used_bytes = used_bytes + $3, modseq = modseq + 1
         where tenant_id = $1 and id = $2 and status = 'active'
           and (quota_bytes is null or used_bytes <= quota_bytes - $3)
         returning modseq, used_bytes, quota_bytes, warn_bytes, block_send_bytes",
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(state)
}

pub(super) async fn exists(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let exists = sqlx::query_scalar!(
        r#"select exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active') as "exists!""#,
        tenant_id,
        mailbox_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(exists)
}

/// Whether each mailbox is there and has room. By way of subqueries, the arrays are the same to the planner whatever is in them: it would plan anew for each
/// delivery otherwise, which takes ten times as long as the statement.
pub(super) async fn have_room(
    read: &mut SystemRead,
    wanted: &[(&Ctx, MailboxId, u64)],
) -> Result<Vec<Option<Room>>, Error> {
    let rows = sqlx::query!(
        r#"select case when m.id is not null then
             (m.quota_bytes is null or m.used_bytes <= m.quota_bytes - wanted.bytes)
             and (t.storage_limit_bytes is null or t.used_bytes <= t.storage_limit_bytes - wanted.bytes)
             and not exists (select from resellers r where r.id = any (t.reseller_path) and r.used_bytes > r.storage_limit_bytes - wanted.bytes)
           end as fits, t.storage_dedicated as "storage_dedicated?"
           from unnest((select $1::uuid[]), (select $2::uuid[]), (select $3::bigint[])) with ordinality as wanted (tenant_id, mailbox_id, bytes, place)
           left join mailboxes m on m.tenant_id = wanted.tenant_id and m.id = wanted.mailbox_id and m.status = 'active'
           left join tenants t on t.id = m.tenant_id
           order by wanted.place"#,
        &wanted.iter().map(|(ctx, ..)| ctx.tenant_id().uuid()).collect::<Vec<_>>(),
        &wanted.iter().map(|(_, mailbox, _)| mailbox.uuid()).collect::<Vec<_>>(),
        &wanted.iter().map(|(.., bytes)| super::signed(*bytes)).collect::<Vec<_>>()
    )
    .fetch_all(read.conn())
    .await?;
    let rooms =
        rows.into_iter().map(|row| Some(Room { fits: row.fits?, storage_dedicated: row.storage_dedicated? }));
    Ok(rooms.collect())
}

pub(super) async fn discard(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    bytes: i64,
) -> Result<Option<State>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let state = sqlx::query_as!(
        State,
        "update mailboxes set used_bytes = used_bytes - $3, recoverable_bytes = recoverable_bytes + $3, modseq = modseq + 1
         where tenant_id = $1 and id = $2 returning modseq, used_bytes, quota_bytes, warn_bytes, block_send_bytes",
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(state)
}

pub(super) async fn forget(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: i64) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update mailboxes set recoverable_bytes = recoverable_bytes - $3 where tenant_id = $1 and id = $2",
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
