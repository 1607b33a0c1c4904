//! Pools: what all mailboxes of a tenant, or of a reseller's tenants, may hold together.
//!
//! A level without a limit counts nothing, so that its mailboxes share no row. Whoever sets a limit where there was none
//! holds every mailbox below while it counts them ([`count_tenant`], [`count_reseller`]); whoever moves bytes holds the
//! mailbox before it looks which levels have a limit. So no byte is missed or counted twice.

mod store;

use db::{Db, SystemTx};
use kernel::{ResellerId, TenantId};

use super::signed;
use crate::TenantTx;

/// What became of a request for room in the pools above a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pools {
    /// The bytes are counted in each pool that has a limit.
    Taken,
    /// They would pass a limit; nothing was counted.
    Full {
        /// What the fullest of them has room for.
        free_bytes: u64,
    },
}

/// Counts `bytes` in every pool with a limit above the tenant's mailboxes, if all have room. To be called with the
/// mailbox's row locked, after its folders: pools are locked last, the tenant's and then the resellers' by id.
///
/// # Errors
/// As of any statement.
pub async fn charge_pools(tx: &mut TenantTx, bytes: u64) -> Result<Pools, db::Error> {
    if bytes == 0 {
        // They fit, also where a limit was lowered below what is used.
        return Ok(Pools::Taken);
    }
    let bytes = signed(bytes);
    let locked = lock(tx).await?;
    let free = locked.tenant.iter().chain(&locked.resellers).map(store::Pool::free_bytes).min();
    if let Some(free) = free.filter(|&free| free < bytes) {
        return Ok(Pools::Full { free_bytes: free.max(0).unsigned_abs() });
    }
    add(tx, &locked, bytes).await?;
    Ok(Pools::Taken)
}

/// Takes `bytes` out of every pool that counts them. As [`charge_pools`], last in the transaction.
///
/// # Errors
/// As of any statement.
pub async fn release_pools(tx: &mut TenantTx, bytes: u64) -> Result<(), db::Error> {
    if bytes == 0 {
        return Ok(());
    }
    let locked = lock(tx).await?;
    add(tx, &locked, -signed(bytes)).await
}

/// The pools with a limit above the tenant's mailboxes, locked.
struct Locked {
    tenant: Option<store::Pool>,
    resellers: Vec<store::Pool>,
}

async fn lock(tx: &mut TenantTx) -> Result<Locked, db::Error> {
    let limited = store::limited(tx).await?;
    let tenant = if limited.tenant { store::lock_tenant(tx).await? } else { None };
    let resellers = store::lock_resellers(tx.conn(), &limited.resellers).await?;
    Ok(Locked { tenant, resellers })
}

async fn add(tx: &mut TenantTx, locked: &Locked, bytes: i64) -> Result<(), db::Error> {
    if locked.tenant.is_some() {
        store::add_to_tenant(tx, bytes).await?;
    }
    if !locked.resellers.is_empty() {
        let ids: Vec<_> = locked.resellers.iter().map(|pool| pool.id).collect();
        store::add_to_resellers(tx.conn(), &ids, bytes).await?;
    }
    Ok(())
}

/// The bytes of all of the tenant's mailboxes, each locked until the transaction ends.
pub(crate) async fn count_tenant(tx: &mut TenantTx) -> Result<i64, db::Error> {
    let tenant_id = tx.tenant_id();
    store::count_tenant(tx.conn(), tenant_id).await
}

/// The bytes of all mailboxes below a reseller, each locked until the transaction ends.
pub(crate) async fn count_reseller(tx: &mut SystemTx, id: ResellerId) -> Result<i64, db::Error> {
    store::count_reseller(tx, id).await
}

/// As [`count_tenant`], of a tenant that is to go from one reseller to another.
pub(crate) async fn count_moving(tx: &mut SystemTx, id: TenantId) -> Result<i64, db::Error> {
    store::count_tenant(tx.conn(), id).await
}

/// Moves bytes from the pools of some resellers to those of others, if these have room; false otherwise. To be called with
/// the rows of all of them locked: a limit that is being set is then seen, or counts these bytes.
pub(crate) async fn shift(
    tx: &mut SystemTx,
    left: &[ResellerId],
    entered: &[ResellerId],
    bytes: i64,
) -> Result<bool, db::Error> {
    let of = |ids: &[ResellerId]| ids.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    let ids = |pools: Vec<store::Pool>| pools.into_iter().map(|pool| pool.id).collect::<Vec<_>>();
    let left = store::lock_resellers(tx.conn(), &of(left)).await?;
    let entered = store::lock_resellers(tx.conn(), &of(entered)).await?;
    if bytes > 0 && entered.iter().any(|pool| pool.free_bytes() < bytes) {
        return Ok(false);
    }
    store::add_to_resellers(tx.conn(), &ids(left), -bytes).await?;
    store::add_to_resellers(tx.conn(), &ids(entered), bytes).await?;
    Ok(true)
}

/// What the fullest pool above the tenant's mailboxes has room for, and whose it is; `None` when none has a limit.
pub(crate) async fn tightest(tx: &mut TenantTx) -> Result<Option<(&'static str, i64)>, db::Error> {
    store::tightest(tx).await
}

/// How many tenants and resellers have a counter that is not the sum of what it counts: seats, domains, tenants and, where
/// there is a limit, bytes. Each level is compared within one statement, so writers at work do not show.
///
/// # Errors
/// As of any statement.
#[expect(clippy::disallowed_methods, reason = "the counters of all tenants are compared")]
pub async fn drift(db: &Db) -> Result<u64, db::Error> {
    let mut tx = SystemTx::begin(db).await?;
    let off = store::tenants_off(&mut tx).await? + store::resellers_off(&mut tx).await?;
    Ok(off.unsigned_abs())
}
