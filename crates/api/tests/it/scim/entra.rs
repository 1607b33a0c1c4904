//! What Entra ID sends, in its order and its spelling (Microsoft's "Develop and plan provisioning for a SCIM endpoint").

use serde_json::json;

use super::{Directory, no_match};
use crate::support::text;

#[tokio::test]
async fn entra_provisions_changes_disables_and_deletes() {
    let directory = Directory::new().await;
    // The connection test asks for a user who cannot be.
    let random = r#"userName eq "eb2bc3a8-a8b1-46ff-8a6d-7a1d4c9f9f4e""#;
    assert_eq!(directory.matching(random).await, no_match());

    assert_eq!(directory.matching(r#"userName eq "Ada.Lovelace@one.example""#).await, no_match());
    let made = directory
        .post(
            "/Users",
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User",
                    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
                "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
                "userName": "Ada.Lovelace@one.example",
                "active": true,
                "displayName": "Ada Lovelace",
                "emails": [{"primary": true, "type": "work", "value": "Ada.Lovelace@one.example"}],
                "meta": {"resourceType": "User"},
                "name": {"formatted": "Ada Lovelace", "familyName": "Lovelace", "givenName": "Ada"},
                "roles": [],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Sales"},
            }),
        )
        .await;
    let user = made.expect(201);
    assert_eq!((made.header("etag"), &user["meta"]["version"]), (Some("W/\"1\""), &json!("W/\"1\"")));
    assert_eq!(made.header("location"), user["meta"]["location"].as_str());
    assert_eq!(user["meta"]["lastModified"], user["meta"]["created"]);
    let path = format!("/Users/{}", text(&user["id"]));

    let seen = directory.get(&path).await.expect(200);
    assert_eq!(seen, user);
    assert_eq!(seen["userName"], "ada.lovelace@one.example");
    assert_eq!(
        seen["name"],
        json!({"formatted": "Ada Lovelace", "familyName": "Lovelace", "givenName": "Ada"})
    );
    assert_eq!(
        seen["emails"],
        json!([{"value": "ada.lovelace@one.example", "type": "work", "primary": true}])
    );
    for filter in [
        r#"externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef""#,
        r#"userName eq "ADA.LOVELACE@one.example""#,
        r#"emails[type eq "work"].value eq "ada.lovelace@one.example""#,
        r#"userName eq "ada.lovelace@one.example" and active eq true"#,
    ] {
        let list = directory.matching(filter).await;
        assert_eq!((&list["totalResults"], &list["Resources"][0]), (&json!(1), &user), "{filter}");
    }

    let renamed = directory.patch(&path, json!([
        {"op": "Replace", "path": "name.familyName", "value": "King"},
        {"op": "Replace", "path": "name.formatted", "value": "Ada King"},
        {"op": "Replace", "path": "displayName", "value": "Ada King"},
        {"op": "Replace", "path": "userName", "value": "ada.king@one.example"},
        {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "ada.king@one.example"},
        {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "IT"},
    ])).await.expect(200);
    assert_eq!(
        (&renamed["userName"], &renamed["displayName"]),
        (&json!("ada.king@one.example"), &json!("Ada King"))
    );
    assert_eq!(renamed["name"]["formatted"], "Ada King");
    // Mail to the old address still arrives.
    assert_eq!(
        renamed["emails"],
        json!([
            {"value": "ada.king@one.example", "type": "work", "primary": true},
            {"value": "ada.lovelace@one.example", "type": "other", "primary": false},
        ])
    );
    // The same once more changes nothing.
    let again = directory
        .patch(
            &path,
            json!([
                {"op": "Replace", "path": "userName", "value": "ada.king@one.example"},
                {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "ada.king@one.example"},
            ]),
        )
        .await;
    assert_eq!(again.expect(200), renamed);

    let disabled =
        directory.patch(&path, json!([{"op": "Replace", "path": "active", "value": "False"}])).await;
    assert_eq!(disabled.expect(200)["active"], false);
    assert_eq!(directory.portal_view(&path).await["suspended_capabilities"], json!(["sign_in"]));
    let enabled = directory.patch(&path, json!([{"op": "Add", "path": "active", "value": "True"}])).await;
    assert_eq!(enabled.expect(200)["active"], true);

    assert!(directory.delete(&path).await.expect(204).is_null());
    directory.get(&path).await.expect_scim(404, None);
    directory.delete(&path).await.expect_scim(404, None);
    directory
        .patch(&path, json!([{"op": "Replace", "path": "active", "value": "False"}]))
        .await
        .expect_scim(404, None);
    assert_eq!(directory.matching(r#"userName eq "ada.king@one.example""#).await, no_match());
}

#[tokio::test]
async fn an_address_beside_the_sign_in_name_becomes_an_alias() {
    let directory = Directory::new().await;
    let path = directory.user(json!({"userName": "ada@one.example"})).await;
    let mail = json!([{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "mail@one.example"}]);
    let user = directory.patch(&path, mail.clone()).await.expect(200);
    assert_eq!(user["userName"], "ada@one.example");
    assert_eq!(directory.portal_view(&path).await["aliases"], json!(["mail@one.example"]));
    // What is elsewhere cannot be an address here, and none of the request is done.
    let elsewhere = json!([{"op": "Replace", "path": "displayName", "value": "Ada"},
        {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "ada@else.example"}]);
    let refused = directory.patch(&path, elsewhere).await.expect_scim(400, Some("invalidValue"));
    assert_eq!(
        refused["detail"],
        "an address in emails or aliases: the tenant has no such domain, or it is not verified"
    );
    assert_eq!(directory.get(&path).await.expect(200), user);
    // But where somebody is at home does not matter.
    let home = json!([{"op": "Add", "path": "emails[type eq \"home\"].value", "value": "ada@else.example"}]);
    assert_eq!(directory.patch(&path, home).await.expect(200), user);
}
