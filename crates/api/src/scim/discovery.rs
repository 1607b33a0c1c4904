//! What the server says of itself (RFC 7644 §4).

use axum::http::StatusCode;
use kernel::TenantId;
use scim::discovery::{self, Features};
use scim::message::list_response;
use serde::Deserialize;
use serde_json::Value;
use tenancy::{Action, Caller};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Document;
use super::base;
use super::describe::{ScimDocument, ScimList};
use crate::Api;
use crate::extract::{Bearer, Path, Query};
use crate::problem::Problem;
use crate::routes::paths::TenantPath;

/// A resource type of a tenant's.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ResourceTypePath {
    #[param(value_type = crate::schema::TenantId)]
    tenant_id: TenantId,
    /// Its name.
    #[param(example = "User")]
    resource_type: String,
}

/// A schema of a tenant's.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct SchemaPath {
    #[param(value_type = crate::schema::TenantId)]
    tenant_id: TenantId,
    /// Its URN.
    #[param(example = "urn:ietf:params:scim:schemas:core:2.0:User")]
    schema: String,
}

/// A filter, which is not for these lists.
#[derive(Debug, Deserialize)]
struct NoFilter {
    filter: Option<String>,
}

impl NoFilter {
    /// RFC 7644 §4: else a client could take the list for a filtered one.
    fn check(&self) -> Result<(), Problem> {
        let refused = || Problem::new(StatusCode::FORBIDDEN, "forbidden", "this list takes no filter");
        self.filter.as_ref().map_or(Ok(()), |_| Err(refused()))
    }
}

/// The tenant's base URL, for those who may see its users.
async fn enter(caller: Caller, tenant_id: TenantId) -> Result<String, Problem> {
    caller.enter(tenant_id).await?.require(Action::UserRead)?;
    Ok(base(tenant_id))
}

fn listed(documents: Vec<Value>) -> Document {
    Document(list_response(documents.len() as u64, 1, documents))
}

fn found(document: Option<Value>) -> Result<Document, Problem> {
    document.map(Document).ok_or_else(Problem::not_found)
}

/// Get the server's SCIM configuration
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/ServiceProviderConfig", tag = "SCIM", operation_id = "scim_get_service_provider_config",
    params(TenantPath),
    responses((status = 200, description = "What is supported.", body = ScimDocument, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn config(Bearer(caller): Bearer, Path(at): Path<TenantPath>) -> Result<Document, Problem> {
    let base = enter(caller, at.tenant_id).await?;
    let features = Features { change_password: true, ..Features::default() };
    Ok(Document(discovery::service_provider_config(&base, features)))
}

/// List the SCIM resource types
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/ResourceTypes", tag = "SCIM", operation_id = "scim_list_resource_types",
    params(TenantPath),
    responses((status = 200, description = "The resource types.", body = ScimList, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn resource_types(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<NoFilter>,
) -> Result<Document, Problem> {
    let base = enter(caller, at.tenant_id).await?;
    query.check()?;
    Ok(listed(discovery::resource_types(&base)))
}

/// Get a SCIM resource type
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/ResourceTypes/{resource_type}", tag = "SCIM", operation_id = "scim_get_resource_type",
    params(ResourceTypePath),
    responses((status = 200, description = "The resource type.", body = ScimDocument, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn resource_type(
    Bearer(caller): Bearer,
    Path(at): Path<ResourceTypePath>,
) -> Result<Document, Problem> {
    let base = enter(caller, at.tenant_id).await?;
    found(discovery::resource_type(&base, &at.resource_type))
}

/// List the SCIM schemas
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/Schemas", tag = "SCIM", operation_id = "scim_list_schemas",
    params(TenantPath),
    responses((status = 200, description = "The schemas.", body = ScimList, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn schemas(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<NoFilter>,
) -> Result<Document, Problem> {
    let base = enter(caller, at.tenant_id).await?;
    query.check()?;
    Ok(listed(discovery::schemas(&base)))
}

/// Get a SCIM schema
#[utoipa::path(get, path = "/scim/v2/{tenant_id}/Schemas/{schema}", tag = "SCIM", operation_id = "scim_get_schema",
    params(SchemaPath),
    responses((status = 200, description = "The schema.", body = ScimDocument, content_type = "application/scim+json")),
    extensions(("x-required-action" = json!("users:read"))))]
async fn schema(Bearer(caller): Bearer, Path(at): Path<SchemaPath>) -> Result<Document, Problem> {
    let base = enter(caller, at.tenant_id).await?;
    found(discovery::schema(&base, &at.schema))
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(config))
        .routes(routes!(resource_types))
        .routes(routes!(resource_type))
        .routes(routes!(schemas))
        .routes(routes!(schema))
}
