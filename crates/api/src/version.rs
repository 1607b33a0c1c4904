//! `ETag` out and `If-Match` in: the version of a resource, so that nobody overwrites a change they have not seen.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::problem::{Form, Problem};

/// What no object's version is.
const NEVER: i64 = -1;

/// The version that `If-Match` wants; `None` when there is no such header, or it wants any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        wanted(&parts.headers, Form::Problem).map(Self)
    }
}

/// The version that `If-Match` wants, with the tags of this form of the API; `None` when there is no such header, or it wants any. A list may have
/// one tag that can be a version's: no client has seen an object in two states that it wants to change alike.
pub(crate) fn wanted(headers: &HeaderMap, form: Form) -> Result<Option<i64>, Problem> {
    let Some(versions) = named(headers, form)? else { return Ok(None) };
    let mut versions = versions.into_iter();
    match (versions.next(), versions.next()) {
        (None, _) => Ok(Some(NEVER)),
        (one, None) => Ok(one),
        _ => Err(wrong()),
    }
}

fn wrong() -> Problem {
    Problem::parameter("If-Match", "must be * or one ETag as an answer gave it")
}

/// The versions that `If-Match` names, of which any will do; `None` when there is no such header, or it wants any. A tag that was never
/// given names none, and no more does a weak one (RFC 9110 §13.1.1), but SCIM's (RFC 7644 §3.14).
fn named(headers: &HeaderMap, form: Form) -> Result<Option<BTreeSet<i64>>, Problem> {
    // Several lines are one list (RFC 9110 §5.3).
    let lines = headers.get_all(IF_MATCH).iter().map(|line| line.to_str().map_err(|_| wrong()));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let list = lines.join(",");
    if lines.is_empty() || list.trim() == "*" {
        return Ok(None);
    }
    let tags = tags(&list).filter(|tags| !tags.is_empty()).ok_or_else(wrong)?;
    let named = tags.into_iter().filter(|tag| !tag.is_weak || form == Form::Scim);
    Ok(Some(named.filter_map(Tag::version).collect()))
}

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag<'a> {
    is_weak: bool,
    /// What is in its quotes.
    text: &'a str,
}

impl Tag<'_> {
    /// The version that it is one of, if it may be.
    fn version(self) -> Option<i64> {
        self.text.bytes().all(|byte| byte.is_ascii_digit()).then(|| self.text.parse().ok()).flatten()
    }
}

/// The tags of a list, in which commas are between tags and may be in them; `None` for what is no such list.
fn tags(list: &str) -> Option<Vec<Tag<'_>>> {
    let (mut tags, mut rest) = (Vec::new(), list);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let weak = rest.strip_prefix("W/");
        let (text, after) = weak.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        tags.push(Tag { is_weak: weak.is_some(), text });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
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

    fn read(lines: &[&str], form: Form) -> Result<Option<BTreeSet<i64>>, Problem> {
        let line = |line: &&str| (IF_MATCH, HeaderValue::from_str(line).unwrap());
        named(&lines.iter().map(line).collect(), form)
    }

    fn versions(list: &str) -> Vec<i64> {
        read(&[list], Form::Problem).unwrap().unwrap().into_iter().collect()
    }

    #[test]
    fn strong_tags_that_were_given_or_a_star() {
        assert_eq!(read(&[], Form::Problem).unwrap(), None);
        assert_eq!(read(&["*"], Form::Problem).unwrap(), None);
        assert_eq!(versions("\"7\""), [7_i64]);
        assert_eq!(versions("\"9\", \"x\",\"7\" , W/\"8\""), [7_i64, 9]);
        for none in
            ["W/\"7\"", "\"\"", "\"-1\"", "\"x\"", "\"99999999999999999999\"", "\"7,8\"", "\"a, \", \"b\""]
        {
            assert!(versions(none).is_empty(), "{none}");
        }
        for one in ["W/\"7\", \"8\"", "\"8\", \"8\"", "\"8\",, "] {
            assert_eq!(versions(one), [8_i64], "{one}");
        }
        for wrong in ["7", "", ",", "\"7", "\"7\" \"8\"", "W/7", "w/\"7\"", "\"7\", *", "\"7\"x"] {
            assert!(read(&[wrong], Form::Problem).is_err(), "{wrong}");
        }
        assert_eq!(read(&["\"7\"", "\"8\""], Form::Problem).unwrap().unwrap().len(), 2);
    }

    #[test]
    fn scim_s_weak_tags_are_versions() {
        assert_eq!(read(&["W/\"7\", \"8\""], Form::Scim).unwrap().unwrap(), BTreeSet::from([7, 8]));
        assert!(read(&["4"], Form::Scim).is_err());
    }

    #[test]
    fn a_list_may_name_one_version() {
        let wanted = |list: &str| {
            let headers = [(IF_MATCH, HeaderValue::from_str(list).unwrap())].into_iter().collect();
            wanted(&headers, Form::Problem)
        };
        for seven in ["\"7\"", "\"7\", \"7\"", "W/\"8\", \"x, y\",\"7\""] {
            assert_eq!(wanted(seven).unwrap(), Some(7), "{seven}");
        }
        assert_eq!(wanted("W/\"7\"").unwrap(), Some(NEVER));
        assert_eq!(wanted("*").unwrap(), None);
        assert!(wanted("\"7\", \"8\"").is_err());
    }
}
