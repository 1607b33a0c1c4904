//! SQL of keys.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{TenantId, WrappedKeyId};
use pack::{Generation, KekId, WrappedKey};

use super::Row;

/// A generation as an integer column holds it. It takes two thousand million rotations to reach the limit.
pub(crate) fn to_column(generation: Generation) -> i32 {
    i32::try_from(generation.number()).unwrap_or(i32::MAX)
}

/// A generation out of an integer column, which a check keeps from being less than one.
pub(crate) fn from_column(number: i32) -> Generation {
    u32::try_from(number).ok().and_then(Generation::new).unwrap_or(Generation::FIRST)
}

/// One of a tenant's keys; the newest if no generation is named.
pub(super) async fn find(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    generation: Option<Generation>,
) -> Result<Option<Row>, Error> {
    let row = sqlx::query!(
        r#"select generation, id, kek, wrapped, stored_at is not null as "is_stored!", former_id from tenant_keys
           where tenant_id = $1 and generation = coalesce($2, generation) order by generation desc limit 1"#,
        tenant_id.uuid(),
        generation.map(to_column),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Row {
        tenant_id,
        generation: from_column(row.generation),
        id: WrappedKeyId::from_uuid(row.id),
        kek: row.kek,
        wrapped: row.wrapped,
        is_stored: row.is_stored,
        former: row.former_id.map(WrappedKeyId::from_uuid),
    }))
}

/// The first wrapped keys for each key-encryption key that is in use, with the name of that: one step in the index for each. The installation's own
/// is the first.
pub(super) async fn some_of_each(tx: &mut SystemTx, limit: i64) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let rows = sqlx::query!(
        r#"with recursive keks as (
             (select kek from tenant_keys order by kek limit 1)
             union all
             select (select kek from tenant_keys where kek > keks.kek order by kek limit 1) from keks where keks.kek is not null)
           select keks.kek as "kek!", sample.wrapped as "wrapped!" from keks
           cross join lateral (
             select wrapped from tenant_keys where tenant_keys.kek = keks.kek order by tenant_id, generation limit $1) as sample"#,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.kek, row.wrapped)).collect())
}

/// The first wrapped keys of those with a row's key-encryption key, without the row's own.
pub(super) async fn others_of_its_kek(
    tx: &mut SystemTx,
    row: &Row,
    limit: i64,
) -> Result<Vec<Vec<u8>>, Error> {
    let wrapped = sqlx::query_scalar!(
        "select wrapped from tenant_keys where kek = $1 and (tenant_id, generation) <> ($2, $3)
         order by tenant_id, generation limit $4",
        row.kek.as_str(),
        row.tenant_id.uuid(),
        to_column(row.generation),
        limit,
    );
    Ok(wrapped.fetch_all(tx.conn()).await?)
}

pub(super) async fn kept_of(
    tx: &mut SystemTx,
    tenants: &BTreeSet<TenantId>,
) -> Result<BTreeSet<TenantId>, Error> {
    let ids = tenants.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    let kept = sqlx::query_scalar!(
        "select id from tenants where id = any ($1) and destroying is null and purged_at is null",
        &ids
    );
    Ok(kept.fetch_all(tx.conn()).await?.into_iter().map(TenantId::from_uuid).collect())
}

/// Those of some wrapped keys that have a row.
pub(super) async fn known(tx: &mut SystemTx, ids: &[WrappedKeyId]) -> Result<BTreeSet<WrappedKeyId>, Error> {
    let ids = ids.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    let known = sqlx::query_scalar!("select id from tenant_keys where id = any ($1)", &ids);
    Ok(known.fetch_all(tx.conn()).await?.into_iter().map(WrappedKeyId::from_uuid).collect())
}

/// The objects that a tenant's keys were put into and not erased from.
pub(super) async fn put_of(tx: &mut SystemTx, tenant_id: TenantId) -> Result<Vec<WrappedKeyId>, Error> {
    let put = sqlx::query_scalar!(
        r#"select id as "id!" from tenant_keys where tenant_id = $1 and stored_at is not null
           union all
           select former_id from tenant_keys where tenant_id = $1 and former_id is not null"#,
        tenant_id.uuid(),
    );
    Ok(put.fetch_all(tx.conn()).await?.into_iter().map(WrappedKeyId::from_uuid).collect())
}

pub(super) async fn delete_of(tx: &mut SystemTx, id: TenantId) -> Result<(), Error> {
    sqlx::query!("delete from tenant_keys where tenant_id = $1", id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Adds a key unless there is one of its generation, or the tenant is being destroyed; waits for another transaction that is adding it.
pub(super) async fn insert(
    tx: &mut SystemTx,
    id: WrappedKeyId,
    wrapped: &WrappedKey,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into tenant_keys (tenant_id, generation, id, kek, wrapped, created_at)
         select $1::uuid, $2::integer, $3::uuid, $4::text, $5::bytea, $6::timestamptz
         where $1 = $7 or exists (select from tenants where id = $1 and destroying is null and purged_at is null)
         on conflict on constraint tenant_keys_once do nothing",
        wrapped.tenant().uuid(),
        to_column(wrapped.generation()),
        id.uuid(),
        wrapped.kek().as_str(),
        wrapped.encode(),
        now,
        super::INSTALLATION.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that the object is there; whether the row is still this one.
pub(super) async fn set_stored(tx: &mut SystemTx, row: &Row, now: DateTime<Utc>) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update tenant_keys set stored_at = coalesce(stored_at, $3) where tenant_id = $1 and id = $2",
        row.tenant_id.uuid(),
        row.id.uuid(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Some of the keys that are not wrapped with the current key-encryption key or not finished, after a place in their order.
pub(super) async fn unsettled(
    tx: &mut SystemTx,
    current: &KekId,
    after: Option<(TenantId, Generation)>,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let (tenant, generation) =
        after.map_or((uuid::Uuid::nil(), 0), |(tenant, generation)| (tenant.uuid(), to_column(generation)));
    let rows = sqlx::query!(
        r#"select tenant_id, generation, id, kek, wrapped, stored_at is not null as "is_stored!", former_id
           from tenant_keys
           where (kek <> $1 or stored_at is null or former_id is not null) and (tenant_id, generation) > ($2, $3)
           order by tenant_id, generation limit $4"#,
        current.as_str(),
        tenant,
        generation,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| Row {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        generation: from_column(row.generation),
        id: WrappedKeyId::from_uuid(row.id),
        kek: row.kek,
        wrapped: row.wrapped,
        is_stored: row.is_stored,
        former: row.former_id.map(WrappedKeyId::from_uuid),
    });
    Ok(rows.collect())
}

/// Puts a new wrapping in the place of a finished row's; whether the row was still that one.
pub(super) async fn replace(
    tx: &mut SystemTx,
    row: &Row,
    id: WrappedKeyId,
    wrapped: &WrappedKey,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update tenant_keys set id = $3, kek = $4, wrapped = $5, stored_at = null, former_id = id
         where tenant_id = $1 and id = $2 and former_id is null",
        row.tenant_id.uuid(),
        row.id.uuid(),
        id.uuid(),
        wrapped.kek().as_str(),
        wrapped.encode(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that the former object is deleted.
pub(super) async fn forget_former(tx: &mut SystemTx, row: &Row) -> Result<(), Error> {
    sqlx::query!(
        "update tenant_keys set former_id = null where tenant_id = $1 and id = $2",
        row.tenant_id.uuid(),
        row.id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
