use serde_json::{Value, json};

use crate::support::{App, text};

/// A reseller's admin and a tenant with Ada in it.
async fn fixture() -> (App, String, String, Value) {
    let app = App::new().await;
    let (_, admin) = app.reseller("North").await;
    let tenant = app.tenant(&admin, "one.example", json!({})).await;
    let (ada, _) = app.user(&admin, &tenant, json!({"address": "ada@one.example"})).await;
    (app, admin, tenant, ada)
}

#[tokio::test]
async fn a_group_from_creation_to_deletion() {
    let (app, admin, tenant, ada) = fixture().await;
    let groups = format!("{tenant}/groups");
    let body = json!({"display_name": "Sales", "address": "sales@one.example", "external_id": "g-17"});
    let sales = app.post(&admin, &groups, body).await.expect(201);
    let expected = json!({"id": sales["id"], "display_name": "Sales", "address": "sales@one.example", "aliases": [],
        "external_id": "g-17", "member_count": 0, "created_at": sales["created_at"]});
    assert_eq!(sales, expected);
    let taken = json!({"display_name": "Sales", "external_id": "g-17"});
    let taken = app.post(&admin, &groups, taken).await.expect_problem(409, "external_id_taken");
    assert_eq!(taken["errors"][0]["pointer"], "/external_id");
    let path = format!("{groups}/{}", text(&sales["id"]));
    let all =
        app.post(&admin, &groups, json!({"display_name": "All", "members": [sales["id"]]})).await.expect(201);
    let member = format!("{path}/members/{}", text(&ada["mailbox_id"]));
    app.call(axum::http::Method::PUT, &member).token(&admin).send().await.expect(204);
    let looped = format!("{path}/members/{}", text(&all["id"]));
    let looped = app.call(axum::http::Method::PUT, &looped).token(&admin).send().await;
    looped.expect_problem(409, "group_loop");
    let listed = app.get(&admin, &format!("{path}/members")).await.expect(200);
    assert_eq!(listed["data"], json!([{"id": ada["mailbox_id"]}]));
    let read = app.get(&admin, &path).await;
    assert_eq!((read.expect(200)["member_count"].clone(), read.header("etag")), (json!(1), Some("\"2\"")));
    let patched =
        app.patch(&admin, &path, json!({"external_id": null, "aliases": ["vertrieb@one.example"]})).await;
    let patched = patched.expect(200);
    assert_eq!(
        (&patched["external_id"], &patched["aliases"]),
        (&Value::Null, &json!(["vertrieb@one.example"]))
    );
    // Without an address it is reached by its aliases, and somebody else may have the address.
    let without = json!({"address": null});
    let bare = app.patch(&admin, &path, without.clone()).await.expect(200);
    assert_eq!((&bare["address"], &bare["aliases"]), (&Value::Null, &json!(["vertrieb@one.example"])));
    let again = app.patch(&admin, &path, without.clone()).await;
    let shown = app.get(&admin, &path).await;
    assert_eq!((again.expect(200), again.header("etag")), (shown.expect(200), shown.header("etag")));
    app.user(&admin, &tenant, json!({"address": "sales@one.example"})).await;
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let told = app.get(&admin, "/v1/events?kind=group.updated").await.expect(200);
    let told: Vec<_> =
        told["data"].as_array().unwrap().iter().map(|event| event["data"]["address"].clone()).collect();
    assert_eq!(told, [json!("sales@one.example"), Value::Null]);
    // The last address becomes an alias where the list has it.
    app.patch(&admin, &path, json!({"address": "team@one.example", "aliases": []})).await.expect(200);
    let kept = json!({"address": null, "aliases": ["team@one.example"]});
    let kept = app.patch(&admin, &path, kept).await.expect(200);
    assert_eq!((&kept["address"], &kept["aliases"]), (&Value::Null, &json!(["team@one.example"])));
    app.delete(&admin, &member).await.expect(204);
    app.delete(&admin, &path).await.expect(204);
    app.get(&admin, &path).await.expect_problem(404, "not_found");
    app.get(&admin, &groups).await.expect(200);
    let left = app.get(&admin, &format!("{groups}/{}/members", text(&all["id"]))).await.expect(200);
    assert_eq!(left["data"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let (app, admin, tenant, ada) = fixture().await;
    let mailbox = text(&ada["mailbox_id"]);
    let (groups, aliases, mailboxes) =
        (format!("{tenant}/groups"), format!("{tenant}/aliases"), format!("{tenant}/mailboxes"));
    let delegate = format!("{mailboxes}/{mailbox}/delegates/{}", text(&ada["id"]));
    let unknown = "mbx_019a2f3c5d7e7abc8def0123456789ab";
    let room = |key: &str, value: Value| {
        let mut body = json!({"kind": "room", "display_name": "Aula", "address": "aula@one.example"});
        body[key] = value;
        body
    };
    let wrong = [
        (&groups, json!({}), "/display_name"),
        (&groups, json!({"display_name": ""}), "/display_name"),
        (&groups, json!({"display_name": "x", "address": "sales"}), "/address"),
        (&groups, json!({"display_name": "x", "address": "sales@two.example"}), "/address"),
        (&groups, json!({"display_name": "x", "aliases": ["a@one.example", 7]}), "/aliases/1"),
        (&groups, json!({"display_name": "x", "aliases": ["a@two.example"]}), "/aliases/0"),
        (&groups, json!({"display_name": "x", "external_id": ""}), "/external_id"),
        (&groups, json!({"display_name": "x", "members": ["usr_1"]}), "/members/0"),
        (&groups, json!({"display_name": "x", "members": [mailbox, unknown]}), "/members/1"),
        (&groups, json!({"display_name": "x", "members": vec![mailbox.clone(); 1001]}), "/members"),
        (&aliases, json!({"address": "x@one.example"}), ""),
        (&aliases, json!({"address": "x", "mailbox_id": mailbox}), "/address"),
        (&aliases, json!({"address": "x@one.example", "mailbox_id": "mbx"}), "/mailbox_id"),
        (&aliases, json!({"address": "x@one.example", "group_id": mailbox}), "/group_id"),
        (&mailboxes, room("kind", json!("personal")), "/kind"),
        (&mailboxes, room("kind", json!("attic")), "/kind"),
        (&mailboxes, room("display_name", json!("a\tb")), "/display_name"),
        (&mailboxes, room("address", json!("@one.example")), "/address"),
        (&mailboxes, room("quota_bytes", json!(-1)), "/quota_bytes"),
        (&mailboxes, room("quota_bytes", json!(1.5)), "/quota_bytes"),
        (&mailboxes, room("color", json!("blue")), "/color"),
    ];
    for (path, body, pointer) in wrong {
        let problem = app.post(&admin, path, body.clone()).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    for (body, pointer) in
        [(json!({"rights": []}), "/rights"), (json!({"rights": ["read", "write"]}), "/rights/1")]
    {
        let problem = app.put(&admin, &delegate, body).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(app.get(&admin, &groups).await.expect(200)["data"], json!([]));
    assert_eq!(app.get(&admin, &aliases).await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_shared_mailbox_is_read_by_its_delegates() {
    let (app, admin, tenant, ada) = fixture().await;
    let body = json!({"kind": "shared", "display_name": "Info", "address": "info@one.example"});
    let info = app.post(&admin, &format!("{tenant}/mailboxes"), body).await.expect(201);
    assert_eq!((&info["kind"], &info["user_id"]), (&json!("shared"), &Value::Null));
    let mailbox = format!("{tenant}/mailboxes/{}", text(&info["id"]));
    app.deliver(&admin, &mailbox, crate::support::MESSAGE).await.expect(201);
    let reset = format!("{tenant}/users/{}/reset-password", text(&ada["id"]));
    app.post(&admin, &reset, json!({"password": "correct horse battery staple"})).await.expect(204);
    let person = app.sign_in("ada@one.example", "correct horse battery staple").await;
    let messages = format!("{mailbox}/messages");
    app.get(&person, &messages).await.expect_problem(404, "not_found");
    let delegate = format!("{mailbox}/delegates/{}", text(&ada["id"]));
    app.put(&admin, &delegate, json!({"rights": ["read"]})).await.expect(200);
    let seen = app.get(&person, &messages).await.expect(200)["data"].as_array().unwrap().clone();
    assert_eq!(seen.len(), 1);
    app.delete(&person, &format!("{messages}/{}", text(&seen[0]["id"])))
        .await
        .expect_problem(403, "forbidden");
    app.deliver(&person, &mailbox, crate::support::MESSAGE).await.expect_problem(403, "forbidden");
    app.delete(&admin, &mailbox).await.expect(204);
    app.get(&person, &messages).await.expect_problem(404, "not_found");
    let deleted =
        app.get(&admin, &format!("{tenant}/mailboxes?status=deleted&kind=shared")).await.expect(200);
    assert_eq!(deleted["data"][0]["id"], info["id"]);
    app.post(&admin, &format!("{mailbox}/restore"), json!({})).await.expect(200);
    assert_eq!(app.get(&person, &messages).await.expect(200)["data"].as_array().unwrap().len(), 1);
}
