//! SQL of price books.

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{PageRequest, PriceBookId, PriceId, ResellerId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ChangesBilled, Item, Price, PriceBook};
use crate::Error;
use crate::rating::{PriceBasis, RemovalPolicy, SuspensionPolicy, Tariff, Tier, Tiers, UnitPrice};

struct Row {
    id: Uuid,
    reseller_id: Option<Uuid>,
    version: i32,
    currency: String,
    tax_behavior: String,
    published_at: DateTime<Utc>,
}

pub(super) async fn insert(tx: &mut SystemTx, book: &PriceBook) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into price_books (id, reseller_id, version, currency, tax_behavior, published_at) values ($1, $2, $3, $4, $5, $6)",
        book.id.uuid(),
        book.reseller_id.map(ResellerId::uuid),
        book.version,
        book.currency.code(),
        book.tax_behavior.as_str(),
        book.published_at,
    )
    .execute(tx.conn())
    .await?;
    for price in &book.prices {
        let tiers = price.tariff.tiers();
        let limits: Vec<_> =
            tiers.iter().map(|tier| tier.up_to.and_then(|limit| i32::try_from(limit).ok())).collect();
        let prices: Vec<_> = tiers.iter().map(|tier| tier.unit_price.to_string()).collect();
        sqlx::query!(
            r#"insert into prices (price_book_id, id, item, "interval", model, unit_price, removal_policy, grace_days,
                 tier_limits, tier_prices, suspension_policy, setup_price, included_bytes, changes_billed)
               values ($1, $2, $3, $4, $5, $6::text::numeric, $7, $8, $9, $10::text[]::numeric[], $11, $12::text::numeric, $13, $14)"#,
            book.id.uuid(),
            price.id.uuid(),
            price.item.as_str(),
            price.interval.as_str(),
            price.tariff.model(),
            price.tariff.unit_price().map(|unit_price| unit_price.to_string()),
            price.removal_policy.as_str(),
            price.removal_policy.grace_days().and_then(|days| i32::try_from(days).ok()),
            &limits as _,
            &prices,
            price.suspension_policy.as_str(),
            price.setup_price.map(|setup_price| setup_price.to_string()),
            price.included_bytes,
            price.changes_billed.as_str(),
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

pub(super) async fn find(tx: &mut SystemTx, id: PriceBookId) -> Result<Option<PriceBook>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, reseller_id, version, currency, tax_behavior, published_at from price_books where id = $1",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_prices(tx, vec![row]).await?.pop())
}

/// Whether a reseller has agreed with the operator to buy by a book.
pub(super) async fn buys_by(
    tx: &mut SystemTx,
    buyer: ResellerId,
    book: PriceBookId,
) -> Result<bool, db::Error> {
    let buys = sqlx::query_scalar!(
        r#"select exists (select from wholesale_terms where reseller_id = $1 and price_book_id = $2) as "buys!""#,
        buyer.uuid(),
        book.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(buys)
}

/// Of a reseller and those below it, and the operator's that it buys by; `None`: of all.
pub(super) async fn list(
    tx: &mut SystemTx,
    root: Option<ResellerId>,
    page: &PageRequest,
) -> Result<Vec<PriceBook>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, reseller_id, version, currency, tax_behavior, published_at from price_books
         where ($1::uuid is null or reseller_id in (select r.id from resellers r where $1 = any (r.path))
             or (reseller_id is null and id in (select price_book_id from wholesale_terms where reseller_id = $1)))
           and id > $2
         order by id limit $3",
        root.map(ResellerId::uuid),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    with_prices(tx, rows).await
}

async fn with_prices(tx: &mut SystemTx, rows: Vec<Row>) -> Result<Vec<PriceBook>, Error> {
    let ids = rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let prices = sqlx::query!(
        r#"select price_book_id, id, item, "interval", model, unit_price::text, tier_limits as "tier_limits: Vec<Option<i32>>",
             tier_prices::text[] as "tier_prices!", removal_policy, grace_days, suspension_policy,
             setup_price::text, included_bytes, changes_billed
           from prices where price_book_id = any ($1) order by price_book_id, id"#,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut books = BTreeMap::new();
    for row in rows {
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        let book = PriceBook {
            id: PriceBookId::from_uuid(row.id),
            reseller_id: row.reseller_id.map(ResellerId::from_uuid),
            version: row.version,
            currency,
            tax_behavior: tax_behavior(&row.tax_behavior)?,
            prices: Vec::new(),
            published_at: row.published_at,
        };
        books.insert(row.id, book);
    }
    for row in prices {
        let Some(book) = books.get_mut(&row.price_book_id) else { continue };
        book.prices.push(Price {
            id: PriceId::from_uuid(row.id),
            item: item(&row.item)?,
            interval: row.interval.parse().map_err(|_| Error::Stored("interval"))?,
            tariff: tariff(&row.model, row.unit_price.as_deref(), &row.tier_limits, &row.tier_prices)?,
            currency: book.currency,
            removal_policy: removal_policy(&row.removal_policy, row.grace_days)?,
            suspension_policy: suspension_policy(&row.suspension_policy)?,
            setup_price: setup_price(row.setup_price.as_deref())?,
            changes_billed: changes_billed(&row.changes_billed)?,
            included_bytes: row.included_bytes,
        });
    }
    Ok(books.into_values().collect())
}

/// A tariff as a price's columns hold it.
pub(crate) fn tariff(
    model: &str,
    unit_price: Option<&str>,
    limits: &[Option<i32>],
    prices: &[String],
) -> Result<Tariff, Error> {
    let price = |text: &str| text.parse::<UnitPrice>().map_err(|_| Error::Stored("unit price"));
    let tiers = limits.iter().zip(prices).map(|(limit, unit_price)| {
        let up_to = limit.map(u32::try_from).transpose().map_err(|_| Error::Stored("tier"))?;
        Ok(Tier { up_to, unit_price: price(unit_price)? })
    });
    let tiers = || Tiers::new(tiers.collect::<Result<_, Error>>()?).map_err(|_| Error::Stored("tier"));
    match (model, unit_price) {
        ("flat", Some(unit_price)) => Ok(Tariff::Flat(price(unit_price)?)),
        ("graduated", None) => Ok(Tariff::Graduated(tiers()?)),
        ("volume", None) => Ok(Tariff::Volume(tiers()?)),
        _ => Err(Error::Stored("price model")),
    }
}

/// What is sold, as a column holds it.
pub(crate) fn item(name: &str) -> Result<Item, Error> {
    name.parse().map_err(|_| Error::Stored("item"))
}

/// What a start is charged once, as a price's column holds it.
pub(crate) fn setup_price(text: Option<&str>) -> Result<Option<UnitPrice>, Error> {
    text.map(str::parse).transpose().map_err(|_| Error::Stored("setup price"))
}

/// When changes are billed, as a price's column holds it.
pub(crate) fn changes_billed(name: &str) -> Result<ChangesBilled, Error> {
    name.parse().map_err(|_| Error::Stored("changes billed"))
}

/// Whether prices include tax, as a column holds it.
pub(crate) fn tax_behavior(name: &str) -> Result<PriceBasis, Error> {
    name.parse().map_err(|_| Error::Stored("tax behavior"))
}

/// A removal policy as a price's columns hold it.
pub(crate) fn removal_policy(name: &str, grace_days: Option<i32>) -> Result<RemovalPolicy, Error> {
    let grace_days = grace_days.map(u32::try_from).transpose().map_err(|_| Error::Stored("days of grace"))?;
    match (RemovalPolicy::from_name(name), grace_days) {
        (Some(RemovalPolicy::LockedUntilTermEnd { .. }), Some(grace_days)) => {
            Ok(RemovalPolicy::LockedUntilTermEnd { grace_days })
        }
        (Some(policy), None) => Ok(policy),
        _ => Err(Error::Stored("removal policy")),
    }
}

/// A suspension policy as a price's column holds it.
pub(crate) fn suspension_policy(name: &str) -> Result<SuspensionPolicy, Error> {
    name.parse().map_err(|_| Error::Stored("suspension policy"))
}
