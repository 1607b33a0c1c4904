//! Users (RFC 7643 §4.1).

use axum::http::StatusCode;
use axum::response::Response;
use scim::message::list_response;
use scim::{Error, ScimType, User, patch};
use serde_json::Value;
use tenancy::user::directory::{self, MAX_SCANNED};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::account;
use super::answer::{Document, IfMatch, IfNoneMatch, Resource};
use super::describe::{ScimList, ScimPatch, ScimShownUser, ScimUser};
use super::query::{ListQuery, ShownQuery};
use crate::Api;
use crate::extract::{Bearer, Json, Path, Query};
use crate::problem::Problem;
use crate::routes::paths::{TenantPath, UserPath};

/// List users for a directory
///
/// Filters that compare `userName`, `externalId`, `id` or `emails.value` by `eq` are looked up; others look at each user, of at
/// most 50,000.
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/Users", tag = "SCIM", operation_id = "scim_list_users",
    params(TenantPath, ListQuery),
    responses((status = 200, description = "Those that match; none is a list as well.", body = ScimList, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<ListQuery>,
) -> Result<Document, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let asked = query.read()?;
    let shown = |one: &_| account::resource(at.tenant_id, one);
    let keep = asked.filter.as_ref().map(|filter| move |one: &_| filter.matches(&shown(one)));
    let found = directory::list(&ctx, &asked.lookup(), keep, asked.window()).await?;
    let found = found.ok_or_else(too_many)?;
    let resources = found.accounts.iter().map(|one| asked.projection.apply(shown(one))).collect();
    Ok(Document(list_response(found.total, asked.page.start_index, resources)))
}

/// RFC 7644 §3.12.
fn too_many() -> Error {
    let detail = format!(
        "of more than {MAX_SCANNED} users, a filter finds one by userName, externalId, id or emails.value eq"
    );
    Error::new(ScimType::TooMany, detail)
}

/// Create a user for a directory
///
/// With a personal mailbox, and a seat taken: all or nothing. `userName` is the primary address.
#[utoipa::path(post, path = "/scim/v2/{tenant_id}/Users", tag = "SCIM", operation_id = "scim_create_user",
    params(TenantPath, ShownQuery),
    request_body(content = ScimUser, content_type = "application/scim+json", description = "The user."),
    responses((status = 201, description = "The user.", body = ScimShownUser, content_type = "application/scim+json"),
        (status = 403, description = "All seats are taken, and nothing was created."),
        (status = 409, description = "An address or the `externalId` is in use (`uniqueness`), or the first request with this `Idempotency-Key` has no answer.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<ShownQuery>,
    Json(body): Json<Value>,
) -> Result<Resource, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let projection = query.projection()?;
    let (new, may_sign_in) = account::new_user(&body)?;
    let made = directory::create(&ctx, new, may_sign_in).await?;
    let location = account::location(at.tenant_id, &made);
    Ok(Resource { created_at: Some(location), ..account::answer(at.tenant_id, &made, &projection) })
}

/// Get a user for a directory
///
/// A deleted one is not found.
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/Users/{user_id}", tag = "SCIM", operation_id = "scim_get_user",
    params(UserPath, ShownQuery),
    responses((status = 200, description = "The user.", body = ScimShownUser, content_type = "application/scim+json"),
        (status = 304, description = "The user is still in the version that `If-None-Match` names.")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Query(query): Query<ShownQuery>,
    seen: IfNoneMatch,
) -> Result<Response, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let found = directory::get(&ctx, at.user_id).await?;
    Ok(seen.unless_seen(account::answer(at.tenant_id, &found, &query.projection()?)))
}

/// Replace a user for a directory
///
/// The names are replaced by those given. What else is not mentioned stays as it is: `externalId`, `active`, the addresses and the
/// extension; the extension replaces its attributes when it is mentioned.
#[utoipa::path(put, path = "/scim/v2/{tenant_id}/Users/{user_id}", tag = "SCIM", operation_id = "scim_replace_user",
    params(UserPath, ShownQuery),
    request_body(content = ScimUser, content_type = "application/scim+json", description = "The whole user."),
    responses((status = 200, description = "The user as they are now.", body = ScimShownUser, content_type = "application/scim+json"),
        (status = 409, description = "An address or the `externalId` is in use (`uniqueness`).")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn replace(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Query(query): Query<ShownQuery>,
    IfMatch(version): IfMatch,
    Json(body): Json<Value>,
) -> Result<Resource, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (projection, user) = (query.projection()?, User::read(&body)?);
    let change = |old: &_| Ok::<_, Problem>(account::replaced(old, user.clone())?);
    let now = directory::update(&ctx, at.user_id, version, account::password_of(&user), change).await?;
    Ok(account::answer(at.tenant_id, &now, &projection))
}

/// Change a user for a directory
///
/// `active` false takes the right to sign in and ends the sessions; mail keeps arriving. True gives it back.
#[utoipa::path(patch, path = "/scim/v2/{tenant_id}/Users/{user_id}", tag = "SCIM", operation_id = "scim_update_user",
    params(UserPath, ShownQuery),
    request_body(content = ScimPatch, content_type = "application/scim+json", description = "The changes."),
    responses((status = 200, description = "The user as they are now.", body = ScimShownUser, content_type = "application/scim+json"),
        (status = 409, description = "An address or the `externalId` is in use (`uniqueness`).")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Query(query): Query<ShownQuery>,
    IfMatch(version): IfMatch,
    Json(body): Json<Value>,
) -> Result<Resource, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (projection, operations) = (query.projection()?, patch::parse(&body)?);
    let change = |old: &_| Ok::<_, Problem>(account::patched(at.tenant_id, old, &operations)?);
    let password = account::patched_password(&operations);
    let now = directory::update(&ctx, at.user_id, version, password, change).await?;
    Ok(account::answer(at.tenant_id, &now, &projection))
}

/// Delete a user for a directory
///
/// Frees the seat and the addresses; the mail is kept, and for 30 days the user can be restored.
#[utoipa::path(delete, path = "/scim/v2/{tenant_id}/Users/{user_id}", tag = "SCIM", operation_id = "scim_delete_user",
    params(UserPath),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    directory::delete(&ctx, at.user_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(get, replace, update, delete))
}
