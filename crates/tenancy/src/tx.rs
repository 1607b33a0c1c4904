//! The transaction that sees one tenant.

use kernel::TenantId;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::Ctx;

/// A transaction as the tenant role: row-level security shows it the rows of its tenant, and stores name the tenant
/// besides. Rolled back when dropped.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant_id: TenantId,
}

impl TenantTx {
    pub(crate) async fn begin(ctx: &Ctx) -> Result<Self, db::Error> {
        let tenant_id = ctx.tenant_id();
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a tenant's transaction begins, with a proven tenant"
        )]
        let tx = ctx.db().begin_tenant(tenant_id.uuid()).await?;
        Ok(Self { tx, tenant_id })
    }

    /// The connection, for a store's statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Goes on as the system, which sees every tenant: for a move from one reseller to another, which the levels above the
    /// tenant have to bear.
    #[expect(
        clippy::disallowed_methods,
        reason = "who has begun it has proven the tenant, and what follows is the system's to do"
    )]
    pub(crate) async fn into_system(self) -> Result<db::SystemTx, db::Error> {
        db::SystemTx::go_on(self.tx).await
    }

    /// The tenant it is bound to; stores bind it first.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// Makes its changes durable.
    ///
    /// # Errors
    /// [`db::Error::Unresolved`] when it is not known whether they are; any other error means that they are not.
    pub async fn commit(self) -> Result<(), db::Error> {
        self.tx.commit().await.map_err(db::Error::of_commit)
    }
}
