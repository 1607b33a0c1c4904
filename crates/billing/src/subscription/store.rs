//! SQL of subscriptions.

use kernel::{Currency, PriceBookId, PriceId, SubscriptionId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use uuid::Uuid;

use super::{AgreedTerms, SubscribedPrice, Subscription};
use crate::Error;
use crate::price_book::CycleLength;
use crate::price_book::store::{removal_policy, tariff, tax_behavior};
use crate::rating::Step;

struct Row {
    id: Uuid,
    seats_committed: i32,
    anchor_date: NaiveDate,
    starts_on: NaiveDate,
    status: String,
    next_invoice_on: NaiveDate,
    parked_reason: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
}

/// `None` as well for one whose price book the tenant does not see: it is another issuer's.
pub(crate) async fn find(tx: &mut TenantTx) -> Result<Option<Subscription>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, seats_committed, anchor_date, starts_on, status, next_invoice_on, parked_reason, version, created_at
         from subscriptions where tenant_id = $1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    let mut earlier = terms(tx).await?;
    let Some((interval, terms)) = earlier.pop() else { return Ok(None) };
    Ok(Some(Subscription {
        id: SubscriptionId::from_uuid(row.id),
        terms,
        interval,
        seats_committed: row.seats_committed,
        anchor_date: row.anchor_date,
        starts_on: row.starts_on,
        status: row.status,
        next_invoice_on: row.next_invoice_on,
        parked_reason: row.parked_reason,
        version: row.version,
        created_at: row.created_at,
        earlier: earlier.into_iter().map(|(_, terms)| terms).collect(),
    }))
}

/// Everything that was agreed, in that order, each with the length of its cycles.
async fn terms(tx: &mut TenantTx) -> Result<Vec<(CycleLength, AgreedTerms)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select s.starts_on, s.price_book_id, s.price_id, s.term_months, b.version, b.currency, b.tax_behavior, p."interval", p.model,
             p.unit_price::text, p.tier_limits as "tier_limits: Vec<Option<i32>>", p.tier_prices::text[] as "tier_prices!",
             p.removal_policy, p.grace_days
           from subscription_terms s
           join price_books b on b.id = s.price_book_id
           join prices p on p.price_book_id = s.price_book_id and p.id = s.price_id
           where s.tenant_id = $1 order by s.ordinal"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let price = SubscribedPrice {
                id: PriceId::from_uuid(row.price_id),
                tariff: tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?,
                currency: row.currency.parse().map_err(|_| Error::Stored("currency"))?,
                basis: tax_behavior(&row.tax_behavior)?,
                removal: removal_policy(&row.removal_policy, row.grace_days)?,
            };
            let interval = CycleLength::from_name(&row.interval).ok_or(Error::Stored("interval"))?;
            let terms = AgreedTerms {
                starts_on: row.starts_on,
                price_book_id: PriceBookId::from_uuid(row.price_book_id),
                price_book_version: row.version,
                term_months: row.term_months,
                price,
            };
            Ok((interval, terms))
        })
        .collect()
}

/// As [`find`], keeping runs and other writers away until the transaction ends; two that subscribe for the first
/// time meet at the tenant's row.
pub(super) async fn find_locked(tx: &mut TenantTx) -> Result<Option<Subscription>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("select id from tenants where id = $1 for no key update", tenant_id)
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    sqlx::query!("select id from subscriptions where tenant_id = $1 for update", tenant_id)
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx).await
}

/// The price of an item in a book that the tenant sees, with the book's version.
pub(super) async fn price(
    tx: &mut TenantTx,
    book: PriceBookId,
    interval: CycleLength,
    item: &str,
) -> Result<Option<(i32, SubscribedPrice)>, Error> {
    let row = sqlx::query!(
        r#"select b.version, b.currency, b.tax_behavior, p.id, p.model, p.unit_price::text, p.tier_limits as "tier_limits: Vec<Option<i32>>",
             p.tier_prices::text[] as "tier_prices!", p.removal_policy, p.grace_days
           from price_books b join prices p on p.price_book_id = b.id
           where b.id = $1 and p.item = $2 and p."interval" = $3"#,
        book.uuid(),
        item,
        interval.as_str()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(|row| {
        let price = SubscribedPrice {
            id: PriceId::from_uuid(row.id),
            tariff: tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?,
            currency: row.currency.parse().map_err(|_| Error::Stored("currency"))?,
            basis: tax_behavior(&row.tax_behavior)?,
            removal: removal_policy(&row.removal_policy, row.grace_days)?,
        };
        Ok((row.version, price))
    })
    .transpose()
}

pub(super) async fn tenant_currency(tx: &mut TenantTx) -> Result<Currency, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let code = sqlx::query_scalar!("select currency from tenants where id = $1", tenant_id)
        .fetch_one(tx.conn())
        .await
        .map_err(db::Error::from)?;
    code.parse().map_err(|_| Error::Stored("currency"))
}

pub(super) async fn is_billed(tx: &mut TenantTx) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let billed = sqlx::query_scalar!(
        r#"select exists (select from billing_coverage where tenant_id = $1) as "billed!""#,
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(billed)
}

/// Writes all of it but the terms; it is parked no more.
pub(super) async fn put(tx: &mut TenantTx, new: &Subscription) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into subscriptions (tenant_id, id, seats_committed, anchor_date, starts_on, status, next_invoice_on, version,
           created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict on constraint subscriptions_one_a_tenant do update set
           seats_committed = excluded.seats_committed, anchor_date = excluded.anchor_date,
           starts_on = excluded.starts_on, next_invoice_on = excluded.next_invoice_on, version = excluded.version,
           parked_at = null, parked_reason = null",
        tenant_id,
        new.id.uuid(),
        new.seats_committed,
        new.anchor_date,
        new.starts_on,
        new.status,
        new.next_invoice_on,
        new.version,
        new.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The subscription's row has to be locked.
pub(super) async fn append_terms(
    tx: &mut TenantTx,
    terms: &AgreedTerms,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into subscription_terms (tenant_id, ordinal, starts_on, price_book_id, price_id, term_months, set_at)
         select $1, coalesce(max(ordinal), 0) + 1, $2, $3, $4, $5, $6 from subscription_terms where tenant_id = $1",
        tenant_id,
        terms.starts_on,
        terms.price_book_id.uuid(),
        terms.price.id.uuid(),
        terms.term_months,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Never before what was set earlier, should the clock step back.
pub(super) async fn append_commitment(tx: &mut TenantTx, step: Step) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let level = i32::try_from(step.level).map_err(|_| Error::Stored("commitment"))?;
    sqlx::query!(
        "insert into seat_commitments (tenant_id, ordinal, at, seats_committed)
         select $1, coalesce(max(ordinal), 0) + 1, greatest($2, max(at)), $3 from seat_commitments where tenant_id = $1",
        tenant_id,
        step.at,
        level
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Every committed minimum that was set, in the order in which they were.
pub(crate) async fn commitments(tx: &mut TenantTx) -> Result<Vec<Step>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select at, seats_committed from seat_commitments where tenant_id = $1 order by ordinal",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| Step { at: row.at, level: row.seats_committed.into() }).collect())
}
