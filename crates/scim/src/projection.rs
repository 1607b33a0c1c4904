//! The parts of a resource that a client wants. RFC 7644 §3.4.2.5, §3.9.

use serde_json::{Map, Value};

use crate::schema::{self, COMMON, Returned};
use crate::{AttrPath, Error};

/// The longest list of attributes that is read, in bytes.
pub const MAX_LENGTH_BYTES: usize = 4096;

/// Which attributes are shown. `id` and `schemas` always are, and `password` never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    choice: Choice,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Choice {
    #[default]
    All,
    Only(Vec<Chosen>),
    Without(Vec<Chosen>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Chosen {
    Attribute(AttrPath),
    Extension(&'static str),
}

/// How much of an attribute a list names.
#[derive(PartialEq)]
enum Named<'a> {
    Nothing,
    Whole,
    Subs(Vec<&'a str>),
}

impl Projection {
    /// Reads the query's `attributes` and `excludedAttributes`: names with commas between them.
    ///
    /// # Errors
    /// `invalidValue` if both are given, or one holds something that cannot be an attribute's name.
    pub fn parse(attributes: Option<&str>, excluded_attributes: Option<&str>) -> Result<Self, Error> {
        let given = |list: Option<&str>| list.is_some_and(|list| !list.trim().is_empty());
        let choice = match (given(attributes), given(excluded_attributes)) {
            (true, true) => return Err(Error::value("attributes and excludedAttributes exclude each other")),
            (true, false) => Choice::Only(names("attributes", attributes)?),
            (false, true) => Choice::Without(names("excludedAttributes", excluded_attributes)?),
            (false, false) => Choice::All,
        };
        Ok(Self { choice })
    }

    /// Whether an attribute of the core schema is shown at all: what is not need not be loaded (Entra asks for
    /// groups without their `members`).
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        match &self.choice {
            Choice::All => true,
            Choice::Only(chosen) => is_always(None, name) || named(chosen, None, name) != Named::Nothing,
            Choice::Without(chosen) => is_always(None, name) || named(chosen, None, name) != Named::Whole,
        }
    }

    /// What is left of a resource.
    #[must_use]
    pub fn apply(&self, resource: Value) -> Value {
        let Value::Object(object) = resource else {
            return resource;
        };
        let mut out = Map::new();
        for (key, value) in object {
            // Of all keys, only extensions' are URNs.
            let kept = match (key.get(..4), value) {
                (Some(start), Value::Object(extension)) if start.eq_ignore_ascii_case("urn:") => {
                    self.extension(&key, extension)
                }
                (_, value) => self.attribute(None, &key, value),
            };
            if let Some(kept) = kept {
                out.insert(key, kept);
            }
        }
        Value::Object(out)
    }

    fn extension(&self, urn: &str, extension: Map<String, Value>) -> Option<Value> {
        let whole = |chosen: &[Chosen]| {
            chosen.iter().any(|c| matches!(c, Chosen::Extension(known) if known.eq_ignore_ascii_case(urn)))
        };
        match &self.choice {
            Choice::Only(chosen) if whole(chosen) => return Some(Value::Object(extension)),
            Choice::Without(chosen) if whole(chosen) => return None,
            _ => {}
        }
        let kept: Map<_, _> = extension
            .into_iter()
            .filter_map(|(key, value)| {
                let kept = self.attribute(Some(urn), &key, value)?;
                Some((key, kept))
            })
            .collect();
        (!kept.is_empty()).then_some(Value::Object(kept))
    }

    fn attribute(&self, urn: Option<&str>, name: &str, value: Value) -> Option<Value> {
        if is_always(urn, name) {
            return Some(value);
        }
        if schema::attribute(urn, name).is_some_and(|attribute| attribute.returned == Returned::Never) {
            return None;
        }
        match &self.choice {
            Choice::All => Some(value),
            Choice::Only(chosen) => match named(chosen, urn, name) {
                Named::Whole => Some(value),
                Named::Nothing => None,
                Named::Subs(subs) => {
                    retain(value, &|key| subs.iter().any(|sub| sub.eq_ignore_ascii_case(key)))
                }
            },
            Choice::Without(chosen) => match named(chosen, urn, name) {
                Named::Whole => None,
                Named::Nothing => Some(value),
                Named::Subs(subs) => {
                    retain(value, &|key| !subs.iter().any(|sub| sub.eq_ignore_ascii_case(key)))
                }
            },
        }
    }
}

fn names(parameter: &str, list: Option<&str>) -> Result<Vec<Chosen>, Error> {
    let list = list.unwrap_or_default();
    if list.len() > MAX_LENGTH_BYTES {
        return Err(Error::value(format!("{parameter} is longer than {MAX_LENGTH_BYTES} bytes")));
    }
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match schema::known_urn(name) {
            Some(urn) if !schema::is_core(urn) => Ok(Chosen::Extension(urn)),
            _ => AttrPath::parse(name).map(Chosen::Attribute),
        })
        .collect::<Result<_, _>>()
        .map_err(|_| {
            Error::value(format!("{parameter} must be names of attributes with commas between them"))
        })
}

fn is_always(urn: Option<&str>, name: &str) -> bool {
    urn.is_none()
        && COMMON.iter().any(|a| a.returned == Returned::Always && a.name.eq_ignore_ascii_case(name))
}

fn named<'a>(chosen: &'a [Chosen], urn: Option<&str>, name: &str) -> Named<'a> {
    let mut subs = Vec::new();
    for each in chosen {
        let Chosen::Attribute(path) = each else { continue };
        let path_urn = path.schema.as_deref().filter(|urn| !schema::is_core(urn));
        let same_schema = match (path_urn, urn) {
            (None, None) => true,
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        };
        if !same_schema || !path.name.eq_ignore_ascii_case(name) {
            continue;
        }
        match path.sub.as_deref() {
            None => return Named::Whole,
            Some(sub) => subs.push(sub),
        }
    }
    if subs.is_empty() { Named::Nothing } else { Named::Subs(subs) }
}

/// The sub-attributes that are kept, of the value or of each of the values; `None` if nothing is left.
fn retain(value: Value, keep: &dyn Fn(&str) -> bool) -> Option<Value> {
    match value {
        Value::Object(object) => {
            let kept: Map<_, _> = object.into_iter().filter(|(key, _)| keep(key)).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<_> = items.into_iter().filter_map(|item| retain(item, keep)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        // The values of a simple list are addressed as `value`.
        simple => keep("value").then_some(simple),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{MAILBOX_URN, USER_URN};

    fn shown(attributes: Option<&str>, excluded: Option<&str>) -> Value {
        Projection::parse(attributes, excluded).unwrap().apply(json!({
            "schemas": [USER_URN],
            "id": "1",
            "userName": "a@example.com",
            "password": "secret",
            "name": {"givenName": "A", "familyName": "B"},
            "emails": [{"value": "a@example.com", "type": "work"}, {"type": "home"}],
            (MAILBOX_URN): {"quotaBytes": 1, "role": "member"},
        }))
    }

    #[test]
    fn only_what_is_asked_for_and_what_always_is() {
        assert_eq!(
            shown(Some("USERNAME, name.familyname"), None),
            json!({"schemas": [USER_URN], "id": "1", "userName": "a@example.com", "name": {"familyName": "B"}})
        );
        assert_eq!(
            shown(
                Some("emails.value,urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User:role"),
                None
            ),
            json!({"schemas": [USER_URN], "id": "1", "emails": [{"value": "a@example.com"}],
                   (MAILBOX_URN): {"role": "member"}})
        );
        assert_eq!(
            shown(Some("urn:ietf:params:scim:schemas:core:2.0:User:name,nickName,password"), None),
            json!({"schemas": [USER_URN], "id": "1", "name": {"givenName": "A", "familyName": "B"}})
        );
        assert_eq!(shown(Some(MAILBOX_URN), None)[MAILBOX_URN], json!({"quotaBytes": 1, "role": "member"}));
    }

    #[test]
    fn all_but_what_is_excluded() {
        let mine = shown(None, Some(&format!("id,schemas,emails,name.givenName,{MAILBOX_URN}:quotaBytes")));
        assert_eq!(
            mine,
            json!({"schemas": [USER_URN], "id": "1", "userName": "a@example.com", "name": {"familyName": "B"},
                   (MAILBOX_URN): {"role": "member"}})
        );
        assert_eq!(shown(None, Some(MAILBOX_URN)).get(MAILBOX_URN), None);
        assert_eq!(shown(None, None).get("password"), None);
    }

    #[test]
    fn a_caller_can_ask_what_to_load() {
        let entra = Projection::parse(None, Some("members")).unwrap();
        assert!(!entra.shows("members") && entra.shows("displayName") && entra.shows("id"));
        let only = Projection::parse(Some("id,members.value"), None).unwrap();
        assert!(only.shows("members") && only.shows("schemas") && !only.shows("displayName"));
        assert!(Projection::parse(None, Some("members.display")).unwrap().shows("members"));
        assert!(Projection::default().shows("members"));
    }

    #[test]
    fn both_lists_or_no_names_are_refused() {
        assert!(Projection::parse(Some("a"), Some("b")).is_err());
        assert!(Projection::parse(Some("a b"), None).is_err());
        assert!(Projection::parse(Some("a[b eq 1]"), None).is_err());
        assert_eq!(Projection::parse(Some(""), Some(" ")), Ok(Projection::default()));
    }
}
