//! SQL of destruction.

use chrono::TimeDelta;
use db::{Error, SystemTx};
use kernel::{DestructionRecordId, MailboxId, TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Record;
use crate::TenantTx;
use crate::event::Kind;

pub(super) async fn due_mailboxes(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    after: TimeDelta,
    last: Option<(TenantId, MailboxId)>,
) -> Result<Vec<(TenantId, MailboxId)>, Error> {
    let (tenant_id, id) = last.map_or((Uuid::nil(), Uuid::nil()), |(tenant, id)| (tenant.uuid(), id.uuid()));
    let rows = sqlx::query!(
        "select m.tenant_id, m.id from mailboxes m
         join tenants t on t.id = m.tenant_id and t.status <> 'deleted'
         left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
         where m.status = 'deleted' and not is_on_hold(m.tenant_id, m.id)
           and coalesce(m.deleted_at, u.deleted_at) < coalesce(t.test_clock, $1::timestamptz) - make_interval(secs => $2::integer)
           and (m.tenant_id, m.id) > ($3::uuid, $4::uuid)
         order by m.tenant_id, m.id limit 1000",
        now,
        seconds(after),
        tenant_id,
        id
    )
    .fetch_all(tx.conn())
    .await?;
    let place = |tenant, id| (TenantId::from_uuid(tenant), MailboxId::from_uuid(id));
    Ok(rows.into_iter().map(|row| place(row.tenant_id, row.id)).collect())
}

pub(super) async fn due_tenants(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    after: TimeDelta,
    last: Option<TenantId>,
) -> Result<Vec<TenantId>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from tenants where status = 'deleted' and purged_at is null
           and deleted_at < coalesce(test_clock, $1::timestamptz) - make_interval(secs => $2::integer)
           and id > $3::uuid
         order by id limit 100",
        now,
        seconds(after),
        last.map_or(Uuid::nil(), TenantId::uuid)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

fn seconds(of: TimeDelta) -> i32 {
    i32::try_from(of.num_seconds()).unwrap_or(i32::MAX)
}

/// Removes a deleted mailbox and all that leads to it; whose own it was. `None` when there is none that is deleted.
pub(super) async fn remove_mailbox(tx: &mut TenantTx, id: MailboxId) -> Result<Option<Option<Uuid>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_scalar!(
        "select user_id from mailboxes where tenant_id = $1 and id = $2 and status = 'deleted' for update",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(user_id) = found else { return Ok(None) };
    sqlx::query!(
        "with catch_alls as (update domains set catch_all_mailbox_id = null where tenant_id = $1 and catch_all_mailbox_id = $2),
           members as (delete from group_members where tenant_id = $1 and mailbox_id = $2),
           delegates as (delete from mailbox_delegates where tenant_id = $1 and mailbox_id = $2),
           accesses as (delete from support_accesses where tenant_id = $1 and mailbox_id = $2)
         delete from addresses where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("delete from mailboxes where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(Some(user_id))
}

/// Removes a user who has no mailbox, with all that leads to them.
pub(crate) async fn remove_user(tx: &mut TenantTx, id: UserId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "with passwords as (delete from app_passwords where tenant_id = $1 and user_id = $2),
           delegates as (delete from mailbox_delegates where tenant_id = $1 and user_id = $2)
         delete from refresh_tokens where tenant_id = $1 and user_id = $2",
        tenant_id,
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("delete from users where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What is known of a tenant that is to be destroyed.
pub(super) struct Left {
    pub(super) name: String,
    pub(super) reseller_path: Vec<Uuid>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) test_clock: Option<DateTime<Utc>>,
}

/// `None` when somebody else has destroyed it.
pub(super) async fn lock_deleted(tx: &mut SystemTx, id: TenantId) -> Result<Option<Left>, Error> {
    let left = sqlx::query_as!(
        Left,
        "select name, reseller_path, deleted_at, test_clock from tenants
         where id = $1 and status = 'deleted' and purged_at is null for update",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(left)
}

/// How far a tenant is billed.
pub(super) struct Billed {
    pub(super) tenant_id: Uuid,
    /// Whether nothing is left to be billed of it, be it of a standing that billing has not heard of yet, but by an account that has been parked
    /// since before, and none of its documents that count is a draft.
    pub(super) is_settled: bool,
    /// Whether something is left by an account that was parked since.
    pub(super) is_just_parked: bool,
}

/// One for each of the tenants.
pub(super) async fn billed(
    tx: &mut SystemTx,
    ids: &[TenantId],
    parked_before: DateTime<Utc>,
) -> Result<Vec<Billed>, Error> {
    let billed = sqlx::query_as!(
        Billed,
        r#"with owing as (select s.tenant_id, s.parked_at from subscriptions s
             where s.tenant_id = any ($1) and (s.next_invoice_on is not null
               or exists (select from tenant_standings st where st.tenant_id = s.tenant_id and st.ordinal > s.standings_known)))
           select t.id as "tenant_id!",
             not exists (select from owing where owing.tenant_id = t.id and (parked_at is null or parked_at >= $2))
               and not exists (select from invoices i where i.tenant_id = t.id and i.status = 'draft'
                 and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)) as "is_settled!",
             exists (select from owing where owing.tenant_id = t.id and parked_at >= $2) as "is_just_parked!"
           from unnest($1::uuid[]) as t (id)"#,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        parked_before
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(billed)
}

/// When a tenant's test clock was last moved, in real time.
pub(super) async fn clock_moved_at(tx: &mut SystemTx, id: TenantId) -> Result<Option<DateTime<Utc>>, Error> {
    let moved_at = sqlx::query_scalar!(
        "select max(at) from events where trail = $1 and kind = $2",
        id.uuid(),
        Kind::TenantTestClockSet.as_str()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(moved_at)
}

/// Notes what there is to destroy, unless that was noted; what was.
pub(super) async fn begin(
    tx: &mut SystemTx,
    id: TenantId,
    counted: &serde_json::Value,
) -> Result<serde_json::Value, Error> {
    let noted = sqlx::query_scalar!(
        r#"with begun as (update tenants set destroying = $2 where id = $1 and destroying is null returning destroying)
           select coalesce((select destroying from begun), (select destroying from tenants where id = $1)) as "noted!""#,
        id.uuid(),
        counted
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(noted)
}

/// Removes all of the control plane's rows but the tenant's own, the trail and what billing needs; how many of what.
pub(super) async fn remove_all(tx: &mut SystemTx, id: TenantId) -> Result<[(&'static str, i64); 4], Error> {
    let id = id.uuid();
    let counts = sqlx::query!(
        r#"select (select count(*) from users where tenant_id = $1) as "users!",
             (select count(*) from mailboxes where tenant_id = $1) as "mailboxes!",
             (select count(*) from groups where tenant_id = $1) as "groups!",
             (select count(*) from domains where tenant_id = $1) as "domains!""#,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    // Whoever notes what an attempt came to locks the endpoint before its delivery.
    sqlx::query!("select from webhook_endpoints where tenant_id = $1 order by id for update", id)
        .execute(tx.conn())
        .await?;
    sqlx::query!(
        "with members as (delete from group_members where tenant_id = $1),
           delegates as (delete from mailbox_delegates where tenant_id = $1),
           accesses as (delete from support_accesses where tenant_id = $1),
           passwords as (delete from app_passwords where tenant_id = $1),
           works as (delete from operations where tenant_id = $1),
           holds as (delete from holds where tenant_id = $1),
           profiles as (delete from customer_profiles where tenant_id = $1),
           methods as (delete from payment_methods where tenant_id = $1),
           tokens as (delete from refresh_tokens where tenant_id = $1),
           keys as (delete from api_keys where tenant_id = $1),
           deliveries as (delete from webhook_deliveries
             where tenant_id = $1 or endpoint_id = any (array(select id from webhook_endpoints where tenant_id = $1)))
         delete from addresses where tenant_id = $1",
        id
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "with endpoints as (delete from webhook_endpoints where tenant_id = $1),
           lists as (delete from groups where tenant_id = $1)
         delete from domains where tenant_id = $1",
        id
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("delete from mailboxes where tenant_id = $1", id).execute(tx.conn()).await?;
    sqlx::query!("delete from users where tenant_id = $1", id).execute(tx.conn()).await?;
    Ok([
        ("users", counts.users),
        ("mailboxes", counts.mailboxes),
        ("groups", counts.groups),
        ("domains", counts.domains),
    ])
}

pub(super) async fn set_purged(tx: &mut SystemTx, id: TenantId, now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "update tenants set purged_at = $2, version = version + 1, seats_used = 0, domains_used = 0, shared_mailboxes_used = 0, used_bytes = 0, branding = '{}',
           destroying = null
         where id = $1",
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn insert_record(
    tx: &mut SystemTx,
    tenant: TenantId,
    id: DestructionRecordId,
    jws: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into destruction_records (tenant_id, id, jws, created_at) values ($1, $2, $3, $4)",
        tenant.uuid(),
        id.uuid(),
        jws,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn record(tx: &mut TenantTx) -> Result<Option<Record>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "select id, jws, created_at from destruction_records where tenant_id = $1 order by id limit 1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Record {
        id: DestructionRecordId::from_uuid(row.id),
        jws: row.jws,
        created_at: row.created_at,
    }))
}
