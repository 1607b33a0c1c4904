//! Names of folders that were deleted: each stays subscribed to until somebody says otherwise, another folder has it (RFC 9051 §6.3.7), or many others were
//! deleted since.

use std::collections::{BTreeMap, BTreeSet};

use kernel::MailboxId;
use tenancy::{Action, Ctx};

use super::store;
use crate::Error;

/// How many such names a mailbox has at most: where one more folder is deleted, the name of the one that was deleted first is forgotten. Clients subscribe
/// to every folder that they make, so those that make and delete folders for ever would leave names for ever.
pub const MAX_NAMES: u64 = 1_000;

/// Those that are subscribed to, as [`Folder::path`](super::Folder::path) had them. There may be a folder of such a name that was put back: then what that
/// says counts. A mailbox that is not there has none.
///
/// # Errors
/// [`Error::NotFound`] for a mailbox that is not the caller's, `Forbidden` by role.
pub async fn subscribed(ctx: &Ctx, mailbox_id: MailboxId) -> Result<BTreeSet<String>, Error> {
    Ok(subscribed_in(ctx, &[mailbox_id]).await?.remove(&mailbox_id).unwrap_or_default())
}

/// As [`subscribed`], of several mailboxes: those that have some.
///
/// # Errors
/// As [`subscribed`], where that is said of any of them.
pub async fn subscribed_in(
    ctx: &Ctx,
    mailboxes: &[MailboxId],
) -> Result<BTreeMap<MailboxId, BTreeSet<String>>, Error> {
    for &mailbox_id in mailboxes {
        ctx.require_mailbox(Action::MailboxRead, mailbox_id)?;
    }
    let mut tx = ctx.read().await?;
    Ok(store::gone_subscribed(&mut tx, mailboxes).await?)
}

/// Unsubscribes from such a name; whether it was subscribed to.
///
/// # Errors
/// As [`subscribed`]; `SupportAccessRequired` for a caller from above the tenant.
pub async fn unsubscribe(ctx: &Ctx, mailbox_id: MailboxId, path: &str) -> Result<bool, Error> {
    ctx.require_mail(Action::MessageWrite, mailbox_id).await?;
    let mut tx = ctx.begin().await?;
    let were = store::unsubscribe_gone(&mut tx, mailbox_id, &[path.to_owned()]).await?;
    tx.commit().await?;
    Ok(!were.is_empty())
}
