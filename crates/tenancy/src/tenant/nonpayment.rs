//! What is taken from a tenant because something is overdue, and given back when it is paid. What somebody else has taken
//! or given back is theirs, and is left alone.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use super::store;
use crate::policy::Capability;
use crate::standing::{self, Standing};
use crate::{Ctx, Error, TenantTx, event};

/// What is taken from a tenant, and by whom it was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// All that is suspended.
    pub suspended: Vec<Capability>,
    /// What of it is for nonpayment.
    pub unpaid: Vec<Capability>,
    /// What somebody gave back by hand at some time, and the last local day on which they did.
    pub spared: Option<(Vec<Capability>, NaiveDate)>,
    /// Where the tenant's test clock stands, if it has one.
    pub test_clock: Option<DateTime<Utc>>,
}

/// Keeps others from changing what is suspended until the transaction ends, and says what is.
/// `None` when the tenant is deleted, or when somebody else holds it and `waits` is false. Whoever waits may have written
/// rows of the tenant's: they do not stand in the way of one another.
///
/// # Errors
/// When the database fails.
pub async fn hold_unpaid(tx: &mut TenantTx, waits: bool) -> Result<Option<Taken>, Error> {
    store::hold_suspended(tx, waits).await
}

/// Takes capabilities from a tenant that is held, as far as they are not taken yet, because of an overdue invoice.
///
/// # Errors
/// When the database fails.
pub async fn suspend_unpaid(
    tx: &mut TenantTx,
    ctx: &Ctx,
    capabilities: &[Capability],
    invoice: impl std::fmt::Display,
) -> Result<(), Error> {
    let Some(Taken { suspended, unpaid, test_clock, .. }) = store::hold_suspended(tx, true).await? else {
        return Ok(());
    };
    let is_new = |one: &Capability| !suspended.contains(one) && capabilities.contains(one);
    let fresh: Vec<_> = Capability::ALL.iter().copied().filter(is_new).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let unpaid = Capability::taken(&unpaid, &fresh);
    let suspended = Capability::taken(&suspended, &fresh);
    set(
        tx,
        &ctx.by_clock(test_clock),
        event::Kind::TenantSuspended,
        &suspended,
        &unpaid,
        json!({"invoice_id": invoice.to_string()}),
    )
    .await
}

/// Gives a tenant that is held capabilities back, as far as they were taken for nonpayment and by nobody else.
///
/// # Errors
/// When the database fails.
pub async fn resume_paid(tx: &mut TenantTx, ctx: &Ctx, capabilities: &[Capability]) -> Result<(), Error> {
    let Some(Taken { suspended, unpaid, test_clock, .. }) = store::hold_suspended(tx, true).await? else {
        return Ok(());
    };
    let (given, kept): (Vec<_>, Vec<_>) = unpaid.iter().copied().partition(|one| capabilities.contains(one));
    if given.is_empty() {
        return Ok(());
    }
    let left = Capability::given_back(&suspended, &given);
    set(tx, &ctx.by_clock(test_clock), event::Kind::TenantResumed, &left, &kept, json!({})).await
}

async fn set(
    tx: &mut TenantTx,
    ctx: &Ctx,
    kind: event::Kind,
    suspended: &[Capability],
    unpaid: &[Capability],
    mut data: serde_json::Value,
) -> Result<(), Error> {
    store::set_suspended(tx, suspended, unpaid).await?;
    standing::append(tx, ctx, Standing::without(suspended.len())).await?;
    let names: Vec<&str> = suspended.iter().map(|capability| capability.as_str()).collect();
    data["suspended_capabilities"] = json!(names);
    data["reason"] = json!("nonpayment");
    event::record(tx, ctx, kind, ctx.tenant_id(), data).await?;
    Ok(())
}
