//! SQL of the job queue. Unchecked queries: the migrator lives in this crate, so it must build before any schema.

use chrono::{DateTime, Utc};
use kernel::JobId;
use serde_json::Value;
use sqlx::Row as _;
use uuid::Uuid;

use super::{Depth, Job};
use crate::{Error, SystemTx};

pub(super) async fn insert(
    tx: &mut SystemTx,
    id: JobId,
    kind: &str,
    payload: Value,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query("insert into jobs (id, kind, payload, run_at, created_at) values ($1, $2, $3, $4, $5)")
        .bind(id.uuid())
        .bind(kind)
        .bind(payload)
        .bind(run_at)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn claim(
    tx: &mut SystemTx,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
) -> Result<Option<Job>, Error> {
    let row = sqlx::query(
        "update jobs set attempts = attempts + 1, leased_until = $2
         where id = (select id from jobs
                     where failed_at is null and run_at <= $1 and (leased_until is null or leased_until <= $1)
                     order by run_at, id limit 1 for update skip locked)
         returning id, kind, payload, attempts",
    )
    .bind(now)
    .bind(leased_until)
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(Job {
            id: JobId::from_uuid(row.try_get::<Uuid, _>("id")?),
            kind: row.try_get("kind")?,
            payload: row.try_get("payload")?,
            attempts: row.try_get("attempts")?,
        })
    })
    .transpose()
}

pub(super) async fn delete(tx: &mut SystemTx, id: JobId) -> Result<(), Error> {
    sqlx::query("delete from jobs where id = $1").bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn put_back(
    tx: &mut SystemTx,
    id: JobId,
    run_at: DateTime<Utc>,
    failed_at: Option<DateTime<Utc>>,
    error: &str,
) -> Result<(), Error> {
    sqlx::query(
        "update jobs set run_at = $2, leased_until = null, failed_at = $3, last_error = $4 where id = $1",
    )
    .bind(id.uuid())
    .bind(run_at)
    .bind(failed_at)
    .bind(error)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn depth(tx: &mut SystemTx) -> Result<Depth, Error> {
    let row = sqlx::query(
        "select count(*) filter (where failed_at is null) as waiting, count(failed_at) as failed from jobs",
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Depth { waiting: row.try_get("waiting")?, failed: row.try_get("failed")? })
}
