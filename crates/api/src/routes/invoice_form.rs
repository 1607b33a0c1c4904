//! The forms of a document beside JSON: a page, a PDF, and XML for the customer's books.

use axum::http::StatusCode;
use axum::response::Response;
use billing::invoice::{self, Found, Invoice};
use billing::rating::{self, TaxCategory};
use billing::subscription::without_days;
use billing::wholesale::invoice::{WholesaleInvoice, WholesaleLine};
use chrono::NaiveDate;
use kernel::Currency;
use paper::{Category, Corrected, Decimal, Document, Kind, Line, Period, Rate, TaxGroup, Totals};
use tenancy::Caller;

use super::paper_form::{Form, bank, branding, customer, issuer, pdf, plain, send};
use crate::problem::Problem;

/// Answers with a document in a form of paper.
pub(super) async fn answer(caller: &Caller, found: Found, form: Form) -> Result<Response, Problem> {
    let corrects = invoice::corrected(caller, &found).await?;
    let named = corrects.into_iter().map(|(number, issued_on)| Corrected { number, issued_on });
    let corrects = named.collect();
    let document = match found {
        Found::Retail(invoice) => {
            let look = invoice::look(caller, &invoice.issuer).await?;
            retail(*invoice, corrects, look)?
        }
        Found::Wholesale(invoice) => {
            let look = invoice::look(caller, &invoice.issuer).await?;
            wholesale(*invoice, corrects, look)?
        }
    };
    let name = document.number.as_deref().unwrap_or("draft").to_owned();
    send(form, &name, move || set(&document, form)).await
}

fn set(document: &Document, form: Form) -> Result<Vec<u8>, Problem> {
    match form {
        Form::Pdf => pdf(paper::pdf(document), || {
            paper::pdf(&Document { branding: plain(&document.branding), ..document.clone() })
        }),
        Form::Xml => paper::ubl(document).map(String::into_bytes).map_err(|refused| {
            let detail = format_args!("the document cannot be said in EN 16931: {refused}");
            Problem::new(StatusCode::CONFLICT, "no_such_form", detail)
        }),
        Form::Html | Form::Json => Ok(paper::html(document).into_bytes()),
    }
}

/// How one stands that was taken back.
const VOID: &str = invoice::Status::Void.as_str();

/// What becomes of a credit note's amount.
const CREDITED: &str = "This amount is set off against what is due, or paid back.";

/// What documents of both levels say.
struct Said<Id> {
    kind: invoice::DocumentKind,
    number: Option<String>,
    is_void: bool,
    issued_on: NaiveDate,
    due_on: NaiveDate,
    currency: Currency,
    issuer: invoice::Issuer,
    customer: invoice::Customer<Id>,
    lines: Vec<Line>,
    taxes: Vec<invoice::InvoiceTax>,
    totals: Totals,
    reason: Option<String>,
}

impl<Id> Said<Id> {
    fn document(self, corrects: Vec<Corrected>, look: invoice::Look) -> Result<Document, Problem> {
        let tax_group = |tax: &invoice::InvoiceTax| {
            Ok(TaxGroup {
                rate: rate(tax.group)?,
                taxable: tax.taxable.amount_minor,
                tax: tax.tax.amount_minor,
                reason: tax.reason.clone(),
            })
        };
        let profile = self.issuer.profile.as_ref();
        let bank = profile.and_then(bank);
        let note = profile.and_then(|profile| profile.note.clone());
        let payment_terms = match self.kind {
            invoice::DocumentKind::Invoice => profile.and_then(|profile| profile.payment_terms.clone()),
            // Nobody pays one.
            invoice::DocumentKind::CreditNote => Some(CREDITED.to_owned()),
        };
        let customer_reference = self.customer.profile.as_ref().and_then(|profile| profile.reference.clone());
        Ok(Document {
            kind: kind(self.kind),
            is_void: self.is_void,
            issued_on: self.issued_on,
            due_on: due_on(self.kind, self.due_on),
            period: whole(&self.lines),
            currency: self.currency,
            branding: branding(&self.issuer.name, look),
            issuer: issuer(self.issuer),
            customer: customer(self.customer),
            bank,
            taxes: self.taxes.iter().map(tax_group).collect::<Result<_, Problem>>()?,
            lines: self.lines,
            totals: self.totals,
            payment_terms,
            customer_reference,
            notes: self.reason.into_iter().chain(note).collect(),
            corrects,
            number: self.number,
        })
    }
}

fn retail(of: Invoice, corrects: Vec<Corrected>, look: invoice::Look) -> Result<Document, Problem> {
    let line = |of: &invoice::InvoiceLine| {
        Ok(Line {
            description: without_days(&of.description, of.period).to_owned(),
            period: Some(Period { from: of.period.start(), until: of.period.end() }),
            quantity: of.quantity.into(),
            unit_price: of.unit_price.map(|price| decimal(&price.to_string())).transpose()?,
            net: of.amount.amount_minor,
            tax: rate(of.tax)?,
        })
    };
    let said = Said {
        kind: of.kind,
        number: of.number,
        is_void: of.status == VOID,
        issued_on: of.issued_on,
        due_on: of.due_on,
        currency: of.currency,
        issuer: of.issuer,
        customer: of.customer,
        lines: of.lines.iter().map(line).collect::<Result<_, Problem>>()?,
        taxes: of.taxes,
        totals: totals(of.net, of.tax, of.total),
        reason: of.reason,
    };
    said.document(corrects, look)
}

fn wholesale(
    of: WholesaleInvoice,
    corrects: Vec<Corrected>,
    look: invoice::Look,
) -> Result<Document, Problem> {
    let line = |line: &WholesaleLine| {
        let tenant = line.tenant.as_ref().map(|tenant| format!("{}: ", tenant.name)).unwrap_or_default();
        Ok(Line {
            description: format!("{tenant}{}", without_days(&line.description, line.period)),
            period: Some(Period { from: line.period.start(), until: line.period.end() }),
            quantity: line.quantity.into(),
            unit_price: line.unit_price.map(|price| decimal(&price.to_string())).transpose()?,
            net: line.amount.amount_minor,
            tax: rate(line.tax)?,
        })
    };
    let said = Said {
        kind: of.kind,
        number: Some(of.number),
        is_void: of.status == VOID,
        issued_on: of.issued_on,
        due_on: of.due_on,
        currency: of.currency,
        issuer: of.issuer,
        customer: of.customer,
        lines: of.lines.iter().map(line).collect::<Result<_, Problem>>()?,
        taxes: of.taxes,
        totals: totals(of.net, of.tax, of.total),
        reason: of.reason,
    };
    said.document(corrects, look)
}

fn kind(of: invoice::DocumentKind) -> Kind {
    match of {
        invoice::DocumentKind::Invoice => Kind::Invoice,
        invoice::DocumentKind::CreditNote => Kind::CreditNote,
    }
}

/// A credit note asks for nothing.
fn due_on(kind: invoice::DocumentKind, day: NaiveDate) -> Option<NaiveDate> {
    (kind == invoice::DocumentKind::Invoice).then_some(day)
}

fn rate(of: rating::TaxGroup) -> Result<Rate, Problem> {
    let category = match of.category() {
        TaxCategory::Standard => Category::Standard,
        TaxCategory::ZeroRated => Category::Zero,
        TaxCategory::Exempt => Category::Exempt,
        TaxCategory::ReverseCharge => Category::ReverseCharge,
        TaxCategory::Outside => Category::OutOfScope,
    };
    Ok(Rate { category, percent: decimal(&of.rate().to_string())? })
}

fn decimal(text: &str) -> Result<Decimal, Problem> {
    text.parse().map_err(Problem::internal)
}

/// As it was issued: what was paid since is no part of a document that never changes.
fn totals(net: kernel::Money, tax: kernel::Money, total: kernel::Money) -> Totals {
    let (net, tax, gross) = (net.amount_minor, tax.amount_minor, total.amount_minor);
    Totals { net, tax, gross }
}

/// From the first day of its lines to the last.
fn whole(lines: &[Line]) -> Option<Period> {
    let periods = || lines.iter().filter_map(|line| line.period);
    let from = periods().map(|period| period.from).min()?;
    let until = periods().map(|period| period.until).max()?;
    Some(Period { from, until })
}
