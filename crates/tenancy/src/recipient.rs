//! From a recipient's address to the mailboxes that take its mail: the mailbox or group that has it; that of the address
//! without what follows a `+`; the domain's catch-all; and for the addresses that every domain has to have, an
//! administrator.

mod store;

use db::{Db, SystemRead};
use kernel::{DomainName, EmailAddress, Env, GroupId, MailboxId, RequestId, TenantId};

use crate::caller::{Caller, Principal, Scope};
use crate::desk::{self, Answer, Desk, Question as _};
use crate::tenant::Place;
use crate::{Ctx, Error, Origin, Role};

/// Looks recipients up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recipients {
    db: Db,
    desk: Desk<Question>,
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
    /// How many bytes there is room for, in the mailbox and above it; `None` where that was not looked at.
    pub room_bytes: Option<u64>,
}

impl Recipients {
    /// A directory over a database.
    pub fn new(db: Db) -> Self {
        Self { db, desk: Desk::default() }
    }

    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        self.db.env()
    }

    /// The mailboxes behind an address; `None` when mail for it is to be refused for good.
    ///
    /// # Errors
    /// When the database fails; then mail is to be refused for the time being.
    pub async fn resolve(
        &self,
        address: &EmailAddress,
        request_id: RequestId,
    ) -> Result<Option<Recipient>, Error> {
        let Some(found) = self.route(address.domain(), address.local()).await? else { return Ok(None) };
        let mailbox_ids = self.mailboxes(&found, address).await?;
        if mailbox_ids.is_empty() {
            return Ok(None);
        }
        let tenant_id = found.tenant_id;
        let is_its_own = found.mailbox_id.is_some_and(|id| mailbox_ids == [id]);
        let room_bytes = is_its_own.then_some(found.room_bytes);
        let server = Caller::new(
            self.db.clone(),
            Principal::MailServer,
            Role::Delivery,
            Scope::Tenant(tenant_id),
            Origin::local(request_id),
        );
        // Where the tenant is came along.
        let ctx = server.having_seen(tenant_id, Some(found.place)).enter(tenant_id).await?;
        Ok(Some(Recipient { ctx, mailbox_ids, room_bytes }))
    }

    /// Asked together with all who ask at this moment.
    async fn route(&self, domain: &DomainName, local: &str) -> Result<Option<Route>, Error> {
        self.desk.ask(&self.db, Question { domain: domain.clone(), local: local.to_owned() }).await
    }

    /// The mailboxes of an address in a domain that takes mail; none when mail for it is to be refused.
    async fn mailboxes(&self, exact: &Route, address: &EmailAddress) -> Result<Vec<MailboxId>, Error> {
        let (domain, local, tenant_id) = (address.domain(), address.local(), exact.tenant_id);
        let mut found = self.at(exact).await?;
        let base = local.split_once('+').map(|(base, _)| base).filter(|base| !base.is_empty());
        if let (None, true, Some(base)) = (&found, exact.plus_addressing, base)
            && let Some(route) = self.route(domain, base).await?
        {
            found = self.at(&route).await?;
        }
        if let (None, Some(catch_all)) = (&found, exact.catch_all) {
            found = Some(store::receiving(&mut lookup(&self.db).await?, tenant_id, catch_all).await?);
        }
        if found.as_ref().is_none_or(Vec::is_empty) && RESERVED.contains(&local) {
            found = Some(store::for_the_administrator(&mut lookup(&self.db).await?, tenant_id).await?);
        }
        Ok(found.unwrap_or_default())
    }

    /// The mailboxes of an address that somebody has, which are none when they may not receive; `None` when nobody has it.
    async fn at(&self, route: &Route) -> Result<Option<Vec<MailboxId>>, Error> {
        match (route.mailbox_id, route.group_id) {
            (Some(mailbox_id), _) => Ok(Some(if route.receives { vec![mailbox_id] } else { Vec::new() })),
            (None, Some(group_id)) => {
                Ok(Some(store::members(&mut lookup(&self.db).await?, route.tenant_id, group_id).await?))
            }
            (None, None) => Ok(None),
        }
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
    let question = Question { domain: address.domain().clone(), local: address.local().to_owned() };
    let route = Question::look_up(caller.db(), &[question]).await?.pop().ok_or(Error::NotFound)??;
    let route = route.ok_or(Error::NotFound)?;
    let mailbox_id = route.mailbox_id.ok_or(Error::NotFound)?;
    Ok((caller.enter(route.tenant_id).await?, mailbox_id))
}

/// An address that a message is for.
#[derive(Debug)]
struct Question {
    domain: DomainName,
    local: String,
}

/// A domain that takes mail, where its tenant is, and who has the address in it.
struct Route {
    tenant_id: TenantId,
    place: Place,
    plus_addressing: bool,
    catch_all: Option<MailboxId>,
    mailbox_id: Option<MailboxId>,
    group_id: Option<GroupId>,
    /// Whether the mailbox's own user may receive.
    receives: bool,
    /// How many bytes the mailbox has room for, if there is one, and the pools above it.
    room_bytes: u64,
}

impl desk::Question for Question {
    type Found = Route;
    /// A statement answers all.
    type Lane = ();

    fn lane(&self) {}

    async fn look_up(db: &Db, questions: &[Self]) -> Result<Vec<Answer<Self>>, db::Error> {
        store::routes(&mut lookup(db).await?, questions).await
    }
}

#[expect(clippy::disallowed_methods, reason = "an address tells the tenant, so none is known before")]
async fn lookup(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
