//! Tenants.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::{Currency, ResellerId, TenantId};
use mailstore::compact;
use serde::{Deserialize, Serialize};
use tenancy::{Caller, tenant};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::branding::{Branding, BrandingPatch, EffectiveBranding};
use super::capability;
use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::TenantPath;
use crate::extract::{Bearer, Json, Path, Query, not_null, nullable};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// How many users may hold a seat, and how many do.
#[derive(Debug, Serialize, ToSchema)]
struct Seats {
    /// Null is unlimited.
    #[schema(required, example = 5)]
    limit: Option<i32>,
    /// Users who hold one.
    #[schema(example = 3)]
    used: i32,
}

/// How many domains the tenant may have, and how many it has.
#[derive(Debug, Serialize, ToSchema)]
struct DomainCount {
    /// Null is unlimited.
    #[schema(required, example = 3)]
    limit: Option<i32>,
    /// Domains, verified or not.
    #[schema(example = 1)]
    used: i32,
}

/// How many mailboxes that are nobody's own the tenant may have, and how many it has: shared ones, rooms and equipment, and no archives.
#[derive(Debug, Serialize, ToSchema)]
struct SharedMailboxCount {
    /// Null is unlimited.
    #[schema(required, example = 10)]
    limit: Option<i32>,
    /// Those that there are.
    #[schema(example = 2)]
    used: i32,
}

/// What the tenant's mailboxes hold together.
#[derive(Debug, Serialize, ToSchema)]
struct Storage {
    /// Null: there is no limit for the tenant, only each mailbox's own.
    #[schema(required, example = 10_737_418_240_i64)]
    limit_bytes: Option<i64>,
    /// Bytes of live messages.
    #[schema(example = 1_048_576)]
    used_bytes: i64,
    /// Whether the quotas of the mailboxes may add up to more than `limit_bytes`.
    #[schema(example = true)]
    allow_overallocation: bool,
    /// Whether bodies of its mail lie in objects of its own alone, beside no other tenant's.
    #[schema(example = true)]
    dedicated: bool,
    /// How many bytes of its mail, compressed as they are stored, lie beside others' still and are being moved out. Told by `GET` of this one tenant if it has
    /// `dedicated`; null otherwise.
    #[schema(required, example = 4_194_304)]
    shared_bytes: Option<u64>,
}

/// A customer organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tenant {
    #[schema(value_type = schema::TenantId)]
    id: TenantId,
    #[schema(value_type = schema::ResellerId)]
    reseller_id: ResellerId,
    /// As people call it.
    #[schema(example = "Bakery Ltd")]
    name: String,
    /// Its id in the reseller's own system.
    #[schema(required, example = "c-20417")]
    external_id: Option<String>,
    /// ISO 3166-1 alpha-2 code.
    #[schema(example = "DE")]
    country: String,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// Where its days begin and end: an IANA name.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// `trial`, `active`, `suspended`, `deleted` or `purged`.
    #[schema(value_type = schema::TenantStatus)]
    status: String,
    /// What a suspension took away from all of its users and keys: `sign_in`, `send`, `receive`, `imap`, `pop3`, `api`, `sync`.
    #[schema(value_type = Vec<schema::Capability>)]
    suspended_capabilities: Vec<String>,
    /// What of that its reseller's dunning policy took, because something is overdue: it comes back when that is paid.
    #[schema(value_type = Vec<schema::Capability>)]
    unpaid_capabilities: Vec<String>,
    seats: Seats,
    domains: DomainCount,
    shared_mailboxes: SharedMailboxCount,
    storage: Storage,
    branding: Branding,
    /// A sandbox tenant's own time; null for one that lives in real time.
    #[schema(required)]
    test_clock: Option<DateTime<Utc>>,
    /// When its trial ends: then it is suspended as a whole. Null for a customer.
    #[schema(required)]
    trial_ends_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    /// When it was deleted; it can be restored for 30 days, and is destroyed then.
    #[schema(required)]
    deleted_at: Option<DateTime<Utc>>,
}

impl From<tenant::Tenant> for Tenant {
    fn from(of: tenant::Tenant) -> Self {
        Self {
            id: of.id,
            reseller_id: of.reseller_id,
            name: of.name,
            external_id: of.external_id,
            country: of.country,
            currency: of.currency,
            time_zone: of.time_zone.to_string(),
            status: of.status,
            suspended_capabilities: capability::names(&of.suspended_capabilities),
            unpaid_capabilities: capability::names(&of.unpaid_capabilities),
            seats: Seats { limit: of.seats_limit, used: of.seats_used },
            domains: DomainCount { limit: of.domains_limit, used: of.domains_used },
            shared_mailboxes: SharedMailboxCount {
                limit: of.shared_mailboxes_limit,
                used: of.shared_mailboxes_used,
            },
            storage: Storage {
                limit_bytes: of.storage_limit_bytes,
                used_bytes: of.used_bytes,
                allow_overallocation: of.allow_overallocation,
                dedicated: of.storage_dedicated,
                shared_bytes: None,
            },
            branding: of.branding.into(),
            test_clock: of.test_clock,
            trial_ends_at: of.trial_ends_at,
            created_at: of.created_at,
            deleted_at: of.deleted_at,
        }
    }
}

/// A tenant to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    /// The reseller it buys from: the caller's own when absent. An operator names one.
    #[serde(default)]
    #[schema(value_type = Option<schema::ResellerId>)]
    reseller_id: Option<ResellerId>,
    /// As people call it.
    #[schema(value_type = schema::Name)]
    name: String,
    /// Its id in the reseller's own system, by which it is found again. Several tenants may have the same.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    external_id: Option<String>,
    /// ISO 3166-1 alpha-2 code, as billing profiles have it.
    #[schema(value_type = schema::Country)]
    country: String,
    /// What it is billed in; never changes.
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// Where its days begin and end: an IANA name.
    #[serde(default = "utc")]
    #[schema(default = "UTC", example = "Europe/Berlin")]
    time_zone: String,
    #[serde(default)]
    seats: NewSeats,
    #[serde(default)]
    domains: NewDomains,
    #[serde(default)]
    shared_mailboxes: NewSharedMailboxes,
    #[serde(default)]
    storage: NewStorage,
    #[serde(default)]
    #[schema(required = false)]
    branding: BrandingPatch,
    /// Whether it is a sandbox with a clock of its own, which starts at the present.
    #[serde(default)]
    #[schema(example = true)]
    test_clock: bool,
    /// When its trial ends: then it is suspended as a whole. Absent or null: it is a customer from the start.
    #[serde(default)]
    trial_ends_at: Option<DateTime<Utc>>,
}

/// How many users may hold a seat.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSeats {
    /// Absent or null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 5)]
    limit: Option<i32>,
}

/// How many domains the tenant may have.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDomains {
    /// Absent or null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 3)]
    limit: Option<i32>,
}

/// How many mailboxes that are nobody's own the tenant may have: shared ones, rooms and equipment, and no archives.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSharedMailboxes {
    /// Absent or null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 10)]
    limit: Option<i32>,
}

/// What the tenant's mailboxes may hold together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStorage {
    /// Absent or null is unlimited.
    #[serde(default)]
    #[schema(minimum = 0, example = 10_737_418_240_i64)]
    limit_bytes: Option<i64>,
    /// Whether the quotas of the mailboxes may add up to more than that.
    #[serde(default = "yes")]
    #[schema(default = true, example = true)]
    allow_overallocation: bool,
    /// Whether bodies of its mail lie in objects of its own alone, beside no other tenant's.
    #[serde(default)]
    #[schema(default = false, example = true)]
    dedicated: bool,
}

impl Default for NewStorage {
    fn default() -> Self {
        Self { limit_bytes: None, allow_overallocation: yes(), dedicated: false }
    }
}

fn yes() -> bool {
    true
}

fn utc() -> String {
    "UTC".into()
}

impl From<NewTenant> for tenant::NewTenant {
    fn from(body: NewTenant) -> Self {
        Self {
            reseller_id: body.reseller_id,
            name: body.name,
            external_id: body.external_id,
            country: body.country,
            currency: body.currency,
            time_zone: body.time_zone,
            seats_limit: body.seats.limit,
            domains_limit: body.domains.limit,
            shared_mailboxes_limit: body.shared_mailboxes.limit,
            storage_limit_bytes: body.storage.limit_bytes,
            allow_overallocation: body.storage.allow_overallocation,
            storage_dedicated: body.storage.dedicated,
            branding: body.branding.into(),
            test_clock: body.test_clock,
            trial_ends_at: body.trial_ends_at,
        }
    }
}

/// What of a tenant is to change (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantPatch {
    /// As people call it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::Name, required = false)]
    name: Option<String>,
    /// Its id in the reseller's own system; null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::TextLine>)]
    external_id: Option<Option<String>>,
    /// Where its days begin and end from now on: an IANA name. Its billing cycles that have begun keep the zone that they began in.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, example = "America/Los_Angeles")]
    time_zone: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = SeatsPatch, required = false)]
    seats: Option<SeatsPatch>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = DomainsPatch, required = false)]
    domains: Option<DomainsPatch>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = SharedMailboxesPatch, required = false)]
    shared_mailboxes: Option<SharedMailboxesPatch>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = StoragePatch, required = false)]
    storage: Option<StoragePatch>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = BrandingPatch, required = false)]
    branding: Option<BrandingPatch>,
    /// Another end of its trial; null makes it a customer.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    trial_ends_at: Option<Option<DateTime<Utc>>>,
}

impl From<TenantPatch> for tenant::TenantChange {
    fn from(body: TenantPatch) -> Self {
        let storage = body.storage.unwrap_or_default();
        Self {
            name: body.name,
            external_id: body.external_id,
            time_zone: body.time_zone,
            seats_limit: body.seats.and_then(|seats| seats.limit),
            domains_limit: body.domains.and_then(|domains| domains.limit),
            shared_mailboxes_limit: body.shared_mailboxes.and_then(|mailboxes| mailboxes.limit),
            storage_limit_bytes: storage.limit_bytes,
            allow_overallocation: storage.allow_overallocation,
            storage_dedicated: storage.dedicated,
            branding: body.branding.unwrap_or_default().into(),
            trial_ends_at: body.trial_ends_at,
        }
    }
}

/// What of the domains is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DomainsPatch {
    /// Null lifts the limit. One below the domains there are is allowed and stops new ones.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 3)]
    limit: Option<Option<i32>>,
}

/// What of the mailboxes that are nobody's own is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SharedMailboxesPatch {
    /// Null lifts the limit. One below the mailboxes there are is allowed and stops new ones.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 10)]
    limit: Option<Option<i32>>,
}

/// What of the storage is to change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StoragePatch {
    /// Null lifts the limit. One below what is used is allowed and stops new mail.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0, example = 10_737_418_240_i64)]
    limit_bytes: Option<Option<i64>>,
    /// Whether the quotas of the mailboxes may add up to more than that.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = false)]
    allow_overallocation: Option<bool>,
    /// Whether bodies of its mail lie in objects of its own alone, beside no other tenant's. All that is taken in from then on does; what lies beside others' is moved out in the background.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    dedicated: Option<bool>,
}

/// What of the seats is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SeatsPatch {
    /// Null lifts the limit. One below the seats in use is allowed and stops new ones.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0, example = 6)]
    limit: Option<Option<i32>>,
}

/// Where to move a test clock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestClock {
    /// The tenant's new time; not before its present one, and at most ten years after it. Of a deleted tenant at most 38 days after its deletion.
    now: DateTime<Utc>,
}

/// Create a tenant
#[utoipa::path(post, path = "/v1/tenants", tag = "Tenants", operation_id = "create_tenant",
    params(DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was created.", body = Effect),
        (status = 201, description = "The tenant.", body = Tenant),
        (status = 409, description = "A cap on tenants of a reseller above it is reached: `tenants_exhausted`.")),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Query(query): Query<DryRun>,
    Json(body): Json<NewTenant>,
) -> Result<Response, Problem> {
    let create = async move |caller: Caller| {
        Ok((StatusCode::CREATED, tagged(tenant::create(&caller, body.into()).await?)))
    };
    query.carry_out_unpriced(caller, create).await
}

/// Which tenants are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TenantFilter {
    /// Only those that stand so; all but the deleted and the destroyed (`purged`) when absent.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(inline, value_type = Option<schema::TenantStatus>)]
    status: Option<tenant::Status>,
    /// Only those of this reseller itself, without those of resellers below it.
    #[param(value_type = Option<schema::ResellerId>)]
    reseller_id: Option<ResellerId>,
    /// Only those with this id in the reseller's own system.
    external_id: Option<String>,
    /// Only the one that has verified this domain, and those that have it without that; internationalised or in ASCII form.
    domain: Option<String>,
}

/// List tenants
///
/// Those in the caller's scope, oldest first; without the deleted and the destroyed, unless they are asked for.
#[utoipa::path(get, path = "/v1/tenants", tag = "Tenants", operation_id = "list_tenants",
    params(PageQuery, TenantFilter),
    responses((status = 200, description = "A page of tenants.", body = List<Tenant>)),
    extensions(("x-required-action" = json!("tenants:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Listing(page, filter): Listing<TenantFilter>,
) -> Result<Answer<List<Tenant>>, Problem> {
    let filter = tenant::Filter {
        status: filter.status,
        reseller_id: filter.reseller_id,
        external_id: filter.external_id,
        domain: filter.domain,
    };
    Ok(page::answer(tenant::list(&caller, &filter, page).await?))
}

/// Get a tenant
///
/// A deleted one too, for those above it.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}", tag = "Tenants", operation_id = "get_tenant",
    params(TenantPath),
    responses((status = 200, description = "The tenant.", body = Tenant)),
    extensions(("x-required-action" = json!("tenants:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<TenantPath>) -> Result<Tagged<Answer<Tenant>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    let Tagged(version, Answer(mut tenant)) = tagged(tenant::get(&ctx).await?);
    if tenant.storage.dedicated {
        // The mail store knows.
        tenant.storage.shared_bytes = Some(compact::shared_bytes(&ctx).await?);
    }
    Ok(Tagged(version, Answer(tenant)))
}

pub(super) fn tagged(of: tenant::Tenant) -> Tagged<Answer<Tenant>> {
    Tagged(of.version, Answer(of.into()))
}

/// Change a tenant
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}", tag = "Tenants", operation_id = "update_tenant",
    params(TenantPath, DryRun),
    responses((status = 200, description = "The tenant as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Tenant>),
        (status = 409, description = "The quotas of its mailboxes add up to more than its storage, and it does not allow that (`pool_overallocated`), or it is not on trial (`trial_over`).")),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<TenantPatch>,
) -> Result<Response, Problem> {
    let update = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(tenant::update(&ctx, version, body.into()).await?))
    };
    query.carry_out(caller, update).await
}

/// Get a tenant's effective branding
///
/// Its own, and where it says nothing, that of the nearest reseller above it.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/branding", tag = "Tenants", operation_id = "get_tenant_branding",
    params(TenantPath),
    responses((status = 200, description = "What holds, and who says so.", body = EffectiveBranding)),
    extensions(("x-required-action" = json!("tenants:read"))))]
async fn branding(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Answer<EffectiveBranding>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(Answer(tenant::branding(&ctx).await?.into()))
}

/// Move a sandbox tenant's time
///
/// Forward only. Billing and the tenant's history go by this clock. A deleted tenant's, too, for those above it: by it the tenant can be restored, is
/// billed to its end, and is destroyed.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/test-clock", tag = "Tenants", operation_id = "set_test_clock",
    params(TenantPath),
    responses((status = 200, description = "The tenant as it is now.", body = Tenant),
        (status = 409, description = "The tenant lives in real time: `no_test_clock`.")),
    extensions(("x-required-action" = json!("tenants:write"))))]
async fn set_test_clock(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<TestClock>,
) -> Result<Answer<Tenant>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(Answer(tenant::set_test_clock(&ctx, body.now).await?.into()))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(get, update))
        .routes(routes!(branding))
        .routes(routes!(set_test_clock))
}
