//! Mailboxes that are nobody's own: made, changed, deleted and restored.

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use tenancy::Caller;
use tenancy::mailbox::{self, Kind};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect, OrEffect};
use super::mailbox::{Mailbox, tagged};
use super::paths::{MailboxPath, TenantPath};
use crate::extract::{Bearer, Json, Path, Query, not_null};
use crate::problem::Problem;
use crate::version::IfMatch;
use crate::{Api, schema, word};

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
    let kind = String::deserialize(deserializer)?.parse();
    kind.map_err(|_| serde::de::Error::custom(word::must_be(["shared", "room", "equipment"])))
}

/// Create a mailbox that is nobody's own
///
/// It takes no seat. Who may use it is said by its delegates.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes", tag = "Mailboxes", operation_id = "create_mailbox",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The mailbox.", body = Mailbox),
        (status = 409, description = "The tenant or a reseller above it has as many mailboxes of this sort as it may (`shared_mailboxes_exhausted`), an address is in use (`address_taken`), or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`).")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<NewMailbox>,
) -> Result<Response, Problem> {
    let new = mailbox::NewMailbox {
        kind: body.kind,
        display_name: body.display_name,
        address: body.address,
        aliases: body.aliases,
        quota_bytes: body.quota_bytes,
    };
    let create = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok((StatusCode::CREATED, tagged(mailbox::create(&ctx, new).await?)))
    };
    query.carry_out(caller, create).await
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
/// A personal one changes with its user. Other `aliases` than there are need `aliases:write` too. A new `address` does not: the old one stays as an alias.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}", tag = "Mailboxes", operation_id = "update_mailbox",
    params(MailboxPath, DryRun),
    responses((status = 200, description = "The mailbox as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Mailbox>),
        (status = 409, description = "It is a user's own (`mailbox_is_personal`), an address is in use (`address_taken`), or the old address would be the 101st alias (`too_many_aliases`).")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<MailboxPatch>,
) -> Result<Response, Problem> {
    let change = mailbox::MailboxChange {
        display_name: body.display_name,
        address: body.address,
        aliases: body.aliases,
    };
    let update = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(mailbox::update(&ctx, at.mailbox_id, version, change).await?))
    };
    query.carry_out(caller, update).await
}

/// Delete a mailbox that is nobody's own
///
/// Frees its addresses; the mail is kept. For 30 days it can be restored. A personal one goes with its user.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}", tag = "Mailboxes", operation_id = "delete_mailbox",
    params(MailboxPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was deleted.", body = Effect),
        (status = 204, description = "Deleted."),
        (status = 409, description = "It is a user's own: `mailbox_is_personal`.")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        mailbox::delete(&ctx, at.mailbox_id, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, delete).await
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
    params(MailboxPath, DryRun),
    responses((status = 200, description = "The mailbox, restored; with `dry_run`, what it would come to instead.", body = OrEffect<Mailbox>),
        (status = 409, description = "It is a user's own (`mailbox_is_personal`), the tenant or a reseller above it has as many of its sort as it may (`shared_mailboxes_exhausted`), the address is in use (`address_taken`), it is not deleted (`not_deleted`), it is too late (`restore_expired`), its old address would be the 101st alias beside the one that is given (`too_many_aliases`), or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`)."),
        (status = 422, description = "A pool of bytes has no room for the mail: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn restore(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<RestoreMailbox>,
) -> Result<Response, Problem> {
    let restore = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(mailbox::restore(&ctx, at.mailbox_id, body.address.as_deref()).await?))
    };
    query.carry_out(caller, restore).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create)).routes(routes!(update, delete)).routes(routes!(restore))
}
