//! SQL of what resellers paid.

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, PageRequest, PaymentId, RefundId, ResellerId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::Error;
use crate::payment::{Filter, Payment, PaymentStatus, Refund, RefundStatus};
use crate::series::OPERATOR;

pub(super) async fn insert(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    payment: &Payment,
    received_on: NaiveDate,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_payments (reseller_id, id, invoice_id, currency, amount_minor, reference, received_on, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        reseller_id.uuid(),
        payment.id.uuid(),
        payment.invoice_id.map(InvoiceId::uuid),
        payment.amount.currency.code(),
        payment.amount.amount_minor,
        payment.reference,
        received_on,
        payment.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn insert_refund(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    refund: &Refund,
    refunded_on: NaiveDate,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_refunds (reseller_id, id, payment_id, amount_minor, reason, refunded_on, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        reseller_id.uuid(),
        refund.id.uuid(),
        refund.payment_id.uuid(),
        refund.amount.amount_minor,
        refund.reason,
        refunded_on,
        refund.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn reseller_of(tx: &mut SystemTx, id: PaymentId) -> Result<Option<ResellerId>, db::Error> {
    let found = sqlx::query_scalar!("select reseller_id from wholesale_payments where id = $1", id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(found.map(ResellerId::from_uuid))
}

struct Row {
    id: Uuid,
    invoice_id: Option<Uuid>,
    currency: String,
    amount_minor: i64,
    reference: String,
    received_on: NaiveDate,
    created_at: DateTime<Utc>,
}

pub(super) async fn find(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    id: PaymentId,
) -> Result<Option<Payment>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, invoice_id, currency, amount_minor, reference, received_on, created_at
         from wholesale_payments where reseller_id = $1 and id = $2",
        reseller_id.uuid(),
        id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(with_refunds(tx, reseller_id, rows).await?.pop())
}

pub(super) async fn list(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    filter: Filter,
    page: &PageRequest,
) -> Result<Vec<Payment>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, invoice_id, currency, amount_minor, reference, received_on, created_at
         from wholesale_payments
         where reseller_id = $1 and id > $2 and ($4::text is null or $4 = 'succeeded') and ($5::uuid is null or invoice_id = $5)
         order by id limit $3",
        reseller_id.uuid(),
        page.after(),
        page.fetch(),
        filter.status.map(PaymentStatus::as_str),
        filter.invoice_id.map(InvoiceId::uuid)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    with_refunds(tx, reseller_id, rows).await
}

async fn with_refunds(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    rows: Vec<Row>,
) -> Result<Vec<Payment>, Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut payments = BTreeMap::new();
    for row in rows {
        payments.insert(row.id, payment(row)?);
    }
    let refunds = sqlx::query!(
        "select id, payment_id, amount_minor, reason, refunded_on, created_at from wholesale_refunds
         where reseller_id = $1 and payment_id = any ($2) order by id",
        reseller_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in refunds {
        let Some(payment) = payments.get_mut(&row.payment_id) else { continue };
        let refunded = payment.refunded.amount_minor.checked_add(row.amount_minor);
        payment.refunded.amount_minor = refunded.ok_or(Error::Stored("amount"))?;
        payment.refunds.push(Refund {
            id: RefundId::from_uuid(row.id),
            payment_id: payment.id,
            status: RefundStatus::Succeeded,
            amount: Money::new(row.amount_minor, payment.amount.currency),
            reason: row.reason,
            refunded_on: Some(row.refunded_on),
            returned_on: None,
            created_at: row.created_at,
        });
    }
    Ok(payments.into_values().collect())
}

fn payment(row: Row) -> Result<Payment, Error> {
    let currency: Currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    let (amount, reference) = (Money::new(row.amount_minor, currency), row.reference);
    let invoice_id = row.invoice_id.map(InvoiceId::from_uuid);
    let id = PaymentId::from_uuid(row.id);
    Ok(Payment::transfer(id, OPERATOR, invoice_id, amount, reference, row.received_on, row.created_at))
}
