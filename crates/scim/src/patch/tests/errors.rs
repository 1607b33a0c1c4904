use super::*;
use crate::ScimType::{self, InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};

#[test]
fn bodies_that_are_no_patch_are_refused() {
    let table = [
        (json!([]), InvalidSyntax),
        (json!({"Operations": [{"op": "remove", "path": "members"}]}), InvalidSyntax),
        (json!({"schemas": [USER_URN], "Operations": [{"op": "remove", "path": "members"}]}), InvalidSyntax),
        (json!({"schemas": [PATCH_OP_URN]}), InvalidSyntax),
        (body(&json!([])), InvalidSyntax),
        (body(&json!({})), InvalidSyntax),
        (body(&json!(["remove"])), InvalidSyntax),
        (body(&json!([{"path": "members"}])), InvalidSyntax),
        (body(&json!([{"op": "move", "path": "members"}])), InvalidSyntax),
        (body(&json!([{"op": "add", "path": 1, "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "members"}])), InvalidValue),
        (body(&json!([{"op": "add", "value": "x"}])), InvalidValue),
        (body(&json!([{"op": "add", "value": [{}, {}]}])), InvalidValue),
        (body(&json!([{"op": "remove"}])), NoTarget),
        (body(&json!([{"op": "remove", "path": ""}])), NoTarget),
        (body(&json!([{"op": "add", "path": "a b", "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "a.b.c", "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "a[b eq 1", "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "a[b eq 1]c", "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "a.b[c eq 1]", "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "a[b[c eq 1]]", "value": 1}])), InvalidPath),
        (body(&json!([{"op": "add", "path": "a[b is 1]", "value": 1}])), InvalidFilter),
        (body(&json!([{"op": "add", "path": USER_URN, "value": {}}])), InvalidPath),
        (body(&json!([{"op": "add", "value": {(MAILBOX_URN): 1}}])), InvalidValue),
        (body(&json!([{"op": "add", "value": {(MAILBOX_URN): {(MAILBOX_URN): {}}}}])), InvalidPath),
        (body(&json!(vec![json!({"op": "remove", "path": "members"}); MAX_OPERATIONS + 1])), InvalidSyntax),
    ];
    for (body, expected) in table {
        assert_eq!(parse(&body).map_err(|error| error.scim_type()), Err(expected), "{body}");
    }
}

#[test]
fn the_changes_of_all_operations_are_counted() {
    let wide: Map<String, Value> = (0..=MAX_CHANGES).map(|i| (format!("a{i}"), json!(1))).collect();
    assert_eq!(parse(&body(&json!([{"op": "add", "value": wide}]))).unwrap_err().scim_type(), InvalidSyntax);
}

#[test]
fn what_does_not_suit_is_refused_and_nothing_is_changed() {
    let user_cases: Vec<(Value, ScimType)> = vec![
        (json!({"op": "replace", "path": "id", "value": "usr_2"}), Mutability),
        (json!({"op": "remove", "path": "id"}), Mutability),
        (json!({"op": "replace", "path": "meta.version", "value": "W/\"2\""}), Mutability),
        (json!({"op": "add", "path": "groups", "value": [{"value": "grp_2"}]}), Mutability),
        (json!({"op": "remove", "path": r#"groups[value eq "grp_1"]"#}), Mutability),
        (json!({"op": "add", "path": "schemas", "value": ["urn:other:User"]}), Mutability),
        (json!({"op": "remove", "path": "userName"}), Mutability),
        (json!({"op": "replace", "path": "userName", "value": null}), Mutability),
        (json!({"op": "replace", "path": "userName", "value": 1}), InvalidValue),
        (json!({"op": "replace", "path": "active", "value": "no"}), InvalidValue),
        (json!({"op": "replace", "path": "name", "value": "Barbara"}), InvalidValue),
        (json!({"op": "replace", "path": "displayName", "value": ["a", "b"]}), InvalidValue),
        (json!({"op": "add", "path": "emails", "value": [1]}), InvalidValue),
        (json!({"op": "add", "path": format!("{MAILBOX_URN}:quotaBytes"), "value": "many"}), InvalidValue),
        (json!({"op": "add", "path": "userName.first", "value": "a"}), InvalidPath),
        (json!({"op": "add", "path": r#"name[familyName eq "Jensen"]"#, "value": {}}), InvalidPath),
        (json!({"op": "replace", "path": "emails.value", "value": "a@example.com"}), InvalidPath),
        (json!({"op": "replace", "path": format!("{GROUP_URN}:displayName"), "value": "a"}), InvalidPath),
        (
            json!({"op": "replace", "path": r#"emails[type ne "x" and type sw "y"].value"#, "value": "a"}),
            NoTarget,
        ),
        (
            json!({"op": "replace", "path": r#"emails[type eq "x" or type eq "y"]"#, "value": {"value": "a"}}),
            NoTarget,
        ),
        (json!({"op": "replace", "path": "emails[value pr].primary", "value": true}), InvalidValue),
        (
            json!({"op": "replace", "path": "emails", "value":
                [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
            InvalidValue,
        ),
    ];
    let group_cases: Vec<(Value, ScimType)> = vec![
        (
            json!({"op": "replace", "path": r#"members[value eq "usr_1"].value"#, "value": "usr_5"}),
            Mutability,
        ),
        (json!({"op": "replace", "path": r#"members[value eq "usr_1"].display"#, "value": "x"}), Mutability),
        (json!({"op": "remove", "path": "displayName"}), Mutability),
        (json!({"op": "replace", "path": "members", "value": [{"value": 5}]}), InvalidValue),
    ];
    let cases =
        user_cases.into_iter().map(|c| (user(), c)).chain(group_cases.into_iter().map(|c| (group(), c)));
    for (before, (operation, expected)) in cases {
        let mut resource = before.clone();
        let operations =
            json!([{"op": "replace", "path": "displayName", "value": "changed first"}, operation]);
        let operations = parse(&body(&operations)).unwrap();
        let error = apply(&mut resource, &operations).expect_err(&operation.to_string());
        assert_eq!(error.scim_type(), expected, "{operation}: {error}");
        assert_eq!(resource, before, "{operation}");
    }
}

#[test]
fn what_is_read_only_may_be_repeated() {
    for value in [
        json!({"id": "usr_1", "schemas": [USER_URN, MAILBOX_URN], "meta": {"resourceType": "User"}}),
        json!({"groups": [{"value": "grp_1"}]}),
    ] {
        assert_eq!(patched(user(), json!([{"op": "replace", "value": value}])), Ok(user()));
    }
}
