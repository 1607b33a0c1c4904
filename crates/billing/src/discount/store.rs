//! SQL of discounts.

use kernel::{DiscountId, Money, TenantId};
use sqlx::types::chrono::NaiveDate;
use tenancy::{OfTenants, TenantTx};

use super::{Discount, Off};
use crate::Error;
use crate::price_book::Item;
use crate::price_book::store::item;

/// The whole log of each tenant, in its order. Of two entries of one discount the later holds.
pub(crate) async fn all(tx: &mut impl OfTenants) -> Result<Vec<(TenantId, Discount)>, Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        "select tenant_id, id, description, percentage::text, amount_minor, currency, item, starts_on, ends_on, set_at
         from subscription_discounts where tenant_id = any ($1) order by tenant_id, ordinal",
        &tenants
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
            let discount = Discount {
                id: DiscountId::from_uuid(row.id),
                description: row.description,
                off: off.ok_or(Error::Stored("discount"))?,
                item: row.item.as_deref().map(item).transpose()?,
                starts_on: row.starts_on,
                ends_on: row.ends_on,
                set_at: row.set_at,
            };
            Ok((TenantId::from_uuid(row.tenant_id), discount))
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
        discount.item.map(Item::as_str),
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
