//! Drafts whose day has come: a run makes them final before it bills.

use chrono::NaiveDate;
use kernel::ErrorKind;
use tenancy::Caller;

use super::drive::gave_way;
use super::{Reach, RunSummary, store, system};
use crate::Error;
use crate::invoice::draft;
use crate::invoice::store::unbilled::with_drafts_due;

/// Makes every draft final that is to be by a day, or whose tenant cannot be restored any more: once that is destroyed, none is made
/// final. One that cannot be is left for the next run.
pub(super) async fn finalize_due(
    caller: &Caller,
    as_of: NaiveDate,
    reach: Reach,
    limit: i64,
    summary: &mut RunSummary,
) -> Result<(), Error> {
    let left = (caller.db().env().now(), store::settled_after_seconds());
    let mut after = None;
    // Nothing becomes final before its day has come for the tenant, whatever is asked.
    let is_present = matches!(reach, Reach::Present);
    let until = if is_present { NaiveDate::MAX } else { as_of };
    let by = ((!matches!(reach, Reach::Left)).then_some(as_of), is_present);
    loop {
        let mut tx = system(caller.db()).await?;
        let tenants = with_drafts_due(&mut tx, by, reach.bounds(), left, after, limit).await?;
        tx.commit().await?;
        let Some(last) = tenants.last() else { return Ok(()) };
        after = Some(*last);
        for tenant_id in tenants {
            let made = match caller.enter_deleted_too(tenant_id).await {
                Ok(ctx) => draft::finalize_due(&ctx, until).await,
                Err(error) => Err(error.into()),
            };
            match made {
                Ok((invoices, credit_notes)) => {
                    summary.invoices += invoices;
                    summary.credit_notes += credit_notes;
                }
                Err(error) if error.kind() == ErrorKind::Unavailable && !gave_way(&error) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!(tenant.id = %tenant_id, error = %error, "a tenant's drafts were not made final");
                    summary.accounts_failed += 1;
                }
            }
        }
    }
}
