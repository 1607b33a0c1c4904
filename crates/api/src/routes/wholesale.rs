//! What a reseller buys from the operator, and what it earns by it.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use billing::export::Window;
use billing::wholesale::agreement::{self, PutAgreement};
use billing::wholesale::{invoice, margin, payment, profile, reconciliation};
use chrono::NaiveDate;
use kernel::{Currency, Page, PriceBookId, ResellerId, TenantId, WholesaleAgreementId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::billing_profile::{self, CustomerBillingProfile, NewCustomerBillingProfile};
use super::invoice::{Invoice, InvoiceFilter, Money};
use super::paths::{ResellerInvoicePath, ResellerPath};
use super::payment::{NewPayment, Payment, PaymentFilter};
use crate::day::Day;
use crate::extract::{Bearer, Json, Path, Query};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, file, schema};

/// What the operator has agreed with a reseller.
#[derive(Debug, Serialize, ToSchema)]
struct WholesaleAgreement {
    #[schema(value_type = schema::WholesaleAgreementId)]
    id: WholesaleAgreementId,
    #[schema(value_type = schema::ResellerId)]
    reseller_id: ResellerId,
    /// How documents name the operator while it has no billing profile.
    #[schema(example = "Pillar Ltd")]
    operator_name: String,
    /// The operator's published prices that it buys by.
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
    /// From which day on price book, term and commitment hold. A day to come: until then, what was agreed before.
    #[schema(value_type = schema::Day)]
    terms_start_on: NaiveDate,
    /// The least number of seats that is charged, over all tenants.
    #[schema(example = 100)]
    seats_committed: i32,
    /// What every document is in.
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// The IANA time zone whose calendar days are counted, for all tenants.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// Where cycles are counted from.
    #[schema(value_type = schema::Day)]
    anchor_date: NaiveDate,
    /// The first day that is charged.
    #[schema(value_type = schema::Day)]
    starts_on: NaiveDate,
    /// The next boundary, on which a billing run has something to look at.
    #[schema(value_type = schema::Day)]
    next_invoice_on: NaiveDate,
    /// Why a billing run could not bill it. The next run after a `PUT` tries again.
    #[schema(required, example = "an amount is out of range")]
    parked_reason: Option<String>,
}

impl From<agreement::Agreement> for WholesaleAgreement {
    fn from(of: agreement::Agreement) -> Self {
        Self {
            id: of.id,
            reseller_id: of.reseller_id,
            operator_name: of.operator_name,
            price_book_id: of.terms.price_book_id,
            price_book_version: of.terms.price_book_version,
            interval: of.interval.as_str(),
            term_months: of.terms.term_months,
            terms_start_on: of.terms.starts_on,
            seats_committed: of.terms.seats_committed,
            currency: of.currency,
            time_zone: of.time_zone.name().into(),
            anchor_date: of.anchor_date,
            starts_on: of.starts_on,
            next_invoice_on: of.next_invoice_on,
            parked_reason: of.parked_reason,
        }
    }
}

/// An agreement to make, or what to make of the present one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWholesaleAgreement {
    /// How documents are to name the operator while it has no billing profile.
    #[schema(value_type = schema::Name)]
    operator_name: String,
    /// A price book of the operator's, with a mailbox price for the interval; what else it sells for that is part of the agreement. Tiers
    /// are of the units of all tenants together, and of seats that were committed to and are not used.
    #[schema(value_type = schema::PriceBookId)]
    price_book_id: PriceBookId,
    /// `month` or `year`; the book has a mailbox price for it.
    #[schema(value_type = schema::Interval)]
    interval: String,
    /// A multiple of the interval, at most 120; one interval when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 120, example = 12)]
    term_months: Option<i64>,
    /// The least number of seats to charge over all tenants; 0 when absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000_000, example = 100)]
    seats_committed: Option<i64>,
    /// An IANA time zone. When absent: UTC for a new agreement, and no change of one.
    #[serde(default)]
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// The first day that is charged, two years from the present one at most. When absent: the present day for a new agreement, and no change
    /// of one.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    starts_on: Option<String>,
    /// Where cycles are counted from. When absent: the first day for a new agreement, and no change of one.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    anchor_date: Option<String>,
}

impl From<NewWholesaleAgreement> for PutAgreement {
    fn from(body: NewWholesaleAgreement) -> Self {
        Self {
            operator_name: body.operator_name,
            price_book_id: body.price_book_id,
            interval: body.interval,
            term_months: body.term_months,
            seats_committed: body.seats_committed,
            time_zone: body.time_zone,
            starts_on: body.starts_on,
            anchor_date: body.anchor_date,
        }
    }
}

/// What one item of one tenant brought, in one currency.
#[derive(Debug, Serialize, ToSchema)]
struct Margin {
    /// The tenant; `null` for seats that were committed and not used.
    #[schema(value_type = Option<schema::TenantId>, required)]
    tenant_id: Option<TenantId>,
    /// How it was called last on a document of the time.
    #[schema(required, example = "Bakery Ltd")]
    tenant_name: Option<String>,
    /// What was sold.
    #[schema(value_type = schema::InvoiceItem)]
    item: String,
    /// The net that the reseller charged the tenant, credits off.
    retail: Money,
    /// The net that the operator charged the reseller, credits off.
    wholesale: Money,
    /// Retail less wholesale.
    margin: Money,
}

impl From<margin::Margin> for Margin {
    fn from(of: margin::Margin) -> Self {
        Self {
            tenant_id: of.tenant_id,
            tenant_name: of.tenant_name,
            item: of.item,
            retail: of.retail.into(),
            wholesale: of.wholesale.into(),
            margin: of.margin.into(),
        }
    }
}

/// Get a reseller's wholesale agreement
///
/// For the operator and the reseller itself.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/wholesale-agreement", tag = "Wholesale",
    operation_id = "get_wholesale_agreement", params(ResellerPath),
    responses((status = 200, description = "The agreement.", body = WholesaleAgreement)),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<WholesaleAgreement>>, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    Ok(tagged(agreement::get(&ctx).await?))
}

fn tagged(of: agreement::Agreement) -> Tagged<Answer<WholesaleAgreement>> {
    Tagged(of.version, Answer(of.into()))
}

/// Agree with a reseller what it buys by, or change that
///
/// For the operator alone. Until something was billed everything may change, and holds from the first day. Afterwards price book,
/// term and commitment may, from the next cycle on. The same again changes nothing but that an agreement that could not be billed
/// is tried again.
#[utoipa::path(put, path = "/v1/resellers/{reseller_id}/wholesale-agreement", tag = "Wholesale",
    operation_id = "put_wholesale_agreement", params(ResellerPath),
    responses((status = 200, description = "The agreement as it is now.", body = WholesaleAgreement),
        (status = 409, description = "It was billed, and its interval, anchor, first day, time zone and currency are fixed: `agreement_terms_fixed`.")),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewWholesaleAgreement>,
) -> Result<Tagged<Answer<WholesaleAgreement>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(tagged(agreement::put(&ctx, body.into(), version).await?))
}

/// Get a reseller's billing profile as the operator's customer
///
/// Whom its wholesale invoices are for, and what their taxes follow from. For the operator and the reseller itself.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/wholesale-profile", tag = "Wholesale",
    operation_id = "get_wholesale_profile", params(ResellerPath),
    responses((status = 200, description = "The profile.", body = CustomerBillingProfile)),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn get_profile(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<CustomerBillingProfile>>, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    Ok(billing_profile::tagged(profile::get(&ctx).await?))
}

/// Put a reseller's billing profile as the operator's customer
///
/// For the operator alone. Wholesale invoices made from now on show it; those that are there keep what they say. If its agreement
/// could not be billed, the next billing run tries again.
#[utoipa::path(put, path = "/v1/resellers/{reseller_id}/wholesale-profile", tag = "Wholesale",
    operation_id = "put_wholesale_profile", params(ResellerPath),
    responses((status = 200, description = "The profile as it is now.", body = CustomerBillingProfile)),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn put_profile(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewCustomerBillingProfile>,
) -> Result<Tagged<Answer<CustomerBillingProfile>>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    Ok(billing_profile::tagged(profile::put(&ctx, &*api.vat_register, body.into(), version).await?))
}

/// List a reseller's wholesale invoices
///
/// What the operator has billed the reseller, credit notes included, in the order in which they were made. For the operator and
/// the reseller itself.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/invoices", tag = "Wholesale", operation_id = "list_wholesale_invoices",
    params(ResellerPath, PageQuery, InvoiceFilter),
    responses((status = 200, description = "A page of documents.", body = List<Invoice>)),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Listing(page, filter): Listing<InvoiceFilter>,
) -> Result<Answer<List<Invoice>>, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    Ok(page::answer(invoice::list(&ctx, filter.checked()?, page).await?))
}

/// Get the reconciliation file of a wholesale invoice
///
/// A row for each line: tenant, item, days, units on each of them (of storage: GiB), seat-days, amount. The amounts sum up to the document's net. As
/// comma-separated values (RFC 4180), or with `Accept: application/jsonl` as one JSON object a line.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/invoices/{invoice_id}/reconciliation", tag = "Wholesale",
    operation_id = "get_reconciliation",
    params(ResellerInvoicePath),
    responses((status = 200, description = "The file.", content((String = "text/csv"), (String = "application/jsonl")))),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn reconciliation(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerInvoicePath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    let format = file::format(&headers);
    let file = reconciliation::file(&ctx, at.invoice_id, format).await?;
    Ok(file::answer(format, &at.invoice_id.to_string(), file))
}

/// List a reseller's wholesale payments
///
/// What it has paid the operator, in the order in which it was recorded. For the operator and the reseller itself.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/payments", tag = "Wholesale", operation_id = "list_wholesale_payments",
    params(ResellerPath, PageQuery, PaymentFilter),
    responses((status = 200, description = "A page of payments.", body = List<Payment>)),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn list_payments(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Listing(page, filter): Listing<PaymentFilter>,
) -> Result<Answer<List<Payment>>, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    Ok(page::answer(payment::list(&ctx, filter.into(), page).await?))
}

/// Record a reseller's bank transfer
///
/// For the operator alone, of a reseller with an agreement. Without an invoice named it is meant for the one whose number its reference
/// has, else for the oldest unpaid one of exactly its amount, else for the reseller's balance. What is too much for its invoice settles
/// the oldest, and then those to come. What was recorded by mistake is paid back.
#[utoipa::path(post, path = "/v1/resellers/{reseller_id}/payments", tag = "Wholesale", operation_id = "create_wholesale_payment",
    params(ResellerPath),
    responses((status = 201, description = "The payment.", body = Payment)),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn create_payment(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Json(body): Json<NewPayment>,
) -> Result<(StatusCode, Answer<Payment>), Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    Ok((StatusCode::CREATED, Answer(payment::record(&ctx, body.into()).await?.into())))
}

/// From when to when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DuringQuery {
    /// The first day on which documents were issued.
    #[param(value_type = schema::Day)]
    from: Day,
    /// The day after the last one; at most a year later.
    #[param(value_type = schema::Day)]
    to: Day,
}

/// List a reseller's margins
///
/// What it has charged its tenants less what it was charged for them, by tenant, item and currency, of the documents that were issued
/// in the time; all on one page. For the reseller itself alone: not for those above it, nor for the operator.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/margins", tag = "Wholesale", operation_id = "list_margins",
    params(ResellerPath, DuringQuery),
    responses((status = 200, description = "The margins.", body = List<Margin>)),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn margins(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Query(query): Query<DuringQuery>,
) -> Result<Answer<List<Margin>>, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    let days = Window::new(query.from.0, query.to.0);
    let days = days.ok_or_else(|| Problem::parameter("to", Window::RULE))?;
    let items = margin::list(&ctx, days).await?;
    Ok(page::answer(Page { items, next: None }))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(get, put))
        .routes(routes!(get_profile, put_profile))
        .routes(routes!(list))
        .routes(routes!(list_payments, create_payment))
        .routes(routes!(reconciliation))
        .routes(routes!(margins))
}
