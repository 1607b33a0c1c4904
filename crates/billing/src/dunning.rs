//! Dunning: what happens when a tenant does not pay. A reseller's policy says it in days after the due day: remind, take
//! capabilities away, end the subscription. Without a policy nothing happens.
//!
//! The oldest overdue invoice of the tenant's present reseller makes a course; what is done in it is written down once. What is
//! taken is no step that is past, but follows from the policy as it is: it is given back when that calls for it no more, and
//! taken when it does, but for what somebody gave back since it did. [`moves`] decides, from the policy, what is due and what
//! was done; [`run`] does it, and a payment lifts in its own transaction what it ends.

mod course;
mod machine;
mod store;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::Checks;
use serde_json::json;
use tenancy::policy::Capability;
use tenancy::{Action, ResellerCtx, Scope, event, require_version};

use crate::Error;

pub use course::{Dunned, run};
pub(crate) use course::{lift, run_by_clock};
pub use machine::{Course, Move, Owing, Step, moves};

/// The latest day after the due day that a step may be on.
const MAX_DAYS: i16 = 365;
/// The most reminders.
const MAX_REMINDERS: usize = 10;

/// In which steps a reseller collects what is overdue, in days after the due day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// When to remind: ascending, each from 1 to 365, at most 10.
    pub remind_after_days: Vec<i16>,
    /// When to take capabilities away, from 1 to 365; `None`: never.
    pub suspend_after_days: Option<i16>,
    /// Which; empty exactly when none are.
    pub suspend_capabilities: Vec<Capability>,
    /// When to end the subscription as [`crate::subscription::cancel`] does without a day, from 1 to 365 and not before
    /// the suspension; `None`: never.
    pub cancel_after_days: Option<i16>,
}

/// A reseller's policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DunningPolicy {
    /// The steps.
    pub policy: Policy,
    /// When it was put last.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// The reseller's policy.
///
/// # Errors
/// [`Error::NotFound`] when it has none; [`Error::Tenancy`] without the right to see it.
pub async fn get(ctx: &ResellerCtx) -> Result<DunningPolicy, Error> {
    ctx.require(Action::DunningPolicyRead)?;
    let mut tx = system(ctx.db()).await?;
    store::find(tx.conn(), ctx.reseller_id()).await?.ok_or(Error::NotFound)
}

/// Puts the reseller's policy, whole. It holds for courses under way as well, from the next look on: a reminder or an end whose
/// day has passed is next, once in a course; what it does not take, or not yet, is given back, and what it takes is taken, though
/// an earlier one had given it back. One without steps does nothing.
///
/// # Errors
/// [`Error::Invalid`] for days that make no sense; a version mismatch when `if_version` is not the one there is.
pub async fn put(
    ctx: &ResellerCtx,
    policy: &Policy,
    if_version: Option<i64>,
) -> Result<DunningPolicy, Error> {
    ctx.require(Action::DunningPolicyWrite)?;
    check(policy)?;
    let mut tx = system(ctx.db()).await?;
    let old = store::find_locked(&mut tx, ctx.reseller_id()).await?;
    require_version(if_version, old.map_or(0, |old| old.version))?;
    let put = store::put(&mut tx, ctx.reseller_id(), policy, ctx.db().env().now()).await?;
    tell(&mut tx, ctx, policy).await?;
    tx.commit().await?;
    Ok(put)
}

fn check(policy: &Policy) -> Result<(), Error> {
    let Policy { remind_after_days: remind, suspend_after_days, suspend_capabilities, cancel_after_days } =
        policy;
    let is_day = |day: i16| (1..=MAX_DAYS).contains(&day);
    let mut checks = Checks::default();
    let must_be_day = format_args!("must be from 1 to {MAX_DAYS}");
    checks.require(remind.iter().all(|&day| is_day(day)), "/remind_after_days", must_be_day);
    let is_ascending = remind.is_sorted_by(|a, b| a < b);
    checks.require(is_ascending, "/remind_after_days", "must be ascending, no day twice");
    let is_short = remind.len() <= MAX_REMINDERS;
    checks.require(is_short, "/remind_after_days", format_args!("must have at most {MAX_REMINDERS} days"));
    checks.require(suspend_after_days.is_none_or(is_day), "/suspend_after_days", must_be_day);
    let is_both = suspend_after_days.is_some() != suspend_capabilities.is_empty();
    let detail = "must name capabilities exactly when suspend_after_days is given";
    checks.require(is_both, "/suspend_capabilities", detail);
    checks.require(cancel_after_days.is_none_or(is_day), "/cancel_after_days", must_be_day);
    let is_after =
        suspend_after_days.zip(*cancel_after_days).is_none_or(|(suspend, cancel)| cancel >= suspend);
    checks.require(is_after, "/cancel_after_days", "must not be before suspend_after_days");
    checks.done().map_err(Error::Invalid)
}

/// Notes a change on the reseller's trail.
async fn tell(tx: &mut SystemTx, ctx: &ResellerCtx, policy: &Policy) -> Result<(), db::Error> {
    let (id, kind) = (ctx.reseller_id(), event::Kind::DunningPolicyChanged);
    let names: Vec<_> = policy.suspend_capabilities.iter().map(|one| one.as_str()).collect();
    let data = json!({"remind_after_days": policy.remind_after_days, "suspend_after_days": policy.suspend_after_days,
        "suspend_capabilities": names, "cancel_after_days": policy.cancel_after_days});
    event::record_on(tx, ctx.caller(), Scope::Reseller(id), kind, id, data).await
}

#[expect(clippy::disallowed_methods, reason = "a policy is a reseller's, whose caller has entered it")]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
