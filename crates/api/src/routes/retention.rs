//! What a tenant's mailboxes keep of what was deleted in them.

use axum::Json as Answer;
use chrono::{DateTime, Utc};
use mailstore::retention::{self, Policy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::TenantPath;
use crate::Api;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};

/// How long, and how much of it, what was deleted can be recovered. Legal holds go beyond both.
#[derive(Debug, Serialize, ToSchema)]
struct RetentionPolicy {
    /// For how many days a deleted message can be recovered.
    #[schema(example = 30)]
    recoverable_days: i32,
    /// How many bytes of deleted messages a mailbox keeps, beside its quota: beyond that, those that were deleted first are destroyed.
    #[schema(example = 32_212_254_720_i64)]
    recoverable_limit_bytes: i64,
    /// When it was put last; null as long as the defaults hold.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    updated_at: Option<DateTime<Utc>>,
}

/// A policy to put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRetentionPolicy {
    /// For how many days a deleted message can be recovered; with 0 it is destroyed within minutes.
    #[schema(minimum = 0, maximum = 3_650, example = 30)]
    recoverable_days: i32,
    /// How many bytes of deleted messages a mailbox keeps.
    #[schema(minimum = 0, example = 32_212_254_720_i64)]
    recoverable_limit_bytes: i64,
}

fn tagged(of: retention::Retention) -> Tagged<Answer<RetentionPolicy>> {
    let policy = RetentionPolicy {
        recoverable_days: of.policy.recoverable_days,
        recoverable_limit_bytes: of.policy.recoverable_limit_bytes,
        updated_at: of.updated_at,
    };
    Tagged(of.version, Answer(policy))
}

/// Get a tenant's retention policy
///
/// 30 days and 30 GiB a mailbox, unless another was put.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/retention-policy", tag = "Holds", operation_id = "get_retention_policy",
    params(TenantPath),
    responses((status = 200, description = "The policy.", body = RetentionPolicy)),
    extensions(("x-required-action" = json!("retention_policies:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Tagged<Answer<RetentionPolicy>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(retention::get(&ctx).await?))
}

/// Set a tenant's retention policy
///
/// It holds for what was deleted before as well: what it no longer keeps is destroyed within minutes, unless a legal hold covers it. Mail
/// can be put back to a moment only as far back as it is kept.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/retention-policy", tag = "Holds", operation_id = "put_retention_policy",
    params(TenantPath),
    responses((status = 200, description = "The policy as it is now.", body = RetentionPolicy)),
    extensions(("x-required-action" = json!("retention_policies:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewRetentionPolicy>,
) -> Result<Tagged<Answer<RetentionPolicy>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let policy = Policy {
        recoverable_days: body.recoverable_days,
        recoverable_limit_bytes: body.recoverable_limit_bytes,
    };
    Ok(tagged(retention::put(&ctx, policy, version).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get, put))
}
