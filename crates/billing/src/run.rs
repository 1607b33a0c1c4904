//! Billing runs: what is due is billed, oldest first, every missed boundary of an account at once.
//!
//! Runs may overlap: each account is claimed by its row, and what was billed once is refused by the database a
//! second time. Nobody is billed for a day that has not come: a run reaches each tenant up to its own present day,
//! which is its test clock's if it has one.

pub(crate) mod account;
mod drafts;
mod drive;
mod schedule;
mod store;

use std::num::NonZeroU32;

use chrono::{DateTime, NaiveDate, Utc};
use db::{Db, SystemTx};
use kernel::{Page, PageRequest, RequestId, ResellerId, RunId, TenantId};
use serde::{Deserialize, Serialize};
use tenancy::{Action, Caller, Ctx, Scope, event};

use crate::error::{NOT_A_DATE, date};
use crate::{Error, dunning};
use drive::drive;

pub(crate) use account::{Due, Finality, bill_until, is_settled, opened};
pub use schedule::{scheduled, settle};

/// The kind of job that [`create`] queues, for [`work`].
pub const JOB: &str = "billing_run";

/// How many accounts are looked up at a time, and billed in one transaction.
const PAGE: NonZeroU32 = NonZeroU32::new(500).expect("is not zero");

/// What a run did. An account is a tenant's subscription or a reseller's wholesale agreement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSummary {
    /// Accounts with a boundary on or before the run's day that has come in the tenant's own time; and those of which something is
    /// held though their tenant cannot be restored any more.
    pub accounts_due: u64,
    /// Of these, the accounts that it billed.
    pub accounts_billed: u64,
    /// Accounts left with a boundary on or before the run's day that has not come yet in the tenant's own time, or ends a cycle
    /// that goes on in the zone from which the tenant has moved.
    pub accounts_not_yet: u64,
    /// Accounts that another run billed meanwhile.
    pub accounts_elsewhere: u64,
    /// Accounts that cannot be billed until somebody looks at them, those of earlier runs included.
    pub accounts_parked: u64,
    /// Accounts that the next run tries again after a fault.
    pub accounts_failed: u64,
    /// Invoices that have become final: made, or drafts before.
    pub invoices: u64,
    /// Credit notes that have.
    pub credit_notes: u64,
    /// Drafts made of either.
    pub drafts: u64,
    /// Wholesale invoices made.
    pub wholesale_invoices: u64,
    /// Wholesale credit notes made.
    pub wholesale_credit_notes: u64,
}

/// A run that somebody asked for.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Boundaries up to and including this day are due.
    pub as_of: NaiveDate,
    /// The one tenant it is for; else all that its asker sees.
    pub tenant_id: Option<TenantId>,
    /// `queued`, `running`, `succeeded` or `failed`.
    pub status: String,
    /// What it did, once it has ended; of a failed one, until it failed.
    pub summary: Option<RunSummary>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Whom a run reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    /// Everybody, and the resellers who buy from the operator.
    All,
    /// As [`Self::All`], and whoever lives by a test clock up to its day, however far ahead that is.
    Present,
    /// Tenants that cannot be restored any more, each up to its own present day.
    Left,
    /// The tenants of a reseller and of those below it.
    Reseller(ResellerId),
    /// One tenant.
    Tenant(TenantId),
}

/// A run as a caller asks for it.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// A day such as 2026-02-01.
    pub as_of: String,
    /// The one tenant to bill; `None`: all that the caller sees.
    pub tenant_id: Option<TenantId>,
}

/// Asks for a run: a row, and a job that executes it.
///
/// # Errors
/// [`Error::Invalid`] for a day that does not exist, or that has not come yet for the one tenant named;
/// [`Error::Tenancy`] for a tenant out of scope.
pub async fn create(caller: &Caller, new: NewRun) -> Result<Run, Error> {
    caller.require(Action::BillingRun)?;
    let as_of = date(&new.as_of).ok_or_else(|| Error::invalid("/as_of", NOT_A_DATE))?;
    let owner = match caller.scope() {
        Scope::Operator => None,
        Scope::Reseller(id) => Some(id),
        Scope::Tenant(_) => return Err(tenancy::Error::Forbidden(Action::BillingRun.as_str()).into()),
    };
    if let Some(tenant_id) = new.tenant_id {
        must_have_come(&caller.enter_deleted_too(tenant_id).await?, as_of)?;
    }
    let env = caller.db().env();
    let run = Run {
        id: env.new_id(),
        as_of,
        tenant_id: new.tenant_id,
        status: "queued".into(),
        summary: None,
        created_at: env.now(),
        finished_at: None,
    };
    let mut tx = system(caller.db()).await?;
    store::insert(&mut tx, &run, owner).await?;
    let payload = serde_json::json!(Payload { run_id: run.id });
    db::jobs::enqueue(&mut tx, env, JOB, payload, run.created_at).await?;
    let data = serde_json::json!({"as_of": run.as_of, "tenant_id": run.tenant_id});
    event::record_on(&mut tx, caller, caller.scope(), event::Kind::BillingRunRequested, run.id, data).await?;
    tx.commit().await?;
    Ok(run)
}

/// One run.
///
/// # Errors
/// [`Error::NotFound`] for one that does not exist, or that somebody else asked for.
pub async fn get(caller: &Caller, id: RunId) -> Result<Run, Error> {
    let root = seen_by(caller)?;
    let mut tx = system(caller.db()).await?;
    store::find(&mut tx, id, root).await?.map(|(run, _)| run).ok_or(Error::NotFound)
}

/// The runs that the caller, or somebody below it, asked for; oldest first.
///
/// # Errors
/// [`Error::Tenancy`] without the right to start runs.
pub async fn list(caller: &Caller, page: PageRequest) -> Result<Page<Run>, Error> {
    let root = seen_by(caller)?;
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, root, &page).await?;
    Ok(Page::cut(rows, &page, |run| run.id.uuid()))
}

fn seen_by(caller: &Caller) -> Result<Option<ResellerId>, Error> {
    caller.require(Action::BillingRun)?;
    match caller.scope() {
        Scope::Operator => Ok(None),
        Scope::Reseller(id) => Ok(Some(id)),
        Scope::Tenant(_) => Err(Error::NotFound),
    }
}

/// A job's argument: `{"run_id": "run_…"}`.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    run_id: RunId,
}

/// Does a job of kind [`JOB`].
///
/// # Errors
/// As [`execute`].
pub async fn work(db: &Db, payload: &serde_json::Value) -> Result<(), Error> {
    let Payload { run_id } = Payload::deserialize(payload).map_err(|_| Error::Stored("job"))?;
    execute(db, run_id).await?;
    Ok(())
}

/// Executes a run that was asked for. Does nothing for one that has succeeded; one that was cut off or failed is
/// done again, which bills nothing twice.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Db`] when the database fails in the middle, after which it may be called again.
pub async fn execute(db: &Db, id: RunId) -> Result<RunSummary, Error> {
    execute_by(db, id, PAGE).await
}

/// As [`execute`], with at most so many accounts in one transaction, as [`run_by`].
///
/// # Errors
/// As [`execute`].
pub async fn execute_by(db: &Db, id: RunId, accounts: NonZeroU32) -> Result<RunSummary, Error> {
    let mut tx = system(db).await?;
    let (run, owner) = store::find(&mut tx, id, None).await?.ok_or(Error::NotFound)?;
    if let (Some(summary), "succeeded") = (run.summary, run.status.as_str()) {
        return Ok(summary);
    }
    store::set_status(&mut tx, id, "running", None, None).await?;
    tx.commit().await?;
    let reach = run.tenant_id.map(Reach::Tenant).or(owner.map(Reach::Reseller)).unwrap_or(Reach::All);
    let mut summary = RunSummary::default();
    let done = bill(db, run.as_of, reach, accounts, &mut summary).await;
    let status = if done.is_ok() { "succeeded" } else { "failed" };
    let mut tx = system(db).await?;
    store::set_status(&mut tx, id, status, Some(&summary), Some(db.env().now())).await?;
    tx.commit().await?;
    done.map(|()| summary)
}

/// Bills what is due on a day, of one tenant or of all: the operator's own run.
///
/// # Errors
/// [`Error::Invalid`] for a day that has not come yet for the one tenant named; [`Error::Tenancy`] not found for a
/// tenant that does not exist; [`Error::Db`] when the database fails in the middle.
pub async fn run(db: &Db, as_of: NaiveDate, tenant_id: Option<TenantId>) -> Result<RunSummary, Error> {
    run_by(db, as_of, tenant_id, PAGE).await
}

/// As [`run`], with at most so many accounts in one transaction: the fewer, the shorter others wait for it.
///
/// # Errors
/// As [`run`].
pub async fn run_by(
    db: &Db,
    as_of: NaiveDate,
    tenant_id: Option<TenantId>,
    accounts: NonZeroU32,
) -> Result<RunSummary, Error> {
    if let Some(tenant_id) = tenant_id {
        must_have_come(&operator(db).enter_deleted_too(tenant_id).await?, as_of)?;
    }
    let mut summary = RunSummary::default();
    bill(db, as_of, tenant_id.map_or(Reach::All, Reach::Tenant), accounts, &mut summary).await?;
    Ok(summary)
}

/// Bills what somebody asks to be billed. Whoever lives by a test clock is dunned by it as well: who moves it waits for no hourly round.
async fn bill(
    db: &Db,
    as_of: NaiveDate,
    reach: Reach,
    accounts: NonZeroU32,
    summary: &mut RunSummary,
) -> Result<(), Error> {
    drive(db, as_of, reach, accounts, summary).await?;
    dunning::run_by_clock(db, reach).await?;
    Ok(())
}

fn must_have_come(ctx: &Ctx, as_of: NaiveDate) -> Result<(), Error> {
    let today = ctx.today();
    if as_of <= today {
        return Ok(());
    }
    Err(Error::invalid(
        "/as_of",
        format_args!("must not be after the tenant's present day, which is {today}"),
    ))
}

fn operator(db: &Db) -> Caller {
    let request_id: RequestId = db.env().new_id();
    Caller::local_operator(db.clone(), request_id)
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs look for due accounts of all tenants; each is then entered to be billed"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
