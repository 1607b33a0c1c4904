//! How long, and how much of it, what was deleted can be had back: a tenant's policy for all its mailboxes.

pub(crate) mod store;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::Checks;
use serde_json::json;
use tenancy::{Action, Ctx, event, require_version, tenant};

use crate::Error;

/// How many days a deleted message can be recovered where a tenant says nothing else.
pub const DEFAULT_DAYS: i32 = 30;
/// How many days at most: ten years.
pub const MAX_DAYS: i32 = 3_650;
/// How many bytes of deleted messages a mailbox keeps where a tenant says nothing else: 30 GiB.
pub const DEFAULT_LIMIT_BYTES: i64 = 30 << 30;

/// What a tenant's mailboxes keep of what was deleted in them. Holds go beyond both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many days a deleted message can be recovered, 0 to [`MAX_DAYS`].
    pub recoverable_days: i32,
    /// How many bytes of them a mailbox keeps, not in its quota: beyond that, those that were deleted first are destroyed.
    pub recoverable_limit_bytes: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { recoverable_days: DEFAULT_DAYS, recoverable_limit_bytes: DEFAULT_LIMIT_BYTES }
    }
}

impl Policy {
    /// What was deleted before can be recovered no more.
    pub(crate) fn cutoff(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - TimeDelta::days(self.recoverable_days.into())
    }
}

/// A tenant's policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// What holds.
    pub policy: Policy,
    /// When it was put; `None` as long as the defaults hold.
    pub updated_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub version: i64,
}

/// A tenant's policy.
///
/// # Errors
/// `Forbidden` by role.
pub async fn get(ctx: &Ctx) -> Result<Retention, Error> {
    ctx.require(Action::RetentionRead)?;
    Ok(store::find(&mut *ctx.read().await?).await?)
}

/// Puts a tenant's policy. It holds for what was deleted before as well: what a shorter one no longer keeps is destroyed within minutes.
///
/// # Errors
/// `Forbidden` by role, `Invalid`; `VersionMismatch` when `if_version` is not the policy's.
pub async fn put(ctx: &Ctx, policy: Policy, if_version: Option<i64>) -> Result<Retention, Error> {
    ctx.require(Action::RetentionWrite)?;
    let mut checks = Checks::default();
    let is_days = (0..=MAX_DAYS).contains(&policy.recoverable_days);
    checks.require(is_days, "/recoverable_days", format_args!("must be from 0 to {MAX_DAYS}"));
    let is_limit = policy.recoverable_limit_bytes >= 0;
    checks.require(is_limit, "/recoverable_limit_bytes", "must not be negative");
    checks.done().map_err(tenancy::Error::Invalid)?;
    let mut tx = ctx.begin().await?;
    // Also where there is no row of the policy yet.
    tenant::lock(&mut tx).await?;
    require_version(if_version, store::find(&mut tx).await?.version)?;
    let put = store::put(&mut tx, policy, ctx.env().now()).await?;
    let data = json!({"recoverable_days": policy.recoverable_days,
        "recoverable_limit_bytes": policy.recoverable_limit_bytes});
    event::record(&mut tx, ctx, event::Kind::RetentionChanged, ctx.tenant_id(), data).await?;
    tx.commit().await?;
    Ok(put)
}
