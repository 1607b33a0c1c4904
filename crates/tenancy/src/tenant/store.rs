//! SQL of tenants.

use chrono_tz::Tz;
use db::{SystemRead, SystemTx};
use kernel::{DomainName, MailboxId, PageRequest, ResellerId, TenantId, UserId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{Filter, Place, Status, Taken, Tenant, TenantChange};
use crate::branding::{self, Branding};
use crate::caps::Delta;
use crate::delegate::Right;
use crate::policy::{Capability, capabilities};
use crate::{Calendar, Error, TenantTx};

struct Row {
    id: Uuid,
    reseller_id: Uuid,
    name: String,
    external_id: Option<String>,
    country: String,
    currency: String,
    time_zone: String,
    status: String,
    suspended_capabilities: Vec<String>,
    unpaid_capabilities: Vec<String>,
    seats_limit: Option<i32>,
    seats_used: i32,
    domains_limit: Option<i32>,
    domains_used: i32,
    shared_mailboxes_limit: Option<i32>,
    shared_mailboxes_used: i32,
    storage_limit_bytes: Option<i64>,
    used_bytes: i64,
    allow_overallocation: bool,
    storage_dedicated: bool,
    branding: serde_json::Value,
    test_clock: Option<DateTime<Utc>>,
    trial_ends_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    version: i64,
}

impl TryFrom<Row> for Tenant {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: TenantId::from_uuid(row.id),
            reseller_id: ResellerId::from_uuid(row.reseller_id),
            name: row.name,
            external_id: row.external_id,
            country: row.country,
            currency: row.currency.parse().map_err(Error::internal)?,
            time_zone: row.time_zone.parse().map_err(Error::internal)?,
            status: row.status,
            suspended_capabilities: capabilities(&row.suspended_capabilities)?,
            unpaid_capabilities: capabilities(&row.unpaid_capabilities)?,
            seats_limit: row.seats_limit,
            seats_used: row.seats_used,
            domains_limit: row.domains_limit,
            domains_used: row.domains_used,
            shared_mailboxes_limit: row.shared_mailboxes_limit,
            shared_mailboxes_used: row.shared_mailboxes_used,
            storage_limit_bytes: row.storage_limit_bytes,
            used_bytes: row.used_bytes,
            allow_overallocation: row.allow_overallocation,
            storage_dedicated: row.storage_dedicated,
            branding: branding::read(&row.branding),
            test_clock: row.test_clock,
            trial_ends_at: row.trial_ends_at,
            created_at: row.created_at,
            deleted_at: row.deleted_at,
            version: row.version,
        })
    }
}

pub(super) async fn insert(tx: &mut SystemTx, tenant: &Tenant, path: &[ResellerId]) -> Result<(), db::Error> {
    let path = path.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    sqlx::query!(
        "insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, status, seats_limit, test_clock, created_at,
           domains_limit, storage_limit_bytes, allow_overallocation, branding, trial_ends_at, storage_dedicated, shared_mailboxes_limit, external_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        tenant.id.uuid(),
        tenant.reseller_id.uuid(),
        &path,
        tenant.name,
        tenant.country,
        tenant.currency.code(),
        tenant.time_zone.name(),
        tenant.status,
        tenant.seats_limit,
        tenant.test_clock,
        tenant.created_at,
        tenant.domains_limit,
        tenant.storage_limit_bytes,
        tenant.allow_overallocation,
        branding::shown(&tenant.branding),
        tenant.trial_ends_at,
        tenant.storage_dedicated,
        tenant.shared_mailboxes_limit,
        tenant.external_id,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut TenantTx) -> Result<Option<Tenant>, Error> {
    let id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select id, reseller_id, name, external_id, country, currency, time_zone, case when purged_at is null then status else 'purged' end as "status!", seats_limit, seats_used, test_clock, trial_ends_at,
             created_at, deleted_at, suspended_capabilities, unpaid_capabilities, version,
             domains_limit, domains_used, shared_mailboxes_limit, shared_mailboxes_used, storage_limit_bytes, allow_overallocation, storage_dedicated, branding,
             (select coalesce(sum(m.used_bytes), 0)::bigint from mailboxes m where m.tenant_id = tenants.id and m.status = 'active') as "used_bytes!"
           from tenants where id = $1"#,
        id
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(Tenant::try_from).transpose()
}

/// As [`find`], keeping others from changing the row until the transaction ends. `None` when the tenant is deleted, be it since it was entered.
pub(super) async fn find_locked(tx: &mut TenantTx) -> Result<Option<Tenant>, Error> {
    Ok(find_locked_deleted_too(tx).await?.filter(|tenant| tenant.deleted_at.is_none()))
}

/// As [`find_locked`], and a deleted one as well.
pub(super) async fn find_locked_deleted_too(tx: &mut TenantTx) -> Result<Option<Tenant>, Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!("select id from tenants where id = $1 for update", id)
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx).await
}

/// The tenant's test clock, if it has one, which nobody moves until the transaction ends. `None`: it is deleted, which it does not come to be
/// until then otherwise.
pub(super) async fn keep(tx: &mut TenantTx) -> Result<Option<Option<DateTime<Utc>>>, db::Error> {
    let id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "select test_clock from tenants where id = $1 and status <> 'deleted' for key share",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| row.test_clock))
}

/// Keeps others from changing what is the tenant's as a whole until the transaction ends. Does not stand in the way of
/// rows that refer to the tenant.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn lock(tx: &mut TenantTx) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!("select from tenants where id = $1 for no key update", id).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn list(
    tx: &mut SystemTx,
    (reseller, tenant): (Option<ResellerId>, Option<TenantId>),
    filter: &Filter,
    domain: Option<&DomainName>,
    page: &PageRequest,
) -> Result<Vec<Tenant>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, reseller_id, name, external_id, country, currency, time_zone, case when purged_at is null then status else 'purged' end as "status!", seats_limit, seats_used, test_clock, trial_ends_at,
             created_at, deleted_at, suspended_capabilities, unpaid_capabilities, version,
             domains_limit, domains_used, shared_mailboxes_limit, shared_mailboxes_used, storage_limit_bytes, allow_overallocation, storage_dedicated, branding,
             (select coalesce(sum(m.used_bytes), 0)::bigint from mailboxes m where m.tenant_id = tenants.id and m.status = 'active') as "used_bytes!"
           from tenants
           where ($1::uuid is null or $1 = any (reseller_path)) and ($2::uuid is null or id = $2) and id > $3
             and case when $5::text is null then status <> 'deleted' when $5 = 'purged' then purged_at is not null
               else status = $5 and purged_at is null end
             and ($6::uuid is null or reseller_id = $6)
             and ($7::text is null or external_id = $7)
             and ($8::text is null or id in (select tenant_id from domains d where d.name = $8))
           order by id limit $4"#,
        reseller.map(ResellerId::uuid),
        tenant.map(TenantId::uuid),
        page.after(),
        page.fetch(),
        filter.status.map(Status::as_str),
        filter.reseller_id.map(ResellerId::uuid),
        filter.external_id,
        domain.map(DomainName::as_str),
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Tenant::try_from).collect()
}

/// `used_bytes` is what a pool that had no limit is found to hold.
pub(super) async fn update(
    tx: &mut TenantTx,
    change: &TenantChange,
    used_bytes: Option<i64>,
    branding: &Branding,
) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!(
        "update tenants set name = coalesce($2, name), version = version + 1,
           seats_limit = case when $3 then $4 else seats_limit end,
           domains_limit = case when $5 then $6 else domains_limit end,
           storage_limit_bytes = case when $7 then $8 else storage_limit_bytes end,
           used_bytes = coalesce($9, used_bytes), allow_overallocation = coalesce($10, allow_overallocation), branding = $11,
           storage_dedicated = coalesce($12, storage_dedicated),
           shared_mailboxes_limit = case when $13 then $14 else shared_mailboxes_limit end,
           external_id = case when $15 then $16 else external_id end
         where id = $1",
        id,
        change.name,
        change.seats_limit.is_some(),
        change.seats_limit.flatten(),
        change.domains_limit.is_some(),
        change.domains_limit.flatten(),
        change.storage_limit_bytes.is_some(),
        change.storage_limit_bytes.flatten(),
        used_bytes,
        change.allow_overallocation,
        branding::shown(branding),
        change.storage_dedicated,
        change.shared_mailboxes_limit.is_some(),
        change.shared_mailboxes_limit.flatten(),
        change.external_id.is_some(),
        change.external_id.as_ref().and_then(Option::as_deref),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has the tenant's days counted in another zone, and remembers where they were up to the present one, unless that began elsewhere.
pub(super) async fn set_time_zone(
    tx: &mut TenantTx,
    time_zone: Tz,
    today: NaiveDate,
) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!(
        "update tenants set time_zone = $2,
           former_time_zones = case when $3::date > all (former_time_zones_until)
             then array_append(former_time_zones, time_zone) else former_time_zones end,
           former_time_zones_until = case when $3::date > all (former_time_zones_until)
             then array_append(former_time_zones_until, $3::date) else former_time_zones_until end
         where id = $1",
        id,
        time_zone.name(),
        today
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves a tenant below another reseller, with all that the levels above count of it.
pub(super) async fn set_reseller(
    tx: &mut SystemTx,
    id: TenantId,
    reseller_id: ResellerId,
    path: &[ResellerId],
) -> Result<(), db::Error> {
    let path = path.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    sqlx::query!(
        "update tenants set reseller_id = $2, reseller_path = $3, version = version + 1 where id = $1",
        id.uuid(),
        reseller_id.uuid(),
        &path
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Where a tenant is and what it counts for, keeping others from changing it until the transaction ends.
pub(super) async fn lock_for_transfer(tx: &mut SystemTx, id: TenantId) -> Result<Option<Moving>, db::Error> {
    let row = sqlx::query!(
        "select reseller_path, seats_used, domains_used, shared_mailboxes_used, version, test_clock
         from tenants where id = $1 and status <> 'deleted' for update",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Moving {
        path: row.reseller_path.into_iter().map(ResellerId::from_uuid).collect(),
        counts: Delta {
            tenants: 1,
            seats: row.seats_used,
            domains: row.domains_used,
            shared_mailboxes: row.shared_mailboxes_used,
        },
        version: row.version,
        test_clock: row.test_clock,
    }))
}

/// A tenant on its way to another reseller.
pub(super) struct Moving {
    pub(super) path: Vec<ResellerId>,
    /// What the resellers above count of it.
    pub(super) counts: Delta,
    pub(super) version: i64,
    pub(super) test_clock: Option<DateTime<Utc>>,
}

/// As [`lock_for_transfer`], of a tenant that is deleted.
pub(super) async fn lock_deleted(tx: &mut SystemTx, id: TenantId) -> Result<Option<Returning>, db::Error> {
    let row = sqlx::query!(
        r#"select reseller_path, seats_used, domains_used, shared_mailboxes_used, version, test_clock, deleted_at,
             destroying is not null or purged_at is not null as "is_going!"
           from tenants where id = $1 and status = 'deleted' for update"#,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Returning {
        moving: Moving {
            path: row.reseller_path.into_iter().map(ResellerId::from_uuid).collect(),
            counts: Delta {
                tenants: 1,
                seats: row.seats_used,
                domains: row.domains_used,
                shared_mailboxes: row.shared_mailboxes_used,
            },
            version: row.version,
            test_clock: row.test_clock,
        },
        deleted_at: row.deleted_at,
        is_going: row.is_going,
    }))
}

/// A deleted tenant on its way back.
pub(super) struct Returning {
    pub(super) moving: Moving,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    /// Whether its destruction has begun.
    pub(super) is_going: bool,
}

/// What is suspended from now on, and what of it for nonpayment.
pub(super) async fn set_suspended(
    tx: &mut TenantTx,
    suspended: &[Capability],
    unpaid: &[Capability],
) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    let names = |all: &[Capability]| all.iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>();
    sqlx::query!(
        "update tenants set version = version + 1, suspended_capabilities = $2, unpaid_capabilities = $3,
           status = case when $2 <> '{}'::text[] then 'suspended' when trial_ends_at is null then 'active' else 'trial' end
         where id = $1",
        id,
        &names(suspended),
        &names(unpaid)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes what somebody gives back by hand, beside what was given back before.
pub(super) async fn spare(
    tx: &mut TenantTx,
    given_back: &[Capability],
    today: NaiveDate,
) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    let names: Vec<_> = given_back.iter().map(Capability::to_string).collect();
    sqlx::query!(
        "update tenants set spared_capabilities = array(select distinct unnest(spared_capabilities || $2::text[])), spared_on = $3
         where id = $1",
        id,
        &names,
        today
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What is suspended, and for what; nobody else changes it until the transaction ends. `None` when the tenant is deleted, or
/// when somebody else holds it and `waits` is false. Does not stand in the way of rows that refer to the tenant: who holds
/// it may have written some.
pub(super) async fn hold_suspended(tx: &mut TenantTx, waits: bool) -> Result<Option<Taken>, Error> {
    let id = tx.tenant_id().uuid();
    if waits {
        lock(tx).await?;
    } else {
        let held = sqlx::query!("select id from tenants where id = $1 for no key update skip locked", id)
            .fetch_optional(tx.conn())
            .await
            .map_err(db::Error::from)?;
        if held.is_none() {
            return Ok(None);
        }
    }
    let row = sqlx::query!(
        "select suspended_capabilities, unpaid_capabilities, spared_capabilities, spared_on, test_clock
         from tenants where id = $1 and status <> 'deleted'",
        id
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(|row| {
        let spared = capabilities(&row.spared_capabilities)?;
        Ok(Taken {
            suspended: capabilities(&row.suspended_capabilities)?,
            unpaid: capabilities(&row.unpaid_capabilities)?,
            spared: row.spared_on.map(|day| (spared, day)),
            test_clock: row.test_clock,
        })
    })
    .transpose()
}

pub(super) async fn set_test_clock(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), db::Error> {
    let id = tx.tenant_id().uuid();
    sqlx::query!("update tenants set test_clock = $2, version = version + 1 where id = $1", id, now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Where a tenant is, as the table has it.
pub(crate) struct PlaceRow {
    pub(crate) reseller_id: Uuid,
    pub(crate) reseller_path: Vec<Uuid>,
    pub(crate) time_zone: String,
    pub(crate) former_time_zones: Vec<String>,
    pub(crate) former_time_zones_until: Vec<NaiveDate>,
    pub(crate) test_clock: Option<DateTime<Utc>>,
    pub(crate) suspended_capabilities: Vec<String>,
    pub(crate) is_deleted: bool,
    pub(crate) storage_dedicated: bool,
    /// The mailboxes that a person may read as a delegate, and no more.
    pub(crate) readable: Vec<Uuid>,
    /// Those that they have full access to.
    pub(crate) writable: Vec<Uuid>,
}

impl TryFrom<PlaceRow> for Place {
    type Error = Error;
    fn try_from(row: PlaceRow) -> Result<Self, Error> {
        let calendar = Calendar::of_row(&row.time_zone, &row.former_time_zones, &row.former_time_zones_until);
        let readable = row.readable.into_iter().map(|id| (MailboxId::from_uuid(id), Right::Read));
        let writable = row.writable.into_iter().map(|id| (MailboxId::from_uuid(id), Right::FullAccess));
        Ok(Self {
            reseller_id: ResellerId::from_uuid(row.reseller_id),
            reseller_path: row.reseller_path.into_iter().map(ResellerId::from_uuid).collect(),
            calendar: calendar.map_err(Error::internal)?,
            test_clock: row.test_clock,
            suspended: capabilities(&row.suspended_capabilities)?,
            is_deleted: row.is_deleted,
            storage_dedicated: row.storage_dedicated,
            delegated: readable.chain(writable).collect(),
        })
    }
}

/// Where tenants are. By way of subqueries, what is asked for is the same to the planner whatever it is: it would plan anew each time otherwise, which takes
/// longer than the statement.
pub(super) async fn places(
    read: &mut SystemRead,
    ids: &[TenantId],
    user_id: Option<UserId>,
) -> Result<Vec<(TenantId, Place)>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select id, reseller_id, reseller_path, time_zone, former_time_zones, former_time_zones_until, test_clock, suspended_capabilities,
             status = 'deleted' as "is_deleted!", storage_dedicated, d.readable as "readable!", d.writable as "writable!"
           from tenants t
           cross join lateral (
             select coalesce(array_agg(md.mailbox_id) filter (where not 'full_access' = any (md.rights)), '{}') as readable,
               coalesce(array_agg(md.mailbox_id) filter (where 'full_access' = any (md.rights)), '{}') as writable
             from mailbox_delegates md
             where md.tenant_id = t.id and md.user_id = (select $2::uuid) and md.rights && '{read,full_access}'
           ) d
           where id = any (array(select unnest($1::uuid[])))"#,
        &ids,
        user_id.map(UserId::uuid)
    )
    .fetch_all(read.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let place = PlaceRow {
                reseller_id: row.reseller_id,
                reseller_path: row.reseller_path,
                time_zone: row.time_zone,
                former_time_zones: row.former_time_zones,
                former_time_zones_until: row.former_time_zones_until,
                test_clock: row.test_clock,
                suspended_capabilities: row.suspended_capabilities,
                is_deleted: row.is_deleted,
                storage_dedicated: row.storage_dedicated,
                readable: row.readable,
                writable: row.writable,
            };
            Ok((TenantId::from_uuid(row.id), place.try_into()?))
        })
        .collect()
}
