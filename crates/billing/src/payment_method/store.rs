//! SQL of payment methods.

use std::collections::BTreeSet;

use kernel::ResellerId;
use sqlx::types::chrono::{DateTime, Utc};
use tenancy::TenantTx;

use super::{PaymentMethod, PutPaymentMethod};

pub(super) async fn find(tx: &mut TenantTx, issuer: ResellerId) -> Result<Option<PaymentMethod>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_as!(
        PaymentMethod,
        "select customer, method, is_autopay, updated_at, version from payment_methods where tenant_id = $1 and issuer_id = $2",
        tenant_id,
        issuer.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// As [`find`], and nobody else changes it until the transaction ends.
pub(super) async fn find_locked(
    tx: &mut TenantTx,
    issuer: ResellerId,
) -> Result<Option<PaymentMethod>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_as!(
        PaymentMethod,
        "select customer, method, is_autopay, updated_at, version from payment_methods where tenant_id = $1 and issuer_id = $2 for update",
        tenant_id,
        issuer.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

pub(super) async fn autopaid_issuers(tx: &mut TenantTx) -> Result<BTreeSet<ResellerId>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_scalar!(
        "select issuer_id from payment_methods where tenant_id = $1 and is_autopay",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(ResellerId::from_uuid).collect())
}

pub(super) async fn put(
    tx: &mut TenantTx,
    issuer: ResellerId,
    put: &PutPaymentMethod,
    now: DateTime<Utc>,
) -> Result<PaymentMethod, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let method = sqlx::query_as!(
        PaymentMethod,
        "insert into payment_methods (tenant_id, issuer_id, customer, method, is_autopay, updated_at) values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint payment_methods_once do update set customer = excluded.customer, method = excluded.method,
           is_autopay = excluded.is_autopay, updated_at = excluded.updated_at, version = payment_methods.version + 1
         returning customer, method, is_autopay, updated_at, version",
        tenant_id,
        issuer.uuid(),
        put.customer,
        put.method,
        put.is_autopay,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(method)
}

pub(super) async fn delete(tx: &mut TenantTx, issuer: ResellerId) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "delete from payment_methods where tenant_id = $1 and issuer_id = $2",
        tenant_id,
        issuer.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
