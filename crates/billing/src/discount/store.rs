//! SQL of discounts.

use kernel::{DiscountId, Money};
use sqlx::types::chrono::NaiveDate;
use tenancy::TenantTx;

use super::{Discount, Off};
use crate::Error;

/// The whole log, in its order. Of two entries of one discount the later holds.
pub(crate) async fn all(tx: &mut TenantTx) -> Result<Vec<Discount>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, description, percentage::text, amount_minor, currency, item, starts_on, ends_on, set_at
         from subscription_discounts where tenant_id = $1 order by ordinal",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let off = match (row.percentage, row.amount_minor.zip(row.currency)) {
                (Some(text), None) => text.parse().ok().map(Off::Percentage),
                (None, Some((minor, code))) => {
                    code.parse().ok().map(|currency| Off::Amount(Money::new(minor, currency)))
                }
                _ => None,
            };
            Ok(Discount {
                id: DiscountId::from_uuid(row.id),
                description: row.description,
                off: off.ok_or(Error::Stored("discount"))?,
                item: row.item,
                starts_on: row.starts_on,
                ends_on: row.ends_on,
                set_at: row.set_at,
            })
        })
        .collect()
}

/// The subscription's row has to be locked.
pub(super) async fn append(tx: &mut TenantTx, discount: &Discount) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (percentage, amount) = match discount.off {
        Off::Percentage(percentage) => (Some(percentage.to_string()), None),
        Off::Amount(amount) => (None, Some(amount)),
    };
    sqlx::query!(
        "insert into subscription_discounts (tenant_id, ordinal, id, description, percentage, amount_minor, currency, item,
           starts_on, ends_on, set_at)
         select $1, coalesce(max(ordinal), 0) + 1, $2, $3, $4::text::numeric, $5, $6, $7, $8, $9, $10
         from subscription_discounts where tenant_id = $1",
        tenant_id,
        discount.id.uuid(),
        discount.description,
        percentage,
        amount.map(|amount| amount.amount_minor),
        amount.map(|amount| amount.currency.code()),
        discount.item,
        discount.starts_on,
        discount.ends_on,
        discount.set_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The day after the last of the cycles that have been billed.
pub(super) async fn charged_until(tx: &mut TenantTx) -> Result<Option<NaiveDate>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let until = sqlx::query_scalar!(
        "select max(upper(days)) from billing_coverage where tenant_id = $1 and kind = 'cycle'",
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(until)
}
