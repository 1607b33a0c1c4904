//! SQL of payments and refunds.

use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, PageRequest, PaymentId, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Payment, Refund};
use crate::Error;

struct Row {
    id: Uuid,
    issuer_id: Uuid,
    invoice_id: Option<Uuid>,
    provider: String,
    status: String,
    currency: String,
    amount_minor: i64,
    refunded_minor: i64,
    reference: String,
    received_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Payment {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Self {
            id: PaymentId::from_uuid(row.id),
            issuer_id: ResellerId::from_uuid(row.issuer_id),
            invoice_id: row.invoice_id.map(InvoiceId::from_uuid),
            provider: row.provider,
            status: row.status,
            amount: Money::new(row.amount_minor, currency),
            refunded: Money::new(row.refunded_minor, currency),
            reference: row.reference,
            received_on: row.received_on,
            created_at: row.created_at,
        })
    }
}

/// What the tenant is billed in.
pub(super) async fn currency(tx: &mut TenantTx) -> Result<Option<Currency>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let code = sqlx::query_scalar!("select currency from tenants where id = $1", tenant_id)
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    code.map(|code| code.parse().map_err(|_| Error::Stored("currency"))).transpose()
}

pub(super) async fn insert(tx: &mut TenantTx, payment: &Payment) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into payments (tenant_id, id, issuer_id, invoice_id, provider, currency, amount_minor, received_minor, status,
           reference, received_on, created_at, settled_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $11)",
        tenant_id,
        payment.id.uuid(),
        payment.issuer_id.uuid(),
        payment.invoice_id.map(InvoiceId::uuid),
        payment.provider,
        payment.amount.currency.code(),
        payment.amount.amount_minor,
        payment.status,
        payment.reference,
        payment.received_on,
        payment.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn tenant_of(tx: &mut SystemTx, id: PaymentId) -> Result<Option<TenantId>, db::Error> {
    let found = sqlx::query_scalar!("select tenant_id from payments where id = $1", id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(found.map(TenantId::from_uuid))
}

pub(super) async fn find(tx: &mut TenantTx, id: PaymentId) -> Result<Option<Payment>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select id, issuer_id, invoice_id, provider, status, currency, coalesce(received_minor, amount_minor) as "amount_minor!",
             coalesce((select sum(r.amount_minor) from refunds r
               where r.tenant_id = p.tenant_id and r.payment_id = p.id), 0)::bigint as "refunded_minor!",
             reference, received_on, created_at
           from payments p where tenant_id = $1 and id = $2"#,
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(Payment::try_from).transpose()
}

/// As [`find`], and nobody else pays back of it until the transaction ends.
pub(super) async fn find_locked(tx: &mut TenantTx, id: PaymentId) -> Result<Option<Payment>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    // Read afterwards: the refunds of whoever held it are seen by the next statement only.
    sqlx::query!("select id from payments where tenant_id = $1 and id = $2 for update", tenant_id, id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx, id).await
}

pub(super) async fn list(tx: &mut TenantTx, page: &PageRequest) -> Result<Vec<Payment>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, issuer_id, invoice_id, provider, status, currency, coalesce(received_minor, amount_minor) as "amount_minor!",
             coalesce((select sum(r.amount_minor) from refunds r
               where r.tenant_id = p.tenant_id and r.payment_id = p.id), 0)::bigint as "refunded_minor!",
             reference, received_on, created_at
           from payments p where tenant_id = $1 and id > $2 order by id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Payment::try_from).collect()
}

pub(super) async fn insert_refund(tx: &mut TenantTx, refund: &Refund) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into refunds (tenant_id, id, payment_id, amount_minor, status, reason, refunded_on, created_at, settled_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        tenant_id,
        refund.id.uuid(),
        refund.payment_id.uuid(),
        refund.amount.amount_minor,
        refund.status,
        refund.reason,
        refund.refunded_on,
        refund.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
