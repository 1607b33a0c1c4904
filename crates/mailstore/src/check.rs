//! Compares the counters with what they count. They are kept exact by the transactions that change them, so any
//! difference is a fault: it is told, and nothing is repaired. [`Rounds`] is for a worker's duty, a slice at a time;
//! [`drift`] looks at everything at once.

mod round;
mod store;

use db::{Db, SystemTx};

pub use crate::Error;
pub use round::{EVERY, Found, Rounds};

/// How many rows have a counter that is not the sum of what it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Mailboxes whose used or recoverable bytes are off.
    pub mailboxes: u64,
    /// Tenants and resellers whose pool of bytes, or count of seats, domains, shared mailboxes or tenants, is off.
    pub levels: u64,
    /// Folders whose number of live messages, or of those unseen, or whose bytes are off, or whose next UID or modification
    /// sequence is below what was given out.
    pub folders: u64,
    /// Bodies whose number of messages is off.
    pub bodies: u64,
    /// Tenants' shares of packs whose live bytes are off, or that are in a pack that is not live.
    pub packs: u64,
}

/// Counts the differences over all tenants. Each kind is compared within one statement, so writers at work do not
/// show as drift. Reads every message row in one go: for tests, and for a database that was recovered and has no users yet.
///
/// # Errors
/// When the database fails.
#[expect(clippy::disallowed_methods, reason = "the counters of all tenants are compared")]
pub async fn drift(db: &Db) -> Result<Drift, Error> {
    let mut tx = SystemTx::begin(db).await?;
    let (bodies, packs) = (store::bodies(&mut tx).await?, store::packs(&mut tx).await?);
    drop(tx);
    Ok(Drift { bodies, packs, ..of_places(db).await? })
}

/// As [`drift`], of mailboxes, folders and the levels above them only.
#[expect(clippy::disallowed_methods, reason = "the counters of all tenants are compared")]
pub(crate) async fn of_places(db: &Db) -> Result<Drift, Error> {
    let mut tx = SystemTx::begin(db).await?;
    let (mailboxes, folders) = (store::mailboxes(&mut tx).await?, store::folders(&mut tx).await?);
    drop(tx);
    Ok(Drift { mailboxes, folders, levels: tenancy::quota::drift(db).await?, ..Drift::default() })
}
