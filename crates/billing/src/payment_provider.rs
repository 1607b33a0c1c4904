//! By which provider a reseller takes money from its tenants. Its secrets are written and never shown.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemRead, SystemTx};
use kernel::{Checks, ResellerId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tenancy::{Action, Caller, ResellerCtx, Scope, event, require_version, reseller};

use crate::Error;

/// The only provider so far: Stripe, or one that speaks its API.
pub const STRIPE: &str = "stripe";

/// For how long a key that was refused is not asked with by itself: a day less the hour in which it is looked.
const REST: TimeDelta = TimeDelta::hours(23);

/// A reseller's provider, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentProvider {
    /// Whose it is.
    pub reseller_id: ResellerId,
    /// [`STRIPE`].
    pub provider: String,
    /// Whether it is asked for new payments. Those under way are followed all the same.
    pub is_enabled: bool,
    /// When it last refused the key; `None`: not since it was put, or it has taken it since.
    pub refused_at: Option<DateTime<Utc>>,
    /// When it was put last.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What a provider is put as.
#[derive(Debug, Clone)]
pub struct PutPaymentProvider {
    /// The key that charges are made with, 1 to 255 printable characters.
    pub secret_key: SecretString,
    /// The secret that the provider signs its events by, likewise.
    pub webhook_secret: SecretString,
    /// Whether it is to be asked for new payments.
    pub is_enabled: bool,
}

/// A provider with its secrets.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) is_enabled: bool,
    pub(crate) refused_at: Option<DateTime<Utc>>,
    pub(crate) secret_key: SecretString,
    pub(crate) webhook_secret: SecretString,
}

impl Secrets {
    /// Whether the key was refused so lately that only somebody who asks has it tried.
    pub(crate) fn is_resting(&self, now: DateTime<Utc>) -> bool {
        self.refused_at.is_some_and(|at| now < at + REST)
    }
}

/// The reseller's provider.
///
/// # Errors
/// [`Error::NotFound`] when it has none; [`Error::Tenancy`] without the right to see it.
pub async fn get(ctx: &ResellerCtx) -> Result<PaymentProvider, Error> {
    ctx.require(Action::PaymentProviderRead)?;
    let mut read = read(ctx.db()).await?;
    store::find(read.conn(), ctx.reseller_id()).await?.ok_or(Error::NotFound)
}

/// Puts the reseller's provider, whole.
///
/// # Errors
/// [`Error::Invalid`] for secrets that no header can carry; [`Error::Conflict`] `payments_under_way` for another
/// `secret_key`, which may be another account's, while payments or refunds are open that only the present one can find; a
/// version mismatch when `if_version` is not the one there is.
pub async fn put(
    ctx: &ResellerCtx,
    put: &PutPaymentProvider,
    if_version: Option<i64>,
) -> Result<PaymentProvider, Error> {
    ctx.require(Action::PaymentProviderWrite)?;
    let mut checks = Checks::default();
    for (secret, pointer) in [(&put.secret_key, "/secret_key"), (&put.webhook_secret, "/webhook_secret")] {
        let text = secret.expose_secret();
        let is_good = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        checks.require(is_good, pointer, "must have 1 to 255 printable characters of ASCII, without spaces");
    }
    checks.done().map_err(Error::Invalid)?;
    let mut tx = system(ctx.db()).await?;
    reseller::require_there(&mut tx, ctx.reseller_id()).await?;
    let old = store::find_locked(&mut tx, ctx.reseller_id()).await?;
    require_version(if_version, old.map_or(0, |old| old.version))?;
    let old_key = store::secrets(tx.conn(), ctx.reseller_id()).await?.map(|old| old.secret_key);
    if old_key.is_some_and(|old| old.expose_secret() != put.secret_key.expose_secret()) {
        require_none_open(&mut tx, ctx.reseller_id(), "payments are under way by the present key").await?;
    }
    let provider = store::put(&mut tx, ctx.reseller_id(), put, ctx.db().env().now()).await?;
    tell(&mut tx, ctx, json!({"has_payment_provider": true, "enabled": put.is_enabled})).await?;
    tx.commit().await?;
    Ok(provider)
}

/// Forgets the reseller's provider and its secrets.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] `payments_under_way` while it may still say what comes of one; a version
/// mismatch as for [`put`].
pub async fn delete(ctx: &ResellerCtx, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::PaymentProviderWrite)?;
    let mut tx = system(ctx.db()).await?;
    let old = store::find_locked(&mut tx, ctx.reseller_id()).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    forget(&mut tx, ctx).await?;
    tx.commit().await?;
    Ok(())
}

/// As [`delete`], for a reseller that goes itself and may have none.
pub(crate) async fn delete_in(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<(), Error> {
    if store::find_locked(tx, ctx.reseller_id()).await?.is_some() {
        forget(tx, ctx).await?;
    }
    Ok(())
}

async fn forget(tx: &mut SystemTx, ctx: &ResellerCtx) -> Result<(), Error> {
    let detail = "payments are under way by this provider; disable it, and delete it when they have ended";
    require_none_open(tx, ctx.reseller_id(), detail).await?;
    store::delete(tx, ctx.reseller_id()).await?;
    tell(tx, ctx, json!({"has_payment_provider": false})).await?;
    Ok(())
}

async fn require_none_open(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    detail: &'static str,
) -> Result<(), Error> {
    if store::has_open(tx, reseller_id).await? {
        return Err(Error::Conflict { code: "payments_under_way", detail });
    }
    Ok(())
}

/// Notes a change on the reseller's trail.
async fn tell(tx: &mut SystemTx, ctx: &ResellerCtx, data: serde_json::Value) -> Result<(), db::Error> {
    let (id, kind) = (ctx.reseller_id(), event::Kind::PaymentProviderChanged);
    event::record_on(tx, ctx.caller(), Scope::Reseller(id), kind, id, data).await
}

/// With its secrets, to be used and not to be shown.
pub(crate) async fn secrets(db: &Db, reseller_id: ResellerId) -> Result<Option<Secrets>, Error> {
    let mut read = read(db).await?;
    Ok(store::secrets(read.conn(), reseller_id).await?)
}

/// As [`secrets`], for one who has just committed an open payment or refund: waits for whoever is putting others, and those
/// that are there then stay until it ends.
pub(crate) async fn kept_secrets(db: &Db, reseller_id: ResellerId) -> Result<Option<Secrets>, Error> {
    let mut tx = system(db).await?;
    store::wait_for_put(&mut tx, reseller_id).await?;
    Ok(store::secrets(tx.conn(), reseller_id).await?)
}

/// Notes that a key was refused, with the provider's code, or taken: unless another was put meanwhile. That it is refused is
/// told once, until it was taken.
pub(crate) async fn note_key(
    caller: &Caller,
    id: ResellerId,
    asked_with: &Secrets,
    refused: Option<&str>,
) -> Result<(), Error> {
    if refused.is_none() && asked_with.refused_at.is_none() {
        return Ok(());
    }
    let mut tx = system(caller.db()).await?;
    let at = refused.map(|_| caller.db().env().now());
    let is_news = store::note_key(&mut tx, id, asked_with, at).await?;
    if let Some(code) = refused
        && is_news
    {
        tracing::warn!(reseller.id = %id, failure.code = code, "a payment provider refuses its key");
        let kind = event::Kind::PaymentProviderRefused;
        event::record_on(&mut tx, caller, Scope::Reseller(id), kind, id, json!({"failure_code": code}))
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a provider is a reseller's, and its secrets are no tenant's to see"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}

#[expect(clippy::disallowed_methods, reason = "as of `system`")]
async fn read(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
