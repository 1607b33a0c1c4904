//! Mail domains.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use dns::health::{Check, Expected, Health};
use kernel::{DomainId, MailboxId};
use serde::{Deserialize, Serialize};
use tenancy::Caller;
use tenancy::domain::{self, Proof};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::{DomainPath, TenantPath};
use crate::extract::{Bearer, Json, Path, Query, not_null, nullable};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// A mail domain.
#[derive(Debug, Serialize, ToSchema)]
struct Domain {
    #[schema(value_type = schema::DomainId)]
    id: DomainId,
    /// In ASCII form.
    #[schema(example = "bakery.example")]
    name: String,
    /// `pending`: to be verified; `active`: mail is routed.
    #[schema(value_type = schema::DomainStatus)]
    status: String,
    /// What its owner publishes to verify it.
    verification: Verification,
    /// When it was verified.
    #[schema(required)]
    verified_at: Option<DateTime<Utc>>,
    /// Whether mail for `ada+lists@` goes to `ada@`, unless somebody has that very address.
    #[schema(example = true)]
    plus_addressing: bool,
    /// The mailbox that gets what no address of the domain takes; null: it is refused.
    #[schema(value_type = Option<schema::MailboxId>, required)]
    catch_all_mailbox_id: Option<MailboxId>,
    created_at: DateTime<Utc>,
}

/// A TXT record that shows that a domain is the tenant's.
#[derive(Debug, Serialize, ToSchema)]
struct Verification {
    /// The record's name.
    #[schema(example = "_pillarbox-challenge.bakery.example")]
    name: String,
    /// Its type.
    #[schema(example = "TXT")]
    r#type: &'static str,
    /// Its value.
    #[schema(example = "pillarbox-verification=0f3c2a7d5b1e4c6f8a9b0c1d2e3f4a5b")]
    value: String,
}

impl From<domain::Domain> for Domain {
    fn from(of: domain::Domain) -> Self {
        Self {
            id: of.id,
            verification: Verification {
                name: dns::ownership_name(&of.name),
                r#type: "TXT",
                value: dns::ownership_value(&of.verification_token),
            },
            name: of.name.to_string(),
            status: of.status,
            verified_at: of.verified_at,
            plus_addressing: of.plus_addressing,
            catch_all_mailbox_id: of.catch_all_mailbox_id,
            created_at: of.created_at,
        }
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
/// It is `pending` until it is verified: publish the TXT record in `verification`, then verify it.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/domains", tag = "Domains", operation_id = "create_domain",
    params(TenantPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was added.", body = Effect),
        (status = 201, description = "The domain.", body = Domain),
        (status = 409, description = "The tenant has it already (`domain_taken`), or a cap on domains is reached, of the tenant or of a reseller above it (`domains_exhausted`).")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<DryRun>,
    Json(body): Json<NewDomain>,
) -> Result<Response, Problem> {
    let create = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok((StatusCode::CREATED, tagged(domain::create(&ctx, &body.name).await?)))
    };
    query.carry_out(caller, create).await
}

/// Which domains are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DomainFilter {
    /// Only those that stand so.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::DomainStatus>)]
    status: Option<domain::Status>,
    /// Only the one with this name, internationalised or in ASCII form.
    #[param(example = "bakery.example")]
    name: Option<String>,
}

/// List a tenant's domains
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains", tag = "Domains", operation_id = "list_domains",
    params(TenantPath, PageQuery, DomainFilter),
    responses((status = 200, description = "A page of domains.", body = List<Domain>)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<DomainFilter>,
) -> Result<Answer<List<Domain>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let filter = domain::Filter { status: filter.status, name: filter.name };
    Ok(page::answer(domain::list(&ctx, &filter, page).await?))
}

/// Get a domain
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains/{domain_id}", tag = "Domains", operation_id = "get_domain",
    params(DomainPath),
    responses((status = 200, description = "The domain.", body = Domain)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<DomainPath>) -> Result<Tagged<Answer<Domain>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(domain::get(&ctx, at.domain_id).await?))
}

fn tagged(of: domain::Domain) -> Tagged<Answer<Domain>> {
    Tagged(of.version, Answer(of.into()))
}

/// How ownership is shown.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// True: the operator's word takes the place of the TXT record. For operators only.
    #[serde(default)]
    #[schema(default = false, example = false)]
    vouch: bool,
}

/// Verify a domain
///
/// Looks the TXT record of `verification` up at this moment; when it is there, the domain is `active` and routes mail. Resolvers may
/// remember for a while that a record was not there: try again after some minutes. A verified domain stays so.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/verify", tag = "Domains", operation_id = "verify_domain",
    params(DomainPath),
    responses((status = 200, description = "The domain, verified.", body = Domain),
        (status = 409, description = "The record is not there (`domain_not_verified`), or another tenant has verified the name (`domain_taken`).")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn verify(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<DomainPath>,
    Json(body): Json<Verify>,
) -> Result<Tagged<Answer<Domain>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let proof = if body.vouch { Proof::Operator } else { Proof::Dns(&api.dns) };
    Ok(tagged(domain::verify(&ctx, at.domain_id, proof).await?))
}

/// One of a domain's records: what it should say, and what it says.
#[derive(Debug, Serialize, ToSchema)]
struct DnsCheck {
    /// `mx`, `spf`, `dkim` or `dmarc`.
    #[schema(example = "mx")]
    record: String,
    /// Where it was looked up.
    #[schema(example = "bakery.example")]
    name: String,
    /// What it should say.
    #[schema(example = "mx1.host.example")]
    expected: String,
    /// What is there.
    #[schema(example = json!(["10 mx1.host.example"]))]
    found: Vec<String>,
    /// `ok`, `missing`, `different`, `conflicting` or `unavailable`.
    #[schema(example = "ok")]
    status: String,
    /// What it means, for people.
    #[schema(example = "mail comes here")]
    detail: String,
}

/// What the DNS says of a domain's mail.
#[derive(Debug, Serialize, ToSchema)]
struct DnsHealth {
    /// Whether every record is as it should be.
    #[schema(example = true)]
    healthy: bool,
    /// Record by record. What the operator has not configured is not checked.
    checks: Vec<DnsCheck>,
}

impl From<Health> for DnsHealth {
    fn from(of: Health) -> Self {
        let check = |check: Check| DnsCheck {
            record: check.record.to_string(),
            name: check.name,
            expected: check.expected,
            found: check.found,
            status: check.status.to_string(),
            detail: check.detail,
        };
        Self { healthy: of.is_ok(), checks: of.checks.into_iter().map(check).collect() }
    }
}

/// Check a domain's DNS records
///
/// MX, SPF, DKIM and DMARC: found beside expected. Looked up at this moment. Of DKIM there is a check for each record of each key that signs
/// or is to.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/dns", tag = "Domains", operation_id = "get_domain_dns",
    params(DomainPath),
    responses((status = 200, description = "What there is, beside what there should be.", body = DnsHealth)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn health(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<DomainPath>,
) -> Result<Answer<DnsHealth>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let dkim = submission::dkim::expected(&ctx, at.domain_id).await?;
    let expected = Expected { dkim, ..api.expected_dns.clone() };
    Ok(Answer(domain::health(&ctx, at.domain_id, &api.dns, &expected).await?.into()))
}

/// Remove a domain
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/domains/{domain_id}", tag = "Domains", operation_id = "delete_domain",
    params(DomainPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was removed.", body = Effect),
        (status = 204, description = "Removed."),
        (status = 409, description = "Addresses of it exist or existed: `domain_in_use`.")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<DomainPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let delete = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        domain::delete(&ctx, at.domain_id, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, delete).await
}

/// What of a domain is to change (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DomainPatch {
    /// Whether mail for `ada+lists@` goes to `ada@`.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    plus_addressing: Option<bool>,
    /// The mailbox that gets what no address of the domain takes; null: it is refused.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::MailboxId>)]
    catch_all_mailbox_id: Option<Option<MailboxId>>,
}

/// Change where a domain's mail goes
///
/// Mail for `postmaster` and `abuse` always lands: if nobody has the address and there is no catch-all, with the tenant's
/// administrators.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/domains/{domain_id}", tag = "Domains", operation_id = "update_domain",
    params(DomainPath, DryRun),
    responses((status = 200, description = "The domain as it is now; with `dry_run`, what it would come to instead.", body = OrEffect<Domain>)),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn update(
    Bearer(caller): Bearer,
    Path(at): Path<DomainPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<DomainPatch>,
) -> Result<Response, Problem> {
    let change = domain::DomainChange {
        plus_addressing: body.plus_addressing,
        catch_all_mailbox_id: body.catch_all_mailbox_id,
    };
    let update = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        Ok(tagged(domain::update(&ctx, at.domain_id, version, change).await?))
    };
    query.carry_out(caller, update).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(verify))
        .routes(routes!(health))
}
