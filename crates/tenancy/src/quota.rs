//! A mailbox's bytes: decided by one conditional update inside the transaction of the message it counts.

mod store;

use kernel::MailboxId;

use crate::TenantTx;

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

/// Counts `bytes` in a mailbox if its quota allows, and locks the mailbox until the transaction ends. A caller with
/// several mailboxes charges them in the order of their ids.
///
/// # Errors
/// As of any statement.
pub async fn charge(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: u64) -> Result<Charge, db::Error> {
    match store::charge(tx, mailbox_id, signed(bytes)).await? {
        Some(modseq) => Ok(Charge::Taken { modseq }),
        None if store::exists(tx, mailbox_id).await? => Ok(Charge::OverQuota),
        None => Ok(Charge::Gone),
    }
}

/// Moves `bytes` from used to recoverable, as their message moves; the mailbox's next modification sequence, or
/// `None` when there is no such mailbox.
///
/// # Errors
/// As of any statement.
pub async fn discard(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: u64) -> Result<Option<i64>, db::Error> {
    store::discard(tx, mailbox_id, signed(bytes)).await
}

/// Moves `bytes` back from recoverable to used if the quota allows.
///
/// # Errors
/// As of any statement.
pub async fn recover(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: u64) -> Result<Charge, db::Error> {
    let charge = charge(tx, mailbox_id, bytes).await?;
    if matches!(charge, Charge::Taken { .. }) {
        store::forget(tx, mailbox_id, signed(bytes)).await?;
    }
    Ok(charge)
}

/// Takes `bytes` out of recoverable, as their message is destroyed.
///
/// # Errors
/// As of any statement.
pub async fn forget(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: u64) -> Result<(), db::Error> {
    store::forget(tx, mailbox_id, signed(bytes)).await
}

/// Whether `bytes` more would fit at this moment; `None` when there is no such mailbox, or none that takes messages.
/// Only saves an upload that is bound to fail: [`charge`] decides.
///
/// # Errors
/// As of any statement.
pub async fn has_room(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    bytes: u64,
) -> Result<Option<bool>, db::Error> {
    store::has_room(tx, mailbox_id, signed(bytes)).await
}

/// Whether there is such a mailbox, and it takes messages.
///
/// # Errors
/// As of any statement.
pub async fn exists(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<bool, db::Error> {
    store::exists(tx, mailbox_id).await
}

/// Bytes as the tables count them. No message comes near 2^63.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
