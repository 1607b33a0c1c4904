//! What a change would come to: it is made as it is always made, with every check, cap and lock, and taken back where it would be
//! committed. It holds for the moment.
//!
//! A caller who tries has a [`db::Db`] by which nothing is committed, and a `Trial` in which the transaction that would be
//! leaves what it came to. So no service has a second way for it.

mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use db::{Db, SystemRead, SystemTx};
use kernel::{ResellerId, TenantId};

use crate::{Caller, Error, TenantTx, tenant};

/// What a tenant, or all tenants of a reseller, have taken up at one moment. What is deleted takes up nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Seats taken.
    pub seats_used: i32,
    /// How many there may be; `None` is unlimited.
    pub seats_limit: Option<i32>,
    /// How many mailboxes are shared, rooms' or equipment's.
    pub shared_mailboxes: i64,
    /// How many mailboxes are archives.
    pub archives: i64,
    /// What the quotas of the mailboxes add up to; `None` when one of them is unlimited.
    pub quota_bytes: Option<i64>,
    /// What the mailboxes may hold together; `None` is unlimited.
    pub storage_limit_bytes: Option<i64>,
}

impl Totals {
    /// Of what is not there.
    const NOTHING: Self = Self {
        seats_used: 0,
        seats_limit: None,
        shared_mailboxes: 0,
        archives: 0,
        quota_bytes: Some(0),
        storage_limit_bytes: None,
    };
}

/// What a change would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// The tenant whose totals these are; `None`: a reseller's.
    pub tenant_id: Option<TenantId>,
    /// As it is.
    pub before: Totals,
    /// As it would be.
    pub after: Totals,
}

/// Whose totals are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    Tenant(TenantId),
    Reseller(ResellerId),
}

/// Carries a change out by a caller whose changes are taken back; what it came to.
///
/// # Errors
/// Those of the change.
pub async fn of<T, E, Done>(caller: &Caller, change: impl FnOnce(Caller) -> Done + Send) -> Result<Effect, E>
where
    E: From<Error>,
    Done: Future<Output = Result<T, E>> + Send,
{
    let trial = Trial::new(caller.db().trial());
    change(caller.trying(trial.clone())).await?;
    Ok(trial.effect().await?)
}

/// A change that is tried.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    db: Db,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The tenant in which the change was begun.
    tenant_id: Option<TenantId>,
    effect: Option<Effect>,
}

impl Trial {
    fn new(db: Db) -> Self {
        Self { db, seen: Arc::default() }
    }

    /// By which nothing is committed.
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// A transaction was begun in this tenant.
    pub(crate) fn begun(&self, tenant_id: TenantId) {
        self.seen().tenant_id = Some(tenant_id);
    }

    /// Notes what a tenant's transaction has come to, which ends now.
    pub(crate) async fn look_at(&self, tx: &mut TenantTx) -> Result<(), db::Error> {
        // Whoever changes what is counted holds the tenant when they are done: from here on nobody does. It comes after all
        // that the change has locked, or was locked by it.
        tenant::lock(tx).await?;
        let level = Level::Tenant(tx.tenant_id());
        let after = store::totals(tx.conn(), level).await?;
        self.note(level, after).await
    }

    async fn note(&self, level: Level, after: Option<Totals>) -> Result<(), db::Error> {
        let after = after.unwrap_or(Totals::NOTHING);
        let (tenant_id, before) = match level {
            // What is committed is seen from outside of the transaction, which holds it: what others changed while the change
            // waited for them is in both totals.
            Level::Tenant(id) => (Some(id), committed(&self.db, id).await?.unwrap_or(Totals::NOTHING)),
            // What its tenants may have is all that a reseller's change is about, not what they have.
            Level::Reseller(_) => (None, after),
        };
        self.seen().effect = Some(Effect { tenant_id, before, after });
        Ok(())
    }

    /// What it came to; a change of nothing commits nothing.
    async fn effect(&self) -> Result<Effect, Error> {
        let (tenant_id, effect) = {
            let seen = self.seen();
            (seen.tenant_id, seen.effect)
        };
        if let Some(effect) = effect {
            return Ok(effect);
        }
        let tenant_id = tenant_id.ok_or_else(|| Error::internal(Unseen))?;
        let totals = committed(&self.db, tenant_id).await?.ok_or(Error::NotFound)?;
        Ok(Effect { tenant_id: Some(tenant_id), before: totals, after: totals })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change is tried whose transaction says nothing of what it came to.
#[derive(Debug, thiserror::Error)]
#[error("a change was tried and nobody has looked at it")]
struct Unseen;

/// Notes what a transaction of the system's has come to, if it is one that is only tried. To be called last before its commit,
/// with the row of the tenant or reseller locked or its own.
pub(crate) async fn note(tx: &mut SystemTx, caller: &Caller, level: Level) -> Result<(), db::Error> {
    let Some(trial) = caller.trial() else { return Ok(()) };
    let after = store::totals(tx.conn(), level).await?;
    trial.note(level, after).await
}

async fn committed(db: &Db, id: TenantId) -> Result<Option<Totals>, db::Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller has proven the tenant, and has just changed it"
    )]
    let mut read = SystemRead::open(db).await?;
    store::totals(read.conn(), Level::Tenant(id)).await
}
