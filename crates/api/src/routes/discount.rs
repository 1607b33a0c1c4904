//! Discounts of a subscription.

use axum::Json as Answer;
use axum::http::StatusCode;
use billing::discount::{self, NewDiscount as New, Off};
use billing::price_book::Item;
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Currency, DiscountId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::invoice::Money;
use super::paths::{DiscountPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List};
use crate::problem::Problem;
use crate::{Api, schema};

/// What is off a subscription's cycles on some days.
#[derive(Debug, Serialize, ToSchema)]
struct Discount {
    #[schema(value_type = schema::DiscountId)]
    id: DiscountId,
    /// What documents say.
    #[schema(value_type = schema::BillingLine)]
    description: String,
    /// In per cent of what is charged, or `null`. Of several on one day the largest counts.
    #[schema(value_type = Option<schema::DiscountPercentage>, required)]
    percentage: Option<String>,
    /// For each whole interval of the price, or `null`: after the percentage, and never more than is charged. Several on one day add up.
    #[schema(required)]
    amount: Option<Money>,
    /// Of what alone; `null`: a percentage of whatever has cycles, an amount of mailboxes.
    #[schema(value_type = Option<schema::PriceItem>, required)]
    item: Option<&'static str>,
    /// The first day.
    #[schema(value_type = schema::Day)]
    starts_on: NaiveDate,
    /// The day after the last; `null` if it does not end.
    #[schema(value_type = Option<schema::Day>, required)]
    ends_on: Option<NaiveDate>,
    /// When it was given, or its end changed, in the tenant's time.
    updated_at: DateTime<Utc>,
}

impl From<discount::Discount> for Discount {
    fn from(of: discount::Discount) -> Self {
        let (percentage, amount) = match of.off {
            Off::Percentage(percentage) => (Some(percentage.to_string()), None),
            Off::Amount(amount) => (None, Some(amount.into())),
        };
        Self {
            id: of.id,
            description: of.description,
            percentage,
            amount,
            item: of.item.map(Item::as_str),
            starts_on: of.starts_on,
            ends_on: of.ends_on,
            updated_at: of.set_at,
        }
    }
}

/// An amount off each whole interval of the price.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AmountOff {
    /// Whole minor units: 1250 is 12.50 EUR, 1250 JPY or 1.250 KWD. It includes tax where the subscription's prices do.
    #[schema(minimum = 1, maximum = 100_000_000_000_u64, example = 1250)]
    amount_minor: i64,
    /// The subscription's.
    #[schema(value_type = schema::Currency)]
    currency: Currency,
}

/// A discount to give: a percentage or an amount.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDiscount {
    /// What documents are to say.
    #[schema(value_type = schema::BillingLine)]
    description: String,
    /// In per cent of what is charged: more than 0, at most 4 decimals. Absent or null when there is an amount.
    #[serde(default)]
    #[schema(value_type = Option<schema::DiscountPercentage>)]
    percentage: Option<String>,
    /// For each whole interval of the price. Absent or null when there is a percentage.
    #[serde(default)]
    amount: Option<AmountOff>,
    /// Of what alone: something that the subscription's price book sells, or the one that a planned change is by. Absent or null: a percentage
    /// of whatever has cycles, an amount of mailboxes.
    #[serde(default)]
    #[schema(value_type = Option<schema::PriceItem>)]
    item: Option<String>,
    /// The first day: one that has not been billed, in advance neither.
    #[schema(value_type = schema::Day)]
    starts_on: String,
    /// The day after the last, after the first. Absent or null: it does not end.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    ends_on: Option<String>,
}

/// List a subscription's discounts
///
/// Those that it has or had, in the order in which they were given, all on one page.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/subscription/discounts", tag = "Subscriptions", operation_id = "list_discounts",
    params(TenantPath),
    responses((status = 200, description = "The discounts.", body = List<Discount>)),
    extensions(("x-required-action" = json!("subscriptions:read"))))]
async fn list(Bearer(caller): Bearer, Path(at): Path<TenantPath>) -> Result<Answer<List<Discount>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(page::answer(discount::list(&ctx).await?))
}

/// Give a subscription a discount
///
/// From a day on that has not been billed. Each line that is charged for its days is followed by a line of kind `discount`; the credit of a
/// seat that is removed takes back what was off it.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/subscription/discounts", tag = "Subscriptions", operation_id = "create_discount",
    params(TenantPath),
    responses((status = 201, description = "The discount.", body = Discount),
        (status = 409, description = "The subscription has had as many as it may, each end counted too, 1000: `too_many_discounts`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewDiscount>,
) -> Result<(StatusCode, Answer<Discount>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let new = New {
        description: body.description,
        percentage: body.percentage,
        amount: body.amount.map(|amount| kernel::Money::new(amount.amount_minor, amount.currency)),
        item: body.item,
        starts_on: body.starts_on,
        ends_on: body.ends_on,
    };
    Ok((StatusCode::CREATED, Answer(discount::create(&ctx, new).await?.into())))
}

/// End a discount
///
/// On the first day that has not been billed; one that has not begun by then is removed. What has ended by then stays as it is.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/subscription/discounts/{discount_id}", tag = "Subscriptions",
    operation_id = "delete_discount", params(DiscountPath),
    responses((status = 204, description = "It ends, or is gone."),
        (status = 409, description = "The subscription has had as many as it may, each end counted too, 1000: `too_many_discounts`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn delete(Bearer(caller): Bearer, Path(at): Path<DiscountPath>) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    discount::end(&ctx, at.discount_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(delete))
}
