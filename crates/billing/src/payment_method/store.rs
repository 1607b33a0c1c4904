//! SQL of payment methods.

use sqlx::types::chrono::{DateTime, Utc};
use tenancy::TenantTx;

use super::{PaymentMethod, PutPaymentMethod};

pub(super) async fn find(tx: &mut TenantTx) -> Result<Option<PaymentMethod>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_as!(
        PaymentMethod,
        "select customer, method, updated_at, version from payment_methods where tenant_id = $1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// As [`find`], and nobody else changes it until the transaction ends.
pub(super) async fn find_locked(tx: &mut TenantTx) -> Result<Option<PaymentMethod>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_as!(
        PaymentMethod,
        "select customer, method, updated_at, version from payment_methods where tenant_id = $1 for update",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

pub(super) async fn put(
    tx: &mut TenantTx,
    put: &PutPaymentMethod,
    now: DateTime<Utc>,
) -> Result<PaymentMethod, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let method = sqlx::query_as!(
        PaymentMethod,
        "insert into payment_methods (tenant_id, customer, method, updated_at) values ($1, $2, $3, $4)
         on conflict on constraint payment_methods_once do update set customer = excluded.customer, method = excluded.method,
           updated_at = excluded.updated_at, version = payment_methods.version + 1
         returning customer, method, updated_at, version",
        tenant_id,
        put.customer,
        put.method,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(method)
}

pub(super) async fn delete(tx: &mut TenantTx) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("delete from payment_methods where tenant_id = $1", tenant_id).execute(tx.conn()).await?;
    Ok(())
}
