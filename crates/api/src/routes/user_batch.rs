//! Many users at once.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenancy::{Caller, user};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect};
use super::paths::TenantPath;
use super::user::{NewUser, User};
use crate::Api;
use crate::extract::{Bearer, Json, Path, Query};
use crate::problem::Problem;

/// Users to create, all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUsers {
    /// The users.
    #[schema(min_items = 1, max_items = 1000)]
    users: Vec<NewUser>,
}

/// The users that were created.
#[derive(Debug, Serialize, ToSchema)]
struct Users {
    /// In the order of the request.
    users: Vec<User>,
}

/// Create many users
///
/// All or none, each as `create_user` does. `errors` names the rows that are wrong, or the first that cannot be, as
/// `/users/17`. Passwords are hashed one by one, slowly on purpose.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/batch", tag = "Users", operation_id = "create_users",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The users.", body = Users),
        (status = 409, description = "There are not seats for all (`seats_exhausted`), an address (`address_taken`) or `external_id` (`external_id_taken`) is in use or comes twice, or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`).")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<NewUsers>,
) -> Result<Response, Problem> {
    let create = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        let rows = body.users.into_iter().map(Into::into).collect();
        let users = user::create_batch(&ctx, rows).await?;
        let users = users.into_iter().map(|user| User::new(at.tenant_id, user)).collect();
        Ok((StatusCode::CREATED, Answer(Users { users })))
    };
    query.carry_out(caller, create).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create))
}
