//! What a request says it accepts (RFC 9110 §12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The media types that `Accept` names, in its order and without parameters; not those that it refuses (`q=0`).
pub(crate) fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let ranges = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ranges.split(',').filter_map(|range| {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        let is_refused = |parameter: &str| {
            parameter.trim().strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty())
        };
        (!parameters.split(';').any(is_refused)).then(|| name.trim())
    })
}
