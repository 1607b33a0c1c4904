//! The examples of RFC 7644 §3.5.2.

use super::*;

#[test]
fn adding_members_keeps_those_there_and_adds_none_twice() {
    let after = patched(
        group(),
        json!([{"op": "add", "path": "members", "value": [
            {"display": "Babs Jensen", "$ref": "https://example.com/v2/Users/usr_1", "value": "usr_1"},
            {"display": "James Smith", "value": "usr_3"},
        ]}]),
    )
    .unwrap();
    assert_eq!(members(&after), ["usr_1", "usr_2", "usr_3"]);
    // What is immutable is not merged in.
    assert_eq!(after["members"][0].get("$ref"), None);
}

#[test]
fn adding_without_a_path() {
    let after = patched(
        user(),
        json!([{"op": "add", "value": {
            "emails": [{"value": "babs@home.example", "type": "home"}, {"value": "BABS@jensen.org", "primary": true}],
            "nickname": "Babs",
        }}]),
    )
    .unwrap();
    assert_eq!(
        after["emails"],
        json!([
            {"value": "bjensen@example.com", "type": "work", "primary": false},
            {"value": "babs@jensen.org", "type": "home", "primary": true},
            {"value": "babs@home.example", "type": "home"},
        ])
    );
    assert_eq!(after["nickname"], "Babs");
}

#[test]
fn removing_one_all_and_some() {
    let one = patched(group(), json!([{"op": "remove", "path": r#"members[value eq "usr_1"]"#}])).unwrap();
    assert_eq!(members(&one), ["usr_2"]);
    let all = patched(group(), json!([{"op": "remove", "path": "members"}])).unwrap();
    assert_eq!(all.get("members"), None);
    let complex = json!([{"op": "remove", "path": r#"emails[type eq "work" and value ew "example.com"]"#}]);
    assert_eq!(
        patched(user(), complex).unwrap()["emails"],
        json!([{"value": "babs@jensen.org", "type": "home"}])
    );
    let sub = patched(user(), json!([{"op": "remove", "path": "name.givenName"}])).unwrap();
    assert_eq!(sub["name"], json!({"familyName": "Jensen"}));
    let value = json!([{"op": "remove", "path": r#"emails[type eq "home"].value"#}]);
    assert_eq!(patched(user(), value).unwrap()["emails"].as_array().unwrap().len(), 1);
    let kind = patched(user(), json!([{"op": "remove", "path": "emails.type"}])).unwrap();
    assert_eq!(kind["emails"][1], json!({"value": "babs@jensen.org"}));
}

#[test]
fn remove_then_add_is_a_replacement() {
    let after = patched(
        group(),
        json!([
            {"op": "remove", "path": r#"members[value eq "usr_1" and type eq "User"]"#},
            {"op": "add", "path": "members", "value": [{"display": "James Smith", "value": "usr_3"}]},
        ]),
    )
    .unwrap();
    assert_eq!(members(&after), ["usr_2", "usr_3"]);
}

#[test]
fn replacing_a_list_an_element_and_a_part() {
    let list =
        json!([{"op": "replace", "path": "members", "value": [{"value": "usr_9"}, {"value": "usr_9"}]}]);
    assert_eq!(members(&patched(group(), list).unwrap()), ["usr_9"]);
    let element = json!([{"op": "replace", "path": r#"emails[type eq "work"]"#, "value":
        {"type": "work", "value": "new@example.com"}}]);
    assert_eq!(
        patched(user(), element).unwrap()["emails"][0],
        json!({"type": "work", "value": "new@example.com"})
    );
    let part = json!([{"op": "replace", "path": r#"addresses[type eq "work"].streetAddress"#, "value":
        "1010 Broadway Ave"}]);
    let mut resource = user();
    resource["addresses"] = json!([{"type": "work", "streetAddress": "911"}, {"type": "home"}]);
    assert_eq!(
        patched(resource, part).unwrap()["addresses"],
        json!([{"type": "work", "streetAddress": "1010 Broadway Ave"}, {"type": "home"}])
    );
    let rest =
        patched(user(), json!([{"op": "replace", "path": "name", "value": {"givenName": "Babs"}}])).unwrap();
    assert_eq!(rest["name"], json!({"familyName": "Jensen", "givenName": "Babs"}));
    let empty = patched(group(), json!([{"op": "replace", "path": "members", "value": []}])).unwrap();
    assert_eq!(empty.get("members"), None);
}

#[test]
fn replacing_what_is_absent_adds_it() {
    let after = patched(user(), json!([{"op": "replace", "path": "displayName", "value": "Babs"}])).unwrap();
    assert_eq!(after["displayName"], "Babs");
}

#[test]
fn a_new_primary_value_unsets_the_old() {
    let after = patched(
        user(),
        json!([{"op": "replace", "path": r#"emails[type eq "home"].primary"#, "value": true}]),
    )
    .unwrap();
    assert_eq!(
        after["emails"],
        json!([
            {"value": "bjensen@example.com", "type": "work", "primary": false},
            {"value": "babs@jensen.org", "type": "home", "primary": true},
        ])
    );
}

#[test]
fn names_have_no_case() {
    let after = patched(
        user(),
        json!([
            {"OP": "REPLACE", "Path": "NAME.GIVENNAME", "Value": "Babs"},
            {"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:user:username", "value": "b@example.com"},
            {"op": "replace", "path": r#"Emails[TYPE eq "home"].Value"#, "value": "b@jensen.org"},
        ]),
    )
    .unwrap();
    assert_eq!(after["name"], json!({"familyName": "Jensen", "givenName": "Babs"}));
    assert_eq!(after["userName"], "b@example.com");
    assert_eq!(after["emails"][1], json!({"value": "b@jensen.org", "type": "home"}));
}

#[test]
fn extensions_are_reached_by_their_urn() {
    let after = patched(
        user(),
        json!([
            {"op": "add", "path": format!("{MAILBOX_URN}:quotaBytes"), "value": 1024},
            {"op": "add", "value": {(MAILBOX_URN): {"aliases": ["a@example.com"], "role": "member"}}},
            {"op": "add", "path": format!("{MAILBOX_URN}:aliases"), "value": ["A@example.com", "b@example.com"]},
            {"op": "remove", "path": format!(r#"{MAILBOX_URN}:aliases[value sw "a@"]"#)},
        ]),
    )
    .unwrap();
    assert_eq!(
        after[MAILBOX_URN],
        json!({"quotaBytes": 1024, "aliases": ["b@example.com"], "role": "member"})
    );
    let whole = patched(after.clone(), json!([{"op": "remove", "path": MAILBOX_URN}])).unwrap();
    assert_eq!(whole, user());
    let null = patched(
        after,
        json!([
            {"op": "replace", "path": format!("{MAILBOX_URN}:quotaBytes"), "value": null},
            {"op": "replace", "path": format!("{MAILBOX_URN}:role"), "value": null},
            {"op": "remove", "path": format!("{MAILBOX_URN}:aliases"), "value": ["B@example.com"]},
        ]),
    )
    .unwrap();
    assert_eq!(null, user());
}
