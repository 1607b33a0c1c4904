//! Legal holds: what they cover is not destroyed, below all protocols, however long ago it was deleted.

mod store;

pub(crate) use store::is_any_in_force;

use chrono::{DateTime, Utc};
use kernel::{Checks, HoldId, MailboxId, Page, PageRequest};
use serde_json::json;

use crate::{Action, Ctx, Error, TenantTx, event};

/// A hold, in force until it is released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The mailbox whose mail it covers; `None` covers every mailbox of the tenant, also those that come.
    pub mailbox_id: Option<MailboxId>,
    /// Why.
    pub reason: String,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it was released, if it was.
    pub released_at: Option<DateTime<Utc>>,
}

/// Places a hold. What is being destroyed at this moment is waited for; what is covered when this answers stays.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`] when the tenant has no such mailbox, also no deleted one; [`Error::Invalid`].
pub async fn place(ctx: &Ctx, mailbox_id: Option<MailboxId>, reason: String) -> Result<Hold, Error> {
    check(ctx, &reason, "/reason")?;
    let mut tx = ctx.begin().await?;
    let hold = place_in(&mut tx, ctx, mailbox_id, reason).await?;
    tx.commit().await?;
    Ok(hold)
}

/// What can be said of a hold without looking at what it covers; `pointer` is where the reason came from.
pub(crate) fn check(ctx: &Ctx, reason: &str, pointer: &str) -> Result<(), Error> {
    ctx.require(Action::HoldWrite)?;
    let mut checks = Checks::default();
    checks.name(reason, 500, pointer);
    checks.done().map_err(Error::Invalid)
}

/// As [`place`], of what was checked, in the transaction of something larger.
pub(crate) async fn place_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: Option<MailboxId>,
    reason: String,
) -> Result<Hold, Error> {
    let hold =
        Hold { id: ctx.env().new_id(), mailbox_id, reason, created_at: ctx.env().now(), released_at: None };
    // Whoever destroys mail holds its mailbox, and looks for holds only then.
    if !store::lock_mailboxes(tx, mailbox_id).await? && mailbox_id.is_some() {
        return Err(Error::NotFound);
    }
    if !store::lock_tenant(tx).await? {
        return Err(Error::NotFound);
    }
    store::insert(tx, &hold).await?;
    event::record(tx, ctx, event::Kind::HoldPlaced, hold.id, shown(&hold)).await?;
    Ok(hold)
}

/// All that the tenant ever had, the oldest first.
///
/// # Errors
/// [`Error::Forbidden`] by role.
pub async fn list(ctx: &Ctx, page: &PageRequest) -> Result<Page<Hold>, Error> {
    ctx.require(Action::HoldRead)?;
    let mut tx = ctx.read().await?;
    Ok(Page::cut(store::list(&mut tx, page).await?, page, |hold| hold.id.uuid()))
}

/// One of them.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`].
pub async fn get(ctx: &Ctx, id: HoldId) -> Result<Hold, Error> {
    ctx.require(Action::HoldRead)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Releases a hold: what it alone has kept is destroyed in time. One that was released stays as it is.
///
/// # Errors
/// [`Error::Forbidden`] by role; [`Error::NotFound`].
pub async fn release(ctx: &Ctx, id: HoldId) -> Result<(), Error> {
    ctx.require(Action::HoldWrite)?;
    let mut tx = ctx.begin().await?;
    let hold = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if store::release(&mut tx, id, ctx.env().now()).await? {
        event::record(&mut tx, ctx, event::Kind::HoldReleased, id, shown(&hold)).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn shown(hold: &Hold) -> serde_json::Value {
    json!({"mailbox_id": hold.mailbox_id, "reason": hold.reason})
}
