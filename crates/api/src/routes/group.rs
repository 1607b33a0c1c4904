//! Groups and their members.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::GroupId;
use serde::{Deserialize, Serialize};
use tenancy::Caller;
use tenancy::group::{self, Member};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::{GroupPath, MemberPath, TenantPath};
use crate::extract::{Bearer, Json, Path, Query, not_null, nullable};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// A distribution list. Mail to one of its addresses goes to each mailbox in it once.
#[derive(Debug, Serialize, ToSchema)]
struct Group {
    #[schema(value_type = schema::GroupId)]
    id: GroupId,
    /// Its name as people see it.
    #[schema(example = "Sales")]
    display_name: String,
    /// Its primary address; null for one that gets no mail.
    #[schema(value_type = Option<schema::EmailAddress>, required)]
    address: Option<String>,
    /// Its further addresses.
    #[schema(value_type = Vec<schema::EmailAddress>)]
    aliases: Vec<String>,
    /// Its id in the customer's directory.
    #[schema(required, example = "g-17")]
    external_id: Option<String>,
    /// How many members it has, those of its member groups not counted.
    #[schema(example = 12)]
    member_count: i64,
    created_at: DateTime<Utc>,
}

impl From<group::Group> for Group {
    fn from(of: group::Group) -> Self {
        Self {
            id: of.id,
            display_name: of.display_name,
            address: of.address,
            aliases: of.aliases,
            external_id: of.external_id,
            member_count: of.member_count,
            created_at: of.created_at,
        }
    }
}

fn tagged(of: group::Group) -> Tagged<Answer<Group>> {
    Tagged(of.version, Answer(of.into()))
}

/// A mailbox or group that is in a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMember)]
struct InGroup {
    /// Its id.
    #[schema(value_type = schema::MemberId)]
    id: Member,
}

impl From<Member> for InGroup {
    fn from(id: Member) -> Self {
        Self { id }
    }
}

/// A group to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    /// Its name as people see it.
    #[schema(value_type = schema::Name)]
    display_name: String,
    /// In a verified domain of the tenant; without one it gets no mail.
    #[serde(default)]
    #[schema(value_type = Option<schema::EmailAddress>)]
    address: Option<String>,
    /// Further addresses.
    #[serde(default)]
    #[schema(value_type = Vec<schema::EmailAddress>, required = false)]
    aliases: Vec<String>,
    /// The id in the customer's directory.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    external_id: Option<String>,
    /// Its members: at most 1,000 mailboxes and groups.
    #[serde(default)]
    #[schema(value_type = Vec<schema::MemberId>, required = false, max_items = 1000)]
    members: Vec<Member>,
}

/// Create a group
///
/// Of mailboxes and of other groups.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/groups", tag = "Groups", operation_id = "create_group",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The group.", body = Group),
        (status = 409, description = "An address (`address_taken`) or the `external_id` (`external_id_taken`) is in use.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<NewGroup>,
) -> Result<Response, Problem> {
    let new = group::NewGroup {
        display_name: body.display_name,
        address: body.address,
        aliases: body.aliases,
        external_id: body.external_id,
        members: body.members,
    };
    let create = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok((StatusCode::CREATED, tagged(group::create(&ctx, new).await?)))
    };
    query.carry_out(caller, create).await
}

/// Which groups are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct GroupFilter {
    /// Only the one with this address, primary or not.
    #[param(example = "sales@bakery.example")]
    address: Option<String>,
    /// Only the one with this id in the customer's directory.
    #[param(example = "g-17")]
    external_id: Option<String>,
}

/// List a tenant's groups
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/groups", tag = "Groups", operation_id = "list_groups",
    params(TenantPath, PageQuery, GroupFilter),
    responses((status = 200, description = "A page of groups.", body = List<Group>)),
    extensions(("x-required-action" = json!("groups:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<GroupFilter>,
) -> Result<Answer<List<Group>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let filter = group::Filter { address: filter.address, external_id: filter.external_id };
    Ok(page::answer(group::list(&ctx, &filter, page).await?))
}

/// Get a group
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/groups/{group_id}", tag = "Groups", operation_id = "get_group",
    params(GroupPath),
    responses((status = 200, description = "The group.", body = Group)),
    extensions(("x-required-action" = json!("groups:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<GroupPath>) -> Result<Tagged<Answer<Group>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(group::get(&ctx, at.group_id).await?))
}

/// What of a group is to change (RFC 7396). Its members have paths of their own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupPatch {
    /// Its name as people see it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::Name, required = false)]
    display_name: Option<String>,
    /// The old one stays, as an alias, unless `aliases` says otherwise. Null takes it off: then the group has none, and mail to the old one is
    /// refused, unless `aliases` has it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::EmailAddress>)]
    address: Option<Option<String>>,
    /// All further addresses.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<schema::EmailAddress>, required = false, max_items = 100)]
    aliases: Option<Vec<String>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::TextLine>)]
    external_id: Option<Option<String>>,
}

/// Change a group
///
/// Other `aliases` than there are need `aliases:write` too. A new `address` does not: the old one stays as an alias.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/groups/{group_id}", tag = "Groups", operation_id = "update_group",
    params(GroupPath, DryRun),
    responses((status = 200, description = "The group as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Group>),
        (status = 409, description = "An address (`address_taken`) or the `external_id` (`external_id_taken`) is in use, or the old address would be the 101st alias (`too_many_aliases`).")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<GroupPatch>,
) -> Result<Response, Problem> {
    let change = group::GroupChange {
        display_name: body.display_name,
        address: body.address,
        aliases: body.aliases,
        external_id: body.external_id,
    };
    let update = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(group::update(&ctx, at.group_id, version, change).await?))
    };
    query.carry_out(caller, update).await
}

/// Delete a group
///
/// Mail to its addresses is refused from then on. Its members stay; groups that it was in do without it.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/groups/{group_id}", tag = "Groups", operation_id = "delete_group",
    params(GroupPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was deleted.", body = Effect),
        (status = 204, description = "Deleted.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        group::delete(&ctx, at.group_id, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, delete).await
}

/// List a group's members
///
/// Those that are in it directly.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/groups/{group_id}/members", tag = "Groups", operation_id = "list_members",
    params(GroupPath, PageQuery),
    responses((status = 200, description = "A page of members.", body = List<InGroup>)),
    extensions(("x-required-action" = json!("groups:read"))))]
async fn members(
    Bearer(caller): Bearer,
    Path(at): Path<GroupPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<InGroup>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(group::members(&ctx, at.group_id, page).await?))
}

/// Make a mailbox or group a member
///
/// One that is a member already stays so.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/groups/{group_id}/members/{member_id}", tag = "Groups", operation_id = "add_member",
    params(MemberPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was changed.", body = Effect),
        (status = 204, description = "It is a member."),
        (status = 409, description = "The group would come to be a member of itself (`group_loop`), or has 10,000 members already (`too_many_members`).")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn add_member(
    Bearer(caller): Bearer,
    Path(at): Path<MemberPath>,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let change = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        group::add_member(&ctx, at.group_id, at.member_id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, change).await
}

/// Take a member from a group
///
/// What is no member stays so.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/groups/{group_id}/members/{member_id}", tag = "Groups",
    operation_id = "remove_member",
    params(MemberPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was changed.", body = Effect),
        (status = 204, description = "It is no member.")),
    extensions(("x-required-action" = json!("groups:write"))))]
async fn remove_member(
    Bearer(caller): Bearer,
    Path(at): Path<MemberPath>,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let change = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        group::remove_member(&ctx, at.group_id, at.member_id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, change).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(members))
        .routes(routes!(add_member, remove_member))
}
