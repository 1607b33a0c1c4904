//! What legal holds keep.

mod store;

use kernel::HoldId;
use tenancy::Ctx;
use tenancy::hold::{self, Hold};

use crate::{Error, retention};

/// A hold, and what would have been destroyed without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The hold.
    pub hold: Hold,
    /// The bytes of messages in its mailboxes that were deleted longer ago than they can be recovered; 0 once it is released. They are
    /// in no quota.
    pub held_bytes: u64,
}

/// One of the tenant's holds, with what it keeps.
///
/// # Errors
/// `NotFound`; `Forbidden` by role.
pub async fn get(ctx: &Ctx, id: HoldId) -> Result<Held, Error> {
    let hold = hold::get(ctx, id).await?;
    let held_bytes = match hold.released_at {
        Some(_) => 0,
        None => {
            let mut tx = ctx.read().await?;
            let before = retention::store::find(&mut tx).await?.policy.cutoff(ctx.env().now());
            store::held_bytes(&mut tx, hold.mailbox_id, before).await?
        }
    };
    Ok(Held { hold, held_bytes })
}
