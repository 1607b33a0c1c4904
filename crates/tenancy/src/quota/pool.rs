//! Pools: what all mailboxes of a tenant, or of a reseller's tenants, may hold together.
//!
//! A level without a limit counts nothing, so that its mailboxes share no row. Whoever sets a limit where there was none
//! holds every mailbox below while it counts them ([`count_tenant`], [`count_reseller`]); whoever moves bytes holds the
//! mailbox before it looks which levels have a limit. So no byte is missed or counted twice.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use db::{Db, SystemTx};
use kernel::{ResellerId, TenantId};
use uuid::Uuid;

use super::signed;
use crate::{Ctx, OfTenants, TenantTx};

/// What became of a request for room in the pools above a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pools {
    /// The bytes are counted in each pool that has a limit.
    Taken,
    /// They would pass a limit; nothing was counted.
    Full,
}

/// Counts `bytes` in every pool with a limit above the tenant's mailboxes, if all have room. To be called with the
/// mailbox's row locked, after its folders: pools are locked last, the tenant's and then the resellers' by id.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn charge_pools(tx: &mut TenantTx, bytes: u64) -> Result<Pools, db::Error> {
    let (tenant_id, bytes) = (tx.tenant_id(), signed(bytes));
    let mut held = Held::lock_for(tx, bytes).await?;
    if !held.has_room(tenant_id, bytes) {
        return Ok(Pools::Full);
    }
    held.add(tenant_id, bytes);
    held.write(tx).await?;
    Ok(Pools::Taken)
}

/// Takes `bytes` out of every pool that counts them. As [`charge_pools`], last in the transaction.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn release_pools(tx: &mut TenantTx, bytes: u64) -> Result<(), db::Error> {
    let (tenant_id, bytes) = (tx.tenant_id(), -signed(bytes));
    let mut held = Held::lock_for(tx, bytes).await?;
    held.add(tenant_id, bytes);
    held.write(tx).await
}

/// The pools with a limit above the mailboxes of some tenants, locked, and what is to be counted in them.
#[derive(Debug, Default)]
pub(super) struct Held {
    tenants: BTreeMap<Uuid, Pool>,
    resellers: BTreeMap<Uuid, Pool>,
    /// The resellers with a limit above each tenant.
    above: BTreeMap<TenantId, Vec<Uuid>>,
    /// Whether there is a webhook that is told of mail of these tenants, where it is taken in.
    pub(super) is_told: bool,
}

/// A pool with a limit.
#[derive(Debug)]
struct Pool {
    /// Below zero when the limit was lowered under what is used.
    free_bytes: i64,
    added_bytes: i64,
}

impl Held {
    /// Locks nothing where nothing is to be counted.
    async fn lock_for(tx: &mut TenantTx, bytes: i64) -> Result<Self, db::Error> {
        if bytes == 0 { Ok(Self::default()) } else { Self::lock(tx).await }
    }

    /// Locks the pools above all of the transaction's tenants.
    pub(super) async fn lock(tx: &mut impl OfTenants) -> Result<Self, db::Error> {
        let limited = store::limited(tx).await?;
        let tenants: Vec<Uuid> = limited.iter().filter(|of| of.tenant).map(|of| of.tenant_id).collect();
        let resellers: BTreeSet<Uuid> = limited.iter().flat_map(|of| of.resellers.iter().copied()).collect();
        let resellers: Vec<Uuid> = resellers.into_iter().collect();
        let is_told = limited.iter().any(|of| of.is_told);
        let of = |pools: Vec<store::Pool>| {
            let pool = |pool: store::Pool| (pool.id, Pool { free_bytes: pool.free_bytes(), added_bytes: 0 });
            pools.into_iter().map(pool).collect()
        };
        Ok(Self {
            tenants: of(store::lock_tenants(tx.conn(), &tenants).await?),
            resellers: of(store::lock_resellers(tx.conn(), &resellers).await?),
            above: limited.into_iter().map(|of| (TenantId::from_uuid(of.tenant_id), of.resellers)).collect(),
            is_told,
        })
    }

    fn above(&mut self, tenant_id: TenantId) -> impl Iterator<Item = &mut Pool> {
        let above = self.above.get(&tenant_id).map(Vec::as_slice).unwrap_or_default();
        let resellers = self.resellers.iter_mut().filter(|(id, _)| above.contains(id)).map(|(_, pool)| pool);
        self.tenants.get_mut(&tenant_id.uuid()).into_iter().chain(resellers)
    }

    /// Whether all pools above a tenant's mailboxes have room for so many bytes more. None at all fit everywhere, also where a limit
    /// was lowered below what is used.
    pub(super) fn has_room(&mut self, tenant_id: TenantId, bytes: i64) -> bool {
        bytes == 0 || self.above(tenant_id).all(|pool| pool.free_bytes - pool.added_bytes >= bytes)
    }

    pub(super) fn add(&mut self, tenant_id: TenantId, bytes: i64) {
        self.above(tenant_id).for_each(|pool| pool.added_bytes += bytes);
    }

    pub(super) async fn write(&self, tx: &mut impl OfTenants) -> Result<(), db::Error> {
        let added = |pools: &BTreeMap<Uuid, Pool>| {
            let added = pools.iter().filter(|(_, pool)| pool.added_bytes != 0);
            added.map(|(id, pool)| (*id, pool.added_bytes)).unzip::<_, _, Vec<_>, Vec<_>>()
        };
        let (ids, bytes) = added(&self.tenants);
        store::add_to_tenants(tx.conn(), &ids, &bytes).await?;
        let (ids, bytes) = added(&self.resellers);
        store::add_to_resellers(tx.conn(), &ids, &bytes).await
    }
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
    let left = store::lock_resellers(tx.conn(), &of(left)).await?;
    let entered = store::lock_resellers(tx.conn(), &of(entered)).await?;
    if bytes > 0 && entered.iter().any(|pool| pool.free_bytes() < bytes) {
        return Ok(false);
    }
    for (pools, bytes) in [(left, -bytes), (entered, bytes)] {
        let ids: Vec<Uuid> = pools.iter().map(|pool| pool.id).collect();
        store::add_to_resellers(tx.conn(), &ids, &vec![bytes; ids.len()]).await?;
    }
    Ok(true)
}

/// What the fullest pool above the tenant's mailboxes has room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tightest {
    /// Whose it is: `tenant` or `reseller`.
    pub(crate) level: &'static str,
    /// Below zero when the limit was lowered under what is used.
    pub(crate) free_bytes: i64,
    /// Whether it is a reseller's that the caller does not see, which then is not told the bytes.
    pub(crate) is_hidden: bool,
}

/// The fullest pool above the tenant's mailboxes; `None` when none has a limit.
pub(crate) async fn tightest(tx: &mut TenantTx, ctx: &Ctx) -> Result<Option<Tightest>, db::Error> {
    let seen: Vec<Uuid> = ctx.seen_resellers().iter().map(|id| id.uuid()).collect();
    store::tightest(tx, &seen).await
}

/// A counter of a tenant or a reseller that is not the sum of what it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Off {
    /// Whose.
    pub id: Uuid,
    /// Its column: `seats_used`, `domains_used`, `shared_mailboxes_used`, `tenants_used`, or `used_bytes` where there is a limit.
    pub counter: String,
    /// What it says.
    pub says: i64,
    /// What there is to count.
    pub counts: i64,
}

/// The counters that are off of the first so many tenants after one, in the order of their ids; and where to go on, unless these were the last.
/// All are compared within one statement, so writers at work do not show.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn tenants_off(
    tx: &mut SystemTx,
    after: Uuid,
    limit: i64,
) -> Result<(Vec<Off>, Option<Uuid>), db::Error> {
    let ids = store::tenants_after(tx, after, limit).await?;
    Ok((store::tenants_off(tx, &ids).await?, last_of_full(&ids, limit)))
}

/// As [`tenants_off`], of resellers: each costs the sum of all mailboxes below it, where it has a limit.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn resellers_off(
    tx: &mut SystemTx,
    after: Uuid,
    limit: i64,
) -> Result<(Vec<Off>, Option<Uuid>), db::Error> {
    let ids = store::resellers_after(tx, after, limit).await?;
    Ok((store::resellers_off(tx, &ids).await?, last_of_full(&ids, limit)))
}

fn last_of_full(ids: &[Uuid], limit: i64) -> Option<Uuid> {
    let is_full = i64::try_from(ids.len()).is_ok_and(|count| count >= limit);
    ids.last().copied().filter(|_| is_full)
}

/// How many tenants and resellers have a counter that is not the sum of what it counts: seats, domains, shared mailboxes, tenants and,
/// where there is a limit, bytes. Each level is compared within one statement, so writers at work do not show.
///
/// # Errors
/// [`db::Error`] when the database fails.
#[expect(clippy::disallowed_methods, reason = "the counters of all tenants are compared")]
pub async fn drift(db: &Db) -> Result<u64, db::Error> {
    let mut tx = SystemTx::begin(db).await?;
    let (tenants, _) = tenants_off(&mut tx, Uuid::nil(), i64::MAX).await?;
    let (resellers, _) = resellers_off(&mut tx, Uuid::nil(), i64::MAX).await?;
    let levels: BTreeSet<Uuid> = tenants.iter().chain(&resellers).map(|off| off.id).collect();
    Ok(levels.len() as u64)
}
