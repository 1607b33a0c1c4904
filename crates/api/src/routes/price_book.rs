//! Price books.

use axum::Json as Answer;
use axum::http::StatusCode;
use billing::{price_book, rating};
use chrono::{DateTime, Utc};
use kernel::{Currency, Page, PriceBookId, PriceId, ResellerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::PriceBookPath;
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// What one unit costs for one whole interval.
#[derive(Debug, Serialize, ToSchema)]
struct Price {
    #[schema(value_type = schema::PriceId)]
    id: PriceId,
    /// What is sold: `mailbox` (a seat), `shared_mailbox` (shared, a room's or a piece of equipment's), `archive`, or `storage` (a GiB
    /// stored beyond what the seats include, on average over a cycle, charged when it is over).
    #[schema(value_type = schema::PriceItem)]
    item: &'static str,
    /// How long a cycle is: `month` or `year`.
    #[schema(value_type = schema::Interval)]
    interval: &'static str,
    /// `flat`: every unit costs the same; `graduated`: each unit costs what its own tier says; `volume`: all units cost what
    /// the tier of the whole quantity says.
    #[schema(value_type = schema::PriceModel)]
    model: &'static str,
    /// Of a flat price, in major units of the currency, with eight decimals; else `null`.
    #[schema(value_type = Option<schema::UnitPrice>, required)]
    unit_price: Option<String>,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// In the order of their limits; empty for a flat price.
    #[schema(max_items = 100)]
    tiers: Vec<Tier>,
    /// When a removed unit stops being charged: `at_cycle_end`, `credit_to_balance` or `locked_until_term_end`. Of storage `null`.
    #[schema(value_type = Option<schema::RemovalPolicy>, required)]
    removal_policy: Option<&'static str>,
    /// Of `locked_until_term_end`: on how many days, with that on which it was added, a unit may be removed nevertheless.
    #[schema(required, maximum = 365, example = 7)]
    grace_days: Option<u32>,
    /// Whether days on which the tenant as a whole is suspended are charged: `continue` (as ever) or `pause` (they are not). Of
    /// storage `null`: it is paused where its mailboxes are.
    #[schema(value_type = Option<schema::SuspensionPolicy>, required)]
    suspension_policy: Option<&'static str>,
    /// What the start of a subscription by it is charged once, in major units of the currency; of mailboxes only.
    #[schema(value_type = Option<schema::SetupPrice>, required)]
    setup_price: Option<String>,
    /// When units that come or go in mid-cycle are billed: `monthly` or `daily`. Of mailboxes, for all that a subscription by it has;
    /// else `null`.
    #[schema(value_type = Option<schema::ChangesBilled>, required)]
    changes_billed: Option<&'static str>,
    /// Of storage: the bytes that each seat which is charged may store for nothing. All seats pool them, over the whole cycle.
    #[schema(required, minimum = 0, example = 53_687_091_200_i64)]
    included_bytes: Option<i64>,
}

/// A tier: from the limit of the one before up to and including its own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// The last unit that belongs to it. `null` in the last tier, and only there.
    #[serde(default)]
    #[schema(required = false, minimum = 1, maximum = 10_000_000, example = 10)]
    up_to: Option<u32>,
    /// For one unit and one whole interval, in major units of the currency.
    #[schema(value_type = schema::UnitPrice)]
    unit_price: String,
}

impl From<&rating::Tier> for Tier {
    fn from(of: &rating::Tier) -> Self {
        Self { up_to: of.up_to, unit_price: of.unit_price.to_string() }
    }
}

impl From<price_book::Price> for Price {
    fn from(of: price_book::Price) -> Self {
        let is_storage = of.item == price_book::Item::Storage;
        Self {
            id: of.id,
            item: of.item.as_str(),
            interval: of.interval.as_str(),
            model: of.tariff.model(),
            unit_price: of.tariff.unit_price().map(|unit_price| unit_price.to_string()),
            currency: of.currency,
            tiers: of.tariff.tiers().iter().map(Tier::from).collect(),
            removal_policy: Some(of.removal_policy.as_str()).filter(|_| !is_storage),
            grace_days: of.removal_policy.grace_days(),
            suspension_policy: Some(of.suspension_policy.as_str()).filter(|_| !is_storage),
            setup_price: of.setup_price.map(|setup_price| setup_price.to_string()),
            changes_billed: (of.item == price_book::Item::Mailbox).then(|| of.changes_billed.as_str()),
            included_bytes: of.included_bytes,
        }
    }
}

/// A published version of an issuer's prices. It never changes.
#[derive(Debug, Serialize, ToSchema)]
struct PriceBook {
    #[schema(value_type = schema::PriceBookId)]
    id: PriceBookId,
    /// Who sells by it; `null`: the operator, to resellers.
    #[schema(value_type = Option<schema::ResellerId>, required)]
    reseller_id: Option<ResellerId>,
    /// 1, 2, … of this issuer.
    #[schema(example = 1)]
    version: i32,
    /// What all its prices are in.
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// Whether its prices include tax.
    #[schema(value_type = schema::TaxBehavior)]
    tax_behavior: &'static str,
    /// At most one for an item and interval.
    prices: Vec<Price>,
    /// When it was published.
    published_at: DateTime<Utc>,
}

impl From<price_book::PriceBook> for PriceBook {
    fn from(of: price_book::PriceBook) -> Self {
        Self {
            id: of.id,
            reseller_id: of.reseller_id,
            version: of.version,
            currency: of.currency,
            tax_behavior: of.tax_behavior.as_str(),
            prices: of.prices.into_iter().map(Price::from).collect(),
            published_at: of.published_at,
        }
    }
}

/// A price book to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"prices": [
    {"item": "mailbox", "interval": "month", "unit_price": "4.50", "currency": "EUR"},
    {"item": "shared_mailbox", "interval": "month", "model": "graduated", "currency": "EUR",
        "tiers": [{"up_to": 10, "unit_price": "0"}, {"unit_price": "1.50"}]},
    {"item": "storage", "interval": "month", "unit_price": "0.10", "currency": "EUR", "included_bytes": 53_687_091_200_i64},
]}))]
struct NewPriceBook {
    /// Who is to sell by it. When absent, the caller's own reseller, or for an operator the operator itself, to resellers.
    #[serde(default)]
    #[schema(value_type = Option<schema::ResellerId>)]
    reseller_id: Option<ResellerId>,
    /// Whether its prices include tax. A subscription that was billed stays with what it was billed by.
    #[serde(default)]
    #[schema(value_type = Option<schema::TaxBehavior>, default = "exclusive")]
    tax_behavior: Option<String>,
    /// 1 to 100 prices in one currency, at most one for an item and interval.
    #[schema(min_items = 1, max_items = 100)]
    prices: Vec<NewPrice>,
}

/// A price to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    /// What is sold: `mailbox`, `shared_mailbox`, `archive` or `storage`. Everything that a book sells for an interval beside
    /// mailboxes, for which it then needs a price too, is part of a subscription by it, or of a wholesale agreement. The first
    /// tier of a graduated price may cost 0: that many are free.
    #[schema(value_type = schema::PriceItem)]
    item: String,
    /// How long a cycle is: `month` or `year`.
    #[schema(value_type = schema::Interval)]
    interval: String,
    /// `flat`, `graduated` or `volume`.
    #[serde(default = "flat")]
    #[schema(value_type = schema::PriceModel, required = false, default = "flat")]
    model: String,
    /// Of a flat price, which needs it: in major units of the currency, at most eight decimals.
    #[serde(default)]
    #[schema(value_type = Option<schema::UnitPrice>)]
    unit_price: Option<String>,
    #[schema(value_type = schema::Currency)]
    currency: String,
    /// Of a graduated or volume price, which needs at least one: their limits increase, and the last has none. Absent or empty
    /// for a flat price.
    #[serde(default)]
    #[schema(max_items = 100)]
    tiers: Vec<Tier>,
    /// When a removed unit stops being charged: `at_cycle_end`, `credit_to_balance` or `locked_until_term_end`. Not for storage.
    #[serde(default)]
    #[schema(value_type = Option<schema::RemovalPolicy>, default = "at_cycle_end")]
    removal_policy: Option<String>,
    /// Of `locked_until_term_end`, and only of that: on how many days, with that on which it was added, a unit may be removed
    /// nevertheless. 7 when absent.
    #[serde(default)]
    #[schema(maximum = 365, example = 7)]
    grace_days: Option<u32>,
    /// Whether days on which the tenant as a whole is suspended are charged. `continue` when absent: as ever; `pause`: they are not.
    /// Not for storage; `pause` for a reseller's prices only.
    #[serde(default)]
    #[schema(value_type = Option<schema::SuspensionPolicy>)]
    suspension_policy: Option<String>,
    /// What the start of a subscription by it is charged once, on its first document: in major units of the currency, at most eight
    /// decimals. For a reseller's prices for mailboxes only.
    #[serde(default)]
    #[schema(value_type = Option<schema::SetupPrice>)]
    setup_price: Option<String>,
    /// When units that come or go in mid-cycle are billed, of whatever item a subscription by it has: `monthly` when absent, all
    /// together on the next monthly day of its anchor; `daily`, by a run on that day or the next one. For a reseller's prices for
    /// mailboxes only.
    #[serde(default)]
    #[schema(value_type = Option<schema::ChangesBilled>)]
    changes_billed: Option<String>,
    /// Of storage, which needs it: the bytes that each seat which is charged may store for nothing. All seats pool them, over the
    /// whole cycle.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_125_899_906_842_624_i64, example = 53_687_091_200_i64)]
    included_bytes: Option<i64>,
}

fn flat() -> String {
    "flat".into()
}

impl From<Tier> for price_book::NewTier {
    fn from(body: Tier) -> Self {
        Self { up_to: body.up_to, unit_price: body.unit_price }
    }
}

impl From<NewPrice> for price_book::NewPrice {
    fn from(body: NewPrice) -> Self {
        Self {
            item: body.item,
            interval: body.interval,
            model: body.model,
            unit_price: body.unit_price,
            currency: body.currency,
            tiers: body.tiers.into_iter().map(Into::into).collect(),
            removal_policy: body.removal_policy,
            grace_days: body.grace_days,
            suspension_policy: body.suspension_policy,
            setup_price: body.setup_price,
            changes_billed: body.changes_billed,
            included_bytes: body.included_bytes,
        }
    }
}

/// Publish a price book
///
/// The issuer's next version. Subscriptions and wholesale agreements keep the version that they were made with.
#[utoipa::path(post, path = "/v1/price-books", tag = "Price books", operation_id = "create_price_book",
    responses((status = 201, description = "The price book.", body = PriceBook)),
    extensions(("x-required-action" = json!("price_books:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Json(body): Json<NewPriceBook>,
) -> Result<(StatusCode, Answer<PriceBook>), Problem> {
    let prices = body.prices.into_iter().map(Into::into).collect();
    let new = price_book::NewPriceBook { tax_behavior: body.tax_behavior, prices };
    let book = price_book::publish(&caller, body.reseller_id, new).await?;
    Ok((StatusCode::CREATED, Answer(book.into())))
}

/// List price books
///
/// Those of the resellers in the caller's scope, and of the operator's those that the caller's reseller buys by; oldest first.
#[utoipa::path(get, path = "/v1/price-books", tag = "Price books", operation_id = "list_price_books",
    params(PageQuery),
    responses((status = 200, description = "A page of price books.", body = List<PriceBook>)),
    extensions(("x-required-action" = json!("price_books:read"))))]
async fn list(Bearer(caller): Bearer, Listing(page, _): Listing) -> Result<Answer<List<PriceBook>>, Problem> {
    Ok(page::answer(price_book::list(&caller, page).await?))
}

/// Get a price book
#[utoipa::path(get, path = "/v1/price-books/{price_book_id}", tag = "Price books", operation_id = "get_price_book",
    params(PriceBookPath),
    responses((status = 200, description = "The price book.", body = PriceBook)),
    extensions(("x-required-action" = json!("price_books:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<PriceBookPath>) -> Result<Answer<PriceBook>, Problem> {
    Ok(Answer(price_book::get(&caller, at.price_book_id).await?.into()))
}

/// List a price book's prices
///
/// All on one page.
#[utoipa::path(get, path = "/v1/price-books/{price_book_id}/prices", tag = "Price books", operation_id = "list_prices",
    params(PriceBookPath),
    responses((status = 200, description = "The prices.", body = List<Price>)),
    extensions(("x-required-action" = json!("price_books:read"))))]
async fn list_prices(
    Bearer(caller): Bearer,
    Path(at): Path<PriceBookPath>,
) -> Result<Answer<List<Price>>, Problem> {
    let book = price_book::get(&caller, at.price_book_id).await?;
    Ok(page::answer(Page { items: book.prices, next: None }))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(get)).routes(routes!(list_prices))
}
