//! What Entra ID and Okta send, from their public documentation.

use super::*;
use crate::{Group, User};

#[test]
fn entra_updates_addresses_and_names() {
    let after = patched(
        user(),
        json!([
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updatedEmail@microsoft.com"},
            {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
        ]),
    )
    .unwrap();
    assert_eq!(after["emails"][0]["value"], "updatedemail@microsoft.com");
    assert_eq!(after["emails"][0]["primary"], true);
    assert_eq!(after["name"]["familyName"], "updatedFamilyName");
}

#[test]
fn entra_expects_an_address_that_is_not_there_to_be_made() {
    let without = json!({"schemas": [USER_URN], "id": "usr_1", "userName": "a"});
    for op in ["Add", "Replace"] {
        let work = json!([{"op": op, "path": "emails[type eq \"work\"].value", "value": "a@example.com"}]);
        let after = patched(without.clone(), work).unwrap();
        assert_eq!(after["emails"], json!([{"type": "work", "value": "a@example.com"}]));
    }
    let other = json!([{"op": "add", "path": "emails[type eq \"other\"].value", "value": "o@example.com"}]);
    assert_eq!(patched(user(), other).unwrap()["emails"].as_array().unwrap().len(), 3);
}

/// Entra's validator sets one sub-attribute after another.
#[test]
fn entra_builds_a_value_piece_by_piece() {
    let after = patched(
        json!({"schemas": [USER_URN], "userName": "a"}),
        json!([
            {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "oren.collins@white.com"},
            {"op": "add", "path": "emails[type eq \"home\"].value", "value": "angelita@mante.us"},
            {"op": "replace", "path": "emails[type eq \"work\"].display", "value": "0TXBC2MOGUI0"},
            {"op": "add", "path": "emails[type eq \"work\"].primary", "value": false},
            {"op": "replace", "path": "emails[type eq \"home\"].primary", "value": "True"},
            {"op": "replace", "path": "roles[primary eq \"True\"].display", "value": "Role"},
            {"op": "add", "path": "roles[primary eq \"True\"].value", "value": "admin"},
            {"op": "add", "path": "emails[type eq \"other\"].primary", "value": false},
        ]),
    )
    .unwrap();
    let user = User::read(&after).unwrap();
    let emails: Vec<_> = user.emails.iter().map(|email| (email.value.as_str(), email.primary)).collect();
    assert_eq!(emails, [("oren.collins@white.com", false), ("angelita@mante.us", true)]);
    assert_eq!(after["roles"], json!([{"primary": true, "display": "Role", "value": "admin"}]));
}

#[test]
fn entra_disables_a_user_in_three_ways() {
    for operations in [
        json!([{"op": "Replace", "path": "active", "value": false}]),
        json!([{"op": "Replace", "path": "active", "value": "False"}]),
        json!([{"op": "Replace", "path": "active", "value": [{"value": "False"}]}]),
        json!([{"op": "replace", "value": {"active": false}}]),
        json!([{"op": "replace", "value": [{"active": "false"}]}]),
    ] {
        let after = patched(user(), operations.clone()).unwrap();
        assert_eq!(after["active"], false, "{operations}");
    }
}

#[test]
fn entra_sends_many_attributes_in_one_value() {
    let after = patched(
        user(),
        json!([
            {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
             "value": "Retail"},
            {"op": "Replace", "value": {
                "displayName": "Babs",
                "name.givenName": "Babs",
                "emails[type eq \"work\"].value": "babs@example.com",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber": "7",
                "urn:ietf:params:scim:schemas:core:2.0:User:externalId": "8",
                (format!("{MAILBOX_URN}:role")): "member",
            }},
            {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
             "value": [{"$ref": "http://example.com/Users/2819", "value": "2819"}]},
        ]),
    )
    .unwrap();
    assert_eq!(after["name"]["givenName"], "Babs");
    assert_eq!(after["emails"][0]["value"], "babs@example.com");
    assert_eq!(
        after[crate::schema::ENTERPRISE_URN],
        json!({"department": "Retail", "employeeNumber": "7",
               "manager": [{"$ref": "http://example.com/Users/2819", "value": "2819"}]})
    );
    let read = User::read(&after).unwrap();
    assert_eq!(read.external_id.as_deref(), Some("8"));
    assert_eq!(read.mailbox.unwrap().role.as_deref(), Some("member"));
}

#[test]
fn entra_changes_members() {
    let add = json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "usr_3"}]}]);
    let after = patched(group(), add).unwrap();
    assert_eq!(members(&after), ["usr_1", "usr_2", "usr_3"]);
    let remove = json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "usr_1"}]}]);
    let after = patched(after, remove).unwrap();
    assert_eq!(members(&after), ["usr_2", "usr_3"]);
    let by_filter = json!([{"op": "Remove", "path": "members[value eq \"usr_2\"]"}]);
    let after = patched(after, by_filter.clone()).unwrap();
    assert_eq!(members(&after), ["usr_3"]);
    assert_eq!(patched(after.clone(), by_filter), Ok(after.clone()));
    let nobody = json!([{"op": "Remove", "path": "members", "value": []}]);
    assert_eq!(patched(after.clone(), nobody), Ok(after));
}

#[test]
fn entra_renames_a_group() {
    let after = patched(
        group(),
        json!([{"op": "Replace", "path": "displayName", "value": "1879db59updatedDisplayName"}]),
    )
    .unwrap();
    assert_eq!(Group::read(&after).unwrap().display_name, "1879db59updatedDisplayName");
}

#[test]
fn entra_removes_an_address_and_says_which() {
    let after = patched(
        user(),
        json!([{"op": "Remove", "path": "emails[type eq \"work\"].value", "value": "bjensen@example.com"}]),
    )
    .unwrap();
    assert_eq!(after["emails"], json!([{"value": "babs@jensen.org", "type": "home"}]));
}

#[test]
fn okta_deactivates_a_user() {
    let after = patched(user(), json!([{"op": "replace", "value": {"active": false}}])).unwrap();
    assert_eq!(User::read(&after).unwrap().active, Some(false));
    let password = patched(user(), json!([{"op": "replace", "value": {"password": "Hw2-9x"}}])).unwrap();
    assert_eq!(User::read(&password).unwrap().password.unwrap().expose(), "Hw2-9x");
}

#[test]
fn okta_renames_a_group_with_its_id() {
    let rename = json!([{"op": "replace", "value": {"id": "grp_1", "displayName": "Test SCIMv2"}}]);
    assert_eq!(patched(group(), rename).unwrap()["displayName"], "Test SCIMv2");
    let other = json!([{"op": "replace", "value": {"id": "grp_2", "displayName": "Test SCIMv2"}}]);
    assert_eq!(patched(group(), other).unwrap_err().scim_type(), crate::ScimType::Mutability);
}

#[test]
fn okta_changes_members() {
    let after = patched(
        group(),
        json!([
            {"op": "remove", "path": "members[value eq \"usr_1\"]"},
            {"op": "add", "path": "members", "value": [{"value": "usr_3", "display": "test.user@okta.local"}]},
        ]),
    )
    .unwrap();
    assert_eq!(members(&after), ["usr_2", "usr_3"]);
    let all =
        json!([{"op": "replace", "path": "members", "value": [{"value": "usr_7"}, {"value": "usr_8"}]}]);
    assert_eq!(members(&patched(after, all).unwrap()), ["usr_7", "usr_8"]);
}
