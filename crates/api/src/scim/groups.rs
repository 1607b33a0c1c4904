//! Groups (RFC 7643 §4.2).

use axum::http::StatusCode;
use axum::response::Response;
use kernel::GroupId;
use scim::message::list_response;
use scim::{Error, Group, ScimType, patch};
use serde_json::Value;
use tenancy::group;
use tenancy::group::directory::{self, Found, Lookup, MAX_SCANNED, Roster, Search};
use tenancy::{Action, Ctx};
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
/// Leave the members out (`excludedAttributes=members`) where they are not needed. Filters that compare `displayName`, `externalId`, `id` or
/// `members.value` by `eq` are looked up; others look at each group. No more than 50,000 are looked at.
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
    let found = matching(&ctx, &asked).await?;
    let shown = |one: &Roster| asked.projection.apply(roster::resource(at.tenant_id, one));
    let resources = found.rosters.iter().map(shown).collect();
    Ok(Document(list_response(found.total, asked.page.start_index, resources)))
}

/// The groups that the filter matches; without members where nothing asks for them.
async fn matching(ctx: &Ctx, asked: &Asked) -> Result<Found, Problem> {
    // Also where the filter says by itself that there is none.
    ctx.require(Action::GroupRead)?;
    let none = Found { total: 0, rosters: Vec::new() };
    let filter = asked.filter.as_ref();
    let equality = |path| filter.and_then(|filter| filter.equality(path));
    let shown = |one: &Roster| roster::resource(ctx.tenant_id(), one);
    let keep = filter.map(|filter| move |one: &Roster| filter.matches(&shown(one)));
    if let Some(id) = equality("id") {
        let Ok(id) = id.parse::<GroupId>() else { return Ok(none) };
        return match directory::get(ctx, id).await {
            Ok(one) if keep.is_none_or(|keep| keep(&one)) => {
                let rosters = if asked.window().has(0) { vec![one] } else { Vec::new() };
                Ok(Found { total: 1, rosters })
            }
            Ok(_) | Err(tenancy::Error::NotFound) => Ok(none),
            Err(error) => Err(error.into()),
        };
    }
    let member = match equality("members.value").map(roster::entry) {
        Some(Ok(entry)) => Some(entry),
        // What is no id is nobody's.
        Some(Err(_)) => return Ok(none),
        None => None,
    };
    // No text of the database's has this character.
    let text = |path| equality(path).map(|text| text.replace('\0', "\u{fffd}"));
    let lookup = Lookup { external_id: text("externalId"), display_name: text("displayName"), member };
    let search = Search {
        lookup,
        by_members: asked.filters_by("members"),
        with_members: asked.projection.shows("members"),
        window: asked.window(),
    };
    Ok(directory::list(ctx, &search, keep).await?.ok_or_else(too_many)?)
}

/// RFC 7644 §3.12.
fn too_many() -> Error {
    let detail = format!(
        "there are more than {MAX_SCANNED} groups to look at; displayName, externalId, id and members.value by eq leave fewer"
    );
    Error::new(ScimType::TooMany, detail)
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
