//! Delegates: people who may use a mailbox that is not their own.

mod store;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use kernel::{MailboxId, Page, PageRequest, UserId};
use serde_json::json;

use crate::{Action, Ctx, Error, event, mailbox, policy, user};
use kernel::named;

named! {
    /// What a delegate may do.
    Right {
        /// Read the mail in it.
        Read = "read",
        /// Read and change the mail and the folders in it, as its owner would. It is no right to send.
        FullAccess = "full_access",
        /// Send as if the mailbox's owner had sent it.
        SendAs = "send_as",
        /// Send for its owner, and say so.
        SendOnBehalf = "send_on_behalf",
    }
}

/// Somebody who may use a mailbox.
#[derive(Debug, Clone)]
pub struct Delegate {
    /// Who.
    pub user_id: UserId,
    /// What they may do.
    pub rights: Vec<Right>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Lets a user use a mailbox, with these rights and no others.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox or user; [`Error::Invalid`] for no right at all, and for the
/// mailbox's own user; [`Error::Forbidden`] for a right to what the caller may not do, and when the mailbox is that of a user whose role is
/// beyond the caller's.
pub async fn put(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    user_id: UserId,
    rights: &[Right],
) -> Result<Delegate, Error> {
    ctx.require(Action::MailboxWrite)?;
    let mut rights = rights.to_vec();
    rights.sort_unstable();
    rights.dedup();
    if rights.is_empty() {
        return Err(Error::invalid("/rights", "must name at least one right"));
    }
    // Nobody hands out more than they hold: a key may be narrowed to less than its role allows.
    for &action in Action::ALL {
        if rights.iter().any(|&right| policy::right_allows(right, action)) {
            ctx.require(action)?;
        }
    }
    let mut tx = ctx.begin().await?;
    let owner = store::owner(&mut tx, mailbox_id).await?;
    // In the order of their ids: each of them may be made the other's delegate at the same moment.
    for id in owner.into_iter().chain([user_id]).collect::<BTreeSet<_>>() {
        user::lock(&mut tx, id).await?;
    }
    mailbox::require_manageable(&mut tx, ctx, mailbox_id).await?;
    user::require_exists(&mut tx, user_id).await?;
    if owner == Some(user_id) {
        return Err(Error::invalid("", "a user needs no rights to the mailbox that is theirs"));
    }
    let delegate = store::put(&mut tx, mailbox_id, user_id, &rights, ctx.now()).await?;
    let names: Vec<&str> = rights.iter().map(|right| right.as_str()).collect();
    let data = json!({"user_id": user_id, "rights": names});
    event::record(&mut tx, ctx, event::Kind::MailboxDelegated, mailbox_id, data).await?;
    tx.commit().await?;
    Ok(delegate)
}

/// A mailbox's delegates.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox, or it is another person's.
pub async fn list(ctx: &Ctx, mailbox_id: MailboxId, page: PageRequest) -> Result<Page<Delegate>, Error> {
    ctx.require_mailbox(Action::MailboxRead, mailbox_id)?;
    let mut tx = ctx.read().await?;
    mailbox::require_exists(&mut tx, mailbox_id).await?;
    let rows = store::list(&mut tx, mailbox_id, &page).await?;
    Ok(Page::cut(rows, &page, |delegate| delegate.user_id.uuid()))
}

/// Takes all of a user's rights to a mailbox.
///
/// # Errors
/// [`Error::NotFound`] when the mailbox has no such delegate; [`Error::Forbidden`] as [`put`].
pub async fn remove(ctx: &Ctx, mailbox_id: MailboxId, user_id: UserId) -> Result<(), Error> {
    ctx.require(Action::MailboxWrite)?;
    let mut tx = ctx.begin().await?;
    mailbox::require_manageable(&mut tx, ctx, mailbox_id).await?;
    if !store::remove(&mut tx, mailbox_id, user_id).await? {
        return Err(Error::NotFound);
    }
    let data = json!({"user_id": user_id, "rights": []});
    event::record(&mut tx, ctx, event::Kind::MailboxDelegated, mailbox_id, data).await?;
    tx.commit().await?;
    Ok(())
}
