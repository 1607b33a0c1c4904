//! Tenants: the customer organisations.

mod lifecycle;
mod nonpayment;
pub(crate) mod store;
mod transfer;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::{ParseError, Tz};
use db::{Db, SystemRead, SystemTx};
use kernel::{
    Checks, Country, Currency, DomainName, MailboxId, Page, PageRequest, ResellerId, TenantId, UserId, named,
};
use serde_json::json;

use crate::branding::{self, Branding, BrandingChange, Effective};
use crate::caps::{self, Delta};
use crate::delegate::Right;
use crate::effect::{self, Level};
use crate::policy::Capability;
use crate::standing::{self, Standing};
use crate::{
    Action, Calendar, Caller, Ctx, Error, Scope, TenantTx, event, mailbox, placement, purge, quota,
    require_version, reseller, storage_sample,
};

pub use lifecycle::{RESTORABLE, delete, end_trials, restore};
pub use nonpayment::{Taken, hold_unpaid, resume_paid, suspend_unpaid};
pub use store::lock;
pub use transfer::{Leaving, Left, leave};

/// A customer organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The reseller it buys from.
    pub reseller_id: ResellerId,
    /// Its name.
    pub name: String,
    /// Its id in the system of whoever sells to it.
    pub external_id: Option<String>,
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
    /// What it is billed in.
    pub currency: Currency,
    /// Where its days begin and end.
    pub time_zone: Tz,
    /// `trial`, `active`, `suspended`, `deleted` or `purged`.
    pub status: String,
    /// What a suspension took away from all of its users and keys.
    pub suspended_capabilities: Vec<Capability>,
    /// What of that was taken because something is overdue, and by nobody else: given back when it is paid.
    pub unpaid_capabilities: Vec<Capability>,
    /// How many users may hold a seat; `None` is unlimited.
    pub seats_limit: Option<i32>,
    /// How many do.
    pub seats_used: i32,
    /// How many domains it may have; `None` is unlimited.
    pub domains_limit: Option<i32>,
    /// How many it has.
    pub domains_used: i32,
    /// How many mailboxes that are nobody's own it may have, archives not counted; `None` is unlimited.
    pub shared_mailboxes_limit: Option<i32>,
    /// How many it has.
    pub shared_mailboxes_used: i32,
    /// What its mailboxes may hold together; `None` is unlimited.
    pub storage_limit_bytes: Option<i64>,
    /// Bytes of live messages in all its mailboxes.
    pub used_bytes: i64,
    /// Whether the quotas of its mailboxes may add up to more than that limit.
    pub allow_overallocation: bool,
    /// Whether no object in the blob store has bodies of its mail beside another tenant's.
    pub storage_dedicated: bool,
    /// How it presents itself.
    pub branding: Branding,
    /// A sandbox tenant's own time.
    pub test_clock: Option<DateTime<Utc>>,
    /// When its trial ends.
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was deleted, in its own time.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub version: i64,
}

/// What a new tenant is made of.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// The reseller it buys from; `None`: the caller's own. An operator names one.
    pub reseller_id: Option<ResellerId>,
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// Its id in the system of whoever sells to it, 1 to 200 characters. Several may have the same.
    pub external_id: Option<String>,
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
    /// What it is billed in; may not change.
    pub currency: Currency,
    /// Where its days begin and end, by IANA name.
    pub time_zone: String,
    /// How many users may hold a seat; `None` is unlimited.
    pub seats_limit: Option<i32>,
    /// How many domains it may have; `None` is unlimited.
    pub domains_limit: Option<i32>,
    /// How many mailboxes that are nobody's own it may have, archives not counted; `None` is unlimited.
    pub shared_mailboxes_limit: Option<i32>,
    /// What its mailboxes may hold together; `None` is unlimited.
    pub storage_limit_bytes: Option<i64>,
    /// Whether the quotas of its mailboxes may add up to more than that limit.
    pub allow_overallocation: bool,
    /// Whether no object in the blob store may have bodies of its mail beside another tenant's.
    pub storage_dedicated: bool,
    /// How it presents itself.
    pub branding: BrandingChange,
    /// Whether it lives by a clock of its own, which starts at the present.
    pub test_clock: bool,
    /// When its trial ends; `None`: it is a customer from the start.
    pub trial_ends_at: Option<DateTime<Utc>>,
}

/// What of a tenant is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct TenantChange {
    /// A new name.
    pub name: Option<String>,
    /// Another id in the system of whoever sells to it; `Some(None)` takes it away.
    pub external_id: Option<Option<String>>,
    /// Another time zone, by IANA name. Days that have begun stay where they began.
    pub time_zone: Option<String>,
    /// A new limit; `Some(None)` lifts it. One below the seats in use is allowed and stops new ones.
    pub seats_limit: Option<Option<i32>>,
    /// A new limit of domains, likewise.
    pub domains_limit: Option<Option<i32>>,
    /// A new limit of mailboxes that are nobody's own, likewise.
    pub shared_mailboxes_limit: Option<Option<i32>>,
    /// A new limit of bytes, likewise.
    pub storage_limit_bytes: Option<Option<i64>>,
    /// Whether the quotas of its mailboxes may add up to more than that.
    pub allow_overallocation: Option<bool>,
    /// Whether bodies of its mail lie beside no other tenant's: those that are taken in from then on. Those that do are moved by and by.
    pub storage_dedicated: Option<bool>,
    /// New branding.
    pub branding: BrandingChange,
    /// Another end of its trial; `Some(None)` makes it a customer.
    pub trial_ends_at: Option<Option<DateTime<Utc>>>,
}

/// Where a tenant is in the tree and in time: what [`Ctx`] carries.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) reseller_id: ResellerId,
    pub(crate) reseller_path: Vec<ResellerId>,
    pub(crate) calendar: Calendar,
    pub(crate) test_clock: Option<DateTime<Utc>>,
    pub(crate) suspended: Vec<Capability>,
    pub(crate) is_deleted: bool,
    pub(crate) storage_dedicated: bool,
    /// The mailboxes that a person may read as a delegate, each with the right that says so: `read`, or `full_access`.
    pub(crate) delegated: BTreeMap<MailboxId, Right>,
}

/// Creates a tenant.
///
/// # Errors
/// [`Error::NotFound`] for a reseller out of scope, [`Error::Invalid`] for bad input.
pub async fn create(caller: &Caller, new: NewTenant) -> Result<Tenant, Error> {
    caller.require(Action::TenantWrite)?;
    let time_zone = check(&new, caller.db().env().now())?;
    let reseller_id = new.reseller_id.map_or_else(|| caller.own_reseller(), Ok)?;
    let above = caller.enter_reseller(reseller_id).await?;
    let env = caller.db().env();
    let tenant = Tenant {
        id: env.new_id(),
        reseller_id,
        name: new.name,
        external_id: new.external_id,
        country: new.country,
        currency: new.currency,
        time_zone,
        status: if new.trial_ends_at.is_some() { "trial" } else { "active" }.into(),
        suspended_capabilities: Vec::new(),
        unpaid_capabilities: Vec::new(),
        seats_limit: new.seats_limit,
        seats_used: 0,
        domains_limit: new.domains_limit,
        domains_used: 0,
        shared_mailboxes_limit: new.shared_mailboxes_limit,
        shared_mailboxes_used: 0,
        storage_limit_bytes: new.storage_limit_bytes,
        used_bytes: 0,
        allow_overallocation: new.allow_overallocation,
        storage_dedicated: new.storage_dedicated,
        branding: branding::changed(&Branding::new(), &new.branding),
        test_clock: new.test_clock.then(|| env.now()),
        trial_ends_at: new.trial_ends_at,
        created_at: env.now(),
        deleted_at: None,
        version: 1,
    };
    let mut tx = system(caller.db()).await?;
    // First, since it locks every level above as strongly as any of this needs it.
    let seen = caller.seen_of(above.path());
    caps::count_above(&mut tx, above.path(), &seen, Delta { tenants: 1, ..Delta::default() }).await?;
    reseller::require_there(&mut tx, reseller_id).await?;
    store::insert(&mut tx, &tenant, above.path()).await?;
    placement::record(&mut tx, tenant.id, Some(reseller_id), env.now()).await?;
    let trail = Scope::Tenant(tenant.id);
    event::record_on(&mut tx, caller, trail, event::Kind::TenantCreated, tenant.id, shown(&tenant)).await?;
    effect::note(&mut tx, caller, Level::Tenant(tenant.id)).await?;
    tx.commit().await?;
    Ok(tenant)
}

fn check(new: &NewTenant, now: DateTime<Utc>) -> Result<Tz, Error> {
    let mut checks = Checks::default();
    checks.name(&new.name, 200, "/name");
    if let Some(external_id) = &new.external_id {
        checks.name(external_id, 200, "/external_id");
    }
    let country_holds = new.country.parse::<Country>().is_ok();
    checks.require(country_holds, "/country", "must be an ISO 3166-1 code of two capital letters");
    let counts = [new.seats_limit, new.domains_limit, new.shared_mailboxes_limit];
    check_limits(&mut checks, counts, new.storage_limit_bytes);
    branding::check(&mut checks, &new.branding);
    checks.require(new.trial_ends_at.is_none_or(|at| at > now), "/trial_ends_at", "must be in the future");
    let time_zone = check_zone(&mut checks, &new.time_zone);
    checks.done().map_err(Error::Invalid)?;
    time_zone.map_err(Error::internal)
}

fn check_zone(checks: &mut Checks, name: &str) -> Result<Tz, ParseError> {
    let time_zone = name.parse::<Tz>();
    checks.require(time_zone.is_ok(), "/time_zone", "must be an IANA time zone such as Europe/Berlin");
    time_zone
}

/// Limits of seats, domains and shared mailboxes, and of bytes.
fn check_limits(checks: &mut Checks, counts: [Option<i32>; 3], storage_bytes: Option<i64>) {
    let detail = "must not be negative";
    for (limit, pointer) in
        counts.into_iter().zip(["/seats/limit", "/domains/limit", "/shared_mailboxes/limit"])
    {
        checks.require(limit.is_none_or(|limit| limit >= 0), pointer, detail);
    }
    checks.require(storage_bytes.is_none_or(|limit| limit >= 0), "/storage/limit_bytes", detail);
}

/// One tenant.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see tenants.
pub async fn get(ctx: &Ctx) -> Result<Tenant, Error> {
    ctx.require(Action::TenantRead)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx).await?.ok_or(Error::NotFound)
}

named! {
    /// How a tenant that is listed stands.
    Status {
        /// On trial.
        Trial = "trial",
        /// Everything works.
        Active = "active",
        /// Capabilities are suspended.
        Suspended = "suspended",
        /// It can be restored.
        Deleted = "deleted",
        /// It was destroyed for good.
        Purged = "purged",
    }
}

/// Which of the tenants that a caller sees are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those that stand so; all but the deleted and the destroyed, if it does not matter.
    pub status: Option<Status>,
    /// Those of this reseller itself.
    pub reseller_id: Option<ResellerId>,
    /// Those that have this id in the system of whoever sells to them.
    pub external_id: Option<String>,
    /// The one that has verified this domain, and those that have it without that.
    pub domain: Option<String>,
}

/// The tenants that the caller sees.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see tenants.
pub async fn list(caller: &Caller, filter: &Filter, page: PageRequest) -> Result<Page<Tenant>, Error> {
    caller.require(Action::TenantRead)?;
    // What is no domain's name is that of none.
    let Ok(domain) = filter.domain.as_deref().map(str::parse::<DomainName>).transpose() else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let (reseller, tenant) = match caller.scope() {
        Scope::Operator => (None, None),
        Scope::Reseller(id) => (Some(id), None),
        Scope::Tenant(id) => (None, Some(caller.enter(id).await?.tenant_id())),
    };
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, (reseller, tenant), filter, domain.as_ref(), &page).await?;
    Ok(Page::cut(rows, &page, |tenant| tenant.id.uuid()))
}

/// Changes a tenant.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`Error::VersionMismatch`] when `if_version` is not the tenant's; an unavailable [`Error::Db`] when a change that
/// locks its mailboxes has waited for one for half a minute.
pub async fn update(ctx: &Ctx, if_version: Option<i64>, change: TenantChange) -> Result<Tenant, Error> {
    ctx.require(Action::TenantWrite)?;
    let mut checks = Checks::default();
    if let Some(name) = &change.name {
        checks.name(name, 200, "/name");
    }
    if let Some(Some(external_id)) = &change.external_id {
        checks.name(external_id, 200, "/external_id");
    }
    let storage_limit = change.storage_limit_bytes.flatten();
    let counts = [change.seats_limit, change.domains_limit, change.shared_mailboxes_limit];
    check_limits(&mut checks, counts.map(Option::flatten), storage_limit);
    branding::check(&mut checks, &change.branding);
    let time_zone = change.time_zone.as_deref().map(|name| check_zone(&mut checks, name));
    checks.done().map_err(Error::Invalid)?;
    let time_zone = time_zone.transpose().map_err(Error::internal)?;
    let mut tx = ctx.begin().await?;
    // Where there is no limit, whoever takes mail in locks mailboxes alone. They are waited for, so that none commits by what held before.
    let dedicates = |tenant: &Tenant| change.storage_dedicated == Some(true) && !tenant.storage_dedicated;
    let locks_mailboxes = |tenant: &Tenant| {
        tenant.storage_limit_bytes.is_none() && (storage_limit.is_some() || dedicates(tenant))
    };
    if store::find(&mut tx).await?.is_some_and(|tenant| locks_mailboxes(&tenant)) {
        // Mailboxes are locked before the levels above them; those that are made meanwhile are counted below. What is locked by then takes no mail
        // while we wait for another.
        db::wait_half_a_minute(tx.conn()).await?;
        quota::count_tenant(&mut tx).await.map_err(db::Error::after_waiting)?;
    }
    let old = store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    let counted = if locks_mailboxes(&old) { Some(quota::count_tenant(&mut tx).await?) } else { None };
    let used_bytes = counted.filter(|_| storage_limit.is_some());
    let branding = branding::changed(&old.branding, &change.branding);
    store::update(&mut tx, &change, used_bytes, &branding).await?;
    if let Some(time_zone) = time_zone.filter(|zone| *zone != old.time_zone) {
        // By the clock as it is now that the tenant is locked.
        let now = old.test_clock.unwrap_or_else(|| ctx.env().now());
        store::set_time_zone(&mut tx, time_zone, now.with_timezone(&old.time_zone).date_naive()).await?;
    }
    if let Some(ends_at) = change.trial_ends_at {
        lifecycle::set_trial(&mut tx, ctx, &old, ends_at).await?;
    }
    mailbox::require_allocation(&mut tx).await?;
    let tenant = store::find(&mut tx).await?.ok_or(Error::NotFound)?;
    if tenant == (Tenant { version: tenant.version, ..old.clone() }) {
        return Ok(old);
    }
    event::record(&mut tx, ctx, event::Kind::TenantUpdated, tenant.id, shown(&tenant)).await?;
    tx.commit().await?;
    Ok(tenant)
}

/// What the trail says of a tenant.
fn shown(tenant: &Tenant) -> serde_json::Value {
    json!({"name": tenant.name, "external_id": tenant.external_id, "country": tenant.country, "currency": tenant.currency.code(),
        "time_zone": tenant.time_zone.name(), "seats": {"limit": tenant.seats_limit}, "domains": {"limit": tenant.domains_limit},
        "shared_mailboxes": {"limit": tenant.shared_mailboxes_limit},
        "storage": {"limit_bytes": tenant.storage_limit_bytes, "allow_overallocation": tenant.allow_overallocation,
            "dedicated": tenant.storage_dedicated},
        "branding": branding::shown(&tenant.branding), "trial_ends_at": tenant.trial_ends_at})
}

/// How a tenant presents itself, with what it inherits.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see tenants.
pub async fn branding(ctx: &Ctx) -> Result<Effective, Error> {
    ctx.require(Action::TenantRead)?;
    let mut tx = ctx.read().await?;
    Ok(branding::effective(branding::of_tenant(&mut tx).await?))
}

/// Takes capabilities from all of a tenant's users and keys, beside those that are taken already; all of them when none
/// is named. What was taken because something is overdue stays taken when that is paid, if it is named here.
///
/// # Errors
/// [`Error::NotFound`] when it has been deleted since it was entered; [`Error::VersionMismatch`] when `if_version` is not the tenant's.
pub async fn suspend(
    ctx: &Ctx,
    if_version: Option<i64>,
    capabilities: &[Capability],
) -> Result<Tenant, Error> {
    set_suspended(ctx, if_version, event::Kind::TenantSuspended, capabilities, Capability::taken).await
}

/// Gives capabilities back, though something may be overdue; all of them when none is named. Each user keeps what was
/// taken from them alone.
///
/// # Errors
/// As [`suspend`].
pub async fn resume(
    ctx: &Ctx,
    if_version: Option<i64>,
    capabilities: &[Capability],
) -> Result<Tenant, Error> {
    set_suspended(ctx, if_version, event::Kind::TenantResumed, capabilities, Capability::given_back).await
}

async fn set_suspended(
    ctx: &Ctx,
    if_version: Option<i64>,
    kind: event::Kind,
    named: &[Capability],
    change: impl FnOnce(&[Capability], &[Capability]) -> Vec<Capability>,
) -> Result<Tenant, Error> {
    ctx.require(Action::TenantWrite)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    let ctx = &ctx.by_clock(old.test_clock);
    let suspended = change(&old.suspended_capabilities, named);
    // Somebody has decided of what is named: it is no longer a payment's to decide.
    let unpaid = Capability::given_back(&old.unpaid_capabilities, named);
    if suspended == old.suspended_capabilities && unpaid == old.unpaid_capabilities {
        return Ok(old);
    }
    store::set_suspended(&mut tx, &suspended, &unpaid).await?;
    let was_suspended = old.suspended_capabilities.iter().copied();
    let given_back: Vec<_> = was_suspended.filter(|one| !suspended.contains(one)).collect();
    if !given_back.is_empty() {
        store::spare(&mut tx, &given_back, standing::today(ctx)).await?;
    }
    standing::append(&mut tx, ctx, Standing::without(suspended.len())).await?;
    let names: Vec<&str> = suspended.iter().map(|capability| capability.as_str()).collect();
    event::record(&mut tx, ctx, kind, old.id, json!({"suspended_capabilities": names})).await?;
    let tenant = store::find(&mut tx).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(tenant)
}

/// Moves a sandbox tenant's time forward to `now`; a deleted one's, too, which is billed to its end and destroyed by that time. Where the clock
/// stands there already, nothing is noted.
///
/// # Errors
/// [`Error::Conflict`] when the tenant lives in real time; [`Error::Invalid`] when `now` is before the clock, more than ten years after it or,
/// of a deleted tenant, more than [`purge::AT_THE_LATEST`] after its deletion; [`Error::NotFound`] when it is destroyed.
pub async fn set_test_clock(ctx: &Ctx, now: DateTime<Utc>) -> Result<Tenant, Error> {
    ctx.require(Action::TenantWrite)?;
    let mut tx = ctx.begin().await?;
    let found = store::find_locked_deleted_too(&mut tx).await?;
    let tenant = found.filter(|tenant| tenant.status != "purged").ok_or(Error::NotFound)?;
    let clock = tenant
        .test_clock
        .ok_or(Error::Conflict { code: "no_test_clock", detail: "this tenant lives in real time" })?;
    let mut checks = Checks::default();
    checks.require(
        now >= clock,
        "/now",
        format_args!("a test clock moves forward only; it stands at {}", clock.to_rfc3339()),
    );
    checks.require(
        now - clock <= TimeDelta::days(3653),
        "/now",
        "a test clock moves at most ten years at a time",
    );
    // Further on it is destroyed though it is not billed, and a round that is under way has looked already for what is to be.
    let last = tenant.deleted_at.map(|at| at + purge::AT_THE_LATEST);
    checks.require(
        last.is_none_or(|last| now <= last),
        "/now",
        "the test clock of a deleted tenant moves at most to 38 days after its deletion",
    );
    checks.done().map_err(Error::Invalid)?;
    if now == clock {
        return Ok(tenant);
    }
    // What came and went while it stood here counts from here on, not from the next instant.
    storage_sample::record_one(&mut tx, clock).await?;
    store::set_test_clock(&mut tx, now).await?;
    // The event itself is of the real time.
    let data = json!({"test_clock": now, "previous_test_clock": clock});
    event::record(&mut tx, ctx, event::Kind::TenantTestClockSet, tenant.id, data).await?;
    if tenant.deleted_at.is_none() && tenant.trial_ends_at.is_some_and(|at| at <= now) {
        lifecycle::suspend_tried(&mut tx, &ctx.by_clock(Some(now))).await?;
    }
    let moved = store::find(&mut tx).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(moved)
}

/// Keeps the tenant from being deleted, and its test clock where it is, until the transaction ends: the context, by that clock.
///
/// # Errors
/// [`Error::NotFound`] when it has been deleted since it was entered.
pub(crate) async fn keep(tx: &mut TenantTx, ctx: &Ctx) -> Result<Ctx, Error> {
    let test_clock = store::keep(tx).await?.ok_or(Error::NotFound)?;
    Ok(ctx.by_clock(test_clock))
}

/// Where tenants are; without those that there are not, or not any more.
pub(crate) async fn places(
    db: &Db,
    ids: &[TenantId],
    user_id: Option<UserId>,
) -> Result<Vec<(TenantId, Place)>, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller is about to enter the tenants, if it may see them"
    )]
    let mut read = SystemRead::open(db).await?;
    store::places(&mut read, ids, user_id).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "before a tenant is entered there is no TenantTx; each call is bounded by a scope"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
