//! The OpenAPI document: what the handlers declare, completed with what holds for all of them.

use std::fmt::Write as _;

use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema as _};

use crate::{problem, routes};

/// In an operation: the action that the caller's role and key have to allow.
const ACTION: &str = "x-required-action";

const ABOUT: &str = "\
Hosted mailboxes for many tenants, driven by a reseller's portal: resellers, tenants, domains, users with a mailbox, \
the mail in them, subscriptions and invoices.

**Conventions.** JSON in `snake_case`; times in RFC 3339, UTC; sizes in `*_bytes`; money as `{\"amount_minor\": 1250, \
\"currency\": \"EUR\"}`, in whole minor units. Unknown members of a body and unknown query parameters are refused. \
`PATCH` is a JSON Merge Patch (RFC 7396): an absent member stays as it is.

**Credentials.** `Authorization: Bearer` with an API key's secret or with an access token from `POST /v1/auth/token`. \
A caller sees its own part of the tree (the installation, a reseller and what is below it, one tenant, one mailbox). What \
is outside of it answers 404, exactly like what never existed.

**Lists** take `limit` and `cursor` and answer `{\"data\": [...], \"next_cursor\": ...}`.

**Trying again.** Every POST but the token endpoint honours `Idempotency-Key`: 1 to 255 visible ASCII characters, kept for \
24 hours for the credential that used it. The same key with the same request gives the first answer again, with \
`Idempotency-Replayed: true` and without secrets that are shown once; with another request it is refused. Refusals of \
the request itself (400, 401, 403, 413, 415, 422 `invalid_request`) are not kept: mend the request and use the key again.

**Errors** are RFC 9457 problem details (`application/problem+json`). `code` is stable; the codes are:
";

/// The OpenAPI 3.1 document of this API as pretty-printed JSON, the same each time.
pub fn openapi() -> String {
    let document = document();
    // Values of utoipa's own types; that they serialise is not a matter of input.
    document.to_pretty_json().unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Pillarbox", license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")),
    components(schemas(problem::Body)),
    tags(
        (name = "Resellers", description = "Partners who sell, each with those below it."),
        (name = "API keys", description = "Credentials of programs. A secret is shown once."),
        (name = "Tenants", description = "Customer organisations."),
        (name = "Domains", description = "Mail domains of a tenant."),
        (name = "Users", description = "People who sign in. Each takes a seat and has a personal mailbox."),
        (name = "Mailboxes", description = "Stores of messages, their folders and quotas."),
        (name = "Messages", description = "The mail in a mailbox."),
        (name = "Price books", description = "Published versions of a reseller's prices; they never change."),
        (name = "Subscriptions", description = "What a tenant has agreed to pay for."),
        (name = "Invoices", description = "What was billed, with the seat-days behind it."),
        (name = "Billing runs", description = "Bring what is billed up to what is owed."),
        (name = "Authentication", description = "Access tokens and the keys to check them with."),
        (name = "Operations", description = "Whether the server lives, is ready, and how it does."),
    )
)]
struct Declared;

/// The document's frame, before the routes are put in.
pub(crate) fn frame() -> OpenApi {
    let mut document = Declared::openapi();
    let mut about = ABOUT.to_owned();
    for (code, status, title) in problem::CODES {
        // Writing to a String cannot fail.
        let _ = writeln!(about, "\n- `{code}` ({status}): {title}.");
    }
    document.info.description = Some(about);
    document
}

fn document() -> OpenApi {
    let mut document = routes::declared();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some("An API key's secret, or an access token from `POST /v1/auth/token`.".into());
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let needs_bearer = SecurityRequirement::new("bearer", Vec::<String>::new());
    document.security = Some(vec![needs_bearer]);
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        let is_post = [(get, false), (put, false), (post, true), (delete, false), (patch, false)];
        for (operation, is_post) in is_post {
            if let Some(operation) = operation.as_mut() {
                complete(operation, is_post);
            }
        }
    }
    document
}

fn complete(operation: &mut Operation, is_post: bool) {
    // The public ones say so themselves.
    if operation.security.is_some() {
        return;
    }
    if let Some(action) = action(operation) {
        let about = operation.description.take().unwrap_or_default();
        operation.description = Some(format!("{about}\n\nNeeds the action `{action}`.").trim_start().to_owned());
    }
    if is_post {
        operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let is_in = |place: ParameterIn| {
        parameters.iter().any(|parameter| matches!(parameter, RefOr::T(own) if own.parameter_in == place))
    };
    let has_body = operation.request_body.is_some();
    let holds = [
        ("400", "The body could not be read: `malformed_body`.", has_body),
        ("401", "No valid credential: `unauthenticated`.", true),
        ("403", "The credential does not allow this: `forbidden`.", true),
        ("404", "No such object, or none that the caller may see: `not_found`.", is_in(ParameterIn::Path) || has_body),
        ("413", "The body is too large: `body_too_large`.", has_body),
        ("415", "The body has another media type: `unsupported_media_type`.", has_body),
        ("422", "The request breaks a rule: `invalid_request`.", has_body || is_post || is_in(ParameterIn::Query)),
        ("409", "The first request with the same key has no answer: `idempotency_key_in_use`, `idempotency_key_unresolved`.", is_post),
        ("500", "A fault of the server's: `internal`.", true),
        ("503", "Try again later: `unavailable`.", true),
    ];
    for (status, text, holds) in holds {
        if holds {
            add_problem(operation, status, text);
        }
    }
}

/// Adds a problem; to what the operation itself says of the status, if it does.
fn add_problem(operation: &mut Operation, status: &str, text: &str) {
    match operation.responses.responses.get_mut(status) {
        Some(RefOr::T(own)) => {
            own.description = format!("{} {text}", own.description);
            let Response { content, headers, .. } = problem_response("");
            own.content = content;
            own.headers = headers;
        }
        _ => {
            operation.responses.responses.insert(status.to_owned(), RefOr::T(problem_response(text)));
        }
    }
}

fn problem_response(text: &str) -> Response {
    let schema = RefOr::Ref(Ref::from_schema_name(problem::Body::name()));
    ResponseBuilder::new()
        .description(text)
        .content(problem::MEDIA_TYPE, ContentBuilder::new().schema(Some(schema)).build())
        .header("X-Request-Id", Header::new(ObjectBuilder::new().schema_type(Type::String).build()))
        .build()
}

fn action(operation: &Operation) -> Option<String> {
    operation.extensions.as_ref()?.get(ACTION)?.as_str().map(str::to_owned)
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Makes sending this request again harmless for 24 hours."))
        .schema(Some(text.pattern(Some("^[!-~]+$")).build()))
        .build()
}
