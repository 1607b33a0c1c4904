//! How many bytes each tenant had stored over time: sampled again and again, and kept where it changed.

mod store;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::TenantId;

use crate::{OfTenants, TenantTx};

/// From an instant on, so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageSample {
    /// The instant, in the tenant's time. Of several at one, which a test clock makes, the last counts.
    pub at: DateTime<Utc>,
    /// Its place among all samples: of the tenant's, those that were recorded later have higher ones.
    pub position: i64,
    /// What its mailboxes held together.
    pub used_bytes: i64,
}

/// Samples every tenant whose bytes are not what its last sample says; how many those are. Several processes may do it at once.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn record(db: &Db) -> Result<u64, db::Error> {
    let mut tx = begin(db).await?;
    let recorded = store::record(tx.conn(), db.env().now(), None).await?;
    tx.commit().await?;
    Ok(recorded)
}

/// Samples one tenant, as [`record`] does, before its test clock leaves the instant at which it stands.
pub(crate) async fn record_one(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id();
    store::record(tx.conn(), now, Some(tenant_id)).await?;
    Ok(())
}

/// The tenant's samples, oldest first.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn of(tx: &mut TenantTx) -> Result<Vec<StorageSample>, db::Error> {
    store::of(tx).await
}

impl StorageSample {
    /// Of a tenant's samples, oldest first, those up to the one at a position, or without it none; `None` if it is not among them.
    pub fn up_to(samples: &[Self], position: Option<i64>) -> Option<&[Self]> {
        let count = match position {
            Some(last) => samples.iter().position(|sample| sample.position == last)? + 1,
            None => 0,
        };
        samples.get(..count)
    }
}

/// Some of a tenant's samples.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whose.
    pub tenant_id: TenantId,
    /// All that say what was stored from here on, so with the last one before; all there are, if there is no such instant.
    pub from: Option<DateTime<Utc>>,
    /// Up to and including this instant.
    pub until: DateTime<Utc>,
}

impl Wanted {
    /// All of a tenant's.
    pub fn all(tenant_id: TenantId) -> Self {
        Self { tenant_id, from: None, until: DateTime::<Utc>::MAX_UTC }
    }
}

/// The samples that are wanted of each of the transaction's tenants: by tenant, oldest first.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn of_each(
    tx: &mut impl OfTenants,
    wanted: &[Wanted],
) -> Result<Vec<(TenantId, StorageSample)>, db::Error> {
    let tenants = tx.tenant_ids();
    let wanted: Vec<_> = wanted.iter().filter(|of| tenants.contains(&of.tenant_id.uuid())).copied().collect();
    store::of_each(tx.conn(), &wanted).await
}

/// The samples that are wanted of any tenants, as [`of_each`] has them.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn of_tenants(
    tx: &mut SystemTx,
    wanted: &[Wanted],
) -> Result<Vec<(TenantId, StorageSample)>, db::Error> {
    store::of_each(tx.conn(), wanted).await
}

#[expect(clippy::disallowed_methods, reason = "all tenants are sampled at once")]
async fn begin(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
