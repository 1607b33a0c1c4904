//! From a recipient's address to the mailboxes that take its mail: the mailbox or group that has it; that of the address
//! without what follows a `+`; the domain's catch-all; and for the addresses that every domain has to have, an
//! administrator.

mod store;

use db::{Db, SystemRead};
use kernel::{DomainName, EmailAddress, Env, MailboxId, RequestId, TenantId};

use crate::caller::{Caller, Principal, Scope};
use crate::{Ctx, Error, Origin, Role};

/// Looks recipients up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recipients {
    db: Db,
}

/// The addresses that have to land somewhere whether or not somebody made them (RFC 5321 §4.5.1, RFC 2142 §2).
const RESERVED: [&str; 2] = ["postmaster", "abuse"];

/// The mailboxes that take mail, and the right to put it there.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The context of the delivery: it may deliver and do nothing else.
    pub ctx: Ctx,
    /// The mailboxes, each once and at least one; several for a group.
    pub mailbox_ids: Vec<MailboxId>,
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

    /// The mailboxes behind an address; `None` when mail for it is to be refused for good.
    ///
    /// # Errors
    /// As of any statement; then mail is to be refused for the time being.
    pub async fn resolve(
        &self,
        address: &EmailAddress,
        request_id: RequestId,
    ) -> Result<Option<Recipient>, Error> {
        let mut read = lookup(&self.db).await?;
        let Some(found) = find(&mut read, address).await? else { return Ok(None) };
        drop(read);
        let scope = Scope::Tenant(found.tenant_id);
        let server = Caller::new(
            self.db.clone(),
            Principal::MailServer,
            Role::Delivery,
            scope,
            Origin::local(request_id),
        );
        let ctx = server.enter(found.tenant_id).await?;
        Ok(Some(Recipient { ctx, mailbox_ids: found.mailbox_ids }))
    }

    /// Whether a tenant has proven the domain: mail for it goes nowhere else.
    ///
    /// # Errors
    /// As [`Recipients::resolve`].
    pub async fn is_ours(&self, domain: &DomainName) -> Result<bool, Error> {
        Ok(store::is_proven(&mut lookup(&self.db).await?, domain).await?)
    }
}

/// Enters the mailbox that has an address, as the operator at the machine's own command line.
///
/// # Errors
/// [`Error::NotFound`] when no mailbox has the address; [`Error::Forbidden`] for another caller.
pub async fn enter(caller: &Caller, address: &EmailAddress) -> Result<(Ctx, MailboxId), Error> {
    let mut read = lookup(caller.db()).await?;
    let route = store::route(&mut read, address.domain(), address.local()).await?.ok_or(Error::NotFound)?;
    drop(read);
    let mailbox_id = route.mailbox_id.ok_or(Error::NotFound)?;
    Ok((caller.enter(route.tenant_id).await?, mailbox_id))
}

/// Where mail for an address goes.
struct Found {
    tenant_id: TenantId,
    mailbox_ids: Vec<MailboxId>,
}

async fn find(read: &mut SystemRead, address: &EmailAddress) -> Result<Option<Found>, Error> {
    let (domain, local) = (address.domain(), address.local());
    let Some(exact) = store::route(read, domain, local).await? else { return Ok(None) };
    let tenant_id = exact.tenant_id;
    let mut mailbox_ids = at(read, &exact).await?;
    let base = local.split_once('+').map(|(base, _)| base).filter(|base| !base.is_empty());
    if let (None, true, Some(base)) = (&mailbox_ids, exact.plus_addressing, base)
        && let Some(route) = store::route(read, domain, base).await?
    {
        mailbox_ids = at(read, &route).await?;
    }
    if let (None, Some(catch_all)) = (&mailbox_ids, exact.catch_all) {
        mailbox_ids = Some(store::receiving(read, tenant_id, catch_all).await?);
    }
    if mailbox_ids.as_ref().is_none_or(Vec::is_empty) && RESERVED.contains(&local) {
        mailbox_ids = Some(store::for_the_administrator(read, tenant_id).await?);
    }
    let mailbox_ids = mailbox_ids.filter(|ids| !ids.is_empty());
    Ok(mailbox_ids.map(|mailbox_ids| Found { tenant_id, mailbox_ids }))
}

/// The mailboxes of an address that somebody has, which are none when they may not receive; `None` when nobody has it.
async fn at(read: &mut SystemRead, route: &store::Route) -> Result<Option<Vec<MailboxId>>, Error> {
    match (route.mailbox_id, route.group_id) {
        (Some(mailbox_id), _) => Ok(Some(if route.receives { vec![mailbox_id] } else { Vec::new() })),
        (None, Some(group_id)) => Ok(Some(store::members(read, route.tenant_id, group_id).await?)),
        (None, None) => Ok(None),
    }
}

#[expect(clippy::disallowed_methods, reason = "an address tells the tenant, so none is known before")]
async fn lookup(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
