//! Destroys the mail of mailboxes and tenants that were deleted too long ago to be restored, and has the control plane
//! destroy the rest of them.
//!
//! Each step bears being interrupted: what is gone is gone, and the next run goes on from there. What cannot be destroyed
//! is passed by and tried again.

mod store;

use blob::KeyPrefix;
use db::{Db, SystemTx};
use kernel::{MailboxId, TenantId};
use tenancy::auth::Auth;
use tenancy::purge::{self, Destroyed};
use tenancy::{Caller, Ctx, quota};

use crate::sweep::store::unreference;
use crate::{Error, MailStore};

/// How many messages one transaction takes.
const BATCH: i64 = 500;

/// What a run destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Mailboxes, with their users.
    pub mailboxes: u64,
    /// Tenants.
    pub tenants: u64,
    /// Those of both that failed and were passed by.
    pub failed: u64,
}

/// Destroys all that is due. Several processes may do so at once.
///
/// # Errors
/// When what is due cannot be looked up.
pub async fn run(store: &MailStore, db: &Db, auth: &Auth) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let server = Caller::server(db.clone());
    for (tenant_id, id) in purge::due_mailboxes(db).await? {
        let done = match server.enter(tenant_id).await {
            Ok(ctx) => mailbox(&ctx, id).await,
            // Deleted as a whole since.
            Err(tenancy::Error::NotFound) => continue,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => purged.mailboxes += 1,
            Err(error) => {
                purged.failed += 1;
                tracing::warn!(tenant.id = %tenant_id, mailbox.id = %id, error.cause = ?error, "a mailbox was not destroyed");
            }
        }
    }
    for id in purge::due_tenants(db).await? {
        match tenant(store, db, auth, id).await {
            Ok(()) => purged.tenants += 1,
            Err(error) => {
                purged.failed += 1;
                tracing::warn!(tenant.id = %id, error.cause = ?error, "a tenant was not destroyed");
            }
        }
    }
    Ok(purged)
}

/// Its bodies have no message any more, so the sweeper takes them.
async fn mailbox(ctx: &Ctx, id: MailboxId) -> Result<(), Error> {
    let mut destroyed = Destroyed::default();
    loop {
        let mut tx = ctx.begin().await?;
        quota::lock(&mut tx, id).await?;
        let batch = store::delete_messages(&mut tx, id, BATCH).await?;
        if batch.blobs.is_empty() {
            store::delete_mailbox(&mut tx, id).await?;
            purge::mailbox(&mut tx, ctx, id, destroyed).await?;
            tx.commit().await?;
            return Ok(());
        }
        unreference(&mut tx, &batch.blobs).await?;
        tx.commit().await?;
        destroyed.messages += batch.blobs.len() as u64;
        destroyed.bytes += batch.size_bytes;
    }
}

/// Objects go before the rows that name them: an interrupted run leaves rows, which the next one finds.
async fn tenant(store: &MailStore, db: &Db, auth: &Auth, id: TenantId) -> Result<(), Error> {
    let mut destroyed = Destroyed::default();
    loop {
        let page = store.blobs.list(&KeyPrefix::Tenant(id), None).await?;
        if page.keys.is_empty() {
            break;
        }
        for key in &page.keys {
            store.blobs.delete(key).await?;
            destroyed.objects += 1;
        }
    }
    loop {
        let mut tx = system(db).await?;
        let (messages, bytes) = store::delete_some_of(&mut tx, id, 10 * BATCH).await?;
        if messages == 0 {
            store::delete_rest_of(&mut tx, id).await?;
            tx.commit().await?;
            break;
        }
        tx.commit().await?;
        destroyed.messages += messages;
        destroyed.bytes += bytes;
    }
    Ok(purge::tenant(db, auth, id, destroyed).await?)
}

#[expect(clippy::disallowed_methods, reason = "a deleted tenant cannot be entered")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
