//! The one renderer of errors: RFC 9457 problem details, or SCIM's own under its paths.
//!
//! A handler returns a [`Problem`]; the layer around all requests, which knows the request's id, makes its body and
//! logs its cause, once.

use std::error::Error;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::response::{IntoResponse, Response};
use kernel::error::mistakes;
use kernel::{ErrorKind, FieldError, RequestId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{schema, scim};

/// What `application/problem+json` is.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Every code with its status and title; what is not in it has its status's own title.
pub(crate) const CODES: &[(&str, u16, &str)] = &[
    ("malformed_body", 400, "The body could not be read"),
    ("unauthenticated", 401, "A valid credential is needed"),
    ("forbidden", 403, "The credential does not allow this"),
    ("support_access_required", 403, "The mailbox is not open for support"),
    ("suspended", 403, "The tenant's access is suspended"),
    ("not_found", 404, "There is no such object"),
    ("method_not_allowed", 405, "The resource does not have this method"),
    ("request_timeout", 408, "The request took too long"),
    ("address_taken", 409, "An address is in use"),
    ("domain_not_verified", 409, "The domain's ownership is not shown yet"),
    ("webhook_endpoint_disabled", 409, "The webhook endpoint is disabled"),
    ("webhook_endpoints_exhausted", 409, "There are as many webhook endpoints as there may be"),
    ("webhook_kind_not_asked", 409, "The webhook endpoint does not ask for this kind"),
    ("customer_taken", 409, "Another tenant pays by the customer"),
    ("domain_in_use", 409, "The domain has addresses"),
    ("domain_taken", 409, "The domain is in use"),
    ("external_id_taken", 409, "An external_id is in use"),
    ("idempotency_key_in_use", 409, "The first request with this Idempotency-Key is under way"),
    (
        "idempotency_key_unresolved",
        409,
        "The first request with this Idempotency-Key ended without an answer",
    ),
    ("group_loop", 409, "A group would be a member of itself"),
    ("mailbox_is_personal", 409, "The mailbox is a user's own"),
    ("no_payment_method", 409, "The tenant has no payment method"),
    ("not_a_draft", 409, "The document is final"),
    ("earlier_draft", 409, "A draft of an earlier boundary is there"),
    ("not_voidable", 409, "The document cannot be voided"),
    ("paid", 409, "Something of the invoice is paid"),
    ("credited_since", 409, "A later document takes back what it charges"),
    ("issued_by_another", 409, "Another reseller issued the document"),
    ("tenant_transferred", 409, "The tenant belongs to another reseller now"),
    ("not_recorded", 409, "It is not recorded what the document was made of"),
    ("no_such_form", 409, "The document has no such form"),
    ("no_subscription", 409, "The tenant has no subscription"),
    ("one_off_item_billed", 409, "The one-off item was billed"),
    ("no_payment_provider", 409, "The issuer has no payment provider"),
    ("nothing_due", 409, "Nothing is left to pay"),
    ("payment_under_way", 409, "Another payment is under way"),
    ("payments_under_way", 409, "Payments are under way"),
    ("refund_exceeds_payment", 409, "No more can be paid back than is left"),
    ("folder_exists", 409, "There is such a folder already"),
    ("folder_has_children", 409, "Folders lie below it"),
    ("inbox_stays", 409, "The Inbox cannot be renamed, moved or deleted"),
    ("restore_under_way", 409, "The mailbox is being restored already, or too many of the tenant's are"),
    ("changes_expired", 409, "The changes since then are not known any more"),
    ("reseller_has_drafts", 409, "The reseller has drafts"),
    ("reseller_not_empty", 409, "There is something below the reseller"),
    ("reseller_not_billed", 409, "What was used below the reseller is not billed yet"),
    ("tenant_on_hold", 409, "Mail of the tenant is on hold"),
    ("message_not_deleted", 409, "The message is not deleted"),
    ("not_deleted", 409, "It is not deleted, so there is nothing to restore"),
    ("user_deleted", 409, "The user is deleted"),
    ("outgoing_state", 409, "It does not go with what has become of the message"),
    ("outgoing_under_way", 409, "The message is being sent at this moment"),
    ("outgoing_body_gone", 409, "The message is not kept any more"),
    ("dkim_key_pending", 409, "A new DKIM key waits for its records already"),
    ("dkim_key_state", 409, "It does not go with what is done with the DKIM key"),
    ("dkim_key_not_published", 409, "A record of the DKIM key is not there, or says something else"),
    ("no_test_clock", 409, "The tenant lives in real time"),
    ("trial_over", 409, "The tenant is not on trial"),
    ("restore_expired", 409, "It was deleted too long ago"),
    ("pool_overallocated", 409, "Quotas would add up to more than the storage"),
    ("same_reseller", 409, "The tenant belongs to this reseller already"),
    ("domains_exhausted", 409, "All domains are taken"),
    ("seats_exhausted", 409, "All seats are taken"),
    ("shared_mailboxes_exhausted", 409, "All shared mailboxes are taken"),
    ("tenants_exhausted", 409, "All tenants are taken"),
    (
        "agreement_terms_fixed",
        409,
        "The wholesale agreement was billed, and its interval, anchor, first day, time zone and currency are fixed",
    ),
    ("subscription_ended", 409, "The subscription has ended; `PUT` begins another"),
    ("subscription_terms_fixed", 409, "The subscription was billed, and its anchor and trial are fixed"),
    ("too_many_aliases", 409, "There are as many aliases as there may be"),
    ("too_many_members", 409, "The group has as many members as there may be"),
    ("too_many_discounts", 409, "The subscription has had as many discounts as it may"),
    ("too_many_one_off_items", 409, "As many one-off items wait for a document as may"),
    ("too_many_tax_rates", 409, "The reseller has as many tax rates as there may be"),
    ("too_many_app_passwords", 409, "The user has as many app passwords as there may be"),
    ("version_mismatch", 412, "The object is not in the version that If-Match names"),
    ("body_too_large", 413, "The body is too large"),
    ("message_too_large", 413, "The message is too large"),
    ("unsupported_media_type", 415, "The body's media type is not taken here"),
    ("range_not_satisfiable", 416, "The range is not in the message"),
    ("idempotency_key_reuse", 422, "The Idempotency-Key was used for another request"),
    ("invalid_request", 422, "The request breaks a rule"),
    ("folder_limit_reached", 422, "The mailbox has as many folders, or as deep ones, as it may"),
    ("keyword_limit_reached", 422, "The message has as many keywords as it may"),
    ("quota_exceeded", 422, "The mailbox, or a pool above it, is over its quota"),
    ("rate_limited", 429, "The credential has made too many requests"),
    ("too_many_sign_ins", 429, "Too many sign-ins failed"),
    ("internal", 500, "An internal fault"),
    ("journal_unreadable", 500, "What the journal has of that time cannot be read"),
    ("unavailable", 503, "Temporarily unavailable"),
];

/// Seconds after which a client may try again what was unavailable.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("5");

/// One mistake of a request's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FieldProblem)]
pub(crate) struct FieldProblem {
    /// Where it is in the body: a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/seats/limit")]
    pub(crate) pointer: Option<String>,
    /// Which query parameter or header it is, when it is not in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "limit")]
    pub(crate) parameter: Option<String>,
    /// What is wrong.
    #[schema(example = "must not be negative")]
    pub(crate) detail: String,
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self { pointer: Some(error.pointer), parameter: None, detail: error.detail }
    }
}

/// Why a request was refused or failed (RFC 9457), as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// A name of the kind of problem: `urn:pillarbox:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:pillarbox:problem:invalid_request")]
    kind: String,
    /// What kind of problem it is, the same for all of a code.
    #[schema(example = "The request breaks a rule")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What happened this time; for people.
    #[schema(example = "seats limit: must not be negative")]
    detail: String,
    /// The stable name of the kind of problem; for programs.
    #[schema(value_type = schema::ProblemCode)]
    code: &'static str,
    /// Names this request in the server's log; also in the `X-Request-Id` header.
    #[schema(value_type = String, example = "req_019a2f3c5d7e7abc8def0123456789ab")]
    request_id: RequestId,
    /// The mistakes in the input, if that is what it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// Why work that was begun has failed (RFC 9457). What was done of it before stays; `steps` tell how much that is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationProblem {
    /// A name of the kind of problem: `urn:pillarbox:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:pillarbox:problem:not_found")]
    kind: String,
    /// What kind of problem it is, the same for all of a code.
    #[schema(example = "There is no such object")]
    title: &'static str,
    /// The HTTP status that a request would be answered with.
    #[schema(example = 404)]
    status: u16,
    /// The stable name of the kind of problem; for programs.
    #[schema(value_type = schema::ProblemCode)]
    code: &'static str,
}

impl OperationProblem {
    /// By the code that the domain noted. One that no request is answered with is a fault of ours.
    pub(crate) fn of(noted: &str) -> Self {
        // As requests are answered, which tell no missing thing from another.
        let code = if matches!(noted, "mailbox_gone" | "folder_not_found") { "not_found" } else { noted };
        let known = CODES.iter().copied().find(|(known, ..)| *known == code);
        let (code, status, title) = known.unwrap_or(("internal", 500, "An internal fault"));
        Self { kind: urn(code), title, status, code }
    }
}

fn urn(code: &str) -> String {
    format!("urn:pillarbox:problem:{code}")
}

/// A refusal or a failure on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldProblem>,
    /// What SCIM calls it, if that does not follow from the code.
    pub(crate) scim_type: Option<::scim::ScimType>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    kept: bool,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl std::fmt::Display) -> Self {
        let detail = detail.to_string();
        let (errors, headers) = (Vec::new(), Vec::new());
        Self { status, code, detail, errors, scim_type: None, headers, cause: None, kept: false }
    }

    /// There is no such object; the one text for all reasons.
    pub(crate) fn not_found() -> Self {
        Self { kept: true, ..Self::new(StatusCode::NOT_FOUND, "not_found", "no such object") }
    }

    /// A mistake in a query parameter or header.
    pub(crate) fn parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        let text = format!("{name}: {detail}");
        let error =
            FieldProblem { pointer: None, parameter: Some(name.to_owned()), detail: detail.to_string() };
        Self { errors: vec![error], ..Self::invalid(&text) }
    }

    /// A mistake in the body.
    pub(crate) fn field(pointer: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::invalid("").at(vec![FieldError::new(pointer, detail)])
    }

    /// With the mistakes that it is about, if there are any.
    fn at(self, mistakes: Vec<FieldError>) -> Self {
        let is_of_input = self.code == "invalid_request" && !mistakes.is_empty();
        let detail = if is_of_input { told(&mistakes) } else { self.detail };
        Self { detail, errors: mistakes.into_iter().map(FieldProblem::from).collect(), ..self }
    }

    fn invalid(detail: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
    }

    /// Temporarily unavailable, for a reason that the caller may know.
    pub(crate) fn unavailable(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .with_header(RETRY_AFTER, RETRY_AFTER_SECS)
    }

    /// A fault of ours; the cause is for the log.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "the server's log tells more about this request_id";
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
        Self { cause: Some(Arc::from(cause.into())), ..problem }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    pub(crate) fn with_scim_type(self, scim_type: ::scim::ScimType) -> Self {
        Self { scim_type: Some(scim_type), ..self }
    }

    /// Whether it is an answer of the resources' state, and so the answer to this request for good. The others tell
    /// of the request or the credential alone.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    fn of(kind: ErrorKind, code: &'static str, error: impl Error + Send + Sync + 'static) -> Self {
        let text = error.to_string();
        match kind {
            // Sending the same key with another body is the caller's mistake and no state that passes.
            _ if code == "idempotency_key_reuse" => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text),
            _ if code == "version_mismatch" => Self::new(StatusCode::PRECONDITION_FAILED, code, text),
            _ if code == "too_many_sign_ins" => Self::new(StatusCode::TOO_MANY_REQUESTS, code, text),
            ErrorKind::Invalid => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text),
            ErrorKind::Unauthenticated => Self::unauthenticated(text),
            ErrorKind::Forbidden => Self::new(StatusCode::FORBIDDEN, code, text),
            ErrorKind::NotFound => Self::not_found(),
            ErrorKind::Conflict => Self { kept: true, ..Self::new(StatusCode::CONFLICT, code, text) },
            ErrorKind::LimitExceeded => {
                Self { kept: true, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text) }
            }
            ErrorKind::Unavailable => Self { cause: Some(Arc::new(error)), ..Self::unavailable("try again") },
            ErrorKind::Internal => Self::internal(error),
        }
    }

    /// Nobody was proven to be calling (RFC 6750 §3).
    pub(crate) fn unauthenticated(detail: impl std::fmt::Display) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"pillarbox\"");
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .with_header(WWW_AUTHENTICATE, challenge)
    }

    fn title(&self) -> &'static str {
        let known = CODES.iter().find(|(code, ..)| *code == self.code).map(|(.., title)| *title);
        known.or_else(|| self.status.canonical_reason()).unwrap_or("Problem")
    }

    fn log(&self) {
        let Some(cause) = &self.cause else { return };
        let cause = kernel::error::chain(&**cause);
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error.code = self.code, error.cause = cause, "a request failed");
        } else {
            tracing::warn!(error.code = self.code, error.cause = cause, "a request could not be served now");
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Whose form of errors a request's answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 9457.
    Problem,
    /// RFC 7644 §3.12.
    Scim,
}

impl Form {
    /// By the path alone, since not every problem comes from a route.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/scim/") { Self::Scim } else { Self::Problem }
    }

    /// The media type of its errors.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Problem => MEDIA_TYPE,
            Self::Scim => ::scim::message::MEDIA_TYPE,
        }
    }
}

/// Gives a response that carries a [`Problem`] its body, and logs what is to be logged. Others stay as they are.
pub(crate) fn render(mut response: Response, request_id: RequestId, form: Form) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    problem.log();
    let headers = response.headers().clone();
    let mut response = match form {
        Form::Problem => {
            let body = Body {
                kind: urn(problem.code),
                title: problem.title(),
                status: problem.status.as_u16(),
                detail: problem.detail,
                code: problem.code,
                request_id,
                errors: problem.errors,
            };
            (problem.status, axum::Json(body)).into_response()
        }
        Form::Scim => {
            let (status, body) = scim::problem::translate(&problem);
            (status, axum::Json(body)).into_response()
        }
    };
    // What the router said about a refused method, for one; but the empty body's length is no longer true.
    response.headers_mut().extend(headers);
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().extend(problem.headers);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    response
}

/// What is wrong, for people: by pointers in words, of which `/amount/amount_minor` says one twice.
fn told(errors: &[FieldError]) -> String {
    let once = |error: &FieldError| {
        let mut words: Vec<&str> = error.pointer.split(['/', '_']).filter(|word| !word.is_empty()).collect();
        words.dedup();
        FieldError::new(words.join(" "), &error.detail)
    };
    mistakes(&errors.iter().map(once).collect::<Vec<_>>())
}

impl From<tenancy::Error> for Problem {
    fn from(error: tenancy::Error) -> Self {
        let errors = fields(&error);
        let retry_after = match &error {
            tenancy::Error::Throttled { retry_after_secs } => Some(HeaderValue::from(*retry_after_secs)),
            _ => None,
        };
        let problem = Self::of(error.kind(), error.code(), error).at(errors);
        match retry_after {
            Some(secs) => problem.with_header(RETRY_AFTER, secs),
            None => problem,
        }
    }
}

fn fields(error: &tenancy::Error) -> Vec<FieldError> {
    match error {
        tenancy::Error::Invalid(fields) => fields.clone(),
        tenancy::Error::At { pointer, cause } => vec![FieldError::new(pointer.as_str(), cause)],
        _ => Vec::new(),
    }
}

impl From<mailstore::Error> for Problem {
    fn from(error: mailstore::Error) -> Self {
        match &error {
            mailstore::Error::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.code(), &error)
            }
            mailstore::Error::RangeNotSatisfiable { total_bytes } => {
                let problem = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, error.code(), &error);
                match HeaderValue::from_str(&format!("bytes */{total_bytes}")) {
                    Ok(range) => problem.with_header(CONTENT_RANGE, range),
                    Err(cause) => Self::internal(cause),
                }
            }
            mailstore::Error::Tenancy(cause) => {
                let errors = fields(cause);
                Self::of(error.kind(), error.code(), error).at(errors)
            }
            _ => Self::of(error.kind(), error.code(), error),
        }
    }
}

impl From<submission::Error> for Problem {
    fn from(error: submission::Error) -> Self {
        match error {
            submission::Error::Mail(error) => error.into(),
            error => Self::of(error.kind(), error.code(), error),
        }
    }
}

impl From<billing::Error> for Problem {
    fn from(error: billing::Error) -> Self {
        let errors = error.field_errors().to_vec();
        Self::of(error.kind(), error.code(), error).at(errors)
    }
}
