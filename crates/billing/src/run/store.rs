//! SQL of runs: the runs themselves, and finding due accounts.

use db::SystemTx;
use kernel::{PageRequest, ResellerId, RunId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::Calendar;
use tenancy::tenant::RESTORABLE;
use uuid::Uuid;

use super::account::MARGIN;
use super::drive::{Customer, DueAccount};
use super::{Reach, Run, RunSummary};
use crate::Error;

/// Accounts whose tenant has come to stand otherwise than their subscription knows, by their ids.
pub(super) async fn standing_otherwise(
    tx: &mut SystemTx,
    reach: Reach,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, db::Error> {
    let (reseller, tenant) = reach.bounds();
    let ids = sqlx::query_scalar!(
        r#"select s.tenant_id from subscriptions s join tenants t on t.id = s.tenant_id
           where t.purged_at is null
             and ($1::uuid is null or $1 = any (t.reseller_path)) and ($2::uuid is null or s.tenant_id = $2)
             and s.tenant_id > $3 and s.tenant_id in (select st.tenant_id from tenant_standings st where st.ordinal > s.standings_known)
           order by s.tenant_id limit $4"#,
        reseller,
        tenant,
        after.map_or(Uuid::nil(), TenantId::uuid),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// Accounts with a boundary on or before a day, and those with any whose tenants cannot be restored any more, the oldest boundary
/// first, after the one given. Those that live by a test clock only where they are not looked for by it.
pub(super) async fn due(
    tx: &mut SystemTx,
    (as_of, reach): (NaiveDate, Reach),
    now: DateTime<Utc>,
    after: Option<(NaiveDate, Uuid)>,
    limit: i64,
) -> Result<Vec<DueAccount>, db::Error> {
    let (reseller, tenant) = reach.bounds();
    let (after_day, after_tenant) = after.unwrap_or_default();
    let as_of = (!matches!(reach, Reach::Left)).then_some(as_of);
    let rows = sqlx::query!(
        r#"select s.next_invoice_on as "next_invoice_on!", s.tenant_id, t.time_zone, t.former_time_zones,
           t.former_time_zones_until, t.test_clock, t.deleted_at
         from subscriptions s join tenants t on t.id = s.tenant_id
         where t.purged_at is null and (s.next_invoice_on <= $1::date or s.tenant_id = any (array(
             select id from tenants where status = 'deleted' and purged_at is null
               and deleted_at < coalesce(test_clock, $8::timestamptz) - make_interval(secs => $9::integer))))
           and ($2::uuid is null or $2 = any (t.reseller_path)) and ($3::uuid is null or s.tenant_id = $3)
           and (s.next_invoice_on, s.tenant_id) > ($4::date, $5::uuid) and not ($7 and t.test_clock is not null)
         order by s.next_invoice_on, s.tenant_id limit $6"#,
        as_of,
        reseller,
        tenant,
        after_day,
        after_tenant,
        limit,
        matches!(reach, Reach::Present),
        now,
        settled_after_seconds()
    )
    .fetch_all(tx.conn())
    .await?;
    let due = rows.into_iter().map(|row| {
        let calendar = Calendar::of_row(&row.time_zone, &row.former_time_zones, &row.former_time_zones_until);
        let account = of_tenant(row.tenant_id, row.next_invoice_on, calendar.ok(), row.test_clock);
        DueAccount { deleted_at: row.deleted_at, ..account }
    });
    Ok(due.collect())
}

/// Accounts of tenants that live by a test clock, with a boundary on or before the latest day that it shows anywhere, or with any if they
/// cannot be restored any more by it, the oldest boundary first, after the one given.
pub(super) async fn due_by_clock(
    tx: &mut SystemTx,
    after: Option<(NaiveDate, Uuid)>,
    limit: i64,
) -> Result<Vec<DueAccount>, db::Error> {
    let (after_day, after_tenant) = after.unwrap_or_default();
    let rows = sqlx::query!(
        r#"select s.next_invoice_on as "next_invoice_on!", s.tenant_id, t.time_zone, t.former_time_zones,
           t.former_time_zones_until, t.test_clock as "test_clock!", t.deleted_at
         from tenants t join subscriptions s on s.tenant_id = t.id
         where t.test_clock is not null and t.purged_at is null
           and (s.next_invoice_on <= (t.test_clock at time zone 'UTC' + interval '14 hours')::date
             or t.deleted_at < t.test_clock - make_interval(secs => $4::integer))
           and (s.next_invoice_on, s.tenant_id) > ($1::date, $2::uuid)
         order by s.next_invoice_on, s.tenant_id limit $3"#,
        after_day,
        after_tenant,
        limit,
        settled_after_seconds()
    )
    .fetch_all(tx.conn())
    .await?;
    let due = rows.into_iter().map(|row| {
        let calendar = Calendar::of_row(&row.time_zone, &row.former_time_zones, &row.former_time_zones_until);
        let account = of_tenant(row.tenant_id, row.next_invoice_on, calendar.ok(), Some(row.test_clock));
        DueAccount { deleted_at: row.deleted_at, ..account }
    });
    Ok(due.collect())
}

/// How long after its deletion a tenant is billed to its end.
pub(super) fn settled_after_seconds() -> i32 {
    i32::try_from((RESTORABLE + MARGIN).num_seconds()).unwrap_or(i32::MAX)
}

fn of_tenant(
    id: Uuid,
    next_invoice_on: NaiveDate,
    calendar: Option<Calendar>,
    test_clock: Option<DateTime<Utc>>,
) -> DueAccount {
    let customer = Customer::Tenant(TenantId::from_uuid(id));
    DueAccount { next_invoice_on, customer, calendar, test_clock, deleted_at: None }
}

/// Whether nobody else leads the scheduled runs; nobody will until the transaction ends.
pub(super) async fn lead(tx: &mut SystemTx) -> Result<bool, db::Error> {
    let leads =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('billing_runs')) as "leads!""#)
            .fetch_one(tx.conn())
            .await?;
    Ok(leads)
}

/// Wholesale agreements with a boundary on or before a day, the oldest first, after the one given.
pub(super) async fn due_agreements(
    tx: &mut SystemTx,
    as_of: NaiveDate,
    after: Option<(NaiveDate, Uuid)>,
    limit: i64,
) -> Result<Vec<DueAccount>, db::Error> {
    let (after_day, after_reseller) = after.unwrap_or_default();
    let rows = sqlx::query!(
        "select a.next_invoice_on, a.reseller_id, a.time_zone from wholesale_agreements a join resellers r on r.id = a.reseller_id
         where a.next_invoice_on <= $1 and (a.next_invoice_on, a.reseller_id) > ($2::date, $3::uuid) and r.status <> 'deleted'
         order by a.next_invoice_on, a.reseller_id limit $4",
        as_of,
        after_day,
        after_reseller,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let accounts = rows.into_iter().map(|row| DueAccount {
        next_invoice_on: row.next_invoice_on,
        customer: Customer::Reseller(ResellerId::from_uuid(row.reseller_id)),
        calendar: Calendar::of_row(&row.time_zone, &[], &[]).ok(),
        test_clock: None,
        deleted_at: None,
    });
    Ok(accounts.collect())
}

/// Whether a transaction gave way to others (SQLSTATE class 40: deadlock, serialization failure): that concerns one
/// account. Everything else that passes by itself, such as a lost connection, concerns all.
pub(super) fn gave_way(error: &db::Error) -> bool {
    let db::Error::Unavailable(sqlx::Error::Database(cause)) = error else { return false };
    cause.code().is_some_and(|code| code.starts_with("40"))
}

struct Row {
    id: Uuid,
    as_of: NaiveDate,
    reseller_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    status: String,
    summary: Option<serde_json::Value>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for (Run, Option<ResellerId>) {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let summary =
            row.summary.map(serde_json::from_value).transpose().map_err(|_| Error::Stored("run summary"))?;
        let run = Run {
            id: RunId::from_uuid(row.id),
            as_of: row.as_of,
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            status: row.status,
            summary,
            created_at: row.created_at,
            finished_at: row.finished_at,
        };
        Ok((run, row.reseller_id.map(ResellerId::from_uuid)))
    }
}

pub(super) async fn insert(tx: &mut SystemTx, run: &Run, owner: Option<ResellerId>) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into billing_runs (id, as_of, reseller_id, tenant_id, status, created_at) values ($1, $2, $3, $4, $5, $6)",
        run.id.uuid(),
        run.as_of,
        owner.map(ResellerId::uuid),
        run.tenant_id.map(TenantId::uuid),
        run.status,
        run.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A run of a reseller or of one below it, with its owner; with no `root`, anybody's.
pub(super) async fn find(
    tx: &mut SystemTx,
    id: RunId,
    root: Option<ResellerId>,
) -> Result<Option<(Run, Option<ResellerId>)>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, as_of, reseller_id, tenant_id, status, summary, created_at, finished_at from billing_runs
         where id = $1 and ($2::uuid is null or reseller_id in (select r.id from resellers r where $2 = any (r.path)))",
        id.uuid(),
        root.map(ResellerId::uuid)
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(TryInto::try_into).transpose()
}

pub(super) async fn list(
    tx: &mut SystemTx,
    root: Option<ResellerId>,
    page: &PageRequest,
) -> Result<Vec<Run>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, as_of, reseller_id, tenant_id, status, summary, created_at, finished_at from billing_runs
         where ($1::uuid is null or reseller_id in (select r.id from resellers r where $1 = any (r.path))) and id > $2
         order by id limit $3",
        root.map(ResellerId::uuid),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(|row| <(Run, Option<ResellerId>)>::try_from(row).map(|(run, _)| run)).collect()
}

pub(super) async fn set_status(
    tx: &mut SystemTx,
    id: RunId,
    status: &str,
    summary: Option<&RunSummary>,
    finished_at: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let summary = summary.map(serde_json::to_value).transpose().map_err(|_| Error::Stored("run summary"))?;
    sqlx::query!(
        "update billing_runs set status = $2, summary = $3, finished_at = $4 where id = $1",
        id.uuid(),
        status,
        summary,
        finished_at,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

impl Reach {
    /// The one reseller, or the one tenant, that it is bounded to.
    pub(super) fn bounds(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::All | Self::Present | Self::Left => (None, None),
            Self::Reseller(id) => (Some(id.uuid()), None),
            Self::Tenant(id) => (None, Some(id.uuid())),
        }
    }
}
