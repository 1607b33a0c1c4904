//! App passwords: one for each program of a person's, for some protocols, so that a lost phone costs one of them.

pub(crate) mod scram;
pub(crate) mod store;

use chrono::{DateTime, Utc};
use db::Db;
use kernel::{AppPasswordId, Checks, Env, Page, PageRequest, TenantId, UserId};
use sasl::scram::Keys;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::policy::Capability;
use crate::{Action, Ctx, Error, api_key, event, user};

/// The protocols that one can be for.
pub const PROTOCOLS: [Capability; 4] =
    [Capability::Imap, Capability::Pop3, Capability::Send, Capability::Sync];
/// How many a person may have.
const MAX_PER_USER: i64 = 50;
/// Without letters and digits that are mistaken for others; 32 of them, so that each holds five bits.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// An app password, without its secret.
#[derive(Debug, Clone)]
pub struct AppPassword {
    /// Its id.
    pub id: AppPasswordId,
    /// What it is for, as the person says.
    pub name: String,
    /// The protocols it is good for.
    pub protocols: Vec<Capability>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What a new one is made of.
#[derive(Debug, Clone)]
pub struct NewAppPassword {
    /// What it is for, 1 to 100 characters.
    pub name: String,
    /// The protocols it is to be good for, of `imap`, `pop3`, `send`, `sync`; at least one.
    pub protocols: Vec<Capability>,
    /// When it ends; `None`: when it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Creates one for a user. The secret is returned here and never again.
///
/// # Errors
/// [`Error::NotFound`] for no such user; [`Error::Invalid`]; [`Error::Conflict`] `too_many_app_passwords`.
pub async fn create(
    ctx: &Ctx,
    user_id: UserId,
    new: NewAppPassword,
) -> Result<(AppPassword, SecretString), Error> {
    ctx.require_of_user(Action::AppPasswordWrite, user_id)?;
    let now = ctx.env().now();
    let mut checks = Checks::default();
    checks.name(&new.name, 100, "/name");
    checks.require(!new.protocols.is_empty(), "/protocols", "must name at least one protocol");
    for (at, protocol) in new.protocols.iter().enumerate() {
        let pointer = format!("/protocols/{at}");
        checks.require(PROTOCOLS.contains(protocol), &pointer, "must be imap, pop3, send or sync");
    }
    checks.require(new.expires_at.is_none_or(|at| at > now), "/expires_at", "must be in the future");
    checks.done().map_err(Error::Invalid)?;
    let mut protocols = new.protocols;
    protocols.sort_unstable();
    protocols.dedup();
    let password = AppPassword {
        id: ctx.env().new_id(),
        name: new.name,
        protocols,
        created_at: now,
        expires_at: new.expires_at,
        last_used_at: None,
    };
    let secret = generate(ctx.env());
    let hash = api_key::hash(&normalized(secret.expose_secret()));
    let shown = secret.clone();
    // Some milliseconds, in which no session and no other's transaction is to wait.
    let keys = tokio::task::spawn_blocking(move || scram::keys(shown.expose_secret()));
    let keys = keys.await.map_err(Error::internal)?;
    let mut tx = ctx.begin().await?;
    user::require_manageable(&mut tx, ctx, user_id).await?;
    if store::count(&mut tx, user_id).await? >= MAX_PER_USER {
        return Err(Error::conflict("too_many_app_passwords", "a user may have at most 50 app passwords"));
    }
    store::insert(&mut tx, user_id, &password, &hash, &keys).await?;
    let protocols: Vec<&str> = password.protocols.iter().map(|protocol| protocol.as_str()).collect();
    let data = json!({"user_id": user_id, "name": password.name, "protocols": protocols});
    event::record(&mut tx, ctx, event::Kind::AppPasswordCreated, password.id, data).await?;
    tx.commit().await?;
    Ok((password, secret))
}

/// A user's app passwords.
///
/// # Errors
/// [`Error::NotFound`] for no such user.
pub async fn list(ctx: &Ctx, user_id: UserId, page: PageRequest) -> Result<Page<AppPassword>, Error> {
    ctx.require_of_user(Action::AppPasswordRead, user_id)?;
    let mut tx = ctx.read().await?;
    user::require_exists(&mut tx, user_id).await?;
    let rows = store::list(&mut tx, user_id, &page).await?;
    Ok(Page::cut(rows, &page, |password| password.id.uuid()))
}

/// Revokes one; from then on it proves nothing.
///
/// # Errors
/// [`Error::NotFound`] when the user has no such app password.
pub async fn revoke(ctx: &Ctx, user_id: UserId, id: AppPasswordId) -> Result<(), Error> {
    ctx.require_of_user(Action::AppPasswordWrite, user_id)?;
    let mut tx = ctx.begin().await?;
    user::require_manageable(&mut tx, ctx, user_id).await?;
    if !store::delete(&mut tx, user_id, id).await? {
        return Err(Error::NotFound);
    }
    event::record(&mut tx, ctx, event::Kind::AppPasswordRevoked, id, json!({"user_id": user_id})).await?;
    tx.commit().await?;
    Ok(())
}

/// The one of the user's app passwords that a password is, in force, for the protocol.
pub(crate) async fn find(
    db: &Db,
    tenant_id: TenantId,
    user_id: UserId,
    protocol: Capability,
    password: &SecretString,
) -> Result<Option<AppPasswordId>, Error> {
    let hash = api_key::hash(&normalized(password.expose_secret()));
    let mut tx = api_key::system(db).await?;
    let found = store::use_one(&mut tx, tenant_id, user_id, protocol, &hash, db.env().now()).await?;
    if found.is_some() {
        tx.commit().await?;
    }
    Ok(found)
}

/// What the user's app passwords are proven by, of those in force for the protocol.
pub(crate) async fn keys(
    db: &Db,
    tenant_id: TenantId,
    user_id: UserId,
    protocol: Capability,
) -> Result<Vec<(AppPasswordId, Keys)>, Error> {
    let mut read = api_key::lookup(db).await?;
    let found = store::keys(&mut read, tenant_id, user_id, protocol, db.env().now()).await?;
    let pairs = found.iter().flat_map(|(id, column)| scram::from_column(column).map(|keys| (*id, keys)));
    Ok(pairs.collect())
}

/// Notes that one of a user's was used, if it is still in force for the protocol; whether it is.
pub(crate) async fn used(
    db: &Db,
    tenant_id: TenantId,
    user_id: UserId,
    protocol: Capability,
    id: AppPasswordId,
) -> Result<bool, Error> {
    let mut tx = api_key::system(db).await?;
    let is = store::use_that(&mut tx, tenant_id, user_id, protocol, id, db.env().now()).await?;
    tx.commit().await?;
    Ok(is)
}

/// Whether one is still in force, for the protocol.
pub(crate) async fn is_in_force(
    db: &Db,
    tenant_id: TenantId,
    id: AppPasswordId,
    protocol: Capability,
) -> Result<bool, Error> {
    let mut read = api_key::lookup(db).await?;
    Ok(store::is_in_force(&mut read, tenant_id, id, protocol, db.env().now()).await?)
}

/// Five groups of five characters: 125 random bits that can be typed off a screen.
fn generate(env: &Env) -> SecretString {
    let letters = env.random::<25>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    let groups: Vec<String> = letters.chunks(5).map(|group| group.iter().collect()).collect();
    groups.join("-").into()
}

/// As people type it: with or without the dashes, in either case.
fn normalized(secret: &str) -> String {
    secret.chars().filter(|c| *c != '-' && *c != ' ').flat_map(char::to_lowercase).collect()
}
