//! The transactions that are for certain tenants: for one, or for several whom one caller has entered.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use db::{Db, SystemTx, Transaction};
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Ctx;
use crate::effect::Trial;

/// A transaction for certain tenants. A store that serves one and many binds their ids first, and each of its rows has the id
/// of its tenant.
pub trait OfTenants: Send {
    /// The connection, for a store's statements.
    fn conn(&mut self) -> &mut PgConnection;

    /// The tenants it is for.
    fn tenant_ids(&self) -> Vec<Uuid>;
}

/// A transaction as the tenant role: row-level security shows it the rows of its tenant, and stores name the tenant
/// besides. Rolled back when dropped.
#[derive(Debug)]
pub struct TenantTx {
    held: Held,
    tenant_id: TenantId,
    /// What is only tried in it.
    trial: Option<Trial>,
}

/// What a tenant's statements go by.
#[derive(Debug)]
enum Held {
    Transaction(Transaction),
    /// That of a [`TenantRead`].
    Session(db::Session),
}

impl Held {
    fn conn(&mut self) -> &mut PgConnection {
        match self {
            Self::Transaction(tx) => tx.conn(),
            Self::Session(session) => session.conn(),
        }
    }

    /// # Errors
    /// [`db::Error::Internal`] for a session, which a [`TenantRead`] gives to nobody who could end it.
    fn into_transaction(self) -> Result<Transaction, db::Error> {
        match self {
            Self::Transaction(tx) => Ok(tx),
            Self::Session(_) => {
                Err(sqlx::Error::Protocol("a session that reads is no transaction".to_owned()).into())
            }
        }
    }
}

impl TenantTx {
    pub(crate) async fn begin(ctx: &Ctx) -> Result<Self, db::Error> {
        let tenant_id = ctx.tenant_id();
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a tenant's transaction begins, with a proven tenant"
        )]
        let tx = ctx.db().begin_tenant(tenant_id.uuid()).await?;
        let trial = ctx.caller().trial().cloned();
        if let Some(trial) = &trial {
            trial.begun(tenant_id);
        }
        Ok(Self { held: Held::Transaction(tx), tenant_id, trial })
    }

    /// The connection, for a store's statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.held.conn()
    }

    /// Goes on as the system, which sees every tenant: for a move from one reseller to another, which the levels above the
    /// tenant have to bear.
    #[expect(
        clippy::disallowed_methods,
        reason = "who has begun it has proven the tenant, and what follows is the system's to do"
    )]
    pub(crate) async fn into_system(self, ctx: &Ctx) -> Result<db::SystemTx, db::Error> {
        db::SystemTx::go_on(ctx.db(), self.held.into_transaction()?).await
    }

    /// The tenant it is bound to; stores bind it first.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// Makes its changes durable; those of a caller who only tries it takes back.
    ///
    /// # Errors
    /// [`db::Error::Unresolved`] when it is not known whether they are; any other error means that they are not.
    pub async fn commit(mut self) -> Result<(), db::Error> {
        if let Some(trial) = self.trial.take() {
            // A box, since it is seldom there and would be part of every future that commits.
            Box::pin(trial.look_at(&mut self)).await?;
            return self.held.into_transaction()?.roll_back().await;
        }
        self.held.into_transaction()?.commit().await
    }
}

impl OfTenants for TenantTx {
    fn conn(&mut self) -> &mut PgConnection {
        self.held.conn()
    }

    fn tenant_ids(&self) -> Vec<Uuid> {
        vec![self.tenant_id.uuid()]
    }
}

/// What only reads of a tenant: each statement sees what is committed when it begins, as it would in a [`TenantTx`], and
/// costs no beginning and no end of one. Postgres refuses what would change or lock rows; what is local to a transaction (an
/// advisory lock, a setting) would end with its own statement.
#[derive(Debug)]
pub struct TenantRead(TenantTx);

impl TenantRead {
    pub(crate) async fn open(ctx: &Ctx) -> Result<Self, db::Error> {
        let tenant_id = ctx.tenant_id();
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a tenant's session is taken, with a proven tenant"
        )]
        let session = ctx.db().read_tenant(tenant_id.uuid()).await?;
        Ok(Self(TenantTx { held: Held::Session(session), tenant_id, trial: None }))
    }
}

impl Deref for TenantRead {
    type Target = TenantTx;

    fn deref(&self) -> &TenantTx {
        &self.0
    }
}

impl DerefMut for TenantRead {
    fn deref_mut(&mut self) -> &mut TenantTx {
        &mut self.0
    }
}

/// A transaction for several tenants that a caller has entered: what is done for thousands costs a statement for hundreds of
/// them. Row-level security shows it all rows; its stores bind its tenants. Rolled back when dropped.
#[derive(Debug)]
pub struct TenantsTx {
    tx: SystemTx,
    tenant_ids: Vec<TenantId>,
}

impl TenantsTx {
    /// Begins one for tenants that were entered.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn begin(db: &Db, entered: &[Ctx]) -> Result<Self, db::Error> {
        #[expect(clippy::disallowed_methods, reason = "every tenant that it is for is proven by a Ctx")]
        let tx = SystemTx::begin(db).await?;
        Ok(Self { tx, tenant_ids: entered.iter().map(Ctx::tenant_id).collect() })
    }

    /// From here on, it is for those of its tenants alone that are asked for.
    pub fn narrow(&mut self, is_asked_for: impl Fn(TenantId) -> bool) {
        self.tenant_ids.retain(|id| is_asked_for(*id));
    }

    /// Makes its changes durable.
    ///
    /// # Errors
    /// As [`TenantTx::commit`].
    pub async fn commit(self) -> Result<(), db::Error> {
        self.tx.commit().await
    }
}

impl OfTenants for TenantsTx {
    fn conn(&mut self) -> &mut PgConnection {
        self.tx.conn()
    }

    fn tenant_ids(&self) -> Vec<Uuid> {
        self.tenant_ids.iter().map(|id| id.uuid()).collect()
    }
}

/// A transaction that takes mail in for several tenants, each of whom has been entered. Row-level security lets it at what that takes of
/// these tenants' rows (mailboxes, folders, messages, bodies and their packs, the counters above, events), each in the way it needs, and at nothing else.
/// Rolled back when dropped.
#[derive(Debug)]
pub struct IngestTx {
    tx: Transaction,
    tenant_ids: Vec<TenantId>,
}

impl IngestTx {
    /// Begins one for tenants that were entered; the same one may be named several times.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn begin<'a>(db: &Db, entered: impl IntoIterator<Item = &'a Ctx>) -> Result<Self, db::Error> {
        Self::begin_as(db, entered, false).await
    }

    /// As [`Self::begin`], for a batch of whoever sends, of which few are under way at a time.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn begin_batch<'a>(
        db: &Db,
        entered: impl IntoIterator<Item = &'a Ctx>,
    ) -> Result<Self, db::Error> {
        Self::begin_as(db, entered, true).await
    }

    async fn begin_as<'a>(
        db: &Db,
        entered: impl IntoIterator<Item = &'a Ctx>,
        is_batch: bool,
    ) -> Result<Self, db::Error> {
        let tenant_ids: BTreeSet<TenantId> = entered.into_iter().map(Ctx::tenant_id).collect();
        let tenant_ids: Vec<TenantId> = tenant_ids.into_iter().collect();
        let bound: Vec<Uuid> = tenant_ids.iter().map(|id| id.uuid()).collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where such a transaction begins, with tenants that are each proven by a Ctx"
        )]
        let tx = db.begin_tenants(&bound, is_batch).await?;
        Ok(Self { tx, tenant_ids })
    }

    /// Makes its changes durable.
    ///
    /// # Errors
    /// As [`TenantTx::commit`].
    pub async fn commit(self) -> Result<(), db::Error> {
        self.tx.commit().await
    }
}

impl OfTenants for IngestTx {
    fn conn(&mut self) -> &mut PgConnection {
        self.tx.conn()
    }

    fn tenant_ids(&self) -> Vec<Uuid> {
        self.tenant_ids.iter().map(|id| id.uuid()).collect()
    }
}
