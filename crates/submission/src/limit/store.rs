//! SQL of sending limits.

use chrono::{DateTime, Utc};
use db::{Db, Error, SystemTx};
use kernel::{MailboxId, ResellerId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::window::Window;
use super::{Bounds, Counted, Limit, LimitLevel};

/// A limit and what was counted, as rows have it.
#[derive(Default)]
pub(super) struct Row {
    per_hour: Option<i32>,
    per_day: Option<i32>,
    updated_at: Option<DateTime<Utc>>,
    pub(super) version: i64,
    counted_at: Option<DateTime<Utc>>,
    slots: Option<Vec<i32>>,
}

impl Row {
    pub(super) fn shown(self, level: LimitLevel, now: DateTime<Utc>) -> Limit {
        let bounds = Bounds { per_hour: self.per_hour, per_day: self.per_day };
        let window = window(self.counted_at, self.slots, now);
        Limit {
            bounds: bounds.or(level.default()),
            last_hour: window.last_hour(),
            last_day: window.last_day(),
            updated_at: self.updated_at,
            version: self.version,
        }
    }
}

fn window(at: Option<DateTime<Utc>>, slots: Option<Vec<i32>>, now: DateTime<Utc>) -> Window {
    Window { at: at.unwrap_or(now), slots: slots.unwrap_or_default() }.at(now)
}

/// `None` when there is no such mailbox.
pub(super) async fn of_mailbox(tx: &mut TenantTx, id: MailboxId) -> Result<Option<Row>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select l.per_hour as "per_hour?", l.per_day as "per_day?", l.updated_at as "updated_at?", coalesce(l.version, 0) as "version!",
                  s.counted_at as "counted_at?", s.slots as "slots?"
           from mailboxes m left join mailbox_sending_limits l on l.tenant_id = m.tenant_id and l.mailbox_id = m.id
           left join mailbox_sending s on s.tenant_id = m.tenant_id and s.mailbox_id = m.id
           where m.tenant_id = $1 and m.id = $2 and m.status <> 'deleted'"#,
        tenant_id,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row)
}

pub(super) async fn of_tenant(tx: &mut TenantTx) -> Result<Row, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select l.per_hour as "per_hour?", l.per_day as "per_day?", l.updated_at as "updated_at?", coalesce(l.version, 0) as "version!",
                  s.counted_at as "counted_at?", s.slots as "slots?"
           from tenants t left join tenant_sending_limits l on l.tenant_id = t.id left join tenant_sending s on s.tenant_id = t.id
           where t.id = $1"#,
        tenant_id,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(row)
}

pub(super) async fn of_reseller(tx: &mut SystemTx, id: ResellerId) -> Result<Row, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select l.per_hour as "per_hour?", l.per_day as "per_day?", l.updated_at as "updated_at?", l.version as "version!",
                  s.counted_at as "counted_at?", s.slots as "slots?"
           from reseller_sending_limits l left join reseller_sending s on s.reseller_id = l.reseller_id where l.reseller_id = $1"#,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.unwrap_or_default())
}

/// One change of a mailbox's limit at a time.
pub(super) async fn lock_mailbox(tx: &mut TenantTx, id: MailboxId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select from mailboxes where tenant_id = $1 and id = $2 for no key update",
        tenant_id,
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn lock_reseller(tx: &mut SystemTx, id: ResellerId) -> Result<(), Error> {
    sqlx::query!("select from resellers where id = $1 for no key update", id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn put_of_mailbox(
    tx: &mut TenantTx,
    id: MailboxId,
    bounds: Bounds,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into mailbox_sending_limits as old (tenant_id, mailbox_id, per_hour, per_day, updated_at, version) values ($1, $2, $3, $4, $5, 1)
         on conflict (tenant_id, mailbox_id) do update set per_hour = $3, per_day = $4, updated_at = $5, version = old.version + 1",
        tenant_id,
        id.uuid(),
        bounds.per_hour,
        bounds.per_day,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn put_of_tenant(
    tx: &mut TenantTx,
    bounds: Bounds,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into tenant_sending_limits as old (tenant_id, per_hour, per_day, updated_at, version) values ($1, $2, $3, $4, 1)
         on conflict (tenant_id) do update set per_hour = $2, per_day = $3, updated_at = $4, version = old.version + 1",
        tenant_id,
        bounds.per_hour,
        bounds.per_day,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn put_of_reseller(
    tx: &mut SystemTx,
    id: ResellerId,
    bounds: Bounds,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into reseller_sending_limits as old (reseller_id, per_hour, per_day, updated_at, version) values ($1, $2, $3, $4, 1)
         on conflict (reseller_id) do update set per_hour = $2, per_day = $3, updated_at = $4, version = old.version + 1",
        id.uuid(),
        bounds.per_hour,
        bounds.per_day,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has a row for each level that counts and locks it: the mailbox, the tenant, then the resellers by id.
///
/// Those resellers: one that gets its first limit at this moment, or the tenant, counts from the next message on.
pub(super) async fn lock(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    now: DateTime<Utc>,
) -> Result<Vec<ResellerId>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    // Each in a statement of its own, so that they are locked in this order. A row that is there is locked by the update that changes nothing.
    sqlx::query!(
        "insert into mailbox_sending as old (tenant_id, mailbox_id, counted_at, slots) values ($1, $2, $3, '{}')
         on conflict (tenant_id, mailbox_id) do update set counted_at = old.counted_at",
        tenant_id,
        mailbox_id.uuid(),
        now,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into tenant_sending as old (tenant_id, counted_at, slots) values ($1, $2, '{}')
         on conflict (tenant_id) do update set counted_at = old.counted_at",
        tenant_id,
        now,
    )
    .execute(tx.conn())
    .await?;
    let locked = sqlx::query_scalar!(
        "insert into reseller_sending as old (reseller_id, counted_at, slots)
         select l.reseller_id, $2, '{}' from reseller_sending_limits l join tenants t on l.reseller_id = any (t.reseller_path)
         where t.id = $1 order by l.reseller_id
         on conflict (reseller_id) do update set counted_at = old.counted_at
         returning reseller_id",
        tenant_id,
        now,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(locked.into_iter().map(ResellerId::from_uuid).collect())
}

/// The levels that count, as they stand now: the mailbox, the tenant, and the resellers above it that have a limit.
pub(super) async fn levels(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    now: DateTime<Utc>,
) -> Result<Vec<Counted>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select 1 as "rank!", null::uuid as reseller_id, l.per_hour, l.per_day, s.counted_at, s.slots, s.limited_at
           from mailboxes m left join mailbox_sending_limits l on l.tenant_id = m.tenant_id and l.mailbox_id = m.id
           left join mailbox_sending s on s.tenant_id = m.tenant_id and s.mailbox_id = m.id where m.tenant_id = $1 and m.id = $2
           union all
           select 2, null, l.per_hour, l.per_day, s.counted_at, s.slots, s.limited_at
           from tenants t left join tenant_sending_limits l on l.tenant_id = t.id left join tenant_sending s on s.tenant_id = t.id where t.id = $1
           union all
           select 3, l.reseller_id, l.per_hour, l.per_day, s.counted_at, s.slots, s.limited_at
           from tenants t join reseller_sending_limits l on l.reseller_id = any (t.reseller_path)
           left join reseller_sending s on s.reseller_id = l.reseller_id where t.id = $1
           order by 1, 2"#,
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let counted = rows.into_iter().map(|row| {
        let level = match row.rank {
            1 => LimitLevel::Mailbox,
            2 => LimitLevel::Tenant,
            _ => LimitLevel::Reseller,
        };
        Counted {
            level,
            reseller_id: row.reseller_id.map(ResellerId::from_uuid),
            bounds: Bounds { per_hour: row.per_hour, per_day: row.per_day }.or(level.default()),
            window: window(row.counted_at, row.slots, now),
            limited_at: row.limited_at,
        }
    });
    Ok(counted.collect())
}

/// Notes what was counted at a level that is locked.
pub(super) async fn put_counted(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    counted: &Counted,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let Window { at, slots } = &counted.window;
    let update = match counted.level {
        LimitLevel::Mailbox => sqlx::query!(
            "update mailbox_sending set counted_at = $3, slots = $4 where tenant_id = $1 and mailbox_id = $2",
            tenant_id,
            mailbox_id.uuid(),
            at,
            slots,
        ),
        LimitLevel::Tenant => sqlx::query!(
            "update tenant_sending set counted_at = $2, slots = $3 where tenant_id = $1",
            tenant_id,
            at,
            slots,
        ),
        LimitLevel::Reseller => sqlx::query!(
            "update reseller_sending set counted_at = $2, slots = $3 where reseller_id = $1",
            counted.reseller_id.map_or_else(Uuid::nil, ResellerId::uuid),
            at,
            slots,
        ),
    };
    update.execute(tx.conn()).await?;
    Ok(())
}

/// When it is told, and what was told before which is told again.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) now: DateTime<Utc>,
    pub(super) before: DateTime<Utc>,
}

/// Notes that it is told that a mailbox's limit is reached, unless somebody was faster.
pub(super) async fn tell_of_mailbox(tx: &mut TenantTx, id: MailboxId, told: Told) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into mailbox_sending as old (tenant_id, mailbox_id, counted_at, slots, limited_at) values ($1, $2, $3, '{}', $3)
         on conflict (tenant_id, mailbox_id) do update set limited_at = $3 where old.limited_at is null or old.limited_at <= $4",
        tenant_id,
        id.uuid(),
        told.now,
        told.before,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The same of a tenant's.
pub(super) async fn tell_of_tenant(tx: &mut TenantTx, told: Told) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into tenant_sending as old (tenant_id, counted_at, slots, limited_at) values ($1, $2, '{}', $2)
         on conflict (tenant_id) do update set limited_at = $2 where old.limited_at is null or old.limited_at <= $3",
        tenant_id,
        told.now,
        told.before,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The same of a reseller's.
pub(super) async fn tell_of_reseller(tx: &mut SystemTx, id: ResellerId, told: Told) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into reseller_sending as old (reseller_id, counted_at, slots, limited_at) values ($1, $2, '{}', $2)
         on conflict (reseller_id) do update set limited_at = $2 where old.limited_at is null or old.limited_at <= $3",
        id.uuid(),
        told.now,
        told.before,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

#[expect(clippy::disallowed_methods, reason = "a reseller is above all tenants")]
pub(super) async fn system(db: &Db) -> Result<SystemTx, Error> {
    SystemTx::begin(db).await
}
