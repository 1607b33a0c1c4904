//! SQL of disputes.

use std::collections::BTreeMap;

use db::SystemRead;
use kernel::{DisputeId, Money, PaymentId, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use uuid::Uuid;

use crate::Error;
use crate::payment::dispute::Dispute;
use crate::payment::dispute_fee::DisputeFee;

struct Row {
    id: Uuid,
    payment_id: Uuid,
    status: String,
    amount_minor: i64,
    currency: String,
    reason: String,
    withdrawn_on: Option<NaiveDate>,
    reinstated_on: Option<NaiveDate>,
    is_over: bool,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Dispute {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Self {
            id: DisputeId::from_uuid(row.id),
            status: row.status.parse().map_err(|_| Error::Stored("dispute status"))?,
            amount: Money::new(row.amount_minor, currency),
            reason: row.reason,
            withdrawn_on: row.withdrawn_on,
            reinstated_on: row.reinstated_on,
            created_at: row.created_at,
        })
    }
}

/// The disputes of payments, the oldest first.
pub(super) async fn disputes_of(
    tx: &mut TenantTx,
    payments: &[Uuid],
) -> Result<BTreeMap<PaymentId, Vec<Dispute>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select d.id, d.payment_id, d.status, d.amount_minor, p.currency, d.reason, d.withdrawn_on, d.reinstated_on, d.is_over,
           d.created_at
         from disputes d join payments p on p.tenant_id = d.tenant_id and p.id = d.payment_id
         where d.tenant_id = $1 and d.payment_id = any ($2) order by d.created_at, d.id",
        tenant_id,
        payments
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        all.entry(PaymentId::from_uuid(row.payment_id)).or_default().push(row.try_into()?);
    }
    Ok(all)
}

/// A payment's dispute by the provider's id of it, and whether it was told that what it took is given back.
pub(in crate::payment) async fn dispute(
    tx: &mut TenantTx,
    payment: PaymentId,
    reference: &str,
) -> Result<Option<(Dispute, bool)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select d.id, d.payment_id, d.status, d.amount_minor, p.currency, d.reason, d.withdrawn_on, d.reinstated_on, d.is_over,
           d.created_at
         from disputes d join payments p on p.tenant_id = d.tenant_id and p.id = d.payment_id
         where d.tenant_id = $1 and d.payment_id = $2 and d.provider_reference = $3",
        tenant_id,
        payment.uuid(),
        reference
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(|row| {
        let is_over = row.is_over;
        Ok((row.try_into()?, is_over))
    })
    .transpose()
}

pub(in crate::payment) async fn insert_dispute(
    tx: &mut TenantTx,
    payment: PaymentId,
    dispute: &Dispute,
    reference: &str,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into disputes (tenant_id, id, payment_id, provider_reference, amount_minor, reason, status, is_over, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, false, $8)",
        tenant_id,
        dispute.id.uuid(),
        payment.uuid(),
        reference,
        dispute.amount.amount_minor,
        dispute.reason,
        dispute.status.as_str(),
        dispute.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves a dispute on. The moments are those at which the days were first written.
pub(in crate::payment) async fn put_dispute(
    tx: &mut TenantTx,
    dispute: &Dispute,
    is_over: bool,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update disputes set status = $3, is_over = $4, withdrawn_on = $5, reinstated_on = $6,
           withdrawn_at = case when $5::date is not null then coalesce(withdrawn_at, $7) end,
           reinstated_at = case when $6::date is not null then coalesce(reinstated_at, $7) end
         where tenant_id = $1 and id = $2",
        tenant_id,
        dispute.id.uuid(),
        dispute.status.as_str(),
        is_over,
        dispute.withdrawn_on,
        dispute.reinstated_on,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes a fee by the provider's ids of its dispute and of its booking; whether that was news.
pub(in crate::payment) async fn insert_dispute_fee(
    tx: &mut TenantTx,
    payment: PaymentId,
    fee: &DisputeFee,
    (dispute, booking): (&str, &str),
) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let written = sqlx::query!(
        "insert into dispute_fees (tenant_id, id, payment_id, dispute_reference, provider_reference, currency, amount_minor,
           charged_on, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict on constraint dispute_fees_once do nothing",
        tenant_id,
        fee.id.uuid(),
        payment.uuid(),
        dispute,
        booking,
        fee.amount.currency.code(),
        fee.amount.amount_minor,
        fee.charged_on,
        fee.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(written.rows_affected() == 1)
}

/// The tenant and our id of an issuer's charge, by the provider's id of it.
pub(in crate::payment) async fn by_reference(
    read: &mut SystemRead,
    issuer: ResellerId,
    reference: &str,
) -> Result<Option<(TenantId, PaymentId)>, db::Error> {
    let row = sqlx::query!(
        "select tenant_id, id from payments where issuer_id = $1 and provider_reference = $2",
        issuer.uuid(),
        reference
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(row.map(|row| (TenantId::from_uuid(row.tenant_id), PaymentId::from_uuid(row.id))))
}

/// Whether an issuer has charges of which the provider's id may not have been told yet.
pub(in crate::payment) async fn has_unnamed(
    read: &mut SystemRead,
    issuer: ResellerId,
) -> Result<bool, db::Error> {
    let has = sqlx::query_scalar!(
        r#"select exists (select from payments where issuer_id = $1 and provider_reference is null
             and status in ('pending', 'unknown', 'requires_action', 'processing')) as "has!""#,
        issuer.uuid()
    )
    .fetch_one(read.conn())
    .await?;
    Ok(has)
}
