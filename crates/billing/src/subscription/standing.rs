//! What becomes of a subscription when its tenant is suspended, deleted or restored, or something is to be billed beside it.

use tenancy::{Ctx, TenantTx};

use super::{Subscription, store};
use crate::Error;

/// Finds the next boundary anew after the tenant has come to stand otherwise, which may have made one. `false`: somebody holds the
/// subscription, and it `waits` for nobody.
///
/// # Errors
/// When the database fails, also by a lock that was waited for for half a minute.
pub(crate) async fn take_account(ctx: &Ctx, waits: bool) -> Result<bool, Error> {
    let mut tx = ctx.begin().await?;
    let found =
        if waits { store::find_waiting(&mut tx).await? } else { store::find_if_free(&mut tx).await? };
    // One that was waited for is gone with its tenant.
    let Some(old) = found else { return Ok(waits) };
    let last_billed = store::last_boundary(&mut tx).await?;
    let new = Subscription { version: old.version + 1, ..old }.looking_ahead(last_billed)?;
    store::put(&mut tx, &new).await?;
    tx.commit().await?;
    Ok(true)
}

/// Finds the next boundary anew after something beside the terms has changed. The subscription's row has to be locked.
pub(crate) async fn look_ahead(tx: &mut TenantTx) -> Result<(), Error> {
    let old = store::find(tx).await?.ok_or(Error::NotFound)?;
    let next_invoice_on = old.next_boundary(store::last_boundary(tx).await?)?;
    if next_invoice_on != old.next_invoice_on {
        let new = Subscription { version: old.version + 1, next_invoice_on, ..old };
        store::put(tx, &new).await?;
    }
    Ok(())
}
