//! What becomes of a tenant: suspended and resumed, moved to another reseller, deleted and restored.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::{DestructionRecordId, ResellerId, TenantId};
use serde::{Deserialize, Serialize};
use tenancy::{Caller, purge, tenant};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::capability::Capabilities;
use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::TenantPath;
use super::tenant::{Tenant, tagged};
use crate::extract::{Bearer, Json, Path, Query};
use crate::problem::Problem;
use crate::version::IfMatch;
use crate::{Api, schema};

/// Suspend a tenant
///
/// By capability, for all of its users and its own API keys; data stay, and resellers go on administering it. Without
/// `capabilities`, everything is suspended. While `receive` is, mail for it is refused.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/suspend", tag = "Tenants", operation_id = "suspend_tenant",
    params(TenantPath, DryRun),
    responses((status = 200, description = "The tenant as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Tenant>)),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn suspend(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<Capabilities>,
) -> Result<Response, Problem> {
    let suspend = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(tenant::suspend(&ctx, version, &body.read()?).await?))
    };
    query.carry_out_unpriced(caller, suspend).await
}

/// Resume a suspended tenant
///
/// Gives capabilities back; without `capabilities`, all of them. Each user keeps what was taken from them alone.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/resume", tag = "Tenants", operation_id = "resume_tenant",
    params(TenantPath, DryRun),
    responses((status = 200, description = "The tenant as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Tenant>)),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn resume(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<Capabilities>,
) -> Result<Response, Problem> {
    let resume = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(tenant::resume(&ctx, version, &body.read()?).await?))
    };
    query.carry_out_unpriced(caller, resume).await
}

/// Where a tenant is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// The reseller it will buy from.
    #[schema(value_type = schema::ResellerId)]
    reseller_id: ResellerId,
}

/// Transfer a tenant to another reseller
///
/// Both resellers must be in the caller's scope. Everything in the tenant stays, by the same ids; its subscription goes on by the
/// prices it has. One-off items that wait for a document are deleted, and discounts end with what has been billed, not before the day
/// after this one: the former reseller is told by `one_off_item.deleted` and `discount.ended`, with the `reason` `transferred`. The
/// caps and pools of the resellers it goes to have to have room for it.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/transfer", tag = "Tenants", operation_id = "transfer_tenant",
    params(TenantPath, DryRun),
    responses((status = 200, description = "The tenant as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Tenant>),
        (status = 409, description = "A cap there is reached (`tenants_exhausted`, `domains_exhausted`, `seats_exhausted`, `shared_mailboxes_exhausted`), or it belongs to the reseller already (`same_reseller`)."),
        (status = 422, description = "A pool of bytes there has no room: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn transfer(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<Transfer>,
) -> Result<Response, Problem> {
    let transfer = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(billing::transfer::transfer(&ctx, version, body.reseller_id).await?))
    };
    query.carry_out_unpriced(caller, transfer).await
}

/// Delete a tenant
///
/// Nobody signs in any more, mail for it is refused, its domains are free for others, and its resellers count it no more. All
/// that is in it is kept: for 30 days it can be restored, and then it is destroyed.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}", tag = "Tenants", operation_id = "delete_tenant",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was deleted.", body = Effect),
        (status = 204, description = "Deleted."),
        (status = 409, description = "Mail of the tenant is on hold: `tenant_on_hold`.")),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        tenant::delete(&ctx, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out_unpriced(caller, delete).await
}

/// Restore a deleted tenant
///
/// For 30 days, by the same id, with everything in it. A domain whose name another tenant has verified meanwhile is `pending` again.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/restore", tag = "Tenants", operation_id = "restore_tenant",
    params(TenantPath, DryRun),
    responses((status = 200, description = "The tenant, restored; with `dry_run`, what it would come to instead.", body = OrEffect<Tenant>),
        (status = 409, description = "A cap above it is reached meanwhile (`tenants_exhausted`, `domains_exhausted`, `seats_exhausted`, `shared_mailboxes_exhausted`), it is too late (`restore_expired`), or the tenant is not deleted (`not_deleted`)."),
        (status = 422, description = "A pool of bytes above it has no room: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn restore(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let restore = async move |caller: Caller| {
        let ctx = caller.enter_deleted_too(at.tenant_id).await?;
        Ok(tagged(tenant::restore(&ctx).await?))
    };
    query.carry_out_unpriced(caller, restore).await
}

/// What is left of a tenant that was destroyed.
#[derive(Debug, Serialize, ToSchema)]
struct DestructionRecord {
    #[schema(value_type = schema::DestructionRecordId)]
    id: DestructionRecordId,
    #[schema(value_type = schema::TenantId)]
    tenant_id: TenantId,
    /// The record and its signature: a JWS in compact form (RFC 7515), signed with EdDSA. Its header has the public key (`jwk`) and
    /// that key's id as `/.well-known/jwks.json` showed it at the time; its payload says what was destroyed, how much of it, what
    /// was kept, and on which day (UTC) the last backup of the database in which it still is has expired, `backups_expire_on`.
    #[schema(example = "eyJhbGciOiJFZERTQSJ9.eyJ0ZW5hbnRfaWQiOiJ0ZW5fMDE5YTJmM2MifQ.c2lnbmF0dXJl")]
    jws: String,
    created_at: DateTime<Utc>,
}

/// Get a destroyed tenant's record
///
/// A tenant is destroyed a day after the last moment at which it could be restored: its mail, users, mailboxes, domains, groups and keys.
/// Its audit trail and its invoices are kept.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/destruction-record", tag = "Tenants", operation_id = "get_destruction_record",
    params(TenantPath),
    responses((status = 200, description = "The record.", body = DestructionRecord)),
    extensions(("x-required-action" = json!("tenants:read"))))]
async fn destruction_record(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Answer<DestructionRecord>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    let record = purge::record(&ctx).await?;
    Ok(Answer(DestructionRecord {
        id: record.id,
        tenant_id: at.tenant_id,
        jws: record.jws,
        created_at: record.created_at,
    }))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(transfer))
        .routes(routes!(delete))
        .routes(routes!(restore))
        .routes(routes!(destruction_record))
}
