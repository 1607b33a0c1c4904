//! In which steps a reseller collects what is overdue.

use axum::Json as Answer;
use billing::dunning::{self, Policy};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::capability;
use super::paths::ResellerPath;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// In which steps a reseller collects what is overdue, in days after an invoice's due day.
#[derive(Debug, Serialize, ToSchema)]
struct DunningPolicy {
    /// When an `invoice.reminder` is told.
    #[schema(example = json!([1, 7, 14]))]
    remind_after_days: Vec<i16>,
    /// When capabilities are taken from the tenant; null: never.
    #[schema(required, example = 21)]
    suspend_after_days: Option<i16>,
    /// Which.
    #[schema(value_type = Vec<schema::Capability>, example = json!(["send"]))]
    suspend_capabilities: Vec<String>,
    /// When its subscription is cancelled; null: never.
    #[schema(required, example = 45)]
    cancel_after_days: Option<i16>,
    /// When it was put last.
    updated_at: DateTime<Utc>,
}

/// A policy to put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDunningPolicy {
    /// When to tell an `invoice.reminder`: ascending, no day twice.
    #[serde(default)]
    #[schema(required = false, max_items = 10, value_type = Vec<schema::DaysOverdue>, example = json!([1, 7, 14]))]
    remind_after_days: Vec<i16>,
    /// When to take capabilities from the tenant; absent or null: never.
    #[schema(minimum = 1, maximum = 365, example = 21)]
    suspend_after_days: Option<i16>,
    /// Which: named exactly when there is a day for it. All of them suspend the whole tenant.
    #[serde(default)]
    #[schema(required = false, value_type = Vec<schema::Capability>, example = json!(["send"]))]
    suspend_capabilities: Vec<String>,
    /// When to cancel its subscription, as `…/subscription/cancel` does without a day, not before the suspension; absent or null: never.
    #[schema(minimum = 1, maximum = 365, example = 45)]
    cancel_after_days: Option<i16>,
}

fn tagged(of: dunning::DunningPolicy) -> Tagged<Answer<DunningPolicy>> {
    let policy = DunningPolicy {
        remind_after_days: of.policy.remind_after_days,
        suspend_after_days: of.policy.suspend_after_days,
        suspend_capabilities: capability::names(&of.policy.suspend_capabilities),
        cancel_after_days: of.policy.cancel_after_days,
        updated_at: of.updated_at,
    };
    Tagged(of.version, Answer(policy))
}

/// Get a reseller's dunning policy
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/dunning-policy", tag = "Payments", operation_id = "get_dunning_policy",
    params(ResellerPath),
    responses((status = 200, description = "The policy.", body = DunningPolicy)),
    extensions(("x-required-action" = json!("dunning_policies:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<DunningPolicy>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(tagged(dunning::get(&ctx).await?))
}

/// Set a reseller's dunning policy
///
/// Whole; `{}` does nothing any more. The oldest overdue invoice of each tenant of the reseller's counts, in the tenant's own days. Each reminder
/// and the end of the subscription come once: the event `invoice.reminder`, then `tenant.suspended` with the `reason` `nonpayment`, then the
/// end. What was taken is given back when a payment or credit leaves nothing due that is as old, and within the hour when the policy takes
/// it no more, or not yet; put back, the policy takes it again. What somebody suspended, or resumed since it fell due, is left alone.
#[utoipa::path(put, path = "/v1/resellers/{reseller_id}/dunning-policy", tag = "Payments", operation_id = "put_dunning_policy",
    params(ResellerPath),
    responses((status = 200, description = "The policy as it is now.", body = DunningPolicy)),
    extensions(("x-required-action" = json!("dunning_policies:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewDunningPolicy>,
) -> Result<Tagged<Answer<DunningPolicy>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    let policy = Policy {
        remind_after_days: body.remind_after_days,
        suspend_after_days: body.suspend_after_days,
        suspend_capabilities: capability::read(&body.suspend_capabilities, "/suspend_capabilities")?,
        cancel_after_days: body.cancel_after_days,
    };
    Ok(tagged(dunning::put(&ctx, &policy, version).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get, put))
}
