mod errors;
mod properties;
mod providers;
mod rfc;

use serde_json::json;

use super::*;
use crate::schema::{GROUP_URN, MAILBOX_URN, USER_URN};

/// The body of a PATCH with these operations.
fn body(operations: &Value) -> Value {
    json!({"schemas": [PATCH_OP_URN], "Operations": operations})
}

/// What a resource is after the operations.
fn patched(mut resource: Value, operations: Value) -> Result<Value, Error> {
    apply(&mut resource, &parse(&body(&operations))?)?;
    Ok(resource)
}

fn user() -> Value {
    json!({
        "schemas": [USER_URN],
        "id": "usr_1",
        "userName": "bjensen@example.com",
        "active": true,
        "name": {"familyName": "Jensen", "givenName": "Barbara"},
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": true},
            {"value": "babs@jensen.org", "type": "home"},
        ],
        "groups": [{"value": "grp_1"}],
        "meta": {"resourceType": "User", "version": "W/\"1\""},
    })
}

fn group() -> Value {
    json!({
        "schemas": [GROUP_URN],
        "id": "grp_1",
        "displayName": "Tour Guides",
        "members": [
            {"value": "usr_1", "type": "User", "display": "Babs Jensen"},
            {"value": "usr_2", "type": "User"},
        ],
    })
}

fn members(group: &Value) -> Vec<&str> {
    let members = group["members"].as_array().map_or(&[][..], Vec::as_slice);
    members.iter().filter_map(|member| member["value"].as_str()).collect()
}

#[test]
fn paths_are_read() {
    let attribute = |name: &str, sub: Option<&str>| AttrPath {
        schema: None,
        name: name.to_owned(),
        sub: sub.map(str::to_owned),
    };
    let table = [
        ("members", Target::Attribute { path: attribute("members", None), filter: None }),
        ("name.familyName", Target::Attribute { path: attribute("name", Some("familyName")), filter: None }),
        (
            r#"addresses[type eq "work"]"#,
            Target::Attribute {
                path: attribute("addresses", None),
                filter: Some(Filter::parse(r#"type eq "work""#).unwrap()),
            },
        ),
        (
            r#"members[value eq "a]b.c"].displayName"#,
            Target::Attribute {
                path: attribute("members", Some("displayName")),
                filter: Some(Filter::parse(r#"value eq "a]b.c""#).unwrap()),
            },
        ),
        (
            "URN:pillarbox:params:scim:schemas:extension:mailbox:2.0:user",
            Target::Extension(MAILBOX_URN.to_owned()),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(Target::parse(text), Ok(expected), "{text}");
    }
}
