//! By which provider a reseller takes money, and what that provider tells.

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use billing::payment;
use billing::payment_provider::{self, PutPaymentProvider};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::ResellerPath;
use crate::extract::{self, Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// By which provider a reseller takes money. Its secrets are never shown.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentProvider {
    /// `stripe`, or one that speaks its API.
    #[schema(value_type = schema::ChargingProvider)]
    provider: String,
    /// Whether it is asked for new payments.
    #[schema(example = true)]
    enabled: bool,
    /// When it last refused the key, which `payment_provider.refused` tells; null: not since it was put, or it has taken it since.
    #[schema(required)]
    refused_at: Option<DateTime<Utc>>,
    /// When it was put last.
    updated_at: DateTime<Utc>,
}

/// A provider to take money by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPaymentProvider {
    /// The key that charges are made with.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, min_length = 1, max_length = 255, pattern = "^[!-~]+$", write_only, example = "sk_live_...")]
    secret_key: SecretString,
    /// The secret that the provider signs its events by.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, min_length = 1, max_length = 255, pattern = "^[!-~]+$", write_only, example = "whsec_...")]
    webhook_secret: SecretString,
    /// Whether it is to be asked for new payments. Those under way are followed all the same.
    #[schema(example = true)]
    enabled: bool,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

fn tagged(of: payment_provider::PaymentProvider) -> Tagged<Answer<PaymentProvider>> {
    let provider = PaymentProvider {
        provider: of.provider,
        enabled: of.is_enabled,
        refused_at: of.refused_at,
        updated_at: of.updated_at,
    };
    Tagged(of.version, Answer(provider))
}

/// Get a reseller's payment provider
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/payment-provider", tag = "Payments", operation_id = "get_payment_provider",
    params(ResellerPath),
    responses((status = 200, description = "The provider, without its secrets.", body = PaymentProvider)),
    extensions(("x-required-action" = json!("payment_providers:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<PaymentProvider>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(tagged(payment_provider::get(&ctx).await?))
}

/// Set a reseller's payment provider
///
/// Whole, with its secrets. Let the provider send its events `payment_intent.*`, `refund.*`, `charge.refunded` and `charge.dispute.*` to
/// `/v1/payment-webhooks/{reseller_id}`.
#[utoipa::path(put, path = "/v1/resellers/{reseller_id}/payment-provider", tag = "Payments", operation_id = "put_payment_provider",
    params(ResellerPath),
    responses((status = 200, description = "The provider as it is now, without its secrets.", body = PaymentProvider),
        (status = 409, description = "It is another `secret_key`, and payments or refunds are under way by the present one: `payments_under_way`.")),
    extensions(("x-required-action" = json!("payment_providers:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewPaymentProvider>,
) -> Result<Tagged<Answer<PaymentProvider>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    let put = PutPaymentProvider {
        secret_key: body.secret_key,
        webhook_secret: body.webhook_secret,
        is_enabled: body.enabled,
    };
    Ok(tagged(payment_provider::put(&ctx, &put, version).await?))
}

/// Forget a reseller's payment provider
#[utoipa::path(delete, path = "/v1/resellers/{reseller_id}/payment-provider", tag = "Payments", operation_id = "delete_payment_provider",
    params(ResellerPath),
    responses((status = 204, description = "There is none any more, and its secrets are gone."),
        (status = 409, description = "Payments or refunds are under way by it: `payments_under_way`.")),
    extensions(("x-required-action" = json!("payment_providers:write"))))]
async fn delete(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    payment_provider::delete(&ctx, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take an event of a payment provider's
///
/// For the provider alone: what is not signed by the reseller's `webhook_secret`, or more than five minutes ago, is refused. The same
/// event twice, late or out of order does no harm.
#[utoipa::path(post, path = "/v1/payment-webhooks/{reseller_id}", tag = "Payments", operation_id = "receive_payment_event",
    params(ResellerPath, ("Stripe-Signature" = String, Header, description = "`t=<seconds>,v1=<hex>`, as the provider signs.", example = "t=1792000000,v1=5257a869e7ec")),
    request_body(content = ProviderEvent),
    responses((status = 204, description = "It is noted, or does not matter here."),
        (status = 401, description = "It is not signed by the reseller's secret, or not now: `unauthenticated`.", body = crate::problem::Body,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such reseller: `not_found`.", body = crate::problem::Body,
            content_type = "application/problem+json"),
        (status = 409, description = "It may be of a payment that is being found out, and is to be sent again: `payment_under_way`.", body = crate::problem::Body,
            content_type = "application/problem+json"),
        (status = 422, description = "It is signed, and is no event: `invalid_request`.", body = crate::problem::Body,
            content_type = "application/problem+json")),
    security(()))]
async fn receive(
    State(api): State<Api>,
    Path(at): Path<ResellerPath>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let signature = request.headers().get("stripe-signature").and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default().to_owned();
    // What is signed is the body's bytes.
    let body = extract::body(request).await?;
    payment::receive(api.auth.db(), at.reseller_id, &signature, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An event as the provider has it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described, and read from the bytes that were signed")]
struct ProviderEvent {
    /// The provider's id of it.
    #[schema(example = "evt_1NG8Du2eZvKYlo2CUI79vXWy")]
    id: String,
    /// What happened.
    #[schema(example = "payment_intent.succeeded")]
    r#type: String,
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get, put, delete))
}

/// What takes no bearer token.
pub(crate) fn public_router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(receive))
}
