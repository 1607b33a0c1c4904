//! What legal holds keep.

mod store;

use kernel::{HoldId, MailboxId};
use tenancy::Ctx;
use tenancy::hold::{self, Hold};
use tenancy::mailbox::Mailbox;

use crate::{Error, retention};

/// A hold, and what would have been destroyed without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The hold.
    pub hold: Hold,
    /// The bytes of deleted messages in its mailboxes that the tenant's retention policy would not keep, for their age or for being too many; 0 once
    /// it is released. They are in no quota.
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
        None => held_bytes(ctx, hold.mailbox_id).await?,
    };
    Ok(Held { hold, held_bytes })
}

/// The bytes of a mailbox's deleted messages that only holds keep, on it or on the whole tenant; 0 when none is in force. They are part of what it has that
/// is recoverable. Who was given the mailbox may know them.
///
/// # Errors
/// When the database fails.
pub async fn bytes_of(ctx: &Ctx, mailbox: &Mailbox) -> Result<u64, Error> {
    held_bytes(ctx, Some(mailbox.id)).await
}

async fn held_bytes(ctx: &Ctx, mailbox_id: Option<MailboxId>) -> Result<u64, Error> {
    let mut tx = ctx.read().await?;
    let policy = retention::store::find(&mut tx).await?.policy;
    let cutoff = policy.cutoff(ctx.env().now());
    Ok(store::held_bytes(&mut tx, mailbox_id, cutoff, policy.recoverable_limit_bytes).await?)
}
