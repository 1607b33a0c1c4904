//! SQL of refunds.

use std::collections::BTreeMap;

use db::SystemRead;
use kernel::{Money, PaymentId, RefundId, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use uuid::Uuid;

use crate::Error;
use crate::payment::refund::{Asked, Refund};
use crate::payment::status::RefundStatus;

struct Row {
    id: Uuid,
    payment_id: Uuid,
    issuer_id: Uuid,
    amount_minor: i64,
    currency: String,
    status: String,
    reason: String,
    refunded_on: Option<NaiveDate>,
    returned_on: Option<NaiveDate>,
    provider_reference: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Refund {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Self {
            id: RefundId::from_uuid(row.id),
            payment_id: PaymentId::from_uuid(row.payment_id),
            status: row.status.parse().map_err(|_| Error::Stored("refund status"))?,
            amount: Money::new(row.amount_minor, currency),
            reason: row.reason,
            refunded_on: row.refunded_on,
            returned_on: row.returned_on,
            created_at: row.created_at,
        })
    }
}

/// The refunds of payments, the oldest first.
pub(super) async fn of_payments(
    tx: &mut TenantTx,
    payments: &[Uuid],
) -> Result<BTreeMap<PaymentId, Vec<Refund>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select r.id, r.payment_id, p.issuer_id, r.amount_minor, p.currency, r.status, r.reason, r.refunded_on, r.returned_on, r.provider_reference,
           r.created_at
         from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
         where r.tenant_id = $1 and r.payment_id = any ($2) order by r.created_at, r.id",
        tenant_id,
        payments
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let refund = Refund::try_from(row)?;
        all.entry(refund.payment_id).or_default().push(refund);
    }
    Ok(all)
}

pub(in crate::payment) async fn insert_refund(
    tx: &mut TenantTx,
    refund: &Refund,
    reference: Option<&str>,
    ask_at: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into refunds (tenant_id, id, payment_id, amount_minor, status, reason, created_at, ask_at, provider_reference)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant_id,
        refund.id.uuid(),
        refund.payment_id.uuid(),
        refund.amount.amount_minor,
        refund.status.as_str(),
        refund.reason,
        refund.created_at,
        ask_at,
        reference,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A refund, whose money it is, and the provider's id of it; nobody else settles it until the transaction ends.
pub(in crate::payment) async fn find_refund_locked(
    tx: &mut TenantTx,
    id: RefundId,
) -> Result<Option<(Refund, ResellerId, Option<String>)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select r.id, r.payment_id, p.issuer_id, r.amount_minor, p.currency, r.status, r.reason, r.refunded_on, r.returned_on, r.provider_reference,
           r.created_at
         from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
         where r.tenant_id = $1 and r.id = $2 for update of r",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(|row| {
        let (issuer, reference) = (ResellerId::from_uuid(row.issuer_id), row.provider_reference.clone());
        Ok((row.try_into()?, issuer, reference))
    })
    .transpose()
}

/// Moves a refund on, or leaves it where it is. The provider's id of it stays the first that was seen.
pub(in crate::payment) async fn settle_refund(
    tx: &mut TenantTx,
    id: RefundId,
    status: RefundStatus,
    reference: Option<&str>,
    today: NaiveDate,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update refunds set status = $3, provider_reference = coalesce(provider_reference, $4),
           refunded_on = case when $3 = 'succeeded' then $5::date else refunded_on end,
           returned_on = case when $3 = 'returned' then $5::date end,
           returned_at = case when $3 = 'returned' then $6::timestamptz end,
           settled_at = case when $3 in ('succeeded', 'failed') then $6::timestamptz when $3 = 'returned' then settled_at end
         where tenant_id = $1 and id = $2 and status <> 'returned' and (status <> 'succeeded' or $3 = 'returned')",
        tenant_id,
        id.uuid(),
        status.as_str(),
        reference,
        today,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A payment's refund by the provider's id of it.
pub(in crate::payment) async fn refund_by_reference(
    tx: &mut TenantTx,
    payment: PaymentId,
    reference: &str,
) -> Result<Option<RefundId>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let id = sqlx::query_scalar!(
        "select id from refunds where tenant_id = $1 and payment_id = $2 and provider_reference = $3",
        tenant_id,
        payment.uuid(),
        reference
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(RefundId::from_uuid))
}

/// The refunds whose end is not known and that are to be asked about, those first that have waited longest for it.
pub(in crate::payment) async fn open_refunds(
    read: &mut SystemRead,
    now: DateTime<Utc>,
) -> Result<Vec<(TenantId, RefundId)>, db::Error> {
    let rows = sqlx::query!(
        "select tenant_id, id from refunds where status in ('pending', 'unknown') and ask_at <= $1
         order by ask_at limit 500",
        now
    )
    .fetch_all(read.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), RefundId::from_uuid(row.id)))
        .collect())
}

/// Locks an open refund; `None` when it is open no more, or somebody has asked about it since.
pub(in crate::payment) async fn asked_refund(
    tx: &mut TenantTx,
    id: RefundId,
    now: DateTime<Utc>,
) -> Result<Option<Asked>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select r.amount_minor, r.provider_reference, r.created_at, p.currency, p.issuer_id, p.provider_reference as "payment!"
           from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
           where r.tenant_id = $1 and r.id = $2 and r.status in ('pending', 'unknown') and r.ask_at <= $3
             and p.provider_reference is not null for update of r"#,
        tenant_id,
        id.uuid(),
        now
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(|row| {
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Asked {
            issuer: ResellerId::from_uuid(row.issuer_id),
            payment: row.payment,
            reference: row.provider_reference,
            amount: Money::new(row.amount_minor, currency),
            created_at: row.created_at,
        })
    })
    .transpose()
}

/// Says when a refund is to be asked about next.
pub(in crate::payment) async fn ask_refund_again_at(
    tx: &mut TenantTx,
    id: RefundId,
    at: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("update refunds set ask_at = $3 where tenant_id = $1 and id = $2", tenant_id, id.uuid(), at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The tenant of an issuer's refund.
pub(in crate::payment) async fn refund_of_provider(
    read: &mut SystemRead,
    issuer: ResellerId,
    id: RefundId,
) -> Result<Option<TenantId>, db::Error> {
    let tenant = sqlx::query_scalar!(
        "select r.tenant_id from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
         where r.id = $1 and p.issuer_id = $2",
        id.uuid(),
        issuer.uuid()
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(tenant.map(TenantId::from_uuid))
}
