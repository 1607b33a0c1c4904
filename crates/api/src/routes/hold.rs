//! Legal holds of a tenant.

use axum::Json as Answer;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use kernel::{HoldId, MailboxId};
use serde::{Deserialize, Serialize};
use tenancy::hold;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{HoldPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// What keeps mail from being destroyed, until it is released.
#[derive(Debug, Serialize, ToSchema)]
struct Hold {
    #[schema(value_type = schema::HoldId)]
    id: HoldId,
    /// The mailbox whose mail it covers; null covers every mailbox of the tenant, also those that come.
    #[schema(value_type = Option<schema::MailboxId>, required)]
    mailbox_id: Option<MailboxId>,
    /// Why.
    #[schema(example = "Case 17/2026")]
    reason: String,
    /// When it was placed.
    #[schema(example = "2026-12-01T09:00:00Z")]
    created_at: DateTime<Utc>,
    /// When it was released; null while it is in force.
    #[schema(required, example = "2027-03-01T09:00:00Z")]
    released_at: Option<DateTime<Utc>>,
}

impl From<hold::Hold> for Hold {
    fn from(of: hold::Hold) -> Self {
        Self {
            id: of.id,
            mailbox_id: of.mailbox_id,
            reason: of.reason,
            created_at: of.created_at,
            released_at: of.released_at,
        }
    }
}

/// A hold, and what it keeps.
#[derive(Debug, Serialize, ToSchema)]
struct HoldWithBytes {
    #[serde(flatten)]
    #[schema(inline)]
    hold: Hold,
    /// The bytes of deleted messages that would have been destroyed without a hold, for their age or for being too many; in no quota.
    #[schema(example = 1_048_576)]
    held_bytes: u64,
}

impl From<mailstore::hold::Held> for HoldWithBytes {
    fn from(of: mailstore::hold::Held) -> Self {
        Self { hold: of.hold.into(), held_bytes: of.held_bytes }
    }
}

/// A hold to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHold {
    /// The mailbox, which may have been deleted; absent or null for every mailbox of the tenant.
    #[serde(default)]
    #[schema(value_type = Option<schema::MailboxId>)]
    mailbox_id: Option<MailboxId>,
    /// Why.
    #[schema(value_type = schema::Reason)]
    reason: String,
}

/// List a tenant's holds
///
/// All that there ever were.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/holds", tag = "Holds", operation_id = "list_holds",
    params(TenantPath, PageQuery),
    responses((status = 200, description = "A page of holds.", body = List<Hold>)),
    extensions(("x-required-action" = json!("holds:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<Hold>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(hold::list(&ctx, &page).await?))
}

/// Place a hold
///
/// Nothing that it covers is destroyed any more, by whatever way it was deleted: messages past their time, users and mailboxes past theirs. A tenant
/// with a hold cannot be deleted.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/holds", tag = "Holds", operation_id = "create_hold",
    params(TenantPath),
    responses((status = 201, description = "The hold, in force.", body = Hold)),
    extensions(("x-required-action" = json!("holds:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewHold>,
) -> Result<(StatusCode, Answer<Hold>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let hold = hold::place(&ctx, body.mailbox_id, body.reason).await?;
    Ok((StatusCode::CREATED, Answer(hold.into())))
}

/// Get a hold
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/holds/{hold_id}", tag = "Holds", operation_id = "get_hold",
    params(HoldPath),
    responses((status = 200, description = "The hold, and what it keeps.", body = HoldWithBytes)),
    extensions(("x-required-action" = json!("holds:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<HoldPath>) -> Result<Answer<HoldWithBytes>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(Answer(mailstore::hold::get(&ctx, at.hold_id).await?.into()))
}

/// Release a hold
///
/// What it alone has kept is destroyed in time. It stays in the list.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/holds/{hold_id}", tag = "Holds", operation_id = "release_hold",
    params(HoldPath),
    responses((status = 204, description = "It is in force no more.")),
    extensions(("x-required-action" = json!("holds:write"))))]
async fn release(Bearer(caller): Bearer, Path(at): Path<HoldPath>) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    hold::release(&ctx, at.hold_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(get, release))
}
