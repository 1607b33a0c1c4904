//! Seats: taken and freed in the transaction that makes or deletes their user, counted at every level above.

mod store;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{TenantId, UserId};

use crate::caps::{self, Delta};
use crate::{Ctx, Error, OfTenants, TenantTx};

/// A seat taken (+1) or freed (−1). Appended, never changed: what billing rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatChange {
    /// When, in the tenant's time.
    pub at: DateTime<Utc>,
    /// +1 or −1.
    pub delta: i32,
    /// Whose seat.
    pub user_id: UserId,
}

/// The tenant's seat changes up to and including `until`, oldest first.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn changes(tx: &mut TenantTx, until: DateTime<Utc>) -> Result<Vec<SeatChange>, db::Error> {
    let until = [(tx.tenant_id(), until)];
    let changes = store::changes(tx.conn(), &until).await?;
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

/// The seat changes of several tenants up to and including the time given for each, as [`changes`] has them: by tenant, oldest
/// first. Those of other tenants than the transaction's are left out.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn changes_of_each(
    tx: &mut impl OfTenants,
    until: &[(TenantId, DateTime<Utc>)],
) -> Result<Vec<(TenantId, SeatChange)>, db::Error> {
    let tenants = tx.tenant_ids();
    let until: Vec<_> = until.iter().filter(|(id, _)| tenants.contains(&id.uuid())).copied().collect();
    store::changes(tx.conn(), &until).await
}

/// The seat changes of any tenants up to and including `until`, as [`changes_of_each`] has them.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn changes_of(
    tx: &mut SystemTx,
    tenants: &[TenantId],
    until: DateTime<Utc>,
) -> Result<Vec<(TenantId, SeatChange)>, db::Error> {
    let until: Vec<_> = tenants.iter().map(|id| (*id, until)).collect();
    store::changes(tx.conn(), &until).await
}

/// Takes a seat for each user, all or none, or refuses at the first level whose cap is reached. Locks the tenant, then
/// the resellers by id.
pub(crate) async fn take(tx: &mut TenantTx, ctx: &Ctx, users: &[UserId]) -> Result<(), Error> {
    let seats = i32::try_from(users.len()).map_err(Error::internal)?;
    caps::count(tx, ctx, Delta { seats, ..Delta::default() }).await?;
    store::append(tx, ctx.now(), 1, users).await?;
    Ok(())
}

/// Frees a user's seat, at every level.
pub(crate) async fn free(tx: &mut TenantTx, ctx: &Ctx, user_id: UserId) -> Result<(), Error> {
    caps::count(tx, ctx, Delta { seats: -1, ..Delta::default() }).await?;
    store::append(tx, ctx.now(), -1, &[user_id]).await?;
    Ok(())
}
