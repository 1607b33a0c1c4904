//! SQL of agreements.

use std::collections::BTreeSet;

use db::SystemTx;
use kernel::{PriceBookId, ResellerId, WholesaleAgreementId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{AgreedTerms, Agreement};
use crate::price_book::CycleLength;
use crate::subscription::store::Sold;
use crate::{Error, subscription};

struct Row {
    id: Uuid,
    operator_name: String,
    interval: String,
    currency: String,
    time_zone: String,
    anchor_date: NaiveDate,
    starts_on: NaiveDate,
    next_invoice_on: NaiveDate,
    parked_reason: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
}

pub(crate) async fn find(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Option<Agreement>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, operator_name, "interval", currency, time_zone, anchor_date, starts_on, next_invoice_on, parked_reason,
             version, created_at
           from wholesale_agreements where reseller_id = $1"#,
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    let mut earlier = terms(tx, reseller_id).await?;
    let terms = earlier.pop().ok_or(Error::Stored("agreement"))?;
    Ok(Some(Agreement {
        id: WholesaleAgreementId::from_uuid(row.id),
        reseller_id,
        operator_name: row.operator_name,
        terms,
        interval: row.interval.parse().map_err(|_| Error::Stored("interval"))?,
        currency: row.currency.parse().map_err(|_| Error::Stored("currency"))?,
        time_zone: row.time_zone.parse().map_err(|_| Error::Stored("time zone"))?,
        anchor_date: row.anchor_date,
        starts_on: row.starts_on,
        next_invoice_on: row.next_invoice_on,
        parked_reason: row.parked_reason,
        version: row.version,
        created_at: row.created_at,
        earlier,
    }))
}

/// Everything that was agreed, in that order.
async fn terms(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Vec<AgreedTerms>, Error> {
    let rows = sqlx::query!(
        r#"select w.starts_on, w.price_book_id, w.term_months, w.seats_committed, p."interval"
           from wholesale_terms w join prices p on p.price_book_id = w.price_book_id and p.id = w.price_id
           where w.reseller_id = $1 order by w.ordinal"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let books: BTreeSet<_> = rows.iter().map(|row| PriceBookId::from_uuid(row.price_book_id)).collect();
    let sold = subscription::store::sold(tx.conn(), &books.into_iter().collect::<Vec<_>>()).await?;
    let terms = rows.into_iter().map(|row| {
        let price_book_id = PriceBookId::from_uuid(row.price_book_id);
        let interval = row.interval.parse::<CycleLength>().map_err(|_| Error::Stored("interval"))?;
        let sold = sold.get(&(price_book_id, interval)).cloned().ok_or(Error::Stored("price"))?;
        Ok(AgreedTerms {
            starts_on: row.starts_on,
            price_book_id,
            price_book_version: sold.version,
            term_months: row.term_months,
            seats_committed: row.seats_committed,
            price: sold.price,
            beside: sold.beside,
        })
    });
    terms.collect()
}

/// As [`held`]; two that agree for the first time meet at the reseller's row, which is there unless it was deleted.
pub(crate) async fn find_locked(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<Agreement>, Error> {
    let reseller = sqlx::query!(
        "select id from resellers where id = $1 and status <> 'deleted' for no key update",
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    if reseller.is_none() {
        return Err(Error::NotFound);
    }
    held(tx, reseller_id).await
}

/// As [`find`], keeping runs and other writers away until the transaction ends. The reseller's own row, at which seats and
/// stored bytes are counted, is nobody's to hold meanwhile: a run may take minutes.
pub(in crate::wholesale) async fn held(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<Agreement>, Error> {
    sqlx::query!("select id from wholesale_agreements where reseller_id = $1 for update", reseller_id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx, reseller_id).await
}

pub(super) async fn is_billed(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<bool, db::Error> {
    let billed = sqlx::query_scalar!(
        r#"select exists (select from wholesale_boundaries where reseller_id = $1) as "billed!""#,
        reseller_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(billed)
}

/// Whether the reseller has paid anything.
pub(super) async fn is_paid(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<bool, db::Error> {
    let paid = sqlx::query_scalar!(
        r#"select exists (select from wholesale_payments where reseller_id = $1) as "paid!""#,
        reseller_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(paid)
}

/// What a book of the operator's sells for an interval, if its prices exclude tax.
pub(super) async fn sold(
    tx: &mut SystemTx,
    book: PriceBookId,
    interval: CycleLength,
) -> Result<Option<Sold>, Error> {
    let is_operators = sqlx::query_scalar!(
        r#"select exists (select from price_books where id = $1 and reseller_id is null and tax_behavior = 'exclusive') as "is!""#,
        book.uuid()
    )
    .fetch_one(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut sold = subscription::store::sold(tx.conn(), &[book]).await?;
    Ok(sold.remove(&(book, interval)).filter(|_| is_operators))
}

/// Writes all of it but the terms; it is parked no more.
pub(super) async fn put(tx: &mut SystemTx, new: &Agreement) -> Result<(), db::Error> {
    sqlx::query!(
        r#"insert into wholesale_agreements (reseller_id, id, operator_name, "interval", currency, time_zone, anchor_date,
             starts_on, next_invoice_on, version, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           on conflict on constraint wholesale_agreements_one_a_reseller do update set
             operator_name = excluded.operator_name, "interval" = excluded."interval", currency = excluded.currency,
             time_zone = excluded.time_zone, anchor_date = excluded.anchor_date, starts_on = excluded.starts_on,
             next_invoice_on = excluded.next_invoice_on, version = excluded.version, parked_at = null, parked_reason = null"#,
        new.reseller_id.uuid(),
        new.id.uuid(),
        new.operator_name,
        new.interval.as_str(),
        new.currency.code(),
        new.time_zone.name(),
        new.anchor_date,
        new.starts_on,
        new.next_invoice_on,
        new.version,
        new.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has the next run try again what was parked: the agreement with one reseller, or with `None` every one.
pub(crate) async fn unpark(tx: &mut SystemTx, reseller_id: Option<ResellerId>) -> Result<(), db::Error> {
    sqlx::query!(
        "update wholesale_agreements set parked_at = null, parked_reason = null, version = version + 1
         where parked_at is not null and ($1::uuid is null or reseller_id = $1)",
        reseller_id.map(ResellerId::uuid)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The agreement's row has to be locked.
pub(super) async fn append_terms(
    tx: &mut SystemTx,
    agreement: &Agreement,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let terms = &agreement.terms;
    sqlx::query!(
        "insert into wholesale_terms (reseller_id, ordinal, starts_on, price_book_id, price_id, term_months, seats_committed, set_at)
         select $1, coalesce(max(ordinal), 0) + 1, $2, $3, $4, $5, $6, $7 from wholesale_terms where reseller_id = $1",
        agreement.reseller_id.uuid(),
        terms.starts_on,
        terms.price_book_id.uuid(),
        terms.price.id.uuid(),
        terms.term_months,
        terms.seats_committed,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
