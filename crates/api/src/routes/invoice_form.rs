//! The forms of a document beside JSON: a page, a PDF, and XML for the customer's books.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use billing::invoice::{self, Found, Invoice};
use billing::profile;
use billing::rating::{self, TaxCategory};
use billing::wholesale::invoice::{WholesaleInvoice, WholesaleLine};
use chrono::NaiveDate;
use kernel::Currency;
use paper::{
    Address, Bank, Branding, Category, Corrected, Decimal, Document, Kind, Line, Logo, Party, PdfError,
    Period, Rate, TaxGroup, Totals,
};
use tenancy::Caller;
use tenancy::branding::Field;
use tokio::sync::Semaphore;

use crate::accept::accepted;
use crate::problem::Problem;

/// A form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Html,
    Pdf,
    Xml,
}

impl Form {
    /// The first that is named in `Accept` and not refused there (`q=0`); JSON when none is.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let all = [Self::Json, Self::Html, Self::Pdf, Self::Xml];
        let named = |name: &str| all.into_iter().find(|form| form.media_type() == name);
        accepted(headers).find_map(named).unwrap_or(Self::Json)
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html",
            Self::Pdf => "application/pdf",
            Self::Xml => "application/xml",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Xml => "xml",
        }
    }
}

/// Setting a PDF keeps a core busy: one at least is left to everybody else's requests.
static PDFS_AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Semaphore::new(cores.saturating_sub(1).max(1))
});

/// Answers with a document in a form of paper. It is set apart from the threads that serve, which it would keep busy.
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
    let turn = PDFS_AT_ONCE.acquire().await.map_err(Problem::internal)?;
    let name = document.number.as_deref().unwrap_or("draft");
    let name = format!("inline; filename=\"{name}.{}\"", form.extension());
    let body = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        set(&document, form)
    });
    let body = body.await.map_err(Problem::internal)??;
    let media_type = match form {
        Form::Html => "text/html; charset=utf-8",
        other => other.media_type(),
    };
    let headers = [(CONTENT_TYPE, media_type), (CONTENT_DISPOSITION, name.as_str()), (VARY, "accept")];
    Ok((headers, body).into_response())
}

fn set(document: &Document, form: Form) -> Result<Vec<u8>, Problem> {
    match form {
        Form::Pdf => match paper::pdf(document) {
            // A picture that cannot be drawn keeps nobody from the document.
            Err(PdfError::Logo(_)) => paper::pdf(&plain(document)).map_err(Problem::internal),
            set => set.map_err(Problem::internal),
        },
        Form::Xml => paper::ubl(document).map(String::into_bytes).map_err(|refused| {
            let detail = format_args!("the document cannot be said in EN 16931: {refused}");
            Problem::new(StatusCode::CONFLICT, "no_such_form", detail)
        }),
        Form::Html | Form::Json => Ok(paper::html(document).into_bytes()),
    }
}

fn plain(document: &Document) -> Document {
    let branding = Branding { logo: None, ..document.branding.clone() };
    Document { branding, ..document.clone() }
}

/// What documents of both levels say.
struct Said<Id> {
    kind: invoice::DocumentKind,
    number: Option<String>,
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
        // Nobody pays a credit note.
        let asks = self.kind == invoice::DocumentKind::Invoice;
        let payment_terms = profile.filter(|_| asks).and_then(|profile| profile.payment_terms.clone());
        let customer_reference = self.customer.profile.as_ref().and_then(|profile| profile.reference.clone());
        Ok(Document {
            kind: kind(self.kind),
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
            description: of.description.clone(),
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
            description: format!("{tenant}{}", line.description),
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
        issued_on: of.issued_on,
        due_on: of.due_on,
        currency: of.currency,
        issuer: of.issuer,
        customer: of.customer,
        lines: of.lines.iter().map(line).collect::<Result<_, Problem>>()?,
        taxes: of.taxes,
        totals: totals(of.net, of.tax, of.total),
        reason: None,
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

/// What was checked when it was put and cannot be read any more is left out.
fn branding(name: &str, look: invoice::Look) -> Branding {
    let said = |field| look.branding.get(&field).map(|(value, _)| value.clone());
    Branding {
        product: said(Field::ProductName).unwrap_or_else(|| name.into()),
        accent: said(Field::PrimaryColor).and_then(|color| color.parse().ok()).unwrap_or_default(),
        support: said(Field::SupportEmail).or_else(|| said(Field::SupportUrl)),
        logo: look.logo.and_then(|bytes| Logo::new(bytes).ok()),
    }
}

fn issuer(of: invoice::Issuer) -> Party {
    let Some(profile) = of.profile else { return Party { name: of.name, ..Party::default() } };
    Party {
        name: of.name,
        address: address(profile.address),
        vat_id: profile.vat_id.map(|id| id.to_string()),
        registration: profile.registration_number,
        email: profile.contact_email,
        phone: profile.contact_phone,
        web: profile.website,
    }
}

fn customer<Id>(of: invoice::Customer<Id>) -> Party {
    let Some(profile) = of.profile else { return Party { name: of.name, ..Party::default() } };
    Party {
        name: of.name,
        address: address(profile.address),
        vat_id: profile.vat_id.map(|id| id.to_string()),
        ..Party::default()
    }
}

fn address(of: profile::Address) -> Address {
    Address {
        street: Some(of.street),
        extra: of.extra,
        postal_code: of.postal_code,
        city: Some(of.city),
        region: of.region,
        country: Some(of.country.to_string()),
    }
}

fn bank(of: &profile::IssuerProfile) -> Option<Bank> {
    Some(Bank { iban: of.iban.clone()?, bic: of.bic.clone() })
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn the_first_form_that_is_named_is_taken() {
        let asked = |accept: &'static str| {
            Form::asked(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(Form::asked(&HeaderMap::new()), Form::Json);
        assert_eq!(asked("*/*"), Form::Json);
        assert_eq!(asked("application/pdf"), Form::Pdf);
        assert_eq!(asked("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html);
        assert_eq!(asked("application/xml; q=1, application/json"), Form::Xml);
        assert_eq!(asked("application/json, text/html"), Form::Json);
        assert_eq!(asked("application/pdf;q=0, text/html;q=0.1"), Form::Html);
        assert_eq!(asked("application/pdf; q=0.000"), Form::Json);
    }
}
