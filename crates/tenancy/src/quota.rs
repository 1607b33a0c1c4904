//! A mailbox's bytes: decided inside the transaction of the messages they count, under the mailbox's lock.

mod intake;
mod pool;
mod store;
mod threshold;

use db::{Db, SystemRead};
use kernel::MailboxId;
use serde_json::{Value, json};

use crate::{Ctx, TenantTx, event};

pub use intake::{Intake, Mailboxes, Wanted};
pub use pool::{Off, Pools, charge_pools, drift, release_pools, resellers_off, tenants_off};
pub(crate) use pool::{count_moving, count_reseller, count_tenant, shift, tightest};
pub(crate) use threshold::crossings;
pub use threshold::{Bounds, Threshold};

/// What became of a request for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// The bytes are counted, and this is the mailbox's next modification sequence.
    Taken {
        /// Given to the change that the bytes belong to.
        modseq: i64,
    },
    /// They would pass the quota; nothing was counted.
    OverQuota,
    /// There is no such mailbox, or none that takes messages.
    Gone,
}

/// What a look at a mailbox finds before a message for it is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Whether the message would fit at this moment, here and in the pools above.
    pub fits: bool,
    /// Whether its body may lie beside no other tenant's.
    pub storage_dedicated: bool,
}

/// Counts `bytes` in one mailbox if its quota allows, by one conditional update, and locks the mailbox until the transaction ends. Its
/// caller then takes what it needs of the folders, and last calls [`charge_pools`]. For mail that comes in there is [`Intake`].
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn charge(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    bytes: u64,
) -> Result<Charge, db::Error> {
    let bytes = signed(bytes);
    let Some(state) = store::charge(tx, mailbox_id, bytes).await? else {
        let exists = store::exists(tx, mailbox_id).await?;
        return Ok(if exists { Charge::OverQuota } else { Charge::Gone });
    };
    let bounds = state.bounds();
    notice(tx, ctx, mailbox_id, (&bounds, state.used_bytes - bytes), (&bounds, state.used_bytes)).await?;
    Ok(Charge::Taken { modseq: state.modseq })
}

/// Counts `bytes` in one mailbox and in the pools above it, if all have room. Last in its transaction, which is to be dropped unless the
/// bytes were taken.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn take(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    bytes: u64,
) -> Result<Charge, db::Error> {
    let charge = charge(tx, ctx, mailbox_id, bytes).await?;
    if matches!(charge, Charge::Taken { .. })
        && let Pools::Full = charge_pools(tx, bytes).await?
    {
        return Ok(Charge::OverQuota);
    }
    Ok(charge)
}

/// Moves `bytes` from used to recoverable, as their message moves, and out of the pools above. Last in its transaction.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn discard(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    bytes: u64,
) -> Result<(), db::Error> {
    if let Some(state) = store::discard(tx, mailbox_id, signed(bytes)).await? {
        let (bounds, old_bytes) = (state.bounds(), state.used_bytes + signed(bytes));
        notice(tx, ctx, mailbox_id, (&bounds, old_bytes), (&bounds, state.used_bytes)).await?;
    }
    release_pools(tx, bytes).await
}

/// Locks a mailbox until the transaction ends, as everything does that moves its bytes, also one that was deleted; its
/// next modification sequence, or `None` when there is no such mailbox.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn lock(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Option<i64>, db::Error> {
    Ok(store::discard(tx, mailbox_id, 0).await?.map(|state| state.modseq))
}

/// Moves `bytes` back from recoverable to used if the quota and the pools above allow. Last in its transaction, which is
/// to be dropped unless the bytes were taken.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn recover(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    bytes: u64,
) -> Result<Charge, db::Error> {
    let charge = take(tx, ctx, mailbox_id, bytes).await?;
    if matches!(charge, Charge::Taken { .. }) {
        store::forget(tx, mailbox_id, signed(bytes)).await?;
    }
    Ok(charge)
}

/// Notes each threshold that a mailbox crossed.
pub(crate) async fn notice(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    old: (&Bounds, i64),
    new: (&Bounds, i64),
) -> Result<(), db::Error> {
    for data in warnings(old, new) {
        event::record(tx, ctx, event::Kind::MailboxQuotaWarning, mailbox_id, data).await?;
    }
    Ok(())
}

/// What is noted of each threshold that is crossed when bounds and bytes become others.
fn warnings(old: (&Bounds, i64), new: (&Bounds, i64)) -> Vec<Value> {
    let data = |crossing: threshold::Crossing| {
        json!({"threshold": crossing.threshold.as_str(), "threshold_bytes": crossing.at_bytes,
            "reached": crossing.is_reached, "used_bytes": new.1})
    };
    crossings(old, new).into_iter().map(data).collect()
}

/// Takes `bytes` out of recoverable, as their message is destroyed.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn forget(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: u64) -> Result<(), db::Error> {
    store::forget(tx, mailbox_id, signed(bytes)).await
}

/// Whether so many bytes more would fit at this moment, for each mailbox in order; `None` when there is no such mailbox, or none that takes
/// messages. Only saves an upload that is bound to come to nothing: [`Intake::charge`] decides.
///
/// # Errors
/// [`db::Error`] when the database fails.
#[expect(
    clippy::disallowed_methods,
    reason = "mail comes for several tenants, each proven by a Ctx; one look needs no transaction"
)]
pub async fn have_room(db: &Db, wanted: &[(&Ctx, MailboxId, u64)]) -> Result<Vec<Option<Room>>, db::Error> {
    store::have_room(&mut SystemRead::open(db).await?, wanted).await
}

/// Whether there is such a mailbox, and it takes messages.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn exists(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<bool, db::Error> {
    store::exists(tx, mailbox_id).await
}

/// Bytes as the tables count them. No message comes near 2^63.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
