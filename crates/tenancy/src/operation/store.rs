//! SQL of operations.

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{OperationId, TenantId};
use serde_json::Value;

use super::{Operation, Step, from_json, to_json};
use crate::TenantTx;

pub(super) async fn insert(tx: &mut TenantTx, operation: &Operation) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into operations (tenant_id, id, kind, subject, status, steps, done, total, created_at, finished_at, result)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant_id,
        operation.id.uuid(),
        operation.kind,
        operation.subject,
        operation.status,
        to_json(&operation.steps),
        operation.done,
        operation.total,
        operation.created_at,
        operation.finished_at,
        operation.result,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that an operation is under way, so much more of it done, and so much more of it known.
pub(super) async fn advance(tx: &mut TenantTx, id: OperationId, done: i32, total: i32) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update operations set status = 'running', done = done + $3, total = greatest(total + $4, done + $3) where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        done,
        total,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn finish(
    tx: &mut TenantTx,
    id: OperationId,
    (status, result): (&str, Option<&Value>),
    steps: &[Step],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update operations set status = $3, steps = $4, finished_at = $5, result = $6 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        status,
        to_json(steps),
        now,
        result,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn tenant_of(tx: &mut SystemTx, id: OperationId) -> Result<Option<TenantId>, Error> {
    let tenant = sqlx::query_scalar!("select tenant_id from operations where id = $1", id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(tenant.map(TenantId::from_uuid))
}

pub(super) async fn find(tx: &mut TenantTx, id: OperationId) -> Result<Option<Operation>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        "select id, kind, subject, status, steps, done, total, created_at, finished_at, result from operations
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Operation {
        id: OperationId::from_uuid(row.id),
        kind: row.kind,
        subject: row.subject,
        status: row.status,
        steps: from_json(&row.steps),
        done: row.done,
        total: row.total,
        result: row.result,
        created_at: row.created_at,
        finished_at: row.finished_at,
    }))
}
