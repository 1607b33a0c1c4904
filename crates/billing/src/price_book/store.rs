//! SQL of price books.

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{PageRequest, PriceBookId, PriceId, ResellerId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{CycleLength, Price, PriceBook};
use crate::Error;
use crate::rating::RemovalPolicy;

struct Row {
    id: Uuid,
    reseller_id: Uuid,
    version: i32,
    currency: String,
    published_at: DateTime<Utc>,
}

pub(super) async fn insert(tx: &mut SystemTx, book: &PriceBook) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into price_books (id, reseller_id, version, currency, published_at) values ($1, $2, $3, $4, $5)",
        book.id.uuid(),
        book.reseller_id.uuid(),
        book.version,
        book.currency.code(),
        book.published_at,
    )
    .execute(tx.conn())
    .await?;
    for price in &book.prices {
        sqlx::query!(
            r#"insert into prices (price_book_id, id, item, "interval", model, unit_price, removal_policy)
               values ($1, $2, $3, $4, $5, $6::text::numeric, $7)"#,
            book.id.uuid(),
            price.id.uuid(),
            price.item,
            price.interval.as_str(),
            price.model,
            price.unit_price.to_string() as _,
            price.removal_policy.as_str(),
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

pub(super) async fn find(tx: &mut SystemTx, id: PriceBookId) -> Result<Option<PriceBook>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, reseller_id, version, currency, published_at from price_books where id = $1",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_prices(tx, vec![row]).await?.pop())
}

/// Of a reseller and those below it; `None`: of all.
pub(super) async fn list(
    tx: &mut SystemTx,
    root: Option<ResellerId>,
    page: &PageRequest,
) -> Result<Vec<PriceBook>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, reseller_id, version, currency, published_at from price_books
         where ($1::uuid is null or reseller_id in (select r.id from resellers r where $1 = any (r.path))) and id > $2
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
        r#"select price_book_id, id, item, "interval", model, unit_price::text as "unit_price!", removal_policy
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
            reseller_id: ResellerId::from_uuid(row.reseller_id),
            version: row.version,
            currency,
            prices: Vec::new(),
            published_at: row.published_at,
        };
        books.insert(row.id, book);
    }
    for row in prices {
        let Some(book) = books.get_mut(&row.price_book_id) else { continue };
        book.prices.push(Price {
            id: PriceId::from_uuid(row.id),
            item: row.item,
            interval: CycleLength::from_name(&row.interval).ok_or(Error::Stored("interval"))?,
            model: row.model,
            unit_price: row.unit_price.parse().map_err(|_| Error::Stored("unit price"))?,
            currency: book.currency,
            removal_policy: RemovalPolicy::from_name(&row.removal_policy)
                .ok_or(Error::Stored("removal policy"))?,
        });
    }
    Ok(books.into_values().collect())
}
