//! The OpenAPI document: what the handlers declare, completed with what holds for all of them.

mod tagged;
mod webhook;

use std::fmt::Write as _;

use axum::http::Method;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ArrayItems, Components, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, KnownFormat, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, SchemaFormat,
    Server,
};
use utoipa::{OpenApi as _, ToSchema as _};

use crate::extract::LEFT_OUT;
use crate::problem::{self, Form};
use crate::{routes, scim};

/// In an operation: the action that the caller's role and key have to allow.
const ACTION: &str = "x-required-action";

/// What utoipa puts before an item's name to name a page of them.
const LIST: &str = "List_";
/// The same for an answer that with `dry_run` is another.
const OR_EFFECT: &str = "OrEffect_";

/// The operations that ask `If-Match`.
const VERSIONED: &[&str] = &[
    "cancel_subscription",
    "delete_dkim_key",
    "delete_domain",
    "delete_folder",
    "delete_group",
    "delete_mailbox",
    "delete_message",
    "delete_payment_method",
    "delete_payment_provider",
    "delete_reseller",
    "delete_tenant",
    "delete_user",
    "delete_webhook_endpoint",
    "drop_outgoing",
    "hold_outgoing",
    "offboard_user",
    "put_dunning_policy",
    "put_mailbox_sending_limit",
    "put_operator_billing_profile",
    "put_payment_method",
    "put_payment_provider",
    "put_reseller_billing_profile",
    "put_reseller_sending_limit",
    "put_retention_policy",
    "put_subscription",
    "put_tenant_billing_profile",
    "put_tenant_sending_limit",
    "put_wholesale_agreement",
    "put_wholesale_profile",
    "release_outgoing",
    "resume_tenant",
    "resume_user",
    "retry_outgoing",
    "rotate_webhook_endpoint_secret",
    "scim_delete_group",
    "scim_delete_user",
    "scim_replace_group",
    "scim_replace_user",
    "scim_update_group",
    "scim_update_user",
    "set_quota",
    "suspend_tenant",
    "suspend_user",
    "transfer_tenant",
    "update_domain",
    "update_folder",
    "update_group",
    "update_mailbox",
    "update_message",
    "update_reseller",
    "update_tenant",
    "update_user",
    "update_webhook_endpoint",
];

/// A problem that many operations share.
pub(crate) struct Common {
    pub(crate) status: &'static str,
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

const PROBLEMS: &[Common] = &[
    Common { status: "400", name: "MalformedBody", text: "The body could not be read: `malformed_body`." },
    Common { status: "401", name: "Unauthenticated", text: "No valid credential: `unauthenticated`." },
    Common {
        status: "403",
        name: "Forbidden",
        text: "The credential does not allow this (`forbidden`), or the tenant's own access is suspended (`suspended`).",
    },
    Common {
        status: "404",
        name: "NotFound",
        text: "No such object, or none that the caller may see: `not_found`.",
    },
    Common {
        status: "408",
        name: "RequestTimeout",
        text: "The request took longer than the server waits: `request_timeout`.",
    },
    Common {
        status: "409",
        name: "KeyInUse",
        text: "The first request with this `Idempotency-Key` has no answer yet, or will never have one: `idempotency_key_in_use`, `idempotency_key_unresolved`.",
    },
    Common {
        status: "412",
        name: "VersionMismatch",
        text: "The object has changed since the version that `If-Match` names: `version_mismatch`.",
    },
    Common { status: "413", name: "BodyTooLarge", text: "The body is too large: `body_too_large`." },
    Common {
        status: "415",
        name: "UnsupportedMediaType",
        text: "The body has another media type: `unsupported_media_type`.",
    },
    Common {
        status: "422",
        name: "InvalidRequest",
        text: "The request breaks a rule (`invalid_request`; `errors` names each), or its `Idempotency-Key` was used for another request (`idempotency_key_reuse`).",
    },
    Common {
        status: "429",
        name: "RateLimited",
        text: "The credential has made too many requests; nothing was done. Try again after the seconds in `Retry-After`: `rate_limited`.",
    },
    Common { status: "500", name: "Internal", text: "A fault of the server's: `internal`." },
    Common {
        status: "503",
        name: "Unavailable",
        text: "Try again after the seconds in `Retry-After`: `unavailable`.",
    },
];

const ABOUT: &str = "\
Hosted mailboxes for many tenants, driven by a reseller's portal: resellers, tenants, domains, users with a mailbox, \
the mail in them, subscriptions and invoices.

**Conventions.** JSON in `snake_case`; times in RFC 3339, UTC; sizes in `*_bytes`; money as `{\"amount_minor\": 1250, \
\"currency\": \"EUR\"}`, in whole minor units. Unknown members of a body and query parameters that a write or a paged list does not know are refused. \
`PATCH` is a JSON Merge Patch (RFC 7396): an absent member stays as it is.

**Credentials.** `Authorization: Bearer` with an API key's secret or with an access token from `POST /v1/auth/token`. \
A caller sees its own part of the tree (the installation, a reseller and what is below it, one tenant, one mailbox). What \
is outside of it answers 404, exactly like what never existed.

**Lists** take `limit` and `cursor` and answer `{\"data\": [...], \"next_cursor\": ...}`. A cursor is good for the list that gave it, with the same filters.

**Trying again.** Every POST but the token endpoint honours `Idempotency-Key`: 1 to 255 visible ASCII characters, kept for \
24 hours for the credential that used it. The same key with the same request gives the first answer again, with \
`Idempotency-Replayed: true` and without secrets that are shown once; with another request it is refused. Refusals of \
the request itself (400, 401, 403, 413, 415, 422 `invalid_request`) are not kept: mend the request and use the key again. \
Neither is a 429 or a 503, which changed nothing: send the request with its key again. A dry run leaves its key free for the request itself.

**Limits.** A credential may make so many requests in a minute; a key's access tokens share what the key has. Answers to a \
proven caller say how it stands, as draft-ietf-httpapi-ratelimit-headers has it: `RateLimit-Policy: \"default\";q=6000;w=60` \
(the quota and its window in seconds), `RateLimit: \"default\";r=5990;t=1` (what is left, and for how many seconds there is \
no more). One request too many is a 429 `rate_limited`, which was not carried out: wait for the seconds in `Retry-After`.

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
    components(schemas(problem::Body, scim::describe::ScimError)),
    tags(
        (name = "Resellers", description = "Partners who sell, each with those below it."),
        (name = "API keys", description = "Credentials of programs. A secret is shown once."),
        (name = "Tenants", description = "Customer organisations."),
        (name = "Domains", description = "Mail domains of a tenant."),
        (name = "DKIM keys", description = "What a domain's mail is signed with."),
        (name = "Users", description = "People who sign in. Each takes a seat and has a personal mailbox."),
        (name = "Long work", description = "Work of several steps, and how far it is."),
        (name = "App passwords", description = "Passwords of a user's programs, for some protocols. A secret is shown once."),
        (name = "Mailboxes", description = "Stores of messages, and their quotas."),
        (name = "Aliases", description = "Further addresses of mailboxes and groups."),
        (name = "Groups", description = "Distribution lists of mailboxes and of other groups."),
        (name = "Holds", description = "What keeps mail from being destroyed."),
        (name = "Folders", description = "Where messages lie in a mailbox: a tree."),
        (name = "Messages", description = "The mail in a mailbox."),
        (name = "Outgoing mail", description = "Mail on its way out, to see and steer."),
        (name = "Sending limits", description = "To how many recipients a mailbox, a tenant and a reseller's tenants may write."),
        (name = "Price books", description = "Published versions of a reseller's or of the operator's prices; they never change."),
        (name = "Billing profiles", description = "Who issuer and customer are on documents, and what their taxes follow from."),
        (name = "Tax rates", description = "What a reseller charges in each country; what has begun never changes."),
        (name = "Subscriptions", description = "What a tenant has agreed to pay for."),
        (name = "Invoices", description = "What was billed, with the seat-days behind it."),
        (name = "Wholesale", description = "What the operator bills a reseller, for the seats of all its tenants."),
        (name = "Exports", description = "Files for accounting: documents, their lines, the ledger, usage."),
        (name = "Payments", description = "What was paid, by what and by which provider, what was paid back, and what becomes of who does not pay."),
        (name = "Billing runs", description = "Bring what is billed up to what is owed."),
        (name = "Events", description = "What happened, as a feed and as a trail that can be verified."),
        (name = "Webhooks", description = "Events sent to where you want them, signed by Standard Webhooks."),
        (name = "SCIM", description = "How a customer's directory, as Entra ID or Okta, keeps the tenant's users (RFC 7643, RFC 7644)."),
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
    name_items(components);
    complete_times(components);
    webhook::declare(&mut document);
    let components = document.components.get_or_insert_default();
    for form in [Form::Problem, Form::Scim] {
        let responses = common(form).iter();
        let responses =
            responses.map(|one| (one.name.to_owned(), problem_response(one.status, one.text, form).into()));
        components.responses.extend(responses);
    }
    let needs_bearer = SecurityRequirement::new("bearer", Vec::<String>::new());
    document.security = Some(vec![needs_bearer]);
    document.servers = Some(vec![Server::new("/")]);
    for (path, item) in &mut document.paths.paths {
        let form = Form::of(path);
        let PathItem { get, put, post, delete, patch, .. } = item;
        let operations = [
            (Method::GET, get),
            (Method::PUT, put),
            (Method::POST, post),
            (Method::DELETE, delete),
            (Method::PATCH, patch),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation.as_mut() {
                complete(operation, &method, form);
                if let Some(RefOr::T(body)) = &mut operation.request_body
                    && LEFT_OUT.contains(&path.as_str())
                {
                    body.required = Some(Required::False);
                }
            }
        }
    }
    document
}

/// The problems that operations share.
fn common(form: Form) -> &'static [Common] {
    match form {
        Form::Problem => PROBLEMS,
        Form::Scim => scim::describe::ERRORS,
    }
}

fn complete(operation: &mut Operation, method: &Method, form: Form) {
    // The public ones say so themselves, and who calls does not matter to them.
    let is_public = operation.security.is_some();
    if let Some(action) = action(operation) {
        let about = operation.description.take().unwrap_or_default();
        operation.description =
            Some(format!("{about}\n\nNeeds the action `{action}`.").trim_start().to_owned());
    }
    describe_ids(operation);
    tagged::declare(operation);
    let takes_key = method == Method::POST && !is_public;
    let is_versioned = operation.operation_id.as_deref().is_some_and(|id| VERSIONED.contains(&id));
    if is_versioned {
        operation.parameters.get_or_insert_default().push(RefOr::T(if_match()));
    }
    if takes_key {
        operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(own) = response
            && status.as_str() >= "400"
            && !is_public
        {
            *own = problem_response(status, &own.description, form);
        }
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let is_in = |place: ParameterIn| {
        parameters.iter().any(|parameter| matches!(parameter, RefOr::T(own) if own.parameter_in == place))
    };
    let has_body = operation.request_body.is_some();
    let has_path = is_in(ParameterIn::Path);
    let has_query = is_in(ParameterIn::Query);
    for problem in common(form) {
        let holds = match problem.status {
            "408" | "500" | "503" => true,
            _ if is_public => false,
            // SCIM has no 422.
            "400" => has_body || (form == Form::Scim && (has_query || is_versioned)),
            "413" | "415" => has_body,
            "404" => has_path || has_body || has_query,
            "409" => takes_key,
            "412" => is_versioned,
            "422" if form == Form::Scim => takes_key,
            // A write refuses parameters that it does not know.
            "422" => !method.is_safe() || has_query,
            _ => true,
        };
        if holds {
            add_problem(operation, problem, form);
        }
    }
}

/// Adds a problem; to what the operation itself says of the status, if it does.
fn add_problem(operation: &mut Operation, problem: &Common, form: Form) {
    match operation.responses.responses.get_mut(problem.status) {
        Some(RefOr::T(own)) => {
            let description = format!("{} {}", own.description, problem.text);
            *own = problem_response(problem.status, &description, form);
        }
        _ => {
            let response = RefOr::Ref(Ref::from_response_name(problem.name));
            operation.responses.responses.insert(problem.status.to_owned(), response);
        }
    }
}

fn problem_response(status: &str, text: &str, form: Form) -> Response {
    let name = match form {
        Form::Problem => problem::Body::name(),
        Form::Scim => scim::describe::ScimError::name(),
    };
    let schema = RefOr::Ref(Ref::from_schema_name(name));
    let headers = if status == "429" { limit_headers() } else { Vec::new() };
    let response = ResponseBuilder::new()
        .description(text)
        .content(form.media_type(), ContentBuilder::new().schema(Some(schema)).build());
    headers.into_iter().fold(response, |response, (name, header)| response.header(name, header)).build()
}

/// What every answer to a proven caller says of its quota, and a refusal of the time to wait.
fn limit_headers() -> Vec<(&'static str, Header)> {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).examples([1]);
    let text = |example: &str| ObjectBuilder::new().schema_type(Type::String).examples([example]);
    let header = |about: &str, schema: ObjectBuilder| {
        HeaderBuilder::new().description(Some(about)).schema(Some(schema.build())).build()
    };
    let (policy, limit) = ("\"default\";q=6000;w=60", "\"default\";r=0;t=1");
    vec![
        ("Retry-After", header("Seconds to wait.", seconds)),
        ("RateLimit-Policy", header("How many requests (`q`) there are for `w` seconds.", text(policy))),
        ("RateLimit", header("How many requests are left (`r`) for the next `t` seconds.", text(limit))),
    ]
}

/// A page's items, and what a change makes, by the name of their schema; utoipa repeats the whole of it in each.
fn name_items(components: &mut Components) {
    for (name, schema) in &mut components.schemas {
        if let Some(item) = name.strip_prefix(OR_EFFECT)
            && let RefOr::T(Schema::OneOf(either)) = schema
            && let Some(changed) = either.items.first_mut()
        {
            let mut named = Ref::from_schema_name(item);
            named.description = "What was changed, as it is now.".into();
            *changed = RefOr::Ref(named);
        }
        let Some(item) = name.strip_prefix(LIST) else { continue };
        if let RefOr::T(Schema::Object(list)) = schema
            && let Some(RefOr::T(Schema::Array(data))) = list.properties.get_mut("data")
        {
            data.items = ArrayItems::RefOrSchema(Box::new(RefOr::Ref(Ref::from_schema_name(item))));
        }
    }
}

/// An example for each time, and what `created_at` means everywhere.
fn complete_times(components: &mut Components) {
    let time = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for (name, member) in &mut object.properties {
            if let RefOr::T(Schema::Object(member)) = member
                && member.format == time
            {
                member.example.get_or_insert_with(|| "2026-12-01T09:30:00Z".into());
                if name == "created_at" {
                    member.description.get_or_insert_with(|| "When it was made.".into());
                }
            }
        }
    }
}

/// Says of each id in the path whose it is, which its name tells.
fn describe_ids(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(own) = parameter
            && own.parameter_in == ParameterIn::Path
            && own.description.is_none()
        {
            let noun = own.name.trim_end_matches("_id").replace('_', " ");
            own.description = Some(format!("The {noun}'s id."));
        }
    }
}

fn action(operation: &Operation) -> Option<String> {
    operation.extensions.as_ref()?.get(ACTION)?.as_str().map(str::to_owned)
}

fn if_match() -> Parameter {
    let tag = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The `ETag` of the version that is to be changed: another is left alone."))
        .schema(Some(tag.examples(["\"1\""]).build()))
        .build()
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
