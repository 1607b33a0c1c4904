//! A small installation in a fresh database, made through tenancy's own functions. Whatever fails in making it panics.

use kernel::{PageRequest, RequestId, ResellerId};
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::api_key;
use tenancy::auth::Auth;
use tenancy::domain::{self, Domain, Proof};
use tenancy::event;
use tenancy::policy::Capability;
use tenancy::reseller::{self, NewReseller, Reseller};
use tenancy::tenant::{self, NewTenant, Tenant};
use tenancy::user::{self, NewUser, User};
use tenancy::{Action, Caller, Ctx, MailLogin, Origin, Role};

use crate::TestDb;

/// What every user of a world signs in with.
pub const PASSWORD: &str = "correct horse battery staple";

/// A tenant `Acme` of a reseller `Hosting`, with a domain, which is `acme.example` where nothing else is said, and no user yet.
#[derive(Debug)]
pub struct World {
    /// The database, dropped with the last world in it.
    pub test_db: TestDb,
    /// The operator's own hand.
    pub operator: Caller,
    /// The reseller.
    pub reseller: Reseller,
    /// The tenant.
    pub tenant: Tenant,
    /// The operator in the tenant, who may do everything there.
    pub ctx: Ctx,
}

impl World {
    /// Makes it.
    pub async fn new() -> Self {
        Self::within(TestDb::new().await, "acme.example").await
    }

    /// Makes it in a database that may have others, with a domain that none of them has.
    pub async fn within(test_db: TestDb, domain_name: &str) -> Self {
        let operator = operator(&test_db);
        let reseller = reseller(&operator, "Hosting").await;
        let tenant = tenant(&operator, &reseller, "Acme").await;
        let ctx = done("entering the tenant", operator.enter(tenant.id).await);
        domain(&ctx, domain_name).await;
        Self { test_db, operator, reseller, tenant, ctx }
    }

    /// A user `local@acme.example` with [`PASSWORD`].
    pub async fn user(&self, local: &str, quota_bytes: Option<i64>) -> User {
        user(&self.ctx, &format!("{local}@acme.example"), quota_bytes).await
    }

    /// A user of this module's making, signed in for POP3.
    pub async fn login(&self, user: &User) -> MailLogin {
        let auth = done("an authenticator", Auth::new(self.test_db.db()).await);
        let password = SecretString::from(PASSWORD);
        let login = auth.mail_login(Capability::Pop3, &user.address, password, self.origin()).await;
        done("the fixture's password signs in", login)
    }

    /// What was noted of a kind until now, on whichever trail, as the operator sees it: the oldest first, 200 at most.
    pub async fn noted(&self, kind: event::Kind) -> Vec<event::Chained> {
        done("chaining events", event::chain(&self.test_db.db()).await);
        let filter = event::Filter { kinds: [kind].into(), tenant_id: None };
        let page = PageRequest::new(Some(200), None);
        done("the events", event::list(&self.operator, Action::EventRead, &filter, page).await).items
    }

    /// A fresh request id.
    pub fn request_id(&self) -> RequestId {
        self.test_db.db().env().new_id()
    }

    /// Where a call of no client's comes from.
    pub fn origin(&self) -> Origin {
        Origin::local(self.request_id())
    }

    /// The secret of a new API key of the operator's.
    pub async fn operator_key(&self) -> String {
        let (_, secret) = done("an operator's key", api_key::create_for_operator(&self.operator).await);
        secret.expose_secret().to_owned()
    }
}

/// The operator at the command line of `test_db`.
pub fn operator(test_db: &TestDb) -> Caller {
    Caller::local_operator(test_db.db(), test_db.db().env().new_id())
}

/// A reseller without caps.
pub async fn reseller(operator: &Caller, name: &str) -> Reseller {
    reseller_of(operator, None, name).await
}

/// A reseller without caps, below another.
pub async fn reseller_below(operator: &Caller, above: &Reseller, name: &str) -> Reseller {
    reseller_of(operator, Some(above.id), name).await
}

async fn reseller_of(operator: &Caller, parent_id: Option<ResellerId>, name: &str) -> Reseller {
    let new =
        NewReseller { name: name.into(), parent_id, caps: Default::default(), branding: Default::default() };
    done("a reseller", reseller::create(operator, new).await)
}

/// A tenant in UTC and EUR without a limit of seats.
pub async fn tenant(operator: &Caller, reseller: &Reseller, name: &str) -> Tenant {
    done("a tenant", tenant::create(operator, new_tenant(reseller, name)).await)
}

/// What [`tenant()`] is made of.
pub fn new_tenant(reseller: &Reseller, name: &str) -> NewTenant {
    NewTenant {
        reseller_id: Some(reseller.id),
        name: name.into(),
        external_id: None,
        country: "DE".into(),
        currency: done("EUR is a currency", "EUR".parse()),
        time_zone: "UTC".into(),
        seats_limit: None,
        domains_limit: None,
        shared_mailboxes_limit: None,
        storage_limit_bytes: None,
        allow_overallocation: true,
        storage_dedicated: false,
        branding: Default::default(),
        test_clock: false,
        trial_ends_at: None,
    }
}

/// A domain of the tenant, verified by the operator's word.
pub async fn domain(ctx: &Ctx, name: &str) -> Domain {
    let domain = done("a domain", domain::create(ctx, name).await);
    done("its verification", domain::verify(ctx, domain.id, Proof::Operator).await)
}

/// A user with [`PASSWORD`].
pub async fn user(ctx: &Ctx, address: &str, quota_bytes: Option<i64>) -> User {
    done("a user", user::create(ctx, new_user(address, quota_bytes)).await)
}

/// What [`user()`] is made of.
pub fn new_user(address: &str, quota_bytes: Option<i64>) -> NewUser {
    NewUser {
        address: address.into(),
        aliases: Vec::new(),
        display_name: String::new(),
        given_name: None,
        family_name: None,
        role: Role::User,
        password: Some(PASSWORD.into()),
        quota_bytes,
        external_id: None,
    }
}

fn done<T, E: std::fmt::Debug>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error:?}"))
}
