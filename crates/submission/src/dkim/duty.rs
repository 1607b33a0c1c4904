//! Seeing to it that domains sign: keys for those that have none, signing once their records are published, and a word where those vanish.

use db::{Db, SystemTx};
use dns::Resolver;
use futures::{StreamExt as _, stream};
use kernel::{DomainId, TenantId};
use mailstore::MailStore;
use tenancy::Caller;
use uuid::Uuid;

use super::{activate, create, store, watch};
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
    /// Pairs that sign, and of which records are not published any more.
    pub unpublished: u64,
    /// Domains that were passed by.
    pub failed: u64,
}

/// Makes keys for every proven domain that has none, has those sign whose records are there, and looks whether those that sign can be verified.
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
                Ok(of_one) => done.add(of_one),
                Err(error) => {
                    done.failed += 1;
                    tracing::warn!(domain.id = %domain_id, error.cause = %kernel::error::chain(&error), "a domain's keys were not seen to");
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
) -> Result<Done, Error> {
    let (ctx, mut done) = (server.enter(due.tenant_id).await?, Done::default());
    if let Some(active) = due.active {
        done.unpublished += u64::from(!watch(&ctx, resolver, due.domain_id, active).await?);
    }
    if let Some(pending) = due.pending {
        match activate(&ctx, resolver, due.domain_id, pending).await {
            Ok(_) => done.activated += 1,
            Err(Error::KeyNotPublished(_) | Error::DnsUnavailable) => done.waiting += 1,
            Err(error) => return Err(error),
        }
    } else if due.active.is_none() {
        match create(store, &ctx, due.domain_id).await {
            Ok(_) => done.created += 1,
            // By another process, or by hand.
            Err(Error::KeyPending) => done.waiting += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl Done {
    fn add(&mut self, other: Self) {
        self.created += other.created;
        self.activated += other.activated;
        self.waiting += other.waiting;
        self.unpublished += other.unpublished;
        self.failed += other.failed;
    }
}

#[expect(clippy::disallowed_methods, reason = "what is due is looked for across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
