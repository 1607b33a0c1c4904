//! What a billing run would make of a tenant's account, or of what a reseller buys from the operator.

use axum::Json as Answer;
use billing::invoice;
use billing::preview::{self, NewPreview};
use billing::wholesale::preview as wholesale;
use chrono::NaiveDate;
use kernel::Currency;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::invoice::{InvoiceLine, Money, Tax};
use super::paths::{ResellerPath, TenantPath};
use super::subscription::NewSubscription;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::{Api, schema};

/// What to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreviewRequest {
    /// Up to which day, at most two years ahead. When absent: that of the next document, and at least the tenant's present day.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    as_of: Option<String>,
    /// As if this were put first, as the subscription.
    #[serde(default)]
    subscription: Option<NewSubscription>,
}

/// A document that a run would make. Id and number are given by the run.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewedInvoice {
    /// `invoice` or `credit_note`.
    #[schema(value_type = schema::InvoiceKind)]
    kind: &'static str,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// The boundary that it would be made for, or if it is a draft or billed anew, the day on which it would become final: in the
    /// customer's calendar.
    #[schema(value_type = schema::Day)]
    issued_on: NaiveDate,
    /// By when it would be to be paid.
    #[schema(value_type = schema::Day)]
    due_on: NaiveDate,
    /// What would be charged or credited.
    lines: Vec<InvoiceLine>,
    /// By category and rate.
    taxes: Vec<Tax>,
    /// The sum of the lines.
    net: Money,
    /// The sum of the taxes.
    tax: Money,
    /// Net and tax.
    total: Money,
}

/// The two levels' documents are two types with the same fields, and lines of two types.
macro_rules! previewed {
    ($($document:ty),*) => {$(
        impl From<$document> for PreviewedInvoice {
            fn from(of: $document) -> Self {
                Self {
                    kind: of.kind.as_str(),
                    currency: of.currency,
                    issued_on: of.issued_on,
                    due_on: of.due_on,
                    lines: of.lines.into_iter().map(InvoiceLine::from).collect(),
                    taxes: of.taxes.into_iter().map(Tax::from).collect(),
                    net: of.net.into(),
                    tax: of.tax.into(),
                    total: of.total.into(),
                }
            }
        }
    )*};
}
previewed!(invoice::Invoice, wholesale::Previewed);

/// What a run would make.
#[derive(Debug, Serialize, ToSchema)]
struct Preview {
    /// Up to which day; `null` when nothing is left to be billed.
    #[schema(value_type = Option<schema::Day>, required)]
    as_of: Option<NaiveDate>,
    /// In the order of their days.
    documents: Vec<PreviewedInvoice>,
    /// The day of the next document after these, as far as is known. `null` when nothing is left to be billed then.
    #[schema(value_type = Option<schema::Day>, required)]
    next_invoice_on: Option<NaiveDate>,
    /// Why a run could not bill the account.
    #[schema(required, example = "the issuer has no rate of tax for FR")]
    parked_reason: Option<String>,
}

/// Preview a tenant's next invoices
///
/// The documents that a billing run up to a day would make if seats, prices and taxes stayed as they are now: line by line what it then
/// makes. With a `subscription`, as if that had been put (which needs the right to); nothing is changed by asking. What is stored is known
/// to the last hourly sample.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/subscription/preview", tag = "Subscriptions",
    operation_id = "preview_subscription", params(TenantPath),
    responses((status = 200, description = "What a run would make.", body = Preview),
        (status = 409, description = "The subscription given could not be put: `subscription_terms_fixed`.")),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn preview(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<PreviewRequest>,
) -> Result<Answer<Preview>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    let asked = NewPreview { as_of: body.as_of, subscription: body.subscription.map(Into::into) };
    let made = preview::preview(&ctx, asked).await?;
    Ok(Answer(Preview {
        as_of: made.as_of,
        documents: made.documents.into_iter().map(PreviewedInvoice::from).collect(),
        next_invoice_on: made.next_invoice_on,
        parked_reason: made.parked_reason,
    }))
}

/// Up to when to look at what a reseller buys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WholesalePreviewRequest {
    /// Up to which day, at most a year ahead. When absent: the next boundary.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    as_of: Option<String>,
}

/// Preview a reseller's next wholesale invoices
///
/// The documents that a billing run up to a day would make if what its tenants use, its agreement and taxes stayed as they are now: line
/// by line what it then makes. For the operator and the reseller itself; nothing is changed by asking. What is stored is known to the last
/// hourly sample.
#[utoipa::path(post, path = "/v1/resellers/{reseller_id}/wholesale-agreement/preview", tag = "Wholesale",
    operation_id = "preview_wholesale_agreement", params(ResellerPath),
    responses((status = 200, description = "What a run would make.", body = Preview)),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn preview_wholesale(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Json(body): Json<WholesalePreviewRequest>,
) -> Result<Answer<Preview>, Problem> {
    let ctx = caller.enter_reseller(at.reseller_id).await?;
    let made = wholesale::preview(&ctx, body.as_of.as_deref()).await?;
    Ok(Answer(Preview {
        as_of: Some(made.as_of),
        documents: made.documents.into_iter().map(PreviewedInvoice::from).collect(),
        next_invoice_on: Some(made.next_invoice_on),
        parked_reason: made.parked_reason,
    }))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(preview)).routes(routes!(preview_wholesale))
}
