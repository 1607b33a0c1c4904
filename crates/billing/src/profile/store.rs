//! SQL of billing profiles.

use std::collections::BTreeMap;

use db::{SystemRead, SystemTx};
use kernel::{ResellerId, TenantId};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use sqlx::types::Json;
use sqlx::types::chrono::{DateTime, Utc};
use tenancy::{OfTenants, TenantTx};

use super::{CustomerProfile, IssuerProfile, Versioned};
use crate::Error;
use crate::series::OPERATOR;

/// A profile as a column holds it.
pub(crate) fn read<T: DeserializeOwned>(column: serde_json::Value) -> Result<T, Error> {
    serde_json::from_value(column).map_err(|_| Error::Stored("billing profile"))
}

/// An issuer's, if it has one and the transaction sees it.
pub(crate) async fn issuer(
    conn: &mut PgConnection,
    reseller_id: ResellerId,
) -> Result<Option<Versioned<IssuerProfile>>, Error> {
    let row = sqlx::query!(
        "select profile, version from issuer_profiles where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_optional(conn)
    .await
    .map_err(db::Error::from)?;
    row.map(|row| Ok(Versioned { profile: read(row.profile)?, version: row.version })).transpose()
}

/// An issuer's with its logo.
pub(super) async fn issuer_with_logo(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<Versioned<IssuerProfile>>, Error> {
    let Some(mut found) = issuer(tx.conn(), reseller_id).await? else { return Ok(None) };
    found.profile.logo = logo(tx, reseller_id).await?;
    Ok(Some(found))
}

/// How a reseller is called, which counts while it has no profile; `None` for one that the transaction does not see.
pub(crate) async fn reseller_name(
    conn: &mut PgConnection,
    id: ResellerId,
) -> Result<Option<String>, db::Error> {
    let name = sqlx::query_scalar!("select name from resellers where id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(name)
}

/// An issuer's logo, if it has one.
pub(crate) async fn logo(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Option<Vec<u8>>, db::Error> {
    let found =
        sqlx::query_scalar!("select logo from issuer_profiles where reseller_id = $1", reseller_id.uuid())
            .fetch_optional(tx.conn())
            .await?;
    Ok(found.flatten())
}

/// Keeps others from changing what the issuer has here until the transaction ends.
pub(crate) async fn lock_issuer(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<(), db::Error> {
    // The operator has no row of its own.
    if reseller_id == OPERATOR {
        sqlx::query!("select pg_advisory_xact_lock(hashtext('operator_as_issuer'))")
            .execute(tx.conn())
            .await?;
        return Ok(());
    }
    sqlx::query!("select id from resellers where id = $1 for no key update", reseller_id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn put_issuer(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    new: &Versioned<IssuerProfile>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into issuer_profiles (reseller_id, profile, version, logo) values ($1, $2, $3, $4)
         on conflict (reseller_id) do update set profile = excluded.profile, version = excluded.version,
           logo = excluded.logo",
        reseller_id.uuid(),
        Json(&new.profile) as _,
        new.version,
        new.profile.logo.as_deref(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A reseller's as the operator's customer, if it has one.
pub(crate) async fn reseller(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Option<Versioned<CustomerProfile>>, Error> {
    let row = sqlx::query!(
        "select profile, version from reseller_customer_profiles where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(|row| Ok(Versioned { profile: read(row.profile)?, version: row.version })).transpose()
}

pub(crate) async fn put_reseller(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    new: &Versioned<CustomerProfile>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into reseller_customer_profiles (reseller_id, profile, version) values ($1, $2, $3)
         on conflict (reseller_id) do update set profile = excluded.profile, version = excluded.version",
        reseller_id.uuid(),
        Json(&new.profile) as _,
        new.version,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tenant's own.
pub(crate) async fn customer(tx: &mut TenantTx) -> Result<Option<Versioned<CustomerProfile>>, Error> {
    customers(tx).await?.into_values().next().transpose()
}

/// That of each tenant that has one, or why it cannot be read.
pub(crate) async fn customers(
    tx: &mut impl OfTenants,
) -> Result<BTreeMap<TenantId, Result<Versioned<CustomerProfile>, Error>>, db::Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        "select tenant_id, profile, version from customer_profiles where tenant_id = any ($1)",
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    let all = rows.into_iter().map(|row| {
        let found = read(row.profile).map(|profile| Versioned { profile, version: row.version });
        (TenantId::from_uuid(row.tenant_id), found)
    });
    Ok(all.collect())
}

/// Its subscription is parked no more. `vat_ask_at`: when a register is to be asked about its number.
pub(super) async fn put_customer(
    tx: &mut TenantTx,
    new: &Versioned<CustomerProfile>,
    vat_ask_at: Option<DateTime<Utc>>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into customer_profiles (tenant_id, profile, version, vat_ask_at) values ($1, $2, $3, $4)
         on conflict (tenant_id) do update set profile = excluded.profile, version = excluded.version,
           vat_ask_at = excluded.vat_ask_at, vat_asked = 0",
        tenant_id,
        Json(&new.profile) as _,
        new.version,
        vat_ask_at,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update subscriptions set parked_at = null, parked_reason = null, version = version + 1
         where tenant_id = $1 and parked_at is not null",
        tenant_id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tenants about whose numbers a register is to be asked by then, the longest due first.
pub(super) async fn to_ask(
    read: &mut SystemRead,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<TenantId>, db::Error> {
    let ids = sqlx::query_scalar!(
        "select p.tenant_id from customer_profiles p join tenants t on t.id = p.tenant_id
         where p.vat_ask_at <= $1 and t.deleted_at is null order by p.vat_ask_at, p.tenant_id limit $2",
        now,
        limit
    )
    .fetch_all(read.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// How often a register was asked about the tenant's number again, if it is to be asked by now.
pub(super) async fn times_asked(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<Option<i32>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let asked = sqlx::query_scalar!(
        "select vat_asked from customer_profiles where tenant_id = $1 and vat_ask_at <= $2",
        tenant_id,
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(asked)
}

/// It was asked once more, and is to be asked at another time or not any more.
pub(super) async fn ask_later(tx: &mut TenantTx, at: Option<DateTime<Utc>>) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update customer_profiles set vat_ask_at = $2, vat_asked = vat_asked + 1 where tenant_id = $1",
        tenant_id,
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
