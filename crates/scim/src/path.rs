//! Attribute paths. RFC 7644 §3.10.

use std::fmt;

use serde_json::{Map, Value};

use crate::{Error, schema};

/// A path to an attribute: `[urn ":"] name ["." sub]`, spelled as the client spelled it. Names are compared
/// without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttrPath {
    /// The URN of the schema, if it was written.
    pub schema: Option<String>,
    /// The attribute.
    pub name: String,
    /// The sub-attribute.
    pub sub: Option<String>,
}

impl AttrPath {
    /// Reads a path.
    ///
    /// # Errors
    /// `invalidPath` if it is not one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (schema, rest) = split_urn(text)?;
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        if !is_name(name) || !sub.is_none_or(is_name) {
            return Err(Error::path("not the name of an attribute"));
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned(), sub: sub.map(str::to_owned) })
    }

    /// The values at this path in a resource, those of a list one by one. A complex value stands for its
    /// `value` when no sub-attribute is named, as in `emails co "example.com"` (RFC 7644 §3.4.2.2).
    pub(crate) fn values<'a>(&self, resource: &'a Map<String, Value>) -> Vec<&'a Value> {
        let found =
            scope(resource, self.schema.as_deref()).and_then(|object| schema::field(object, &self.name));
        let elements = found.map(elements).unwrap_or_default();
        let leaves = elements.iter().filter_map(|element| match (element, self.sub.as_deref()) {
            (Value::Object(object), sub) => schema::field(object, sub.unwrap_or("value")),
            (element, None) => Some(*element),
            // The values of a simple list are addressed as `value`.
            (element, Some(sub)) => sub.eq_ignore_ascii_case("value").then_some(*element),
        });
        leaves.flat_map(self::elements).collect()
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(&self.name)?;
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

/// The object that attributes of this schema stand in.
pub(crate) fn scope<'a>(
    resource: &'a Map<String, Value>,
    urn: Option<&str>,
) -> Option<&'a Map<String, Value>> {
    match urn {
        Some(urn) if !schema::is_core(urn) => schema::field(resource, urn)?.as_object(),
        _ => Some(resource),
    }
}

/// The values of a list, or the one value.
pub(crate) fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        single => vec![single],
    }
}

/// Splits the URN off: it ends at the last colon, since names have none and versions have dots.
pub(crate) fn split_urn(text: &str) -> Result<(Option<&str>, &str), Error> {
    if !text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) {
        return Ok((None, text));
    }
    match text.rsplit_once(':') {
        Some((urn, rest)) if urn.len() > 4 && urn.chars().all(is_path_char) => Ok((Some(urn), rest)),
        _ => Err(Error::path("not a schema and an attribute")),
    }
}

/// RFC 7644 §3.4.2.2: `ATTRNAME = ALPHA *(nameChar)`, and `$ref` of RFC 7643 §2.4.
pub(crate) fn is_name(name: &str) -> bool {
    let rest = name.strip_prefix('$').unwrap_or(name);
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Whether a character can stand in a path outside of brackets.
pub(crate) const fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '$')
}
