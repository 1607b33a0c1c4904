//! App passwords of a user's programs.

use axum::http::StatusCode;
use axum::{Extension, Json as Answer};
use chrono::{DateTime, Utc};
use kernel::AppPasswordId;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tenancy::app_password;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::capability;
use super::paths::{AppPasswordPath, UserPath};
use crate::extract::{Bearer, Json, Path};
use crate::idempotency::ShownOnce;
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// An app password, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct AppPassword {
    #[schema(value_type = schema::AppPasswordId)]
    id: AppPasswordId,
    /// What it is for.
    #[schema(example = "Ada's phone")]
    name: String,
    /// What it is good for: `imap`, `pop3`, `send`, `sync`.
    #[schema(value_type = Vec<schema::AppPasswordProtocol>, example = json!(["imap", "send"]))]
    protocols: Vec<String>,
    /// When it ends; null: when it is revoked.
    #[schema(required, example = "2027-12-01T09:00:00Z")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    last_used_at: Option<DateTime<Utc>>,
    /// When it was created.
    #[schema(example = "2026-12-01T09:00:00Z")]
    created_at: DateTime<Utc>,
}

impl From<app_password::AppPassword> for AppPassword {
    fn from(of: app_password::AppPassword) -> Self {
        Self {
            id: of.id,
            name: of.name,
            protocols: capability::names(&of.protocols),
            expires_at: of.expires_at,
            last_used_at: of.last_used_at,
            created_at: of.created_at,
        }
    }
}

/// A new app password with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedAppPassword {
    #[serde(flatten)]
    password: AppPassword,
    /// For the program's password field, with or without the dashes. Absent when the answer is a replay.
    #[schema(required = false, example = "abcde-fghij-kmnpq-rstuv-wxyz2")]
    secret: String,
}

/// An app password to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAppPassword {
    /// What it is for.
    #[schema(value_type = schema::ShortName)]
    name: String,
    /// What it is to be good for: `imap`, `pop3`, `send`, `sync`.
    #[schema(value_type = Vec<schema::AppPasswordProtocol>, min_items = 1, example = json!(["imap", "send"]))]
    protocols: Vec<String>,
    /// When it is to end; absent or null: when it is revoked.
    #[serde(default)]
    #[schema(example = "2027-12-01T09:00:00Z")]
    expires_at: Option<DateTime<Utc>>,
}

/// Create an app password
///
/// For one program of the user's and some protocols. People may create their own.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/{user_id}/app-passwords", tag = "App passwords", operation_id = "create_app_password",
    params(UserPath),
    responses((status = 201, description = "The app password and, this once, its secret.", body = CreatedAppPassword),
        (status = 409, description = "The user has 50 already: `too_many_app_passwords`.")),
    extensions(("x-required-action" = json!("app_passwords:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Json(body): Json<NewAppPassword>,
) -> Result<(StatusCode, Extension<ShownOnce>, Answer<CreatedAppPassword>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let new = app_password::NewAppPassword {
        name: body.name,
        protocols: capability::read(&body.protocols, "/protocols")?,
        expires_at: body.expires_at,
    };
    let (password, secret) = app_password::create(&ctx, at.user_id, new).await?;
    let body = CreatedAppPassword { password: password.into(), secret: secret.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Extension(ShownOnce("secret")), Answer(body)))
}

/// List a user's app passwords
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/users/{user_id}/app-passwords", tag = "App passwords", operation_id = "list_app_passwords",
    params(UserPath, PageQuery),
    responses((status = 200, description = "A page of app passwords, without their secrets.", body = List<AppPassword>)),
    extensions(("x-required-action" = json!("app_passwords:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<AppPassword>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(app_password::list(&ctx, at.user_id, page).await?))
}

/// Revoke an app password
///
/// The next sign-in with it fails.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/users/{user_id}/app-passwords/{app_password_id}", tag = "App passwords",
    operation_id = "revoke_app_password",
    params(AppPasswordPath),
    responses((status = 204, description = "Revoked.")),
    extensions(("x-required-action" = json!("app_passwords:write"))))]
async fn revoke(Bearer(caller): Bearer, Path(at): Path<AppPasswordPath>) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    app_password::revoke(&ctx, at.user_id, at.app_password_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(revoke))
}
