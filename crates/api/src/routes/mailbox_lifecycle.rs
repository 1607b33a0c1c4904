//! Mailboxes that are nobody's own: made, changed, deleted and restored.

use axum::Json as Answer;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use tenancy::mailbox::{self, Kind};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mailbox::{Mailbox, tagged};
use super::paths::{MailboxPath, TenantPath};
use crate::extract::{Bearer, Json, Path, not_null};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// A mailbox to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMailbox {
    /// `shared`, `room` or `equipment`; a personal one comes with its user.
    #[serde(deserialize_with = "kind")]
    #[schema(value_type = schema::NewMailboxKind)]
    kind: Kind,
    /// Its name as people see it.
    #[schema(value_type = schema::Name)]
    display_name: String,
    /// The primary address, in a domain of the tenant.
    #[schema(value_type = schema::EmailAddress)]
    address: String,
    /// Further addresses.
    #[serde(default)]
    #[schema(value_type = Vec<schema::EmailAddress>, required = false)]
    aliases: Vec<String>,
    /// Its quota in bytes; absent or null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 1_073_741_824)]
    quota_bytes: Option<i64>,
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Create a mailbox that is nobody's own
///
/// It takes no seat. Who may use it is said by its delegates.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes", tag = "Mailboxes", operation_id = "create_mailbox",
    params(TenantPath),
    responses((status = 201, description = "The mailbox.", body = Mailbox),
        (status = 409, description = "An address is in use (`address_taken`), or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`).")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewMailbox>,
) -> Result<(StatusCode, Answer<Mailbox>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let new = mailbox::NewMailbox {
        kind: body.kind,
        display_name: body.display_name,
        address: body.address,
        aliases: body.aliases,
        quota_bytes: body.quota_bytes,
    };
    Ok((StatusCode::CREATED, Answer(mailbox::create(&ctx, new).await?.into())))
}

/// What of a mailbox is to change (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailboxPatch {
    /// Its name as people see it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::Name, required = false)]
    display_name: Option<String>,
    /// The old one stays, as an alias, unless `aliases` says otherwise.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::EmailAddress, required = false)]
    address: Option<String>,
    /// All further addresses.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<schema::EmailAddress>, required = false, max_items = 100)]
    aliases: Option<Vec<String>>,
}

/// Change a mailbox that is nobody's own
///
/// A personal one changes with its user.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}", tag = "Mailboxes", operation_id = "update_mailbox",
    params(MailboxPath),
    responses((status = 200, description = "The mailbox as it is now.", body = Mailbox),
        (status = 409, description = "It is a user's own (`mailbox_is_personal`), or an address is in use (`address_taken`).")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<MailboxPatch>,
) -> Result<Tagged<Answer<Mailbox>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let change = mailbox::MailboxChange {
        display_name: body.display_name,
        address: body.address,
        aliases: body.aliases,
    };
    Ok(tagged(mailbox::update(&ctx, at.mailbox_id, version, change).await?))
}

/// Delete a mailbox that is nobody's own
///
/// Frees its addresses; the mail is kept. For 30 days it can be restored. A personal one goes with its user.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}", tag = "Mailboxes", operation_id = "delete_mailbox",
    params(MailboxPath),
    responses((status = 204, description = "Deleted."),
        (status = 409, description = "It is a user's own: `mailbox_is_personal`.")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    mailbox::delete(&ctx, at.mailbox_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a mailbox is to be restored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreMailbox {
    /// The primary address from now on; needed when somebody else has the old one.
    #[serde(default)]
    #[schema(value_type = Option<schema::EmailAddress>)]
    address: Option<String>,
}

/// Restore a deleted mailbox that is nobody's own
///
/// For 30 days, by the same id, with its mail, and with those of its addresses that nobody has taken meanwhile.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/restore", tag = "Mailboxes", operation_id = "restore_mailbox",
    params(MailboxPath),
    responses((status = 200, description = "The mailbox, restored.", body = Mailbox),
        (status = 409, description = "It is a user's own (`mailbox_is_personal`), the address is in use (`address_taken`), it is too late (`restore_expired`), or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`)."),
        (status = 422, description = "A pool of bytes has no room for the mail: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn restore(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    Json(body): Json<RestoreMailbox>,
) -> Result<Tagged<Answer<Mailbox>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(mailbox::restore(&ctx, at.mailbox_id, body.address.as_deref()).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create)).routes(routes!(update, delete)).routes(routes!(restore))
}
