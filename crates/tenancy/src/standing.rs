//! How a tenant as a whole stands over time: active, suspended, deleted. What billing rates, beside the seats.

mod store;

use chrono::NaiveDate;
use db::SystemTx;
use kernel::{TenantId, named};

use crate::policy::Capability;
use crate::{Ctx, Error, OfTenants, TenantTx};

named! {
    /// How a tenant stands.
    Standing {
        /// It has what it pays for, or some of it.
        Active = "active",
        /// All capabilities are taken from it.
        Suspended = "suspended",
        /// It is deleted, and may be restored.
        Deleted = "deleted",
    }
}

impl Standing {
    /// That of a tenant from which so many capabilities are taken.
    pub(crate) fn without(suspended: usize) -> Self {
        if suspended == Capability::ALL.len() { Self::Suspended } else { Self::Active }
    }
}

/// From some time on a local day on, how a tenant stands. Appended, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingChange {
    /// The day, in the calendar that the tenant had then.
    pub day: NaiveDate,
    /// How it stands.
    pub standing: Standing,
}

/// The changes of a tenant, the oldest first; before them it is active.
///
/// # Errors
/// When the database fails.
pub async fn changes(tx: &mut TenantTx) -> Result<Vec<StandingChange>, Error> {
    Ok(changes_of(tx).await?.into_iter().map(|(_, change)| change).collect())
}

/// As [`changes`], of each of the tenants that a transaction is for: by tenant.
///
/// # Errors
/// When the database fails.
pub async fn changes_of(tx: &mut impl OfTenants) -> Result<Vec<(TenantId, StandingChange)>, Error> {
    store::changes(tx).await
}

/// Appends how the tenant stands from now on, unless it stands so already. The tenant's row has to be locked.
pub(crate) async fn append(tx: &mut TenantTx, ctx: &Ctx, standing: Standing) -> Result<(), db::Error> {
    store::append(tx.conn(), ctx.tenant_id(), ctx.now(), today(ctx), standing).await
}

/// As [`append`], where the tenant comes or goes.
pub(crate) async fn append_as_system(
    tx: &mut SystemTx,
    ctx: &Ctx,
    standing: Standing,
) -> Result<(), db::Error> {
    store::append(tx.conn(), ctx.tenant_id(), ctx.now(), today(ctx), standing).await
}

/// The tenant's present day.
pub(crate) fn today(ctx: &Ctx) -> NaiveDate {
    ctx.today()
}
