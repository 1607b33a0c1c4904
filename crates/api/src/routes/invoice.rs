//! Invoices and credit notes.

use std::fmt::Display;

use axum::Json as Answer;
use axum::http::HeaderMap;
use axum::http::header::VARY;
use axum::response::{IntoResponse as _, Response};
use billing::OPERATOR;
use billing::invoice::{self, DocumentKind, Found};
use billing::rating::PriceBasis;
use billing::wholesale::invoice as wholesale;
use chrono::NaiveDate;
use kernel::{Currency, InvoiceId, PriceId, ResellerId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::billing_profile::PostalAddress;
use super::invoice_form;
use super::paper_form::Form;
use super::paths::{InvoicePath, TenantPath};
use crate::day::Day;
use crate::extract::{Bearer, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema, word};

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

/// Who issued a document, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
struct Issuer {
    /// The reseller; `null`: the operator, of a wholesale invoice.
    #[schema(value_type = Option<schema::ResellerId>, required)]
    id: Option<ResellerId>,
    /// Its name: of its billing profile, if it had one.
    #[schema(example = "North Hosting GmbH")]
    name: String,
    /// Its address, as all of this `null` where it had no billing profile.
    #[schema(required)]
    address: Option<PostalAddress>,
    /// Its number for value-added tax.
    #[schema(required, example = "DE136695976")]
    vat_id: Option<String>,
    /// Its number in a register.
    #[schema(required, example = "HRB 12345")]
    registration_number: Option<String>,
    /// The bank account to pay to.
    #[schema(required, example = "DE89370400440532013000")]
    iban: Option<String>,
    /// That account's bank.
    #[schema(required, example = "COBADEFF")]
    bic: Option<String>,
    /// Where to write with questions.
    #[schema(required, example = "billing@north.example")]
    contact_email: Option<String>,
    /// Where to call.
    #[schema(required, example = "+49 40 123456")]
    contact_phone: Option<String>,
    /// Its site on the web.
    #[schema(required, example = "north.example")]
    website: Option<String>,
}

impl Issuer {
    fn named(of: &invoice::Issuer) -> Self {
        Self {
            id: (of.id != OPERATOR).then_some(of.id),
            name: of.name.clone(),
            address: None,
            vat_id: None,
            registration_number: None,
            iban: None,
            bic: None,
            contact_email: None,
            contact_phone: None,
            website: None,
        }
    }
}

impl From<invoice::Issuer> for Issuer {
    fn from(of: invoice::Issuer) -> Self {
        let issuer = Self::named(&of);
        let Some(profile) = of.profile else { return issuer };
        Self {
            address: Some(profile.address.into()),
            vat_id: profile.vat_id.map(|id| id.to_string()),
            registration_number: profile.registration_number,
            iban: profile.iban,
            bic: profile.bic,
            contact_email: profile.contact_email,
            contact_phone: profile.contact_phone,
            website: profile.website,
            ..issuer
        }
    }
}

/// Whom a document is for, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
struct Customer {
    /// The tenant, or of a wholesale invoice the reseller.
    #[schema(value_type = schema::CustomerId)]
    id: String,
    /// Its name: of its billing profile, if it had one.
    #[schema(example = "Bakery Ltd")]
    name: String,
    /// Its address; `null` where it had no billing profile.
    #[schema(required)]
    address: Option<PostalAddress>,
    /// Its number for value-added tax.
    #[schema(required, example = "FR40303265045")]
    vat_id: Option<String>,
    /// The number of an order or the like that it asked to see.
    #[schema(required, example = "PO 4711")]
    reference: Option<String>,
}

/// The tenant whose use a line of a wholesale invoice is for, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
struct LineTenant {
    #[schema(value_type = schema::TenantId)]
    id: TenantId,
    /// Its name.
    #[schema(example = "Bakery Ltd")]
    name: String,
}

impl<Id: Display> From<invoice::Customer<Id>> for Customer {
    fn from(of: invoice::Customer<Id>) -> Self {
        let named =
            Self { id: of.id.to_string(), name: of.name, address: None, vat_id: None, reference: None };
        let Some(profile) = of.profile else { return named };
        Self {
            address: Some(profile.address.into()),
            vat_id: profile.vat_id.map(|id| id.to_string()),
            reference: profile.reference,
            ..named
        }
    }
}

/// Days from `start` up to, not including, `end`.
#[derive(Debug, Serialize, ToSchema)]
struct Period {
    #[schema(value_type = schema::Day)]
    start: NaiveDate,
    #[schema(value_type = schema::Day)]
    end: NaiveDate,
}

/// One line of a document. A credit of what was taxed at several rates is several lines; the first counts the units and days.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvoiceLine {
    /// Of a wholesale invoice: whose use; `null` for seats that were committed and not used. `null` on a tenant's own invoices.
    #[schema(required)]
    tenant: Option<LineTenant>,
    /// In words.
    #[schema(example = "mailboxes, per month, 2026-12-01 to 2026-12-31")]
    description: String,
    /// What was sold: what a price is for (`mailbox`, `shared_mailbox`, `archive`, `storage`), `setup` (charged once at the start of a
    /// subscription) or `one_off`.
    #[schema(value_type = schema::InvoiceItem)]
    item: String,
    /// `recurring` (a cycle, in advance), `usage` (what was used in a cycle that is over), `proration` (units added in a cycle, or dearer, and what is
    /// billed anew of an earlier cycle), `credit` (units removed from one or paused, or cheaper),
    /// `one_off` (a charge that comes once) or `discount` (what is off the line before it, or was).
    #[schema(value_type = schema::LineKind)]
    kind: &'static str,
    /// The days that it charges or credits; of a charge that comes once, the document's.
    period: Period,
    /// Units on each of these days; negative in a credit. 0 on a wholesale invoice where as many have come to cost another amount,
    /// because the tier is that of all tenants' units. Of storage, GiB over the whole cycle, to the nearest.
    #[schema(example = 5)]
    quantity: i64,
    /// Units times days; 0 of storage.
    #[schema(example = 150)]
    seat_days: i64,
    /// The published price that it was billed at; `null` of a one-off item.
    #[schema(value_type = Option<schema::PriceId>, required)]
    price_id: Option<PriceId>,
    /// Of a flat price: for one unit and one whole interval, or once, in major units of the currency. Else `null`: see the price's tiers.
    #[schema(value_type = Option<schema::UnitPrice>, required)]
    unit_price: Option<String>,
    /// Net.
    amount: Money,
    /// How it is taxed.
    #[schema(value_type = schema::TaxCategory)]
    tax_category: &'static str,
    /// In per cent.
    #[schema(value_type = schema::Percentage)]
    tax_rate: String,
}

impl From<invoice::InvoiceLine> for InvoiceLine {
    fn from(of: invoice::InvoiceLine) -> Self {
        Self {
            tenant: None,
            description: of.description,
            item: of.item,
            kind: of.kind.as_str(),
            period: Period { start: of.period.start(), end: of.period.end() },
            quantity: of.quantity,
            seat_days: of.seat_days,
            price_id: of.price_id,
            unit_price: of.unit_price.map(|unit_price| unit_price.to_string()),
            amount: of.amount.into(),
            tax_category: of.tax.category().code(),
            tax_rate: of.tax.rate().to_string(),
        }
    }
}

impl From<wholesale::WholesaleLine> for InvoiceLine {
    fn from(of: wholesale::WholesaleLine) -> Self {
        Self {
            tenant: of.tenant.map(|tenant| LineTenant { id: tenant.id, name: tenant.name }),
            description: of.description,
            item: of.item,
            kind: of.kind.as_str(),
            period: Period { start: of.period.start(), end: of.period.end() },
            quantity: of.quantity,
            seat_days: of.seat_days,
            price_id: Some(of.price_id),
            unit_price: of.unit_price.map(|unit_price| unit_price.to_string()),
            amount: of.amount.into(),
            tax_category: of.tax.category().code(),
            tax_rate: of.tax.rate().to_string(),
        }
    }
}

/// Tax of one category and rate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tax {
    #[schema(value_type = schema::TaxCategory)]
    category: &'static str,
    /// In per cent.
    #[schema(value_type = schema::Percentage)]
    rate: String,
    /// The sum of its lines.
    taxable: Money,
    /// The tax on it.
    tax: Money,
    /// Why there is none, where there is none though the rate is not zero.
    #[schema(required, example = "reverse charge: VAT is payable by the customer")]
    reason: Option<String>,
}

impl From<invoice::InvoiceTax> for Tax {
    fn from(of: invoice::InvoiceTax) -> Self {
        Self {
            category: of.group.category().code(),
            rate: of.group.rate().to_string(),
            taxable: of.taxable.into(),
            tax: of.tax.into(),
            reason: of.reason,
        }
    }
}

/// An invoice or credit note. Once it is final, of what it says only `status`, `paid`, `credited` and `due` change. A credit note's amounts are negative.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Invoice {
    #[schema(value_type = schema::InvoiceId)]
    id: InvoiceId,
    /// Without gaps in the issuer's series; `null` of a draft.
    #[schema(required, example = "INV-000001")]
    number: Option<String>,
    /// `invoice` or `credit_note`.
    #[schema(value_type = schema::InvoiceKind)]
    kind: &'static str,
    issuer: Issuer,
    customer: Customer,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// A day in the customer's calendar: the boundary that it was made for, or if it was a draft or billed anew, the one on which it
    /// became final. Of a draft, the one on which it is to.
    #[schema(value_type = schema::Day)]
    issued_on: NaiveDate,
    /// By when it is to be paid.
    #[schema(value_type = schema::Day)]
    due_on: NaiveDate,
    /// `draft`; `void` for an invoice that a credit note took back whole; `paid` for one of which nothing is due; else `final`.
    #[schema(value_type = schema::InvoiceStatus)]
    status: String,
    /// Of a credit note that voids an invoice: why.
    #[schema(required, example = "the address was wrong")]
    reason: Option<String>,
    /// Of a credit note: the invoices that it corrects.
    #[schema(value_type = Vec<schema::InvoiceId>)]
    corrects: Vec<InvoiceId>,
    /// What is charged or credited.
    lines: Vec<InvoiceLine>,
    /// Whether the prices that it was made by include tax; its lines are net all the same.
    #[schema(value_type = schema::TaxBehavior)]
    tax_behavior: &'static str,
    /// By category and rate.
    taxes: Vec<Tax>,
    /// The sum of the lines.
    net: Money,
    /// The sum of the taxes.
    tax: Money,
    /// Net and tax.
    total: Money,
    /// What of it payments have settled, less what was paid back: also what was left over from another invoice. The payments of a customer
    /// come to all that is paid and the credit that is left over (in the statement's `open`).
    paid: Money,
    /// What credit notes have taken of it: all of it, of a `void` one. Money that was there for it settles another, or is credit.
    credited: Money,
    /// What is left to pay of it: its total less both; nothing of a draft.
    due: Money,
}

impl From<invoice::Invoice> for Invoice {
    fn from(of: invoice::Invoice) -> Self {
        Self {
            id: of.id,
            number: of.number,
            kind: of.kind.as_str(),
            issuer: of.issuer.into(),
            customer: of.customer.into(),
            currency: of.currency,
            issued_on: of.issued_on,
            due_on: of.due_on,
            status: of.status,
            reason: of.reason,
            corrects: of.corrects,
            lines: of.lines.into_iter().map(InvoiceLine::from).collect(),
            tax_behavior: of.tax_behavior.as_str(),
            taxes: of.taxes.into_iter().map(Tax::from).collect(),
            net: of.net.into(),
            tax: of.tax.into(),
            total: of.total.into(),
            paid: of.paid.into(),
            credited: of.credited.into(),
            due: of.due.into(),
        }
    }
}

impl From<wholesale::WholesaleInvoice> for Invoice {
    fn from(of: wholesale::WholesaleInvoice) -> Self {
        Self {
            id: of.id,
            number: Some(of.number),
            kind: of.kind.as_str(),
            issuer: of.issuer.into(),
            customer: of.customer.into(),
            currency: of.currency,
            issued_on: of.issued_on,
            due_on: of.due_on,
            status: of.status,
            reason: of.reason,
            corrects: of.corrects,
            lines: of.lines.into_iter().map(InvoiceLine::from).collect(),
            tax_behavior: PriceBasis::Exclusive.as_str(),
            taxes: of.taxes.into_iter().map(Tax::from).collect(),
            net: of.net.into(),
            tax: of.tax.into(),
            total: of.total.into(),
            paid: of.paid.into(),
            credited: of.credited.into(),
            due: of.due.into(),
        }
    }
}

/// Which documents are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct InvoiceFilter {
    /// Only those that stand so.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::InvoiceStatus>)]
    status: Option<invoice::Status>,
    /// Only invoices, or only credit notes.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::InvoiceKind>)]
    kind: Option<DocumentKind>,
    /// Only those whose `issued_on` is this day or a later one.
    #[param(value_type = Option<schema::Day>)]
    from: Option<Day>,
    /// Only those whose `issued_on` is before this day, which is later than `from`.
    #[param(value_type = Option<schema::Day>)]
    to: Option<Day>,
}

impl InvoiceFilter {
    /// Its days in their order.
    pub(super) fn checked(self) -> Result<invoice::Filter, Problem> {
        let (from, until) = (self.from.map(|Day(day)| day), self.to.map(|Day(day)| day));
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            return Err(Problem::parameter("to", "must be later than from"));
        }
        Ok(invoice::Filter { status: self.status, kind: self.kind, from, until })
    }
}

/// List a tenant's invoices
///
/// Credit notes included, in the order in which they were made.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/invoices", tag = "Invoices", operation_id = "list_invoices",
    params(TenantPath, PageQuery, InvoiceFilter),
    responses((status = 200, description = "A page of documents.", body = List<Invoice>)),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<InvoiceFilter>,
) -> Result<Answer<List<Invoice>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(page::answer(invoice::list(&ctx, filter.checked()?, page).await?))
}

/// Get an invoice or credit note
///
/// A tenant's, also for the reseller that issued it to a tenant that has moved to another; or a reseller's wholesale one, which only the
/// operator and the reseller itself see. With `Accept: text/html` as a page,
/// `application/pdf` as a PDF, and `application/xml` as UBL 2.1 by EN 16931, all three as it was issued and the first two in the
/// issuer's present look. On page and PDF a void invoice says that it is one, and asks for nothing; so does a draft, which is no XML.
#[utoipa::path(get, path = "/v1/invoices/{invoice_id}", tag = "Invoices", operation_id = "get_invoice",
    params(InvoicePath),
    responses((status = 200, description = "The document.", content((Invoice = "application/json"), (String = "text/html"),
            (String = "application/pdf"), (String = "application/xml"))),
        (status = 409, description = "It has no such form: `no_such_form`.")),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<InvoicePath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match (Form::asked(&headers, &Form::ALL), invoice::find(&caller, at.invoice_id).await?) {
        (Form::Json, Found::Retail(invoice)) => Ok(json(Invoice::from(*invoice))),
        (Form::Json, Found::Wholesale(invoice)) => Ok(json(Invoice::from(*invoice))),
        (form, found) => invoice_form::answer(&caller, found, form).await,
    }
}

fn json(invoice: Invoice) -> Response {
    ([(VARY, "accept")], Answer(invoice)).into_response()
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(get))
}
