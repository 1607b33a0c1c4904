//! A message's bytes, whole or in part (RFC 9110 §14).

use std::ops::Range;

use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mailstore::message::{self, Raw};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::MessagePath;
use crate::Api;
use crate::extract::{Bearer, Path};
use crate::problem::Problem;

/// What a `Range` header asks for, before the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

impl Asked {
    /// One range of bytes. Anything else may be ignored (RFC 9110 §14.2), and is.
    fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (false, true) => Some(Self::From(number(first)?)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
            (true, false) => Some(Self::Last(number(last)?)),
            (true, true) => None,
        }
    }

    /// As the mail store takes it: half open, perhaps past the end.
    fn of(self, total_bytes: u64) -> Range<u64> {
        match self {
            Self::From(first) => first..u64::MAX,
            Self::FromTo(first, last) => first..last.saturating_add(1),
            Self::Last(0) => total_bytes..total_bytes,
            Self::Last(count) => total_bytes.saturating_sub(count)..total_bytes,
        }
    }
}

/// Digits alone; more than fit stand for more than any message has.
fn number(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Get a message's bytes
///
/// As stored. A `Range` of bytes is honoured; several at once are ignored, and the whole is sent.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/raw", tag = "Messages",
    operation_id = "get_message_raw",
    params(MessagePath, ("Range" = Option<String>, Header, description = "One range of bytes.", example = "bytes=0-1023")),
    responses((status = 200, description = "The message.", content_type = "message/rfc822", body = String),
        (status = 206, description = "The part asked for.", content_type = "message/rfc822", body = String),
        (status = 304, description = "The client has it: the ETag in `If-None-Match` is the message's."),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 416, description = "The range is not in the message: `range_not_satisfiable`.")),
    extensions(("x-required-action" = json!("messages:read"))))]
async fn raw(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MessagePath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let message = message::get(&ctx, at.mailbox_id, at.message_id).await?;
    // The bytes behind an id never change, so the id is as good as a hash of them.
    let etag = format!("\"{}\"", at.message_id);
    if header(&headers, IF_NONE_MATCH).is_some_and(|tags| names(tags, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let asked = header(&headers, RANGE).and_then(Asked::parse);
    let asked = asked.filter(|_| header(&headers, IF_RANGE).is_none_or(|tag| tag == etag));
    let range = asked.map(|asked| asked.of(message.size_bytes));
    let raw = message::raw(&api.store, &ctx, at.mailbox_id, at.message_id, range.clone()).await?;
    Ok(answer(raw, range.map(|range| range.start), etag))
}

fn answer(raw: Raw, start: Option<u64>, etag: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "message/rfc822".to_owned()),
        // Mail is a stranger's HTML: a browser saves it and does not show it as a page of ours.
        (CONTENT_DISPOSITION, "attachment; filename=\"message.eml\"".to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CACHE_CONTROL, "private, no-cache".to_owned()),
        (ETAG, etag),
    ];
    let Some(start) = start else { return (headers, raw.bytes).into_response() };
    let last = start + raw.bytes.len() as u64 - u64::from(!raw.bytes.is_empty());
    let content_range = format!("bytes {start}-{last}/{}", raw.total_bytes);
    (StatusCode::PARTIAL_CONTENT, headers, [(CONTENT_RANGE, content_range)], raw.bytes).into_response()
}

fn header(headers: &HeaderMap, name: axum::http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a list of entity tags names this one (RFC 9110 §13.1.2: weakly compared).
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(header: &str) -> Option<Range<u64>> {
        Asked::parse(header).map(|asked| asked.of(100))
    }

    #[test]
    fn one_range_of_bytes_is_understood_and_nothing_else() {
        assert_eq!(range("bytes=0-9"), Some(0..10));
        assert_eq!(range("Bytes = 5-5"), Some(5..6));
        assert_eq!(range("bytes=90-"), Some(90..u64::MAX));
        assert_eq!(range("bytes=-10"), Some(90..100));
        assert_eq!(range("bytes=-1000"), Some(0..100));
        assert_eq!(range("bytes=-0"), Some(100..100));
        assert_eq!(range("bytes=0-99999999999999999999999"), Some(0..u64::MAX));
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=9-1",
            "bytes=0-1,3-4",
            "lines=0-1",
        ] {
            assert_eq!(range(header), None, "{header}");
        }
    }
}
