//! What Okta sends, in its order (Okta's "SCIM 2.0 protocol reference").

use serde_json::{Value, json};

use super::{Directory, MAILBOX_URN, USER_URN, no_match};
use crate::support::text;

fn user(more: Value) -> Value {
    let mut user = json!({
        "schemas": [USER_URN],
        "userName": "test.user@one.example",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": "test.user@one.example", "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq-1mz050nq",
        "active": true,
    });
    user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    user
}

#[tokio::test]
async fn okta_provisions_replaces_deactivates_and_reactivates() {
    let directory = Directory::new().await;
    // The connection test.
    let list = directory.get("/Users?startIndex=1&count=2").await.expect(200);
    assert_eq!(list, no_match());
    let filter = "/Users?filter=userName%20eq%20%22test.user%40one.example%22&startIndex=1&count=100";
    assert_eq!(directory.get(filter).await.expect(200), no_match());

    let made = directory.post("/Users", user(json!({}))).await.expect(201);
    assert_eq!(made.get("password"), None);
    let path = format!("/Users/{}", text(&made["id"]));
    assert_eq!(directory.get(&path).await.expect(200), made);
    assert_eq!(directory.get(filter).await.expect(200)["Resources"], json!([made]));
    assert_eq!(directory.sign_in("test.user@one.example", "1mz050nq-1mz050nq").await, 200);

    // What the portal gave stays through a PUT that does not know of it.
    let portal = format!("{}/users/{}", directory.tenant, text(&made["id"]));
    let aliases = json!({"aliases": ["sales@one.example"], "role": "helpdesk"});
    directory.app.patch(&directory.admin, &portal, aliases).await.expect(200);
    let mut whole = user(json!({"id": made["id"], "name": {"givenName": "Another", "familyName": "User"},
        "displayName": "Another User", "meta": made["meta"], "password": "another-password"}));
    whole.as_object_mut().unwrap().remove("externalId");
    let put = directory.put(&path, whole.clone()).await.expect(200);
    assert_eq!(put["name"]["givenName"], "Another");
    assert_eq!((&put["displayName"], &put["externalId"]), (&json!("Another User"), &made["externalId"]));
    assert_eq!(put[MAILBOX_URN], json!({"aliases": ["sales@one.example"], "role": "helpdesk"}));
    assert_eq!(directory.sign_in("test.user@one.example", "1mz050nq-1mz050nq").await, 400);
    assert_eq!(directory.sign_in("test.user@one.example", "another-password").await, 200);
    // One that says the same, but for the password, which nobody can compare, is no change.
    whole.as_object_mut().unwrap().remove("password");
    assert_eq!(directory.put(&path, whole).await.expect(200), put);

    let off = json!([{"op": "replace", "value": {"active": false}}]);
    assert_eq!(directory.patch(&path, off).await.expect(200)["active"], false);
    assert_eq!(directory.sign_in("test.user@one.example", "another-password").await, 400);
    assert_eq!(directory.deliver(&path).await, 201);
    assert_eq!(directory.get(&path).await.expect(200)["active"], false);
    let on = json!([{"op": "replace", "value": {"active": true}}]);
    assert_eq!(directory.patch(&path, on).await.expect(200)["active"], true);
    assert_eq!(directory.sign_in("test.user@one.example", "another-password").await, 200);
    // An app integration of the wizard's deactivates by PUT.
    let off = directory.put(&path, user(json!({"active": false, "password": null}))).await.expect(200);
    assert_eq!(off["active"], false);
}

#[tokio::test]
async fn a_put_that_mentions_the_extension_replaces_it() {
    let directory = Directory::new().await;
    let first =
        json!({"quotaBytes": 1000, "aliases": ["a@one.example", "b@one.example"], "role": "helpdesk"});
    let path = directory.user(user(json!({MAILBOX_URN: first}))).await;
    assert_eq!(directory.get(&path).await.expect(200)[MAILBOX_URN], first);
    let put =
        directory.put(&path, user(json!({MAILBOX_URN: {"aliases": ["b@one.example"]}, "name": {}}))).await;
    let put = put.expect(200);
    assert_eq!(put[MAILBOX_URN], json!({"aliases": ["b@one.example"], "role": "helpdesk"}));
    assert_eq!(put.get("name"), None);
    let quota = json!([{"op": "add", "path": format!("{MAILBOX_URN}:quotaBytes"), "value": 5}]);
    let with_quota = directory.patch(&path, quota).await.expect(200);
    assert_eq!(with_quota[MAILBOX_URN]["quotaBytes"], 5);
    assert_ne!(with_quota["meta"]["version"], put["meta"]["version"]);
    let gone = json!([{"op": "remove", "path": "emails[value eq \"b@one.example\"]"},
        {"op": "remove", "path": format!("{MAILBOX_URN}:quotaBytes")}]);
    assert_eq!(directory.patch(&path, gone).await.expect(200)[MAILBOX_URN], json!({"role": "helpdesk"}));
}
