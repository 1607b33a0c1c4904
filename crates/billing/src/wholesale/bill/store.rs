//! SQL of billing one agreement.

use std::collections::{BTreeMap, BTreeSet};

use db::SystemTx;
use kernel::{ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::super::counted::{Below, Counted};
use super::super::invoice::Named;
use super::super::rate::PartyLine;
use crate::Error;
use crate::price_book::store::tariff;
use crate::profile;
use crate::rating::{Billed, Cycle, CycleState, Rate, Span};

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
    sqlx::query!("set local lock_timeout = '30s'").execute(tx.conn()).await?;
    let claim = sqlx::query_scalar!(
        r#"select parked_at is not null as "is_parked!" from wholesale_agreements where reseller_id = $1 for update"#,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    sqlx::query!("set local lock_timeout to default").execute(tx.conn()).await?;
    Ok(claim)
}

/// Moves the agreement on to its next boundary; it is parked no more.
pub(super) async fn advance(
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

pub(super) async fn park(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "update wholesale_agreements set parked_at = $3, parked_reason = $2, version = version + 1 where reseller_id = $1",
        reseller_id.uuid(),
        reason,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
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

/// The cycles opened so far, oldest first, with nothing billed of them.
pub(crate) async fn cycles(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    item: &str,
) -> Result<Vec<CycleState>, Error> {
    let rows = sqlx::query!(
        r#"select lower(days) as "start!", upper(days) as "end!", lower(whole) as "whole_start!",
             upper(whole) as "whole_end!", time_zone as "time_zone!"
           from wholesale_coverage where reseller_id = $1 and item = $2 and kind = 'cycle' order by days"#,
        reseller_id.uuid(),
        item
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let charged = Span::new(row.start, row.end).ok_or(Error::Stored("cycle"))?;
            let whole = Span::new(row.whole_start, row.whole_end).ok_or(Error::Stored("cycle"))?;
            let zone = row.time_zone.parse().map_err(|_| Error::Stored("time zone"))?;
            Ok(CycleState { cycle: Cycle { charged, whole }, zone, billed: Vec::new() })
        })
        .collect()
}

/// What was billed so far, by tenant and by the first day of its cycle.
pub(super) type BilledLines = BTreeMap<Option<TenantId>, BTreeMap<NaiveDate, Vec<Billed>>>;

/// Every line billed so far.
pub(super) async fn billed_lines(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    item: &str,
) -> Result<BilledLines, Error> {
    let rows = sqlx::query!(
        r#"select l.tenant_id, lower(l.cycle) as "cycle!", lower(l.period) as "start!", upper(l.period) as "end!", l.quantity,
             l.amount_minor, p.model, p.unit_price::text, p.tier_limits as "tier_limits: Vec<Option<i32>>",
             p.tier_prices::text[] as "tier_prices!"
           from wholesale_invoice_lines l join prices p on p.id = l.price_id
           where l.reseller_id = $1 and l.item = $2"#,
        reseller_id.uuid(),
        item
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut lines = BilledLines::new();
    for row in rows {
        let period = Span::new(row.start, row.end).ok_or(Error::Stored("period"))?;
        let tariff = tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?;
        let rate = Rate::from(tariff);
        let (quantity, amount_minor) = (row.quantity, row.amount_minor);
        let billed = Billed { rate, period, quantity, amount_minor, discount_minor: 0 };
        let tenant_id = row.tenant_id.map(TenantId::from_uuid);
        lines.entry(tenant_id).or_default().entry(row.cycle).or_default().push(billed);
    }
    Ok(lines)
}

/// The boundary up to which changes have been billed.
pub(super) async fn changes_billed_until(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    item: &str,
) -> Result<Option<NaiveDate>, db::Error> {
    let until = sqlx::query_scalar!(
        "select max(upper(days)) from wholesale_coverage where reseller_id = $1 and item = $2 and kind = 'changes'",
        reseller_id.uuid(),
        item
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(until)
}

pub(super) async fn cover_cycle(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    item: &str,
    state: &CycleState,
) -> Result<(), db::Error> {
    let Cycle { charged, whole } = state.cycle;
    sqlx::query!(
        "insert into wholesale_coverage (reseller_id, item, kind, days, whole, time_zone)
         values ($1, $2, 'cycle', daterange($3, $4), daterange($5, $6), $7)",
        reseller_id.uuid(),
        item,
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

pub(super) async fn cover_changes(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    item: &str,
    days: Span,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_coverage (reseller_id, item, kind, days) values ($1, $2, 'changes', daterange($3, $4))",
        reseller_id.uuid(),
        item,
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
    boundary: NaiveDate,
    terms_known: usize,
) -> Result<(), Error> {
    let terms_known = i64::try_from(terms_known).map_err(|_| Error::Stored("terms"))?;
    sqlx::query!(
        "insert into wholesale_boundaries (reseller_id, boundary, terms_known) values ($1, $2, $3)",
        reseller_id.uuid(),
        boundary,
        terms_known
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Records what was known of a tenant at a boundary: so many seat changes, and the days on which it counted.
pub(super) async fn record_tenant(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    boundary: NaiveDate,
    tenant_id: TenantId,
    seat_changes_known: usize,
    counted: &[Counted],
) -> Result<(), Error> {
    let seat_changes_known = i64::try_from(seat_changes_known).map_err(|_| Error::Stored("event log"))?;
    let from: Vec<NaiveDate> = counted.iter().map(|days| days.from).collect();
    let until: Vec<Option<NaiveDate>> = counted.iter().map(|days| days.until).collect();
    sqlx::query!(
        "insert into wholesale_boundary_tenants (reseller_id, boundary, tenant_id, seat_changes_known, counts_from, counts_until)
         values ($1, $2, $3, $4, $5, $6)",
        reseller_id.uuid(),
        boundary,
        tenant_id.uuid(),
        seat_changes_known,
        &from,
        &until as _,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// How everybody on some documents is called.
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
    documents: &[(NaiveDate, Vec<PartyLine>)],
) -> Result<Names, Error> {
    let reseller = profile::store::reseller_name(tx.conn(), reseller_id).await?.ok_or(Error::NotFound)?;
    let ids: BTreeSet<Uuid> = documents
        .iter()
        .flat_map(|(_, lines)| lines.iter().filter_map(|(tenant, _)| tenant.map(TenantId::uuid)))
        .collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows = sqlx::query!("select id, name from tenants where id = any ($1)", &ids)
        .fetch_all(tx.conn())
        .await
        .map_err(db::Error::from)?;
    let tenants = rows.into_iter().map(|row| (TenantId::from_uuid(row.id), row.name)).collect();
    Ok(Names { reseller, tenants })
}
