//! SQL of dunning: policies, courses and steps.

use std::collections::{BTreeMap, BTreeSet};

use db::{SystemRead, SystemTx};
use kernel::{InvoiceId, ResellerId, TenantId};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use tenancy::policy::Capability;

use super::{Course, DunningPolicy, Policy, Step};
use crate::Error;
use crate::run::Reach;

/// A reseller's policy, if it has one and the transaction sees it.
pub(super) async fn find(
    conn: &mut PgConnection,
    reseller_id: ResellerId,
) -> Result<Option<DunningPolicy>, Error> {
    let row = sqlx::query!(
        "select remind_after_days, suspend_after_days, suspend_capabilities, cancel_after_days, updated_at, version
         from dunning_policies where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_optional(conn)
    .await
    .map_err(db::Error::from)?;
    row.map(|row| {
        let names = row.suspend_capabilities.iter().map(|name| name.parse());
        Ok(DunningPolicy {
            policy: Policy {
                remind_after_days: row.remind_after_days,
                suspend_after_days: row.suspend_after_days,
                suspend_capabilities: names
                    .collect::<Result<_, _>>()
                    .map_err(|_| Error::Stored("capability"))?,
                cancel_after_days: row.cancel_after_days,
            },
            updated_at: row.updated_at,
            version: row.version,
        })
    })
    .transpose()
}

/// The invoices for which money is on its way.
pub(super) async fn under_way(tx: &mut TenantTx) -> Result<BTreeSet<InvoiceId>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids = sqlx::query_scalar!(
        r#"select invoice_id as "invoice_id!" from payments
           where tenant_id = $1 and invoice_id is not null and status in ('pending', 'unknown', 'requires_action', 'processing')"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(InvoiceId::from_uuid).collect())
}

/// The invoices of which something that was paid was given or taken back, with the last day on which it was.
pub(super) async fn due_again(tx: &mut TenantTx) -> Result<BTreeMap<InvoiceId, NaiveDate>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select p.invoice_id as "invoice_id!", max(back.day) as "day!" from payments p
           join (
             select payment_id, refunded_on as day from refunds where tenant_id = $1 and status = 'succeeded'
             union all
             select payment_id, withdrawn_on from disputes where tenant_id = $1 and reinstated_on is null
           ) back on back.payment_id = p.id
           where p.tenant_id = $1 and p.invoice_id is not null and back.day is not null group by p.invoice_id"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (InvoiceId::from_uuid(row.invoice_id), row.day)).collect())
}

/// When an invoice became final, and the day that it bears.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finalized {
    pub(super) issued_on: NaiveDate,
    pub(super) at: DateTime<Utc>,
}

/// When each of the tenant's invoices became final; of a tenant with a test clock none, since that is noted in real time, and none that was dunned
/// before there was a reason to: it goes on as an earlier version began it.
pub(super) async fn finalized(tx: &mut TenantTx) -> Result<BTreeMap<InvoiceId, Finalized>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select i.id, i.issued_on, i.finalized_at as "finalized_at!" from invoices i join tenants t on t.id = i.tenant_id
           where i.tenant_id = $1 and i.kind = 'invoice' and i.status = 'final' and t.test_clock is null
             and not exists (
               select from dunning_courses c where c.tenant_id = i.tenant_id and c.invoice_id = i.id
                 -- Where the clock is set, days are an hour shorter.
                 and c.begun_at < i.finalized_at + make_interval(days => i.due_on - i.issued_on) - interval '2 hours')"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| {
        (InvoiceId::from_uuid(row.id), Finalized { issued_on: row.issued_on, at: row.finalized_at })
    });
    Ok(rows.collect())
}

/// As [`find`], and nobody else changes it until the transaction ends.
pub(super) async fn find_locked(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<DunningPolicy>, Error> {
    sqlx::query!(
        "select version from dunning_policies where reseller_id = $1 for update",
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    find(tx.conn(), reseller_id).await
}

pub(super) async fn put(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<DunningPolicy, Error> {
    let named = Capability::ALL.iter().filter(|one| policy.suspend_capabilities.contains(one));
    let names: Vec<_> = named.map(Capability::to_string).collect();
    sqlx::query!(
        "insert into dunning_policies (reseller_id, remind_after_days, suspend_after_days, suspend_capabilities,
           cancel_after_days, updated_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint dunning_policies_once do update set remind_after_days = excluded.remind_after_days,
           suspend_after_days = excluded.suspend_after_days, suspend_capabilities = excluded.suspend_capabilities,
           cancel_after_days = excluded.cancel_after_days, updated_at = excluded.updated_at,
           version = dunning_policies.version + 1",
        reseller_id.uuid(),
        &policy.remind_after_days,
        policy.suspend_after_days,
        &names,
        policy.cancel_after_days,
        now,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    find(tx.conn(), reseller_id).await?.ok_or(Error::Stored("dunning policy"))
}

/// Tenants after an id of whom something may have to be done: those who owe their present reseller, which has a policy,
/// what is past its due day wherever the day is the latest, and those of whom something is under way. Their own zones are
/// left to whoever enters them: one that the database does not know would be everybody's failure here. With a reach, only those in it that
/// have a test clock.
pub(super) async fn candidates(
    read: &mut SystemRead,
    by_clock: Option<Reach>,
    now: DateTime<Utc>,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, db::Error> {
    let (reseller, tenant) = match by_clock {
        Some(Reach::Reseller(id)) => (Some(id.uuid()), None),
        Some(Reach::Tenant(id)) => (None, Some(id.uuid())),
        Some(Reach::All | Reach::Present | Reach::Left) | None => (None, None),
    };
    let rows = sqlx::query_scalar!(
        "select t.id from tenants t
         where ($2::uuid is null or t.id > $2) and t.status <> 'deleted' and (t.test_clock is not null or not $4)
           and ($5::uuid is null or $5 = any (t.reseller_path)) and ($6::uuid is null or t.id = $6)
           and (t.unpaid_capabilities <> '{}'
             or exists (select from dunning_courses c where c.tenant_id = t.id and c.ended_at is null)
             or (exists (select from dunning_policies p where p.reseller_id = t.reseller_id)
               and exists (select from invoices i where i.tenant_id = t.id and i.kind = 'invoice' and i.status = 'final' and i.issuer_id = t.reseller_id
                 and i.due_on < ((coalesce(t.test_clock, $1) + interval '14 hours') at time zone 'UTC')::date)
               and (select sum(case when x.debit_account = 'receivable' then x.amount_minor else -x.amount_minor end)
                 from transfers x where x.tenant_id = t.id and x.issuer_id = t.reseller_id
                   and 'receivable' in (x.debit_account, x.credit_account)) > 0))
         order by t.id limit $3",
        now,
        after.map(TenantId::uuid),
        limit,
        by_clock.is_some(),
        reseller,
        tenant
    )
    .fetch_all(read.conn())
    .await?;
    Ok(rows.into_iter().map(TenantId::from_uuid).collect())
}

/// The number of the tenant's last course, 0 before the first, and that course if it has not ended.
pub(super) async fn last_course(tx: &mut TenantTx) -> Result<(i32, Option<Course>), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let last = sqlx::query!(
        "select ordinal, invoice_id, ended_at from dunning_courses where tenant_id = $1 order by ordinal desc limit 1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(last) = last else { return Ok((0, None)) };
    if last.ended_at.is_some() {
        return Ok((last.ordinal, None));
    }
    let steps = sqlx::query!(
        "select step, after_days from dunning_steps where tenant_id = $1 and course = $2",
        tenant_id,
        last.ordinal
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let taken = steps
        .into_iter()
        .map(|row| Step::from_name(&row.step, row.after_days).ok_or(Error::Stored("dunning step")))
        .collect::<Result<BTreeSet<_>, _>>()?;
    Ok((last.ordinal, Some(Course { invoice: InvoiceId::from_uuid(last.invoice_id), taken })))
}

pub(super) async fn begin(
    tx: &mut TenantTx,
    ordinal: i32,
    invoice: InvoiceId,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into dunning_courses (tenant_id, ordinal, invoice_id, begun_at) values ($1, $2, $3, $4)",
        tenant_id,
        ordinal,
        invoice.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn end(tx: &mut TenantTx, ordinal: i32, now: DateTime<Utc>) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update dunning_courses set ended_at = $3 where tenant_id = $1 and ordinal = $2 and ended_at is null",
        tenant_id,
        ordinal,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes a step; whether nobody has before.
pub(super) async fn take(
    tx: &mut TenantTx,
    course: i32,
    step: Step,
    after_days: i16,
    today: NaiveDate,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into dunning_steps (tenant_id, course, step, after_days, taken_on, taken_at) values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        tenant_id,
        course,
        step.as_str(),
        after_days,
        today,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}
