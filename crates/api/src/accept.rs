//! What a request says it accepts (RFC 9110 §12.5.1).

use std::cmp::Reverse;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The media types that `Accept` names, in small letters and without parameters: those of the greatest weight first, of one weight in its order; not
/// those that it refuses (`q=0`).
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<String> {
    let ranges = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let weighed = ranges.split(',').map(|range| {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        (parameters.split(';').find_map(weight).unwrap_or(HEAVIEST), name.trim().to_ascii_lowercase())
    });
    let mut weighed: Vec<(u16, String)> = weighed.filter(|(weight, _)| *weight > 0).collect();
    weighed.sort_by_key(|(weight, _)| Reverse(*weight));
    weighed.into_iter().map(|(_, name)| name).collect()
}

/// Of what has no weight.
const HEAVIEST: u16 = 1000;

/// A weight in thousandths (RFC 9110 §12.4.2); `None` of another parameter, and of what is no weight.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, decimals) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_weight = name.trim().eq_ignore_ascii_case("q") && decimals.len() <= 3;
    let thousandths: u16 = format!("{whole}{decimals:0<3}").parse().ok().filter(|_| is_weight)?;
    Some(thousandths.min(HEAVIEST))
}
