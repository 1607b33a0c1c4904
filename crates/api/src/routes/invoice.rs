//! Invoices and credit notes.

use axum::Json as Answer;
use billing::invoice;
use chrono::NaiveDate;
use kernel::{Currency, InvoiceId, PriceId, ResellerId, TenantId};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{InvoicePath, TenantPath};
use crate::extract::{Bearer, Path, Query};
use crate::page::{self, List, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// An amount in a currency.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Money {
    /// Whole minor units: 1250 is 12.50 EUR, 1250 JPY or 1.250 KWD.
    #[schema(example = 1250)]
    amount_minor: i64,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
}

impl From<kernel::Money> for Money {
    fn from(of: kernel::Money) -> Self {
        Self { amount_minor: of.amount_minor, currency: of.currency }
    }
}

/// The reseller that issued a document, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
struct Issuer {
    #[schema(value_type = schema::ResellerId)]
    id: ResellerId,
    /// Its name.
    #[schema(example = "North Hosting")]
    name: String,
}

/// The tenant a document is for, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
struct Customer {
    #[schema(value_type = schema::TenantId)]
    id: TenantId,
    /// Its name.
    #[schema(example = "Bakery Ltd")]
    name: String,
}

/// Days from `start` up to, not including, `end`.
#[derive(Debug, Serialize, ToSchema)]
struct Period {
    #[schema(value_type = schema::Day)]
    start: NaiveDate,
    #[schema(value_type = schema::Day)]
    end: NaiveDate,
}

/// One line of a document.
#[derive(Debug, Serialize, ToSchema)]
struct InvoiceLine {
    /// In words.
    #[schema(example = "5 mailboxes, December 2026")]
    description: String,
    /// What was sold: `mailbox`.
    #[schema(value_type = schema::PriceItem)]
    item: String,
    /// `recurring` (a cycle, in advance), `proration` (units added in a cycle) or `credit` (units removed from one).
    #[schema(value_type = schema::LineKind)]
    kind: &'static str,
    /// The days that it charges or credits.
    period: Period,
    /// Units on each of these days; negative in a credit.
    #[schema(example = 5)]
    quantity: i64,
    /// Units times days.
    #[schema(example = 150)]
    seat_days: i64,
    /// The published price that it was billed at.
    #[schema(value_type = schema::PriceId)]
    price_id: PriceId,
    /// Of a flat price: for one unit and one whole cycle, in major units of the currency. Else `null`: see the price's tiers.
    #[schema(value_type = Option<schema::UnitPrice>, required)]
    unit_price: Option<String>,
    amount: Money,
}

impl From<invoice::InvoiceLine> for InvoiceLine {
    fn from(of: invoice::InvoiceLine) -> Self {
        Self {
            description: of.description,
            item: of.item,
            kind: of.kind.as_str(),
            period: Period { start: of.period.start(), end: of.period.end() },
            quantity: of.quantity,
            seat_days: of.seat_days,
            price_id: of.price_id,
            unit_price: of.unit_price.map(|unit_price| unit_price.to_string()),
            amount: of.amount.into(),
        }
    }
}

/// Tax of one category and rate. No tax is charged so far.
#[derive(Debug, Serialize, ToSchema)]
struct Tax {}

/// An invoice or credit note. It is final: of what it says only `status`, `paid` and `due` change. A credit note's amounts are negative.
#[derive(Debug, Serialize, ToSchema)]
struct Invoice {
    #[schema(value_type = schema::InvoiceId)]
    id: InvoiceId,
    /// Without gaps in the issuer's series.
    #[schema(example = "INV-000001")]
    number: String,
    /// `invoice` or `credit_note`.
    #[schema(value_type = schema::InvoiceKind)]
    kind: &'static str,
    issuer: Issuer,
    customer: Customer,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// The boundary that it was made for: a day in the customer's calendar.
    #[schema(value_type = schema::Day)]
    issued_on: NaiveDate,
    /// By when it is to be paid.
    #[schema(value_type = schema::Day)]
    due_on: NaiveDate,
    /// `paid` for an invoice of which nothing is due, else `final`.
    #[schema(value_type = schema::InvoiceStatus)]
    status: String,
    /// Of a credit note: the invoices that it corrects.
    #[schema(value_type = Vec<schema::InvoiceId>)]
    corrects: Vec<InvoiceId>,
    /// What is charged or credited.
    lines: Vec<InvoiceLine>,
    /// By category and rate; empty.
    taxes: Vec<Tax>,
    /// The sum of the lines.
    net: Money,
    /// The sum of the taxes.
    tax: Money,
    /// Net and tax.
    total: Money,
    /// What of it is settled, by payments and by credit.
    paid: Money,
    /// What is left to pay of it.
    due: Money,
}

impl From<invoice::Invoice> for Invoice {
    fn from(of: invoice::Invoice) -> Self {
        Self {
            id: of.id,
            number: of.number,
            kind: of.kind.as_str(),
            issuer: Issuer { id: of.issuer.id, name: of.issuer.name },
            customer: Customer { id: of.customer.id, name: of.customer.name },
            currency: of.currency,
            issued_on: of.issued_on,
            due_on: of.due_on,
            status: of.status,
            corrects: of.corrects,
            lines: of.lines.into_iter().map(InvoiceLine::from).collect(),
            taxes: Vec::new(),
            net: of.net.into(),
            tax: of.tax.into(),
            total: of.total.into(),
            paid: of.paid.into(),
            due: of.due.into(),
        }
    }
}

/// List a tenant's invoices
///
/// Credit notes included, in the order in which they were made.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/invoices", tag = "Invoices", operation_id = "list_invoices",
    params(TenantPath, PageQuery),
    responses((status = 200, description = "A page of documents.", body = List<Invoice>)),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Invoice>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(invoice::list(&ctx, query.request()).await?))
}

/// Get an invoice or credit note
#[utoipa::path(get, path = "/v1/invoices/{invoice_id}", tag = "Invoices", operation_id = "get_invoice",
    params(InvoicePath),
    responses((status = 200, description = "The document.", body = Invoice)),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<InvoicePath>) -> Result<Answer<Invoice>, Problem> {
    Ok(Answer(invoice::get(&caller, at.invoice_id).await?.into()))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(get))
}
