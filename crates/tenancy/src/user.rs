//! Users: people who sign in. Each takes a seat and has one personal mailbox.

mod store;

use chrono::{DateTime, Utc};
use kernel::{Checks, EmailAddress, MailboxId, Page, PageRequest, UserId};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Action, Ctx, Error, Role, password, seats};

/// The fewest characters a password may have (NIST SP 800-63B §3.1.1).
const MIN_PASSWORD_CHARS: usize = 8;
/// The most, so that hashing one is no way to keep a core busy.
const MAX_PASSWORD_CHARS: usize = 1_024;

/// A person who signs in.
#[derive(Debug, Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their primary address.
    pub address: String,
    /// Further addresses of their mailbox.
    pub aliases: Vec<String>,
    /// Their name as others see it.
    pub display_name: String,
    /// What they may do in the tenant.
    pub role: Role,
    /// `active`, `suspended` or `deleted`.
    pub status: String,
    /// What a suspension took away.
    pub suspended_capabilities: Vec<String>,
    /// Their personal mailbox.
    pub mailbox_id: MailboxId,
    /// Their id in the customer's directory.
    pub external_id: Option<String>,
    /// When they were created, in the tenant's time.
    pub created_at: DateTime<Utc>,
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
    /// What they may do in the tenant.
    pub role: Role,
    /// For signing in; without one they cannot.
    pub password: Option<SecretString>,
    /// The mailbox's quota; `None` is unlimited.
    pub quota_bytes: Option<i64>,
    /// Their id in the customer's directory.
    pub external_id: Option<String>,
}

/// Creates a user with a personal mailbox and takes a seat, all or nothing.
///
/// # Errors
/// [`Error::SeatsExhausted`] when a cap above is reached; [`Error::Conflict`] `address_taken`; [`Error::Invalid`];
/// [`Error::Forbidden`] when the role is beyond the caller's.
pub async fn create(ctx: &Ctx, new: NewUser) -> Result<User, Error> {
    ctx.require(Action::UserWrite)?;
    let (primary, aliases) = check(&new)?;
    if !ctx.caller().holds(new.role) {
        return Err(Error::Forbidden("giving a role beyond one's own"));
    }
    let password_hash = match new.password {
        Some(password) => Some(password::hash(ctx.env(), password).await?),
        None => None,
    };
    let user = User {
        id: ctx.env().new_id(),
        address: primary.to_string(),
        aliases: aliases.iter().map(EmailAddress::to_string).collect(),
        display_name: if new.display_name.is_empty() { primary.to_string() } else { new.display_name },
        role: new.role,
        status: "active".into(),
        suspended_capabilities: Vec::new(),
        mailbox_id: ctx.env().new_id(),
        external_id: new.external_id,
        created_at: ctx.now(),
    };
    let mut tx = ctx.begin().await?;
    store::insert(&mut tx, &user, password_hash.as_deref(), new.quota_bytes).await?;
    for (at, address) in std::iter::once(&primary).chain(&aliases).enumerate() {
        let pointer = if at == 0 { "/address".to_owned() } else { format!("/aliases/{}", at - 1) };
        let added = store::add_address(&mut tx, user.mailbox_id, address, at == 0).await;
        let added = added.map_err(|error| match error.constraint() {
            Some("addresses_once" | "addresses_once_a_mailbox") => Error::Conflict {
                code: "address_taken",
                detail: "an address of the request is in use already",
            },
            _ => error.into(),
        })?;
        if !added {
            return Err(Error::invalid(&pointer, "the tenant has no such domain"));
        }
    }
    // Last, since its locks are shared by all of the tenant's and the reseller's users.
    seats::take(&mut tx, ctx, user.id).await?;
    tx.commit().await?;
    Ok(user)
}

fn check(new: &NewUser) -> Result<(EmailAddress, Vec<EmailAddress>), Error> {
    let mut checks = Checks::default();
    let mut addresses = Vec::new();
    for (at, text) in std::iter::once(&new.address).chain(&new.aliases).enumerate() {
        let pointer = if at == 0 { "/address".to_owned() } else { format!("/aliases/{}", at - 1) };
        match text.parse::<EmailAddress>() {
            Ok(address) => addresses.push(address),
            Err(cause) => checks.require(false, &pointer, cause),
        }
    }
    if !new.display_name.is_empty() {
        checks.name(&new.display_name, 200, "/display_name");
    }
    if let Some(external_id) = &new.external_id {
        checks.name(external_id, 200, "/external_id");
    }
    if let Some(password) = &new.password {
        let length = password.expose_secret().chars().count();
        let holds = (MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&length);
        checks.require(
            holds,
            "/password",
            format_args!("must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"),
        );
    }
    checks.require(new.quota_bytes.is_none_or(|bytes| bytes >= 0), "/quota_bytes", "must not be negative");
    let role_holds =
        matches!(new.role, Role::TenantAdmin | Role::TenantBilling | Role::Helpdesk | Role::User);
    checks.require(role_holds, "/role", "must be tenant_admin, tenant_billing, helpdesk or user");
    checks.done().map_err(Error::Invalid)?;
    let mut addresses = addresses.into_iter();
    let primary = addresses.next().ok_or_else(|| Error::invalid("/address", "is missing"))?;
    Ok((primary, addresses.collect()))
}

/// One user.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such user.
pub async fn get(ctx: &Ctx, id: UserId) -> Result<User, Error> {
    ctx.require(Action::UserRead)?;
    let mut tx = ctx.begin().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// The tenant's users, without the deleted.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see users.
pub async fn list(ctx: &Ctx, page: PageRequest) -> Result<Page<User>, Error> {
    ctx.require(Action::UserRead)?;
    let mut tx = ctx.begin().await?;
    let rows = store::list(&mut tx, &page).await?;
    Ok(Page::cut(rows, &page, |user| user.id.uuid()))
}

/// Deletes a user: frees the seat and the addresses, and keeps the mail.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such user, or none any more; [`Error::Forbidden`] when the user's role
/// is beyond the caller's.
pub async fn delete(ctx: &Ctx, id: UserId) -> Result<(), Error> {
    ctx.require(Action::UserWrite)?;
    let mut tx = ctx.begin().await?;
    let user = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if !ctx.caller().holds(user.role) {
        return Err(Error::Forbidden("deleting a user with a role beyond one's own"));
    }
    if !store::delete(&mut tx, id, ctx.now()).await? {
        return Err(Error::NotFound);
    }
    seats::free(&mut tx, ctx, id).await?;
    tx.commit().await?;
    Ok(())
}
