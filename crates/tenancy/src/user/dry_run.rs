//! What a change of users would come to: made in a transaction that is taken back.

use kernel::UserId;

use super::{NewUser, Prepared, batch, insert, lifecycle, prepare, seat, store};
use crate::{Action, Ctx, Error};

/// A change to try.
#[derive(Debug)]
pub enum Trial {
    /// As [`super::create`].
    Create(Box<NewUser>),
    /// As [`super::create_batch`].
    CreateBatch(Vec<NewUser>),
    /// As [`super::delete`].
    Delete(UserId, Option<i64>),
    /// As [`super::restore`].
    Restore(UserId, Option<String>),
}

/// What a tenant has taken up at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Seats taken.
    pub seats_used: i32,
    /// How many there may be; `None` is unlimited.
    pub seats_limit: Option<i32>,
    /// What the quotas of the mailboxes add up to; `None` when one of them is unlimited.
    pub quota_bytes: Option<i64>,
    /// What the mailboxes may hold together; `None` is unlimited.
    pub storage_limit_bytes: Option<i64>,
}

/// What a change would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// As it is.
    pub before: Totals,
    /// As it would be.
    pub after: Totals,
}

/// A change with everything done that needs no transaction: hashing passwords takes its time.
enum Ready {
    Create(Box<Prepared>),
    CreateBatch(Vec<Prepared>),
    Delete(UserId, Option<i64>),
    Restore(UserId, Option<String>),
}

/// Does everything that the change does, every check and every cap, and takes it back. It holds for the moment.
///
/// # Errors
/// Those of the change.
pub async fn dry_run(ctx: &Ctx, trial: Trial) -> Result<Effect, Error> {
    ctx.require(Action::UserWrite)?;
    let ready = match trial {
        Trial::Create(new) => Ready::Create(Box::new(prepare(ctx, *new).await?)),
        Trial::CreateBatch(rows) => Ready::CreateBatch(batch::prepare_all(ctx, rows).await?),
        Trial::Delete(id, if_version) => Ready::Delete(id, if_version),
        Trial::Restore(id, address) => Ready::Restore(id, address),
    };
    let mut tx = ctx.begin().await?;
    let before = store::totals(&mut tx).await?;
    match ready {
        Ready::Create(new) => {
            let user = insert(&mut tx, ctx, *new).await?;
            seat(&mut tx, ctx, &[user.id]).await?;
        }
        Ready::CreateBatch(rows) => {
            batch::insert_all(&mut tx, ctx, rows).await?;
        }
        Ready::Delete(id, if_version) => lifecycle::delete_in(&mut tx, ctx, id, if_version).await?,
        Ready::Restore(id, address) => {
            lifecycle::restore_in(&mut tx, ctx, id, address.as_deref()).await?;
        }
    }
    let after = store::totals(&mut tx).await?;
    // Without a commit the transaction is rolled back.
    drop(tx);
    Ok(Effect { before, after })
}
