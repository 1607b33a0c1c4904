//! Resellers.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use billing::wholesale::closing;
use chrono::{DateTime, Utc};
use kernel::ResellerId;
use serde::{Deserialize, Serialize};
use tenancy::{Caller, reseller};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::branding::{Branding, BrandingPatch, EffectiveBranding};
use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::ResellerPath;
use crate::extract::{Bearer, Json, Path, Query, not_null, nullable};
use crate::page::{self, Deleted, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// What a reseller's tenants may have, all together.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ResellerCaps)]
#[serde(deny_unknown_fields)]
struct Caps {
    /// Tenants; null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 20)]
    tenants: Option<i32>,
    /// Their domains; null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 40)]
    domains: Option<i32>,
    /// Their users' seats; null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 100)]
    seats: Option<i32>,
    /// Their mailboxes that are nobody's own, which are shared ones, rooms and equipment, and no archives; null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 50)]
    shared_mailboxes: Option<i32>,
    /// Bytes of live messages in their mailboxes; null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 1_099_511_627_776_i64)]
    storage_bytes: Option<i64>,
}

impl From<Caps> for reseller::Caps {
    fn from(of: Caps) -> Self {
        Self {
            tenants: of.tenants,
            domains: of.domains,
            seats: of.seats,
            shared_mailboxes: of.shared_mailboxes,
            storage_bytes: of.storage_bytes,
        }
    }
}

/// What a reseller's tenants have, all together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResellerUsed)]
struct Used {
    /// Tenants.
    #[schema(example = 3)]
    tenants: i32,
    /// Their domains.
    #[schema(example = 5)]
    domains: i32,
    /// Their users' seats.
    #[schema(example = 42)]
    seats: i32,
    /// Their mailboxes that are nobody's own.
    #[schema(example = 7)]
    shared_mailboxes: i32,
    /// Bytes of live messages in their mailboxes; counted, and so not null, only where there is a cap.
    #[schema(required, example = 1_048_576)]
    storage_bytes: Option<i64>,
}

/// A partner who sells mailboxes.
#[derive(Debug, Serialize, ToSchema)]
struct Reseller {
    #[schema(value_type = schema::ResellerId)]
    id: ResellerId,
    /// The reseller above it; null below the operator.
    #[schema(value_type = Option<schema::ResellerId>, required)]
    parent_id: Option<ResellerId>,
    /// As people call it.
    #[schema(example = "North Hosting")]
    name: String,
    /// `active` or `deleted`.
    #[schema(value_type = schema::ResellerStatus)]
    status: String,
    caps: Caps,
    used: Used,
    branding: Branding,
    created_at: DateTime<Utc>,
}

impl From<reseller::Reseller> for Reseller {
    fn from(of: reseller::Reseller) -> Self {
        Self {
            id: of.id,
            parent_id: of.parent_id,
            name: of.name,
            status: of.status,
            caps: Caps {
                tenants: of.caps.tenants,
                domains: of.caps.domains,
                seats: of.caps.seats,
                shared_mailboxes: of.caps.shared_mailboxes,
                storage_bytes: of.caps.storage_bytes,
            },
            used: Used {
                tenants: of.used.tenants,
                domains: of.used.domains,
                seats: of.used.seats,
                shared_mailboxes: of.used.shared_mailboxes,
                storage_bytes: of.used.storage_bytes,
            },
            branding: of.branding.into(),
            created_at: of.created_at,
        }
    }
}

fn tagged(of: reseller::Reseller) -> Tagged<Answer<Reseller>> {
    Tagged(of.version, Answer(of.into()))
}

/// A reseller to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReseller {
    /// As people call it.
    #[schema(value_type = schema::Name)]
    name: String,
    /// The reseller above it: the caller's own when absent; below the operator for an operator's call.
    #[serde(default)]
    #[schema(value_type = Option<schema::ResellerId>)]
    parent_id: Option<ResellerId>,
    #[serde(default)]
    caps: Caps,
    #[serde(default)]
    #[schema(required = false)]
    branding: BrandingPatch,
}

impl From<NewReseller> for reseller::NewReseller {
    fn from(body: NewReseller) -> Self {
        Self {
            name: body.name,
            parent_id: body.parent_id,
            caps: body.caps.into(),
            branding: body.branding.into(),
        }
    }
}

/// What of a reseller is to change (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResellerPatch {
    /// As people call it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::Name, required = false)]
    name: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = CapsPatch, required = false)]
    caps: Option<CapsPatch>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = BrandingPatch, required = false)]
    branding: Option<BrandingPatch>,
}

/// Which caps are to change: null lifts one; one below what is used is allowed and stops more. A reseller does not change
/// its own.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ResellerCapsPatch)]
#[serde(deny_unknown_fields)]
struct CapsPatch {
    /// Tenants.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 20)]
    tenants: Option<Option<i32>>,
    /// Their domains.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 40)]
    domains: Option<Option<i32>>,
    /// Their users' seats.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 100)]
    seats: Option<Option<i32>>,
    /// Their mailboxes that are nobody's own.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 50)]
    shared_mailboxes: Option<Option<i32>>,
    /// Bytes of live messages in their mailboxes.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0, example = 1_099_511_627_776_i64)]
    storage_bytes: Option<Option<i64>>,
}

impl From<CapsPatch> for reseller::CapsChange {
    fn from(of: CapsPatch) -> Self {
        Self {
            tenants: of.tenants,
            domains: of.domains,
            seats: of.seats,
            shared_mailboxes: of.shared_mailboxes,
            storage_bytes: of.storage_bytes,
        }
    }
}

/// Create a reseller
#[utoipa::path(post, path = "/v1/resellers", tag = "Resellers", operation_id = "create_reseller",
    params(DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The reseller.", body = Reseller)),
    extensions(("x-required-action" = json!("resellers:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Query(query): Query<DryRun>,
    Json(body): Json<NewReseller>,
) -> Result<Response, Problem> {
    let create = async move |caller: Caller| {
        Ok((StatusCode::CREATED, tagged(reseller::create(&caller, body.into()).await?)))
    };
    query.carry_out_unpriced(caller, create).await
}

/// Which resellers are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ResellerFilter {
    /// `deleted`: those that were deleted, instead of all others.
    #[serde(default)]
    #[param(inline)]
    status: Option<Deleted>,
}

/// List resellers
///
/// Those in the caller's scope: a reseller sees itself and what is below it. Without the deleted, unless they are asked for.
#[utoipa::path(get, path = "/v1/resellers", tag = "Resellers", operation_id = "list_resellers",
    params(PageQuery, ResellerFilter),
    responses((status = 200, description = "A page of resellers.", body = List<Reseller>)),
    extensions(("x-required-action" = json!("resellers:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Listing(page, filter): Listing<ResellerFilter>,
) -> Result<Answer<List<Reseller>>, Problem> {
    Ok(page::answer(reseller::list(&caller, filter.status.is_some(), page).await?))
}

/// Get a reseller
///
/// A deleted one too, for those above it.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}", tag = "Resellers", operation_id = "get_reseller",
    params(ResellerPath),
    responses((status = 200, description = "The reseller.", body = Reseller)),
    extensions(("x-required-action" = json!("resellers:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<Reseller>>, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    Ok(tagged(reseller::get(&ctx).await?))
}

/// Change a reseller
#[utoipa::path(patch, path = "/v1/resellers/{reseller_id}", tag = "Resellers", operation_id = "update_reseller",
    params(ResellerPath, DryRun),
    responses((status = 200, description = "The reseller as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Reseller>)),
    extensions(("x-required-action" = json!("resellers:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<ResellerPatch>,
) -> Result<Response, Problem> {
    let change = reseller::ResellerChange {
        name: body.name,
        caps: body.caps.unwrap_or_default().into(),
        branding: body.branding.unwrap_or_default().into(),
    };
    let update = async move |caller: Caller| {
        let ctx = caller.enter_reseller(at.reseller_id).await?;
        Ok(tagged(reseller::update(&ctx, version, change).await?))
    };
    query.carry_out_unpriced(caller, update).await
}

/// Delete a reseller
///
/// For good, and only from above it: its keys prove nothing any more, its webhook endpoints and its payment provider are forgotten, and
/// the operator bills it nothing more. That takes that there is no reseller below it and no tenant, but for those that were destroyed: transfer them,
/// or delete them and wait 30 days. One with which the operator has an agreement only the operator deletes. What has been billed stays, with what is owed; those above it see it as before.
#[utoipa::path(delete, path = "/v1/resellers/{reseller_id}", tag = "Resellers", operation_id = "delete_reseller",
    params(ResellerPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was deleted.", body = Effect),
        (status = 204, description = "Deleted."),
        (status = 409, description = "Something is below it (`reseller_not_empty`), the operator has not billed all of it (`reseller_not_billed`), documents of its own are drafts (`reseller_has_drafts`), or payments or refunds are under way by its provider (`payments_under_way`).")),
    extensions(("x-required-action" = json!("resellers:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter_reseller(at.reseller_id).await?;
        closing::delete(&ctx, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out_unpriced(caller, delete).await
}

/// Get a reseller's effective branding
///
/// Its own, and where it says nothing, that of the nearest reseller above it.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/branding", tag = "Resellers", operation_id = "get_reseller_branding",
    params(ResellerPath),
    responses((status = 200, description = "What holds, and who says so.", body = EffectiveBranding)),
    extensions(("x-required-action" = json!("resellers:read"))))]
async fn branding(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Answer<EffectiveBranding>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(Answer(reseller::branding(&ctx).await?.into()))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(branding))
}
