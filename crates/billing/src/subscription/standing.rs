//! What becomes of a subscription when its tenant is suspended, deleted or restored.

use tenancy::Ctx;
use tenancy::standing::Standing;

use super::{AgreedTerms, Entry, Subscription, store, write};
use crate::Error;

/// Takes account of how the tenant has come to stand: a suspension makes boundaries of its own where the price pauses; a deletion
/// ends the subscription on the day after it, and a restoration begins it anew, unless it had ended before.
///
/// # Errors
/// As of any statement.
pub(crate) async fn take_account(ctx: &Ctx) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    let Some(old) = store::find_locked(&mut tx).await? else { return Ok(()) };
    let last_billed = store::last_boundary(&mut tx).await?;
    let mut agreed = old.agreed.clone();
    let known = store::standings_known(&mut tx).await?;
    let standings = old.agreed.standings();
    for (index, change) in standings.iter().enumerate().skip(known) {
        let before = index.checked_sub(1).and_then(|before| standings.get(before));
        let deleted = before.filter(|before| before.standing == Standing::Deleted);
        match (change.standing, deleted) {
            (Standing::Deleted, _) => {
                let end = change.day.succ_opt().ok_or(Error::Stored("day"))?;
                if agreed.ends_on().is_none_or(|earlier| end < earlier) {
                    agreed.append(Entry::End(end))?;
                }
            }
            (Standing::Active | Standing::Suspended, Some(deleted))
                if agreed.ends_on() == deleted.day.succ_opt() =>
            {
                let unbilled = last_billed.and_then(|last| last.succ_opt()).unwrap_or(old.starts_on());
                let terms = agreed.last_terms()?.clone();
                agreed.append(Entry::Terms(AgreedTerms { starts_on: change.day.max(unbilled), ..terms }))?;
            }
            (Standing::Active | Standing::Suspended, _) => {}
        }
    }
    let changed = agreed != old.agreed;
    let new = old.clone().with(agreed, last_billed)?;
    if changed {
        write(ctx, tx, Some(&old), new, last_billed.is_some()).await?;
    } else {
        store::put(&mut tx, &Subscription { version: old.version + 1, ..new }).await?;
        tx.commit().await?;
    }
    Ok(())
}
