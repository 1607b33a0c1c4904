//! What the papers that the API sets have in common: their forms, and how an issuer and a customer stand on them.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse as _, Response};
use billing::{invoice, profile};
use paper::{Address, Bank, Branding, Logo, Party, PdfError};
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
    /// All there are.
    pub(super) const ALL: [Self; 4] = [Self::Json, Self::Html, Self::Pdf, Self::Xml];

    /// The one of these that `Accept` would rather have, and does not refuse (`q=0`); JSON when it names none.
    pub(super) fn asked(headers: &HeaderMap, of: &[Self]) -> Self {
        let named = |name: &str| of.iter().copied().find(|form| form.media_type() == name);
        accepted(headers).iter().find_map(|name| named(name)).unwrap_or(Self::Json)
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

/// Answers with a paper under a name. It is set apart from the threads that serve, which it would keep busy.
pub(super) async fn send(
    form: Form,
    name: &str,
    set: impl FnOnce() -> Result<Vec<u8>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let turn = PDFS_AT_ONCE.acquire().await.map_err(Problem::internal)?;
    let name = format!("inline; filename=\"{name}.{}\"", form.extension());
    let body = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        set()
    });
    let body = body.await.map_err(Problem::internal)??;
    let media_type = match form {
        Form::Html => "text/html; charset=utf-8",
        other => other.media_type(),
    };
    let headers = [(CONTENT_TYPE, media_type), (CONTENT_DISPOSITION, name.as_str()), (VARY, "accept")];
    Ok((headers, body).into_response())
}

/// A PDF; set again plain if its logo cannot be drawn, which keeps nobody from a document.
pub(super) fn pdf(
    set: Result<Vec<u8>, PdfError>,
    plain: impl FnOnce() -> Result<Vec<u8>, PdfError>,
) -> Result<Vec<u8>, Problem> {
    let set = if matches!(set, Err(PdfError::Logo(_))) { plain() } else { set };
    set.map_err(Problem::internal)
}

/// The same look without a logo.
pub(super) fn plain(look: &Branding) -> Branding {
    Branding { logo: None, ..look.clone() }
}

/// What was checked when it was put and cannot be read any more is left out.
pub(super) fn branding(name: &str, look: invoice::Look) -> Branding {
    let said = |field| look.branding.get(&field).map(|(value, _)| value.clone());
    Branding {
        product: said(Field::ProductName).unwrap_or_else(|| name.into()),
        accent: said(Field::PrimaryColor).and_then(|color| color.parse().ok()).unwrap_or_default(),
        support: said(Field::SupportEmail).or_else(|| said(Field::SupportUrl)),
        logo: look.logo.and_then(|bytes| Logo::new(bytes).ok()),
    }
}

pub(super) fn issuer(of: invoice::Issuer) -> Party {
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

pub(super) fn customer<Id>(of: invoice::Customer<Id>) -> Party {
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

pub(super) fn bank(of: &profile::IssuerProfile) -> Option<Bank> {
    Some(Bank { iban: of.iban.clone()?, bic: of.bic.clone() })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn the_form_that_is_named_with_the_greatest_weight_is_taken() {
        let asked = |accept: &'static str| {
            Form::asked(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]), &Form::ALL)
        };
        assert_eq!(Form::asked(&HeaderMap::new(), &Form::ALL), Form::Json);
        assert_eq!(asked("*/*"), Form::Json);
        assert_eq!(asked("application/pdf"), Form::Pdf);
        assert_eq!(asked("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html);
        assert_eq!(asked("application/xml; q=1, application/json"), Form::Xml);
        assert_eq!(asked("application/json, text/html"), Form::Json);
        assert_eq!(asked("application/pdf;q=0, text/html;q=0.1"), Form::Html);
        assert_eq!(asked("application/pdf; q=0.000"), Form::Json);
        assert_eq!(asked("application/json;q=0.1, application/pdf"), Form::Pdf);
        assert_eq!(asked("application/xml;q=0.2,text/html;Q=0.25"), Form::Html);
        assert_eq!(asked("APPLICATION/PDF"), Form::Pdf);
        assert_eq!(asked("application/pdf;q=x, text/html;q=1.000"), Form::Pdf);
    }
}
