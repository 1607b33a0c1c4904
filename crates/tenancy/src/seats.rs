//! Seats: taken and freed in the transaction that makes or deletes their user, counted at every level above.

mod store;

use chrono::{DateTime, Utc};
use kernel::UserId;

use crate::{Ctx, Error, TenantTx};

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
/// As of any statement.
pub async fn changes(tx: &mut TenantTx, until: DateTime<Utc>) -> Result<Vec<SeatChange>, db::Error> {
    store::changes(tx, until).await
}

/// Takes a seat for a user, or refuses at the first level whose cap is reached. Locks the tenant, then the
/// resellers by id.
pub(crate) async fn take(tx: &mut TenantTx, ctx: &Ctx, user_id: UserId) -> Result<(), Error> {
    let Some(path) = store::take_of_tenant(tx).await? else {
        let limit = store::tenant_limit(tx).await?.unwrap_or_default();
        return Err(Error::SeatsExhausted { level: "tenant", limit });
    };
    let levels = store::lock_resellers(tx, &path).await?;
    if let Some(limit) =
        levels.iter().find(|level| level.used >= level.limit.unwrap_or(i32::MAX)).and_then(|l| l.limit)
    {
        return Err(Error::SeatsExhausted { level: "reseller", limit });
    }
    store::add_to_resellers(tx, &path, 1).await?;
    record(tx, ctx, user_id, 1).await
}

/// Frees a user's seat, at every level.
pub(crate) async fn free(tx: &mut TenantTx, ctx: &Ctx, user_id: UserId) -> Result<(), Error> {
    let path = store::free_of_tenant(tx).await?;
    store::lock_resellers(tx, &path).await?;
    store::add_to_resellers(tx, &path, -1).await?;
    record(tx, ctx, user_id, -1).await
}

async fn record(tx: &mut TenantTx, ctx: &Ctx, user_id: UserId, delta: i32) -> Result<(), Error> {
    store::append(tx, &SeatChange { at: ctx.now(), delta, user_id }).await?;
    Ok(())
}
