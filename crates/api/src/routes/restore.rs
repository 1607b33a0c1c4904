//! Restores of mail to a moment.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use chrono::{DateTime, Utc};
use kernel::{FieldError, FolderId, MessageId};
use mailstore::restore::{Extent, Place, Wanted};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::operation::Operation;
use super::paths::{MailboxPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::{Api, schema};

/// Where what was there goes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    InPlace,
    Beside,
}

impl From<Mode> for Place {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::InPlace => Self::InPlace,
            Mode::Beside => Self::Beside,
        }
    }
}

/// What of a mailbox is to be put back as it was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailboxRestore {
    /// The moment, not in the future and not more than 30 days ago.
    #[schema(example = "2026-12-01T09:00:00Z")]
    at: DateTime<Utc>,
    /// `in_place`: where it was. `beside`: as copies, into a folder of their own.
    #[schema(value_type = schema::RestoreMode)]
    mode: Mode,
    /// Only what was in this folder and below it; the folder may be gone.
    #[serde(default)]
    #[schema(value_type = Option<schema::FolderId>)]
    folder_id: Option<FolderId>,
    /// Only this message; not together with `folder_id`.
    #[serde(default)]
    #[schema(value_type = Option<schema::MessageId>)]
    message_id: Option<MessageId>,
}

/// To what moment a tenant's mail is to be put back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantRestore {
    /// The moment, not in the future and not more than 30 days ago.
    #[schema(example = "2026-12-01T09:00:00Z")]
    at: DateTime<Utc>,
    /// `in_place`: where it was. `beside`: as copies, into a folder of their own in each mailbox.
    #[schema(value_type = schema::RestoreMode)]
    mode: Mode,
}

type Begun = (StatusCode, [(axum::http::HeaderName, String); 1], Answer<Operation>);

async fn begin(
    caller: tenancy::Caller,
    tenant_id: kernel::TenantId,
    wanted: Wanted,
) -> Result<Begun, Problem> {
    let ctx = caller.enter(tenant_id).await?;
    let operation = recovery::restore::request(&ctx, wanted).await?;
    let location = format!("/v1/operations/{}", operation.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Answer(operation.into())))
}

/// Restore a mailbox to a moment
///
/// In place, each message that was there is again where it was and marked as it was; what came since stays. One that returns to a folder
/// has a new, higher UID there and keeps its id, UIDL and date; one that never left keeps its UID. A folder that was deleted comes back; one that
/// was renamed keeps its name. Beside, copies go into a folder `Restored 2026-12-01 10:00`, named by the tenant's time zone, and nothing
/// else is touched. All of it is inside the quota: what has no room is left, and counted. Messages that were deleted for longer than they are
/// recoverable are lost, and counted.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/restores", tag = "Long work", operation_id = "create_mailbox_restore",
    params(MailboxPath),
    responses((status = 202, description = "The operation, also at `Location`. A folder or message that was not there at the moment fails it (`problem`: `not_found`).", body = Operation,
        headers(("Location" = String, description = "Where to look at the operation."))),
        (status = 409, description = "One of it is under way, or too many of the tenant's are (`restore_under_way`).")),
    extensions(("x-required-action" = json!("restores:write"))))]
async fn mailbox(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    Json(body): Json<MailboxRestore>,
) -> Result<Begun, Problem> {
    let extent = match (body.folder_id, body.message_id) {
        (None, None) => Extent::Mailbox(at.mailbox_id),
        (Some(folder), None) => Extent::Folder(at.mailbox_id, folder),
        (None, Some(message)) => Extent::Message(at.mailbox_id, message),
        (Some(_), Some(_)) => {
            let error = FieldError::new("/message_id", "must not be given together with folder_id");
            return Err(tenancy::Error::Invalid(vec![error]).into());
        }
    };
    begin(caller, at.tenant_id, Wanted { at: body.at, place: body.mode.into(), extent }).await
}

/// Restore all of a tenant's mail to a moment
///
/// Of every mailbox that is there and not deleted, as `create_mailbox_restore`. Users, domains, settings and what is billed stay as they
/// are.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/restores", tag = "Long work", operation_id = "create_tenant_restore",
    params(TenantPath),
    responses((status = 202, description = "The operation, also at `Location`.", body = Operation,
        headers(("Location" = String, description = "Where to look at the operation."))),
        (status = 409, description = "One of it is under way, or too many of the tenant's are (`restore_under_way`).")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn tenant(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<TenantRestore>,
) -> Result<Begun, Problem> {
    begin(caller, at.tenant_id, Wanted { at: body.at, place: body.mode.into(), extent: Extent::Tenant }).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(mailbox)).routes(routes!(tenant))
}
