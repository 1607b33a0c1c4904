//! Seeing to it that domains sign: keys for those that have none, and signing once their records are published.

use db::{Db, SystemTx};
use dns::Resolver;
use futures::{StreamExt as _, stream};
use kernel::{DomainId, TenantId};
use mailstore::MailStore;
use tenancy::Caller;
use uuid::Uuid;

use super::{activate, create, store};
use crate::Error;

/// How many domains one look finds.
const BATCH: i64 = 500;
/// How many are looked up at a time: a domain whose servers are silent takes its time.
const AT_ONCE: usize = 8;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Pairs that were made.
    pub created: u64,
    /// Pairs that sign from now on.
    pub activated: u64,
    /// Pairs whose records are not published, or not as they should be, or cannot be looked up.
    pub waiting: u64,
    /// Domains that were passed by.
    pub failed: u64,
}

enum Outcome {
    Created,
    Activated,
    Waiting,
}

/// Makes keys for every proven domain that has none, and has those sign whose records are there.
///
/// # Errors
/// As of the look-up of what is due; the next run does what this one has not.
pub async fn run(db: &Db, store: &MailStore, resolver: &Resolver) -> Result<Done, Error> {
    let (server, mut done) = (Caller::server(db.clone()), Done::default());
    let mut after = (TenantId::from_uuid(Uuid::nil()), DomainId::from_uuid(Uuid::nil()));
    loop {
        let due = store::due(&mut system(db).await?, after, BATCH).await?;
        let Some(last) = due.last() else { return Ok(done) };
        after = (last.tenant_id, last.domain_id);
        let server = &server;
        let each = due.into_iter().map(|due| async move {
            let outcome = see_to(server, store, resolver, &due).await;
            (due.domain_id, outcome)
        });
        let mut outcomes = stream::iter(each).buffer_unordered(AT_ONCE);
        while let Some((domain_id, outcome)) = outcomes.next().await {
            match outcome {
                Ok(Outcome::Created) => done.created += 1,
                Ok(Outcome::Activated) => done.activated += 1,
                Ok(Outcome::Waiting) => done.waiting += 1,
                Err(error) => {
                    done.failed += 1;
                    tracing::warn!(domain.id = %domain_id, error.cause = ?error, "a domain's keys were not seen to");
                }
            }
        }
    }
}

async fn see_to(
    server: &Caller,
    store: &MailStore,
    resolver: &Resolver,
    due: &store::Due,
) -> Result<Outcome, Error> {
    let ctx = server.enter(due.tenant_id).await?;
    let Some(pending) = due.pending else {
        return match create(store, &ctx, due.domain_id).await {
            Ok(_) => Ok(Outcome::Created),
            // By another process, or by hand.
            Err(Error::KeyPending) => Ok(Outcome::Waiting),
            Err(error) => Err(error),
        };
    };
    match activate(&ctx, resolver, due.domain_id, pending).await {
        Ok(_) => Ok(Outcome::Activated),
        Err(Error::KeyNotPublished(_) | Error::DnsUnavailable) => Ok(Outcome::Waiting),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "what is due is looked for across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
