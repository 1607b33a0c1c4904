//! Aliases.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use kernel::{AliasId, GroupId, MailboxId};
use serde::{Deserialize, Serialize};
use tenancy::Caller;
use tenancy::address::{self, Target};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect};
use super::paths::{AliasPath, TenantPath};
use crate::extract::{Bearer, Json, Path, Query};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// A further address of a mailbox or a group.
#[derive(Debug, Serialize, ToSchema)]
struct Alias {
    #[schema(value_type = schema::AliasId)]
    id: AliasId,
    /// The address.
    #[schema(value_type = schema::EmailAddress)]
    address: String,
    /// The mailbox that it leads to; null for a group's.
    #[schema(value_type = Option<schema::MailboxId>, required)]
    mailbox_id: Option<MailboxId>,
    /// The group that it leads to; null for a mailbox's.
    #[schema(value_type = Option<schema::GroupId>, required)]
    group_id: Option<GroupId>,
}

impl From<address::Alias> for Alias {
    fn from(of: address::Alias) -> Self {
        let (mailbox_id, group_id) = match of.target {
            Target::Mailbox(id) => (Some(id), None),
            Target::Group(id) => (None, Some(id)),
        };
        Self { id: of.id, address: of.address, mailbox_id, group_id }
    }
}

/// An alias to create: of a mailbox or of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAlias {
    /// In a verified domain of the tenant.
    #[schema(value_type = schema::EmailAddress)]
    address: String,
    /// The mailbox that it is to lead to; absent for a group's.
    #[serde(default)]
    #[schema(value_type = Option<schema::MailboxId>)]
    mailbox_id: Option<MailboxId>,
    /// The group that it is to lead to; absent for a mailbox's.
    #[serde(default)]
    #[schema(value_type = Option<schema::GroupId>)]
    group_id: Option<GroupId>,
}

/// Create an alias
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/aliases", tag = "Aliases", operation_id = "create_alias",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The alias.", body = Alias),
        (status = 409, description = "The address is in use (`address_taken`), or there are 100 aliases already (`too_many_aliases`).")),
    extensions(("x-required-action" = json!("aliases:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<NewAlias>,
) -> Result<Response, Problem> {
    let create = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        let target = match (body.mailbox_id, body.group_id) {
            (Some(id), None) => Target::Mailbox(id),
            (None, Some(id)) => Target::Group(id),
            _ => return Err(Problem::field("", "must name a mailbox_id or a group_id, and not both")),
        };
        let alias = address::create(&ctx, &body.address, target).await?;
        Ok((StatusCode::CREATED, Answer(Alias::from(alias))))
    };
    query.carry_out(caller, create).await
}

/// Which aliases are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AliasFilter {
    /// Only this one.
    #[param(example = "info@bakery.example")]
    address: Option<String>,
    /// Only those that lead to this mailbox.
    #[param(value_type = Option<schema::MailboxId>)]
    mailbox_id: Option<MailboxId>,
    /// Only those that lead to this group.
    #[param(value_type = Option<schema::GroupId>)]
    group_id: Option<GroupId>,
}

/// List a tenant's aliases
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/aliases", tag = "Aliases", operation_id = "list_aliases",
    params(TenantPath, PageQuery, AliasFilter),
    responses((status = 200, description = "A page of aliases.", body = List<Alias>)),
    extensions(("x-required-action" = json!("aliases:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<AliasFilter>,
) -> Result<Answer<List<Alias>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let AliasFilter { address, mailbox_id, group_id } = filter;
    let filter = address::Filter { address, mailbox_id, group_id };
    Ok(page::answer(address::list(&ctx, &filter, page).await?))
}

/// Delete an alias
///
/// Mail to it is refused from then on.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/aliases/{alias_id}", tag = "Aliases", operation_id = "delete_alias",
    params(AliasPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was deleted.", body = Effect),
        (status = 204, description = "Deleted.")),
    extensions(("x-required-action" = json!("aliases:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<AliasPath>,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        address::delete(&ctx, at.alias_id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, delete).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(delete))
}
