//! As whom a user may send mail.

mod store;

use kernel::{EmailAddress, MailboxId, UserId};

use crate::delegate::Right;
use crate::{Ctx, Error};

/// As what a user may send from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is their own mailbox's.
    Own,
    /// They may send as if its mailbox's owner had sent it.
    As,
    /// They may send for its mailbox's owner, and have to say so.
    OnBehalf,
}

/// Somebody who sends, and the mailbox that is their own.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// Who.
    pub user_id: UserId,
    /// Their own mailbox.
    pub mailbox_id: MailboxId,
}

/// An address that leads to a mailbox.
struct Found {
    mailbox_id: MailboxId,
    /// The sender's, to that mailbox.
    rights: Vec<Right>,
}

/// As what somebody may send from an address; `None` if they may not, or nobody of their tenant has it. An address leads to a mailbox as it does
/// for mail that arrives, but that neither a group nor a catch-all is anybody's to send from.
///
/// # Errors
/// When the database fails.
pub async fn standing(ctx: &Ctx, sender: Sender, address: &EmailAddress) -> Result<Option<Standing>, Error> {
    let mut tx = ctx.read().await?;
    let Some(found) = store::find(&mut tx, sender.user_id, address).await? else { return Ok(None) };
    let may = |right| found.rights.contains(&right);
    Ok(match found.mailbox_id == sender.mailbox_id {
        true => Some(Standing::Own),
        false if may(Right::SendAs) => Some(Standing::As),
        false if may(Right::SendOnBehalf) => Some(Standing::OnBehalf),
        false => None,
    })
}

/// The address that a mailbox is known by.
///
/// # Errors
/// [`Error::NotFound`] when it is gone.
pub async fn primary_address(ctx: &Ctx, mailbox_id: MailboxId) -> Result<String, Error> {
    let mut tx = ctx.read().await?;
    store::primary_address(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)
}
