//! Forgetting what has left, or never will.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use mailstore::parcel;
use tenancy::Caller;

use crate::{Error, outgoing};

/// For how long what failed may be sent again.
pub const BODIES_FOR: TimeDelta = TimeDelta::days(3);
/// For how long it is seen what became of a message.
pub const ROWS_FOR: TimeDelta = TimeDelta::days(14);

/// How many messages one look finds.
const BATCH: i64 = 500;

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Bodies of messages that failed.
    pub bodies: u64,
    /// Messages.
    pub messages: u64,
    /// Bodies that were passed by.
    pub failed: u64,
}

/// Forgets the bodies of messages that were given up some days ago, and after some more the messages.
///
/// # Errors
/// When the database fails; the next run goes on from there.
pub async fn run(db: &Db) -> Result<Swept, Error> {
    let (now, mut swept) = (db.env().now(), Swept::default());
    let server = Caller::server(db.clone());
    let mut after = DateTime::UNIX_EPOCH;
    loop {
        let found = store::with_bodies(&mut system(db).await?, after, now - BODIES_FOR, BATCH).await?;
        let Some(last) = found.last() else { break };
        after = last.closed_at;
        for kept in &found {
            match let_go(&server, kept, now - BODIES_FOR).await {
                Ok(was) => swept.bodies += u64::from(was),
                Err(error) => {
                    swept.failed += 1;
                    tracing::warn!(outgoing.id = %kept.id, error.cause = %kernel::error::chain(&error), "the body of mail that failed was not forgotten");
                }
            }
        }
    }
    loop {
        let mut tx = system(db).await?;
        let messages = store::delete(&mut tx, now - ROWS_FOR, BATCH).await?;
        tx.commit().await?;
        swept.messages += messages;
        if messages == 0 {
            return Ok(swept);
        }
    }
}

/// Whether it was there to be let go of.
async fn let_go(server: &Caller, kept: &store::Kept, before: DateTime<Utc>) -> Result<bool, Error> {
    let ctx = server.enter(kept.tenant_id).await?;
    let mut tx = ctx.begin().await?;
    outgoing::lock(&mut tx, kept.id).await?;
    // Sent again meanwhile.
    if !store::is_closed(&mut tx, kept.id, before).await? {
        return Ok(false);
    }
    outgoing::forget_body(&mut tx, kept.id).await?;
    parcel::let_go(&mut tx, kept.blob_id).await?;
    tx.commit().await?;
    Ok(true)
}

#[expect(clippy::disallowed_methods, reason = "what is old is looked for across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
