//! Billing runs.

use axum::Json as Answer;
use axum::http::StatusCode;
use billing::run;
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{RunId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::RunPath;
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// What a run did, in accounts and documents. An account is a tenant's subscription, or in the operator's runs over everything a
/// reseller's wholesale agreement.
#[derive(Debug, Serialize, ToSchema)]
struct RunSummary {
    /// Accounts with a boundary on or before the run's day.
    #[schema(example = 3)]
    accounts_due: u64,
    /// Of these, the accounts that it billed.
    #[schema(example = 2)]
    accounts_billed: u64,
    /// Accounts whose boundary has not come yet in their own time.
    #[schema(example = 1)]
    accounts_not_yet: u64,
    /// Accounts that another run was billing, or had just billed.
    #[schema(example = 0)]
    accounts_elsewhere: u64,
    /// Accounts that cannot be billed until somebody looks at them.
    #[schema(example = 0)]
    accounts_parked: u64,
    /// Accounts that the next run tries again after a fault.
    #[schema(example = 0)]
    accounts_failed: u64,
    /// Invoices that have become final: made, or drafts before.
    #[schema(example = 2)]
    invoices: u64,
    /// Credit notes that have.
    #[schema(example = 1)]
    credit_notes: u64,
    /// Drafts made of either.
    #[schema(example = 0)]
    drafts: u64,
    /// Wholesale invoices made.
    #[schema(example = 0)]
    wholesale_invoices: u64,
    /// Wholesale credit notes made.
    #[schema(example = 0)]
    wholesale_credit_notes: u64,
}

impl From<run::RunSummary> for RunSummary {
    fn from(of: run::RunSummary) -> Self {
        Self {
            accounts_due: of.accounts_due,
            accounts_billed: of.accounts_billed,
            accounts_not_yet: of.accounts_not_yet,
            accounts_elsewhere: of.accounts_elsewhere,
            accounts_parked: of.accounts_parked,
            accounts_failed: of.accounts_failed,
            invoices: of.invoices,
            credit_notes: of.credit_notes,
            drafts: of.drafts,
            wholesale_invoices: of.wholesale_invoices,
            wholesale_credit_notes: of.wholesale_credit_notes,
        }
    }
}

/// A billing run.
#[derive(Debug, Serialize, ToSchema)]
struct Run {
    #[schema(value_type = schema::RunId)]
    id: RunId,
    /// Boundaries up to and including this day are due.
    #[schema(value_type = schema::Day)]
    as_of: NaiveDate,
    /// The one tenant it is for; null: all that its asker sees.
    #[schema(value_type = Option<schema::TenantId>, required)]
    tenant_id: Option<TenantId>,
    /// `queued`, `running`, `succeeded` or `failed`.
    #[schema(value_type = schema::RunStatus)]
    status: String,
    /// What it did, once it has ended.
    #[schema(required)]
    summary: Option<RunSummary>,
    created_at: DateTime<Utc>,
    /// When it ended.
    #[schema(required)]
    finished_at: Option<DateTime<Utc>>,
}

impl From<run::Run> for Run {
    fn from(of: run::Run) -> Self {
        Self {
            id: of.id,
            as_of: of.as_of,
            tenant_id: of.tenant_id,
            status: of.status,
            summary: of.summary.map(RunSummary::from),
            created_at: of.created_at,
            finished_at: of.finished_at,
        }
    }
}

/// A run to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// Boundaries up to and including this day are due.
    #[schema(value_type = schema::Day)]
    as_of: String,
    /// The one tenant to bill; absent or null: all that the caller sees.
    #[serde(default)]
    #[schema(value_type = Option<schema::TenantId>)]
    tenant_id: Option<TenantId>,
}

/// Start a billing run
///
/// It goes on in the background: look at it until it has `succeeded` or `failed`. What was billed is never billed again, however many runs
/// there are.
#[utoipa::path(post, path = "/v1/billing/runs", tag = "Billing runs", operation_id = "create_billing_run",
    responses((status = 202, description = "The run, queued.", body = Run)),
    extensions(("x-required-action" = json!("billing:run"))))]
async fn create(
    Bearer(caller): Bearer,
    Json(body): Json<NewRun>,
) -> Result<(StatusCode, Answer<Run>), Problem> {
    let new = run::NewRun { as_of: body.as_of, tenant_id: body.tenant_id };
    let run = run::create(&caller, new).await?;
    Ok((StatusCode::ACCEPTED, Answer(run.into())))
}

/// List billing runs
///
/// Those that the caller, or somebody below it, has started; oldest first.
#[utoipa::path(get, path = "/v1/billing/runs", tag = "Billing runs", operation_id = "list_billing_runs",
    params(PageQuery),
    responses((status = 200, description = "A page of runs.", body = List<Run>)),
    extensions(("x-required-action" = json!("billing:run"))))]
async fn list(Bearer(caller): Bearer, Listing(page, _): Listing) -> Result<Answer<List<Run>>, Problem> {
    Ok(page::answer(run::list(&caller, page).await?))
}

/// Get a billing run
#[utoipa::path(get, path = "/v1/billing/runs/{run_id}", tag = "Billing runs", operation_id = "get_billing_run",
    params(RunPath),
    responses((status = 200, description = "The run.", body = Run)),
    extensions(("x-required-action" = json!("billing:run"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<RunPath>) -> Result<Answer<Run>, Problem> {
    Ok(Answer(run::get(&caller, at.run_id).await?.into()))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(get))
}
