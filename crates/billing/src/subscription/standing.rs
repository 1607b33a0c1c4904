//! What becomes of a subscription when its tenant is suspended, deleted or restored.

use tenancy::Ctx;

use super::{Subscription, store};
use crate::Error;

/// Finds the next boundary anew after the tenant has come to stand otherwise, which may have made one. Leaves a subscription that
/// somebody holds to the next run.
///
/// # Errors
/// As of any statement.
pub(crate) async fn take_account(ctx: &Ctx) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    let Some(old) = store::find_if_free(&mut tx).await? else { return Ok(()) };
    let last_billed = store::last_boundary(&mut tx).await?;
    let next_invoice_on = old.agreed.next_boundary(last_billed)?;
    let new = Subscription { version: old.version + 1, next_invoice_on, ..old };
    store::put(&mut tx, &new).await?;
    tx.commit().await?;
    Ok(())
}
