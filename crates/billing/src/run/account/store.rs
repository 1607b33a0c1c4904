//! SQL of billing one account.

use chrono_tz::Tz;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;

use crate::Error;
use crate::invoice::Billing;
use crate::invoice::store::discount;
use crate::price_book::store::tariff;
use crate::rating::{Billed, Rate, Span};
use crate::subscription::Windows;

use super::{Covered, CycleKey};

/// The account's row, locked.
pub(super) struct Claim {
    pub(super) next_invoice_on: Option<NaiveDate>,
    pub(super) is_parked: bool,
}

/// Locks the account's row; `None` when somebody else holds it.
pub(super) async fn claim(tx: &mut TenantTx) -> Result<Option<Claim>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let claim = sqlx::query_as!(
        Claim,
        r#"select next_invoice_on, parked_at is not null as "is_parked!" from subscriptions
           where tenant_id = $1 for update skip locked"#,
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(claim)
}

/// As [`claim`], but waits for whoever holds it: at most half a minute, after which it is an error.
pub(super) async fn claim_waiting(tx: &mut TenantTx) -> Result<Option<Claim>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("set local lock_timeout = '30s'").execute(tx.conn()).await?;
    let claim = sqlx::query_as!(
        Claim,
        r#"select next_invoice_on, parked_at is not null as "is_parked!" from subscriptions
           where tenant_id = $1 for update"#,
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    sqlx::query!("set local lock_timeout to default").execute(tx.conn()).await?;
    Ok(claim)
}

/// Moves the account on to its next boundary; it is parked no more.
pub(super) async fn advance(tx: &mut TenantTx, next_invoice_on: Option<NaiveDate>) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update subscriptions set next_invoice_on = $2, bills_again = false, parked_at = null, parked_reason = null,
           version = version + 1 where tenant_id = $1",
        tenant_id,
        next_invoice_on
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn park(tx: &mut TenantTx, reason: &str, now: DateTime<Utc>) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update subscriptions set parked_at = $3, parked_reason = $2, version = version + 1 where tenant_id = $1",
        tenant_id,
        reason,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The cycles opened so far, oldest first.
pub(super) async fn cycles(tx: &mut TenantTx, item: &str) -> Result<Vec<Covered>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select starts_on, upper(days) as "end?", lower(whole) as "whole_start!", upper(whole) as "whole_end!",
             time_zone as "time_zone!"
           from billing_coverage where tenant_id = $1 and item = $2 and kind = 'cycle' order by starts_on, whole"#,
        tenant_id,
        item
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let whole = Span::new(row.whole_start, row.whole_end).ok_or(Error::Stored("cycle"))?;
            let starts_on = row.starts_on;
            let zone = row.time_zone.parse().map_err(|_| Error::Stored("time zone"))?;
            let days = row.end.and_then(|end| Span::new(starts_on, end));
            Ok(Covered { key: CycleKey { starts_on, whole }, days, zone })
        })
        .collect()
}

/// Every line that counts as billed, or every one of before a boundary, as it was rated, with its cycle.
pub(super) async fn billed_lines(
    tx: &mut TenantTx,
    item: &str,
    before: Option<NaiveDate>,
) -> Result<Vec<(CycleKey, Billed)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select lower(l.cycle) as "cycle!", lower(l.whole) as "whole_start!", upper(l.whole) as "whole_end!",
             lower(l.period) as "start!", upper(l.period) as "end!", sum(l.quantity)::bigint as "quantity!",
             sum(l.rated_minor)::bigint as "amount_minor!",
             coalesce(sum(l.rated_minor) filter (where l.kind = 'discount'), 0)::bigint as "off_minor!",
             l.discount_percentage::text as "discount_percentage!", l.discount_off::text as "discount_off!", p.model, p.unit_price::text,
             p.tier_limits as "tier_limits: Vec<Option<i32>>", p.tier_prices::text[] as "tier_prices!"
           from invoice_lines l join prices p on p.id = l.price_id
           where l.tenant_id = $1 and l.item = $2 and case when $3::date is null
             then not exists (select from unbilled_documents u where u.tenant_id = l.tenant_id and u.invoice_id = l.invoice_id)
             else exists (select from invoices i where i.tenant_id = l.tenant_id and i.id = l.invoice_id and i.boundary < $3) end
           group by l.invoice_id, l.rated_position, l.cycle, l.whole, l.period, l.discount_percentage, l.discount_off,
             p.price_book_id, p.id"#,
        tenant_id,
        item,
        before
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let period = Span::new(row.start, row.end).ok_or(Error::Stored("period"))?;
            let tariff = tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?;
            let (quantity, amount_minor) = (row.quantity, row.amount_minor);
            let (percentage, off) = discount(&row.discount_percentage, &row.discount_off)?;
            let rate = Rate { tariff, discount: percentage, off };
            let whole = Span::new(row.whole_start, row.whole_end).ok_or(Error::Stored("cycle"))?;
            let key = CycleKey { starts_on: row.cycle, whole };
            Ok((key, Billed { rate, period, quantity, amount_minor, discount_minor: -row.off_minor }))
        })
        .collect()
}

pub(super) async fn cover_cycle(
    tx: &mut TenantTx,
    item: &str,
    key: CycleKey,
    days: Option<Span>,
    zone: Tz,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into billing_coverage (tenant_id, item, kind, starts_on, whole, days, time_zone)
         values ($1, $2, 'cycle', $3, daterange($4, $5), daterange($3, coalesce($6::date, $3)), $7)",
        tenant_id,
        item,
        key.starts_on,
        key.whole.start(),
        key.whole.end(),
        days.map(Span::end),
        zone.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Changes the charged days of a cycle; `None` for none of them.
pub(super) async fn cover_days(
    tx: &mut TenantTx,
    item: &str,
    key: CycleKey,
    days: Option<Span>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update billing_coverage set days = daterange($3, coalesce($6::date, $3))
         where tenant_id = $1 and item = $2 and kind = 'cycle' and starts_on = $3 and whole = daterange($4, $5)",
        tenant_id,
        item,
        key.starts_on,
        key.whole.start(),
        key.whole.end(),
        days.map(Span::end),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn cover_changes(tx: &mut TenantTx, item: &str, days: Span) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into billing_coverage (tenant_id, item, kind, starts_on, whole, days)
         values ($1, $2, 'changes', $3, daterange($3, $4), daterange($3, $4))",
        tenant_id,
        item,
        days.start(),
        days.end(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Records that a boundary was billed, and how much of the logs was known: all terms, commitments and discounts, since a change of
/// the subscription waits for its row, and so many seat changes and standings. Returns which time it was billed.
pub(super) async fn record_boundary(
    tx: &mut TenantTx,
    boundary: NaiveDate,
    zone: Tz,
    seat_changes_known: i64,
    standings_known: i64,
) -> Result<Billing, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let revision = sqlx::query_scalar!(
        "insert into billed_boundaries (tenant_id, boundary, time_zone, seat_changes_known, commitments_known, terms_known,
           discounts_known, standings_known, revision)
         select $1, $2, $3, $4, (select count(*) from seat_commitments where tenant_id = $1),
           (select count(*) from subscription_terms where tenant_id = $1),
           (select count(*) from subscription_discounts where tenant_id = $1),
           $5, (select coalesce(max(revision), 0) + 1 from billed_boundaries where tenant_id = $1 and boundary = $2)
         returning revision",
        tenant_id,
        boundary,
        zone.name(),
        seat_changes_known,
        standings_known,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Billing { boundary, revision })
}

/// The days that were billed so far, with those that are to be billed again.
pub(super) async fn windows(tx: &mut TenantTx) -> Result<Windows, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select b.boundary, b.revision, i.boundary as "gone_boundary?", i.revision as "gone_revision?"
           from billed_boundaries b
           left join unbilled_documents u on u.tenant_id = b.tenant_id
             and (u.after_boundary, u.after_revision) = (b.boundary, b.revision)
           left join invoices i on i.tenant_id = u.tenant_id and i.id = u.invoice_id
           where b.tenant_id = $1 order by b.boundary, b.revision"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    let (mut windows, mut last) = (Windows::default(), None);
    for row in rows {
        let billing = Billing { boundary: row.boundary, revision: row.revision };
        if last.replace(billing) != Some(billing) {
            windows.bill(billing);
        }
        if let Some((boundary, revision)) = row.gone_boundary.zip(row.gone_revision) {
            windows.let_go(Billing { boundary, revision });
        }
    }
    Ok(windows)
}

/// How issuer and customer are called where they have no billing profile.
pub(super) struct Names {
    pub(super) issuer: String,
    pub(super) customer: String,
}

pub(super) async fn names(tx: &mut TenantTx) -> Result<Names, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let names = sqlx::query_as!(
        Names,
        "select r.name as issuer, t.name as customer
         from tenants t join resellers r on r.id = t.reseller_id where t.id = $1",
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(names)
}
