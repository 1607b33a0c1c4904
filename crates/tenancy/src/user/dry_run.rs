//! What a change of users would come to.

use kernel::UserId;

use super::{Leaving, NewUser, Prepared, batch, insert, lifecycle, offboard, prepare, seat};
use crate::effect::{Effect, Tried};
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
    /// As [`super::offboard()`].
    Offboard(UserId, Option<i64>, Leaving),
}

/// A change with everything done that needs no transaction: hashing passwords takes its time.
enum Ready {
    Create(Box<Prepared>),
    CreateBatch(Vec<Prepared>),
    Delete(UserId, Option<i64>),
    Restore(UserId, Option<String>),
    Offboard(UserId, Option<i64>, Leaving),
}

/// Does everything that the change does, and takes it back.
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
        Trial::Offboard(id, if_version, leaving) => {
            offboard::check(ctx, leaving)?;
            Ready::Offboard(id, if_version, leaving)
        }
    };
    let mut tried = Tried::begin(ctx).await?;
    let tx = &mut tried.tx;
    match ready {
        Ready::Create(new) => {
            let user = insert(tx, ctx, *new).await?;
            seat(tx, ctx, &[user.id]).await?;
        }
        Ready::CreateBatch(rows) => {
            batch::insert_all(tx, ctx, rows).await?;
        }
        Ready::Delete(id, if_version) => lifecycle::delete_in(tx, ctx, id, if_version).await?,
        Ready::Restore(id, address) => {
            lifecycle::restore_in(tx, ctx, id, address.as_deref()).await?;
        }
        Ready::Offboard(id, if_version, leaving) => {
            offboard::offboard_in(tx, ctx, id, if_version, leaving).await?;
        }
    }
    tried.effect().await
}
