//! Support accesses to a mailbox.

use axum::Json as Answer;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use kernel::{MailboxId, SupportAccessId};
use serde::{Deserialize, Serialize};
use tenancy::support_access;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{MailboxPath, SupportAccessPath};
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// A right of a key from above the tenant to look into one mailbox.
#[derive(Debug, Serialize, ToSchema)]
struct SupportAccess {
    #[schema(value_type = schema::SupportAccessId)]
    id: SupportAccessId,
    #[schema(value_type = schema::MailboxId)]
    mailbox_id: MailboxId,
    /// The key whose right it is.
    #[schema(value_type = schema::ApiKeyId)]
    principal: String,
    /// Why.
    #[schema(example = "Ticket 4711: an attachment cannot be opened")]
    reason: String,
    created_at: DateTime<Utc>,
    /// When it ends by itself.
    #[schema(example = "2026-12-01T10:00:00Z")]
    expires_at: DateTime<Utc>,
    /// When it was ended before that; null if it was not.
    #[schema(required, example = "2026-12-01T09:30:00Z")]
    ended_at: Option<DateTime<Utc>>,
}

impl From<support_access::SupportAccess> for SupportAccess {
    fn from(of: support_access::SupportAccess) -> Self {
        Self {
            id: of.id,
            mailbox_id: of.mailbox_id,
            principal: of.principal,
            reason: of.reason,
            created_at: of.created_at,
            expires_at: of.expires_at,
            ended_at: of.ended_at,
        }
    }
}

/// A support access to open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSupportAccess {
    /// Why; the tenant reads it.
    #[schema(value_type = schema::Reason)]
    reason: String,
    /// When it is to end, at most 24 hours ahead; absent or null: in an hour.
    #[serde(default)]
    #[schema(example = "2026-12-01T10:00:00Z")]
    expires_at: Option<DateTime<Utc>>,
}

/// Open a mailbox for support
///
/// A key of the operator's or a reseller's sees mail only while it has such an access to the mailbox: listing, reading, deleting
/// and recovering messages are refused before (`support_access_required`). It is the calling key's alone. Opening it, each look
/// into the mailbox and its end are on the tenant's trail, with the reason. The tenant's own callers need none and cannot open one.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/support-accesses", tag = "Mailboxes",
    operation_id = "create_support_access",
    params(MailboxPath),
    responses((status = 201, description = "The mailbox is open for this key.", body = SupportAccess)),
    extensions(("x-required-action" = json!("support_accesses:write"))))]
async fn open(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    Json(body): Json<NewSupportAccess>,
) -> Result<(StatusCode, Answer<SupportAccess>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let access = support_access::open(&ctx, at.mailbox_id, body.reason, body.expires_at).await?;
    Ok((StatusCode::CREATED, Answer(access.into())))
}

/// List a mailbox's support accesses
///
/// All that there ever were.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/support-accesses", tag = "Mailboxes",
    operation_id = "list_support_accesses",
    params(MailboxPath, PageQuery),
    responses((status = 200, description = "A page of support accesses.", body = List<SupportAccess>)),
    extensions(("x-required-action" = json!("support_accesses:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<SupportAccess>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(support_access::list(&ctx, at.mailbox_id, page).await?))
}

/// End a support access
///
/// Whoever opened it: the tenant's admin may, too. The next look into the mailbox is refused.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/support-accesses/{support_access_id}", tag = "Mailboxes",
    operation_id = "end_support_access",
    params(SupportAccessPath),
    responses((status = 204, description = "It is over.")),
    extensions(("x-required-action" = json!("support_accesses:write"))))]
async fn end(Bearer(caller): Bearer, Path(at): Path<SupportAccessPath>) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    support_access::end(&ctx, at.mailbox_id, at.support_access_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(open, list)).routes(routes!(end))
}
