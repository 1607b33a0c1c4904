//! How many bytes each tenant had stored over time: sampled again and again, and kept where it changed.

mod store;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::TenantId;

use crate::{OfTenants, TenantTx};

/// From an instant on, so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageSample {
    /// The instant, in the tenant's time.
    pub at: DateTime<Utc>,
    /// What its mailboxes held together.
    pub used_bytes: i64,
}

/// Samples every tenant whose bytes are not what its last sample says; how many those are. Several processes may do it at once.
///
/// # Errors
/// As of any statement.
pub async fn record(db: &Db) -> Result<u64, db::Error> {
    let mut tx = begin(db).await?;
    let recorded = store::record(&mut tx, db.env().now()).await?;
    tx.commit().await?;
    Ok(recorded)
}

/// The tenant's samples, oldest first.
///
/// # Errors
/// As of any statement.
pub async fn of(tx: &mut TenantTx) -> Result<Vec<StorageSample>, db::Error> {
    store::of(tx).await
}

/// The samples of each of the transaction's tenants up to and including the time given for it: by tenant, oldest first.
///
/// # Errors
/// As of any statement.
pub async fn of_each(
    tx: &mut impl OfTenants,
    until: &[(TenantId, DateTime<Utc>)],
) -> Result<Vec<(TenantId, StorageSample)>, db::Error> {
    let tenants = tx.tenant_ids();
    let until: Vec<_> = until.iter().filter(|(id, _)| tenants.contains(&id.uuid())).copied().collect();
    store::of_each(tx.conn(), &until).await
}

/// The samples of several tenants: by tenant, oldest first.
///
/// # Errors
/// As of any statement.
pub async fn of_tenants(
    tx: &mut SystemTx,
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, StorageSample)>, db::Error> {
    store::of_tenants(tx, tenants).await
}

#[expect(clippy::disallowed_methods, reason = "all tenants are sampled at once")]
async fn begin(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
