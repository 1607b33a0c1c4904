//! Rates of tax.

use axum::Json as Answer;
use axum::http::StatusCode;
use billing::OPERATOR;
use billing::tax_rate::{self, NewTaxRate as New, Validity};
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Country, Page};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::ResellerPath;
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List};
use crate::problem::Problem;
use crate::{Api, schema};

/// What an issuer charges in a country, and when. What has begun never changes.
#[derive(Debug, Serialize, ToSchema)]
struct TaxRate {
    #[schema(value_type = schema::Country)]
    country: Country,
    /// In per cent; 0 is the zero rate.
    #[schema(value_type = schema::Percentage)]
    rate: String,
    /// The first day.
    #[schema(value_type = schema::Day)]
    valid_from: NaiveDate,
    /// The first day on which another holds; `null` if none is known.
    #[schema(value_type = Option<schema::Day>, required)]
    valid_until: Option<NaiveDate>,
    /// When it was added.
    created_at: DateTime<Utc>,
}

impl From<Validity> for TaxRate {
    fn from(of: Validity) -> Self {
        Self {
            country: of.rate.country,
            rate: of.rate.rate.to_string(),
            valid_from: of.rate.valid_from,
            valid_until: of.valid_until,
            created_at: of.rate.set_at,
        }
    }
}

/// A rate of tax to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTaxRate {
    #[schema(value_type = schema::Country)]
    country: String,
    /// In per cent.
    #[schema(value_type = schema::Percentage)]
    rate: String,
    /// The first day. Of a country that has a rate already: one that has not begun in any time zone.
    #[schema(value_type = schema::Day)]
    valid_from: String,
}

/// List a reseller's tax rates
///
/// Those that hold on some day, by country and day, all on one page.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/tax-rates", tag = "Tax rates", operation_id = "list_tax_rates",
    params(ResellerPath),
    responses((status = 200, description = "The rates.", body = List<TaxRate>)),
    extensions(("x-required-action" = json!("billing_profiles:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Answer<List<TaxRate>>, Problem> {
    let rates = tax_rate::list(&caller, at.reseller_id).await?;
    Ok(page::answer(Page { items: rates, next: None }))
}

/// Add a tax rate to a reseller's
///
/// It holds from its day on, in place of those that were to begin then or later, until another is added.
#[utoipa::path(post, path = "/v1/resellers/{reseller_id}/tax-rates", tag = "Tax rates", operation_id = "create_tax_rate",
    params(ResellerPath),
    responses((status = 201, description = "The rate.", body = TaxRate),
        (status = 409, description = "The reseller has as many as there may be, 1000: `too_many_tax_rates`.")),
    extensions(("x-required-action" = json!("billing_profiles:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Json(body): Json<NewTaxRate>,
) -> Result<(StatusCode, Answer<TaxRate>), Problem> {
    let NewTaxRate { country, rate, valid_from } = body;
    let rate = tax_rate::add(&caller, at.reseller_id, New { country, rate, valid_from }).await?;
    Ok((StatusCode::CREATED, Answer(rate.into())))
}

/// List the operator's tax rates
///
/// Those that hold on some day, by country and day, all on one page. For the operator alone.
#[utoipa::path(get, path = "/v1/operator/tax-rates", tag = "Tax rates", operation_id = "list_operator_tax_rates",
    responses((status = 200, description = "The rates.", body = List<TaxRate>)),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn list_operator(Bearer(caller): Bearer) -> Result<Answer<List<TaxRate>>, Problem> {
    let rates = tax_rate::list(&caller, OPERATOR).await?;
    Ok(page::answer(Page { items: rates, next: None }))
}

/// Add a tax rate to the operator's
///
/// For the operator alone. Wholesale is taxed by it from its day on, in place of those that were to begin then or later, until another is
/// added.
#[utoipa::path(post, path = "/v1/operator/tax-rates", tag = "Tax rates", operation_id = "create_operator_tax_rate",
    responses((status = 201, description = "The rate.", body = TaxRate),
        (status = 409, description = "The operator has as many as there may be, 1000: `too_many_tax_rates`.")),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn create_operator(
    Bearer(caller): Bearer,
    Json(body): Json<NewTaxRate>,
) -> Result<(StatusCode, Answer<TaxRate>), Problem> {
    let NewTaxRate { country, rate, valid_from } = body;
    let rate = tax_rate::add(&caller, OPERATOR, New { country, rate, valid_from }).await?;
    Ok((StatusCode::CREATED, Answer(rate.into())))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(list_operator, create_operator))
}
