//! A tenant's subscription.

use axum::Json as Answer;
use billing::subscription::{self, PutSubscription};
use chrono::NaiveDate;
use kernel::{PriceBookId, SubscriptionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::TenantPath;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// What a tenant has agreed to pay for.
#[derive(Debug, Serialize, ToSchema)]
struct Subscription {
    #[schema(value_type = schema::SubscriptionId)]
    id: SubscriptionId,
    /// The published prices it buys by.
    #[schema(value_type = schema::PriceBookId)]
    price_book_id: PriceBookId,
    /// Their version.
    #[schema(example = 1)]
    price_book_version: i32,
    /// How long a cycle is: `month` or `year`.
    #[schema(value_type = schema::Interval)]
    interval: &'static str,
    /// For how long it is agreed.
    #[schema(example = 12)]
    term_months: i32,
    /// From which day on price book and term hold. A day to come: until then, what was agreed before.
    #[schema(value_type = schema::Day)]
    terms_start_on: NaiveDate,
    /// The least number of seats that is charged.
    #[schema(example = 5)]
    seats_committed: i32,
    /// Where cycles are counted from.
    #[schema(value_type = schema::Day)]
    anchor_date: NaiveDate,
    /// The first day that is charged.
    #[schema(value_type = schema::Day)]
    starts_on: NaiveDate,
    /// `active`.
    #[schema(value_type = schema::SubscriptionStatus)]
    status: String,
    /// The next boundary, on which a billing run has something to look at.
    #[schema(value_type = schema::Day)]
    next_invoice_on: NaiveDate,
    /// Why a billing run could not bill it. A run that names the tenant tries again, as does every run after a `PUT`.
    #[schema(required, example = "the price book has no price for the interval")]
    parked_reason: Option<String>,
}

impl From<subscription::Subscription> for Subscription {
    fn from(of: subscription::Subscription) -> Self {
        Self {
            id: of.id,
            price_book_id: of.terms.price_book_id,
            price_book_version: of.terms.price_book_version,
            interval: of.interval.as_str(),
            term_months: of.terms.term_months,
            terms_start_on: of.terms.starts_on,
            seats_committed: of.seats_committed,
            anchor_date: of.anchor_date,
            starts_on: of.starts_on,
            status: of.status,
            next_invoice_on: of.next_invoice_on,
            parked_reason: of.parked_reason,
        }
    }
}

/// A subscription to make, or what to make of the present one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSubscription {
    /// A price book of the tenant's reseller, in the tenant's currency.
    #[schema(value_type = schema::PriceBookId)]
    price_book_id: PriceBookId,
    /// `month` or `year`; the book has a mailbox price for it.
    #[schema(value_type = schema::Interval)]
    interval: String,
    /// A multiple of the interval, at most 120; one interval when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 120, example = 12)]
    term_months: Option<i64>,
    /// The least number of seats to charge; 0 when absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000, example = 5)]
    seats_committed: Option<i64>,
    /// Where cycles are counted from. When absent: the tenant's present day for a new subscription, and no change of one.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    anchor_date: Option<String>,
}

impl From<NewSubscription> for PutSubscription {
    fn from(body: NewSubscription) -> Self {
        Self {
            price_book_id: body.price_book_id,
            interval: body.interval,
            term_months: body.term_months,
            seats_committed: body.seats_committed,
            anchor_date: body.anchor_date,
        }
    }
}

/// Get a tenant's subscription
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/subscription", tag = "Subscriptions", operation_id = "get_subscription",
    params(TenantPath),
    responses((status = 200, description = "The subscription.", body = Subscription)),
    extensions(("x-required-action" = json!("subscriptions:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Tagged<Answer<Subscription>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(subscription::get(&ctx).await?))
}

fn tagged(of: subscription::Subscription) -> Tagged<Answer<Subscription>> {
    Tagged(of.version, Answer(of.into()))
}

/// Subscribe a tenant, or change its subscription
///
/// A new one starts on the tenant's present day. Until something was billed everything may change, and what is agreed last
/// holds from the first day. Afterwards the committed seats may change, from now on; and price book and term: from today on when
/// the seats come to no less, the term is no shorter and no lock is lifted, else from the end of the present term on. The same again changes nothing,
/// and what holds now, put again, takes back a change that was to come.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/subscription", tag = "Subscriptions", operation_id = "put_subscription",
    params(TenantPath),
    responses((status = 200, description = "The subscription as it is now.", body = Subscription),
        (status = 409, description = "It was billed, and its interval and anchor are fixed: `subscription_terms_fixed`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewSubscription>,
) -> Result<Tagged<Answer<Subscription>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(subscription::put(&ctx, body.into(), version).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get, put))
}
