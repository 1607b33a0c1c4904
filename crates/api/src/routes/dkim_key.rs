//! The keys that a domain's mail is signed with.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use kernel::DkimKeyId;
use serde::Serialize;
use submission::dkim::{self, Record};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{DkimKeyPath, DomainPath};
use crate::extract::{Bearer, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// A pair of keys that a domain's mail is signed with, of RSA and of Ed25519. The private halves are never shown.
#[derive(Debug, Serialize, ToSchema)]
struct DkimKey {
    #[schema(value_type = schema::DkimKeyId)]
    id: DkimKeyId,
    /// `pending`: it signs as soon as both records are published; `active`: it signs; `retired`: it has signed.
    #[schema(value_type = schema::DkimKeyState)]
    state: &'static str,
    /// What the domain's owner publishes, both of it.
    records: Vec<DkimRecord>,
    created_at: DateTime<Utc>,
    /// When it began to sign.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    activated_at: Option<DateTime<Utc>>,
    /// When it ceased to sign.
    #[schema(required, example = "2026-12-31T09:00:00Z")]
    retired_at: Option<DateTime<Utc>>,
    /// Until when the records of a retired one are to stay: mail that it signed is under way. Null for others, whose records stay.
    #[schema(required, example = "2027-01-07T09:00:00Z")]
    records_needed_until: Option<DateTime<Utc>>,
}

/// A TXT record that shows readers the public half of a key.
#[derive(Debug, Serialize, ToSchema)]
struct DkimRecord {
    /// Its name.
    #[schema(example = "pb20261201-5f3a9c01-rsa._domainkey.bakery.example")]
    name: String,
    /// Its type.
    #[schema(example = "TXT")]
    r#type: &'static str,
    /// Its value, as most providers' forms take it: as one text, however long.
    #[schema(example = "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA")]
    value: String,
    /// The whole record as a zone file has it, in strings of at most 255 characters.
    #[schema(
        example = "pb20261201-5f3a9c01-rsa._domainkey.bakery.example. IN TXT ( \"v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\" )"
    )]
    zone_line: String,
}

impl From<Record> for DkimRecord {
    fn from(of: Record) -> Self {
        Self { zone_line: of.zone_line(), name: of.name, r#type: "TXT", value: of.value }
    }
}

impl From<dkim::DkimKey> for DkimKey {
    fn from(of: dkim::DkimKey) -> Self {
        Self {
            id: of.id,
            state: of.state.as_str(),
            records: of.records().map(DkimRecord::from).into(),
            created_at: of.created_at,
            activated_at: of.activated_at,
            retired_at: of.retired_at,
            records_needed_until: of.records_needed_until(),
        }
    }
}

fn tagged(of: dkim::DkimKey) -> Tagged<Answer<DkimKey>> {
    Tagged(of.version, Answer(of.into()))
}

/// List a domain's DKIM keys
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys", tag = "DKIM keys", operation_id = "list_dkim_keys",
    params(DomainPath, PageQuery),
    responses((status = 200, description = "A page of keys, the oldest first.", body = List<DkimKey>)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<DomainPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<DkimKey>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(dkim::list(&ctx, at.domain_id, page).await?))
}

/// Make a domain a new DKIM key
///
/// It is `pending`: publish both its records, then activate it, or wait until that is noticed, within an hour. A verified domain that has
/// none is made one within an hour. Meanwhile the key before it goes on signing.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys", tag = "DKIM keys", operation_id = "create_dkim_key",
    params(DomainPath),
    responses((status = 201, description = "The key.", body = DkimKey),
        (status = 409, description = "Another waits for its records: `dkim_key_pending`.")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn create(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<DomainPath>,
) -> Result<(StatusCode, Tagged<Answer<DkimKey>>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok((StatusCode::CREATED, tagged(dkim::create(&api.store, &ctx, at.domain_id).await?)))
}

/// Get a DKIM key
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys/{dkim_key_id}", tag = "DKIM keys",
    operation_id = "get_dkim_key",
    params(DkimKeyPath),
    responses((status = 200, description = "The key.", body = DkimKey)),
    extensions(("x-required-action" = json!("domains:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<DkimKeyPath>,
) -> Result<Tagged<Answer<DkimKey>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(dkim::get(&ctx, at.domain_id, at.dkim_key_id).await?))
}

/// Have a domain's mail signed with a key
///
/// Looks its records up at this moment; when both are there, it signs, on every server within a minute, and the key that did so is `retired`: its
/// private half is erased. One that signs already goes on.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys/{dkim_key_id}/activate", tag = "DKIM keys",
    operation_id = "activate_dkim_key",
    params(DkimKeyPath),
    responses((status = 200, description = "The key, which signs.", body = DkimKey),
        (status = 409, description = "A record is not there or says something else (`dkim_key_not_published`), or the key is retired (`dkim_key_state`).")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn activate(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<DkimKeyPath>,
) -> Result<Tagged<Answer<DkimKey>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(dkim::activate(&ctx, &api.dns, at.domain_id, at.dkim_key_id).await?))
}

/// Remove a DKIM key
///
/// One that does not sign. Its records may go as soon as `records_needed_until` is over.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys/{dkim_key_id}", tag = "DKIM keys",
    operation_id = "delete_dkim_key",
    params(DkimKeyPath),
    responses((status = 204, description = "Removed."),
        (status = 409, description = "It signs: `dkim_key_state`. Activate another first.")),
    extensions(("x-required-action" = json!("domains:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<DkimKeyPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    dkim::delete(&ctx, at.domain_id, at.dkim_key_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
        .routes(routes!(activate))
}
