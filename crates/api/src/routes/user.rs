//! Users.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::{MailboxId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use tenancy::{Caller, Role, user};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::capability;
use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::{TenantPath, UserPath};
use crate::extract::{Bearer, Json, Path, Query, not_null, nullable};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// A person who signs in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    #[schema(value_type = schema::UserId)]
    id: UserId,
    #[schema(value_type = schema::TenantId)]
    tenant_id: kernel::TenantId,
    /// The primary address.
    #[schema(value_type = schema::EmailAddress)]
    address: String,
    /// Further addresses of the mailbox.
    #[schema(value_type = Vec<schema::EmailAddress>)]
    aliases: Vec<String>,
    /// As people call them.
    #[schema(example = "Ada Lovelace")]
    display_name: String,
    /// If a directory keeps it apart.
    #[schema(required, example = "Ada")]
    given_name: Option<String>,
    /// If a directory keeps it apart.
    #[schema(required, example = "Lovelace")]
    family_name: Option<String>,
    /// `tenant_admin`, `tenant_billing`, `helpdesk` or `user`.
    #[schema(value_type = schema::UserRole)]
    role: String,
    /// `active`, `suspended` or `deleted`.
    #[schema(value_type = schema::Status)]
    status: String,
    /// What a suspension took away: `sign_in`, `send`, `receive`, `imap`, `pop3`, `api`, `sync`.
    #[schema(value_type = Vec<schema::Capability>)]
    suspended_capabilities: Vec<String>,
    #[schema(value_type = schema::MailboxId)]
    mailbox_id: MailboxId,
    /// The id in the customer's directory.
    #[schema(required, example = "e-1042")]
    external_id: Option<String>,
    /// In the tenant's time.
    created_at: DateTime<Utc>,
    /// When they were deleted; they can be restored for 30 days.
    #[schema(required)]
    deleted_at: Option<DateTime<Utc>>,
}

impl User {
    pub(super) fn new(tenant_id: kernel::TenantId, of: user::User) -> Self {
        Self {
            id: of.id,
            tenant_id,
            address: of.address,
            aliases: of.aliases,
            display_name: of.display_name,
            given_name: of.given_name,
            family_name: of.family_name,
            role: of.role.to_string(),
            status: of.status,
            suspended_capabilities: capability::names(&of.suspended_capabilities),
            mailbox_id: of.mailbox_id,
            external_id: of.external_id,
            created_at: of.created_at,
            deleted_at: of.deleted_at,
        }
    }
}

pub(super) fn tagged(tenant_id: kernel::TenantId, of: user::User) -> Tagged<Answer<User>> {
    Tagged(of.version, Answer(User::new(tenant_id, of)))
}

/// A user to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// The primary address, in a domain of the tenant.
    #[schema(value_type = schema::EmailAddress)]
    address: String,
    /// Further addresses of the mailbox.
    #[serde(default)]
    #[schema(value_type = Vec<schema::EmailAddress>, required = false)]
    aliases: Vec<String>,
    /// The address when absent.
    #[serde(default)]
    #[schema(value_type = schema::NameIfAny, required = false)]
    display_name: String,
    /// If a directory keeps it apart.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    given_name: Option<String>,
    /// If a directory keeps it apart.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    family_name: Option<String>,
    /// `tenant_admin`, `tenant_billing`, `helpdesk` or `user`.
    #[serde(default = "role_user", deserialize_with = "role")]
    #[schema(value_type = schema::UserRole, required = false, default = "user")]
    role: Role,
    /// For signing in; without one they cannot.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>, min_length = 8, max_length = 1024, write_only, example = "correct horse battery staple")]
    password: Option<SecretString>,
    /// The mailbox's quota in bytes; absent or null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 1_073_741_824)]
    quota_bytes: Option<i64>,
    /// The id in the customer's directory.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    external_id: Option<String>,
}

fn role_user() -> Role {
    Role::User
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    // One that no user has is refused with whatever else is wrong.
    let role = String::deserialize(deserializer)?.parse();
    role.map_err(|_| serde::de::Error::custom(word::must_be_one::<Role>()))
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

impl From<NewUser> for user::NewUser {
    fn from(body: NewUser) -> Self {
        Self {
            address: body.address,
            aliases: body.aliases,
            display_name: body.display_name,
            given_name: body.given_name,
            family_name: body.family_name,
            role: body.role,
            password: body.password,
            quota_bytes: body.quota_bytes,
            external_id: body.external_id,
        }
    }
}

/// Create a user
///
/// With a personal mailbox, and a seat taken: all or nothing.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users", tag = "Users", operation_id = "create_user",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The user.", body = User),
        (status = 409, description = "All seats are taken (`seats_exhausted`), or an address (`address_taken`) or `external_id` (`external_id_taken`) is in use, or the quotas would add up to more than the tenant's storage, which it does not allow (`pool_overallocated`).")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<NewUser>,
) -> Result<Response, Problem> {
    let create = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok((StatusCode::CREATED, tagged(at.tenant_id, user::create(&ctx, body.into()).await?)))
    };
    query.carry_out(caller, create).await
}

/// Which users are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UserFilter {
    /// Only those who stand so; all but the deleted, who can be restored, when absent.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::Status>)]
    status: Option<user::Status>,
    /// Only those with this role.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::UserRole>)]
    role: Option<Role>,
    /// Only the one with this id in the customer's directory.
    external_id: Option<String>,
    /// Only the one with this address, primary or not.
    address: Option<String>,
}

/// List a tenant's users
///
/// Without the deleted, unless they are asked for.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/users", tag = "Users", operation_id = "list_users",
    params(TenantPath, PageQuery, UserFilter),
    responses((status = 200, description = "A page of users.", body = List<User>)),
    extensions(("x-required-action" = json!("users:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<UserFilter>,
) -> Result<Answer<List<User>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let filter = user::Filter {
        status: filter.status,
        role: filter.role,
        external_id: filter.external_id,
        address: filter.address,
    };
    let users = user::list(&ctx, &filter, page).await?;
    Ok(page::answer(page::map(users, |user| User::new(at.tenant_id, user))))
}

/// Get a user
///
/// A deleted one too, as long as they can be restored.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/users/{user_id}", tag = "Users", operation_id = "get_user",
    params(UserPath),
    responses((status = 200, description = "The user.", body = User)),
    extensions(("x-required-action" = json!("users:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<UserPath>) -> Result<Tagged<Answer<User>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(at.tenant_id, user::get(&ctx, at.user_id).await?))
}

/// What of a user is to change (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserPatch {
    /// The old one stays, as an alias, unless `aliases` says otherwise.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::EmailAddress, required = false)]
    address: Option<String>,
    /// All further addresses.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<schema::EmailAddress>, required = false, max_items = 100)]
    aliases: Option<Vec<String>>,
    /// The name as others see it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::Name, required = false)]
    display_name: Option<String>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::TextLine>)]
    given_name: Option<Option<String>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::TextLine>)]
    family_name: Option<Option<String>>,
    /// `tenant_admin`, `tenant_billing`, `helpdesk` or `user`.
    #[serde(default, deserialize_with = "some_role")]
    #[schema(value_type = schema::UserRole, required = false)]
    role: Option<Role>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::TextLine>)]
    external_id: Option<Option<String>>,
}

fn some_role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    role(deserializer).map(Some)
}

impl From<UserPatch> for user::UserChange {
    fn from(body: UserPatch) -> Self {
        Self {
            address: body.address,
            aliases: body.aliases,
            display_name: body.display_name,
            given_name: body.given_name,
            family_name: body.family_name,
            role: body.role,
            external_id: body.external_id,
        }
    }
}

/// Change a user
///
/// Other `aliases` than there are need `aliases:write` too. A new `address` does not: the old one stays as an alias.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/users/{user_id}", tag = "Users", operation_id = "update_user",
    params(UserPath, DryRun),
    responses((status = 200, description = "The user as they are now; with `dry_run`, what it would come to instead.", body = OrEffect<User>),
        (status = 409, description = "An address (`address_taken`) or the `external_id` (`external_id_taken`) is in use, the old address would be the 101st alias (`too_many_aliases`), or the user is deleted (`user_deleted`).")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<UserPatch>,
) -> Result<Response, Problem> {
    let update = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(at.tenant_id, user::update(&ctx, at.user_id, version, body.into()).await?))
    };
    query.carry_out(caller, update).await
}

/// Delete a user
///
/// Frees the seat and the addresses, ends their sessions and revokes their app passwords; the mail is kept. For 30 days they can be
/// restored.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/users/{user_id}", tag = "Users", operation_id = "delete_user",
    params(UserPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was deleted.", body = Effect),
        (status = 204, description = "Deleted.")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        user::delete(&ctx, at.user_id, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, delete).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(get, update, delete))
}
