//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use serde_json::{Value, json};

use crate::filter::{MAX_DEPTH, MAX_LENGTH_BYTES};
use crate::patch::{self, Target};
use crate::{AttrPath, Filter, Group, User, schema};

fn user() -> Value {
    json!({
        "schemas": [schema::USER_URN], "id": "u1", "externalId": "Ext-1", "userName": "ada@example.com",
        "name": {"familyName": "Lovelace", "givenName": "Ada"}, "active": true,
        "emails": [
            {"value": "ada@example.com", "type": "work", "primary": true},
            {"value": "ada@example.org", "type": "home"},
        ],
        "meta": {"lastModified": "2011-05-13T04:42:34.5Z"},
        (schema::MAILBOX_URN): {"quotaBytes": 1024, "aliases": ["a@example.com"], "role": "member"},
    })
}

/// Filters: what is written is read back as the same, and what it is not is its opposite.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(filter) = Filter::parse(text) else { return };
    let (written, user) = (filter.to_string(), user());
    let is_it = filter.matches(&user);
    assert_eq!(Filter::Not(Box::new(filter.clone())).matches(&user), !is_it);
    if written.len() <= MAX_LENGTH_BYTES {
        assert_eq!(Filter::parse(&written), Ok(filter.clone()), "{written}");
    }
    // What an index looks up must not hide a match.
    if let Some(name) = filter.equality("userName")
        && is_it
    {
        assert_eq!(crate::canonical::address(name), "ada@example.com");
    }
    assert!(filter.equality("emails.value").is_none_or(|text| written.len() > text.len()));
    assert!(depth(&filter) <= MAX_DEPTH * 2 + 2);
}

fn depth(filter: &Filter) -> usize {
    match filter {
        Filter::Compare { .. } | Filter::Present(_) => 0,
        Filter::Not(inner) | Filter::ValuePath { filter: inner, .. } => 1 + depth(inner),
        Filter::And(all) | Filter::Or(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
    }
}

/// Paths: what is read of one is read again as it is written.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = AttrPath::parse(text) {
        assert_eq!(AttrPath::parse(&path.to_string()), Ok(path));
    }
    match Target::parse(text) {
        Ok(Target::Attribute { path, filter: None }) => assert_eq!(path.to_string(), text.trim()),
        Ok(Target::Attribute { path, filter: Some(filter) }) => {
            let sub = path.sub.as_ref().map_or(String::new(), |sub| format!(".{sub}"));
            let whole = AttrPath { sub: None, ..path.clone() };
            let written = format!("{whole}[{filter}]{sub}");
            if written.len() <= patch::MAX_PATH_BYTES && filter.to_string().len() <= MAX_LENGTH_BYTES {
                let read = Target::parse(&written);
                assert_eq!(read, Ok(Target::Attribute { path, filter: Some(filter) }), "{written}");
            }
        }
        Ok(Target::Extension(urn)) => assert!(urn.eq_ignore_ascii_case(text.trim())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The body of a PATCH, or its list of operations: one that is refused changes nothing, and none changes an id.
pub fn patch(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    let body = match body {
        Value::Array(operations) => json!({"schemas": [patch::PATCH_OP_URN], "Operations": operations}),
        body => body,
    };
    let Ok(operations) = patch::parse(&body) else { return };
    assert!(operations.len() <= patch::MAX_CHANGES);
    let group = json!({
        "schemas": [schema::GROUP_URN], "id": "g1", "displayName": "All",
        "members": [{"value": "u1", "display": "Ada"}, {"value": "u2"}],
    });
    for start in [user(), group] {
        let mut changed = start.clone();
        match patch::apply(&mut changed, &operations) {
            Err(_) => assert_eq!(changed, start),
            Ok(()) => assert_eq!(changed.get("id"), start.get("id")),
        }
        resource_of(&changed);
    }
}

/// Users and groups: what is read is written and read again as the same.
pub fn resource(bytes: &[u8]) {
    if let Ok(body) = serde_json::from_slice::<Value>(bytes) {
        resource_of(&body);
    }
}

fn resource_of(body: &Value) {
    if let Ok(mut user) = User::read(body) {
        assert!(!user.user_name.is_empty());
        // It is never written.
        user.password = None;
        let written = serde_json::to_value(&user).expect("texts, numbers and lists of them");
        assert_eq!(User::read(&written), Ok(user));
    }
    if let Ok(group) = Group::read(body) {
        let written = serde_json::to_value(&group).expect("texts, numbers and lists of them");
        assert_eq!(Group::read(&written), Ok(group));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("scim_filter", super::filter);
        crate::seeds::play("scim_path", super::path);
        crate::seeds::play("scim_patch", super::patch);
        crate::seeds::play("scim_resource", super::resource);
    }
}
