//! SQL of resellers' providers.

use db::SystemTx;
use kernel::ResellerId;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use super::{PaymentProvider, PutPaymentProvider, Secrets};

pub(super) async fn find(
    conn: &mut PgConnection,
    reseller_id: ResellerId,
) -> Result<Option<PaymentProvider>, db::Error> {
    let row = sqlx::query!(
        "select provider, is_enabled, refused_at, updated_at, version from payment_providers where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| PaymentProvider {
        reseller_id,
        provider: row.provider,
        is_enabled: row.is_enabled,
        refused_at: row.refused_at,
        updated_at: row.updated_at,
        version: row.version,
    }))
}

/// As [`find`], and nobody else changes it until the transaction ends.
pub(super) async fn find_locked(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<PaymentProvider>, db::Error> {
    sqlx::query!(
        "select version from payment_providers where reseller_id = $1 for update",
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    find(tx.conn(), reseller_id).await
}

/// Waits for whoever changes it, and nobody else does until the transaction ends.
pub(super) async fn wait_for_put(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<(), db::Error> {
    sqlx::query!(
        "select version from payment_providers where reseller_id = $1 for share",
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn put(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    put: &PutPaymentProvider,
    now: DateTime<Utc>,
) -> Result<PaymentProvider, db::Error> {
    let row = sqlx::query!(
        "insert into payment_providers (reseller_id, provider, secret_key, webhook_secret, is_enabled, updated_at)
         values ($1, 'stripe', $2, $3, $4, $5)
         on conflict on constraint payment_providers_once do update set secret_key = excluded.secret_key,
           webhook_secret = excluded.webhook_secret, is_enabled = excluded.is_enabled, updated_at = excluded.updated_at,
           refused_at = null, version = payment_providers.version + 1
         returning provider, version",
        reseller_id.uuid(),
        put.secret_key.expose_secret(),
        put.webhook_secret.expose_secret(),
        put.is_enabled,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(PaymentProvider {
        reseller_id,
        provider: row.provider,
        is_enabled: put.is_enabled,
        refused_at: None,
        updated_at: now,
        version: row.version,
    })
}

/// Whether payments or refunds of its are open.
pub(super) async fn has_open(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<bool, db::Error> {
    let is_open = sqlx::query_scalar!(
        r#"select exists (select from payments where issuer_id = $1
               and status in ('pending', 'unknown', 'requires_action', 'processing'))
             or exists (select from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
               where p.issuer_id = $1 and r.status in ('pending', 'unknown')) as "is_open!""#,
        reseller_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_open)
}

pub(super) async fn delete(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<(), db::Error> {
    sqlx::query!("delete from payment_providers where reseller_id = $1", reseller_id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn secrets(
    conn: &mut PgConnection,
    reseller_id: ResellerId,
) -> Result<Option<Secrets>, db::Error> {
    let row = sqlx::query!(
        "select is_enabled, refused_at, secret_key, webhook_secret from payment_providers where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Secrets {
        is_enabled: row.is_enabled,
        refused_at: row.refused_at,
        secret_key: SecretString::from(row.secret_key),
        webhook_secret: SecretString::from(row.webhook_secret),
    }))
}

/// Notes when the key that was asked with was refused, or that it is taken; whether the one was noted when the other is now.
/// Nothing when another was put meanwhile.
pub(super) async fn note_key(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    asked_with: &Secrets,
    refused_at: Option<DateTime<Utc>>,
) -> Result<bool, db::Error> {
    let changed = sqlx::query_scalar!(
        r#"update payment_providers p set refused_at = $3
           from (select refused_at from payment_providers where reseller_id = $1 for update) before
           where p.reseller_id = $1 and p.secret_key = $2
           returning (before.refused_at is null) <> (p.refused_at is null) as "changed!""#,
        reseller_id.uuid(),
        asked_with.secret_key.expose_secret(),
        refused_at
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(changed.unwrap_or(false))
}
