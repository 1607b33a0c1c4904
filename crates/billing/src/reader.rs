//! Who may do what with what was issued to a tenant: whoever sees the tenant, and, to read it, whoever sees its issuer, which has to
//! keep it whoever the tenant belongs to now.

use kernel::{ResellerId, TenantId};
use tenancy::{Action, Caller, Ctx, TenantRead};

use crate::Error;

/// A tenant, and who issued to it what the caller asks for.
pub(crate) type Place = (TenantId, ResellerId);

/// Whoever may read what an issuer has issued to a tenant. It gives no context away, by which more could be done.
pub(crate) struct Reader {
    ctx: Ctx,
    sees_tenant: bool,
}

impl Reader {
    /// # Errors
    /// [`Error::NotFound`] for whoever sees neither the tenant nor the issuer; [`Error::Tenancy`] without the right to the action.
    pub(crate) async fn enter(
        caller: &Caller,
        (tenant_id, issuer): Place,
        action: Action,
    ) -> Result<Self, Error> {
        let reader = match caller.enter_deleted_too(tenant_id).await {
            Ok(ctx) => Self { ctx, sees_tenant: true },
            Err(tenancy::Error::NotFound) => {
                caller.enter_reseller_deleted_too(issuer).await?;
                // The tenant is another's: what this issuer issued is read for the caller, who never enters.
                let ctx = Caller::server(caller.db().clone()).enter_deleted_too(tenant_id).await?;
                Self { ctx, sees_tenant: false }
            }
            Err(error) => return Err(error.into()),
        };
        caller.require(action)?;
        Ok(reader)
    }

    /// Whether the caller sees the tenant itself. Whoever does not is to be shown nothing but what the issuer issued.
    pub(crate) fn sees_tenant(&self) -> bool {
        self.sees_tenant
    }

    /// The reseller that the tenant belongs to.
    pub(crate) fn reseller_id(&self) -> ResellerId {
        self.ctx.reseller_id()
    }

    /// # Errors
    /// When the database fails.
    pub(crate) async fn read(&self) -> Result<TenantRead, db::Error> {
        self.ctx.read().await
    }
}

/// Enters a tenant, to do something with what was issued to it.
///
/// # Errors
/// As [`Reader::enter`]; [`Error::Conflict`] `tenant_transferred` for whoever sees the issuer and not the tenant.
pub(crate) async fn enter(caller: &Caller, (tenant_id, issuer): Place, action: Action) -> Result<Ctx, Error> {
    match caller.enter_deleted_too(tenant_id).await {
        Err(tenancy::Error::NotFound) => {
            caller.enter_reseller_deleted_too(issuer).await?;
            caller.require(action)?;
            let detail = "the tenant belongs to another reseller now: whoever is above both does that";
            Err(Error::Conflict { code: "tenant_transferred", detail })
        }
        entered => {
            let ctx = entered?;
            ctx.require(action)?;
            Ok(ctx)
        }
    }
}

/// Whoever sees a former issuer acts for it.
///
/// # Errors
/// [`Error::Conflict`] `issued_by_another` for the others.
pub(crate) async fn must_act_for(caller: &Caller, issuer: ResellerId) -> Result<(), Error> {
    match caller.enter_reseller_deleted_too(issuer).await {
        Ok(_) => Ok(()),
        Err(tenancy::Error::NotFound) => Err(issued_by_another()),
        Err(error) => Err(error.into()),
    }
}

/// Why somebody who sees a former issuer's document may not act for that one.
pub(crate) fn issued_by_another() -> Error {
    let detail = "another reseller issued it, who is no longer the tenant's";
    Error::Conflict { code: "issued_by_another", detail }
}
