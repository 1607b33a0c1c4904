//! To how many recipients may be written.

use axum::Json as Answer;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use submission::limit::{self, Bounds, Limit};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{MailboxPath, ResellerPath, TenantPath};
use crate::Api;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};

/// To how many recipients may be written, and to how many was. Every recipient of every message counts, also one of this installation.
#[derive(Debug, Serialize, ToSchema)]
struct SendingLimit {
    /// In any hour; null: as many as they like.
    #[schema(required, example = 500)]
    recipients_per_hour: Option<i32>,
    /// In any day of 24 hours; null: as many as they like.
    #[schema(required, example = 2_000)]
    recipients_per_day: Option<i32>,
    /// How many were written to in the last hour, and up to ten minutes before it.
    #[schema(minimum = 0, example = 12)]
    counted_last_hour: i64,
    /// How many were written to in the last day, and up to ten minutes before it.
    #[schema(minimum = 0, example = 140)]
    counted_last_day: i64,
    /// When it was put last; null as long as the default holds.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    updated_at: Option<DateTime<Utc>>,
}

/// A limit to put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSendingLimit {
    /// In any hour; absent or null: the default, 500 of a mailbox, of others as many as they like.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_147_483_647, example = 500)]
    recipients_per_hour: Option<i32>,
    /// In any day of 24 hours; absent or null: the default, 2,000 of a mailbox, of others as many as they like.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_147_483_647, example = 2_000)]
    recipients_per_day: Option<i32>,
}

impl From<NewSendingLimit> for Bounds {
    fn from(body: NewSendingLimit) -> Self {
        Self { per_hour: body.recipients_per_hour, per_day: body.recipients_per_day }
    }
}

fn tagged(of: Limit) -> Tagged<Answer<SendingLimit>> {
    let limit = SendingLimit {
        recipients_per_hour: of.bounds.per_hour,
        recipients_per_day: of.bounds.per_day,
        counted_last_hour: of.last_hour,
        counted_last_day: of.last_day,
        updated_at: of.updated_at,
    };
    Tagged(of.version, Answer(limit))
}

/// Get a mailbox's sending limit
///
/// 500 recipients an hour and 2,000 a day, unless another was put.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/sending-limit", tag = "Sending limits",
    operation_id = "get_mailbox_sending_limit",
    params(MailboxPath),
    responses((status = 200, description = "The limit, and what is used of it.", body = SendingLimit)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn get_of_mailbox(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
) -> Result<Tagged<Answer<SendingLimit>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(limit::of_mailbox(&ctx, at.mailbox_id).await?))
}

/// Set a mailbox's sending limit
///
/// It holds from the next message on; what waits to be sent already goes. A message for more recipients than are left is refused as a whole,
/// `450 4.7.1`. With 0, nothing is sent.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/sending-limit", tag = "Sending limits",
    operation_id = "put_mailbox_sending_limit",
    params(MailboxPath),
    responses((status = 200, description = "The limit as it is now, and what is used of it.", body = SendingLimit)),
    extensions(("x-required-action" = json!("quotas:write"))))]
async fn put_of_mailbox(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewSendingLimit>,
) -> Result<Tagged<Answer<SendingLimit>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(limit::put_of_mailbox(&ctx, at.mailbox_id, body.into(), version).await?))
}

/// Get a tenant's sending limit
///
/// Of all its mailboxes together.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/sending-limit", tag = "Sending limits", operation_id = "get_tenant_sending_limit",
    params(TenantPath),
    responses((status = 200, description = "The limit, and what is used of it.", body = SendingLimit)),
    extensions(("x-required-action" = json!("tenants:read"))))]
async fn get_of_tenant(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Tagged<Answer<SendingLimit>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(limit::of_tenant(&ctx).await?))
}

/// Set a tenant's sending limit
///
/// For all its mailboxes together, each of which has its own as well.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/sending-limit", tag = "Sending limits", operation_id = "put_tenant_sending_limit",
    params(TenantPath),
    responses((status = 200, description = "The limit as it is now, and what is used of it.", body = SendingLimit)),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn put_of_tenant(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewSendingLimit>,
) -> Result<Tagged<Answer<SendingLimit>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(limit::put_of_tenant(&ctx, body.into(), version).await?))
}

/// Get a reseller's sending limit
///
/// Of all its tenants, and of those of the resellers below it, together. Without a limit nothing is counted.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/sending-limit", tag = "Sending limits", operation_id = "get_reseller_sending_limit",
    params(ResellerPath),
    responses((status = 200, description = "The limit, and what is used of it.", body = SendingLimit)),
    extensions(("x-required-action" = json!("resellers:read"))))]
async fn get_of_reseller(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<SendingLimit>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(tagged(limit::of_reseller(&ctx).await?))
}

/// Set a reseller's sending limit
///
/// For those above it: a reseller cannot set its own. What is sent is counted from the first limit on.
#[utoipa::path(put, path = "/v1/resellers/{reseller_id}/sending-limit", tag = "Sending limits", operation_id = "put_reseller_sending_limit",
    params(ResellerPath),
    responses((status = 200, description = "The limit as it is now, and what is used of it.", body = SendingLimit)),
    extensions(("x-required-action" = json!("resellers:write"))))]
async fn put_of_reseller(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewSendingLimit>,
) -> Result<Tagged<Answer<SendingLimit>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(tagged(limit::put_of_reseller(&ctx, body.into(), version).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(get_of_mailbox, put_of_mailbox))
        .routes(routes!(get_of_tenant, put_of_tenant))
        .routes(routes!(get_of_reseller, put_of_reseller))
}
