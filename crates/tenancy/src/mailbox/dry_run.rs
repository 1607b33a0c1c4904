//! What a change of mailboxes would come to.

use kernel::MailboxId;

use super::{NewMailbox, change_quota, lifecycle};
use crate::effect::{Effect, Tried};
use crate::quota::Bounds;
use crate::{Action, Ctx, Error};

/// A change to try.
#[derive(Debug)]
pub enum Trial {
    /// As [`super::create`].
    Create(NewMailbox),
    /// As [`super::delete`].
    Delete(MailboxId, Option<i64>),
    /// As [`super::restore`].
    Restore(MailboxId, Option<String>),
    /// As [`super::set_quota`].
    SetQuota(MailboxId, Option<i64>, Bounds),
}

/// Does everything that the change does, and takes it back.
///
/// # Errors
/// Those of the change.
pub async fn dry_run(ctx: &Ctx, trial: Trial) -> Result<Effect, Error> {
    match &trial {
        Trial::SetQuota(id, _, bounds) => {
            ctx.require_mailbox(Action::QuotaWrite, *id)?;
            super::check(bounds)?;
        }
        Trial::Create(_) | Trial::Delete(..) | Trial::Restore(..) => ctx.require(Action::MailboxWrite)?,
    }
    let mut tried = Tried::begin(ctx).await?;
    let tx = &mut tried.tx;
    match trial {
        Trial::Create(new) => {
            lifecycle::create_in(tx, ctx, new).await?;
        }
        Trial::Delete(id, if_version) => lifecycle::delete_in(tx, ctx, id, if_version).await?,
        Trial::Restore(id, address) => {
            lifecycle::restore_in(tx, ctx, id, address.as_deref()).await?;
        }
        Trial::SetQuota(id, if_version, bounds) => {
            change_quota(tx, ctx, id, if_version, bounds).await?;
        }
    }
    tried.effect().await
}
