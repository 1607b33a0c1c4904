//! `ETag` out and `If-Match` in: the version of a resource, so that nobody overwrites a change they have not seen.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The version that `If-Match` wants; `None` when there is no such header, or it wants any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let wrong = || Problem::parameter("If-Match", "must be * or one ETag as an answer gave it");
        // RFC 9110 §13.1.1: a weak tag never matches, and no more does one that was never given. Two that may would be of one object.
        let tags = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        let tags = tags.map(|one| version(one).ok_or_else(wrong)).collect::<Result<BTreeSet<_>, _>>()?;
        let given: Vec<i64> = tags.iter().copied().flatten().collect();
        match given.as_slice() {
            [] if tags.is_empty() => Err(wrong()),
            [] => Ok(Self(Some(NEVER))),
            [version] => Ok(Self(Some(*version))),
            _ => Err(wrong()),
        }
    }
}

/// What no object's version is.
const NEVER: i64 = -1;

/// The version that a tag names, if it may be one's; `None` for what is no tag.
fn version(tag: &str) -> Option<Option<i64>> {
    let opaque = |tag: &str| {
        tag.strip_prefix('"')?.strip_suffix('"').filter(|tag| !tag.contains('"')).map(str::to_owned)
    };
    if let Some(weak) = tag.strip_prefix("W/") {
        return opaque(weak).map(|_| None);
    }
    let tag = opaque(tag)?;
    Some(tag.bytes().all(|byte| byte.is_ascii_digit()).then(|| tag.parse().ok()).flatten())
}

/// An answer with its resource's version as `ETag`.
#[derive(Debug)]
pub(crate) struct Tagged<T>(pub(crate) i64, pub(crate) T);

impl<T: IntoResponse> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(value: &str) -> Result<Option<i64>, Problem> {
        let request = axum::http::Request::get("/").header(IF_MATCH, value).body(()).unwrap();
        IfMatch::from_request_parts(&mut request.into_parts().0, &()).await.map(|wanted| wanted.0)
    }

    #[tokio::test]
    async fn one_strong_tag_or_a_star() {
        assert_eq!(read("\"7\"").await.unwrap(), Some(7));
        assert_eq!(read("*").await.unwrap(), None);
        for other in ["W/\"7\"", "\"\"", "\"-1\"", "\"x\"", "\"99999999999999999999\"", "W/\"7\", \"x\""] {
            assert_eq!(read(other).await.unwrap(), Some(NEVER), "{other}");
        }
        for list in ["W/\"7\", \"8\"", "\"8\", \"8\"", "\"8\",, "] {
            assert_eq!(read(list).await.unwrap(), Some(8), "{list}");
        }
        for wrong in ["7", "", ",", "\"7\", \"8\"", "\"7", "\"7\" \"8\"", "W/7", "\"7\", *"] {
            assert!(read(wrong).await.is_err(), "{wrong}");
        }
    }
}
