//! Mail domains.

use axum::Json as Answer;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use kernel::DomainId;
use serde::{Deserialize, Serialize};
use tenancy::domain;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{DomainPath, TenantPath};
use crate::extract::{Bearer, Json, Path, Query};
use crate::page::{self, List, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// A mail domain.
#[derive(Debug, Serialize, ToSchema)]
struct Domain {
    #[schema(value_type = schema::DomainId)]
    id: DomainId,
    /// In ASCII form.
    #[schema(example = "bakery.example")]
    name: String,
    /// `active`: mail is routed.
    #[schema(example = "active")]
    status: String,
    created_at: DateTime<Utc>,
}

impl From<domain::Domain> for Domain {
    fn from(of: domain::Domain) -> Self {
        Self { id: of.id, name: of.name, status: of.status, created_at: of.created_at }
    }
}

/// A domain to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDomain {
    /// An internationalised name is brought into ASCII form.
    #[schema(example = "bakery.example")]
    name: String,
}

/// Add a domain
///
/// It routes mail at once.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/domains", tag = "Domains", operation_id = "create_domain",
    params(TenantPath),
    responses((status = 201, description = "The domain.", body = Domain),
        (status = 409, description = "The name is in use, here or elsewhere: `domain_taken`.")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewDomain>,
) -> Result<(StatusCode, Answer<Domain>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let domain = domain::create(&ctx, &body.name).await?;
    Ok((StatusCode::CREATED, Answer(domain.into())))
}

/// List a tenant's domains
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains", tag = "Domains", operation_id = "list_domains",
    params(TenantPath, PageQuery),
    responses((status = 200, description = "A page of domains.", body = List<Domain>)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Domain>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(domain::list(&ctx, query.request()).await?))
}

/// Get a domain
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains/{domain_id}", tag = "Domains", operation_id = "get_domain",
    params(DomainPath),
    responses((status = 200, description = "The domain.", body = Domain)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<DomainPath>) -> Result<Answer<Domain>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(Answer(domain::get(&ctx, at.domain_id).await?.into()))
}

/// Remove a domain
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/domains/{domain_id}", tag = "Domains", operation_id = "delete_domain",
    params(DomainPath),
    responses((status = 204, description = "Removed."),
        (status = 409, description = "Addresses of it exist or existed: `domain_in_use`.")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn delete(Bearer(caller): Bearer, Path(at): Path<DomainPath>) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    domain::delete(&ctx, at.domain_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(get, delete))
}
