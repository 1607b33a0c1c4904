//! Webhook endpoints of the caller's own scope, and their deliveries.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json as Answer};
use chrono::{DateTime, Utc};
use kernel::{DeliveryId, EventId, WebhookEndpointId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tenancy::event::Kind;
use tenancy::webhook_endpoint::{self, DeliveryStatus};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::event::NO_KIND;
use super::paths::{DeliveryPath, WebhookEndpointPath};
use crate::extract::{Bearer, Json, Path, not_null, nullable};
use crate::idempotency::ShownOnce;
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// A webhook endpoint, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookEndpoint {
    #[schema(value_type = schema::WebhookEndpointId)]
    id: WebhookEndpointId,
    /// Whose events it gets: `operator`, a reseller's id or a tenant's id.
    #[schema(example = "ten_019a2f3c5d7e7abc8def0123456789ab")]
    owner: String,
    /// Where events are sent to.
    #[schema(example = "https://hooks.example/pillarbox")]
    url: String,
    /// What it is for.
    #[schema(required, example = "Provisioning")]
    description: Option<String>,
    /// Only of these kinds; empty: of all but `message.delivered`.
    #[schema(value_type = Vec<schema::EventKind>, example = json!(["user.created"]))]
    kinds: Vec<&'static str>,
    /// `enabled` or `disabled`.
    #[schema(value_type = schema::EndpointStatus)]
    status: String,
    /// Why it is disabled.
    #[schema(required, example = json!(null))]
    disabled_reason: Option<String>,
    /// Since when nothing has been delivered, while something failed.
    #[schema(required, example = json!(null))]
    failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the present one signs too.
    #[schema(required, example = json!(null))]
    previous_secret_until: Option<DateTime<Utc>>,
    #[schema(example = "2026-12-01T09:00:00Z")]
    created_at: DateTime<Utc>,
}

impl From<webhook_endpoint::WebhookEndpoint> for WebhookEndpoint {
    fn from(of: webhook_endpoint::WebhookEndpoint) -> Self {
        Self {
            id: of.id,
            owner: of.owner.to_string(),
            url: of.url,
            description: of.description,
            kinds: of.kinds.iter().map(|kind| kind.as_str()).collect(),
            status: of.status,
            disabled_reason: of.disabled_reason,
            failing_since: of.failing_since,
            previous_secret_until: of.previous_secret_until,
            created_at: of.created_at,
        }
    }
}

/// A webhook endpoint with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookEndpointWithSecret {
    #[serde(flatten)]
    endpoint: WebhookEndpoint,
    /// Signs what is sent, by Standard Webhooks. Absent when the answer is a replay.
    #[schema(required = false, example = "whsec_...")]
    secret: String,
}

/// A webhook endpoint to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhookEndpoint {
    /// Where to send events: https, and no private address.
    #[schema(value_type = schema::WebhookUrl)]
    url: String,
    /// Only of these kinds; empty: of all but `message.delivered`.
    #[serde(default)]
    #[schema(value_type = Vec<schema::EventKind>, required = false, example = json!(["user.created"]))]
    kinds: Vec<String>,
    /// What it is for.
    #[serde(default)]
    #[schema(value_type = Option<schema::TextLine>)]
    description: Option<String>,
}

/// What to change of a webhook endpoint; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookEndpointPatch {
    /// Where to send events.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::WebhookUrl, required = false)]
    url: Option<String>,
    /// Only of these kinds; empty: of all but `message.delivered`.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<schema::EventKind>, required = false, example = json!(["user.created"]))]
    kinds: Option<Vec<String>>,
    /// What it is for; null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::TextLine>)]
    description: Option<Option<String>>,
    /// `enabled` or `disabled`. Disabling ends what is on its way.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::EndpointStatus, required = false)]
    status: Option<String>,
}

/// One event, or word of one message, on its way to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookDelivery {
    /// For `message.delivered`, also the `webhook-id`.
    #[schema(value_type = schema::DeliveryId)]
    id: DeliveryId,
    /// The event that is sent, also the `webhook-id`; null for `message.delivered`, which is no event of the feed.
    #[schema(value_type = Option<String>, required, example = "evt_019a2f3c5d7e7abc8def0123456789ab")]
    event_id: Option<EventId>,
    /// What kind of event it is.
    #[schema(value_type = schema::EventKind)]
    kind: String,
    /// `pending`, `delivered` or `failed`.
    #[schema(value_type = schema::DeliveryStatus)]
    status: &'static str,
    /// How many attempts were made.
    #[schema(example = 1)]
    attempts: i32,
    /// When the next attempt is made; null: none is.
    #[schema(required, example = json!(null))]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When the last attempt was made.
    #[schema(required, example = "2026-12-01T09:00:01Z")]
    attempted_at: Option<DateTime<Utc>>,
    /// What the receiver answered to it.
    #[schema(required, example = 204)]
    response_status: Option<i32>,
    /// The beginning of the answer's body.
    #[schema(required, example = "")]
    response_excerpt: Option<String>,
    /// Why there was no answer, or why it was given up.
    #[schema(required, example = json!(null))]
    error: Option<String>,
    /// How long it took, in milliseconds.
    #[schema(required, example = 85)]
    duration_ms: Option<i32>,
    #[schema(example = "2026-12-01T09:00:00Z")]
    created_at: DateTime<Utc>,
}

impl From<webhook_endpoint::Delivery> for WebhookDelivery {
    fn from(of: webhook_endpoint::Delivery) -> Self {
        Self {
            id: of.id,
            event_id: of.event_id,
            kind: of.kind,
            status: of.status.as_str(),
            attempts: of.attempts,
            next_attempt_at: of.next_attempt_at,
            attempted_at: of.attempted_at,
            response_status: of.response_status,
            response_excerpt: of.response_excerpt,
            error: of.error,
            duration_ms: of.duration_ms,
            created_at: of.created_at,
        }
    }
}

/// Which deliveries are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeliveryFilter {
    /// Only `pending`, `delivered` or `failed` ones.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::DeliveryStatus>)]
    status: Option<DeliveryStatus>,
}

fn kinds(names: &[String]) -> Result<std::collections::BTreeSet<Kind>, Problem> {
    let kinds = names
        .iter()
        .enumerate()
        .map(|(at, name)| name.parse::<Kind>().map_err(|_| Problem::field(format!("/kinds/{at}"), NO_KIND)));
    kinds.collect()
}

type Shown = Tagged<Answer<WebhookEndpoint>>;
type Once = (StatusCode, Extension<ShownOnce>, Tagged<Answer<WebhookEndpointWithSecret>>);

fn shown(of: webhook_endpoint::WebhookEndpoint) -> Shown {
    Tagged(of.version, Answer(of.into()))
}

fn once(status: StatusCode, (endpoint, secret): (webhook_endpoint::WebhookEndpoint, SecretString)) -> Once {
    let version = endpoint.version;
    let secret = secret.expose_secret().to_owned();
    let body = WebhookEndpointWithSecret { endpoint: endpoint.into(), secret };
    (status, Extension(ShownOnce("secret")), Tagged(version, Answer(body)))
}

/// Create a webhook endpoint
///
/// It gets the events of the caller's own scope: a tenant's those of the tenant, a reseller's its own and those of all below it. Mail that is
/// delivered there (`message.delivered`) is told to those alone whose `kinds` name it. Needs `events:read` too, and `messages:read` for
/// `message.delivered`.
#[utoipa::path(post, path = "/v1/webhook-endpoints", tag = "Webhooks", operation_id = "create_webhook_endpoint",
    responses((status = 201, description = "The endpoint and, this once, its secret.", body = WebhookEndpointWithSecret),
        (status = 409, description = "The caller's scope has 20 endpoints already, or 3 that ask for `message.delivered` as this one does: \
            `webhook_endpoints_exhausted`.")),
    extensions(("x-required-action" = json!("webhooks:write"))))]
async fn create(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Json(body): Json<NewWebhookEndpoint>,
) -> Result<Once, Problem> {
    let new = webhook_endpoint::NewWebhookEndpoint {
        kinds: kinds(&body.kinds)?,
        url: body.url,
        description: body.description,
    };
    Ok(once(StatusCode::CREATED, webhook_endpoint::create(&caller, &api.webhooks, new).await?))
}

/// List webhook endpoints
#[utoipa::path(get, path = "/v1/webhook-endpoints", tag = "Webhooks", operation_id = "list_webhook_endpoints",
    params(PageQuery),
    responses((status = 200, description = "A page of endpoints, without their secrets.", body = List<WebhookEndpoint>)),
    extensions(("x-required-action" = json!("webhooks:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Listing(page, _): Listing,
) -> Result<Answer<List<WebhookEndpoint>>, Problem> {
    Ok(page::answer(webhook_endpoint::list(&caller, page).await?))
}

/// Get a webhook endpoint
#[utoipa::path(get, path = "/v1/webhook-endpoints/{endpoint_id}", tag = "Webhooks", operation_id = "get_webhook_endpoint",
    params(WebhookEndpointPath),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)),
    extensions(("x-required-action" = json!("webhooks:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<WebhookEndpointPath>) -> Result<Shown, Problem> {
    Ok(shown(webhook_endpoint::get(&caller, at.endpoint_id).await?))
}

/// Change a webhook endpoint
///
/// Another `url` and other `kinds` need `events:read` too, and `messages:read` if the kinds name `message.delivered`.
#[utoipa::path(patch, path = "/v1/webhook-endpoints/{endpoint_id}", tag = "Webhooks", operation_id = "update_webhook_endpoint",
    params(WebhookEndpointPath),
    responses((status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint),
        (status = 409, description = "Three endpoints ask for `message.delivered` already: `webhook_endpoints_exhausted`.")),
    extensions(("x-required-action" = json!("webhooks:write"))))]
async fn update(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<WebhookEndpointPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<WebhookEndpointPatch>,
) -> Result<Shown, Problem> {
    let enabled = match body.status.as_deref() {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => return Err(Problem::field("/status", "must be enabled or disabled")),
    };
    let change = webhook_endpoint::WebhookEndpointChange {
        url: body.url,
        kinds: body.kinds.as_deref().map(kinds).transpose()?,
        description: body.description,
        enabled,
    };
    Ok(shown(webhook_endpoint::update(&caller, &api.webhooks, at.endpoint_id, change, version).await?))
}

/// Delete a webhook endpoint
///
/// What is on its way to it ends.
#[utoipa::path(delete, path = "/v1/webhook-endpoints/{endpoint_id}", tag = "Webhooks", operation_id = "delete_webhook_endpoint",
    params(WebhookEndpointPath),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-required-action" = json!("webhooks:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<WebhookEndpointPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    webhook_endpoint::delete(&caller, at.endpoint_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate a webhook endpoint's secret
///
/// For 24 hours both secrets sign, so that the receiver can change over when it likes.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint_id}/rotate-secret", tag = "Webhooks",
    operation_id = "rotate_webhook_endpoint_secret",
    params(WebhookEndpointPath),
    responses((status = 200, description = "The endpoint and, this once, its new secret.", body = WebhookEndpointWithSecret)),
    extensions(("x-required-action" = json!("webhooks:write"))))]
async fn rotate(
    Bearer(caller): Bearer,
    Path(at): Path<WebhookEndpointPath>,
    IfMatch(version): IfMatch,
) -> Result<Once, Problem> {
    let rotated = webhook_endpoint::rotate_secret(&caller, at.endpoint_id, version).await?;
    Ok(once(StatusCode::OK, rotated))
}

/// List a webhook endpoint's deliveries
#[utoipa::path(get, path = "/v1/webhook-endpoints/{endpoint_id}/deliveries", tag = "Webhooks",
    operation_id = "list_webhook_deliveries",
    params(WebhookEndpointPath, PageQuery, DeliveryFilter),
    responses((status = 200, description = "A page of deliveries, the oldest first.", body = List<WebhookDelivery>)),
    extensions(("x-required-action" = json!("webhooks:read"))))]
async fn deliveries(
    Bearer(caller): Bearer,
    Path(at): Path<WebhookEndpointPath>,
    Listing(page, filter): Listing<DeliveryFilter>,
) -> Result<Answer<List<WebhookDelivery>>, Problem> {
    Ok(page::answer(webhook_endpoint::deliveries(&caller, at.endpoint_id, filter.status, page).await?))
}

/// Replay a delivery
///
/// It is sent again now, under the same `webhook-id`, with every attempt before it.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay", tag = "Webhooks",
    operation_id = "replay_webhook_delivery",
    params(DeliveryPath),
    responses((status = 200, description = "The delivery, queued again.", body = WebhookDelivery),
        (status = 409, description = "The endpoint is disabled (`webhook_endpoint_disabled`), or does not ask for `message.delivered` any more, which this is (`webhook_kind_not_asked`).")),
    extensions(("x-required-action" = json!("webhooks:write"))))]
async fn replay(
    Bearer(caller): Bearer,
    Path(at): Path<DeliveryPath>,
) -> Result<Answer<WebhookDelivery>, Problem> {
    Ok(Answer(webhook_endpoint::replay(&caller, at.endpoint_id, at.delivery_id).await?.into()))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(rotate))
        .routes(routes!(deliveries))
        .routes(routes!(replay))
}
