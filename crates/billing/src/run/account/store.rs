//! SQL of billing accounts.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use kernel::{SubscriptionId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::{OfTenants, TenantTx};
use uuid::Uuid;

use crate::Error;
use crate::by_tenant::by_tenant;
use crate::invoice::Billing;
use crate::invoice::store::discount;
use crate::price_book::Item;
use crate::price_book::store::{item, tariff};
use crate::rating::{Billed, Cycle, Instalment, Rate, Span};
use crate::subscription::Windows;

use super::books::{BilledLine, Covered, CycleKey};

/// The account's row, locked.
pub(super) struct Claim {
    pub(super) next_invoice_on: Option<NaiveDate>,
    pub(super) is_parked: bool,
    /// When its tenant was deleted, if it is.
    pub(super) deleted_at: Option<DateTime<Utc>>,
}

/// Locks the accounts' rows, so that none is moved to another reseller, and keeps their tenants from being locked whole; without
/// those that somebody else holds, and those that were destroyed. The tenant's row first, as a move and whoever destroys it do.
pub(super) async fn claim(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, Claim>, db::Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query_as!(
        Row,
        r#"select s.tenant_id, s.next_invoice_on, s.parked_at is not null as "is_parked!", t.deleted_at
           from subscriptions s join tenants t on t.id = s.tenant_id
           where s.tenant_id = any ($1) and t.purged_at is null order by s.tenant_id
           for key share of t skip locked for update of s skip locked"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Row::claim).collect())
}

/// As [`claim`], but waits for whoever holds them: at most half a minute, after which it is an error.
pub(super) async fn claim_waiting(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, Claim>, db::Error> {
    let tenants = tx.tenant_ids();
    db::wait_half_a_minute(tx.conn()).await?;
    let rows = sqlx::query_as!(
        Row,
        r#"select s.tenant_id, s.next_invoice_on, s.parked_at is not null as "is_parked!", t.deleted_at
           from subscriptions s join tenants t on t.id = s.tenant_id
           where s.tenant_id = any ($1) and t.purged_at is null order by s.tenant_id for key share of t for update of s"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    db::wait_without_end(tx.conn()).await?;
    Ok(rows.into_iter().map(Row::claim).collect())
}

struct Row {
    tenant_id: Uuid,
    next_invoice_on: Option<NaiveDate>,
    is_parked: bool,
    deleted_at: Option<DateTime<Utc>>,
}

impl Row {
    fn claim(self) -> (TenantId, Claim) {
        let Self { tenant_id, next_invoice_on, is_parked, deleted_at } = self;
        (TenantId::from_uuid(tenant_id), Claim { next_invoice_on, is_parked, deleted_at })
    }
}

/// When the tenant was deleted, if it is and was not destroyed; nobody restores or destroys it until the transaction ends. The account
/// has to be locked, if there is one: that keeps the tenant's row already.
pub(super) async fn deleted_at(tx: &mut TenantTx) -> Result<Option<DateTime<Utc>>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let deleted_at = sqlx::query_scalar!(
        "select deleted_at from tenants where id = $1 and purged_at is null for key share",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(deleted_at.flatten())
}

/// The ids of the tenants whose rows are to be written: only those that the transaction is for. It may see all, so nothing else
/// would keep a row from another.
pub(super) fn own(
    tx: &impl OfTenants,
    written: impl Iterator<Item = TenantId>,
) -> Result<Vec<Uuid>, db::Error> {
    let own = tx.tenant_ids().into_iter().collect::<BTreeSet<_>>();
    let ids: Vec<Uuid> = written.map(TenantId::uuid).collect();
    match ids.iter().find(|id| !own.contains(id)) {
        None => Ok(ids),
        Some(other) => Err(fault(format!("a row of {other} in a transaction that is for others"))),
    }
}

/// Each row that was to be changed is there: accounts are locked.
fn all_changed(changed: u64, asked: usize) -> Result<(), db::Error> {
    if usize::try_from(changed) == Ok(asked) {
        return Ok(());
    }
    Err(fault(format!("{changed} of {asked} rows were changed")))
}

/// Of ours: nothing of the transaction may stay.
fn fault(what: String) -> db::Error {
    db::Error::Internal(sqlx::Error::Protocol(what))
}

/// Moves accounts on to their next boundaries; they are parked no more.
pub(super) async fn advance(
    tx: &mut impl OfTenants,
    next: &[(TenantId, Option<NaiveDate>)],
) -> Result<(), Error> {
    let tenants = own(tx, next.iter().map(|(id, _)| *id))?;
    let days: Vec<_> = next.iter().map(|(_, day)| *day).collect();
    let done = sqlx::query!(
        "update subscriptions s set next_invoice_on = next.day, bills_again = false, parked_at = null, parked_reason = null,
           version = version + 1
         from unnest($1::uuid[], $2::date[]) next (tenant_id, day) where s.tenant_id = next.tenant_id",
        &tenants,
        &days as &[Option<NaiveDate>]
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(all_changed(done.rows_affected(), tenants.len())?)
}

/// Parks accounts, since when they first were for this reason. Returns the subscriptions that were not, or for another.
pub(super) async fn park(
    tx: &mut impl OfTenants,
    reasons: &[(TenantId, String)],
    now: DateTime<Utc>,
) -> Result<BTreeMap<TenantId, SubscriptionId>, Error> {
    let tenants = own(tx, reasons.iter().map(|(id, _)| *id))?;
    let reasons: Vec<_> = reasons.iter().map(|(_, reason)| reason.clone()).collect();
    let rows = sqlx::query!(
        r#"update subscriptions s set parked_at = case when before.parked_reason = parked.reason then before.parked_at else $3 end,
           parked_reason = parked.reason, version = s.version + 1
         from unnest($1::uuid[], $2::text[]) parked (tenant_id, reason)
         join subscriptions before on before.tenant_id = parked.tenant_id where s.tenant_id = parked.tenant_id
         returning s.tenant_id, s.id, before.parked_reason is distinct from parked.reason as "is_news!""#,
        &tenants,
        &reasons,
        now
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    all_changed(rows.len() as u64, tenants.len())?;
    let news = rows.into_iter().filter(|row| row.is_news);
    let ids = news.map(|row| (TenantId::from_uuid(row.tenant_id), SubscriptionId::from_uuid(row.id)));
    Ok(ids.collect())
}

/// The cycles opened so far of each tenant, oldest first.
pub(super) async fn cycles(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, Vec<Covered>>, Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        r#"select tenant_id, item, starts_on, upper(days) as "end?", lower(whole) as "whole_start!", upper(whole) as "whole_end!",
             time_zone as "time_zone!", instalment, instalments
           from billing_coverage where tenant_id = any ($1) and kind = 'cycle' order by tenant_id, item, starts_on, whole"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut all = Vec::new();
    for row in rows {
        let whole = Span::new(row.whole_start, row.whole_end).ok_or(Error::Stored("cycle"))?;
        let starts_on = row.starts_on;
        let zone = row.time_zone.parse().map_err(|_| Error::Stored("time zone"))?;
        let days = row.end.and_then(|end| Span::new(starts_on, end));
        let (item, key) = (item(&row.item)?, CycleKey { starts_on, whole });
        let part = u16::try_from(row.instalment).ok().zip(u16::try_from(row.instalments).ok());
        let instalment = part.and_then(|(number, count)| Instalment::new(number, count).ok());
        let instalment = instalment.ok_or(Error::Stored("instalment"))?;
        let covered = Covered { item, key, instalment, days, zone };
        all.push((TenantId::from_uuid(row.tenant_id), covered));
    }
    Ok(by_tenant(all))
}

/// Every line that counts as billed, or every one of before a boundary, as it was rated, with its cycle: of each tenant.
pub(super) async fn billed_lines(
    tx: &mut impl OfTenants,
    before: Option<NaiveDate>,
) -> Result<BTreeMap<TenantId, Vec<BilledLine>>, Error> {
    let tenants = tx.tenant_ids();
    let items: Vec<_> = Item::ALL.iter().map(|item| item.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"select l.tenant_id, l.item, lower(l.cycle) as "cycle!", lower(l.whole) as "whole_start!", upper(l.whole) as "whole_end!",
             lower(l.period) as "start!", upper(l.period) as "end!", sum(l.quantity)::bigint as "quantity!",
             sum(l.rated_minor)::bigint as "amount_minor!",
             coalesce(sum(l.rated_minor) filter (where l.kind = 'discount'), 0)::bigint as "off_minor!",
             l.discount_percentage::text as "discount_percentage!", l.discount_off::text as "discount_off!", p.model, p.unit_price::text,
             p.tier_limits as "tier_limits: Vec<Option<i32>>", p.tier_prices::text[] as "tier_prices!"
           from invoice_lines l join prices p on p.id = l.price_id
           where l.tenant_id = any ($1) and l.item = any ($2) and case when $3::date is null
             then not exists (select from unbilled_documents u where u.tenant_id = l.tenant_id and u.invoice_id = l.invoice_id)
             else exists (select from invoices i where i.tenant_id = l.tenant_id and i.id = l.invoice_id and i.boundary < $3) end
           group by l.tenant_id, l.invoice_id, l.rated_position, l.cycle, l.whole, l.period, l.discount_percentage, l.discount_off,
             l.item, p.price_book_id, p.id"#,
        &tenants,
        &items,
        before
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut all = Vec::new();
    for row in rows {
        let period = Span::new(row.start, row.end).ok_or(Error::Stored("period"))?;
        let tariff = tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?;
        let (quantity, amount_minor) = (row.quantity, row.amount_minor);
        let (percentage, off) = discount(&row.discount_percentage, &row.discount_off)?;
        let rate = Rate { tariff, discount: percentage, off };
        let whole = Span::new(row.whole_start, row.whole_end).ok_or(Error::Stored("cycle"))?;
        let key = CycleKey { starts_on: row.cycle, whole };
        let billed = Billed { rate, period, quantity, amount_minor, discount_minor: -row.off_minor };
        all.push((TenantId::from_uuid(row.tenant_id), (item(&row.item)?, key, billed)));
    }
    Ok(by_tenant(all))
}

/// The days of a cycle as they are to be recorded.
pub(super) struct CoveredDays {
    pub(super) tenant_id: TenantId,
    pub(super) item: Item,
    pub(super) cycle: Cycle,
    /// Its charged days; `None` for none of them.
    pub(super) days: Option<Span>,
    pub(super) zone: Tz,
}

/// Columns of [`CoveredDays`].
struct Columns {
    tenants: Vec<Uuid>,
    items: Vec<String>,
    starts: Vec<NaiveDate>,
    whole_starts: Vec<NaiveDate>,
    whole_ends: Vec<NaiveDate>,
    ends: Vec<NaiveDate>,
    zones: Vec<String>,
    instalments: Vec<i32>,
    of: Vec<i32>,
}

impl Columns {
    fn of(tx: &impl OfTenants, all: &[CoveredDays]) -> Result<Self, db::Error> {
        let days = |day: fn(&CoveredDays) -> NaiveDate| all.iter().map(day).collect();
        Ok(Self {
            tenants: own(tx, all.iter().map(|covered| covered.tenant_id))?,
            items: all.iter().map(|covered| covered.item.as_str().to_owned()).collect(),
            starts: days(|covered| covered.cycle.charged.start()),
            whole_starts: days(|covered| covered.cycle.whole.start()),
            whole_ends: days(|covered| covered.cycle.whole.end()),
            // None of them is none from its first on.
            ends: days(|covered| covered.days.map_or(covered.cycle.charged.start(), Span::end)),
            zones: all.iter().map(|covered| covered.zone.name().to_owned()).collect(),
            instalments: all.iter().map(|covered| covered.cycle.instalment.number().into()).collect(),
            of: all.iter().map(|covered| covered.cycle.instalment.count().into()).collect(),
        })
    }
}

pub(super) async fn cover_cycles(tx: &mut impl OfTenants, new: &[CoveredDays]) -> Result<(), db::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let new = Columns::of(tx, new)?;
    sqlx::query!(
        "insert into billing_coverage (tenant_id, item, kind, starts_on, whole, days, time_zone, instalment, instalments)
         select new.tenant_id, new.item, 'cycle', new.starts_on, daterange(new.whole_start, new.whole_end),
           daterange(new.starts_on, new.ends_on), new.time_zone, new.instalment, new.instalments
         from unnest($1::uuid[], $2::text[], $3::date[], $4::date[], $5::date[], $6::date[], $7::text[], $8::int[], $9::int[])
           new (tenant_id, item, starts_on, whole_start, whole_end, ends_on, time_zone, instalment, instalments)",
        &new.tenants,
        &new.items,
        &new.starts,
        &new.whole_starts,
        &new.whole_ends,
        &new.ends,
        &new.zones,
        &new.instalments,
        &new.of,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Changes the charged days of cycles.
pub(super) async fn cover_days(tx: &mut impl OfTenants, changed: &[CoveredDays]) -> Result<(), db::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let new = Columns::of(tx, changed)?;
    // First none of them has days, so that none is in the way of another.
    for ends in [&new.starts, &new.ends] {
        let done = sqlx::query!(
            "update billing_coverage c set days = daterange(new.starts_on, new.ends_on)
             from unnest($1::uuid[], $2::text[], $3::date[], $4::date[], $5::date[], $6::date[])
               new (tenant_id, item, starts_on, whole_start, whole_end, ends_on)
             where c.tenant_id = new.tenant_id and c.item = new.item and c.kind = 'cycle' and c.starts_on = new.starts_on
               and c.whole = daterange(new.whole_start, new.whole_end)",
            &new.tenants,
            &new.items,
            &new.starts,
            &new.whole_starts,
            &new.whole_ends,
            ends,
        )
        .execute(tx.conn())
        .await?;
        all_changed(done.rows_affected(), changed.len())?;
    }
    Ok(())
}

/// Records the days whose changes are billed, of whatever item: seats are what every subscription has.
pub(super) async fn cover_changes(
    tx: &mut impl OfTenants,
    changes: &[(TenantId, Span)],
) -> Result<(), db::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let tenants = own(tx, changes.iter().map(|(id, _)| *id))?;
    sqlx::query!(
        "insert into billing_coverage (tenant_id, item, kind, starts_on, whole, days)
         select new.tenant_id, $1, 'changes', new.starts_on, daterange(new.starts_on, new.ends_on),
           daterange(new.starts_on, new.ends_on)
         from unnest($2::uuid[], $3::date[], $4::date[]) new (tenant_id, starts_on, ends_on)",
        Item::Mailbox.as_str(),
        &tenants,
        &changes.iter().map(|(_, days)| days.start()).collect::<Vec<_>>(),
        &changes.iter().map(|(_, days)| days.end()).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// That a boundary was billed, and how much of the logs was known.
pub(super) struct BilledBoundary {
    pub(super) tenant_id: TenantId,
    pub(super) billing: Billing,
    pub(super) zone: Tz,
    pub(super) known: Known,
}

/// How many entries of the logs of an account are known.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) seat_changes: usize,
    pub(super) mailbox_changes: usize,
    /// The last one's position.
    pub(super) storage_sample: Option<i64>,
    pub(super) commitments: usize,
    pub(super) terms: usize,
    pub(super) discounts: usize,
    pub(super) standings: usize,
}

pub(super) async fn record_boundaries(
    tx: &mut impl OfTenants,
    billed: &[BilledBoundary],
) -> Result<(), db::Error> {
    if billed.is_empty() {
        return Ok(());
    }
    let tenants = own(tx, billed.iter().map(|one| one.tenant_id))?;
    let count = |known: fn(&Known) -> usize| {
        let counts = billed.iter().map(|one| i64::try_from(known(&one.known)).unwrap_or(i64::MAX));
        counts.collect::<Vec<_>>()
    };
    sqlx::query!(
        "insert into billed_boundaries (tenant_id, boundary, revision, time_zone, seat_changes_known, commitments_known,
           terms_known, discounts_known, standings_known, mailbox_changes_known, storage_sample_known)
         select * from unnest($1::uuid[], $2::date[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
           $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])",
        &tenants,
        &billed.iter().map(|one| one.billing.boundary).collect::<Vec<_>>(),
        &billed.iter().map(|one| one.billing.revision).collect::<Vec<_>>(),
        &billed.iter().map(|one| one.zone.name().to_owned()).collect::<Vec<_>>(),
        &count(|known| known.seat_changes),
        &count(|known| known.commitments),
        &count(|known| known.terms),
        &count(|known| known.discounts),
        &count(|known| known.standings),
        &count(|known| known.mailbox_changes),
        &billed.iter().map(|one| one.known.storage_sample).collect::<Vec<_>>() as &[Option<i64>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The days that were billed so far, with those that are to be billed again: of documents that charged something,
/// for one that only credits may be a former issuer's, beside the one that has what comes once. With them comes the last billing. Of each tenant whose last
/// boundary is to be billed again.
pub(super) async fn windows(
    tx: &mut impl OfTenants,
) -> Result<BTreeMap<TenantId, (Windows, Option<Billing>)>, db::Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        r#"select b.tenant_id, b.boundary, b.revision, i.boundary as "gone_boundary?", i.revision as "gone_revision?"
           from subscriptions s
           join billed_boundaries b on b.tenant_id = s.tenant_id
           left join unbilled_documents u on u.tenant_id = b.tenant_id
             and (u.after_boundary, u.after_revision) = (b.boundary, b.revision)
           left join invoices i on i.tenant_id = u.tenant_id and i.id = u.invoice_id and exists (
             select from invoice_lines l where l.tenant_id = i.tenant_id and l.invoice_id = i.id and l.kind not in ('credit', 'discount'))
           where s.tenant_id = any ($1) and s.bills_again order by b.tenant_id, b.boundary, b.revision"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    let mut all = BTreeMap::<TenantId, (Windows, Option<Billing>)>::new();
    for row in rows {
        let (windows, last) = all.entry(TenantId::from_uuid(row.tenant_id)).or_default();
        let billing = Billing { boundary: row.boundary, revision: row.revision };
        if last.replace(billing) != Some(billing) {
            windows.bill(billing);
        }
        if let Some((boundary, revision)) = row.gone_boundary.zip(row.gone_revision) {
            windows.let_go(Billing { boundary, revision });
        }
    }
    Ok(all)
}

/// How each tenant is called where it has no billing profile.
pub(super) async fn customer_names(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, String>, db::Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!("select id, name from tenants where id = any ($1)", &tenants)
        .fetch_all(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|row| (TenantId::from_uuid(row.id), row.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For these tenants, without a database.
    struct Of(Vec<Uuid>);

    impl OfTenants for Of {
        fn conn(&mut self) -> &mut sqlx::PgConnection {
            panic!("nothing is written")
        }

        fn tenant_ids(&self) -> Vec<Uuid> {
            self.0.clone()
        }
    }

    #[test]
    fn no_row_is_written_but_of_those_whom_the_transaction_is_for() {
        let [one, two, other] = [1, 2, 3].map(Uuid::from_u128);
        let written = |ids: &[Uuid]| {
            let ids = ids.iter().map(|id| TenantId::from_uuid(*id)).collect::<Vec<_>>();
            own(&Of(vec![one, two]), ids.into_iter())
        };
        assert_eq!(written(&[two, one, two]).unwrap(), [two, one, two]);
        assert!(written(&[]).unwrap().is_empty());
        assert!(written(&[one, other]).unwrap_err().kind() == kernel::ErrorKind::Internal);
    }

    #[test]
    fn rows_that_are_missed_are_a_fault() {
        assert!(all_changed(2, 2).is_ok() && all_changed(1, 2).is_err() && all_changed(3, 2).is_err());
    }
}
