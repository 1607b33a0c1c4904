//! SQL of payments.

mod autopay;
mod dispute;
mod refund;

use std::collections::BTreeSet;

use db::SystemRead;
use kernel::{Currency, InvoiceId, Money, PageRequest, PaymentId, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use stripe::Charge;
use tenancy::TenantTx;
use uuid::Uuid;

pub(super) use autopay::*;
pub(super) use dispute::*;
pub(super) use refund::*;

use super::autopay::Attempt;
use super::status::Seen;
use super::{Dispute, Filter, Payment, PaymentStatus, Refund, RefundStatus};
use crate::Error;

struct Row {
    id: Uuid,
    issuer_id: Uuid,
    invoice_id: Option<Uuid>,
    provider: String,
    status: String,
    currency: String,
    amount_minor: i64,
    reference: String,
    failure_code: Option<String>,
    failure_message: Option<String>,
    received_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn with(self, refunds: Vec<Refund>, disputes: Vec<Dispute>) -> Result<Payment, Error> {
        let row = self;
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        let is_there =
            |refund: &&Refund| !matches!(refund.status, RefundStatus::Failed | RefundStatus::Returned);
        let there = refunds.iter().filter(is_there);
        let refunded_minor = there.map(|refund| refund.amount.amount_minor).sum();
        Ok(Payment {
            id: PaymentId::from_uuid(row.id),
            issuer_id: ResellerId::from_uuid(row.issuer_id),
            invoice_id: row.invoice_id.map(InvoiceId::from_uuid),
            provider: row.provider,
            status: row.status.parse().map_err(|_| Error::Stored("payment status"))?,
            amount: Money::new(row.amount_minor, currency),
            refunded: Money::new(refunded_minor, currency),
            refunds,
            disputes,
            reference: row.reference,
            failure: row.failure_code.zip(row.failure_message),
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
        payment.status.as_str(),
        payment.reference,
        payment.received_on,
        payment.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tenant of a payment, and whose money it is.
pub(super) async fn place_of(
    read: &mut SystemRead,
    id: PaymentId,
) -> Result<Option<(TenantId, ResellerId)>, db::Error> {
    let row = sqlx::query!("select tenant_id, issuer_id from payments where id = $1", id.uuid())
        .fetch_optional(read.conn())
        .await?;
    Ok(row.map(|row| (TenantId::from_uuid(row.tenant_id), ResellerId::from_uuid(row.issuer_id))))
}

/// Whether it is a draft of the tenant's that is there.
pub(super) async fn is_draft(tx: &mut TenantTx, id: InvoiceId) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let is_draft = sqlx::query_scalar!(
        r#"select exists (select from invoices i where tenant_id = $1 and id = $2 and status = 'draft' and not exists (
             select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)) as "is_draft!" "#,
        tenant_id,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_draft)
}

/// Who has issued invoices to the tenant.
pub(super) async fn issuers(tx: &mut TenantTx) -> Result<BTreeSet<ResellerId>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_scalar!(
        "select distinct issuer_id from invoices where tenant_id = $1 and status = 'final'",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(ResellerId::from_uuid).collect())
}

pub(super) async fn find(tx: &mut TenantTx, id: PaymentId) -> Result<Option<Payment>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select id, issuer_id, invoice_id, provider, status, currency, coalesce(received_minor, amount_minor) as "amount_minor!",
             reference, failure_code, failure_message, received_on, created_at
           from payments where tenant_id = $1 and id = $2"#,
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    let mut refunds = of_payments(tx, &[row.id]).await?;
    let mut disputes = disputes_of(tx, &[id.uuid()]).await?;
    row.with(refunds.remove(&id).unwrap_or_default(), disputes.remove(&id).unwrap_or_default()).map(Some)
}

/// As [`find`], and nobody else settles it or pays back of it until the transaction ends.
pub(super) async fn find_locked(tx: &mut TenantTx, id: PaymentId) -> Result<Option<Payment>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    // Read afterwards: the refunds of whoever held it are seen by the next statement only.
    sqlx::query!("select id from payments where tenant_id = $1 and id = $2 for update", tenant_id, id.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx, id).await
}

pub(super) async fn list(
    tx: &mut TenantTx,
    filter: Filter,
    page: &PageRequest,
) -> Result<Vec<Payment>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, issuer_id, invoice_id, provider, status, currency, coalesce(received_minor, amount_minor) as "amount_minor!",
             reference, failure_code, failure_message, received_on, created_at
           from payments
           where tenant_id = $1 and id > $2 and ($4::text is null or status = $4) and ($5::uuid is null or invoice_id = $5)
           order by id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        filter.status.map(PaymentStatus::as_str),
        filter.invoice_id.map(InvoiceId::uuid)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut refunds = of_payments(tx, &ids).await?;
    let mut disputes = disputes_of(tx, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let id = PaymentId::from_uuid(row.id);
            row.with(refunds.remove(&id).unwrap_or_default(), disputes.remove(&id).unwrap_or_default())
        })
        .collect()
}

/// Writes down a charge that is about to be asked for, and of whom.
pub(super) async fn insert_charge(
    tx: &mut TenantTx,
    payment: &Payment,
    charge: &Charge,
    by_itself: Option<Attempt>,
    ask_at: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into payments (tenant_id, id, issuer_id, invoice_id, provider, currency, amount_minor, status, reference,
           provider_customer, provider_method, created_at, ask_at, autopay_ordinal, autopay_on)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        tenant_id,
        payment.id.uuid(),
        payment.issuer_id.uuid(),
        payment.invoice_id.map(InvoiceId::uuid),
        payment.provider,
        payment.amount.currency.code(),
        payment.amount.amount_minor,
        payment.status.as_str(),
        payment.reference,
        charge.customer,
        charge.payment_method,
        payment.created_at,
        ask_at,
        by_itself.map(|attempt| attempt.ordinal),
        by_itself.map(|attempt| attempt.day),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes down that the provider is about to be asked. Of two who would do so at once, one is refused.
pub(super) async fn begin_attempt(
    tx: &mut TenantTx,
    id: PaymentId,
    ordinal: i32,
    key: &str,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into payment_attempts (tenant_id, payment_id, ordinal, idempotency_key, begun_at) values ($1, $2, $3, $4, $5)",
        tenant_id,
        id.uuid(),
        ordinal,
        key,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn end_attempt(
    tx: &mut TenantTx,
    id: PaymentId,
    ordinal: i32,
    outcome: &str,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update payment_attempts set outcome = $4, ended_at = $5 where tenant_id = $1 and payment_id = $2 and ordinal = $3",
        tenant_id,
        id.uuid(),
        ordinal,
        outcome,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves a payment on. The provider's id of it stays the first that was seen.
pub(super) async fn settle(
    tx: &mut TenantTx,
    id: PaymentId,
    seen: &Seen,
    received: Option<Money>,
    today: NaiveDate,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (code, message) = seen.failure.clone().unzip();
    sqlx::query!(
        "update payments set status = $3, provider_reference = coalesce(provider_reference, $4), received_minor = $5,
           failure_code = $6, failure_message = $7, received_on = case when $3 = 'succeeded' then $8::date end,
           settled_at = case when $3 in ('succeeded', 'failed') then $9::timestamptz end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        seen.status.as_str(),
        seen.reference,
        received.map(|received| received.amount_minor),
        code,
        message,
        today,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The charges whose end is not known and that are to be asked about, those first that have waited longest for it.
pub(super) async fn open(
    read: &mut SystemRead,
    now: DateTime<Utc>,
) -> Result<Vec<(TenantId, PaymentId)>, db::Error> {
    let rows = sqlx::query!(
        "select tenant_id, id from payments
         where status in ('pending', 'unknown', 'requires_action', 'processing') and ask_at <= $1
         order by ask_at limit 500",
        now
    )
    .fetch_all(read.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), PaymentId::from_uuid(row.id)))
        .collect())
}

/// An open charge as it was asked for.
pub(super) struct Asked {
    pub(super) issuer: ResellerId,
    pub(super) charge: Charge,
    /// The provider's id of it.
    pub(super) reference: Option<String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) attempts: i32,
}

/// Locks an open charge; `None` when it is open no more, or somebody has asked about it since.
pub(super) async fn asked(
    tx: &mut TenantTx,
    id: PaymentId,
    now: DateTime<Utc>,
) -> Result<Option<Asked>, Error> {
    let Some(payment) = find_locked(tx, id).await? else { return Ok(None) };
    let is_open = !matches!(payment.status, PaymentStatus::Failed | PaymentStatus::Succeeded);
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select provider_customer as "customer!", provider_method as "method!", provider_reference,
             (select count(*) from payment_attempts a
               where a.tenant_id = p.tenant_id and a.payment_id = p.id)::int as "attempts!"
           from payments p where tenant_id = $1 and id = $2 and ask_at <= $3"#,
        tenant_id,
        id.uuid(),
        now
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(row.filter(|_| is_open).map(|row| Asked {
        issuer: payment.issuer_id,
        charge: Charge {
            amount: payment.amount,
            customer: row.customer,
            payment_method: row.method,
            payment: id.to_string(),
            description: payment.reference,
        },
        reference: row.provider_reference,
        created_at: payment.created_at,
        attempts: row.attempts,
    }))
}

/// Says when a charge is to be asked about next.
pub(super) async fn ask_again_at(
    tx: &mut TenantTx,
    id: PaymentId,
    at: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update payments set ask_at = $3 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tenant of an issuer's charge.
pub(super) async fn of_provider(
    read: &mut SystemRead,
    issuer: ResellerId,
    id: PaymentId,
) -> Result<Option<TenantId>, db::Error> {
    let tenant = sqlx::query_scalar!(
        "select tenant_id from payments where issuer_id = $1 and provider <> 'manual' and id = $2",
        issuer.uuid(),
        id.uuid()
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(tenant.map(TenantId::from_uuid))
}

/// The provider's id of a payment; `None` for a bank transfer.
pub(super) async fn provider_reference(
    tx: &mut TenantTx,
    id: PaymentId,
) -> Result<Option<String>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let reference = sqlx::query_scalar!(
        "select provider_reference from payments where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(reference.flatten())
}
