//! Which reseller a tenant belonged to, and when: appended whenever it is made, moved, deleted or restored, and never
//! changed, since wholesale billing is rated by it.

mod store;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{ResellerId, TenantId};

/// From an instant on, a tenant belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The instant, in real time.
    pub since: DateTime<Utc>,
    /// Its reseller and those above it, the topmost first; empty while the tenant is deleted.
    pub path: Vec<ResellerId>,
}

/// All placements of every tenant that ever belonged to a reseller or to one below it, by tenant and in their order.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn of_reseller(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Vec<Placement>, db::Error> {
    store::of_reseller(tx, reseller_id).await
}

/// Notes that a tenant belongs to a reseller from now on, or with `None`, being deleted, to nobody. The tenant's row is locked
/// or new.
pub(crate) async fn record(
    tx: &mut SystemTx,
    tenant_id: TenantId,
    reseller_id: Option<ResellerId>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    store::append(tx, tenant_id, reseller_id, now).await
}
