//! SQL of what is told of messages.

use std::collections::{BTreeMap, BTreeSet};

use db::Error;
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Columns, VERSION};
use crate::parsed::Parsed;

/// What is kept of what some bodies' messages say of themselves.
pub(super) async fn parsed(
    tx: &mut TenantTx,
    bodies: &BTreeSet<Uuid>,
) -> Result<BTreeMap<Uuid, Parsed>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select blob_id, parsed from message_outlines where tenant_id = $1 and blob_id = any ($2) and version = $3",
        tenant_id,
        &bodies.iter().copied().collect::<Vec<_>>(),
        VERSION,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.blob_id, serde_json::from_value(row.parsed).unwrap_or_default()))
        .collect())
}

/// The previews of some bodies' messages, of those of which anything is kept; empty where there is none.
pub(super) async fn previews(tx: &mut TenantTx, bodies: &[Uuid]) -> Result<BTreeMap<Uuid, String>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select blob_id, coalesce(parsed ->> 'preview', '') as "preview!" from message_outlines
           where tenant_id = $1 and blob_id = any ($2) and version = $3"#,
        tenant_id,
        bodies,
        VERSION,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.blob_id, row.preview)).collect())
}

/// Whether anything is kept of each of some bodies' messages.
pub(super) async fn are_kept(tx: &mut TenantTx, bodies: &[Uuid]) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        r#"select not exists (
             select from unnest($2::uuid[]) as wanted (blob_id)
             where not exists (select from message_outlines kept
                               where kept.tenant_id = $1 and kept.blob_id = wanted.blob_id and kept.version = $3)) as "are_kept!""#,
        tenant_id,
        bodies,
        VERSION,
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Keeps what is told of a body's messages, if the body is still there.
pub(super) async fn keep(tx: &mut TenantTx, blob_id: Uuid, columns: &Columns) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    // Locked, so that it does not go meanwhile.
    sqlx::query!(
        "insert into message_outlines (tenant_id, blob_id, version, structure, parsed)
         select tenant_id, id, $3, $4, $5 from blobs where tenant_id = $1 and id = $2 for key share
         on conflict on constraint message_outlines_once do update
           set version = excluded.version, structure = excluded.structure, parsed = excluded.parsed",
        tenant_id,
        blob_id,
        VERSION,
        columns.structure,
        columns.parsed,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
