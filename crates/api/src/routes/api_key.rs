//! API keys of resellers and tenants.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::StatusCode;
use axum::{Extension, Json as Answer};
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use kernel::ApiKeyId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tenancy::{Action, Role, Scope, api_key};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{ResellerKeyPath, ResellerPath, TenantKeyPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::idempotency::ShownOnce;
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema, word};

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKey {
    #[schema(value_type = schema::ApiKeyId)]
    id: ApiKeyId,
    /// What its bearer is to the objects in its scope.
    #[schema(value_type = schema::KeyRole)]
    role: String,
    /// The part of the tree it sees: `operator`, a reseller's id or a tenant's id.
    #[schema(example = "rsl_019a2f3c5d7e7abc8def0123456789ab")]
    scope: String,
    /// What it is narrowed to; empty: all that the role allows.
    #[schema(value_type = Vec<schema::Action>, example = json!(["users:read", "users:write"]))]
    actions: Vec<String>,
    /// When it ends; null: when it is revoked.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// The networks it is good from; empty: from anywhere.
    #[schema(value_type = Vec<String>, example = json!(["192.0.2.0/24"]))]
    networks: Vec<IpNet>,
    /// What it is for.
    #[schema(required, example = "nightly provisioning")]
    description: Option<String>,
    /// When it was last used, to the minute.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    last_used_at: Option<DateTime<Utc>>,
    /// From which address it was used then.
    #[schema(value_type = Option<String>, required, example = "192.0.2.10")]
    last_used_from: Option<IpAddr>,
    /// When it was revoked.
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<api_key::ApiKey> for ApiKey {
    fn from(of: api_key::ApiKey) -> Self {
        Self {
            id: of.id,
            role: of.role.to_string(),
            scope: of.scope.to_string(),
            actions: of.actions.iter().map(Action::to_string).collect(),
            expires_at: of.expires_at,
            networks: of.networks,
            description: of.description,
            last_used_at: of.last_used_at,
            last_used_from: of.last_used_from,
            revoked_at: of.revoked_at,
            created_at: of.created_at,
        }
    }
}

/// A new API key with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedApiKey {
    #[serde(flatten)]
    key: ApiKey,
    /// For `Authorization: Bearer`. Absent when the answer is a replay.
    #[schema(required = false, example = "pillarbox_019a2f3c5d7e7abc8def0123456789ab_...")]
    secret: String,
}

/// An API key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApiKey {
    /// A reseller's key: `reseller_admin`, `reseller_billing` or `reseller_support`. A tenant's: `tenant_admin`, `tenant_billing` or
    /// `helpdesk`.
    #[schema(value_type = schema::KeyRole)]
    role: String,
    /// The part of the tree it is to see. It has to be the reseller or tenant of the path, and may be left out.
    #[serde(default)]
    #[schema(example = "rsl_019a2f3c5d7e7abc8def0123456789ab")]
    scope: Option<String>,
    /// What to narrow it to, of what the role and the caller may do; empty: all that the role allows.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Action>, required = false, example = json!(["tenants:read"]))]
    actions: Vec<String>,
    /// When it is to end; absent or null: when it is revoked.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    /// The networks it is to be good from, in CIDR notation, at most 50; empty: from anywhere, or from those that the caller's own key is bound
    /// to. They have to be within these.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false, max_items = 50, example = json!(["192.0.2.0/24"]))]
    networks: Vec<IpNet>,
    /// What it is for.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    description: Option<String>,
}

/// [`NewApiKey`] in the document, with the roles that fit the scope of its path.
macro_rules! bodies {
    ($($name:ident: $role:ident;)*) => {$(
        enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let mut schema = NewApiKey::schema();
                if let RefOr::T(Schema::Object(body)) = &mut schema {
                    let role = Ref::from_schema_name(schema::$role::name());
                    body.properties.insert("role".into(), RefOr::Ref(role));
                }
                schema
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                NewApiKey::schemas(schemas);
                schemas.push((schema::$role::name().into(), schema::$role::schema()));
            }
        }
    )*};
}

bodies! {
    NewResellerApiKey: ResellerKeyRole;
    NewTenantApiKey: TenantKeyRole;
}

impl NewApiKey {
    fn for_scope(self, scope: Scope) -> Result<api_key::NewApiKey, Problem> {
        if self.scope.is_some_and(|given| given != scope.to_string()) {
            return Err(Problem::field("/scope", format_args!("has to be {scope} here, or left out")));
        }
        let role = self.role.parse::<Role>();
        let fitting = Role::ALL.iter().filter(|role| role.fits(scope)).map(|role| role.as_str());
        let role = role.map_err(|_| Problem::field("/role", word::must_be(fitting)))?;
        let actions = self.actions.iter().enumerate().map(|(at, name)| {
            let detail = "must be an action: /openapi.json has them as Action";
            name.parse::<Action>().map_err(|_| Problem::field(format!("/actions/{at}"), detail))
        });
        Ok(api_key::NewApiKey {
            role,
            actions: actions.collect::<Result<_, _>>()?,
            expires_at: self.expires_at,
            networks: self.networks,
            description: self.description,
        })
    }
}

type Created = (StatusCode, Extension<ShownOnce>, Answer<CreatedApiKey>);

fn created((key, secret): (api_key::ApiKey, SecretString)) -> Created {
    let body = CreatedApiKey { key: key.into(), secret: secret.expose_secret().to_owned() };
    (StatusCode::CREATED, Extension(ShownOnce("secret")), Answer(body))
}

/// Create an API key of a reseller
#[utoipa::path(post, path = "/v1/resellers/{reseller_id}/api-keys", tag = "API keys", operation_id = "create_reseller_api_key",
    params(ResellerPath), request_body = NewResellerApiKey,
    responses((status = 201, description = "The key and, this once, its secret.", body = CreatedApiKey)),
    extensions(("x-required-action" = json!("api_keys:write"))))]
async fn create_of_reseller(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Json(body): Json<NewApiKey>,
) -> Result<Created, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    let new = body.for_scope(Scope::Reseller(at.reseller_id))?;
    Ok(created(api_key::create_for_reseller(&ctx, new).await?))
}

/// List a reseller's API keys
///
/// Revoked ones included.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/api-keys", tag = "API keys", operation_id = "list_reseller_api_keys",
    params(ResellerPath, PageQuery),
    responses((status = 200, description = "A page of keys, without their secrets.", body = List<ApiKey>)),
    extensions(("x-required-action" = json!("api_keys:read"))))]
async fn list_of_reseller(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<ApiKey>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(page::answer(api_key::list_of_reseller(&ctx, page).await?))
}

/// Revoke a reseller's API key
///
/// It and the access tokens made with it end at once.
#[utoipa::path(delete, path = "/v1/resellers/{reseller_id}/api-keys/{key_id}", tag = "API keys", operation_id = "revoke_reseller_api_key",
    params(ResellerKeyPath),
    responses((status = 204, description = "Revoked.")),
    extensions(("x-required-action" = json!("api_keys:write"))))]
async fn revoke_of_reseller(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerKeyPath>,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    api_key::revoke_of_reseller(&ctx, at.key_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Create an API key of a tenant
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/api-keys", tag = "API keys", operation_id = "create_tenant_api_key",
    params(TenantPath), request_body = NewTenantApiKey,
    responses((status = 201, description = "The key and, this once, its secret.", body = CreatedApiKey)),
    extensions(("x-required-action" = json!("api_keys:write"))))]
async fn create_of_tenant(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewApiKey>,
) -> Result<Created, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let new = body.for_scope(Scope::Tenant(at.tenant_id))?;
    Ok(created(api_key::create_for_tenant(&ctx, new).await?))
}

/// List a tenant's API keys
///
/// Revoked ones included.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/api-keys", tag = "API keys", operation_id = "list_tenant_api_keys",
    params(TenantPath, PageQuery),
    responses((status = 200, description = "A page of keys, without their secrets.", body = List<ApiKey>)),
    extensions(("x-required-action" = json!("api_keys:read"))))]
async fn list_of_tenant(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<ApiKey>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(api_key::list_of_tenant(&ctx, page).await?))
}

/// Revoke a tenant's API key
///
/// It and the access tokens made with it end at once.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/api-keys/{key_id}", tag = "API keys", operation_id = "revoke_tenant_api_key",
    params(TenantKeyPath),
    responses((status = 204, description = "Revoked.")),
    extensions(("x-required-action" = json!("api_keys:write"))))]
async fn revoke_of_tenant(
    Bearer(caller): Bearer,
    Path(at): Path<TenantKeyPath>,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    api_key::revoke_of_tenant(&ctx, at.key_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(create_of_reseller, list_of_reseller))
        .routes(routes!(revoke_of_reseller))
        .routes(routes!(create_of_tenant, list_of_tenant))
        .routes(routes!(revoke_of_tenant))
}
