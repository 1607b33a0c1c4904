//! Messages around resources: lists, errors, pages. RFC 7644 §3.4.2, §3.12.

use serde_json::{Value, json};

use crate::{Error, ScimType};

/// The URN of a list.
pub const LIST_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The URN of an error.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// The media type of every body.
pub const MEDIA_TYPE: &str = "application/scim+json";

/// The page that a client asks for. RFC 7644 §3.4.2.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The index of its first resource, from 1.
    pub start_index: u64,
    /// The most resources in it; 0 asks for the total alone.
    pub count: u64,
}

impl Page {
    /// Reads the query's `startIndex` and `count`. A start before 1 is 1, a negative count is 0, and a count above
    /// `max_count` or none at all is `max_count`.
    ///
    /// # Errors
    /// `invalidValue` for what is no whole number.
    pub fn parse(start_index: Option<&str>, count: Option<&str>, max_count: u64) -> Result<Self, Error> {
        let start_index = number("startIndex", start_index)?.map_or(1, |n| n.max(1).unsigned_abs());
        let count = number("count", count)?.map_or(max_count, |n| n.max(0).unsigned_abs().min(max_count));
        Ok(Self { start_index, count })
    }

    /// How many resources come before the page.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.start_index.saturating_sub(1)
    }
}

fn number(name: &str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| Error::value(format!("{name} must be a whole number")))
}

/// The body of a list. `total_results` counts all matches, not those of this page.
#[must_use]
pub fn list_response(total_results: u64, start_index: u64, resources: Vec<Value>) -> Value {
    json!({
        "schemas": [LIST_RESPONSE_URN],
        "totalResults": total_results,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// The body of an error. The status is text (RFC 7644 §3.12).
#[must_use]
pub fn error_body(status: u16, scim_type: Option<ScimType>, detail: &str) -> Value {
    let mut body = json!({"schemas": [ERROR_URN], "status": status.to_string(), "detail": detail});
    if let Some(scim_type) = scim_type {
        body["scimType"] = json!(scim_type.as_str());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_clamped_not_refused() {
        let page = |start, count| Page::parse(start, count, 200).map(|page| (page.start_index, page.count));
        assert_eq!(page(None, None), Ok((1, 200)));
        assert_eq!(page(Some("1"), Some("2")), Ok((1, 2)));
        assert_eq!(page(Some("0"), Some("-1")), Ok((1, 0)));
        assert_eq!(page(Some("-5"), Some("0")), Ok((1, 0)));
        assert_eq!(page(Some("11"), Some("1000")), Ok((11, 200)));
        assert_eq!(page(Some("-9223372036854775808"), None), Ok((1, 200)));
        assert!(page(Some("one"), None).is_err());
        assert!(page(None, Some("1.5")).is_err());
        assert_eq!(Page::parse(Some("11"), None, 10).unwrap().offset(), 10);
    }

    #[test]
    fn bodies_look_like_the_rfc() {
        assert_eq!(
            list_response(0, 1, vec![]),
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0,
                   "startIndex": 1, "itemsPerPage": 0, "Resources": []})
        );
        assert_eq!(
            error_body(400, Some(ScimType::Mutability), "id is read-only"),
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "400",
                   "scimType": "mutability", "detail": "id is read-only"})
        );
        assert_eq!(error_body(404, None, "no such user").get("scimType"), None);
    }
}
