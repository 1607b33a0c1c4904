use super::*;
use crate::ScimType;

/// The body of Entra's POST /Users, from Microsoft's SCIM tutorial.
#[test]
fn entras_user_is_read() {
    let user = User::read(&json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_ab6490ee-1e48-479e-a20b-2d77186b5dd1",
        "active": true,
        "emails": [{
            "primary": true, "type": "work", "value": "Test_User_fd0ea19b-0777-472c-9f96-4f70d2226f2e@testuser.com"
        }],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
        "roles": [],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Sales", "manager": {"value": "1"}},
    }))
    .unwrap();
    assert_eq!(user.external_id.as_deref(), Some("0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"));
    assert_eq!(user.active, Some(true));
    let [email] = user.emails.as_slice() else { panic!("{:?}", user.emails) };
    assert_eq!(email.value, "test_user_fd0ea19b-0777-472c-9f96-4f70d2226f2e@testuser.com");
    assert_eq!((email.kind.as_deref(), email.primary), (Some("work"), true));
    assert_eq!(user.name.unwrap().family_name.as_deref(), Some("familyName"));
    assert!(user.roles.is_empty() && user.mailbox.is_none());
}

/// UTS 46: a domain is the same in its Unicode and in its ASCII form.
#[test]
fn addresses_have_one_spelling() {
    let of = |user_name: &str, email: &str, alias: &str| {
        let resource = json!({"userName": user_name, "displayName": email,
            "emails": [{"value": email, "display": email}], (MAILBOX_URN): {"aliases": [alias]}});
        User::read(&resource).unwrap()
    };
    let user = of("Anna@B\u{fc}cher.example", "Anna@B\u{fc}cher.example", "a@b\u{fc}cher.example");
    assert_eq!(user.user_name, "anna@xn--bcher-kva.example");
    assert_eq!(user.emails[0].value, user.user_name);
    assert_eq!(user.mailbox.unwrap().aliases, ["a@xn--bcher-kva.example"]);
    // What is not an address, and what is for people, is left to those who say so.
    assert_eq!(user.display_name.as_deref(), Some("Anna@B\u{fc}cher.example"));
    assert_eq!(user.emails[0].display, user.display_name);
    assert_eq!(of("Anna", "Anna@", "@").user_name, "Anna");
}

/// The body of Okta's POST /Users, from Okta's SCIM 2.0 reference.
#[test]
fn oktas_user_is_read() {
    let user = User::read(&json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "test.user@okta.local",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": "test.user@okta.local", "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true
    }))
    .unwrap();
    assert_eq!(user.password.as_ref().map(Password::expose), Some("1mz050nq"));
    assert_eq!(user.display_name.as_deref(), Some("Test User"));
    assert!(!format!("{user:?}").contains("1mz050nq"));
    assert_eq!(json!(user).get("password"), None);
}

#[test]
fn names_have_no_case_and_quirks_are_undone() {
    let user = User::read(&json!({
        "USERNAME": "a@example.com",
        "Active": "False",
        "emails": [{"VALUE": "a@example.com", "Primary": "True"}, {"type": "home"}, {"value": ""}],
        "name": null,
        "urn:PILLARBOX:params:scim:schemas:extension:mailbox:2.0:User":
            {"QuotaBytes": 5, "aliases": "b@example.com", "role": null},
    }))
    .unwrap();
    assert_eq!(user.active, Some(false));
    assert_eq!(user.emails, [Email { value: "a@example.com".into(), primary: true, ..Email::default() }]);
    assert_eq!(user.name, None);
    let mailbox = Mailbox { quota_bytes: Some(5), aliases: vec!["b@example.com".into()], role: None };
    assert_eq!(user.mailbox, Some(mailbox));
}

#[test]
fn wrong_values_name_the_attribute() {
    let with = |key: &str, value: Value| {
        let mut user = json!({"schemas": [USER_URN], "userName": "a"});
        user[key] = value;
        User::read(&user).expect_err(key)
    };
    let table = [
        (with("userName", json!(7)), ScimType::InvalidValue, "userName must be a string"),
        (with("userName", json!(" ")), ScimType::InvalidValue, "userName is required"),
        (with("userName", Value::Null), ScimType::InvalidValue, "userName is required"),
        (with("username", json!("b")), ScimType::InvalidSyntax, "userName is given twice"),
        (with("active", json!("maybe")), ScimType::InvalidValue, "active must be true or false"),
        (with("name", json!({"givenName": 1})), ScimType::InvalidValue, "name.givenName must be a string"),
        (with("name", json!("A B")), ScimType::InvalidValue, "name must be an object"),
        (with("displayName", json!(["a", "b"])), ScimType::InvalidValue, "displayName has one value"),
        (with("emails", json!([{"value": true}])), ScimType::InvalidValue, "emails.value must be a string"),
        (
            with("emails", json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}])),
            ScimType::InvalidValue,
            "emails has more than one primary value",
        ),
        (
            with(MAILBOX_URN, json!({"quotaBytes": "1"})),
            ScimType::InvalidValue,
            "quotaBytes must be a whole number",
        ),
        (
            with(MAILBOX_URN, json!({"quotaBytes": 1.5})),
            ScimType::InvalidValue,
            "quotaBytes must be a whole number",
        ),
        (
            with(MAILBOX_URN, json!({"quotaBytes": -1})),
            ScimType::InvalidValue,
            "quotaBytes must not be negative",
        ),
        (with("schemas", json!([GROUP_URN])), ScimType::InvalidSyntax, "schemas must contain"),
        (User::read(&json!([])).unwrap_err(), ScimType::InvalidSyntax, "a resource is a JSON object"),
        (Group::read(&json!({})).unwrap_err(), ScimType::InvalidValue, "displayName is required"),
        (
            Group::read(&json!({"displayName": "a", "members": [{"display": "b"}]})).unwrap_err(),
            ScimType::InvalidValue,
            "members.value is required",
        ),
    ];
    for (error, scim_type, detail) in table {
        assert_eq!(error.scim_type(), scim_type, "{detail}");
        assert!(error.detail().starts_with(detail), "{error}");
    }
}

/// The body of Entra's POST /Groups, from Microsoft's SCIM tutorial, and of Okta's PUT, which repeats members.
#[test]
fn groups_are_read() {
    let entra = Group::read(&json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:Group",
            "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
        ],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": "displayName",
        "meta": {"resourceType": "Group"}
    }))
    .unwrap();
    assert_eq!((entra.display_name.as_str(), entra.members.len()), ("displayName", 0));
    let okta = Group::read(&json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "id": "abf4dd94-a4c0-4f67-89c9-76b03340cb9b",
        "displayName": "Test SCIMv2",
        "members": [{"value": "b1c794f24f4c49f4b5d503a4cb2686ea", "display": "SCIM 2 Group A"},
                    {"value": "b1c794f24f4c49f4b5d503a4cb2686ea"}]
    }))
    .unwrap();
    assert_eq!(okta.members.len(), 1);
    assert_eq!(okta.members[0].display.as_deref(), Some("SCIM 2 Group A"));
}

#[test]
fn what_is_shown_reads_back() {
    let meta = Meta {
        created: "2026-01-01T00:00:00Z".into(),
        last_modified: Some("2026-01-02T00:00:00Z".into()),
        location: "https://pillarbox.test/scim/v2/ten_1/Users/usr_1".into(),
        version: "W/\"2\"".into(),
    };
    let user = User {
        id: Some("usr_1".into()),
        user_name: "a@example.com".into(),
        active: Some(true),
        emails: vec![Email { value: "a@example.com".into(), primary: true, ..Email::default() }],
        groups: vec![GroupRef { value: "grp_1".into(), ..GroupRef::default() }],
        mailbox: Some(Mailbox { quota_bytes: Some(1), ..Mailbox::default() }),
        ..User::default()
    };
    let shown = user.to_resource("usr_1", &meta);
    assert_eq!(shown["schemas"], json!([USER_URN, MAILBOX_URN]));
    assert_eq!(shown["meta"]["resourceType"], "User");
    assert_eq!(shown["meta"]["version"], "W/\"2\"");
    assert_eq!(shown[MAILBOX_URN], json!({"quotaBytes": 1}));
    assert_eq!(User::read(&shown), Ok(user));

    let group = Group {
        id: Some("grp_1".into()),
        display_name: "Sales".into(),
        members: vec![Member { value: "usr_1".into(), kind: Some("User".into()), ..Member::default() }],
        ..Group::default()
    };
    let shown = group.to_resource("grp_1", &meta);
    assert_eq!(shown["members"], json!([{"value": "usr_1", "type": "User"}]));
    assert_eq!(Group::read(&shown), Ok(group));
}
