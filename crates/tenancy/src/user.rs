//! Users: people who sign in. Each takes a seat and has one personal mailbox.

mod batch;
pub mod directory;
mod lifecycle;
mod offboard;
mod store;

use chrono::{DateTime, Utc};
use db::Db;
use kernel::{Checks, EmailAddress, MailboxId, Page, PageRequest, TenantId, UserId, named};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::address::{self, Target, Wanted};
use crate::desk::{self, Answer};
use crate::policy::Capability;
use crate::{Action, Ctx, Error, Role, TenantTx, event, mailbox, password, require_version, seats};

pub use batch::{MAX_BATCH, create_batch};
pub use lifecycle::{RESTORABLE, delete, reset_password, restore, resume, suspend};
pub use offboard::{Fate, Leaving, offboard};
pub(crate) use store::lock;

/// The fewest characters a password may have (NIST SP 800-63B §3.1.1).
const MIN_PASSWORD_CHARS: usize = 8;
/// The most, so that hashing one is no way to keep a core busy.
const MAX_PASSWORD_CHARS: usize = 1_024;

/// A person who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their primary address.
    pub address: String,
    /// Further addresses of their mailbox.
    pub aliases: Vec<String>,
    /// Their name as others see it.
    pub display_name: String,
    /// Their given name, if a directory keeps it apart.
    pub given_name: Option<String>,
    /// Their family name, if a directory keeps it apart.
    pub family_name: Option<String>,
    /// What they may do in the tenant.
    pub role: Role,
    /// `active`, `suspended` or `deleted`.
    pub status: String,
    /// What a suspension took away.
    pub suspended_capabilities: Vec<Capability>,
    /// Their personal mailbox.
    pub mailbox_id: MailboxId,
    /// Their id in the customer's directory.
    pub external_id: Option<String>,
    /// When they were created, in the tenant's time.
    pub created_at: DateTime<Utc>,
    /// When they were deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Counts their changes.
    pub version: i64,
}

/// What a new user is made of.
#[derive(Debug)]
pub struct NewUser {
    /// The primary address, in a domain of the tenant.
    pub address: String,
    /// Further addresses, each in a domain of the tenant.
    pub aliases: Vec<String>,
    /// The name as others see it; the address when empty.
    pub display_name: String,
    /// The given name, if a directory keeps it apart.
    pub given_name: Option<String>,
    /// The family name, if a directory keeps it apart.
    pub family_name: Option<String>,
    /// What they may do in the tenant.
    pub role: Role,
    /// For signing in; without one they cannot.
    pub password: Option<SecretString>,
    /// The mailbox's quota; `None` is unlimited.
    pub quota_bytes: Option<i64>,
    /// Their id in the customer's directory.
    pub external_id: Option<String>,
}

/// What of a user is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// A new primary address. The old one stays, as an alias, unless `aliases` says otherwise.
    pub address: Option<String>,
    /// All further addresses.
    pub aliases: Option<Vec<String>>,
    /// A new name.
    pub display_name: Option<String>,
    /// A new given name; `Some(None)` takes it away.
    pub given_name: Option<Option<String>>,
    /// A new family name; `Some(None)` takes it away.
    pub family_name: Option<Option<String>>,
    /// A new role.
    pub role: Option<Role>,
    /// A new id in the customer's directory; `Some(None)` takes it away.
    pub external_id: Option<Option<String>>,
}

/// Creates a user with a personal mailbox and takes a seat, all or nothing.
///
/// # Errors
/// [`Error::Exhausted`] when a cap above is reached; [`Error::Conflict`] `address_taken`, `external_id_taken`;
/// [`Error::Invalid`]; [`Error::Forbidden`] when the role is beyond the caller's; [`Error::Busy`].
pub async fn create(ctx: &Ctx, new: NewUser) -> Result<User, Error> {
    ctx.require(Action::UserWrite)?;
    let prepared = prepare(ctx, new).await?;
    let mut tx = ctx.begin().await?;
    let user = insert(&mut tx, ctx, prepared).await?;
    seat(&mut tx, ctx, user.id).await?;
    tx.commit().await?;
    Ok(user)
}

/// A new user that was checked, before any transaction: hashing a password takes its time.
struct Prepared {
    user: User,
    primary: EmailAddress,
    aliases: Vec<EmailAddress>,
    password_hash: Option<String>,
    quota_bytes: Option<i64>,
}

async fn prepare(ctx: &Ctx, new: NewUser) -> Result<Prepared, Error> {
    let (primary, aliases) = check(&new)?;
    if !ctx.caller().holds(new.role) {
        return Err(Error::Forbidden("giving a role beyond one's own"));
    }
    let password_hash = match new.password {
        Some(password) => Some(password::hash(ctx.caller(), password).await?),
        None => None,
    };
    let user = User {
        id: ctx.env().new_id(),
        address: primary.to_string(),
        aliases: aliases.iter().map(EmailAddress::to_string).collect(),
        display_name: if new.display_name.is_empty() { primary.to_string() } else { new.display_name },
        given_name: new.given_name,
        family_name: new.family_name,
        role: new.role,
        status: "active".into(),
        suspended_capabilities: Vec::new(),
        mailbox_id: ctx.env().new_id(),
        external_id: new.external_id,
        created_at: ctx.now(),
        deleted_at: None,
        version: 1,
    };
    Ok(Prepared { user, primary, aliases, password_hash, quota_bytes: new.quota_bytes })
}

async fn insert(tx: &mut TenantTx, ctx: &Ctx, new: Prepared) -> Result<User, Error> {
    let user = new.user;
    let inserted = store::insert(tx, &user, new.password_hash.as_deref(), new.quota_bytes).await;
    inserted.map_err(taken)?;
    address::add_all(tx, ctx, Target::Mailbox(user.mailbox_id), Some(&new.primary), &new.aliases).await?;
    event::record(tx, ctx, event::Kind::UserCreated, user.id, shown(&user)).await?;
    Ok(user)
}

/// Takes the seat of a user that was inserted. Last, since its locks are shared by all of the tenant's and the reseller's users.
async fn seat(tx: &mut TenantTx, ctx: &Ctx, user: UserId) -> Result<(), Error> {
    seats::take(tx, ctx, &[user]).await?;
    mailbox::require_allocation(tx).await
}

/// Changes a user; what they are already leaves no trace.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`] when `if_version` is not the user's; [`Error::Conflict`] as
/// [`create`]; [`Error::Invalid`]; [`Error::Forbidden`] when the user's role, old or new, is beyond the caller's, and for other
/// aliases without the right to change aliases.
pub async fn update(
    ctx: &Ctx,
    id: UserId,
    if_version: Option<i64>,
    change: UserChange,
) -> Result<User, Error> {
    ctx.require(Action::UserWrite)?;
    let wanted = check_change(&change)?;
    let mut tx = ctx.begin().await?;
    let old = require_not_deleted(&mut tx, ctx, id).await?;
    require_version(if_version, old.version)?;
    if changes_aliases(&old, &wanted) {
        ctx.require(Action::AliasWrite)?;
    }
    let user = apply(&mut tx, ctx, &old, &change, wanted).await?;
    if user == (User { version: user.version, ..old.clone() }) {
        return Ok(old);
    }
    tx.commit().await?;
    Ok(user)
}

/// Makes a checked change of a locked user; who they are then.
async fn apply(
    tx: &mut TenantTx,
    ctx: &Ctx,
    old: &User,
    change: &UserChange,
    wanted: Wanted,
) -> Result<User, Error> {
    if change.role.is_some_and(|role| !ctx.caller().holds(role)) {
        return Err(Error::Forbidden("giving a role beyond one's own"));
    }
    store::update(tx, old.id, change).await.map_err(taken)?;
    if wanted.primary.is_some() || wanted.aliases.is_some() {
        address::change(tx, ctx, Target::Mailbox(old.mailbox_id), wanted).await?;
    }
    let user = store::find(tx, old.id).await?.ok_or(Error::NotFound)?;
    event::record(tx, ctx, event::Kind::UserUpdated, old.id, shown(&user)).await?;
    Ok(user)
}

fn changes_aliases(old: &User, wanted: &Wanted) -> bool {
    address::changes_aliases(Some(&old.address), &old.aliases, wanted)
}

fn taken(error: db::Error) -> Error {
    match error.constraint() {
        Some("users_external_id_once") => {
            Error::conflict_at("/external_id", "external_id_taken", "another user has this external_id")
        }
        _ => error.into(),
    }
}

/// What the trail says of a user.
fn shown(user: &User) -> serde_json::Value {
    json!({"address": user.address, "aliases": user.aliases, "display_name": user.display_name,
        "role": user.role.as_str(), "mailbox_id": user.mailbox_id, "external_id": user.external_id})
}

/// As [`require_manageable`], for callers who can see a deleted user and are told that they are one.
///
/// # Errors
/// As that; [`Error::Conflict`] `user_deleted`.
async fn require_not_deleted(tx: &mut TenantTx, ctx: &Ctx, id: UserId) -> Result<User, Error> {
    let found = require_manageable(tx, ctx, id).await;
    if matches!(found, Err(Error::NotFound)) && store::find(tx, id).await?.is_some() {
        return Err(Error::conflict("user_deleted", "the user is deleted; they can be restored for 30 days"));
    }
    found
}

/// The user, locked, if there is one and their role is not beyond the caller's.
pub(crate) async fn require_manageable(tx: &mut TenantTx, ctx: &Ctx, id: UserId) -> Result<User, Error> {
    store::lock(tx, id).await?;
    let user = store::find(tx, id).await?.filter(|user| user.deleted_at.is_none()).ok_or(Error::NotFound)?;
    if ctx.is_user(id) {
        return Ok(user);
    }
    if !ctx.caller().holds(user.role) {
        return Err(Error::Forbidden("changing a user with a role beyond one's own"));
    }
    // Whoever may give somebody a password may sign in as them, read what they may read, and send as whom they may.
    for role in store::roles_delegated_to(tx, id).await? {
        if !ctx.caller().holds(role) {
            return Err(Error::Forbidden("changing a user who may use a mailbox of a role beyond one's own"));
        }
    }
    Ok(user)
}

/// Counts a user as changed.
pub(crate) async fn touch(tx: &mut TenantTx, id: UserId) -> Result<(), db::Error> {
    store::update(tx, id, &UserChange::default()).await
}

/// # Errors
/// [`Error::NotFound`] when the tenant has no such user, or none any more.
pub(crate) async fn require_exists(tx: &mut TenantTx, id: UserId) -> Result<(), Error> {
    store::find(tx, id).await?.filter(|user| user.deleted_at.is_none()).ok_or(Error::NotFound)?;
    Ok(())
}

fn check_change(change: &UserChange) -> Result<Wanted, Error> {
    let mut checks = Checks::default();
    let primary = change.address.as_deref().and_then(|text| address::check(&mut checks, text, "/address"));
    let aliases = change.aliases.as_deref().map(|texts| address::check_aliases(&mut checks, texts));
    if let Some(name) = &change.display_name {
        checks.name(name, 200, "/display_name");
    }
    let texts = [
        (&change.given_name, "/given_name"),
        (&change.family_name, "/family_name"),
        (&change.external_id, "/external_id"),
    ];
    for (text, pointer) in texts {
        if let Some(Some(text)) = text {
            checks.name(text, 200, pointer);
        }
    }
    if let Some(role) = change.role {
        check_role(&mut checks, role);
    }
    checks.done().map_err(Error::Invalid)?;
    Ok(Wanted { primary, aliases, ..Wanted::default() })
}

fn check(new: &NewUser) -> Result<(EmailAddress, Vec<EmailAddress>), Error> {
    let mut checks = Checks::default();
    let primary = address::check(&mut checks, &new.address, "/address");
    let aliases = address::check_aliases(&mut checks, &new.aliases);
    if !new.display_name.is_empty() {
        checks.name(&new.display_name, 200, "/display_name");
    }
    let texts = [
        (&new.given_name, "/given_name"),
        (&new.family_name, "/family_name"),
        (&new.external_id, "/external_id"),
    ];
    for (text, pointer) in texts {
        if let Some(text) = text {
            checks.name(text, 200, pointer);
        }
    }
    if let Some(password) = &new.password {
        check_password(&mut checks, password);
    }
    checks.require(new.quota_bytes.is_none_or(|bytes| bytes >= 0), "/quota_bytes", "must not be negative");
    check_role(&mut checks, new.role);
    checks.done().map_err(Error::Invalid)?;
    let primary = primary.ok_or_else(|| Error::invalid("/address", "is missing"))?;
    Ok((primary, aliases))
}

fn check_role(checks: &mut Checks, role: Role) {
    let holds = matches!(role, Role::TenantAdmin | Role::TenantBilling | Role::Helpdesk | Role::User);
    checks.require(holds, "/role", "must be tenant_admin, tenant_billing, helpdesk or user");
}

fn check_password(checks: &mut Checks, password: &SecretString) {
    let length = password.expose_secret().chars().count();
    let detail = format_args!("must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters");
    checks.require((MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&length), "/password", detail);
}

/// One user.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such user.
pub async fn get(ctx: &Ctx, id: UserId) -> Result<User, Error> {
    ctx.require(Action::UserRead)?;
    let found = ctx.caller().users().ask(ctx.db(), One { ctx: ctx.clone(), id }).await?;
    found.ok_or(Error::NotFound)
}

/// One user that is looked up together with those that others look up in the tenant.
#[derive(Debug)]
pub(crate) struct One {
    ctx: Ctx,
    id: UserId,
}

impl desk::Question for One {
    type Found = User;
    type Lane = TenantId;

    fn lane(&self) -> TenantId {
        self.ctx.tenant_id()
    }

    async fn look_up(_: &Db, questions: &[Self]) -> Result<Vec<Answer<Self>>, db::Error> {
        let Some(One { ctx, .. }) = questions.first() else { return Ok(Vec::new()) };
        let ids: Vec<UserId> = questions.iter().map(|one| one.id).collect();
        store::find_each(&mut *ctx.read().await?, &ids).await
    }
}

named! {
    /// How a user stands.
    Status {
        /// They have all capabilities.
        Active = "active",
        /// Some are suspended.
        Suspended = "suspended",
        /// They can be restored.
        Deleted = "deleted",
    }
}

/// Which users are asked for: those of whom all of this holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those who stand so; all but the deleted, if it does not matter.
    pub status: Option<Status>,
    /// Only those with this role.
    pub role: Option<Role>,
    /// Only the one with this id in the customer's directory.
    pub external_id: Option<String>,
    /// Only the one with this address, primary or not.
    pub address: Option<String>,
}

/// The tenant's users.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see users.
pub async fn list(ctx: &Ctx, filter: &Filter, page: PageRequest) -> Result<Page<User>, Error> {
    ctx.require(Action::UserRead)?;
    let Some(address) = address::looked_for(filter.address.as_deref()) else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, filter, address.as_ref(), &page).await?;
    Ok(Page::cut(rows, &page, |user| user.id.uuid()))
}
