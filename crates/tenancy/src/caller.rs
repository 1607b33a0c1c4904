//! A proven caller, before and after it has chosen a reseller.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use db::Db;
use ipnet::IpNet;
use kernel::{ApiKeyId, MailboxId, RequestId, ResellerId, TenantId, UserId};

use crate::desk::Desk;
use crate::effect::Trial;
use crate::policy::{self, Action, Capability, Role};
use crate::tenant::Place;
use crate::{Ctx, Error, Origin, reseller, tenant, user};

/// Whose credential was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A program with an API key.
    ApiKey(ApiKeyId),
    /// A person, with the one mailbox that is theirs.
    User(UserId, MailboxId),
    /// The operator's own hand on the machine: the command line.
    LocalOperator,
    /// The server itself: its duties and jobs.
    Server,
    /// A mail server handing over a message.
    MailServer,
    /// Somebody with a credential that proved nothing, for the trail.
    Nobody,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(id) => fmt::Display::fmt(id, f),
            Self::User(id, _) => fmt::Display::fmt(id, f),
            Self::LocalOperator => f.write_str("local_operator"),
            Self::Server => f.write_str("server"),
            Self::MailServer => f.write_str("mail_server"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// Which part of the tree a caller sees; all the rest does not exist for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Operator,
    /// A reseller and what is below it.
    Reseller(ResellerId),
    /// One tenant.
    Tenant(TenantId),
}

impl fmt::Display for Scope {
    /// `operator`, or the id of the subtree's root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Reseller(id) => fmt::Display::fmt(id, f),
            Self::Tenant(id) => fmt::Display::fmt(id, f),
        }
    }
}

/// Somebody whose credential was proven. It has chosen no tenant yet.
#[derive(Debug, Clone)]
pub struct Caller {
    db: Db,
    principal: Principal,
    role: Role,
    scope: Scope,
    /// What an API key was narrowed to; `None`: all that the role allows.
    actions: Option<Arc<BTreeSet<Action>>>,
    /// When an API key ends.
    expires_at: Option<DateTime<Utc>>,
    /// The networks that an API key is good from; `None`: from anywhere.
    networks: Option<Arc<[IpNet]>>,
    origin: Origin,
    /// The tenant that it was about to enter when it was proven, and where that was; `None` in there: nowhere.
    seen: Option<Arc<(TenantId, Option<Place>)>>,
    /// What it only tries.
    trial: Option<Trial>,
    /// Where users are looked up, for all whom the same [`Auth`](crate::auth::Auth) has proven.
    users: Desk<user::One>,
}

impl Caller {
    pub(crate) fn new(db: Db, principal: Principal, role: Role, scope: Scope, origin: Origin) -> Self {
        Self {
            db,
            principal,
            role,
            scope,
            actions: None,
            expires_at: None,
            networks: None,
            origin,
            seen: None,
            trial: None,
            users: Desk::default(),
        }
    }

    pub(crate) fn narrowed_to(mut self, actions: BTreeSet<Action>) -> Self {
        self.actions = Some(Arc::new(actions));
        self
    }

    pub(crate) fn until(mut self, expires_at: Option<DateTime<Utc>>) -> Self {
        self.expires_at = expires_at;
        self
    }

    /// Bound to networks, if there are any.
    pub(crate) fn bound_to(mut self, networks: &[IpNet]) -> Self {
        self.networks = (!networks.is_empty()).then(|| networks.into());
        self
    }

    pub(crate) fn having_seen(mut self, tenant_id: TenantId, place: Option<Place>) -> Self {
        self.seen = Some(Arc::new((tenant_id, place)));
        self
    }

    pub(crate) fn at(mut self, users: &Desk<user::One>) -> Self {
        self.users = users.clone();
        self
    }

    /// Where users are looked up.
    pub(crate) fn users(&self) -> &Desk<user::One> {
        &self.users
    }

    /// The same caller, whose changes are taken back.
    pub(crate) fn trying(&self, trial: Trial) -> Self {
        // What it reads is what it would have become.
        let users = Desk::default();
        Self { db: trial.db().clone(), trial: Some(trial), users, ..self.clone() }
    }

    /// What it only tries, if it does.
    pub(crate) fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// When its credential ends, if that was decided beforehand.
    pub(crate) fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// The networks that its credential is good from; empty: from anywhere.
    pub(crate) fn networks(&self) -> &[IpNet] {
        self.networks.as_deref().unwrap_or_default()
    }

    /// Whether it holds everything that a role allows, so that it may hand that role out or take it away. What every
    /// person may do with their own mailbox is nobody's to withhold.
    pub(crate) fn holds(&self, role: Role) -> bool {
        role == Role::User
            || Action::ALL.iter().all(|&action| !policy::allows(role, action) || self.may(action))
    }

    /// The operator at the machine's own command line, who holds the database anyway.
    pub fn local_operator(db: Db, request_id: RequestId) -> Self {
        let origin = Origin::local(request_id);
        Self::new(db, Principal::LocalOperator, Role::Operator, Scope::Operator, origin)
    }

    /// The server itself, at work for nobody in particular: its duties and jobs.
    pub fn server(db: Db) -> Self {
        let origin = Origin::local(db.env().new_id());
        Self::new(db, Principal::Server, Role::Operator, Scope::Operator, origin)
    }

    /// Whose credential it is.
    pub fn principal(&self) -> Principal {
        self.principal
    }

    /// Who it is, if it is a person.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        match self.principal {
            Principal::User(id, _) => Some(id),
            _ => None,
        }
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The part of the tree it sees.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The database, with clock and randomness.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The request, connection or job it called by.
    pub fn request_id(&self) -> RequestId {
        self.origin.request_id
    }

    /// The client's address, if a client calls.
    pub fn network(&self) -> Option<IpAddr> {
        self.origin.network
    }

    /// Whether its role and key allow the action at all.
    pub fn may(&self, action: Action) -> bool {
        policy::allows(self.role, action)
            && self.actions.as_ref().is_none_or(|narrowed| narrowed.contains(&action))
    }

    /// # Errors
    /// [`Error::Forbidden`] when its role or key does not allow the action.
    pub fn require(&self, action: Action) -> Result<(), Error> {
        if self.may(action) { Ok(()) } else { Err(Error::Forbidden(action.as_str())) }
    }

    /// Those of a path of resellers, the topmost first, whose caps it may know: of those in its scope, if it may see resellers.
    pub(crate) fn seen_of(&self, path: &[ResellerId]) -> Vec<ResellerId> {
        if !self.may(Action::ResellerRead) {
            return Vec::new();
        }
        match self.scope {
            Scope::Operator => path.to_vec(),
            Scope::Reseller(root) => path.iter().copied().skip_while(|id| *id != root).collect(),
            Scope::Tenant(_) => Vec::new(),
        }
    }

    /// Enters a tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`], the same for a tenant out of scope and for one that does not exist or was deleted;
    /// [`Error::Suspended`] for the tenant's own callers while its API is suspended.
    pub async fn enter(&self, tenant_id: TenantId) -> Result<Ctx, Error> {
        let ctx = self.enter_deleted_too(tenant_id).await?;
        if ctx.is_deleted() { Err(Error::NotFound) } else { Ok(ctx) }
    }

    /// As [`Caller::enter`], and a deleted tenant as well for whoever is above it: to see and to restore it, and to move its test clock.
    ///
    /// # Errors
    /// As `enter`.
    pub async fn enter_deleted_too(&self, tenant_id: TenantId) -> Result<Ctx, Error> {
        let place = self.places(&[tenant_id]).await?.pop().ok_or(Error::NotFound)?.1;
        self.admit(tenant_id, place)
    }

    /// As [`Caller::enter_deleted_too`], several at once, without those that cannot be entered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enter_all_deleted_too(&self, tenants: &[TenantId]) -> Result<Vec<Ctx>, Error> {
        let places = self.places(tenants).await?;
        Ok(places.into_iter().filter_map(|(id, place)| self.admit(id, place).ok()).collect())
    }

    /// As [`Caller::enter`], several at once, without those that cannot be entered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enter_all(&self, tenants: &[TenantId]) -> Result<Vec<Ctx>, Error> {
        let mut entered = self.enter_all_deleted_too(tenants).await?;
        entered.retain(|ctx| !ctx.is_deleted());
        Ok(entered)
    }

    /// Those of some tenants that there are and that are in scope. This is the one place that decides whether one is visible.
    async fn places(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Place)>, Error> {
        let is_in_scope = |id: TenantId, place: &Place| match self.scope {
            Scope::Operator => true,
            Scope::Reseller(root) => place.reseller_path.contains(&root),
            Scope::Tenant(own) => own == id,
        };
        let mut places = match (self.seen.as_deref(), tenants) {
            (Some((seen, place)), [wanted]) if seen == wanted => {
                place.iter().map(|place| (*seen, place.clone())).collect()
            }
            _ => tenant::places(&self.db, tenants, self.user_id()).await?,
        };
        places.retain(|(id, place)| is_in_scope(*id, place));
        Ok(places)
    }

    fn admit(&self, tenant_id: TenantId, place: Place) -> Result<Ctx, Error> {
        let is_own = matches!(self.scope, Scope::Tenant(_));
        if is_own && place.is_deleted {
            return Err(Error::NotFound);
        }
        let by_api = matches!(self.principal, Principal::ApiKey(_));
        if by_api && is_own && place.suspended.contains(&Capability::Api) {
            return Err(Error::Suspended("api"));
        }
        Ok(Ctx::new(self.clone(), tenant_id, place))
    }

    /// Enters a reseller.
    ///
    /// # Errors
    /// [`Error::NotFound`], the same for a reseller out of scope and for one that does not exist or was deleted.
    pub async fn enter_reseller(&self, reseller_id: ResellerId) -> Result<ResellerCtx, Error> {
        let ctx = self.enter_reseller_deleted_too(reseller_id).await?;
        if ctx.is_deleted { Err(Error::NotFound) } else { Ok(ctx) }
    }

    /// As [`Caller::enter_reseller`], and a deleted reseller as well for whoever is above it: to see it, and what is left to be
    /// paid. This is the one place that decides whether a reseller is visible.
    ///
    /// # Errors
    /// As `enter_reseller`.
    pub async fn enter_reseller_deleted_too(&self, reseller_id: ResellerId) -> Result<ResellerCtx, Error> {
        if matches!(self.scope, Scope::Tenant(_)) {
            return Err(Error::NotFound);
        }
        let place = reseller::place(&self.db, reseller_id).await?.ok_or(Error::NotFound)?;
        if let Scope::Reseller(root) = self.scope
            && (!place.path.contains(&root) || (place.is_deleted && root == reseller_id))
        {
            return Err(Error::NotFound);
        }
        let reseller::Place { path, is_deleted } = place;
        Ok(ResellerCtx { caller: self.clone(), reseller_id, path, is_deleted })
    }

    /// The reseller that a call means which names none: the caller's own.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an operator, who has to name one; [`Error::Forbidden`] for a tenant's caller.
    pub fn own_reseller(&self) -> Result<ResellerId, Error> {
        match self.scope {
            Scope::Reseller(id) => Ok(id),
            Scope::Operator => {
                Err(Error::invalid("/reseller_id", "an operator's call has to name the reseller"))
            }
            Scope::Tenant(_) => Err(Error::Forbidden("acting for a reseller")),
        }
    }
}

/// A proven caller and a reseller that it may see.
#[derive(Debug, Clone)]
pub struct ResellerCtx {
    caller: Caller,
    reseller_id: ResellerId,
    path: Vec<ResellerId>,
    is_deleted: bool,
}

impl ResellerCtx {
    /// The reseller.
    pub fn reseller_id(&self) -> ResellerId {
        self.reseller_id
    }

    /// The reseller and those above it, the topmost first.
    pub fn path(&self) -> &[ResellerId] {
        &self.path
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The database, with clock and randomness.
    pub fn db(&self) -> &Db {
        &self.caller.db
    }

    /// # Errors
    /// [`Error::Forbidden`] when the caller's role or key does not allow the action.
    pub fn require(&self, action: Action) -> Result<(), Error> {
        self.caller.require(action)
    }
}
