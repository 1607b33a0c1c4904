//! Problems in SCIM's words (RFC 7644 §3.12).

use axum::http::StatusCode;
use scim::ScimType;
use scim::message::error_body;
use serde_json::Value;

use crate::problem::{FieldProblem, Problem};

impl From<scim::Error> for Problem {
    fn from(error: scim::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", error.detail())
            .with_scim_type(error.scim_type())
    }
}

/// The status and body that a SCIM client gets.
pub(crate) fn translate(problem: &Problem) -> (StatusCode, Value) {
    let (status, scim_type, detail) = match problem.code {
        // Not a conflict that another value would avoid. Entra and Okta show the detail to the administrator.
        "seats_exhausted" => {
            (StatusCode::FORBIDDEN, None, format!("{}; nothing was created", problem.detail))
        }
        "address_taken" | "external_id_taken" => {
            (problem.status, Some(ScimType::Uniqueness), mistakes(problem))
        }
        // RFC 7644 §3.12 has no 422.
        "invalid_request" => (StatusCode::BAD_REQUEST, Some(ScimType::InvalidValue), mistakes(problem)),
        "malformed_body" => (problem.status, Some(ScimType::InvalidSyntax), problem.detail.clone()),
        _ => (problem.status, None, problem.detail.clone()),
    };
    let body = error_body(status.as_u16(), problem.scim_type.or(scim_type), &detail);
    (status, body)
}

fn mistakes(problem: &Problem) -> String {
    if problem.errors.is_empty() {
        return problem.detail.clone();
    }
    let each = problem.errors.iter().map(|error| format!("{}: {}", place(error), error.detail));
    each.collect::<Vec<_>>().join("; ")
}

/// The attribute or parameter that a mistake is in.
fn place(error: &FieldProblem) -> &str {
    let pointer = error.pointer.as_deref().unwrap_or_default();
    match pointer.split('/').nth(1).unwrap_or_default() {
        "address" => "userName",
        "aliases" => "an address in emails or aliases",
        "display_name" => "displayName",
        "given_name" => "name.givenName",
        "family_name" => "name.familyName",
        "external_id" => "externalId",
        "quota_bytes" => "quotaBytes",
        "members" => "members.value",
        other => error.parameter.as_deref().unwrap_or(other),
    }
}
