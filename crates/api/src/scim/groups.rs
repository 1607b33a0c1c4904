//! Groups (RFC 7643 §4.2).

use axum::http::StatusCode;
use axum::response::Response;
use kernel::{GroupId, PageRequest};
use scim::message::list_response;
use scim::{Group, patch};
use serde_json::Value;
use tenancy::Ctx;
use tenancy::group::{self, directory};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Document, IfMatch, IfNoneMatch, Resource};
use super::describe::{ScimGroup, ScimList, ScimPatch, ScimShownGroup};
use super::query::{Asked, ListQuery, ShownQuery};
use super::roster;
use crate::Api;
use crate::extract::{Bearer, Json, Path, Query};
use crate::problem::Problem;
use crate::routes::paths::{GroupPath, TenantPath};

/// List groups for a directory
///
/// Leave the members out (`excludedAttributes=members`) where they are not needed.
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/Groups", tag = "SCIM", operation_id = "scim_list_groups",
    params(TenantPath, ListQuery),
    responses((status = 200, description = "Those that match; none is a list as well.", body = ScimList, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("groups:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<ListQuery>,
) -> Result<Document, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let asked = query.read()?;
    let shown = matching(&ctx, &asked).await?;
    let total = shown.len() as u64;
    let (offset, count) = (asked.page.offset(), asked.page.count);
    let (offset, count) =
        (usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    let resources = shown.into_iter().skip(offset).take(count);
    let resources = resources.map(|resource| asked.projection.apply(resource)).collect();
    Ok(Document(list_response(total, asked.page.start_index, resources)))
}

/// All groups that the filter matches, as resources; without members where nothing asks for them.
async fn matching(ctx: &Ctx, asked: &Asked) -> Result<Vec<Value>, Problem> {
    let equality = |path| asked.filter.as_ref().and_then(|filter| filter.equality(path));
    let keeps = |resource: &Value| asked.filter.as_ref().is_none_or(|filter| filter.matches(resource));
    if let Some(id) = equality("id") {
        let Ok(id) = id.parse::<GroupId>() else { return Ok(Vec::new()) };
        return match directory::get(ctx, id).await {
            Ok(one) => Ok([roster::resource(ctx.tenant_id(), &one)].into_iter().filter(keeps).collect()),
            Err(tenancy::Error::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        };
    }
    // No text of the database's has this character.
    let text = |path| equality(path).map(|text| text.replace('\0', "\u{fffd}"));
    let lookup = directory::Lookup { external_id: text("externalId"), display_name: text("displayName") };
    let with_members = asked.projection.shows("members") || asked.filters_by("members");
    let mut found = Vec::new();
    let mut next = None;
    loop {
        let page = PageRequest::new(Some(PageRequest::MAX_LIMIT), next);
        let page = directory::list(ctx, &lookup, with_members, &page).await?;
        let resources = page.items.iter().map(|one| roster::resource(ctx.tenant_id(), one));
        found.extend(resources.filter(keeps));
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Create a group for a directory
///
/// Without an address, which the portal can give it. Its members are users and groups of the tenant.
#[utoipa::path(post, path = "/scim/v2/{tenant_id}/Groups", tag = "SCIM", operation_id = "scim_create_group",
    params(TenantPath, ShownQuery),
    request_body(content = ScimGroup, content_type = "application/scim+json", description = "The group."),
    responses((status = 201, description = "The group.", body = ScimShownGroup, content_type = "application/scim+json"),
        (status = 409, description = "The `externalId` is in use (`uniqueness`), or the first request with this `Idempotency-Key` has no answer.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<ShownQuery>,
    Json(body): Json<Value>,
) -> Result<Resource, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let projection = query.projection()?;
    let (new, entries) = roster::new_group(&body)?;
    let made = directory::create(&ctx, new, &entries).await?;
    let location = roster::location(at.tenant_id, &made);
    Ok(Resource { created_at: Some(location), ..roster::answer(at.tenant_id, &made, &projection) })
}

/// Get a group for a directory
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/Groups/{group_id}", tag = "SCIM", operation_id = "scim_get_group",
    params(GroupPath, ShownQuery),
    responses((status = 200, description = "The group.", body = ScimShownGroup, content_type = "application/scim+json"),
        (status = 304, description = "The group is still in the version that `If-None-Match` names.")),
    extensions(("x-required-action" = json!("groups:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    Query(query): Query<ShownQuery>,
    seen: IfNoneMatch,
) -> Result<Response, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let found = directory::get(&ctx, at.group_id).await?;
    Ok(seen.unless_seen(roster::answer(at.tenant_id, &found, &query.projection()?)))
}

/// Replace a group for a directory
///
/// Its name and its members by those given; mailboxes that are nobody's own stay members.
#[utoipa::path(put, path = "/scim/v2/{tenant_id}/Groups/{group_id}", tag = "SCIM", operation_id = "scim_replace_group",
    params(GroupPath, ShownQuery),
    request_body(content = ScimGroup, content_type = "application/scim+json", description = "The whole group."),
    responses((status = 200, description = "The group as it is now.", body = ScimShownGroup, content_type = "application/scim+json"),
        (status = 409, description = "The `externalId` is in use (`uniqueness`), the group would come to be a member of itself, or would have too many members.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn replace(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    Query(query): Query<ShownQuery>,
    IfMatch(version): IfMatch,
    Json(body): Json<Value>,
) -> Result<Resource, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (projection, group) = (query.projection()?, Group::read(&body)?);
    let change = |old: &_| Ok::<_, Problem>(roster::replaced(old, &group)?);
    let now = directory::update(&ctx, at.group_id, version, change).await?;
    Ok(roster::answer(at.tenant_id, &now, &projection))
}

/// Change a group for a directory
#[utoipa::path(patch, path = "/scim/v2/{tenant_id}/Groups/{group_id}", tag = "SCIM", operation_id = "scim_update_group",
    params(GroupPath, ShownQuery),
    request_body(content = ScimPatch, content_type = "application/scim+json", description = "The changes."),
    responses((status = 200, description = "The group as it is now.", body = ScimShownGroup, content_type = "application/scim+json"),
        (status = 409, description = "The `externalId` is in use (`uniqueness`), the group would come to be a member of itself, or would have too many members.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    Query(query): Query<ShownQuery>,
    IfMatch(version): IfMatch,
    Json(body): Json<Value>,
) -> Result<Resource, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (projection, operations) = (query.projection()?, patch::parse(&body)?);
    let change = |old: &_| Ok::<_, Problem>(roster::patched(at.tenant_id, old, &operations)?);
    let now = directory::update(&ctx, at.group_id, version, change).await?;
    Ok(roster::answer(at.tenant_id, &now, &projection))
}

/// Delete a group for a directory
///
/// Its members stay.
#[utoipa::path(delete, path = "/scim/v2/{tenant_id}/Groups/{group_id}", tag = "SCIM", operation_id = "scim_delete_group",
    params(GroupPath),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    group::delete(&ctx, at.group_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(get, replace, update, delete))
}
