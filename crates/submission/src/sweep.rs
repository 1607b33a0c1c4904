//! Forgetting what has left, or never will.

mod store;

use chrono::TimeDelta;
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
}

/// Forgets the bodies of messages that were given up some days ago, and after some more the messages.
///
/// # Errors
/// As of any statement; the next run goes on from there.
pub async fn run(db: &Db) -> Result<Swept, Error> {
    let (now, mut swept) = (db.env().now(), Swept::default());
    let server = Caller::server(db.clone());
    loop {
        let found = store::with_bodies(&mut system(db).await?, now - BODIES_FOR, BATCH).await?;
        if found.is_empty() {
            break;
        }
        for (tenant_id, id, blob) in found {
            let ctx = server.enter(tenant_id).await?;
            let mut tx = ctx.begin().await?;
            outgoing::lock(&mut tx, id).await?;
            // Sent again meanwhile.
            if !store::is_closed(&mut tx, id, now - BODIES_FOR).await? {
                continue;
            }
            outgoing::forget_body(&mut tx, id).await?;
            parcel::let_go(&mut tx, blob).await?;
            tx.commit().await?;
            swept.bodies += 1;
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

#[expect(clippy::disallowed_methods, reason = "what is old is looked for across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
