//! SQL of refresh tokens.

use db::{Error, SystemTx};
use kernel::{TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Kept;
use crate::TenantTx;

pub(super) async fn insert(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    kept: &Kept,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into refresh_tokens (tenant_id, id, family_id, user_id, session_epoch, secret_hash, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant_id.uuid(),
        kept.id,
        kept.family_id,
        kept.user_id.uuid(),
        kept.session_epoch,
        kept.secret_hash,
        now,
        kept.expires_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps others from using or ending tokens of the same user until the transaction ends; how often the user's sessions have been ended.
pub(super) async fn lock_user_of(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    id: Uuid,
) -> Result<Option<i32>, Error> {
    let session_epoch = sqlx::query_scalar!(
        "select session_epoch from users
         where tenant_id = $1 and id = (select user_id from refresh_tokens where tenant_id = $1 and id = $2) for no key update",
        tenant_id.uuid(),
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(session_epoch)
}

pub(super) async fn find(tx: &mut SystemTx, tenant_id: TenantId, id: Uuid) -> Result<Option<Kept>, Error> {
    let row = sqlx::query!(
        "select id, family_id, user_id, session_epoch, secret_hash, expires_at, used_at, revoked_at
         from refresh_tokens where tenant_id = $1 and id = $2",
        tenant_id.uuid(),
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Kept {
        id: row.id,
        family_id: row.family_id,
        user_id: UserId::from_uuid(row.user_id),
        session_epoch: row.session_epoch,
        secret_hash: row.secret_hash,
        expires_at: row.expires_at,
        used_at: row.used_at,
        revoked_at: row.revoked_at,
    }))
}

pub(super) async fn set_used(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update refresh_tokens set used_at = $3 where tenant_id = $1 and id = $2",
        tenant_id.uuid(),
        id,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn revoke_family(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    family_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update refresh_tokens set revoked_at = $3 where tenant_id = $1 and family_id = $2 and revoked_at is null",
        tenant_id.uuid(),
        family_id,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts a user's sessions as ended, and revokes their tokens, of which a server of the version before knows no more.
pub(super) async fn end_all(tx: &mut TenantTx, user_id: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    // First, since it locks the user.
    sqlx::query!(
        "update users set session_epoch = session_epoch + 1 where tenant_id = $1 and id = $2",
        tenant_id,
        user_id.uuid()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update refresh_tokens set revoked_at = $3 where tenant_id = $1 and user_id = $2 and revoked_at is null",
        tenant_id,
        user_id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete_expired(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!("delete from refresh_tokens where expires_at < $1", now).execute(tx.conn()).await?;
    Ok(())
}
