//! What holds for users whoever the directory is.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Directory, MAILBOX_URN, MEDIA_TYPE, no_match, url_encoded};
use crate::support::{Answer, text};

#[tokio::test]
async fn a_full_seat_pool_leaves_nothing_half_made() {
    let directory = Directory::of(json!({"seats": {"limit": 1}})).await;
    let path = directory.user(json!({"userName": "ada@one.example"})).await;
    let tenant = directory.tenant.clone();
    let state = async || {
        let app = &directory.app;
        let users = app.get(&directory.admin, &format!("{tenant}/users")).await.expect(200);
        let mailboxes = app.get(&directory.admin, &format!("{tenant}/mailboxes")).await.expect(200);
        (users, mailboxes, app.get(&directory.admin, &tenant).await.expect(200)["seats"].clone())
    };
    let before = state().await;
    let bob = json!({"userName": "bob@one.example", "externalId": "7", "active": false,
        "emails": [{"value": "b@one.example", "type": "work"}]});
    let refused = directory.post("/Users", bob.clone()).await.expect_scim(403, None);
    assert_eq!(refused["detail"], "all 1 seats of the tenant are taken; nothing was created");
    assert_eq!(state().await, before);
    assert_eq!(directory.matching(r#"externalId eq "7""#).await, no_match());
    // With a seat, the same request succeeds: its addresses and its id are free.
    directory.delete(&path).await.expect(204);
    assert_eq!(directory.post("/Users", bob).await.expect(201)["active"], false);
}

#[tokio::test]
async fn inactive_is_without_sign_in_and_with_mail() {
    let directory = Directory::new().await;
    let body = json!({"userName": "ada@one.example", "password": "correct-horse", "active": false});
    let path = directory.user(body).await;
    assert_eq!(directory.sign_in("ada@one.example", "correct-horse").await, 400);
    assert_eq!(directory.deliver(&path).await, 201);
    // What else the portal took is not the directory's to give back.
    let suspend = format!("{}/users/{}/suspend", directory.tenant, path.trim_start_matches("/Users/"));
    directory.app.post(&directory.admin, &suspend, json!({"capabilities": ["send"]})).await.expect(200);
    let change = json!([{"op": "replace", "path": "active", "value": true},
        {"op": "replace", "path": "displayName", "value": "Ada"}]);
    let user = directory.patch(&path, change).await.expect(200);
    assert_eq!((&user["active"], &user["displayName"]), (&json!(true), &json!("Ada")));
    assert_eq!(directory.portal_view(&path).await["suspended_capabilities"], json!(["send"]));
    assert_eq!(directory.sign_in("ada@one.example", "correct-horse").await, 200);
    // Changes of more than one kind are all made or none is.
    let half = json!([{"op": "replace", "path": "active", "value": false},
        {"op": "replace", "path": "userName", "value": "ada@else.example"}]);
    directory.patch(&path, half).await.expect_scim(400, Some("invalidValue"));
    assert_eq!(directory.get(&path).await.expect(200), user);
}

#[tokio::test]
async fn blanks_are_what_a_directory_does_not_have() {
    let directory = Directory::new().await;
    let path = directory
        .user(json!({"userName": "ada@one.example", "displayName": " ", "name": {"givenName": "Ada", "familyName": "  "}}))
        .await;
    let user = directory.get(&path).await.expect(200);
    assert_eq!((&user["displayName"], &user["name"]["familyName"]), (&json!("Ada"), &json!(null)), "{user}");
}

/// UTS 46: a directory may keep either form, and its next run finds and changes nothing.
#[tokio::test]
async fn an_internationalised_domain_is_the_same_in_both_its_forms() {
    let directory = Directory::new().await;
    directory.app.domain(&directory.admin, &directory.tenant, "bücher.example").await;
    let whole = json!({"userName": "Anna@Bücher.example",
        "emails": [{"value": "Anna@Bücher.example", "type": "work", "primary": true},
            {"value": "sales@bücher.example", "type": "other"}]});
    let path = directory.user(whole.clone()).await;
    let user = directory.get(&path).await.expect(200);
    assert_eq!(user["userName"], "anna@xn--bcher-kva.example");
    assert_eq!(user["displayName"], user["userName"]);
    assert_eq!(user[MAILBOX_URN]["aliases"], json!(["sales@xn--bcher-kva.example"]));
    for address in ["anna@bücher.example", "anna@xn--bcher-kva.example"] {
        for filter in [
            format!("userName eq \"{address}\""),
            format!("emails[type eq \"work\"].value eq \"{address}\""),
            format!("userName eq \"{address}\" or displayName eq \"nobody\""),
        ] {
            assert_eq!(directory.matching(&filter).await["Resources"], json!([user]), "{filter}");
        }
        let same = json!([{"op": "Replace", "path": "userName", "value": address},
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": address},
            {"op": "Add", "path": "emails", "value": [{"value": "sales@bücher.example", "type": "other"}]},
            {"op": "Add", "path": format!("{MAILBOX_URN}:aliases"), "value": ["sales@bücher.example"]}]);
        assert_eq!(directory.patch(&path, same).await.expect(200), user, "{address}");
    }
    assert_eq!(directory.put(&path, whole).await.expect(200), user);
    let gone = json!([{"op": "Remove", "path": "emails[value eq \"sales@bücher.example\"]"}]);
    assert_eq!(directory.patch(&path, gone).await.expect(200)[MAILBOX_URN].get("aliases"), None);
}

#[tokio::test]
async fn a_version_is_a_tag_weak_or_strong() {
    let directory = Directory::new().await;
    let path = directory.user(json!({"userName": "ada@one.example"})).await;
    let with = async |method: Method, header: &str, tag: &str, body: Option<Value>| -> Answer {
        let call = directory.app.call(method, &format!("{}{path}", directory.base)).token(&directory.key);
        let call = call.header(header, tag);
        match body {
            Some(body) => call.bytes(MEDIA_TYPE, body.to_string()).send().await,
            None => call.send().await,
        }
    };
    for tag in ["W/\"1\"", "\"1\"", "\"x\", W/\"1\""] {
        let same = with(Method::GET, "if-none-match", tag, None).await;
        assert!(same.expect(304).is_null());
        assert_eq!(same.header("etag"), Some("W/\"1\""));
    }
    let named = |name: &str| Some(json!({"userName": "ada@one.example", "displayName": name}));
    for (tag, name) in [("W/\"1\"", "A"), ("\"2\"", "B"), ("*", "C")] {
        with(Method::PUT, "if-match", tag, named(name)).await.expect(200);
    }
    assert_eq!(with(Method::GET, "if-none-match", "W/\"1\"", None).await.expect(200)["displayName"], "C");
    with(Method::PUT, "if-match", "W/\"1\"", named("D")).await.expect_scim(412, None);
    with(Method::PUT, "if-match", "W/\"1\", \"4\"", named("D")).await.expect_scim(400, Some("invalidValue"));
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "remove", "path": "displayName"}]});
    with(Method::PATCH, "if-match", "W/\"1\"", Some(patch)).await.expect_scim(412, None);
    with(Method::DELETE, "if-match", "W/\"1\"", None).await.expect_scim(412, None);
    with(Method::DELETE, "if-match", "4", None).await.expect_scim(400, Some("invalidValue"));
    // A quota is the mailbox's, and a part of the resource all the same.
    let mailbox = text(&directory.portal_view(&path).await["mailbox_id"]);
    let quota = format!("{}/mailboxes/{mailbox}/quota", directory.tenant);
    directory.app.put(&directory.admin, &quota, json!({"quota_bytes": 7})).await.expect(200);
    let seen = with(Method::GET, "if-none-match", "W/\"4\"", None).await;
    assert_eq!(
        (&seen.expect(200)[MAILBOX_URN]["quotaBytes"], seen.header("etag")),
        (&json!(7), Some("W/\"5\""))
    );
    with(Method::DELETE, "if-match", "W/\"4\"", None).await.expect_scim(412, None);
    with(Method::DELETE, "if-match", "\"x, y\", W/\"5\"", None).await.expect(204);
}

#[tokio::test]
async fn lists_are_counted_paged_and_projected() {
    let directory = Directory::new().await;
    for (name, active) in [("a", true), ("b", false), ("c", true), ("d", false), ("e", true)] {
        let address = format!("{name}@one.example");
        directory.user(json!({"userName": address, "displayName": name, "active": active})).await;
    }
    let gone = directory.user(json!({"userName": "gone@one.example"})).await;
    directory.delete(&gone).await.expect(204);
    let names = async |query: &str| {
        let list = directory.get(&format!("/Users?{query}")).await.expect(200);
        let names: String =
            list["Resources"].as_array().unwrap().iter().map(|u| text(&u["displayName"])).collect();
        assert_eq!(list["itemsPerPage"], names.len(), "{list}");
        (list["totalResults"].as_u64().unwrap(), list["startIndex"].as_u64().unwrap(), names)
    };
    let of = |total, start, names: &str| (total, start, names.to_owned());
    // By id, and ids of the same moment are in no order of ours.
    let all = names("").await.2;
    let (inactives, first) = (all.replace(['a', 'c', 'e'], ""), all[..1].to_owned());
    assert_eq!((names("").await, all.len()), (of(5, 1, &all), 5));
    assert_eq!(names("startIndex=1&count=2").await, of(5, 1, &all[..2]));
    assert_eq!(names("startIndex=3&count=2").await, of(5, 3, &all[2..4]));
    assert_eq!(names("startIndex=6").await, of(5, 6, ""));
    assert_eq!(names("count=0").await, of(5, 1, ""));
    assert_eq!(names("startIndex=-4&count=100000").await, of(5, 1, &all));
    assert_eq!(names("sortBy=userName&sortOrder=descending&count=1").await, of(5, 1, &first));
    let inactive = url_encoded("active eq false");
    assert_eq!(names(&format!("filter={inactive}")).await, of(2, 1, &inactives));
    assert_eq!(names(&format!("filter={inactive}&startIndex=2")).await, of(2, 2, &inactives[1..]));
    assert_eq!(names(&format!("filter={inactive}&count=0")).await, of(2, 1, ""));
    let one = url_encoded(r#"userName eq "C@one.example""#);
    assert_eq!(names(&format!("filter={one}&startIndex=2")).await, of(1, 2, ""));
    for filter in [r#"userName sw "C@""#, r#"displayName eq "c""#, r#"not (displayName ne "c")"#] {
        assert_eq!(names(&format!("filter={}", url_encoded(filter))).await, of(1, 1, "c"), "{filter}");
    }
    for filter in [
        r#"id eq "x""#,
        r#"externalId eq "a\u0000""#,
        r#"userName eq "nobody""#,
        r#"userName eq "gone@one.example""#,
    ] {
        assert_eq!(directory.matching(filter).await, no_match(), "{filter}");
    }

    let list = directory.get("/Users?count=1&attributes=userName,emails.value").await.expect(200);
    let id = list["Resources"][0]["id"].clone();
    let address = format!("{first}@one.example");
    let shown = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", MAILBOX_URN], "id": id,
        "userName": address, "emails": [{"value": address}]});
    assert_eq!(list["Resources"], json!([shown]));
    let path = format!("/Users/{}", text(&id));
    let user = directory.get(&format!("{path}?excludedAttributes=emails,meta,name")).await.expect(200);
    assert_eq!((user.get("emails"), user.get("meta"), &user["displayName"]), (None, None, &json!(first)));
}

#[tokio::test]
async fn mistakes_have_their_types() {
    let directory = Directory::new().await;
    let path = directory.user(json!({"userName": "ada@one.example", "externalId": "7"})).await;
    for query in [
        format!("filter={}", url_encoded("userName is 7")),
        format!("filter={}", url_encoded("userName eq")),
        format!("filter={}", url_encoded(&format!("userName eq \"{}\"", "x".repeat(5000)))),
    ] {
        directory.get(&format!("/Users?{query}")).await.expect_scim(400, Some("invalidFilter"));
    }
    for query in ["count=many", "startIndex=one", "attributes=a&excludedAttributes=b", "count=1&count=2"] {
        directory.get(&format!("/Users?{query}")).await.expect_scim(400, Some("invalidValue"));
    }
    for body in [
        json!({"userName": "ADA@one.example"}),
        json!({"userName": "bob@one.example", "externalId": "7"}),
        json!({"userName": "bob@one.example", "emails": [{"value": "ada@one.example", "type": "work"}]}),
    ] {
        directory.post("/Users", body).await.expect_scim(409, Some("uniqueness"));
    }
    for (body, detail) in [
        (json!({}), "userName is required"),
        (json!({"userName": "bob"}), "userName: "),
        (json!({"userName": "b@two.example"}), "userName: the tenant has no such domain"),
        (
            json!({"userName": "b@one.example", "password": "short"}),
            "password: must have 8 to 1024 characters",
        ),
        (
            json!({"userName": "b@one.example", MAILBOX_URN: {"role": "king"}}),
            "role is not the name of a role",
        ),
        (json!({"userName": "b@one.example", MAILBOX_URN: {"role": "operator"}}), "role: must be"),
        (json!({"userName": "b@one.example", "active": "maybe"}), "active must be true or false"),
    ] {
        let refused = directory.post("/Users", body).await.expect_scim(400, Some("invalidValue"));
        assert!(refused["detail"].as_str().unwrap().starts_with(detail), "{refused}");
    }
    for (operation, scim_type) in [
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (json!({"op": "replace", "path": "emails[", "value": "x"}), "invalidPath"),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "move", "path": "active"}), "invalidSyntax"),
    ] {
        directory.patch(&path, json!([operation])).await.expect_scim(400, Some(scim_type));
    }
    assert_eq!(directory.get(&path).await.expect(200)["meta"]["version"], "W/\"1\"");
}

#[tokio::test]
async fn a_repeated_key_makes_one_user() {
    let directory = Directory::new().await;
    let post = async |address: &str| {
        let path = format!("{}/Users", directory.base);
        let call =
            directory.app.call(Method::POST, &path).token(&directory.key).header("idempotency-key", "one");
        call.bytes(MEDIA_TYPE, json!({"userName": address}).to_string()).send().await
    };
    let first = post("ada@one.example").await;
    let again = post("ada@one.example").await;
    assert_eq!((first.expect(201), again.header("content-type")), (again.expect(201), Some(MEDIA_TYPE)));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    post("bob@one.example").await.expect_scim(422, None);
    assert_eq!(directory.get("/Users?count=0").await.expect(200)["totalResults"], 1);
}

#[tokio::test]
async fn a_key_does_what_its_role_may() {
    let directory = Directory::new().await;
    let path = directory.user(json!({"userName": "ada@one.example"})).await;
    let admin =
        directory.user(json!({"userName": "root@one.example", MAILBOX_URN: {"role": "tenant_admin"}})).await;
    let key = json!({"role": "helpdesk"});
    let key = directory
        .app
        .post(&directory.admin, &format!("{}/api-keys", directory.tenant), key)
        .await
        .expect(201);
    let helpdesk = Directory { key: text(&key["secret"]), ..directory };
    helpdesk.get(&path).await.expect(200);
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    helpdesk.patch(&admin, off).await.expect_scim(403, None);
    helpdesk.delete(&admin).await.expect_scim(403, None);
    // Users are one action, their quotas another.
    let body = json!({"role": "tenant_admin", "actions": ["users:read", "users:write"]});
    let keys = format!("{}/api-keys", helpdesk.tenant);
    let key = helpdesk.app.post(&helpdesk.admin, &keys, body).await.expect(201);
    let narrow = Directory { key: text(&key["secret"]), ..helpdesk };
    let quota = json!([{"op": "add", "path": format!("{MAILBOX_URN}:quotaBytes"), "value": 5},
        {"op": "replace", "path": "displayName", "value": "Ada"}]);
    narrow.patch(&path, quota).await.expect_scim(403, None);
    assert_eq!(narrow.get(&path).await.expect(200)["displayName"], "ada@one.example");
}

#[tokio::test]
async fn changes_at_once_are_all_kept() {
    let directory = Directory::new().await;
    let path = directory.user(json!({"userName": "ada@one.example"})).await;
    let add = async |alias: &str| {
        let value = json!([{"value": alias, "type": "other"}]);
        directory.patch(&path, json!([{"op": "add", "path": "emails", "value": value}])).await.expect(200)
    };
    tokio::join!(add("a@one.example"), add("b@one.example"), add("c@one.example"));
    let aliases = json!(["a@one.example", "b@one.example", "c@one.example"]);
    assert_eq!(directory.portal_view(&path).await["aliases"], aliases);
}
