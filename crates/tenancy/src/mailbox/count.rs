//! How many mailboxes that are nobody's own there have been: made and deleted in the transaction that appends it here.

mod store;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{MailboxId, TenantId};

use super::Kind;
use crate::caps::{self, Delta};
use crate::{Ctx, Error, OfTenants, TenantTx};

/// A mailbox made (+1) or deleted (−1) that is nobody's own. Appended, never changed: what billing rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountChange {
    /// When, in the tenant's time.
    pub at: DateTime<Utc>,
    /// +1 or −1.
    pub delta: i32,
    /// What it is for; never personal.
    pub kind: Kind,
}

/// The changes of each of the transaction's tenants up to and including the time given for it: by tenant, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn changes_of_each(
    tx: &mut impl OfTenants,
    until: &[(TenantId, DateTime<Utc>)],
) -> Result<Vec<(TenantId, CountChange)>, Error> {
    let tenants = tx.tenant_ids();
    let until: Vec<_> = until.iter().filter(|(id, _)| tenants.contains(&id.uuid())).copied().collect();
    store::changes(tx.conn(), &until).await
}

/// The changes of any tenants up to and including `until`, as [`changes_of_each`] has them.
///
/// # Errors
/// When the database fails.
pub async fn changes_of(
    tx: &mut SystemTx,
    tenants: &[TenantId],
    until: DateTime<Utc>,
) -> Result<Vec<(TenantId, CountChange)>, Error> {
    let until: Vec<_> = tenants.iter().map(|id| (*id, until)).collect();
    store::changes(tx.conn(), &until).await
}

/// A mailbox has been made, or become nobody's own, or been restored, unless the tenant or a reseller above it has as many as it may. Locks
/// the tenant, then the resellers by id.
pub(crate) async fn add(tx: &mut TenantTx, ctx: &Ctx, id: MailboxId, kind: Kind) -> Result<(), Error> {
    append(tx, ctx, id, kind, 1).await
}

/// A mailbox has been deleted. Locks as [`add`] does.
pub(crate) async fn take_away(tx: &mut TenantTx, ctx: &Ctx, id: MailboxId, kind: Kind) -> Result<(), Error> {
    append(tx, ctx, id, kind, -1).await
}

async fn append(tx: &mut TenantTx, ctx: &Ctx, id: MailboxId, kind: Kind, delta: i32) -> Result<(), Error> {
    // Whatever kind it is, one after the other: the last entry is the last, and what was known at a billing stays the first so many.
    let shared_mailboxes = if kind.is_shared() { delta } else { 0 };
    caps::count(tx, ctx, Delta { shared_mailboxes, ..Delta::default() }).await?;
    Ok(store::append(tx, ctx.now(), kind, delta, id).await?)
}
