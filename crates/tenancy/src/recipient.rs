//! From a recipient's address to the mailbox that takes its mail.

mod store;

use db::{Db, SystemTx};
use kernel::{EmailAddress, Env, MailboxId, RequestId};

use crate::caller::{Caller, Principal, Scope};
use crate::{Ctx, Error, Origin, Role};

/// Looks recipients up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recipients {
    db: Db,
}

/// A mailbox that takes mail, and the right to put it there.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The context of the delivery: it may deliver and do nothing else.
    pub ctx: Ctx,
    /// The mailbox.
    pub mailbox_id: MailboxId,
}

impl Recipients {
    /// A directory over a database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        self.db.env()
    }

    /// The mailbox behind an address; `None` when mail for it is to be refused for good.
    ///
    /// # Errors
    /// As of any statement; then mail is to be refused for the time being.
    pub async fn resolve(
        &self,
        address: &EmailAddress,
        request_id: RequestId,
    ) -> Result<Option<Recipient>, Error> {
        let mut tx = system(&self.db).await?;
        let Some(found) = store::find(&mut tx, address).await? else { return Ok(None) };
        drop(tx);
        let scope = Scope::Tenant(found.tenant_id);
        let server = Caller::new(
            self.db.clone(),
            Principal::MailServer,
            Role::Delivery,
            scope,
            Origin::local(request_id),
        );
        let ctx = server.enter(found.tenant_id).await?;
        Ok(Some(Recipient { ctx, mailbox_id: found.mailbox_id }))
    }
}

/// Enters a mailbox by its address as the operator at the machine's own command line.
///
/// # Errors
/// [`Error::NotFound`] when no mailbox has the address; [`Error::Forbidden`] for another caller.
pub async fn enter(caller: &Caller, address: &EmailAddress) -> Result<Recipient, Error> {
    let mut tx = system(caller.db()).await?;
    let found = store::find(&mut tx, address).await?.ok_or(Error::NotFound)?;
    drop(tx);
    let ctx = caller.enter(found.tenant_id).await?;
    Ok(Recipient { ctx, mailbox_id: found.mailbox_id })
}

#[expect(clippy::disallowed_methods, reason = "an address tells the tenant, so none is known before")]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
