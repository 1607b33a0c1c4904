//! What becomes of a user: suspended and resumed, restored, and given a new password.

use axum::http::StatusCode;
use axum::response::Response;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use tenancy::{Caller, user};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::capability::Capabilities;
use super::dry_run::{DryRun, OrEffect};
use super::paths::UserPath;
use super::user::{User, tagged};
use crate::extract::{Bearer, Json, Path, Query};
use crate::problem::Problem;
use crate::version::IfMatch;
use crate::{Api, schema};

/// Suspend a user
///
/// By capability; mail is kept, and keeps arriving unless `receive` is taken. Without `capabilities`, everything is suspended.
/// Taking `sign_in` or `api` ends their sessions.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/{user_id}/suspend", tag = "Users", operation_id = "suspend_user",
    params(UserPath, DryRun),
    responses((status = 200, description = "The user as they are now; with `dry_run`, what it would come to instead.", body = OrEffect<User>),
        (status = 409, description = "The user is deleted: `user_deleted`.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn suspend(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<Capabilities>,
) -> Result<Response, Problem> {
    let suspend = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(at.tenant_id, user::suspend(&ctx, at.user_id, version, &body.read()?).await?))
    };
    query.carry_out(caller, suspend).await
}

/// Resume a suspended user
///
/// Gives capabilities back; without `capabilities`, all of them.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/{user_id}/resume", tag = "Users", operation_id = "resume_user",
    params(UserPath, DryRun),
    responses((status = 200, description = "The user as they are now; with `dry_run`, what it would come to instead.", body = OrEffect<User>),
        (status = 409, description = "The user is deleted: `user_deleted`.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn resume(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<Capabilities>,
) -> Result<Response, Problem> {
    let resume = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(at.tenant_id, user::resume(&ctx, at.user_id, version, &body.read()?).await?))
    };
    query.carry_out(caller, resume).await
}

/// How a user is to be restored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// The primary address from now on; needed when somebody else has the old one.
    #[serde(default)]
    #[schema(value_type = Option<schema::EmailAddress>)]
    address: Option<String>,
}

/// Restore a deleted user
///
/// For 30 days, by the same id, with their mailbox, and with those of their addresses that nobody has taken meanwhile. Takes a seat.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/{user_id}/restore", tag = "Users", operation_id = "restore_user",
    params(UserPath, DryRun),
    responses((status = 200, description = "The user, restored; with `dry_run`, what it would come to instead.", body = OrEffect<User>),
        (status = 409, description = "All seats are taken (`seats_exhausted`), the address (`address_taken`) or `external_id` (`external_id_taken`) is in use, the user is not deleted (`not_deleted`), it is too late (`restore_expired`), its old address would be the 101st alias beside the one that is given (`too_many_aliases`), or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`)."),
        (status = 422, description = "A pool of bytes has no room for the mail: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn restore(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<Restore>,
) -> Result<Response, Problem> {
    let restore = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(at.tenant_id, user::restore(&ctx, at.user_id, body.address.as_deref()).await?))
    };
    query.carry_out(caller, restore).await
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// 8 to 1024 characters.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, min_length = 8, max_length = 1024, write_only, example = "correct horse battery")]
    password: SecretString,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

/// Give a user another password
///
/// Ends their sessions; their app passwords stay.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/{user_id}/reset-password", tag = "Users", operation_id = "reset_password",
    params(UserPath),
    responses((status = 204, description = "The password is another."),
        (status = 409, description = "The user is deleted: `user_deleted`.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn reset_password(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    user::reset_password(&ctx, at.user_id, body.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(restore))
        .routes(routes!(reset_password))
}
