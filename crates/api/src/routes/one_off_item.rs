//! Charges that come once.

use axum::Json as Answer;
use axum::http::StatusCode;
use billing::one_off_item::{self, NewOneOffItem as New};
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Currency, InvoiceId, OneOffItemId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::invoice::Money;
use super::paths::{OneOffItemPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// A charge that comes once. It never changes.
#[derive(Debug, Serialize, ToSchema)]
struct OneOffItem {
    #[schema(value_type = schema::OneOffItemId)]
    id: OneOffItemId,
    /// What the document says.
    #[schema(value_type = schema::BillingLine)]
    description: String,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 3)]
    quantity: u32,
    /// For one; it includes tax where the subscription's prices do.
    unit_amount: Money,
    /// It is on the first document of this day or of a later one.
    #[schema(value_type = schema::Day)]
    bill_on: NaiveDate,
    /// That document, once it is made.
    #[schema(value_type = Option<schema::InvoiceId>, required)]
    invoice_id: Option<InvoiceId>,
    /// When it was added, in the tenant's time.
    created_at: DateTime<Utc>,
}

impl From<one_off_item::OneOffItem> for OneOffItem {
    fn from(of: one_off_item::OneOffItem) -> Self {
        Self {
            id: of.id,
            description: of.description,
            quantity: of.quantity,
            unit_amount: of.unit_amount.into(),
            bill_on: of.bill_on,
            invoice_id: of.invoice_id,
            created_at: of.created_at,
        }
    }
}

/// An amount for one, of nothing or more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UnitAmount {
    /// Whole minor units: 1250 is 12.50 EUR, 1250 JPY or 1.250 KWD.
    #[schema(minimum = 0, maximum = 100_000_000_000_u64, example = 1250)]
    amount_minor: i64,
    /// The subscription's.
    #[schema(value_type = schema::Currency)]
    currency: Currency,
}

/// A charge that comes once, to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOneOffItem {
    /// What the document is to say.
    #[schema(value_type = schema::BillingLine)]
    description: String,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 3)]
    quantity: i64,
    /// For one; it includes tax where the subscription's prices do. Times the quantity it comes to 1,000,000,000,000,000 minor units at most,
    /// as a payment does.
    unit_amount: UnitAmount,
    /// The first day whose document may have it. A day that is past or was billed, and none, stand for the present one, or the next when
    /// that was billed itself.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    bill_on: Option<String>,
}

/// List a tenant's one-off items
///
/// Those that were billed, too, in the order in which they were added.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/one-off-items", tag = "Subscriptions", operation_id = "list_one_off_items",
    params(TenantPath, PageQuery),
    responses((status = 200, description = "A page of items.", body = List<OneOffItem>)),
    extensions(("x-required-action" = json!("subscriptions:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<OneOffItem>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(page::answer(one_off_item::list(&ctx, page).await?))
}

/// Add a one-off item to a tenant's
///
/// Its next document has it, or the first from `bill_on` on: once, and taxed as the rest. Where nothing else is left to be billed, a
/// document of that day is made for it.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/one-off-items", tag = "Subscriptions", operation_id = "create_one_off_item",
    params(TenantPath),
    responses((status = 201, description = "The item.", body = OneOffItem),
        (status = 409, description = "The tenant has no subscription, and so no documents: `no_subscription`. As many items wait for a \
            document as may, 1000: `too_many_one_off_items`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewOneOffItem>,
) -> Result<(StatusCode, Answer<OneOffItem>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let new = New {
        description: body.description,
        quantity: body.quantity,
        unit_amount: kernel::Money::new(body.unit_amount.amount_minor, body.unit_amount.currency),
        bill_on: body.bill_on,
    };
    Ok((StatusCode::CREATED, Answer(one_off_item::create(&ctx, new).await?.into())))
}

/// Delete a one-off item that has not been billed
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/one-off-items/{one_off_item_id}", tag = "Subscriptions",
    operation_id = "delete_one_off_item", params(OneOffItemPath),
    responses((status = 204, description = "It is gone."),
        (status = 409, description = "It is on a document: `one_off_item_billed`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn delete(Bearer(caller): Bearer, Path(at): Path<OneOffItemPath>) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    one_off_item::delete(&ctx, at.one_off_item_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(delete))
}
