//! Sending limits: to how many recipients a mailbox, a tenant and a reseller's tenants may write in an hour and in a day.
//!
//! A stolen account or a script gone wild stops there, before the world stops taking mail from everybody here. Every recipient counts, also one
//! of this installation. They are counted in the transaction that accepts their message, under a lock of each level: never one too many.

mod store;
mod window;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Checks, MailboxId, ResellerId, named};
use serde_json::json;
use tenancy::{Action, Ctx, ResellerCtx, Scope, TenantTx, event, require_version, tenant};

use crate::Error;

/// To how many recipients a mailbox may write in an hour where nothing else is said.
pub const MAILBOX_PER_HOUR: i32 = 500;
/// The same in a day.
pub const MAILBOX_PER_DAY: i32 = 2_000;

named! {
    /// Whose limit it is.
    LimitLevel {
        /// A mailbox's.
        Mailbox = "mailbox",
        /// Of all a tenant's mailboxes together.
        Tenant = "tenant",
        /// Of all tenants of a reseller and of those below it together.
        Reseller = "reseller",
    }
}

impl LimitLevel {
    fn default(self) -> Bounds {
        match self {
            Self::Mailbox => Bounds { per_hour: Some(MAILBOX_PER_HOUR), per_day: Some(MAILBOX_PER_DAY) },
            Self::Tenant | Self::Reseller => Bounds::default(),
        }
    }
}

/// How many recipients; `None` for as many as they like, or to put, for the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// In any hour.
    pub per_hour: Option<i32>,
    /// In any day.
    pub per_day: Option<i32>,
}

impl Bounds {
    fn or(self, default: Self) -> Self {
        Self { per_hour: self.per_hour.or(default.per_hour), per_day: self.per_day.or(default.per_day) }
    }

    fn check(self) -> Result<(), Error> {
        let mut checks = Checks::default();
        let is_sign = |bound: Option<i32>| bound.is_none_or(|bound| bound >= 0);
        checks.require(is_sign(self.per_hour), "/recipients_per_hour", "must not be negative");
        checks.require(is_sign(self.per_day), "/recipients_per_day", "must not be negative");
        Ok(checks.done().map_err(tenancy::Error::Invalid)?)
    }
}

/// A limit, and what is used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What holds.
    pub bounds: Bounds,
    /// Recipients that were counted in the last hour, and up to ten minutes before it.
    pub last_hour: i64,
    /// The same in the last day.
    pub last_day: i64,
    /// When it was put; `None` as long as the default holds.
    pub updated_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub version: i64,
}

/// A mailbox's limit.
///
/// # Errors
/// `Forbidden` by role; [`Error::NotFound`].
pub async fn of_mailbox(ctx: &Ctx, mailbox_id: MailboxId) -> Result<Limit, Error> {
    ctx.require_mailbox(Action::MailboxRead, mailbox_id)?;
    let row = store::of_mailbox(&mut *ctx.read().await?, mailbox_id).await?.ok_or(Error::NotFound)?;
    Ok(row.shown(LimitLevel::Mailbox, ctx.env().now()))
}

/// Puts a mailbox's limit.
///
/// # Errors
/// `Forbidden` by role; [`Error::NotFound`]; `Invalid`; `VersionMismatch` when `if_version` is not the limit's.
pub async fn put_of_mailbox(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    bounds: Bounds,
    if_version: Option<i64>,
) -> Result<Limit, Error> {
    ctx.require(Action::QuotaWrite)?;
    bounds.check()?;
    let (mut tx, now) = (ctx.begin().await?, ctx.env().now());
    store::lock_mailbox(&mut tx, mailbox_id).await?;
    let old = store::of_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    store::put_of_mailbox(&mut tx, mailbox_id, bounds, now).await?;
    event::record(&mut tx, ctx, event::Kind::MailboxUpdated, mailbox_id, shown(bounds)).await?;
    let new = store::of_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(new.shown(LimitLevel::Mailbox, now))
}

/// A tenant's limit.
///
/// # Errors
/// `Forbidden` by role.
pub async fn of_tenant(ctx: &Ctx) -> Result<Limit, Error> {
    ctx.require(Action::TenantRead)?;
    let row = store::of_tenant(&mut *ctx.read().await?).await?;
    Ok(row.shown(LimitLevel::Tenant, ctx.env().now()))
}

/// Puts a tenant's limit, which is for those above it to put.
///
/// # Errors
/// As [`put_of_mailbox`].
pub async fn put_of_tenant(ctx: &Ctx, bounds: Bounds, if_version: Option<i64>) -> Result<Limit, Error> {
    ctx.require(Action::TenantWrite)?;
    bounds.check()?;
    let (mut tx, now) = (ctx.begin().await?, ctx.env().now());
    tenant::lock(&mut tx).await?;
    require_version(if_version, store::of_tenant(&mut tx).await?.version)?;
    store::put_of_tenant(&mut tx, bounds, now).await?;
    event::record(&mut tx, ctx, event::Kind::TenantUpdated, ctx.tenant_id(), shown(bounds)).await?;
    let new = store::of_tenant(&mut tx).await?;
    tx.commit().await?;
    Ok(new.shown(LimitLevel::Tenant, now))
}

/// A reseller's limit.
///
/// # Errors
/// `Forbidden` by role.
pub async fn of_reseller(ctx: &ResellerCtx) -> Result<Limit, Error> {
    ctx.require(Action::ResellerRead)?;
    let row = store::of_reseller(&mut store::system(ctx.db()).await?, ctx.reseller_id()).await?;
    Ok(row.shown(LimitLevel::Reseller, ctx.db().env().now()))
}

/// Puts a reseller's limit, which is for those above it to put.
///
/// # Errors
/// As [`put_of_mailbox`]; `Forbidden` when a reseller means to change its own.
pub async fn put_of_reseller(
    ctx: &ResellerCtx,
    bounds: Bounds,
    if_version: Option<i64>,
) -> Result<Limit, Error> {
    ctx.require(Action::ResellerWrite)?;
    if ctx.caller().scope() == Scope::Reseller(ctx.reseller_id()) {
        return Err(tenancy::Error::Forbidden("changing one's own sending limit").into());
    }
    bounds.check()?;
    let (mut tx, now, id) = (store::system(ctx.db()).await?, ctx.db().env().now(), ctx.reseller_id());
    store::lock_reseller(&mut tx, id).await?;
    require_version(if_version, store::of_reseller(&mut tx, id).await?.version)?;
    store::put_of_reseller(&mut tx, id, bounds, now).await?;
    let kind = event::Kind::ResellerUpdated;
    event::record_on(&mut tx, ctx.caller(), Scope::Reseller(id), kind, id, shown(bounds)).await?;
    let new = store::of_reseller(&mut tx, id).await?;
    tx.commit().await?;
    Ok(new.shown(LimitLevel::Reseller, now))
}

fn shown(Bounds { per_hour, per_day }: Bounds) -> serde_json::Value {
    json!({"sending_limit": {"recipients_per_hour": per_hour, "recipients_per_day": per_day}})
}

/// A level on the way of a message, as it was counted.
pub(crate) struct Counted {
    level: LimitLevel,
    /// Of a reseller.
    reseller_id: Option<ResellerId>,
    bounds: Bounds,
    window: window::Window,
    /// When it was last told that it is reached.
    limited_at: Option<DateTime<Utc>>,
}

/// A bound that more recipients would pass.
struct Passed {
    limit: i32,
    /// `hour` or `day`.
    period: &'static str,
    span: TimeDelta,
}

impl Counted {
    fn passed_by(&self, more: i32) -> Option<Passed> {
        let bounds = [
            (self.bounds.per_hour, self.window.last_hour(), "hour", TimeDelta::hours(1)),
            (self.bounds.per_day, self.window.last_day(), "day", TimeDelta::days(1)),
        ];
        bounds.into_iter().find_map(|(bound, counted, period, span)| {
            let limit = bound.filter(|limit| counted + i64::from(more) > i64::from(*limit))?;
            Some(Passed { limit, period, span })
        })
    }

    /// Refuses what would pass a bound of this level.
    fn fits(&self, more: i32) -> Result<(), Error> {
        let Some(Passed { limit, period, .. }) = self.passed_by(more) else { return Ok(()) };
        Err(Error::SendingLimit { level: self.level, limit, period, is_ever: more <= limit })
    }
}

/// Whether a mailbox may write to so many recipients more, at this moment and without a lock.
///
/// # Errors
/// [`Error::SendingLimit`] of the first level that says no; as of any statement.
pub(crate) async fn check(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    recipients: i32,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    store::levels(tx, mailbox_id, now).await?.iter().try_for_each(|level| level.fits(recipients))
}

/// Counts recipients at every level, or refuses. Last in its transaction: who sends for the same reseller waits from here on.
///
/// # Errors
/// As [`check`].
pub(crate) async fn count(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    recipients: i32,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let locked = store::lock(tx, mailbox_id, now).await?;
    for mut counted in store::levels(tx, mailbox_id, now).await? {
        if counted.reseller_id.is_some_and(|id| !locked.contains(&id)) {
            continue;
        }
        counted.fits(recipients)?;
        counted.window.count(recipients);
        store::put_counted(tx, mailbox_id, &counted).await?;
    }
    Ok(())
}

/// Tells of the limit that has refused a message to so many, whose it is: once in an hour of one by the hour, once in a day of one by the day.
///
/// # Errors
/// When the database fails.
pub(crate) async fn tell(ctx: &Ctx, mailbox_id: MailboxId, recipients: i32) -> Result<(), Error> {
    let (mut tx, now) = (ctx.begin().await?, ctx.env().now());
    let levels = store::levels(&mut tx, mailbox_id, now).await?;
    let refusing = levels.iter().find_map(|counted| Some((counted, counted.passed_by(recipients)?)));
    let Some((counted, Passed { limit, period, span })) = refusing else { return Ok(()) };
    let told_before = now - span;
    if counted.limited_at.is_some_and(|at| at > told_before) {
        return Ok(());
    }
    let data = json!({"period": period, "limit": limit});
    let told = store::Told { now, before: told_before };
    match (counted.level, counted.reseller_id) {
        (LimitLevel::Mailbox, _) => {
            if store::tell_of_mailbox(&mut tx, mailbox_id, told).await? {
                event::record(&mut tx, ctx, event::Kind::MailboxSendingLimited, mailbox_id, data).await?;
            }
        }
        (LimitLevel::Reseller, Some(id)) => {
            drop(tx);
            let mut tx = store::system(ctx.caller().db()).await?;
            if store::tell_of_reseller(&mut tx, id, told).await? {
                let kind = event::Kind::ResellerSendingLimited;
                event::record_on(&mut tx, ctx.caller(), Scope::Reseller(id), kind, id, data).await?;
            }
            return Ok(tx.commit().await?);
        }
        _ => {
            if store::tell_of_tenant(&mut tx, told).await? {
                event::record(&mut tx, ctx, event::Kind::TenantSendingLimited, ctx.tenant_id(), data).await?;
            }
        }
    }
    Ok(tx.commit().await?)
}
