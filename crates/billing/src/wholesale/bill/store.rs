//! SQL of billing one agreement.

use std::collections::{BTreeMap, BTreeSet};

use db::SystemTx;
use kernel::{ResellerId, TenantId, WholesaleAgreementId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::super::counted::{Below, Counted, CountedAt};
use super::super::invoice::Named;
use super::super::logs::Known;
use super::super::rate::BilledLines;
use crate::Error;
use crate::invoice::Billing;
use crate::price_book::Item;
use crate::price_book::store::{item, tariff};
use crate::profile;
use crate::rating::{Billed, Cycle, CycleState, Rate, Span};
use crate::subscription::Cycles;

/// Locks the agreement's row and says whether it is parked; `None` when somebody else holds it, unless that is waited for: at
/// most half a minute, after which it is an error.
pub(super) async fn claim(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    waits: bool,
) -> Result<Option<bool>, db::Error> {
    let id = reseller_id.uuid();
    if !waits {
        let claim = sqlx::query_scalar!(
            r#"select parked_at is not null as "is_parked!" from wholesale_agreements where reseller_id = $1 for update skip locked"#,
            id
        );
        return Ok(claim.fetch_optional(tx.conn()).await?);
    }
    db::wait_half_a_minute(tx.conn()).await?;
    let claim = sqlx::query_scalar!(
        r#"select parked_at is not null as "is_parked!" from wholesale_agreements where reseller_id = $1 for update"#,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    db::wait_without_end(tx.conn()).await?;
    Ok(claim)
}

/// Whether the reseller is deleted; once its agreement is held, that stays so.
pub(in crate::wholesale) async fn is_deleted(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<bool, db::Error> {
    let is_deleted = sqlx::query_scalar!(
        r#"select status = 'deleted' as "is_deleted!" from resellers where id = $1"#,
        reseller_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_deleted)
}

/// Moves the agreement to the boundary that is billed next, which may be the last one again; it is parked no more.
pub(in crate::wholesale) async fn advance(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    next_invoice_on: NaiveDate,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update wholesale_agreements set next_invoice_on = $2, parked_at = null, parked_reason = null, version = version + 1
         where reseller_id = $1",
        reseller_id.uuid(),
        next_invoice_on
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Parks an agreement. Returns it if it was not parked, or for another reason.
pub(super) async fn park(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Option<WholesaleAgreementId>, db::Error> {
    let row = sqlx::query!(
        r#"update wholesale_agreements a set parked_at = $3, parked_reason = $2, version = a.version + 1
         from wholesale_agreements before where before.reseller_id = a.reseller_id and a.reseller_id = $1
         returning a.id, before.parked_reason is distinct from $2 as "is_news!""#,
        reseller_id.uuid(),
        reason,
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.filter(|row| row.is_news).map(|row| WholesaleAgreementId::from_uuid(row.id)))
}

/// The agreements of the resellers below one.
pub(crate) async fn below(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Vec<Below>, db::Error> {
    let rows = sqlx::query!(
        "select a.reseller_id, a.starts_on, a.created_at from wholesale_agreements a join resellers r on r.id = a.reseller_id
         where $1 = any (r.path) and r.id <> $1",
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    let below = rows.into_iter().map(|row| Below {
        reseller_id: ResellerId::from_uuid(row.reseller_id),
        starts_on: row.starts_on,
        agreed_at: row.created_at,
    });
    Ok(below.collect())
}

/// The cycles of each item opened so far, oldest first, with nothing billed of them.
pub(crate) async fn cycles(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Cycles, Error> {
    let rows = sqlx::query!(
        r#"select item, lower(days) as "start!", upper(days) as "end!", lower(whole) as "whole_start!",
             upper(whole) as "whole_end!", time_zone as "time_zone!"
           from wholesale_coverage where reseller_id = $1 and kind = 'cycle' order by days"#,
        reseller_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut cycles = Cycles::new();
    for row in rows {
        let charged = Span::new(row.start, row.end).ok_or(Error::Stored("cycle"))?;
        let whole = Span::new(row.whole_start, row.whole_end).ok_or(Error::Stored("cycle"))?;
        let zone = row.time_zone.parse().map_err(|_| Error::Stored("time zone"))?;
        let state = CycleState { cycle: Cycle::new(charged, whole), zone, billed: Vec::new() };
        cycles.entry(item(&row.item)?).or_default().push(state);
    }
    Ok(cycles)
}

/// Every line that counts as billed, by tenant.
pub(in crate::wholesale) async fn billed_lines(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<BTreeMap<Option<TenantId>, BilledLines>, Error> {
    let rows = sqlx::query!(
        r#"select l.tenant_id, l.item, lower(l.cycle) as "cycle!", lower(l.period) as "start!", upper(l.period) as "end!", l.quantity,
             l.amount_minor, p.model, p.unit_price::text, p.tier_limits as "tier_limits: Vec<Option<i32>>",
             p.tier_prices::text[] as "tier_prices!"
           from wholesale_invoice_lines l join prices p on p.id = l.price_id
           where l.reseller_id = $1 and not exists (
             select from wholesale_unbilled_documents u where u.reseller_id = l.reseller_id and u.invoice_id = l.invoice_id)"#,
        reseller_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut lines = BTreeMap::<Option<TenantId>, BilledLines>::new();
    for row in rows {
        let period = Span::new(row.start, row.end).ok_or(Error::Stored("period"))?;
        let tariff = tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?;
        let rate = Rate::from(tariff);
        let (quantity, amount_minor) = (row.quantity, row.amount_minor);
        let billed = Billed { rate, period, quantity, amount_minor, discount_minor: 0 };
        let of_tenant = lines.entry(row.tenant_id.map(TenantId::from_uuid)).or_default();
        of_tenant.entry(item(&row.item)?).or_default().entry(row.cycle).or_default().push(billed);
    }
    Ok(lines)
}

/// The last boundary that was billed, if one was, and on which days each tenant counted then.
pub(crate) async fn last_billed(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<(Billing, CountedAt)>, db::Error> {
    let last = sqlx::query_as!(
        Billing,
        "select boundary, revision from wholesale_boundaries where reseller_id = $1
         order by boundary desc, revision desc limit 1",
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(last) = last else { return Ok(None) };
    let rows = sqlx::query!(
        r#"select tenant_id, counts_from, counts_until as "counts_until: Vec<Option<NaiveDate>>"
           from wholesale_boundary_tenants where reseller_id = $1 and boundary = $2 and revision = $3"#,
        reseller_id.uuid(),
        last.boundary,
        last.revision
    )
    .fetch_all(tx.conn())
    .await?;
    let tenants = rows.into_iter().map(|row| {
        (TenantId::from_uuid(row.tenant_id), Counted::of_columns(row.counts_from, row.counts_until))
    });
    Ok(Some((last, CountedAt { boundary: last.boundary, tenants: tenants.collect() })))
}

pub(super) async fn cover_cycle(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    item: Item,
    state: &CycleState,
) -> Result<(), db::Error> {
    let Cycle { charged, whole, .. } = state.cycle;
    sqlx::query!(
        "insert into wholesale_coverage (reseller_id, item, kind, days, whole, time_zone)
         values ($1, $2, 'cycle', daterange($3, $4), daterange($5, $6), $7)",
        reseller_id.uuid(),
        item.as_str(),
        charged.start(),
        charged.end(),
        whole.start(),
        whole.end(),
        state.zone.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Every item's.
pub(super) async fn cover_changes(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    items: &BTreeSet<Item>,
    days: Span,
) -> Result<(), db::Error> {
    let items: Vec<String> = items.iter().map(|item| item.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into wholesale_coverage (reseller_id, item, kind, days)
         select $1, item, 'changes', daterange($3, $4) from unnest($2::text[]) of (item)",
        reseller_id.uuid(),
        &items,
        days.start(),
        days.end(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Records that a boundary was billed, and how many terms had been agreed.
pub(super) async fn record_boundary(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    billing: Billing,
    terms_known: usize,
) -> Result<(), Error> {
    let terms_known = i64::try_from(terms_known).map_err(|_| Error::Stored("terms"))?;
    sqlx::query!(
        "insert into wholesale_boundaries (reseller_id, boundary, revision, terms_known) values ($1, $2, $3, $4)",
        reseller_id.uuid(),
        billing.boundary,
        billing.revision,
        terms_known
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Records what was known of a tenant at a boundary: so much of its logs, and the days on which it counted.
pub(super) async fn record_tenant(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    billing: Billing,
    tenant_id: TenantId,
    known: Known,
    counted: &[Counted],
) -> Result<(), Error> {
    let count = |known: usize| i64::try_from(known).map_err(|_| Error::Stored("event log"));
    let from: Vec<NaiveDate> = counted.iter().map(|days| days.from).collect();
    let until: Vec<Option<NaiveDate>> = counted.iter().map(|days| days.until).collect();
    sqlx::query!(
        "insert into wholesale_boundary_tenants (reseller_id, boundary, revision, tenant_id, seat_changes_known,
           mailbox_changes_known, storage_sample_known, counts_from, counts_until)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        reseller_id.uuid(),
        billing.boundary,
        billing.revision,
        tenant_id.uuid(),
        count(known.seat_changes)?,
        count(known.mailbox_changes)?,
        known.storage_sample,
        &from,
        &until as _,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// How a reseller and its tenants on some documents are called.
pub(super) struct Names {
    pub(super) reseller: String,
    tenants: BTreeMap<TenantId, String>,
}

impl Names {
    pub(super) fn of(&self, id: TenantId) -> Result<Named, Error> {
        let name = self.tenants.get(&id).cloned().ok_or(Error::Stored("tenant"))?;
        Ok(Named { id, name })
    }
}

pub(super) async fn names(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    tenants: &BTreeSet<TenantId>,
) -> Result<Names, Error> {
    let reseller = profile::store::reseller_name(tx.conn(), reseller_id).await?.ok_or(Error::NotFound)?;
    let ids: Vec<Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!("select id, name from tenants where id = any ($1)", &ids)
        .fetch_all(tx.conn())
        .await
        .map_err(db::Error::from)?;
    let tenants = rows.into_iter().map(|row| (TenantId::from_uuid(row.id), row.name)).collect();
    Ok(Names { reseller, tenants })
}
