//! SQL of app passwords.

use db::{SystemRead, SystemTx};
use kernel::{AppPasswordId, PageRequest, TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};

use super::AppPassword;
use crate::policy::Capability;
use crate::{Error, TenantTx};

pub(super) async fn insert(
    tx: &mut TenantTx,
    user_id: UserId,
    password: &AppPassword,
    secret_hash: &[u8],
    scram_keys: &[u8],
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let protocols: Vec<String> =
        password.protocols.iter().map(|protocol| protocol.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into app_passwords (tenant_id, id, user_id, name, protocols, secret_hash, scram_keys, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $9, $7, $8)",
        tenant_id,
        password.id.uuid(),
        user_id.uuid(),
        password.name,
        &protocols,
        secret_hash,
        password.created_at,
        password.expires_at,
        scram_keys,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn count(tx: &mut TenantTx, user_id: UserId) -> Result<i64, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from app_passwords where tenant_id = $1 and user_id = $2"#,
        tenant_id,
        user_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

pub(super) async fn list(
    tx: &mut TenantTx,
    user_id: UserId,
    page: &PageRequest,
) -> Result<Vec<AppPassword>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, name, protocols, created_at, expires_at, last_used_at from app_passwords
         where tenant_id = $1 and user_id = $2 and id > $3 order by id limit $4",
        tenant_id,
        user_id.uuid(),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let protocols = row.protocols.iter().map(|name| name.parse()).collect::<Result<_, _>>();
            Ok(AppPassword {
                id: AppPasswordId::from_uuid(row.id),
                name: row.name,
                protocols: protocols.map_err(Error::internal)?,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
            })
        })
        .collect()
}

pub(super) async fn delete(tx: &mut TenantTx, user_id: UserId, id: AppPasswordId) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "delete from app_passwords where tenant_id = $1 and user_id = $2 and id = $3",
        tenant_id,
        user_id.uuid(),
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Revokes all of a user's; how many.
pub(crate) async fn delete_all(tx: &mut TenantTx, user_id: UserId) -> Result<u64, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "delete from app_passwords where tenant_id = $1 and user_id = $2",
        tenant_id,
        user_id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// What those in force for the protocol are proven by.
pub(super) async fn keys(
    read: &mut SystemRead,
    tenant_id: TenantId,
    user_id: UserId,
    protocol: Capability,
    now: DateTime<Utc>,
) -> Result<Vec<(AppPasswordId, Vec<u8>)>, db::Error> {
    let rows = sqlx::query!(
        r#"select id, scram_keys as "scram_keys!" from app_passwords
           where tenant_id = $1 and user_id = $2 and $3 = any (protocols) and (expires_at is null or expires_at > $4)
             and scram_keys is not null order by id"#,
        tenant_id.uuid(),
        user_id.uuid(),
        protocol.as_str(),
        now
    )
    .fetch_all(read.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (AppPasswordId::from_uuid(row.id), row.scram_keys)).collect())
}

/// Notes that one was used, if it is in force for the protocol; whether it is.
pub(super) async fn use_that(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    user_id: UserId,
    protocol: Capability,
    id: AppPasswordId,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let found = sqlx::query!(
        "select last_used_at from app_passwords
         where tenant_id = $1 and user_id = $2 and id = $3 and $4 = any (protocols) and (expires_at is null or expires_at > $5)",
        tenant_id.uuid(),
        user_id.uuid(),
        id.uuid(),
        protocol.as_str(),
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(found) = found else { return Ok(false) };
    note_use(tx, tenant_id, id, found.last_used_at, now).await?;
    Ok(true)
}

/// To the minute: a client that polls need not write each time.
async fn note_use(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    id: AppPasswordId,
    last_used_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    if last_used_at.is_some_and(|at| now - at < chrono::TimeDelta::minutes(1)) {
        return Ok(());
    }
    sqlx::query!(
        "update app_passwords set last_used_at = $3 where tenant_id = $1 and id = $2",
        tenant_id.uuid(),
        id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The one with this hash, in force, for the protocol; notes that it was used.
pub(super) async fn use_one(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    user_id: UserId,
    protocol: Capability,
    secret_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<AppPasswordId>, db::Error> {
    let found = sqlx::query!(
        "select id, last_used_at from app_passwords
         where tenant_id = $1 and user_id = $2 and secret_hash = $3 and $4 = any (protocols)
           and (expires_at is null or expires_at > $5)",
        tenant_id.uuid(),
        user_id.uuid(),
        secret_hash,
        protocol.as_str(),
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(found) = found else { return Ok(None) };
    let id = AppPasswordId::from_uuid(found.id);
    note_use(tx, tenant_id, id, found.last_used_at, now).await?;
    Ok(Some(id))
}

/// Whether there is one, in force, for the protocol.
pub(super) async fn is_in_force(
    read: &mut SystemRead,
    tenant_id: TenantId,
    id: AppPasswordId,
    protocol: Capability,
    now: DateTime<Utc>,
) -> Result<bool, db::Error> {
    let is = sqlx::query_scalar!(
        r#"select exists (select from app_passwords where tenant_id = $1 and id = $2 and $3 = any (protocols)
             and (expires_at is null or expires_at > $4)) as "is!""#,
        tenant_id.uuid(),
        id.uuid(),
        protocol.as_str(),
        now
    )
    .fetch_one(read.conn())
    .await?;
    Ok(is)
}
