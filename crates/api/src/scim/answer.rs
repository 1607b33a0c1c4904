//! What SCIM's handlers answer with, and the entity tags of their resources.

use axum::extract::FromRequestParts;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use scim::message::MEDIA_TYPE;
use serde_json::Value;

use crate::problem::{Form, Problem};
use crate::version::wanted;

/// A document.
#[derive(Debug)]
pub(super) struct Document(pub(super) Value);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.0).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

/// A resource with its version, and for a new one with its place.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) version: i64,
    pub(super) created_at: Option<String>,
    pub(super) body: Value,
}

impl IntoResponse for Resource {
    fn into_response(self) -> Response {
        let mut response = Document(self.body).into_response();
        insert(&mut response, ETAG, &tag(self.version));
        if let Some(location) = self.created_at {
            *response.status_mut() = StatusCode::CREATED;
            insert(&mut response, LOCATION, &location);
        }
        response
    }
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The entity tag of a version, as in `meta.version`. Weak, since a projection of the resource has it too.
pub(super) fn tag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The version of a tag, weak or strong: clients send `meta.version` as they have kept it.
fn version(tag: &str) -> Option<i64> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    tag.bytes().all(|byte| byte.is_ascii_digit()).then(|| tag.parse().ok())?
}

/// The version that `If-Match` wants; `None` when there is no such header, or it wants any. RFC 7644 §3.14 has weak tags
/// here, against RFC 9110 §13.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IfMatch(pub(super) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        wanted(&parts.headers, Form::Scim).map(Self)
    }
}

/// The versions that the client has already (RFC 9110 §13.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IfNoneMatch(Vec<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tags = parts.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        Ok(Self(tags.unwrap_or_default().split(',').filter_map(version).collect()))
    }
}

impl IfNoneMatch {
    /// The resource, or only that it is still the same.
    pub(super) fn unless_seen(&self, resource: Resource) -> Response {
        if !self.0.contains(&resource.version) {
            return resource.into_response();
        }
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        insert(&mut response, ETAG, &tag(resource.version));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_strong_tags_name_a_version() {
        assert_eq!(version(&tag(7)), Some(7));
        assert_eq!(version(" \"7\" "), Some(7));
        for wrong in ["", "7", "\"\"", "w/\"7\"", "W/7", "\"-1\"", "\"7", "\"99999999999999999999\""] {
            assert_eq!(version(wrong), None, "{wrong}");
        }
    }
}
