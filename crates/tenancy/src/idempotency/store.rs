//! SQL of idempotency keys.

use db::{Error, SystemTx};
use sqlx::types::chrono::{DateTime, Utc};

use super::Answer;

pub(super) struct Kept {
    pub(super) request_hash: Vec<u8>,
    pub(super) answer: Option<Answer>,
    pub(super) created_at: DateTime<Utc>,
}

pub(super) async fn forget_before(
    tx: &mut SystemTx,
    principal: &str,
    key: &str,
    before: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "delete from idempotency_keys where principal = $1 and key = $2 and created_at < $3",
        principal,
        key,
        before
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Claims a key; false when somebody has it. Waits for a concurrent claim to be decided.
pub(super) async fn insert(
    tx: &mut SystemTx,
    principal: &str,
    key: &str,
    request_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into idempotency_keys (principal, key, request_hash, created_at) values ($1, $2, $3, $4)
         on conflict (principal, key) do nothing",
        principal,
        key,
        request_hash,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn find(tx: &mut SystemTx, principal: &str, key: &str) -> Result<Option<Kept>, Error> {
    let row = sqlx::query!(
        "select request_hash, response_status, response_body, response_content_type, location, etag, created_at
         from idempotency_keys where principal = $1 and key = $2",
        principal,
        key
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Kept {
        request_hash: row.request_hash,
        answer: row.response_status.map(|status| Answer {
            status: u16::try_from(status).unwrap_or(500),
            content_type: row.response_content_type.unwrap_or_default(),
            location: row.location,
            etag: row.etag,
            body: row.response_body.unwrap_or_default(),
        }),
        created_at: row.created_at,
    }))
}

pub(super) async fn answer(
    tx: &mut SystemTx,
    principal: &str,
    key: &str,
    answer: &Answer,
) -> Result<(), Error> {
    sqlx::query!(
        "update idempotency_keys set response_status = $3, response_body = $4, response_content_type = $5, location = $6, etag = $7
         where principal = $1 and key = $2",
        principal,
        key,
        i32::from(answer.status),
        answer.body,
        answer.content_type,
        answer.location,
        answer.etag
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn release(tx: &mut SystemTx, principal: &str, key: &str) -> Result<(), Error> {
    sqlx::query!(
        "delete from idempotency_keys where principal = $1 and key = $2 and response_status is null",
        principal,
        key
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn prune(tx: &mut SystemTx, before: DateTime<Utc>) -> Result<u64, Error> {
    let done =
        sqlx::query!("delete from idempotency_keys where created_at < $1", before).execute(tx.conn()).await?;
    Ok(done.rows_affected())
}
