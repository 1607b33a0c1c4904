//! The forms of a document beside JSON: a page, a PDF, and XML for the customer's books.

use axum::http::StatusCode;
use axum::response::Response;
use billing::invoice::{self, Found, Invoice};
use billing::rating::{self, TaxCategory};
use billing::wholesale::invoice::WholesaleInvoice;
use chrono::NaiveDate;
use paper::{Category, Corrected, Decimal, Document, Kind, Line, Party, Period, Rate, TaxGroup, Totals};
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
        Found::Wholesale(invoice) => wholesale(*invoice, corrects)?,
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

fn retail(of: Invoice, corrects: Vec<Corrected>, look: invoice::Look) -> Result<Document, Problem> {
    let lines: Vec<Line> = of.lines.iter().map(retail_line).collect::<Result<_, _>>()?;
    let tax_group = |tax: &invoice::InvoiceTax| {
        Ok(TaxGroup {
            rate: rate(tax.group)?,
            taxable: tax.taxable.amount_minor,
            tax: tax.tax.amount_minor,
            reason: tax.reason.clone(),
        })
    };
    let profile = of.issuer.profile.as_ref();
    let bank = profile.and_then(bank);
    let note = profile.and_then(|profile| profile.note.clone());
    // Nobody pays a credit note.
    let asks = of.kind == invoice::DocumentKind::Invoice;
    let payment_terms = profile.filter(|_| asks).and_then(|profile| profile.payment_terms.clone());
    let customer_reference = of.customer.profile.as_ref().and_then(|profile| profile.reference.clone());
    Ok(Document {
        kind: kind(of.kind),
        issued_on: of.issued_on,
        due_on: due_on(of.kind, of.due_on),
        period: whole(&lines),
        currency: of.currency,
        branding: branding(&of.issuer.name, look),
        issuer: issuer(of.issuer),
        customer: customer(of.customer),
        bank,
        taxes: of.taxes.iter().map(tax_group).collect::<Result<_, Problem>>()?,
        lines,
        totals: totals(of.net, of.tax, of.total),
        payment_terms,
        customer_reference,
        notes: of.reason.into_iter().chain(note).collect(),
        corrects,
        number: of.number,
    })
}

fn retail_line(of: &invoice::InvoiceLine) -> Result<Line, Problem> {
    Ok(Line {
        description: of.description.clone(),
        period: Some(Period { from: of.period.start(), until: of.period.end() }),
        quantity: of.quantity.into(),
        unit_price: of.unit_price.map(|price| decimal(&price.to_string())).transpose()?,
        net: of.amount.amount_minor,
        tax: rate(of.tax)?,
    })
}

/// The operator's document has no tax, and its name alone.
fn wholesale(of: WholesaleInvoice, corrects: Vec<Corrected>) -> Result<Document, Problem> {
    let untaxed = Rate { category: Category::OutOfScope, percent: Decimal::ZERO };
    let line = |line: &billing::wholesale::invoice::WholesaleLine| {
        let tenant = line.tenant.as_ref().map(|tenant| format!("{}: ", tenant.name)).unwrap_or_default();
        Ok(Line {
            description: format!("{tenant}{}", line.description),
            period: Some(Period { from: line.period.start(), until: line.period.end() }),
            quantity: line.quantity.into(),
            unit_price: Some(decimal(&line.unit_price.to_string())?),
            net: line.amount.amount_minor,
            tax: untaxed,
        })
    };
    let lines: Vec<Line> = of.lines.iter().map(line).collect::<Result<_, Problem>>()?;
    let named = |name: &str| Party { name: name.into(), ..Party::default() };
    let untaxed = TaxGroup {
        rate: untaxed,
        taxable: of.net.amount_minor,
        tax: 0,
        reason: Some("not subject to VAT".into()),
    };
    Ok(Document {
        kind: kind(of.kind),
        issued_on: of.issued_on,
        due_on: due_on(of.kind, of.due_on),
        period: whole(&lines),
        currency: of.currency,
        branding: branding(&of.issuer_name, invoice::Look::default()),
        issuer: named(&of.issuer_name),
        customer: named(&of.reseller_name),
        bank: None,
        taxes: vec![untaxed],
        lines,
        totals: totals(of.net, of.tax, of.total),
        payment_terms: None,
        customer_reference: None,
        notes: Vec::new(),
        corrects,
        number: Some(of.number),
    })
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
